"""A save that fails loses nothing; a file that is damaged is noticed."""

import errno
import os
import random

import pytest
import torch

from foveal.engine.saving import (
    DAMAGED,
    LAST,
    PREVIOUS,
    load_resume_state,
    save_resume_state,
    save_sealed,
)
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


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path):
    """Also where the zip's own checksums do not look: in names, sizes, and between the tensors."""
    saved_twice(tmp_path)
    whole = (tmp_path / LAST).read_bytes()
    draw = random.Random(0)
    for number in range(300):
        damaged = bytearray(whole)
        if number < 200:
            damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        else:
            del damaged[draw.randrange(len(whole)) :]
        (tmp_path / LAST).write_bytes(damaged)
        assert load_resume_state(tmp_path, lambda line: None)["progress"]["step"] == 1
    (tmp_path / LAST).write_bytes(whole)
    assert load_resume_state(tmp_path, print)["progress"]["step"] == 2


def test_a_damaged_state_never_takes_the_place_of_the_whole_one(tmp_path, monkeypatch):
    """A kill inside the next save, between its two renames, must leave a state to go on from."""
    saved_twice(tmp_path)
    (tmp_path / LAST).write_bytes(b"no")
    load_resume_state(tmp_path, lambda line: None)
    assert (tmp_path / DAMAGED).read_bytes() == b"no"
    rename, calls = os.replace, []

    def killed(*names):
        calls.append(names)
        if names[1] == tmp_path / LAST:
            raise KeyboardInterrupt
        rename(*names)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_resume_state(tmp_path, state(3))
    assert calls
    assert load_resume_state(tmp_path, print)["progress"]["step"] == 1


def test_torch_reads_a_sealed_file(tmp_path):
    save_sealed(tmp_path / "a.pt", state(4))
    assert torch.load(tmp_path / "a.pt", weights_only=True)["progress"]["step"] == 4


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    saved_twice(tmp_path)

    def load(*args, **options):
        raise MemoryError

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(MemoryError):
        load_resume_state(tmp_path, print)
    assert (tmp_path / LAST).is_file()


def test_nothing_whole_left(tmp_path):
    with pytest.raises(UsageError, match="nothing to resume"):
        load_resume_state(tmp_path, print)
    saved_twice(tmp_path)
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"no")
    with pytest.raises(ModelFileError, match=r"last\.ckpt.*previous\.ckpt"):
        load_resume_state(tmp_path, lambda line: None)
