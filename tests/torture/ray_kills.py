"""R11 whole: 500 pictures, 10 of them damaged, 5 workers killed with SIGKILL while they work.

50 real pictures are used again and again. Every picture has to come exactly once, the damaged ones as errors and
the others as this process finds them.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from frame import Place, Verdict

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from ray_process import rows_of, start, workers_of

from foveal.runtime.journal import detections_of
from foveal.runtime.predictor import Predictor
from foveal.runtime.sources import find_pictures

PICTURES, DAMAGED, KILLS, WORKERS = 500, 10, 5, 2
ORIGINALS = 50


def run(place: Place) -> Verdict:
    """The job with its kills, and what came of it beside what is found here."""
    chance = random.Random(place.seed)
    sources = find_pictures([str(place.pictures)])[:ORIGINALS]
    damaged = make_set(place.work / "pictures", sources, chance)
    options = ["-o", "out", "--cluster", "--workers", str(WORKERS)]
    options += ["--format", "jsonl", "--device", "cpu", "--patience", "600"]
    running = start(place.model, "pictures", *options, folder=place.work)
    killed = 0
    # At even distances over the work, so that none falls before or after it.
    at = [round((kill + 0.5) * PICTURES / (KILLS + 1)) for kill in range(KILLS)]
    while running.poll() is None:
        workers = workers_of(running.pid)
        if killed < len(at) and workers and len(rows_of(place.work / "out")) >= at[killed]:
            os.kill(chance.choice(workers), signal.SIGKILL)
            killed += 1
        time.sleep(0.1)
    said = running.communicate()[1]
    rows = rows_of(place.work / "out")
    names = [Path(str(row["file"])).name for row in rows]
    wrong = {name for name, row in zip(names, rows, strict=True) if row["status"] == "error"}
    same = as_here(rows, names, sources, place.model)

    kept = running.returncode == 0 and killed == KILLS and wrong == damaged and same == PICTURES - DAMAGED
    kept = kept and len(rows) == len(set(names)) == PICTURES
    kept = kept and any(row.get("detections") for row in rows)  # nothing would be as nothing is
    if not kept:
        print(said)
    found = (
        f"exit code {running.returncode}, {killed} workers killed: {len(rows)} rows, "
        f"{len(rows) - len(set(names))} doubles, {len(wrong)} errors ({len(wrong ^ damaged)} not of the damaged "
        f"pictures), {same} rows as locally"
    )
    return Verdict(kept, found)


def make_set(folder: Path, sources: list[Path], chance: random.Random) -> set[str]:
    """Numbered pictures; the names of the damaged."""
    folder.mkdir()
    bad = set(chance.sample(range(PICTURES), DAMAGED))
    for number in range(PICTURES):
        content = sources[number % len(sources)].read_bytes()
        name = f"{number:04}{sources[number % len(sources)].suffix}"
        (folder / name).write_bytes(content[: len(content) // 3] if number in bad else content)
    return {path.name for path in folder.iterdir() if int(path.stem) in bad}


def as_here(rows: list[dict[str, Any]], names: list[str], sources: list[Path], model: Path) -> int:
    """Number of rows without an error whose detections are those of this process."""
    predictor = Predictor(model, "cpu")
    here = {}
    same = 0
    for name, row in zip(names, rows, strict=True):
        if row["status"] == "error":
            continue
        source = int(Path(name).stem) % len(sources)
        if source not in here:
            here[source] = predictor(sources[source])
        found, expected = detections_of(row), here[source]
        near = found.names == expected.names and torch.allclose(found.boxes, expected.boxes, atol=1e-3)
        same += near and torch.allclose(found.scores, expected.scores, atol=1e-4)
    return same
