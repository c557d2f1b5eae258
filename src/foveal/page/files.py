"""The page's files: what ``foveal serve`` answers with, and what ``foveal web`` writes into a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

from PIL import Image

from foveal.runtime.palette import RGB, class_colour, text_colour

Engine = Literal["server", "browser"]
"""Where the model runs: behind ``v1/detect`` beside the page, or in the browser itself."""
INDEX = "index.html"
COLOURS = 256
"""Classes with a colour of their own on the page; further ones begin again."""
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
    ".txt": "text/plain; charset=utf-8",
}
ONLY: dict[str, Engine] = {
    "engine_server.js": "server",
    "engine_browser.js": "browser",
    "worker.js": "browser",
    "placing.js": "browser",
    "resize.js": "browser",
    "letterbox.js": "browser",
}
"""Files that the page needs with one engine alone."""
SAMPLE_SIZE, SAMPLE_CLASSES, SAMPLE_SEED = 320, 6, 5


class PageFile(NamedTuple):
    """One file as it is sent."""

    content: bytes
    content_type: str


class Sample(NamedTuple):
    """A picture that the page offers to try."""

    name: str
    """As a person reads it."""
    content: bytes
    suffix: str
    """``.png``, ``.jpg`` or ``.webp``: what every browser shows."""


def page_files(engine: Engine, samples: Sequence[Sample] | None = None) -> dict[str, PageFile]:
    """Path relative to the page's own address -> file; the page itself is ``index.html``.

    samples: pictures to try; None: three of generated shapes.
    """
    found = {}
    for entry in (files("foveal.page") / "static").iterdir():
        if ONLY.get(entry.name, engine) == engine:
            found[entry.name] = page_file(entry.name, entry.read_bytes())
    template = found[INDEX].content.decode()
    page = template.replace("{policy}", security_policy(engine)).replace("{engine}", engine)
    found[INDEX] = page_file(INDEX, page.encode())
    pictures = generated_samples() if samples is None else samples
    places = [f"samples/{place}{sample.suffix}" for place, sample in enumerate(pictures, start=1)]
    for path, sample in zip(places, pictures, strict=True):
        found[path] = page_file(path, sample.content)
    listed = [{"file": path, "name": sample.name} for path, sample in zip(places, pictures, strict=True)]
    found["samples.json"] = page_file("samples.json", json.dumps(listed).encode())
    found["palette.json"] = page_file("palette.json", json.dumps(palette()).encode())
    return found


def page_file(path: str, content: bytes) -> PageFile:
    """A file with the type that its name says."""
    return PageFile(content, CONTENT_TYPES[path[path.rindex(".") :]])


def security_policy(engine: Engine) -> str:
    """The Content-Security-Policy that the page is written for: its own files, and nothing else."""
    model = " 'wasm-unsafe-eval'; worker-src 'self'" if engine == "browser" else ""
    return (
        f"default-src 'none'; script-src 'self'{model}; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'"
    )


@cache
def palette() -> list[tuple[str, str]]:
    """Colour of each class by its index, and of letters on it: ``#rrggbb``."""
    colours = [class_colour(label) for label in range(COLOURS)]
    return [(_hexadecimal(colour), _hexadecimal(text_colour(colour))) for colour in colours]


@cache
def generated_samples() -> tuple[Sample, ...]:
    """Pictures of shapes, the same every time."""
    from foveal.data.shapes import make_shapes

    records = make_shapes(3, SAMPLE_CLASSES, SAMPLE_SIZE, SAMPLE_SEED, empty_share=0.0)
    samples = []
    for place in range(len(records)):
        file = io.BytesIO()
        Image.fromarray(records.load(place)).save(file, "PNG", optimize=True)
        samples.append(Sample(f"shapes-{place + 1}.png", file.getvalue(), ".png"))
    return tuple(samples)


def _hexadecimal(colour: RGB) -> str:
    return "#" + bytes(colour).hex()
