"""Small random data sets, with crowds, empty pictures, and detections of every kind of error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from foveal.metrics.columns import DetectionColumns
from foveal.types import ClassNames, GroundTruth

NAMES = ("=cat", "[red]dog</script>", "none of it")
"""The third class has no box, and detections."""
Case = tuple[GroundTruth, DetectionColumns]


@pytest.fixture(scope="session")
def make_case() -> Callable[..., Case]:
    """A function (seed, pictures, crowd) -> labels and detections; no two scores are equal."""

    def make(seed: int, pictures: int = 8, crowd: float = 0.1) -> Case:
        rng = np.random.default_rng(seed)
        boxes, labels, offsets, found, ids, classes = [], [], [0], [], [], []
        for picture in range(pictures):
            count = int(rng.integers(0, 6))
            corners = rng.uniform(0, 150, (count, 2))
            mine = np.concatenate([corners, corners + rng.uniform(15, 60, (count, 2))], axis=1)
            kinds = rng.integers(0, 2, count)
            boxes.append(mine)
            labels.append(kinds)
            offsets.append(offsets[-1] + count)
            # Each box found never to three times, shifted, now and then with another class; and some on nothing.
            times = rng.integers(0, 4, count)
            near = np.repeat(mine, times, axis=0) + rng.normal(0, 6, (int(times.sum()), 4))
            far = rng.uniform(0, 150, (int(rng.integers(0, 4)), 2))
            every = np.concatenate([near, np.concatenate([far, far + 30], axis=1)])
            other = rng.integers(0, 3, len(every))
            same = np.concatenate([np.repeat(kinds, times), other[len(near) :]])
            found.append(np.concatenate([np.minimum(every[:, :2], every[:, 2:] - 1), every[:, 2:]], axis=1))
            classes.append(np.where(rng.random(len(every)) < 0.25, other, same))
            ids += [100 - picture] * len(every)
        rows = np.concatenate(boxes)
        truth = GroundTruth(
            np.arange(100, 100 - pictures, -1),
            np.full(pictures, 300),
            np.full(pictures, 300),
            np.array(offsets),
            rows,
            np.concatenate(labels).astype(np.int64),
            rng.random(len(rows)) < crowd,
            (rows[:, 2:] - rows[:, :2]).prod(axis=1),
            ClassNames(NAMES, (7, 3, 5)),
        )
        scores = rng.permutation(len(ids)) / (len(ids) + 1) + 0.001
        image_ids = np.array(ids, dtype=np.int64)
        every = np.concatenate(found)
        columns = DetectionColumns(image_ids, every, scores, np.concatenate(classes), truth.image_ids)
        return truth, columns

    return make


@pytest.fixture(scope="session")
def nothing_found() -> Callable[[GroundTruth], DetectionColumns]:
    """Detections of pictures in which nothing was found."""

    def make(truth: GroundTruth) -> DetectionColumns:
        none = np.zeros(0)
        whole = none.astype(np.int64)
        return DetectionColumns(whole, np.zeros((0, 4)), none, whole, truth.image_ids)

    return make


@pytest.fixture(scope="session")
def without_boxes() -> Callable[[GroundTruth], GroundTruth]:
    """The same pictures without a label."""

    def make(truth: GroundTruth) -> GroundTruth:
        none = np.zeros(0, dtype=np.int64)
        return truth._replace(
            offsets=np.zeros_like(truth.offsets),
            boxes=np.zeros((0, 4)),
            labels=none,
            crowd=none.astype(bool),
            area=np.zeros(0),
        )

    return make
