"""S13: names that a spreadsheet would run, in every CSV file we write: quoted, and the same names when read back.

Pictures and classes have the names. ``foveal predict``, the doctor, its copy and a training write their tables of
them; a table of every name with every class is made by predict's own writer, too, as a model might not find all.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from forked import forked, foveal, warm
from frame import Place, Verdict
from small_training import training

from foveal.checkpoint.format import load_checkpoint, save_checkpoint
from foveal.data.csv_table import read_csv
from foveal.runtime.detections import Detections
from foveal.runtime.journal import picture_row
from foveal.runtime.prediction_folder import PredictionFolder
from foveal.types import ClassNames

CLASSES = (
    "=1+1",
    "+cat",
    "-dog",
    "@SUM(A1:A9)",
    "=cmd|' C'!A0",
    "'=quoted",
    "''-twice",
    "\uff1dwide",
    "plain",
    "'plain",
)
STARTS = (*CLASSES, "\ttab", "\rreturn", "\nline", "\\ttab", "'\\ttab", "a,b", 'a"b')
PICTURES = tuple(f"{start}.png" for start in STARTS)
RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def run(place: Place) -> Verdict:
    """Every table; the cells that would run are printed."""
    warm()
    folder = place.work / "pictures"
    folder.mkdir()
    sound = next(path for path in sorted(place.pictures.iterdir()) if path.suffix == ".png")
    for name in PICTURES:
        shutil.copy(sound, folder / name)
    labels = write_labels(folder)
    (place.work / "set.yaml").write_text(training(labels, 2))
    model = renamed(place)
    faults: list[str] = []
    options = ("--format", "csv,jsonl", "--all", "--device", "cpu", "-o", "../found", "--no-pictures")
    for words in (
        ("predict", model, "*.png", *options),
        ("doctor", labels, "--csv", "../findings.csv", "--fix", "../fixed", "--merge-classes", "=1+1=-dog"),
        ("train", "../set.yaml", "-o", "../runs"),
    ):
        done = forked(foveal(*words), folder, 300)
        if done.crashed or done.code not in (0, 3):
            faults.append(f"{words[0]}: exit code {done.code}: {done.text[-500:]}")
    write_every(place.work / "every")
    tables = sorted(place.work.rglob("*.csv"))
    cells = 0
    for table in tables:
        with table.open(newline="", encoding="utf-8") as stream:
            for row in csv.reader(stream):
                cells += len(row)
                faults += [
                    f"{table.name}: {cell!r} would run"
                    for cell in row
                    if cell.startswith(RUNS) and not _number(cell)
                ]
    for where in ("found", "every"):
        faults += [f"{where}: {fault}" for fault in read_back(place.work / where, folder)]
    wanted = {"detections.csv", "findings.csv", "fixes.csv", "metrics.csv"}
    faults += [f"{name} was not written" for name in wanted - {table.name for table in tables}]
    print("\n".join(faults))
    return Verdict(
        not faults,
        f"{len(PICTURES)} names of pictures x {len(CLASSES)} of classes, {len(tables)} tables, {cells:,} cells: "
        f"{len(faults)} that would run or come back as others",
    )


def write_labels(folder: Path) -> Path:
    """Two boxes on each picture, and a bad one, so that the doctor has a line about each class."""
    names = sorted(path.name for path in folder.iterdir())
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    rows = [
        {
            "image_id": number,
            "category_id": (number + more) % len(CLASSES),
            "bbox": [5 + 9 * more, 6, 20, side],
        }
        for number in range(len(names))
        for more, side in enumerate((20, 30, -1))
    ]
    rows = [{"id": number, **row} for number, row in enumerate(rows)]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES)]
    file = folder / "=labels.json"
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    return file


def renamed(place: Place) -> Path:
    """The model with classes called so."""
    header, state = load_checkpoint(place.model)
    names = (CLASSES * len(header.classes.names))[: len(header.classes.names)]
    if len(set(names)) < len(names):
        names = tuple(f"{name} {number}" for number, name in enumerate(names))
    path = place.work / "model.safetensors"
    classes = ClassNames(tuple(names), header.classes.ids)
    save_checkpoint(path, state, replace(header, classes=classes, thresholds=dict.fromkeys(names, 0.0)))
    return path


def write_every(path: Path) -> None:
    """A box of every class on every picture, through predict's own writer."""
    count = len(CLASSES)
    corners = torch.arange(count).float()[:, None] + torch.tensor([1.0, 2.0, 20.0, 22.0])
    scores = torch.linspace(0.9, 0.1, count)
    found = Detections(corners, scores, torch.arange(count), CLASSES, 64, 64)
    with PredictionFolder(path, {"model": "", "thresholds": {}}) as folder:
        folder.todo(list(PICTURES))
        for name in PICTURES:
            folder.add(picture_row(name, found))
        folder.finish(["csv"], ClassNames(CLASSES, tuple(range(count))))


def read_back(found: Path, folder: Path) -> Iterator[str]:
    """Differences of the table, read as labels, from the journal."""
    rows = [json.loads(line) for line in (found / "detections.jsonl").read_text().splitlines()]
    written = sorted((row["file"], one["name"]) for row in rows for one in row["detections"])
    records = read_csv(found / "detections.csv", folder)
    pictures: Sequence[str] = [str(name) for name in records.files]
    labels = [
        [records.classes.names[label] for label in records.rows(n).labels] for n in range(len(pictures))
    ]
    back = sorted(pair for name, some in zip(pictures, labels, strict=True) for pair in product([name], some))
    lost = [fault for fault in records.faults if fault.kind != "clipped"]
    if written != back:
        yield f"{len(written)} written, {len(back)} back: {sorted(set(written) ^ set(back))[:5]}; {lost[:3]}"
    if not written:
        yield "nothing was found, so nothing was shown"


def _number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
