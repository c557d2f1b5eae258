"""Detections given tile by tile are measured as those of the whole pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foveal.config.schema import PostprocessorParams
from foveal.data.loader import make_loader
from foveal.data.shapes import make_shapes
from foveal.data.tiled import TiledRecords, numbered_tiles
from foveal.errors import DivergedError
from foveal.metrics.coco import CocoEvaluator
from foveal.ops.tiles import Tiling
from foveal.runtime.tiled_evaluation import TiledEvaluator, coco_evaluator
from foveal.types import Batch, BatchDetections


@pytest.fixture
def tiles() -> TiledRecords:
    return numbered_tiles(make_shapes(12, 3, 160, seed=5), Tiling(96, 96, 0.4), min_visible=0)


def perfect(batch: Batch) -> BatchDetections:
    """Everything that the tiles show, cut at their borders, in canvas pixels."""
    most = max(1, *(len(target.boxes) for target in batch.targets))
    boxes, scores = torch.zeros(len(batch.targets), most, 4), torch.zeros(len(batch.targets), most)
    labels = torch.zeros(len(batch.targets), most, dtype=torch.int64)
    for place, target in enumerate(batch.targets):
        n = len(target.boxes)
        boxes[place, :n], labels[place, :n], scores[place, :n] = target.boxes, target.labels, 0.9
    return BatchDetections(boxes, scores, labels, torch.tensor([len(t.boxes) for t in batch.targets]))


def feed(evaluator: CocoEvaluator, tiles: TiledRecords, tiles_given: int | None = None) -> None:
    loader = make_loader(tiles, (64, 128), 5, train=False, workers=0)
    for number, batch in enumerate(loader):
        if tiles_given is None or 5 * number < tiles_given:
            evaluator.update(perfect(batch), batch)


def test_a_detector_that_finds_every_part_finds_every_object_once(tiles: TiledRecords) -> None:
    evaluator = coco_evaluator(tiles, PostprocessorParams())
    feed(evaluator, tiles)
    numbers = evaluator.compute()
    assert numbers["AP50"] == 1
    assert numbers["AR100"] == pytest.approx(1, abs=1e-2)
    columns = evaluator.columns()
    assert len(columns.labels) == len(tiles.source.labels)
    assert set(columns.pictures.tolist()) == set(tiles.source.image_ids.tolist())
    assert evaluator.ground_truth.boxes is tiles.source.boxes
    # In original pixels: sorted by place, they are the labels' boxes.
    for image_id in tiles.source.image_ids.tolist():
        truth = tiles.source.rows(image_id - 1).boxes
        found = columns.boxes[columns.image_ids == image_id]
        np.testing.assert_allclose(found[np.lexsort(found.T)], truth[np.lexsort(truth.T)], atol=2)


def test_what_was_given_counts_though_tiles_are_missing(tiles: TiledRecords) -> None:
    evaluator = TiledEvaluator(tiles, PostprocessorParams())
    feed(evaluator, tiles, tiles_given=15)
    some = evaluator.compute()
    assert 0 < (some["AR100"] or 0) < 0.6
    evaluator.reset()
    feed(evaluator, tiles, tiles_given=15)
    evaluator.reset()  # with a picture of which only some tiles were given
    assert evaluator.compute()["AP"] == 0
    feed(evaluator, tiles)
    assert evaluator.compute()["AP50"] == 1


def test_pictures_that_are_not_cut_are_measured_as_ever() -> None:
    whole = make_shapes(6, 3, 96, seed=5)
    tiles = numbered_tiles(whole, Tiling(96, 96, 0.4))
    results = []
    for records in (whole, tiles):
        evaluator = coco_evaluator(records, PostprocessorParams())
        rng = torch.Generator().manual_seed(0)
        for batch in make_loader(records, (96, 96), 4, train=False, workers=0):
            found = perfect(batch)
            noise = 8 * torch.randn(found.boxes.shape, generator=rng)
            scores = torch.rand(found.scores.shape, generator=rng)
            evaluator.update(found._replace(boxes=(found.boxes + noise).clamp(0, 96), scores=scores), batch)
        results.append(evaluator.compute())
    assert results[0] == results[1]
    assert 0 < (results[0]["AP"] or 0) < 1


def test_numbers_that_are_not_finite_are_refused(tiles: TiledRecords) -> None:
    evaluator = coco_evaluator(tiles, PostprocessorParams())
    batch = next(iter(make_loader(tiles, (64, 64), 12, train=False, workers=0)))
    found = perfect(batch)
    found.boxes[found.count.argmax(), 0, 0] = float("nan")
    with pytest.raises(DivergedError, match="not a finite number"):
        evaluator.update(found, batch)
