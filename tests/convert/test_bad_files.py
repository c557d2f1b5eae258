"""Files that are no RetinaNet of a known kind: one line that says what and what to do; nothing in them is run."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tests.convert.conftest import plain_state
from torch import Tensor, nn

from foveal.convert.reading import read_source
from foveal.convert.safe_pickle import read_pickle
from foveal.errors import ModelFileError
from foveal.verbs.convert import convert


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def refused(path: Path, said: str) -> None:
    """``convert`` fails with one line that names the file and says this, and leaves nothing behind."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(ModelFileError, match=said) as caught:
        convert(path, path.parent / "out.safetensors")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    assert sorted(path.parent.iterdir()) == before


@pytest.mark.parametrize("name", ["weights.pkl", "weights.pth"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_in_a_pickle_is_not_run(tmp_path: Path, name: str, protocol: int) -> None:
    trap = tmp_path / "trap"
    bombs = {"model": {"conv1.weight": Bomb(trap)}}
    if name.endswith("pth"):
        torch.save(bombs, tmp_path / name, pickle_protocol=protocol)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(bombs, protocol=protocol))
    # torch reads no protocol but 2 without running it, and does not come to the name in others.
    named = name.endswith("pkl") or protocol == 2
    refused(tmp_path / name, r"refused, it asks for posix\.mkdir" if named else "refused")
    assert not trap.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_name_that_lies_about_its_content(tmp_path: Path, legacy: bool) -> None:
    """torch goes by such a name, and then fails in a way of its own."""
    trap, path = tmp_path / "trap", tmp_path / "weights.safetensors"
    torch.save({"model": Bomb(trap)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelFileError, match=r"refused, it asks for posix\.mkdir"):
        convert(path, tmp_path / "out.safetensors")
    assert not trap.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(3, 3, 1), tmp_path / "model.pt")
    refused(tmp_path / "model.pt", r"asks for torch\.nn\.modules\.conv\.Conv2d.*save the state_dict alone")


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (np.array([os.getcwd], dtype=object), "array of type"),
        (Path("x"), "pathlib"),
        (np.float32, "numpy.float32"),
    ],
)
def test_only_plain_values_and_arrays_are_read(tmp_path: Path, what: Any, named: str) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": {"a": what}}))
    refused(tmp_path / "a.pkl", named)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_through_every_protocol(tmp_path: Path, protocol: int) -> None:
    arrays = {
        "f": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "half": np.ones((), np.float16),
        "empty": np.zeros((0, 4), np.float32),
        "slice": np.arange(12, dtype=np.int64)[::3],
    }
    content = OrderedDict(model=arrays, author="x", scalar=np.float64(2.5), nested=[1, (2, None)])
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    read = read_pickle(tmp_path / "a.pkl")
    assert read["author"] == "x"
    assert read["scalar"] == 2.5
    assert read["nested"] == [1, (2, None)]
    for name, array in arrays.items():
        np.testing.assert_array_equal(read["model"][name], array)
        assert read["model"][name].dtype == array.dtype.newbyteorder("=")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_pickle_is_one_error(tmp_path: Path, data: st.DataObject) -> None:
    whole = pickle.dumps({"model": {"a": np.arange(8.0), "b": np.ones((2, 2))}}, protocol=2)
    place = data.draw(st.integers(1, len(whole) - 1))
    broken = bytearray(whole[: data.draw(st.sampled_from([place, len(whole)]))])
    if len(broken) > place:
        broken[place] = data.draw(st.integers(0, 255))
    (tmp_path / "a.pkl").write_bytes(broken)
    said = ""
    try:
        read_pickle(tmp_path / "a.pkl")
    except ModelFileError as error:
        said = str(error)
    assert "\n" not in said


@pytest.mark.parametrize(
    "code",
    [
        b"\x80\x02}q\x00cnumpy\ndtype\n}X\x04\x00\x00\x00codeK\x01sb.",  # sets an attribute of a stand-in
        b"\x80\x02ccollections\nOrderedDict\n}X\x07\x00\x00\x00__doc__K\x01sb.",
        b"\x80\x02P1\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
        b"(ios\nmkdir\nX\x01\x00\x00\x00a\no.",
        b"\x80\x02r\xff\xff\xff\xff.",
    ],
)
def test_made_up_pickles(tmp_path: Path, code: bytes) -> None:
    (tmp_path / "a.pkl").write_bytes(code)
    with pytest.raises(ModelFileError):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("kind", ["weights.pth", "weights.safetensors", "weights.pkl"])
def test_a_truncated_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    state = {"conv1.weight": torch.ones(64, 3, 7, 7)}
    if kind.endswith("pth"):
        torch.save(state, path)
    elif kind.endswith("pkl"):
        path.write_bytes(pickle.dumps({k: v.numpy() for k, v in state.items()}))
    else:
        save_file(state, path)
    path.write_bytes(path.read_bytes()[:20_000])
    refused(path, "damaged")


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").write_bytes(b"")
    refused(tmp_path / "empty.pth", "an empty file")
    (tmp_path / "text.pkl").write_text("model:\n")
    refused(tmp_path / "text.pkl", "a text file")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    refused(tmp_path / "none.pth", "holds no named tensors")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", "a folder")
    refused(tmp_path / "absent.pth", "no such file")


def test_an_image_classifier(tmp_path: Path) -> None:
    state = {
        "conv1.weight": torch.ones(64, 3, 7, 7),
        "fc.weight": torch.ones(10, 512),
        "fc.bias": torch.ones(10),
    }
    torch.save(state, tmp_path / "resnet18.pth")
    refused(tmp_path / "resnet18.pth", "an image classifier .* name it in backbone.params.weights")


def test_another_detector(tmp_path: Path) -> None:
    torch.save(
        {"backbone.conv1.weight": torch.ones(4, 3, 3, 3), "rpn.conv.weight": torch.ones(1)},
        tmp_path / "a.pth",
    )
    refused(
        tmp_path / "a.pth",
        "no RetinaNet of a kind that is known .2 tensors, the first is backbone.conv1.weight",
    )


Change = Callable[[dict[str, Tensor]], object]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update({"mask.weight": torch.ones(2)}), r"mask\.weight \[2\] has no place in yhenon"),
        (lambda s: s.pop("fpn.P4_2.bias"), r"no weight for neck\.output\.1\.0\.bias of a RetinaNet on resnet18"),
        (lambda s: s.pop("bn1.running_mean"), r"no weight for backbone\.body\.bn1\.running_mean"),
        (lambda s: s.pop("layer3.1.conv1.weight"), r"no weight for backbone\.body\.layer3\.1\.conv1\.weight"),
        (lambda s: s.update({"conv1.weight": torch.ones(64, 4, 7, 7)}), r"conv1\.weight is \[64, 4, 7, 7\], and "),
        (lambda s: s["fpn.P6.weight"].fill_(float("nan")), r"fpn\.P6\.weight holds NaN or infinity"),
        (
            lambda s: [s.pop(name) for name in list(s) if name.startswith("layer4.1")],
            r"2-2-2-1 basic blocks and is none of resnet18, .* any timm backbone",
        ),
        (
            lambda s: s.update({"layer5.0.conv1.weight": torch.ones(1)}),
            r"layer5\.0\.conv1\.weight \[1\] has no place",
        ),
        (
            lambda s: s.update({f"regressionModel.output.{n}": t[:24] for n, t in output(s).items()}),
            r"24 and 27 rows, which is no 4 and K for each of A anchors",
        ),
        (
            lambda s: [fewer_anchors(s, kind, columns) for kind, columns in KINDS],
            r"has 3 anchors per cell, and the settings of yhenon give 9",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, change: Change, said: str) -> None:
    state = plain_state()
    change(state)
    torch.save(state, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", said)


KINDS = (("classification", 3), ("regression", 4))


def fewer_anchors(state: dict[str, Tensor], kind: str, columns: int) -> None:
    """Three of the nine of a cell."""
    state.update({f"{kind}Model.output.{n}": t[: 3 * columns] for n, t in output(state, kind).items()})


def output(state: dict[str, Tensor], kind: str = "regression") -> dict[str, Tensor]:
    """Output layer of a subnet: weight and bias."""
    return {name: state[f"{kind}Model.output.{name}"] for name in ("weight", "bias")}


def test_the_wrong_program(tmp_path: Path) -> None:
    torch.save(plain_state(), tmp_path / "a.pth")
    with pytest.raises(ModelFileError, match="has no place in mmdetection's RetinaNet"):
        convert(tmp_path / "a.pth", source="mmdetection")


def test_reading_keeps_the_names(tmp_path: Path) -> None:
    """Wrappers in front of every name go; one that is only in front of some stays."""
    torch.save({"module.model.a": torch.ones(1), "module.model.b": torch.ones(1)}, tmp_path / "a.pth")
    assert set(read_source(tmp_path / "a.pth").tensors) == {"a", "b"}
    torch.save({"state_dict": {"model.a": torch.ones(1), "b": torch.ones(1)}, "epoch": 1}, tmp_path / "b.pth")
    source = read_source(tmp_path / "b.pth")
    assert set(source.tensors) == {"model.a", "b"}
    assert source.facts["epoch"] == 1
