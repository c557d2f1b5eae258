"""A writing that fails, in whatever way, leaves what was there and nothing else."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import torch

from foveal.errors import DiskError
from foveal.files import append, free_name, write_atomically, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that is there already."""
    path = tmp_path / "file.txt"
    path.write_text("before")
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_folders_are_made_and_mode_follows_umask(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_text(path, "grün\n")
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert path.read_bytes() == b"gr\xc3\xbcn\n"
    assert path.stat().st_mode == plain.stat().st_mode


def test_the_one_before_may_be_kept(old: Path) -> None:
    kept = old.with_name("kept.txt")
    for content in (b"1", b"2"):
        write_atomically(old, lambda stream, content=content: stream.write(content), keep_as=kept)
    assert (old.read_bytes(), kept.read_bytes()) == (b"2", b"1")
    assert names(old.parent) == ["file.txt", "kept.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails(old: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(DiskError) as caught:
        write_bytes(old, b"after")
    assert str(caught.value).startswith(f"{old}: cannot be written ({os.strerror(code)}); ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5
    assert old.read_text() == "before"
    assert names(old.parent) == [old.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, RuntimeError])
def test_what_else_ends_the_writing_passes_through(old: Path, error: type[BaseException]) -> None:
    def write(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise error

    with pytest.raises(error):
        write_atomically(old, write)
    assert old.read_text() == "before"
    assert names(old.parent) == [old.name]


def test_full_disk(small_disk: Path) -> None:
    path = small_disk / "file"
    write_bytes(path, b"before")
    with pytest.raises(DiskError, match="No space left"):
        write_bytes(path, bytes(2 << 20))
    assert path.read_bytes() == b"before"
    assert names(small_disk) == ["file"]


def test_full_disk_inside_torch_save(old: Path) -> None:
    """torch's writer raises a RuntimeError of its own: it becomes a DiskError, too."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")

    def write(_: IO[bytes]) -> None:
        with open("/dev/full", "wb", buffering=0) as disk:
            torch.save({"w": torch.zeros(50)}, disk)

    with pytest.raises(DiskError, match="No space left"):
        write_atomically(old, write)
    assert old.read_text() == "before"
    assert names(old.parent) == [old.name]


def test_a_killed_writer_leaves_the_old_file_and_one_more_that_the_next_takes_over(old: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from foveal.files import write_atomically\n"
        "def write(stream):\n"
        "    stream.write(b'half'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), write)"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", program, str(old)], check=False)
        assert done.returncode == -9
        assert old.read_text() == "before"
        assert len(names(old.parent)) == 2
    write_text(old, "after")
    assert old.read_text() == "after"
    assert names(old.parent) == [old.name]


def test_a_file_in_the_place_of_a_folder(old: Path) -> None:
    with pytest.raises(DiskError, match="cannot be written"):
        write_text(old / "inside", "x")
    assert old.read_text() == "before"


@pytest.mark.parametrize("kind", ["folder", "full folder", "pipe"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "there"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        (path / "inside" if kind == "full folder" else path).mkdir(parents=True)
    with pytest.raises(DiskError, match="a folder or a device"):
        write_text(path, "x")
    assert not path.is_file()
    assert names(tmp_path) == ["there"]


def test_what_is_added_is_added_whole_or_not(tmp_path: Path) -> None:
    """Of a row that does not fit whole, a part would be a row of other numbers."""
    path = tmp_path / "rows" / "log.csv"
    append(path, b"step\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"log\.csv: cannot be written \(File too large\)"):
            append(path, b"120,0.5\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"step\n"
    append(path, b"120,0.5\n")
    assert path.read_bytes() == b"step\n120,0.5\n"


def test_adding_to_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "log"
    append(path, b"before\n")
    with pytest.raises(DiskError, match="No space left"):
        append(path, bytes(2 << 20))
    assert path.read_bytes() == b"before\n"


def test_free_name(tmp_path: Path) -> None:
    path = tmp_path / "run.d"
    assert free_name(path) == path
    path.mkdir()
    (tmp_path / "run-2.d").touch()
    assert free_name(path) == tmp_path / "run-3.d"
    assert free_name(path, Path.is_file) == path
