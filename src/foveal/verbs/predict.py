"""``foveal predict``: pictures with boxes, and COCO JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from rich.console import Console
from rich.progress import track

from foveal.data.decode import EXTENSIONS
from foveal.errors import DataError, DiskError
from foveal.files import free_name, write_text
from foveal.runtime.detections import Detections
from foveal.runtime.predictor import Predictor
from foveal.runtime.tiling import TileSize


class Prediction(NamedTuple):
    """Detections of one picture file."""

    path: Path
    detections: Detections


class PredictResult(NamedTuple):
    """What ``predict`` did."""

    predictions: list[Prediction]
    failed: list[tuple[Path, str]]
    """Pictures that could not be read, with the reason."""
    output: Path


def predict(
    checkpoint: Path,
    sources: Sequence[str],
    output: Path = Path("predictions"),
    score_thresh: float | None = None,
    everything: bool = False,
    pictures: bool = True,
    device: str = "auto",
    quiet: bool = False,
    backend: str = "torch",
    precision: str = "fp32",
    calibration: Path | None = None,
    tiles: TileSize | None = None,
    overlap: float | None = None,
) -> PredictResult:
    """Detect on files, folders and globs; write drawn pictures and ``detections.json`` into ``output``.

    score_thresh: one threshold for all classes; default: those stored in the checkpoint. everything: all
    detections over the model's own score_thresh. backend, precision, calibration, tiles, overlap: as in
    ``Predictor``, pictures to calibrate on as files, folders or globs. A picture that cannot be read is named and
    left out; DataError where none could be read. An ``output`` that exists is not touched: a numbered one is made
    beside it.
    """
    console = Console(quiet=quiet, stderr=True)
    paths = find_pictures(sources)
    examples = None if calibration is None else find_pictures([str(calibration)])
    threshold = 0.0 if everything else score_thresh
    predictor = Predictor(checkpoint, device, threshold, backend, precision, examples, tiles, overlap)
    output = free_name(output)
    done: list[Prediction] = []
    failed: list[tuple[Path, str]] = []
    stems = Counter(path.stem for path in paths)
    hidden = not console.is_terminal  # a transient bar leaves an empty line in a file
    for path in track(paths, "predicting", console=console, transient=True, disable=hidden):
        try:
            detections = predictor(path)
        except DataError as error:
            failed.append((path, str(error)))
            console.print(str(error), style="yellow", soft_wrap=True, markup=False)
            continue
        if pictures:
            _save_picture(detections.draw(), _target(output, path, stems[path.stem] > 1))
        # The drawn picture is on disk: a long run must not hold every picture in memory.
        done.append(Prediction(path, replace(detections, picture=None)))
    if not done:
        raise DataError(f"none of the {len(paths)} pictures could be read; the first: {failed[0][1]}")
    write_text(output / "detections.json", json.dumps(coco_json(done, predictor), indent=1) + "\n")
    found = sum(len(prediction.detections) for prediction in done)
    console.print(f"{found} detections on {len(done)} pictures -> {output}", soft_wrap=True, markup=False)
    return PredictResult(done, failed, output)


def find_pictures(sources: Sequence[str]) -> list[Path]:
    """Picture files named by files, folders (all levels) and globs, without repeats, in order."""
    found: dict[Path, None] = {}
    for source in sources:
        matches = list(_expand(source))
        if not matches:
            raise DataError(f"{source}: no picture there (looked for {', '.join(sorted(EXTENSIONS))})")
        found.update(dict.fromkeys(matches))
    return list(found)


def _expand(source: str) -> Iterator[Path]:
    path = Path(source).expanduser()
    if path.is_dir():
        yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in EXTENSIONS and p.is_file())
    elif path.exists():
        yield path
    else:
        for match in sorted(glob(source, recursive=True)):
            yield from _expand(match)


def coco_json(predictions: Sequence[Prediction], predictor: Predictor) -> dict[str, object]:
    """A COCO file of the detections: images, categories and annotations with scores."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id, (path, detections) in enumerate(predictions, start=1):
        size = {"height": detections.height, "width": detections.width}
        images.append({"id": image_id, "file_name": str(path), **size})
        for row in detections.to_coco(image_id, predictor.classes.ids):
            annotations.append({"id": len(annotations) + 1, "iscrowd": 0, **row})
    categories = [
        {"id": class_id, "name": name}
        for class_id, name in zip(predictor.classes.ids, predictor.classes.names, strict=True)
    ]
    return {"images": images, "categories": categories, "annotations": annotations}


def _target(output: Path, path: Path, shared: bool) -> Path:
    """Where a drawn picture goes: its own name, with its folder's where another picture has it, too."""
    name = f"{path.parent.name}_{path.name}" if shared else path.name
    return output / Path(name).with_suffix(".jpg" if path.suffix.lower() in (".jpg", ".jpeg") else ".png")


def _save_picture(picture: Image.Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(free_name(path), quality=92)
    except OSError as error:
        raise DiskError(f"{path}: cannot write the picture: {error.strerror or error}") from error
