"""R11 whole: 500 pictures, 10 of them damaged, 5 workers killed with SIGKILL while they work.

    python tests/torture/ray_kills.py MODEL PICTURES [--pictures 500] [--kills 5] [--workers 2]

MODEL: a checkpoint, or what was exported from it. PICTURES: a folder of real ones, of which 50 are used again and
again. Says what came of it and ends with 0 if every picture came exactly once, the damaged ones as errors and the
others as here.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))
from ray_process import rows_of, start, workers_of

from foveal.runtime.journal import detections_of
from foveal.runtime.predictor import Predictor
from foveal.runtime.sources import find_pictures

DAMAGED = 10


def main() -> int:
    """Run it; the number of faults."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("folder")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    choice = parser.parse_args()
    sources = find_pictures([choice.folder])[:50]
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        damaged = make_set(root / "pictures", sources, choice.pictures, chance)
        options = ["-o", "out", "--cluster", "--workers", str(choice.workers)]
        options += ["--format", "jsonl", "--device", "cpu", "--patience", "600"]
        began = time.monotonic()
        running = start(choice.model.absolute(), "pictures", *options, folder=root)
        killed = 0
        # At even distances over the work, so that none falls before or after it.
        at = [round((kill + 0.5) * choice.pictures / (choice.kills + 1)) for kill in range(choice.kills)]
        while running.poll() is None:
            workers = workers_of(running.pid)
            if killed < len(at) and workers and len(rows_of(root / "out")) >= at[killed]:
                os.kill(chance.choice(workers), signal.SIGKILL)
                killed += 1
            time.sleep(0.1)
        said = running.communicate()[1]
        rows = rows_of(root / "out")
        faults = judge(rows, choice, damaged, sources)
    counts = Counter(row["file"] for row in rows)
    print(f"exit code {running.returncode}; {killed} workers killed; {time.monotonic() - began:.0f} s")
    print(f"{len(rows)} rows, {sum(n - 1 for n in counts.values())} doubles")
    print(f"{sum(row['status'] == 'error' for row in rows)} errors; {faults} faults")
    if running.returncode or faults:
        print(said)
    return int(running.returncode != 0) + faults + (killed != choice.kills)


def make_set(folder: Path, sources: list[Path], count: int, chance: random.Random) -> set[str]:
    """Numbered pictures; the names of the damaged."""
    folder.mkdir()
    bad = set(chance.sample(range(count), DAMAGED))
    for number in range(count):
        content = sources[number % len(sources)].read_bytes()
        name = f"{number:04}{sources[number % len(sources)].suffix}"
        (folder / name).write_bytes(content[: len(content) // 3] if number in bad else content)
    return {path.name for path in folder.iterdir() if int(path.stem) in bad}


def judge(
    rows: list[dict[str, object]], choice: argparse.Namespace, damaged: set[str], sources: list[Path]
) -> int:
    """Number of things that are not as they must be."""
    names = [Path(str(row["file"])).name for row in rows]
    faults = abs(len(rows) - choice.pictures) + len(names) - len(set(names))
    faults += len({name for name, row in zip(names, rows, strict=True) if row["status"] == "error"} ^ damaged)
    predictor = Predictor(choice.model, "cpu")
    here = {}
    for name, row in zip(names, rows, strict=True):
        if row["status"] == "error":
            continue
        source = int(Path(name).stem) % len(sources)
        if source not in here:
            here[source] = predictor(sources[source])
        found = detections_of(row)
        same = found.names == here[source].names and torch.allclose(
            found.boxes, here[source].boxes, atol=1e-3
        )
        faults += not same
    return faults


if __name__ == "__main__":
    sys.exit(min(main(), 1))
