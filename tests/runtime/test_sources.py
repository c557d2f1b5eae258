"""What a person names: files, folders, globs, addresses; what is missing, and what is not installed."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from foveal.errors import DataError, UsageError
from foveal.runtime.pictures import load_picture
from foveal.runtime.remote import is_remote, public_name, read_remote
from foveal.runtime.sources import find_pictures, find_sources, is_video


@pytest.fixture
def store() -> Iterator[Any]:
    """Files in memory, as far away as any server's: shop/a.png, shop/deep/b.JPG, shop/notes.txt, shop/c.mp4."""
    system = fsspec.filesystem("memory")
    file = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(file, "PNG")
    for name in ("a.png", "deep/b.JPG", "notes.txt", "c.mp4"):
        system.pipe(f"/shop/{name}", file.getvalue())
    yield system
    system.rm("/shop", recursive=True)


def test_addresses_of_folders_patterns_and_files(store: Any) -> None:
    a, b, c = (f"memory:///shop/{name}" for name in ("a.png", "deep/b.JPG", "c.mp4"))
    short = [name.replace(":///", "://") for name in (a, b, c)]

    def found(*sources: str) -> list[str]:
        return [name.replace(":///", "://") for name in find_sources(sources)]

    assert found("memory://shop") == [short[0], short[2], short[1]]
    assert found("memory://shop/*.png") == [short[0]]
    assert found("memory://shop/**/*.JPG") == [short[1]]
    assert found("memory://shop/a.png", "memory://shop/a.png") == ["memory://shop/a.png"]
    assert find_pictures(["memory://shop/*.png"])


def test_a_picture_from_an_address(store: Any) -> None:
    array = load_picture("memory://shop/a.png")
    assert (array == np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).all()
    with pytest.raises(DataError, match=r"^memory://shop/notes\.gif: no such file$"):
        load_picture("memory://shop/notes.gif")
    store.pipe("/shop/bad.png", b"no picture")
    with pytest.raises(DataError, match=r"^memory://shop/bad\.png: not a picture that can be read"):
        load_picture("memory://shop/bad.png")
    with pytest.raises(DataError, match="over the limit of 15 pixels"):
        load_picture("memory://shop/a.png", max_pixels=15)


def test_nothing_at_an_address(store: Any) -> None:
    with pytest.raises(DataError, match=r"memory://shop/\*\.bmp: no picture there"):
        find_sources(["memory://shop/*.bmp"])


def test_a_protocol_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", without)
    with pytest.raises(
        UsageError, match=r"^s3://bucket/a\.jpg: s3:// needs the package s3fs: pip install s3fs$"
    ):
        read_remote("s3://bucket/a.jpg")
    with pytest.raises(UsageError, match="https:// needs the package aiohttp: pip install aiohttp"):
        read_remote("https://there/a.jpg")


def test_a_protocol_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"^nosuch://a\.jpg: nosuch:// is no protocol that fsspec knows$"):
        find_sources(["nosuch://a.jpg"])


@pytest.mark.parametrize(
    ("name", "remote", "video"),
    [
        ("s3://b/a.jpg", True, False),
        ("https://there/clip.MP4?token=a.jpg", True, True),
        ("simplecache::s3://b/a.mov", True, True),
        ("C:/pictures/a.avi", False, True),
        ("a.jpg", False, False),
        ("odd://name", True, False),
        ("folder/a:b.png", False, False),
    ],
)
def test_addresses_and_videos_are_told_by_their_names(name: str, remote: bool, video: bool) -> None:
    assert is_remote(name) == remote
    assert is_video(name) == video


def test_folders_give_videos_too(tmp_path: Path) -> None:
    for name in ("b.png", "a.MOV", "c.txt", "deep/d.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [Path(name).name for name in find_sources([str(tmp_path)])]
    assert names == ["a.MOV", "b.png", "d.mkv"]
    assert [path.name for path in find_pictures([str(tmp_path)])] == ["b.png"]
    assert find_sources([str(tmp_path / "c.txt")]) == [str(tmp_path / "c.txt")]  # named itself: tried


def test_chains_of_addresses_come_back_whole(tmp_path: Path, store: Any) -> None:
    """What a pattern finds in an archive can be read again; names are those in the archive."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/a.png", store.cat("/shop/a.png"))
        archive.writestr("b.png", store.cat("/shop/a.png"))
    found = find_sources([f"zip://**/*.png::{tmp_path}/a.zip"])
    assert found == [f"zip://b.png::{tmp_path}/a.zip", f"zip://in/a.png::{tmp_path}/a.zip"]
    assert load_picture(found[1]).shape == (4, 4, 3)
    cached = find_sources(["simplecache::memory://shop/*.png"])
    assert cached == ["simplecache::memory:///shop/a.png"]
    assert load_picture(cached[0]).shape == (4, 4, 3)


def test_a_page_of_links_on_a_web_server(tmp_path: Path, store: Any) -> None:
    pytest.importorskip("aiohttp", reason="https:// needs it")
    (tmp_path / "a.png").write_bytes(store.cat("/shop/a.png"))
    (tmp_path / "notes.txt").write_text("no picture")
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        try:
            assert find_sources([f"{base}/"]) == find_sources([f"{base}/*.png"]) == [f"{base}/a.png"]
            assert load_picture(f"{base}/a.png?token=abc").shape == (4, 4, 3)
            with pytest.raises(DataError) as caught:
                load_picture(f"http://me:secret@127.0.0.1:{server.server_port}/gone.png?token=abc&size=3")
        finally:
            server.shutdown()
    said = str(caught.value)
    assert said.startswith(f"http://***@127.0.0.1:{server.server_port}/gone.png?token=***&size=3: ")
    assert "secret" not in said
    assert "abc" not in said


class QuietHandler(SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, format: str, *values: object) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:pass%40word@host/a.jpg", "https://***@host/a.jpg"),
        ("https://token@host/a.jpg", "https://***@host/a.jpg"),
        ("s3://KEY:SECRET@bucket/a.jpg", "s3://***@bucket/a.jpg"),
        (
            "https://b.host/x.jpg?X-Amz-Credential=K&X-Amz-Signature=ab12&width=3",
            "https://b.host/x.jpg?X-Amz-Credential=***&X-Amz-Signature=***&width=3",
        ),
        ("https://b.host/x.jpg?sv=1&sig=a%3D", "https://b.host/x.jpg?sv=1&sig=***"),
        ("simplecache::ftp://me:p@host/a.jpg", "simplecache::ftp://***@host/a.jpg"),
        ("abfs://container@account.host/a.jpg", "abfs://container@account.host/a.jpg"),
        ("github://owner:name@main/a.png", "github://owner:name@main/a.png"),
        ("https://host/a.jpg?design=3&keyword=cat", "https://host/a.jpg?design=3&keyword=cat"),
        ("folder/a?token=b.png", "folder/a?token=b.png"),
    ],
)
def test_passwords_and_signatures_are_not_shown(address: str, shown: str) -> None:
    assert public_name(address) == shown


def test_what_a_prediction_wrote_into_the_folder_is_no_source(tmp_path: Path) -> None:
    for name in (
        "a.png",
        "predictions/a.png",
        "predictions/settings.json",
        "mine/b.png",
        "mine/settings.json",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "predictions" / "settings.json").write_text('{"model": "abc", "thresholds": {}}')
    assert find_pictures([str(tmp_path)]) == [tmp_path / "a.png", tmp_path / "mine" / "b.png"]
    assert find_pictures([str(tmp_path / "predictions")]) == [
        tmp_path / "predictions" / "a.png"
    ]  # named itself
