"""A worker's memory: its own share stays small, however many boxes the data set has."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foveal.data import loader as loader_room
from foveal.data.loader import Loader, make_loader
from foveal.data.records import Records
from foveal.types import ClassNames

WORKERS = 4
BOXES_PER_PICTURE = 200


class Plain(Records):
    """Grey pictures; now and then a full garbage collection, as any long run has one sooner or later."""

    def load(self, picture: int) -> np.ndarray:
        if picture % 50 == 0:
            gc.collect()
        return np.full((32, 32, 3), 114, dtype=np.uint8)


def many_boxes(pictures: int) -> Plain:
    boxes = pictures * BOXES_PER_PICTURE
    return Plain(
        root=Path("nowhere"),
        files=np.array([f"{number:012d}.jpg" for number in range(pictures)]),
        image_ids=np.arange(pictures),
        heights=np.full(pictures, 32),
        widths=np.full(pictures, 32),
        offsets=np.arange(pictures + 1) * BOXES_PER_PICTURE,
        boxes=np.tile([1.0, 2.0, 20.0, 30.0], (boxes, 1)),
        labels=np.zeros(boxes, dtype=np.int64),
        crowd=np.zeros(boxes, dtype=bool),
        area=np.full(boxes, 532.0),
        classes=ClassNames(("thing",), (1,)),
    )


def own_megabytes(pid: int) -> float:
    """Memory that a process shares with no other."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def own_of_workers(loader: Loader) -> list[float]:
    iterator: Any = loader._iterator
    return [own_megabytes(worker.pid) for worker in iterator._workers]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # four, also on a machine of two cores
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells who owns which memory")
@pytest.mark.skipif(sys.platform != "linux", reason="fork")
def test_a_million_boxes_are_shared_by_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_room, "_worker_count", lambda wanted: wanted)
    own = {}
    for pictures in (50, 5000):
        records = many_boxes(pictures)
        loader = make_loader(records, (32, 32), 25, train=False, workers=WORKERS)
        assert sum(len(target.boxes) for batch in loader for target in batch.targets) == len(records.boxes)
        own[len(records.boxes)] = own_of_workers(loader)
    assert list(own) == [10_000, 1_000_000]
    assert [len(megabytes) for megabytes in own.values()] == [WORKERS, WORKERS]
    # The columns of a million boxes are 49 MB. What else a worker owns depends on what its parent has done before.
    assert max(own[1_000_000]) < max(own[10_000]) + 5, own
