"""S9 whole: ONNX files, OpenVINO files and YAML that mean harm, each read in a process of its own.

Timed is the reading: from the call of the function that opens the file to its answer, in seconds of computing,
with the packages loaded. Neither the start of Python nor the writing of the hostile file is in it.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import hostile_files
import hostile_yaml
import torch
from forked import Done, forked, warm
from frame import Place, Verdict
from pickles import os_system

from foveal.config.load import load_config
from foveal.data.yolo_yaml import read_data_yaml
from foveal.diagnosis.report.gather import read_run
from foveal.errors import DataError, FovealError, ModelFileError, UsageError
from foveal.runtime.model_file import open_model

SOON = 0.5
HUNG = 20.0
MOST_MEGABYTES = 300


class Reading(NamedTuple):
    """What came of one file."""

    name: str
    done: Done
    seconds: float
    refused: str
    """The error's class and words; empty: it was read."""


def onnx_and_yaml(place: Place) -> Verdict:
    """S9: every file refused by the reader that it is meant for, or, of other readers, without effect; soon."""
    warm()
    marker = place.work / "ran"
    models = [*_models(place.work)]
    settings, others = [], []
    for number, (name, text) in enumerate(hostile_yaml.EVERY.items()):
        folder = place.work / f"yaml{number}"
        folder.mkdir()
        file = folder / "config.yaml"
        file.write_bytes(text.replace("MARKER", str(marker)).encode("utf-8", "surrogatepass"))
        settings.append(read(f"config: {name}", lambda file=file: load_config(file), UsageError, folder))
        others.append(read(f"data.yaml: {name}", lambda file=file: read_data_yaml(file), DataError, folder))
        others.append(
            read(f"a run's: {name}", lambda folder=folder: read_run(folder, "r"), UsageError, folder)
        )
        file.unlink()
    must = models + settings
    bad = [one for one in must if not one.refused] + [one for one in must + others if not _well(one)]
    bad += [one for one in models if len(one.refused.splitlines()) > 1]
    for one in bad:
        print(
            f"{one.name}: {one.seconds:.2f} s, {one.done.megabytes:.0f} MB, {one.refused or one.done.text[-200:]}"
        )
    slowest, largest = max(must + others, key=_seconds), max(must + others, key=_megabytes)
    found = (
        f"{sum(bool(one.refused) for one in must)} of {len(must)} refused ({len(models)} model files in one line, "
        f"{len(settings)} configurations); {len(others)} more readings of the YAML, as data.yaml and as a run's, "
        f"without effect; slowest reading {slowest.seconds:.2f} s ({slowest.name}), most memory "
        f"{largest.done.megabytes:.0f} MB ({largest.name}); code run: {int(marker.exists())}"
    )
    return Verdict(not bad and not marker.exists(), found)


def _models(work: Path) -> list[Reading]:
    """Every ONNX and OpenVINO file, and a torch.export file with code in it."""
    readings = []
    for name, make in [*hostile_files.EVERY, ("code in it.pt2", _with_code(work / "ran"))]:
        folder = work / "model"
        folder.mkdir()
        file = folder / f"m{Path(name).suffix}"
        make(file)
        readings.append(read(name, lambda file=file: open_model(file), ModelFileError, folder))
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return readings


def _with_code(marker: Path) -> Callable[[Path], object]:
    def write(file: Path) -> None:
        torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1),)), file)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("m/data/weights/evil.pt", os_system(marker))
            archive.writestr("m/data.pkl", os_system(marker))

    return write


def read(name: str, reader: Callable[[], Any], expected: type[FovealError], folder: Path) -> Reading:
    """One reading. A reader may say no in its own class of error, in one line a fault; any other is a crash."""

    def work() -> None:
        began = time.process_time()
        try:
            reader()
            refused = ""
        except expected as error:
            refused = f"{type(error).__name__}: {error}"
        print(json.dumps([time.process_time() - began, refused]))

    done = forked(work, folder, seconds=HUNG)
    try:
        seconds, refused = json.loads(done.text.splitlines()[-1])
    except (ValueError, IndexError):
        seconds, refused = done.seconds, ""
    return Reading(name, done, seconds, refused)


def _well(one: Reading) -> bool:
    return one.done.code == 0 and one.seconds < SOON and one.done.megabytes < MOST_MEGABYTES


def _seconds(one: Reading) -> float:
    return one.seconds


def _megabytes(one: Reading) -> float:
    return one.done.megabytes
