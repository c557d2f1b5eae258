"""``foveal web``: what is written, and what is refused before anything is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from foveal import cli
from foveal.errors import DataError, DiskError, ModelFileError, UsageError
from foveal.files import write_bytes
from foveal.page.wasm_runtime import SITE_NAMES
from foveal.verbs import web as verb


@pytest.fixture
def without_npm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something in the place of the runtime, which these tests do not run."""
    files = dict.fromkeys(SITE_NAMES.values(), b"runtime")
    monkeypatch.setattr(verb, "wasm_runtime", lambda before_fetching: files)


def test_the_site_holds_the_model_and_what_the_page_must_know(
    onnx_model: Path, without_npm: None, tmp_path: Path
) -> None:
    result = verb.web(onnx_model, tmp_path / "site", quiet=True)
    assert result.folder == tmp_path / "site"
    assert result.bytes == sum(path.stat().st_size for path in result.folder.rglob("*") if path.is_file())
    assert (result.folder / "model.onnx").read_bytes() == onnx_model.read_bytes()
    said = json.loads((result.folder / "model.json").read_text())
    assert said["sha256"] == hashlib.sha256(onnx_model.read_bytes()).hexdigest()
    assert said["bytes"] == onnx_model.stat().st_size
    assert said["canvas"] == {"height": 96, "width": 128}
    assert len(said["golden"]) == 50
    assert said["licence"] == "CC0-1.0"
    assert said["pad_value"] == 114
    assert len(said["classes"]) == len(said["ids"]) == 2
    assert "config" not in said
    assert not list(tmp_path.glob(".*"))


def test_what_is_there_is_not_touched(onnx_model: Path, without_npm: None, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")
    assert verb.web(onnx_model, tmp_path / "site", quiet=True).folder == tmp_path / "site-2"
    assert (tmp_path / "site" / "index.html").read_text() == "mine"


def test_samples_are_the_users_own(onnx_model: Path, without_npm: None, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "<b>.jpeg", "JPEG")
    folder = verb.web(onnx_model, tmp_path / "site", [tmp_path / "<b>.jpeg"], quiet=True).folder
    assert json.loads((folder / "samples.json").read_text()) == [
        {"file": "samples/1.jpg", "name": "<b>.jpeg"}
    ]
    assert (folder / "samples" / "1.jpg").read_bytes() == (tmp_path / "<b>.jpeg").read_bytes()


def test_what_cannot_be_a_site_is_refused(onnx_model: Path, without_npm: None, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with pytest.raises(UsageError, match="foveal export CHECKPOINT --to onnx"):
        verb.web(tmp_path / "best.safetensors", site)
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelFileError, match=r"bad\.onnx"):
        verb.web(tmp_path / "bad.onnx", site)
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"a\.png"):
        verb.web(onnx_model, site, [tmp_path / "a.png"])
    Image.new("RGB", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="PNG, JPEG or WebP"):
        verb.web(onnx_model, site, [tmp_path / "a.tif"])
    assert not site.exists()


@pytest.mark.parametrize("output", [".", "..", "/", "a/.."])
def test_a_site_needs_a_folder_of_its_own(
    onnx_model: Path, without_npm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="name a new one, such as -o site"):
        verb.web(onnx_model, Path(output), quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_a_model_too_large_for_a_browser_is_refused(
    onnx_model: Path, without_npm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "LARGEST_MODEL", 1 << 20)
    with pytest.raises(UsageError, match=r"over the 1 MB that a browser runs; export it with --fp16"):
        verb.web(onnx_model, tmp_path / "site", quiet=True)
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("export", "precision", "licence"),
    [({"precision": "fp16", "licence": "MIT"}, "fp16", "MIT"), ({}, "fp32", None), ("odd", "fp32", None)],
)
def test_precision_and_licence_are_those_of_the_file(
    onnx_model: Path, export: object, precision: str, licence: str | None
) -> None:
    file, content = verb.read_model(onnx_model)
    header = replace(file.header, facts={"export": export})
    said = verb.description(file._replace(header=header), content)
    assert (said["precision"], said["licence"]) == (precision, licence)


def test_a_full_disk_leaves_nothing(
    onnx_model: Path, without_npm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, content: bytes) -> None:
        if path.name == "model.onnx":
            raise DiskError(f"{path}: cannot be written (No space left on device)")
        write_bytes(path, content)

    monkeypatch.setattr(verb, "write_bytes", write)
    with pytest.raises(DiskError):
        verb.web(onnx_model, tmp_path / "out" / "site", quiet=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_without_npm_ends_with_one_line(
    onnx_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", ["foveal", "web", str(onnx_model), "-o", str(tmp_path / "site")])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("foveal: npm is not on this machine")
    assert not (tmp_path / "site").exists()
