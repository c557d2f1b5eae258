"""onnxruntime-web from npm: pinned, checked, kept, and one line where it cannot be had."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
from pathlib import Path

import pytest

from foveal.errors import ModelFileError, UsageError
from foveal.page import wasm_runtime as room

CONTENTS = {name: name.encode() * 10 for name in room.SHA256}


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, and a package of ours in the place of the real one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        room, "SHA256", {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    )
    return folder


def install(folder: Path, script: str) -> None:
    """An npm that runs the lines of a shell script."""
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_it_is_brought_once_and_then_kept(npm: Path, tmp_path: Path) -> None:
    package = archive(tmp_path / "package.tgz", CONTENTS)
    install(npm, f'/bin/echo "$@" >> {tmp_path}/calls; /bin/cp {package} "$4/"')
    found = room.wasm_runtime()
    assert found["onnxruntime.wasm"] == CONTENTS["ort-wasm-simd-threaded.wasm"]
    assert b"Microsoft" in found["LICENSE.txt"]
    assert sorted(path.name for path in room.cache_folder().iterdir()) == sorted(CONTENTS)
    assert str(room.cache_folder()).startswith(str(tmp_path / "cache"))
    install(npm, "exit 1")
    assert room.wasm_runtime() == found
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 1
    assert f"{room.PACKAGE}@{room.VERSION}" in calls[0]
    assert "--ignore-scripts" in calls[0]


def test_a_cache_that_cannot_be_written_is_done_without(npm: Path, tmp_path: Path) -> None:
    install(npm, f'/bin/cp {archive(tmp_path / "package.tgz", CONTENTS)} "$4/"')
    (tmp_path / "cache").write_text("a file in the folder's place")
    assert room.wasm_runtime()["onnxruntime.wasm"] == CONTENTS["ort-wasm-simd-threaded.wasm"]
    assert (tmp_path / "cache").read_text() == "a file in the folder's place"


def test_it_is_said_before_npm_is_called_and_not_when_it_is_not(npm: Path, tmp_path: Path) -> None:
    install(npm, f'/bin/cp {archive(tmp_path / "package.tgz", CONTENTS)} "$4/"')
    said: list[bool] = []
    for _ in range(2):
        room.wasm_runtime(before_fetching=lambda: said.append(room.cache_folder().exists()))
    assert said == [False]


def test_a_damaged_cache_is_brought_anew(npm: Path, tmp_path: Path) -> None:
    package = archive(tmp_path / "package.tgz", CONTENTS)
    install(npm, f'/bin/cp {package} "$4/"')
    found = room.wasm_runtime()
    (room.cache_folder() / "ort-wasm-simd-threaded.wasm").write_bytes(b"something else")
    assert room.wasm_runtime() == found


def test_other_files_than_expected_are_refused_and_not_kept(npm: Path, tmp_path: Path) -> None:
    package = archive(tmp_path / "package.tgz", {**CONTENTS, "ort-wasm-simd-threaded.wasm": b"evil"})
    install(npm, f'/bin/cp {package} "$4/"')
    with pytest.raises(ModelFileError, match=r"another SHA-256 .* not used"):
        room.wasm_runtime()
    assert not room.cache_folder().exists()


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_an_archive_that_is_none(npm: Path, tmp_path: Path, content: bytes | None) -> None:
    package = tmp_path / "package.tgz"
    archive(package, {}) if content is None else package.write_bytes(content)
    install(npm, f'/bin/cp {package} "$4/"')
    with pytest.raises(ModelFileError, match="cannot be read"):
        room.wasm_runtime()


def test_without_npm_one_line_says_what_to_do(npm: Path) -> None:
    with pytest.raises(UsageError) as caught:
        room.wasm_runtime()
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert "install Node.js" in str(caught.value)
    assert str(room.cache_folder()) in str(caught.value)


def test_npm_without_a_network_says_so_in_its_words(npm: Path) -> None:
    install(npm, "echo 'npm error code ENOTFOUND' >&2; echo 'npm error network no way out' >&2; exit 1")
    with pytest.raises(UsageError, match=r"could not bring .*: code ENOTFOUND; network no way out") as caught:
        room.wasm_runtime()
    assert "\n" not in str(caught.value)


def test_the_pin_names_no_address() -> None:
    text = Path(room.__file__).read_text(encoding="utf-8")
    assert "://" not in text
    assert ".org" not in text
