"""Checkpoints come back as they were, and nothing else is taken for one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from foveal.checkpoint import format as checkpoint_format
from foveal.checkpoint.format import is_checkpoint, load_checkpoint, save_checkpoint
from foveal.checkpoint.header import CheckpointHeader
from foveal.checkpoint.weight_file import load_weight_file
from foveal.errors import DiskError, ModelFileError
from foveal.types import ClassNames
from foveal.version import __version__

HEADER = CheckpointHeader(
    config={"model": {"architecture": {"backbone": {"name": "resnet18"}}}, "training": {"epochs": None}},
    classes=ClassNames(('red "cell"', "плитка", "猫"), (1, 7, 90)),
    size_policy={"height": 512, "width": 640, "pad_value": 114, "antialias": True},
    thresholds={"猫": 0.35},
    facts={"epoch": 3, "AP": 0.53},
)


def make_state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "head.weight": torch.randn(8, 4, 3, 3, generator=generator),
        "head.bias": torch.randn(8, generator=generator),
        "steps": torch.tensor(12),
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "best.safetensors"
    save_checkpoint(path, make_state(), HEADER)
    return path


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True)


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert caught.value.exit_code == 4
    return message


class TestRoundTrip:
    def test_state_and_header(self, saved: Path) -> None:
        checkpoint = load_checkpoint(saved)
        assert_same(checkpoint.state, make_state())
        assert checkpoint.header == HEADER
        assert checkpoint.header.version == __version__
        assert is_checkpoint(saved)

    def test_other_readers_open_it(self, saved: Path) -> None:
        assert_same(safetensors.torch.load_file(saved), make_state())
        with safe_open(saved, framework="pt") as file:
            assert json.loads(file.metadata()["foveal"])["classes"]["ids"] == [1, 7, 90]

    def test_layouts_types_and_shared_tensors(self, tmp_path: Path) -> None:
        base = torch.arange(24.0).reshape(1, 2, 3, 4)
        state = {
            "channels_last": base.to(memory_format=torch.channels_last),
            "sliced": base[..., ::2],
            "twin": base,
            "twin_again": base,
            "half": base.bfloat16(),
            "empty": torch.empty(0, 3),
            "parameter": torch.nn.Parameter(base.clone()),
        }
        save_checkpoint(tmp_path / "a.safetensors", state, HEADER)
        assert_same(
            load_checkpoint(tmp_path / "a.safetensors").state, {k: v.detach() for k, v in state.items()}
        )

    def test_nan_weights_stay_and_nan_facts_become_null(self, tmp_path: Path) -> None:
        state = {"w": torch.tensor([float("nan"), float("inf"), -0.0])}
        header = CheckpointHeader(
            {}, ClassNames(("a",), (0,)), {}, facts={"loss": float("nan"), "step": torch.tensor(3)}
        )
        save_checkpoint(tmp_path / "a.safetensors", state, header)
        checkpoint = load_checkpoint(tmp_path / "a.safetensors")
        assert_same(checkpoint.state, state)
        assert checkpoint.header.facts == {"loss": None, "step": 3}

    def test_folder_is_made_and_mode_follows_umask(self, tmp_path: Path) -> None:
        path = tmp_path / "runs" / "one" / "best.safetensors"
        save_checkpoint(path, make_state(), HEADER)
        plain = tmp_path / "plain"
        plain.write_bytes(b"")
        assert path.stat().st_mode == plain.stat().st_mode

    def test_header_text_that_looks_like_the_digest(self, tmp_path: Path) -> None:
        header = CheckpointHeader({"note": '"sha256":"' + "0" * 64 + '"'}, ClassNames((), ()), {})
        save_checkpoint(tmp_path / "a.safetensors", {'"sha256":"' + "0" * 64 + '"': torch.ones(1)}, header)
        assert load_checkpoint(tmp_path / "a.safetensors").header.config == header.config


class TestDamage:
    def test_every_flipped_bit_is_seen(self, saved: Path) -> None:
        whole = saved.read_bytes()
        generator = random.Random(0)
        header = 8 + int.from_bytes(whole[:8], "little")
        places = [generator.randrange(len(whole) * 8) for _ in range(200)]
        places += range(0, min(header, 60) * 8)
        for place in places:
            flipped = bytearray(whole)
            flipped[place // 8] ^= 1 << place % 8
            saved.write_bytes(flipped)
            refusal(saved)
        saved.write_bytes(whole)
        load_checkpoint(saved)

    @pytest.mark.parametrize("key", [b'"__metadata__"', b'"foveal"', b'"sha256"'])
    def test_a_renamed_entry_does_not_make_it_another_programs(self, saved: Path, key: bytes) -> None:
        whole = saved.read_bytes()
        place = whole.index(key) + 3
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert "damaged" in refusal(saved)
        with pytest.raises(ModelFileError, match="damaged"):
            load_weight_file(saved)

    def test_every_truncation_is_seen(self, saved: Path) -> None:
        whole = saved.read_bytes()
        header = 8 + int.from_bytes(whole[:8], "little")
        for length in [
            0,
            1,
            7,
            8,
            9,
            10,
            100,
            header - 1,
            header,
            header + 1,
            len(whole) // 2,
            len(whole) - 1,
        ]:
            saved.write_bytes(whole[:length])
            refusal(saved)

    def test_appended_bytes_are_seen(self, saved: Path) -> None:
        saved.write_bytes(saved.read_bytes() + b"\0")
        assert "damaged" in refusal(saved)

    def test_exchanged_weights_are_seen(self, saved: Path) -> None:
        with safe_open(saved, framework="pt") as file:
            metadata = file.metadata()
        saved.write_bytes(safetensors.torch.save({"w": torch.ones(3)}, metadata))
        assert "SHA-256" in refusal(saved)


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}, protocol=4))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")


class TestOtherFiles:
    @pytest.mark.parametrize(
        ("name", "write", "words"),
        [
            ("a.safetensors", lambda p: p.write_bytes(b""), "an empty file"),
            ("a.pth", lambda p: torch.save({"w": torch.ones(2)}, p), "PyTorch"),
            ("a.pkl", write_pickle, "a pickle"),
            ("a.keras", write_zip, "a zip archive"),
            ("a.h5", lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90)), "HDF5"),
            ("a.onnx", lambda p: p.write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(90)), "an ONNX model"),
            ("model", lambda p: p.write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(90)), "an ONNX model"),
            ("a.yaml", lambda p: p.write_text("model: é\n" * 900), "a text file"),
            (
                "a.safetensors",
                lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n"),
                "git lfs pull",
            ),
            ("a.png", lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n"), "a picture"),
            ("a.bin", lambda p: p.write_bytes(bytes(range(200, 256)) * 9), "not a checkpoint"),
        ],
    )
    def test_named_for_what_it_is(
        self, tmp_path: Path, name: str, write: Callable[[Path], None], words: str
    ) -> None:
        write(tmp_path / name)
        assert words in refusal(tmp_path / name)

    def test_missing_and_folder(self, tmp_path: Path) -> None:
        assert "no such file" in refusal(tmp_path / "none.safetensors")
        assert "a folder" in refusal(tmp_path)

    def test_plain_weights(self, tmp_path: Path) -> None:
        path = tmp_path / "w.safetensors"
        safetensors.torch.save_file({"w": torch.ones(3)}, path)
        assert "plain weights" in refusal(path)
        assert not is_checkpoint(path)

    def test_newer_format(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("foveal.checkpoint.header.FORMAT_VERSION", 2)
        save_checkpoint(saved, make_state(), HEADER)
        monkeypatch.undo()
        assert "upgrade foveal" in refusal(saved)

    def test_header_over_the_cap_is_not_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checkpoint_format, "HEADER_LIMIT", 100)
        with pytest.raises(ValueError, match="over 100 bytes"):
            save_checkpoint(tmp_path / "a.safetensors", make_state(), HEADER)
        assert list(tmp_path.iterdir()) == []

    def test_header_over_the_cap_is_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a.safetensors"
        path.write_bytes((1 << 40).to_bytes(8, "little") + b'{"__metadata__":{}}')
        assert "damaged" in refusal(path)

    @pytest.mark.parametrize(
        "header",
        [
            "[" * 100_000,
            "null",
            "{}",
            '{"format_version": 1, "version": "1", "classes": 3}',
            '{"format_version": 1, "version": "1", "classes": {"names": ["a", "a"], "ids": [0, 1]}}',
            '{"format_version": 1, "version": "1", "classes": {"names": [[]], "ids": [0]}}',
            '{"format_version": Infinity, "version": "1", "classes": {"names": [], "ids": []}}',
            '{"format_version": 1, "version": "1", "classes": {"names": ["a"], "ids": [1]}, "config": {}, '
            '"size_policy": {}, "thresholds": {"a": NaN}, "facts": {}}',
        ],
    )
    def test_hostile_header(self, tmp_path: Path, header: str) -> None:
        path = tmp_path / "a.safetensors"
        content = bytearray(
            safetensors.torch.save({"w": torch.ones(1)}, {"foveal": header, "sha256": "0" * 64})
        )
        digest = hashlib.sha256(content).hexdigest().encode()
        path.write_bytes(content.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + digest))
        assert "its Foveal header cannot be read" in refusal(path)


def test_failed_save_keeps_the_previous(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = saved.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskError, match="No space left"):
        save_checkpoint(saved, {"w": torch.zeros(9)}, HEADER)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]
