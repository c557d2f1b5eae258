"""Files of weights are read without running anything in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from foveal.checkpoint.format import save_checkpoint
from foveal.checkpoint.header import CheckpointHeader
from foveal.checkpoint.weight_file import load_weight_file
from foveal.errors import ModelFileError
from foveal.types import ClassNames

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(2)}


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def assert_state(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_weight_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_safetensors(tmp_path: Path) -> None:
    safetensors.torch.save_file(STATE, tmp_path / "w.safetensors")
    assert_state(load_weight_file(tmp_path / "w.safetensors"))


def test_backbone_of_a_checkpoint(tmp_path: Path) -> None:
    state = {f"backbone.{name}": value for name, value in STATE.items()} | {"neck.weight": torch.ones(1)}
    header = CheckpointHeader({}, ClassNames(("a",), (0,)), {})
    save_checkpoint(tmp_path / "best.safetensors", state, header)
    assert_state(load_weight_file(tmp_path / "best.safetensors"))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_torch_file(tmp_path: Path, wrapper: str | None, legacy: bool) -> None:
    path = tmp_path / "w.pth"
    content = STATE if wrapper is None else {wrapper: STATE, "epoch": 3}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert_state(load_weight_file(path))


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_torch_file_never_runs(tmp_path: Path, legacy: bool) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "w.pt"
    torch.save({"w": Trap(trace)}, path, _use_new_zipfile_serialization=not legacy)
    assert "may run code" in refusal(path)
    assert not trace.exists()


def test_truncated_files(tmp_path: Path) -> None:
    for name, save in (("w.pth", torch.save), ("w.safetensors", safetensors.torch.save_file)):
        path = tmp_path / name
        save(STATE, path)
        whole = path.read_bytes()
        for length in (0, 3, 9, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            refusal(path)


def test_other_files(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    assert "a text file" in refusal(tmp_path / "text.pth")
    (tmp_path / "w.npz").write_bytes(b"PK\x03\x04")
    assert ".safetensors" in refusal(tmp_path / "w.npz")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "no named tensors" in refusal(tmp_path / "list.pth")
    (tmp_path / "folder.pth").mkdir()
    refusal(tmp_path / "folder.pth")
