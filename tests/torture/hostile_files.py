"""ONNX and OpenVINO files that mean harm: in all else as ours are, with a header and a digest that fits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "export"))
from onnx import TensorProto, helper
from test_reading import HOSTILE, inside_a_branch, ir, model, outside, tensor, whole, with_identities, written

from foveal.runtime.exported import OUTPUTS, SIZE_LIMIT, XML_LIMIT
from foveal.runtime.seal import seal

PASSWORDS = Path("/etc/passwd")
MANY = 5_000_000
Make = Callable[[Path], object]
"""Writes the file of that name."""


def outside_at(place: str) -> Any:
    """Weights in another file."""
    made = outside("w")
    made.external_data[0].value = place
    return made


def endless(name: str) -> list[Any]:
    """A graph inside a node that runs it again and again."""
    given = [helper.make_tensor_value_info("i", TensorProto.INT64, [])]
    given.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    gone = [helper.make_tensor_value_info("d", TensorProto.BOOL, [])]
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "b", given, gone)
    return with_identities(helper.make_node(name, ["n", "c"], ["y"], body=body))


def deep(levels: int) -> bytes:
    """Graphs in graphs in bare protobuf: node 1 of graph 7, attribute 5 of it, graph 6 of that."""
    inner = b""
    for _ in range(levels):
        for field in (6, 5, 1):
            inner = field_of(field, inner)
    return model().SerializeToString() + field_of(7, inner)


def field_of(number: int, content: bytes) -> bytes:
    """A field of protobuf with bytes in it."""
    size, length = b"", len(content)
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def with_more(*fields: bytes) -> bytes:
    """A file of ours, and more fields of the model behind it."""
    return seal(model().SerializeToString() + b"".join(fields))


def with_function(node: Any) -> Any:
    """The node in a function of the model."""
    made = model()
    made.functions.append(helper.make_function("", "f", ["x"], ["y"], [node], [helper.make_opsetid("", 18)]))
    return made


def sized(file: Path, size: int, start: bytes = b"") -> None:
    """A file of that many bytes, none of them written."""
    with file.open("wb") as stream:
        stream.write(start)
        stream.truncate(size)


def _text(content: bytes) -> Make:
    return lambda file: file.write_bytes(content)


def _model(build: Callable[[], Any]) -> Make:
    return lambda file: written(file, build())


ONNX: dict[str, Make] = {
    **{name: _model(build) for name, (build, _) in HOSTILE.items()},
    **{
        f"weights at {place}": _model(lambda place=place: model(initializers=[outside_at(place)]))
        for place in ("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "weights.bin", "", "..\\..\\x")
    },
    "weights outside in a function": _model(
        lambda: with_function(helper.make_node("Constant", [], ["y"], value=outside("w")))
    ),
    "weights outside in a branch": _model(lambda: model(inside_a_branch(outside_at("/etc/passwd")))),
    "a link to another file": lambda file: file.symlink_to(PASSWORDS),
    "over the size cap": lambda file: sized(file, SIZE_LIMIT + 1),
    "as large as may be": lambda file: sized(file, SIZE_LIMIT - 1, model().SerializeToString()),
    "an operator of com.microsoft": _model(
        lambda: model(with_identities(helper.make_node("Inverse", ["images"], ["y"], domain="com.microsoft")))
    ),
    "Python as an operator": _model(
        lambda: model(with_identities(helper.make_node("PyOp", ["images"], ["y"], domain="ai.onnx.contrib")))
    ),
    "an operator of its own in a function": _model(
        lambda: with_function(helper.make_node("Shell", ["x"], ["y"], domain="evil"))
    ),
    **{f"an endless {name}": _model(lambda name=name: model(endless(name))) for name in ("Loop", "Scan")},
    **{
        f"{start!r} in front": _text(start * 1000)
        for start in (b"\x89PNG", b"PK\x03\x04", b"\x80\x02", b"#!/bin/sh\n")
    },
    "15 MB of zeros": _text(bytes(15_000_000)),
    "15 MB of ones": _text(b"\xff" * 15_000_000),
    "a huge range": _model(
        lambda: model(
            with_identities(helper.make_node("Range", ["a", "b", "a"], ["y"])),
            [whole("a", [1]), whole("b", [1 << 50])],
        )
    ),
    "a huge sparse tensor": _model(lambda: _sparse()),
    "sizes over 64 bits": _model(lambda: model(initializers=[tensor("w", [1 << 62, 1 << 62])])),
    **{f"{levels} graphs in each other": _text(deep(levels)) for levels in (40, 1000, 20_000)},
    "many nodes": lambda file: file.write_bytes(with_more(field_of(7, b"\x0a\x00" * MANY))),
    "many attributes": lambda file: file.write_bytes(with_more(field_of(7, field_of(1, b"\x2a\x00" * MANY)))),
    "many notes": lambda file: file.write_bytes(with_more(b"\x72\x00" * MANY)),
    "many sizes": lambda file: file.write_bytes(with_more(field_of(7, field_of(5, b"\x08\x01" * MANY)))),
    "many functions": lambda file: file.write_bytes(with_more(b"\xca\x01\x00" * MANY)),
    "many notes in a group": lambda file: file.write_bytes(
        with_more(b"\x9b\x06\x9c\x06", b"\x72\x00" * MANY)
    ),
    "a number without an end": _text(b"\x08" + b"\x80" * 10_000_000),
}


def _sparse() -> Any:
    made = model()
    sparse = made.graph.sparse_initializer.add()
    sparse.dims.extend([1 << 40, 4])
    return made


def _entity(declared: str, used: str = "") -> Make:
    return lambda file: ir(file, more=f"<!DOCTYPE net [{declared}]>{used}")


def _with_bin(make: Callable[[Path], object]) -> Make:
    """A file of ours whose weights are something else."""

    def written_so(file: Path) -> None:
        ir(file)
        file.with_suffix(".bin").unlink()
        make(file.with_suffix(".bin"))

    return written_so


LAUGHS = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
XML: dict[str, Make] = {
    "billion laughs": _entity(f'<!ENTITY a0 "ha">{LAUGHS}'),
    "one long entity many times": _entity(f'<!ENTITY a "{"a" * 100_000}">'),
    "an outer entity": _entity('<!ENTITY x SYSTEM "file:///etc/passwd">'),
    "an outer entity of the network": _entity('<!ENTITY x SYSTEM "http://127.0.0.1:9/x">'),
    "a parameter entity": _entity('<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;'),
    "an outer DTD": lambda file: ir(file, more='<!DOCTYPE net SYSTEM "file:///etc/passwd">'),
    "an entity in UTF-16": lambda file: file.write_bytes(
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE net [<!ENTITY a "b">]><net>&a;</net>'.encode(
            "utf-16"
        )
    ),
    "many tags": lambda file: file.write_bytes(b"<net>" + b"<a/>" * MANY + b"</net>"),
    "many tags of many names": lambda file: file.write_text(
        f"<net>{''.join(f'<a{n}/>' for n in range(299_000))}</net>"
    ),
    "deep tags": lambda file: file.write_bytes(b"<net>" + b"<a>" * 140_000 + b"</a>" * 140_000 + b"</net>"),
    **{
        f"{many} attributes": lambda file, many=many: file.write_text(
            "<net " + " ".join(f"a{n}=''" for n in range(many)) + "/>"
        )
        for many in (299_000, 1_200_000)
    },
    "15 MB of text": lambda file: file.write_bytes(b"<net>" + b"x" * 15_000_000 + b"</net>"),
    "15 MB in an attribute": lambda file: file.write_bytes(b'<net a="' + b"x" * 15_000_000 + b'"/>'),
    "over the size cap": lambda file: sized(file, XML_LIMIT + 1, b"<net>"),
    "not XML": lambda file: file.write_bytes(b"\x7fELF" + bytes(1000)),
    "weights that are a link": _with_bin(lambda file: file.symlink_to(PASSWORDS)),
    "weights that are a device": _with_bin(lambda file: file.symlink_to("/dev/zero")),
    "weights that are not there": _with_bin(lambda file: None),
    "weights over the size cap": _with_bin(lambda file: sized(file, SIZE_LIMIT + 1)),
    "outputs of another": lambda file: ir(file, outputs=["x", *OUTPUTS[1:]]),
}
EVERY = [(f"{name}.onnx", make) for name, make in ONNX.items()] + [
    (f"{name}.xml", make) for name, make in XML.items()
]
