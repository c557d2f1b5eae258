"""A save that fails loses nothing; a file that is damaged is noticed."""

import errno
import os
import random

import pytest
import torch

from foveal.engine.saving import LAST, PREVIOUS, load_resume_state, save_resume_state
from foveal.errors import DiskError, ModelFileError, UsageError


def state(step):
    return {"progress": {"step": step}, "model": {"weight": torch.full((50,), float(step))}}


def saved_twice(folder):
    save_resume_state(folder, state(1))
    save_resume_state(folder, state(2))


def test_two_states_are_kept(tmp_path):
    saved_twice(tmp_path)
    save_resume_state(tmp_path, state(3))
    assert load_resume_state(tmp_path, print)["progress"]["step"] == 3
    (tmp_path / LAST).unlink()
    assert load_resume_state(tmp_path, print)["progress"]["step"] == 2
    assert sorted(path.name for path in (tmp_path / "resume").iterdir()) == ["previous.ckpt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_failing_disk_leaves_the_previous_state(tmp_path, monkeypatch, call, code):
    saved_twice(tmp_path)

    def fail(*args):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(DiskError, match=os.strerror(code)) as raised:
            save_resume_state(tmp_path, state(3))
    assert raised.value.exit_code == 5
    assert "\n" not in str(raised.value)
    assert load_resume_state(tmp_path, print)["progress"]["step"] == 2
    assert sorted(path.name for path in (tmp_path / "resume").iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_truncated_state_falls_back_with_one_line(tmp_path):
    saved_twice(tmp_path)
    last = tmp_path / LAST
    last.write_bytes(last.read_bytes()[:-200])
    lines = []
    assert load_resume_state(tmp_path, lines.append)["progress"]["step"] == 1
    assert len(lines) == 1
    assert str(last) in lines[0]
    assert "\n" not in lines[0]


def test_every_flipped_bit_is_noticed_or_harmless(tmp_path):
    save_resume_state(tmp_path, state(1))
    save_resume_state(tmp_path, state(2))
    last = tmp_path / LAST
    whole = last.read_bytes()
    draw = random.Random(0)
    fell_back = 0
    for _ in range(200):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        last.write_bytes(flipped)
        loaded = load_resume_state(tmp_path, lambda line: None)
        step = loaded["progress"]["step"]
        fell_back += step == 1
        assert torch.equal(loaded["model"]["weight"], torch.full((50,), float(step)))
    assert fell_back > 20


def test_nothing_whole_left(tmp_path):
    with pytest.raises(UsageError, match="nothing to resume"):
        load_resume_state(tmp_path, print)
    saved_twice(tmp_path)
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"no")
    with pytest.raises(ModelFileError, match=r"last\.ckpt.*previous\.ckpt"):
        load_resume_state(tmp_path, lambda line: None)
