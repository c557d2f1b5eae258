"""OpenVINO's ``.xml`` looked at before OpenVINO opens it: it comes from anywhere."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from foveal.errors import ModelFileError

MOST_TAGS = 150_000
"""And as many attributes. A MobileNet's file has 80,000 and 65,000; so many take a quarter of a second."""


def read_xml(path: Path, content: bytes) -> tuple[dict[str, str], list[str], list[str]]:
    """The texts among its metadata by key, and the names of inputs and outputs.

    ModelFileError where it is no file of OpenVINO's, or of far more parts than a network has.
    """
    # Counted as letters, which a coding of two bytes has, too; there are no more of either than that.
    if max(content.count(b"<"), content.count(b"=")) > MOST_TAGS:
        raise ModelFileError(f"{path}: over {MOST_TAGS:,} tags or attributes: no file of ours has so many")
    try:
        net = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: not an OpenVINO file, or a damaged one; export it again") from error
    if net.tag != "net" or net.find("layers") is None:
        raise ModelFileError(f"{path}: not an OpenVINO file; foveal export writes one from a checkpoint")
    entries = net.find("rt_info")
    texts = {entry.tag: entry.get("value", "") for entry in ([] if entries is None else entries)}
    return texts, _names(net, "Parameter"), _names(net, "Result")


def _names(net: Element, kind: str) -> list[str]:
    """Of the layers of a kind; an input's and an output's tensor have the names that the file was made with."""
    names = []
    for layer in net.iterfind("layers/layer"):
        if layer.get("type") != kind:
            continue
        port = layer.find("output/port")
        tensor = layer.get("output_names") or (None if port is None else port.get("names", ""))
        names.append((tensor or layer.get("name") or "").split(",")[0])
    return names
