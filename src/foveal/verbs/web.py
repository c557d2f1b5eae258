"""``foveal web``: a folder of plain files that runs a model in the browser."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from foveal.data.decode import picture_size
from foveal.errors import DataError, DiskError, UsageError
from foveal.files import free_name, write_bytes
from foveal.page.files import PageFile, Sample, page_file, page_files
from foveal.page.wasm_runtime import PACKAGE, VERSION, wasm_runtime
from foveal.runtime.exported import ExportedFile
from foveal.runtime.model_file import canvas_of, model_of, open_model
from foveal.runtime.predictor import DEFAULT_THRESHOLD
from foveal.runtime.tiling import stored_tiling

MODEL = "model.onnx"
LARGEST_MODEL = 1 << 30
"""Bytes. A page has 4 GB of WebAssembly memory, for the weights, their copies and all that is made from them."""
SHOWN_BY_BROWSERS = {".png": ".png", ".jpg": ".jpg", ".jpeg": ".jpg", ".webp": ".webp"}


class WebResult(NamedTuple):
    """What ``web`` wrote."""

    folder: Path
    bytes: int
    """Of all its files."""


def web(
    model: Path, output: Path = Path("site"), samples: Sequence[Path] = (), quiet: bool = False
) -> WebResult:
    """Write the page of ``foveal serve`` as a static site that runs ``model`` in the browser.

    model: an ONNX file of ``foveal export``. samples: pictures that the page offers to try; default: generated
    shapes. An ``output`` that exists is not touched: a numbered one is made beside it.
    UsageError where the file cannot run there, or npm cannot bring the runtime; ModelFileError where the model is
    refused; DataError for a sample that is no picture.
    """
    console = Console(quiet=quiet, stderr=True)
    if output.name in ("", ".."):
        raise UsageError(f"{output}: the site needs a folder of its own; name a new one, such as -o site")
    file, content = read_model(model)
    if stored_tiling(file.header) is not None:
        console.print(
            f"{model} was trained on tiles, and the page looks at pictures whole: small objects of large pictures "
            "are missed there, and found by foveal serve",
            style="yellow", soft_wrap=True, markup=False,
        )  # fmt: skip
    chosen = [read_sample(path) for path in samples] or None
    site = page_files("browser", chosen) | runtime_files(console)
    site[MODEL] = page_file(MODEL, content)
    site["model.json"] = page_file("model.json", json.dumps(description(file, content), indent=1).encode())
    folder = free_name(output)
    write_site(folder, site)
    size = sum(len(entry.content) for entry in site.values())
    console.print(
        f"{len(site)} files, {size / 1e6:.0f} MB -> {folder}; look at it on http://127.0.0.1:8000 after "
        f"python3 -m http.server --bind 127.0.0.1 --directory {shlex.quote(str(folder))}",
        soft_wrap=True, markup=False,
    )  # fmt: skip
    return WebResult(folder, size)


def read_model(path: Path) -> tuple[ExportedFile, bytes]:
    """An ONNX file of ours, and its bytes. UsageError where browsers cannot run it."""
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path}: the page runs ONNX files; foveal export CHECKPOINT --to onnx writes one")
    file = open_model(path).content
    assert isinstance(file, ExportedFile)
    assert isinstance(file.graph, bytes)
    if len(file.graph) > LARGEST_MODEL:
        raise UsageError(
            f"{path}: {len(file.graph) >> 20} MB, over the {LARGEST_MODEL >> 20} MB that a browser runs; "
            "export it with --fp16, or take foveal serve"
        )
    return file, file.graph


def runtime_files(console: Console) -> dict[str, PageFile]:
    """What runs the model there, by its path on the site."""

    def before_fetching() -> None:
        console.print(f"npm brings {PACKAGE} {VERSION}: once, it is kept for other sites", soft_wrap=True)

    parts = wasm_runtime(before_fetching=before_fetching)
    return {f"runtime/{name}": page_file(name, part) for name, part in parts.items()}


def description(file: ExportedFile, content: bytes) -> dict[str, Any]:
    """What the page must know of the model: the answer of ``/v1/model``, and the rule that places a picture."""
    header = file.header
    height, width = canvas_of(header)
    export = header.facts.get("export")
    export = export if isinstance(export, dict) else {}
    return {
        "name": file.path.stem,
        "classes": list(header.classes.names),
        "ids": list(header.classes.ids),
        "thresholds": {name: header.thresholds.get(name, DEFAULT_THRESHOLD) for name in header.classes.names}
        if header.thresholds
        else {},
        "score_thresh": model_of(header, file.path).postprocessor.params.score_thresh,
        "canvas": {"height": height, "width": width},
        "pad_value": header.size_policy["pad_value"],
        "golden": header.size_policy["golden"],
        "version": header.version,
        "licence": export.get("licence"),
        "sha256": hashlib.sha256(content).hexdigest(),
        "backend": f"{PACKAGE} {VERSION}",
        "precision": export.get("precision", "fp32"),
        "file": MODEL,
        "bytes": len(content),
    }


def read_sample(path: Path) -> Sample:
    """A picture for the page, its bytes as they are. DataError where it is none, or browsers do not show it."""
    suffix = SHOWN_BY_BROWSERS.get(path.suffix.lower())
    if suffix is None:
        raise DataError(f"{path}: not every browser shows such a file; take a PNG, JPEG or WebP")
    picture_size(path)
    return Sample(path.name, path.read_bytes(), suffix)


def write_site(folder: Path, site: dict[str, PageFile]) -> None:
    """All the files, or none: a folder without its last file would be a page that fails."""
    unfinished = free_name(folder.with_name(f".{folder.name}.tmp"))
    try:
        for path, entry in site.items():
            write_bytes(unfinished / path, entry.content)
        unfinished.rename(folder)
    except OSError as error:
        raise DiskError(
            f"{folder}: cannot be written: {error.strerror or error}; choose another place"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
