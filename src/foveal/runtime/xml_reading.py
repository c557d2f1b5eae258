"""OpenVINO's ``.xml`` looked at before OpenVINO opens it: it comes from anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from foveal.errors import ModelFileError

MOST_TAGS = 300_000
"""And as many attributes. A MobileNet's file has 80,000 and 65,000, one of a large backbone perhaps twice as
many. So many take half a second to read, unless each has a name of its own."""
MOST_NAMES = 1_000
"""Of tags and attributes, each once: a MobileNet's file has 14 and 30."""
_NAME = re.compile(rb"<[^\s/>!?]++|(?<=\s)[^\s<>/=\"']++(?=\s*+=)")


def read_xml(path: Path, content: bytes) -> tuple[dict[str, str], list[str], list[str]]:
    """The texts among its metadata by key, and the names of inputs and outputs.

    ModelFileError where it is no file of OpenVINO's, or of far more parts than a network has.
    """
    # Counted as letters; there are no more of either than that.
    if max(content.count(b"<"), content.count(b"=")) > MOST_TAGS:
        raise ModelFileError(f"{path}: over {MOST_TAGS:,} tags or attributes: no file of ours has so many")
    if b"\0" in content:  # a coding of two bytes, in which names cannot be found
        raise _not_openvino(path)
    if len(set(_NAME.findall(content))) > MOST_NAMES:
        raise ModelFileError(
            f"{path}: over {MOST_NAMES:,} names of tags and attributes: no file of ours has so many"
        )
    try:
        net = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, RecursionError) as error:
        raise _not_openvino(path) from error
    if net.tag != "net" or net.find("layers") is None:
        raise ModelFileError(f"{path}: not an OpenVINO file; foveal export writes one from a checkpoint")
    entries = net.find("rt_info")
    texts = {entry.tag: entry.get("value", "") for entry in ([] if entries is None else entries)}
    return texts, _names(net, "Parameter"), _names(net, "Result")


def _not_openvino(path: Path) -> ModelFileError:
    return ModelFileError(f"{path}: not an OpenVINO file, or a damaged one; export it again")


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
