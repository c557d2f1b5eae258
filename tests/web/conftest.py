"""The page in Chromium: a stand-in for the server, and a site that was written once."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from foveal.errors import UsageError
from foveal.page.files import CONTENT_TYPES, INDEX, page_files
from foveal.page.wasm_runtime import wasm_runtime

NO_PICTURE = b"no picture"
Answer = tuple[int, str, bytes]
"""Status, content type, body."""


@contextmanager
def served(
    answer: Callable[[str, str, bytes], Answer], headers: dict[str, str] | None = None
) -> Iterator[str]:
    """Address of a server on this machine that gives ``answer(method, path with query, body)``.

    headers: sent with every answer.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._give()

        def do_POST(self) -> None:
            self._give()

        def _give(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, content = answer(self.command, unquote(self.path.lstrip("/")), body)
            self.send_response(status)
            for name, value in {"Content-Type": kind, **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class StandIn:
    """What ``foveal serve`` would answer: the same detections for every picture, or what the test puts in line."""

    classes: list[str]
    detections: list[dict[str, Any]]
    width: int = 100
    height: int = 80
    thresholds: dict[str, float] = field(default_factory=dict)
    refusals: list[Answer] = field(default_factory=list)
    """Given first, one for each question."""
    starting: int = 0
    """Questions about the model that are refused before it is there."""
    asked: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def __call__(self, method: str, path: str, body: bytes) -> Answer:
        self.asked.append(f"{method} {path}")
        if method == "POST":
            self.bodies.append(body)
            if self.refusals:
                return self.refusals.pop(0)
            if NO_PICTURE in body:
                return said({"error": "not a picture that can be read"}, 415)
            picture = {"name": "x", "width": self.width, "height": self.height, "error": None}
            return said({"model": "m", "pictures": [{**picture, "detections": self.detections}]})
        if path == "v1/model" and self.starting:
            self.starting -= 1
            return said({"error": "the model is not ready yet"}, 503)
        if path == "v1/model":
            return said(self.model())
        file = page_files("server").get(path or INDEX)
        return (404, "text/plain", b"") if file is None else (200, file.content_type, file.content)

    def model(self) -> dict[str, Any]:
        return {
            "name": "stand-in", "classes": self.classes, "ids": [7 + place for place in range(len(self.classes))],
            "thresholds": self.thresholds, "score_thresh": 0.05,
            "canvas": {"height": 96, "width": 128}, "version": "0.1.0", "licence": None, "sha256": "ab" * 32,
            "backend": "none", "precision": "fp32",
        }  # fmt: skip


def said(content: Any, status: int = 200) -> Answer:
    return status, "application/json", json.dumps(content).encode()


def files_of(folder: Path) -> Callable[[str, str, bytes], Answer]:
    """A plain file server."""

    def answer(method: str, path: str, body: bytes) -> Answer:
        file = folder / (urlsplit(path).path or INDEX)
        if method != "GET" or not file.is_file():
            return 404, "text/plain", b""
        return 200, CONTENT_TYPES[file.suffix], file.read_bytes()

    return answer


@pytest.fixture(scope="session")
def onnx_model(onnx_export: Any) -> Path:
    """The tiny model of ``trained`` as an ONNX file."""
    path: Path = onnx_export.output
    return path


@pytest.fixture(scope="session")
def runtime() -> dict[str, bytes]:
    """The files of onnxruntime-web, brought into the user's cache where they are not there yet."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine, which brings the browser its runtime")
    try:
        return wasm_runtime()
    except UsageError as error:
        if "could not bring" not in str(error):
            raise
        pytest.skip(f"the browser's runtime is not in the cache and cannot be fetched: {error}")


@pytest.fixture(scope="session")
def site(onnx_model: Path, runtime: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``foveal web`` writes of that model."""
    from foveal.verbs.web import web

    return web(onnx_model, tmp_path_factory.mktemp("web") / "site", quiet=True).folder


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """A page that shows nothing and may import every script of the site."""
    files = page_files("browser", ())

    def answer(method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        file = files.get(path)
        return (404, "text/plain", b"") if file is None else (200, file.content_type, file.content)

    with served(answer) as address:
        page = browser.new_page()
        page.goto(address + "letterbox.js")
        yield page
        page.close()
