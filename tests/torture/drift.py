"""R10 whole: the detections of torch, ONNX Runtime, OpenVINO and a browser on 50 pictures, beside each other.

ONNX and OpenVINO files are made by ``foveal export``, whose own gate compares them: batches of 1, 3 and 8, the
model's canvas and one of three quarters. The checkpoint in each backend is compared in the same way, the browser
on the model's canvas, picture by picture, which is all that the page does. What is not run is not kept.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from frame import ROOT, Place, Verdict

sys.path.insert(0, str(ROOT / "benchmarks"))
from browser_parity import opened, same_tensors, spread

from foveal.checkpoint.format import load_checkpoint
from foveal.export.accuracy import MOST_DROP
from foveal.export.parity import Parity, canvases, compare_runs, limits_of, lists_of
from foveal.metrics.agreement import TRAINED, Agreement, Found, compare_all
from foveal.runtime.backends import accelerate
from foveal.runtime.calibration import some_images
from foveal.runtime.model_file import canvas_of, load_inference, model_of
from foveal.runtime.sources import find_pictures
from foveal.verbs.export import export

PICTURES = 50
BATCHES = {1, 3, 8}
CANVASES = 2
BACKENDS = ("torch", "onnxruntime", "openvino")
FORMATS = {"onnx": "m.onnx", "openvino": "m.xml"}


class Part(NamedTuple):
    """One way of running the model, beside another."""

    name: str
    kept: bool
    text: str


def run(place: Place) -> Verdict:
    """Every way, and whether all of them were run and agree."""
    paths = spread(find_pictures([str(place.pictures)]), PICTURES)
    folder = place.work / "pictures"
    folder.mkdir()
    for number, path in enumerate(paths):
        shutil.copy(path, folder / f"{number:02}{path.suffix}")
    parts = [tried(f"{to} file", lambda to=to: exported(place, to, folder)) for to in FORMATS]
    parts += [
        tried(f"checkpoint in {name}", lambda name=name: backend(place.model, name, folder))
        for name in BACKENDS
    ]
    parts += [tried(f"int8 {to}", lambda to=to: quantised(place, to)) for to in FORMATS]
    parts.append(tried("browser", lambda: browser(place, folder)))
    for part in parts:
        print(f"{part.name}: {part.text}", flush=True)
    found = (
        f"{len(paths)} pictures, tolerance {TRAINED.pixels:g} px or {TRAINED.box:g} of the side, score "
        f"{TRAINED.score:g}: " + "; ".join(f"{part.name}: {part.text}" for part in parts)
    )
    return Verdict(len(paths) == PICTURES and all(part.kept for part in parts), found)


def tried(name: str, work: Callable[[], tuple[bool, str]]) -> Part:
    """A part; one that cannot be run is not kept, and says why."""
    try:
        return Part(name, *work())
    except (Exception, SystemExit) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        return Part(name, False, f"NOT RUN ({type(error).__name__}: {reason[:200]})")


def told(rows: list[Agreement]) -> tuple[bool, str]:
    """Whether nothing differs, and the largest differences."""
    counts = ((row.pairs, row.different, row.excused) for row in rows)
    pairs, different, excused = map(sum, zip(*counts, strict=True))
    text = (
        f"{pairs} detections in {len(rows)} comparisons, {different} different, {excused} at a threshold, "
        f"{max(row.pixels for row in rows):.1e} px, score {max(row.score for row in rows):.1e}"
    )
    return pairs > 0 and not different, text


def everywhere(rows: list[Parity]) -> tuple[bool, str]:
    """The same, of all pictures in batches of each size on both canvases."""
    kept, text = told([row.agreement for row in rows])
    sizes = {row.canvas for row in rows}
    wanted = {(canvas, batch, PICTURES) for canvas in sizes for batch in BATCHES}
    whole = len(sizes) == CANVASES and {(row.canvas, row.batch, row.pictures) for row in rows} == wanted
    return kept and whole, text if whole else f"{text}, NOT ALL"


def exported(place: Place, to: str, folder: Path) -> tuple[bool, str]:
    """An export through its gate."""
    result = export(place.model, to, place.work / FORMATS[to], pictures=folder, quiet=True)  # type: ignore[arg-type]
    assert result.gate is not None
    return everywhere(result.gate.parity)


def quantised(place: Place, to: str) -> tuple[bool, str]:
    """An export in bytes, on the labelled pictures that the checkpoint names."""
    output = (place.work / FORMATS[to]).with_stem("int8")
    result = export(place.model, to, output, int8=True, quiet=True)  # type: ignore[arg-type]
    assert result.gate is not None
    accuracy = result.gate.accuracy
    assert accuracy is not None
    text = f"AP {accuracy.before:.4f} to {accuracy.after:.4f} on {accuracy.pictures} pictures"
    return accuracy.after >= accuracy.before - MOST_DROP, text


@torch.inference_mode()
def backend(checkpoint: Path, name: str, folder: Path) -> tuple[bool, str]:
    """The checkpoint as ``foveal predict --backend`` runs it beside the network as it is written."""
    loaded = load_checkpoint(checkpoint)
    plain = load_inference(loaded, checkpoint)
    other = accelerate(plain, name)
    limits = limits_of(model_of(loaded.header, checkpoint).postprocessor.params)
    rows = list[Parity]()
    for canvas in canvases(canvas_of(loaded.header)):
        images = list(some_images(find_pictures([str(folder)]), canvas, None, PICTURES))
        rows += compare_runs(plain, other, images, limits, TRAINED)
    return everywhere(rows)


@torch.inference_mode()
def browser(place: Place, folder: Path) -> tuple[bool, str]:
    """The ONNX file in Chromium, on the very tensors that torch gets."""
    loaded = load_checkpoint(place.model)
    plain = load_inference(loaded, place.model)
    limits = limits_of(model_of(loaded.header, place.model).postprocessor.params)
    file = place.work / FORMATS["onnx"]
    pairs = []
    with opened(file, place.work) as page:
        for _, placed, there in same_tensors(page, file, find_pictures([str(folder)])):
            (here,) = lists_of(plain(placed[None]))
            boxes, scores = (torch.from_numpy(part).float() for part in there[:2])
            pairs.append((Found(boxes, scores, torch.from_numpy(there.labels)), here))
    kept, text = told([compare_all(pairs, TRAINED, limits)])
    return kept and len(pairs) == PICTURES, f"{len(pairs)} pictures, {text}"
