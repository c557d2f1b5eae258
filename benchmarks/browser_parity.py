"""The browser's detections beside Python's: python benchmarks/browser_parity.py MODEL.onnx PICTURES [--pictures N]

Writes the site of ``foveal web`` into a temporary folder, opens it in Chromium, and gives it each picture three
times: as the very tensor that ONNX Runtime gets here, as a PNG of the decoded pixels, and, of a JPEG, the file
itself. Each of Python's detections is paired with the free one of its class that overlaps most with it.
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import io
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from foveal.page.files import CONTENT_TYPES
from foveal.runtime.model_file import open_model
from foveal.runtime.pictures import load_picture, place_picture
from foveal.runtime.predictor import Predictor
from foveal.runtime.sources import find_pictures
from foveal.types import Array
from foveal.verbs.web import web

START = """async () => {
  const worker = new Worker("./worker.js", { type: "module" });
  const waiting = new Map();
  worker.onmessage = ({ data }) => data.progress || waiting.get(data.id)(data);
  window.ask = question => new Promise(resolve => {
    waiting.set(question.id, resolve);
    worker.postMessage(question);
  });
  return (await window.ask({ start: true })).error ?? null;
}"""
ASK = """async ([kind, text]) => {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const question = kind === "tensor" ? { planes: bytes } : { picture: new Blob([bytes]) };
  return await window.ask({ id: 1, ...question });
}"""
SHOWN = 0.3
"""Score over which a detection counts as one that a person sees."""
NEAR = 0.95
"""IoU from which it is the same box."""
JPEG = (".jpg", ".jpeg")


class Found(NamedTuple):
    """Detections of a picture."""

    boxes: Array
    """[D, 4] xyxy."""
    scores: Array
    labels: Array


class Account:
    """What one way in gave over all pictures."""

    def __init__(self) -> None:
        self.pictures = self.detections = self.alone = self.shown = self.near = 0
        self.box = self.score = 0.0

    def add(self, expected: Found, found: Found) -> None:
        """Python's detections of a picture and the browser's, both best first."""
        self.pictures += 1
        self.detections += len(expected.scores)
        self.shown += int((expected.scores > SHOWN).sum())
        pairs = paired(expected, found)
        self.alone += len(expected.scores) + len(found.scores) - 2 * len(pairs)
        for a, b, overlap in pairs:
            self.box = max(self.box, float(np.abs(expected.boxes[a] - found.boxes[b]).max()))
            self.score = max(self.score, abs(float(expected.scores[a] - found.scores[b])))
            self.near += bool(expected.scores[a] > SHOWN and overlap >= NEAR)

    def line(self, name: str) -> str:
        """A row of the table."""
        near = f"{self.near} of {self.shown}"
        return (
            f"{name:<12} {self.pictures:>8} {self.detections:>10} {self.alone:>8} {self.box:>12.2e} "
            f"{self.score:>10.2e} {near:>16}"
        )


HEAD = (
    f"{'':<12} {'pictures':>8} {'detections':>10} {'unpaired':>8} {'box (pixels)':>12} {'score':>10} "
    f"{f'over {SHOWN}, near':>16}"
)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder")
    parser.add_argument("--pictures", type=int, default=50)
    choice = parser.parse_args()
    paths = spread(find_pictures([choice.folder]), choice.pictures)
    detect, predictor = open_model(choice.model).start(), Predictor(choice.model, score_thresh=0.0)
    accounts = {"same tensor": Account(), "same PNG": Account(), "JPEG file": Account()}
    with tempfile.TemporaryDirectory() as folder, opened(choice.model, Path(folder)) as page:
        for path, placed, there in same_tensors(page, choice.model, paths):
            with torch.inference_mode():
                here = detect(placed[None])
            count = int(here.count[0])
            accounts["same tensor"].add(
                Found(*(part[0, :count].numpy() for part in (here.boxes, here.scores, here.labels))), there
            )
            pixels = load_picture(path)
            seen = predictor(pixels)
            here = Found(seen.boxes.numpy(), seen.scores.numpy(), seen.labels.numpy())
            accounts["same PNG"].add(here, ask(page, "picture", png(pixels)))
            if path.suffix.lower() in JPEG:
                accounts["JPEG file"].add(here, ask(page, "picture", path.read_bytes()))
    print(HEAD)
    for name, account in accounts.items():
        if account.pictures:
            print(account.line(name))


def same_tensors(page: Any, model: Path, paths: list[Path]) -> Iterator[tuple[Path, torch.Tensor, Found]]:
    """Each picture, its tensor [3, H, W] uint8 on the model's canvas, and what the browser finds in that."""
    canvas = open_model(model).canvas
    for path in paths:
        placed, _ = place_picture(load_picture(path), canvas)
        yield path, placed, ask(page, "tensor", placed.contiguous().numpy().tobytes())


def spread(paths: list[Path], count: int) -> list[Path]:
    """So many of them, from the first to the last."""
    places = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[place] for place in places]


@contextmanager
def opened(model: Path, folder: Path) -> Iterator[Any]:
    """A page of the model's site in Chromium, with its worker started."""
    from playwright.sync_api import sync_playwright

    site = web(model, folder / "site", quiet=True).folder
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with served(site) as address, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{address}/letterbox.js")  # of the site, and no page that starts an engine of its own
        fault = page.evaluate(START)
        if fault is not None:
            raise SystemExit(fault)
        print(f"Chromium {browser.version}")
        yield page
        browser.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a plain file server on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        extensions_map = CONTENT_TYPES

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(page: Any, kind: str, content: bytes) -> Found:
    """What the browser finds in a tensor, or in a picture file, best first."""
    answer = page.evaluate(ASK, [kind, base64.b64encode(content).decode()])
    if "error" in answer:
        raise SystemExit(answer["error"])
    found = answer["found"] if kind == "tensor" else answer["found"]["detections"]
    return Found(
        np.array([row["box"] for row in found], np.float64).reshape(-1, 4),
        np.array([row["score"] for row in found], np.float64),
        np.array([row["label"] for row in found], np.int64),
    )


def png(pixels: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def paired(expected: Found, found: Found) -> list[tuple[int, int, float]]:
    """(place in expected, place in found, IoU) of each pair; what overlaps with nothing of its class has none."""
    overlaps = ious(expected.boxes, found.boxes)
    overlaps[expected.labels[:, None] != found.labels[None]] = 0
    pairs = []
    for place in range(len(expected.scores)):
        best = int(overlaps[place].argmax()) if overlaps.shape[1] else -1
        if best >= 0 and overlaps[place, best] > 0:
            pairs.append((place, best, float(overlaps[place, best])))
            overlaps[:, best] = 0
    return pairs


def ious(a: Array, b: Array) -> Array:
    """[A, B] of boxes [A, 4] and [B, 4]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inside = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    whole = areas[0][:, None] + areas[1][None] - inside
    return inside / np.maximum(whole, np.finfo(np.float64).tiny)


if __name__ == "__main__":
    main()
