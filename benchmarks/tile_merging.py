"""What merging does: AP of the same detections in tiles, merged in several ways, beside that of whole pictures.

    python benchmarks/tile_merging.py CHECKPOINT [--pictures 40] [--share 0.7] [--overlap 0.3]

CHECKPOINT: trained on whole pictures; its own validation set is measured, on the CPU. Tiles have ``--share`` of a
picture's sides and lie on a canvas so much smaller, so that objects keep the size they were trained at.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foveal.checkpoint.format import load_checkpoint
from foveal.data.records import Records
from foveal.metrics.coco import CocoEvaluator
from foveal.ops.iou import box_area, intersection
from foveal.ops.letterbox import fit_letterbox
from foveal.ops.merge_tiles import Merged, TileDetections, cut_sides, merge_tiles
from foveal.ops.nms import suppress
from foveal.ops.tiles import Tiling
from foveal.runtime.predictor import Predictor
from foveal.runtime.validation_set import validation_set
from foveal.types import Candidates, GroundTruth

Size = tuple[int, int]
Merge = Callable[[TileDetections, Tensor, Size], Merged]


def nms_alone(found: TileDetections, windows: Tensor, size: Size) -> Merged:
    """Class-wise NMS by IoU over everything."""
    kept = suppress(Candidates(found.boxes[None], found.scores[None], found.labels[None]), 0.5, False, None)
    count = int(kept.count[0])
    return Merged(kept.boxes[0, :count], kept.scores[0, :count], kept.labels[0, :count])


def without_cut(found: TileDetections, windows: Tensor, size: Size) -> Merged:
    """Boxes at inner borders left out, then NMS."""
    whole = ~cut_sides(found.boxes, windows[found.tile].float(), size).any(dim=1)
    return nms_alone(TileDetections(*(column[whole] for column in found)), windows, size)


def by_smaller(found: TileDetections, windows: Tensor, size: Size) -> Merged:
    """Greedy class-wise NMS by intersection over the smaller box."""
    order = found.scores.argsort(descending=True, stable=True)
    boxes, labels = found.boxes[order], found.labels[order]
    kept: list[int] = []
    for place in range(len(order)):
        before = torch.tensor(kept, dtype=torch.int64)
        before = before[labels[before] == labels[place]]
        smaller = torch.minimum(box_area(boxes[place]), box_area(boxes[before]))
        if not (intersection(boxes[place], boxes[before]) > 0.5 * smaller).any():
            kept.append(place)
    return Merged(boxes[kept], found.scores[order][kept], labels[kept])


WAYS: dict[str, Merge] = {
    "foveal": merge_tiles,
    "NMS alone": nms_alone,
    "cut boxes left out, then NMS": without_cut,
    "NMS by intersection over the smaller box": by_smaller,
}


def detect(predictor: Predictor, array: np.ndarray) -> tuple[TileDetections, Tensor]:
    """Everything that is found in the tiles of a picture, and their windows."""
    windows = predictor.windows(array)
    parts = [predictor.look([(array, window)])[0] for window in windows]
    tile = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part.scores) for part in parts]))
    boxes, scores, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    return TileDetections(boxes, scores, labels, tile), windows


def first(records: Records, count: int) -> GroundTruth:
    """The labels of the first pictures."""
    truth = records.ground_truth()
    rows = slice(0, int(truth.offsets[count]))
    return truth._replace(
        image_ids=truth.image_ids[:count], heights=truth.heights[:count], widths=truth.widths[:count],
        offsets=truth.offsets[: count + 1], boxes=truth.boxes[rows], labels=truth.labels[rows],
        crowd=truth.crowd[rows], area=truth.area[rows],
    )  # fmt: skip


def main() -> None:
    """Prints a line for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--overlap", type=float, default=0.3)
    options = parser.parse_args()
    records = validation_set(load_checkpoint(options.checkpoint).header, options.checkpoint)
    count = min(options.pictures, len(records))
    truth = first(records, count)
    whole = Predictor(options.checkpoint, "cpu", 0.0, tiles="none")
    tiled = Predictor(options.checkpoint, "cpu", 0.0, tiles="none")
    tiled.canvas = (
        round(whole.canvas[0] * options.share / 32) * 32,
        round(whole.canvas[1] * options.share / 32) * 32,
    )
    evaluators = {name: CocoEvaluator(truth) for name in ("whole pictures", *WAYS)}
    for picture in range(count):
        array, image_id = records.load(picture), int(truth.image_ids[picture])
        size = (array.shape[0], array.shape[1])
        scale = fit_letterbox(*size, whole.canvas).scale_x
        tiled.tiling = Tiling(round(tiled.canvas[0] / scale), round(tiled.canvas[1] / scale), options.overlap)
        alone = whole(array)
        evaluators["whole pictures"].add(image_id, alone.boxes, alone.scores, alone.labels)
        found, windows = detect(tiled, array)
        for name, merge in WAYS.items():
            evaluators[name].add(image_id, *merge(found, windows, size))
    for name, evaluator in evaluators.items():
        numbers = evaluator.compute()
        print(f"{name:42s}" + "  ".join(f"{key} {numbers[key] or 0:.4f}" for key in ("AP", "AP50", "AP75")))


if __name__ == "__main__":
    main()
