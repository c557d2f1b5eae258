"""Exported files on the way in: what is not ours, or not whole, is refused before anything runs it (S9)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foveal.checkpoint.header import HEADER, CheckpointHeader, header_text
from foveal.errors import ModelFileError
from foveal.runtime import exported
from foveal.runtime.exported import read_exported
from foveal.runtime.model_file import open_model
from foveal.runtime.seal import SEAL, UNSEALED, seal
from foveal.types import ClassNames

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, TensorProto = onnx.helper, onnx.TensorProto
HEAD = CheckpointHeader({"model": {}}, ClassNames(("cell",), (1,)), {"height": 64, "width": 64})
RUNS = {"ir_version": 10, "opset_imports": [helper.make_opsetid("", 18)]}
"""Of a model that ONNX Runtime is to run."""
SOON = 0.5
"""Seconds of computing, which a busy machine does not stretch; reading takes a hundredth."""


def model(nodes: Any = None, initializers: Any = (), ours: bool = True, **options: Any) -> Any:
    """An ONNX model that gives four outputs named like ours."""
    given = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", 3, "H", "W"])]
    names = options.pop("outputs", exported.OUTPUTS)
    made = [helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in names]
    nodes = nodes or [helper.make_node("Identity", ["images"], [name]) for name in names]
    graph = helper.make_graph(nodes, "g", given, made, list(initializers))
    built = helper.make_model(graph, **options)
    if ours:
        built.metadata_props.add(key=HEADER, value=header_text(HEAD))
        built.metadata_props.add(key=SEAL, value=UNSEALED)
    return built


def written(path: Path, built: Any) -> Path:
    content = built.SerializeToString()
    path.write_bytes(seal(content) if UNSEALED.encode() in content else content)
    return path


def refused(path: Path) -> str:
    start = time.process_time()
    with pytest.raises(ModelFileError) as caught:
        read_exported(path)
    assert time.process_time() - start < SOON
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_a_file_of_ours(tmp_path: Path) -> None:
    found = read_exported(written(tmp_path / "a.onnx", model()))
    assert found.header.classes.names == ("cell",)
    assert found.backend == "onnxruntime"


def tensor(name: str, dims: list[int], **fields: Any) -> Any:
    made = TensorProto(name=name, dims=dims, data_type=fields.pop("data_type", TensorProto.FLOAT))
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def outside(name: str) -> Any:
    made = tensor(name, [4], data_location=TensorProto.EXTERNAL)
    made.external_data.add(key="location", value="../../etc/passwd")
    return made


def whole(name: str, values: list[int]) -> Any:
    return onnx.numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def with_identities(*nodes: Any) -> list[Any]:
    return [*nodes, *(helper.make_node("Identity", ["images"], [name]) for name in exported.OUTPUTS)]


def inside_a_branch(tensor: Any) -> list[Any]:
    """The tensor as a constant of a graph inside a node."""
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Constant", [], ["y"], value=tensor)], "b", [], [out])
    return with_identities(helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch))


HOSTILE: dict[str, tuple[Callable[[], Any], str]] = {
    "external data": (lambda: model(initializers=[outside("w")]), "other files"),
    "external data in a branch": (lambda: model(inside_a_branch(outside("w"))), "other files"),
    "external data without the flag": (
        lambda: model(initializers=[(lambda t: (setattr(t, "data_location", 0), t)[1])(outside("w"))]),
        "other files",
    ),
    "an operator of its own": (
        lambda: model(with_identities(helper.make_node("Shell", ["images"], ["y"], domain="evil.ops"))),
        "operator Shell of evil.ops",
    ),
    "a huge stored tensor": (
        lambda: model(initializers=[tensor("w", [1 << 20, 1 << 20])]),
        "1048576 x 1048576",
    ),
    "a negative size": (lambda: model(initializers=[tensor("w", [-(1 << 40), 4])]), "asks for a tensor"),
    "a huge constant of a shape": (
        lambda: model(
            with_identities(helper.make_node("ConstantOfShape", ["s"], ["y"])),
            [whole("s", [1 << 30, 1 << 30])],
        ),
        "asks for a tensor",
    ),
    "a huge expansion": (
        lambda: model(
            with_identities(
                helper.make_node("Constant", [], ["s"], value=whole("", [1 << 40])),
                helper.make_node("Expand", ["images", "s"], ["y"]),
            )
        ),
        "asks for a tensor",
    ),
    "another program's": (lambda: model(ours=False), "another program (inputs images; outputs boxes, scores"),
    "an endless loop": (
        lambda: model(with_identities(helper.make_node("Loop", ["n", "c"], ["y"]))),
        "runs a graph again and again (Loop)",
    ),
    "raw outputs": (lambda: model(outputs=["logits_3", "deltas_3"]), "--raw"),
    "empty": (lambda: onnx.ModelProto(), "not an ONNX file"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_onnx(tmp_path: Path, case: str) -> None:
    build, words = HOSTILE[case]
    assert words in refused(written(tmp_path / "a.onnx", build()))


def test_a_header_that_lies(tmp_path: Path) -> None:
    for text in ("[]", "{}", '{"format_version": 99, "version": "9"}', "[" * 100_000, "null", "\x00"):
        built = model()
        built.metadata_props[0].value = text
        refused(written(tmp_path / "a.onnx", built))


def test_every_cut_and_every_flip_is_seen(tmp_path: Path) -> None:
    path = written(tmp_path / "a.onnx", model(initializers=[whole("w", list(range(200)))]))
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in rng.integers(0, len(content), 40):
        path.write_bytes(content[:length])
        refused(path)
    for place in rng.integers(0, len(content), 200):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        refused(path)


def test_far_more_parts_than_a_network_has(tmp_path: Path) -> None:
    """Five million empty notes in ten megabytes: each would become an object."""
    path = tmp_path / "a.onnx"
    path.write_bytes(seal(model().SerializeToString() + b"\x72\x00" * 5_000_000))
    assert "over 300,000 parts" in refused(path)
    in_a_group = b"\x9b\x06" + b"\x72\x00" * 5_000_000 + b"\x9c\x06"
    path.write_bytes(seal(model().SerializeToString() + in_a_group))
    assert "not an ONNX file" in refused(path)
    path.write_bytes(b"\x08" + b"\x80" * 5_000_000)
    assert "not an ONNX file" in refused(path)


def test_random_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for suffix in (".onnx", ".xml"):
        for length in (0, 1, 9, 1000, 100_000):
            path = tmp_path / f"a{suffix}"
            path.write_bytes(rng.bytes(length))
            assert "not an" in refused(path)


def test_over_the_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "SIZE_LIMIT", 100)
    assert "no file of ours is so large" in refused(written(tmp_path / "a.onnx", model()))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "a.onnx")
    (tmp_path / "b.onnx").mkdir()
    assert "a folder" in refused(tmp_path / "b.onnx")


def test_a_large_file_of_another_program_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    with path.open("wb") as file:
        file.truncate(exported.SIZE_LIMIT - 1)
    assert "another program (2047 MB without Foveal's metadata at its end)" in refused(path)


def test_a_large_file_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.onnx", model(initializers=[whole("w", list(range(9000)))]))
    monkeypatch.setattr(exported, "TAIL", 4000)
    assert read_exported(path).header.classes.names == ("cell",)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("a.onnx", "a.xml"):
        os.mkfifo(tmp_path / name)
        assert "a pipe or a device" in refused(tmp_path / name)


def test_our_header_without_a_digest(tmp_path: Path) -> None:
    built = model()
    del built.metadata_props[1]
    assert "SHA-256 does not fit" in refused(written(tmp_path / "a.onnx", built))


def test_a_graph_that_fails_when_it_runs(tmp_path: Path) -> None:
    """It is well formed, and its sizes do not go together."""
    seven = helper.make_node("Reshape", ["images", "s"], ["boxes"])
    others = [helper.make_node("Identity", ["images"], [name]) for name in exported.OUTPUTS[1:]]
    path = written(tmp_path / "a.onnx", model([seven, *others], [whole("s", [7])], **RUNS))
    detect = open_model(path).start()
    with pytest.raises(
        ModelFileError, match=r"a\.onnx: does not run in onnxruntime on 1 x 3 x 64 x 64 \(.+\)"
    ) as caught:
        detect(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.pt2", "a torch.export model, which torch and torchvision run; here give its checkpoint, or what"),
        ("a.bin", r"the weights of an OpenVINO model; give .*a\.xml"),
    ],
)
def test_files_of_ours_that_are_not_opened(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "a.xml").touch()
    (tmp_path / name).touch()
    with pytest.raises(ModelFileError, match=words):
        open_model(tmp_path / name)


# ---------------------------------------------------------------- OpenVINO's two files


def ir(path: Path, bin_content: bytes = b"weights", more: str = "", outputs: Any = exported.OUTPUTS) -> Path:
    """The skeleton of an IR with our header."""
    text = header_text(HEAD).replace("&", "&amp;").replace('"', "&quot;")
    results = "".join(f'<layer id="1" type="Result" output_names="{name}"/>' for name in outputs)
    first = (
        '<layer id="0" name="images" type="Parameter"><output><port id="0" names="images"/></output></layer>'
    )
    content = (
        f'<?xml version="1.0"?>{more}<net><layers>{first}{results}</layers>'
        f'<rt_info><{HEADER} value="{text}"/><{SEAL} value="{UNSEALED}"/></rt_info></net>'
    )
    path.with_suffix(".bin").write_bytes(bin_content)
    path.write_bytes(seal(content.encode(), bin_content))
    return path


def test_an_ir_of_ours(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    assert read_exported(ir(tmp_path / "a.xml")).header.classes.names == ("cell",)


def test_an_ir_that_is_not_whole(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    path = ir(tmp_path / "a.xml")
    path.with_suffix(".bin").write_bytes(b"weightz")
    assert "SHA-256" in refused(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelFileError, match=r"a\.bin: no such file; the weights of a\.xml; copy both files"):
        read_exported(path)


def test_hostile_xml(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    bomb = '<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
    assert "not an OpenVINO file" in refused(ir(tmp_path / "bomb.xml", more=bomb))
    entity = '<!DOCTYPE net [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    assert "not an OpenVINO file" in refused(ir(tmp_path / "xxe.xml", more=entity))
    other = tmp_path / "other.xml"
    other.write_text("<annotation><object/></annotation>")
    assert "not an OpenVINO file" in refused(other)
    assert "--raw" in refused(ir(tmp_path / "raw.xml", outputs=["logits_3", "deltas_3"]))
    many = tmp_path / "many.xml"
    many.write_bytes(b"<net>" + b"<a/>" * 3_000_000 + b"</net>")
    assert "over 300,000 tags" in refused(many)


def test_far_more_attributes_than_a_network_has(tmp_path: Path) -> None:
    """Three million on one tag took twenty seconds."""
    pytest.importorskip("openvino")
    path = tmp_path / "a.xml"
    path.write_text("<net " + " ".join(f"a{number}=''" for number in range(400_000)) + "/>")
    assert "over 300,000 tags or attributes" in refused(path)


def test_the_seal_is_of_the_content() -> None:
    content = json.dumps({"a": 1, SEAL: UNSEALED}).encode()
    assert seal(content) != seal(content, b"more")
    with pytest.raises(ValueError, match="no place"):
        seal(b"nothing here")


@pytest.mark.parametrize(
    "policy",
    [{}, {"height": "a", "width": 64}, {"height": 1 << 40, "width": 64}, {"height": 33, "width": 64}],
)
def test_a_canvas_that_cannot_be(tmp_path: Path, policy: dict[str, Any]) -> None:
    built = model()
    built.metadata_props[0].value = header_text(replace(HEAD, size_policy=policy))
    with pytest.raises(ModelFileError, match="damaged, its"):
        open_model(written(tmp_path / "a.onnx", built))


def test_texts_that_are_no_texts(tmp_path: Path) -> None:
    """Protobuf gives bytes where a text is not UTF-8."""
    path = written(tmp_path / "a.onnx", model(ours=False, outputs=["boxxes"]))
    path.write_bytes(path.read_bytes().replace(b"boxxes", b"\xff\xfe\xfdxes"))
    assert "another program" in refused(path)
