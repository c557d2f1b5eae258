"""``foveal serve``: a model over HTTP, with a page to drop a picture on."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from foveal.errors import Interrupted, UsageError
from foveal.export.header import digest
from foveal.grammar import many
from foveal.runtime.predictor import Predictor
from foveal.runtime.tiling import TileSize
from foveal.verbs.predict import find_pictures

if TYPE_CHECKING:
    from foveal.serve.settings import ModelFacts

NEEDED = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
"""Module -> package of the extra ``serve``."""
RUN_FILES = ("best", "last")
"""Checkpoints that are called after their run's folder."""


def serve(
    model: str | Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    name: str | None = None,
    score_thresh: float | None = None,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "fp32",
    calibration: Path | None = None,
    tiles: TileSize | None = None,
    overlap: float | None = None,
    threads: int | None = None,
    batch: int = 4,
    wait_ms: float = 0.0,
    queue: int = 32,
    decoders: int = 2,
    cors: Sequence[str] = (),
    access_log: bool = False,
    allow_host: Sequence[str] = (),
) -> None:
    """Serve a checkpoint, ONNX or OpenVINO file until SIGTERM or Ctrl-C, which end it with ``Interrupted``.

    name: of the model, in answers and in v2 addresses; default: the file's, or its run's. score_thresh, device ...
    overlap: as for ``Predictor``. threads: of the network. batch, wait_ms: pictures that go through the network
    together at most, and how long the first waits for others. queue: pictures in work at one time; what is more is
    refused with 503. decoders: processes that decode pictures. cors: origins of pages that may ask from elsewhere.
    access_log: a line on stderr for every request. allow_host: names besides this machine's that a server which
    listens here alone answers to. UsageError where the address is taken.
    """
    check_installed()
    from foveal.serve.app import Application
    from foveal.serve.hosts import host_check, is_loopback
    from foveal.serve.http import bind, run, url
    from foveal.serve.settings import Address, Limits

    path = Path(model)
    name = model_name(path) if name is None else name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(f"name {name!r} does not fit into an address; use letters, digits, '.', '_' and '-'")
    check_origins(cors)
    limits = Limits(batch=batch, wait_ms=wait_ms, queue=queue, decoders=decoders)
    listener = bind(Address(host, port))
    address = listener.getsockname()[0]
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        examples = None if calibration is None else find_pictures([str(calibration)])
        predictor = Predictor(path, device, score_thresh, backend, precision, examples, tiles, overlap)
        known_host = host_check(address, allow_host)
        facts = facts_of(path, name, predictor)
        app = Application(predictor, facts, limits, tuple(cors), access_log, known_host)

        def started() -> None:
            height, width = predictor.canvas
            classes = many(len(predictor.classes.names), "class", "classes")
            what = f"{name} ({classes}, {height} x {width}, {predictor.backend} {predictor.precision})"
            _say(f"serving {what} on {url(listener)}; stop with Ctrl-C")
            if not is_loopback(address):
                _say(
                    f"whoever reaches this machine on port {listener.getsockname()[1]} can use it ({host}); "
                    "there is no password: see docs/serve.md for a proxy"
                )

        number = run(app, listener, limits, started)
    finally:
        listener.close()
    word = signal.Signals(number).name if number else "its own end"
    raise Interrupted(f"stopped by {word}", number)


def model_name(path: Path) -> str:
    """What a model is called where nobody says: its file, or its run's folder, in letters that fit an address."""
    own = path.resolve().parent.name if path.stem in RUN_FILES else path.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", own).strip(".-_")[:100] or "model"


def facts_of(path: Path, name: str, predictor: Predictor) -> ModelFacts:
    """What is said of it."""
    from foveal.serve.settings import ModelFacts

    header = predictor.header
    export = header.facts.get("export")
    licence = (export if isinstance(export, dict) else header.facts).get("licence")
    return ModelFacts(
        name=name,
        classes=header.classes.names,
        ids=tuple(header.classes.ids),
        thresholds=predictor.thresholds,
        score_thresh=predictor.postprocessor.score_thresh,
        canvas=predictor.canvas,
        version=header.version,
        licence=None if licence is None else str(licence),
        sha256=digest(path),
        backend=predictor.backend,
        precision=predictor.precision,
    )


def check_origins(origins: Sequence[str]) -> None:
    """UsageError for what no browser sends as its ``Origin``: it would never match."""
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#]+", origin):
            raise UsageError(f"--cors {origin}: an origin is like https://shop.example, without a path")


def check_installed() -> None:
    """UsageError where the extra ``serve`` is not installed, or the system cannot fork."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise UsageError(f"foveal serve needs {', '.join(missing)}: pip install 'foveal[serve]'")
    if not hasattr(os, "fork"):
        raise UsageError("foveal serve runs on Linux and macOS; on Windows, run it in WSL")


def _say(line: str) -> None:
    print(f"foveal: {line}", file=sys.stderr, flush=True)
