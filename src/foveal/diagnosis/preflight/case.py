"""What the overfit test works on: eight pictures, the model, and what is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from foveal.build import as_seen, build_criterion, build_detector, build_inference, with_class_balance
from foveal.config.load import data_of
from foveal.config.schema import Config
from foveal.data.loader import make_loader
from foveal.data.records import Records
from foveal.data.split import take
from foveal.data.tiled import TiledRecords
from foveal.engine.random_state import seed_everything
from foveal.errors import DataError
from foveal.models.detector import Detector
from foveal.models.inference import InferenceModel
from foveal.ops.letterbox import apply_boxes, canvas_size
from foveal.types import Array, Batch, Criterion

PICTURES = 8


class Case(NamedTuple):
    """Pictures with what is trained on (``batch.targets``) and what is measured (``truth``), and the model."""

    config: Config
    batch: Batch
    truth: Records
    detector: Detector
    criterion: Criterion
    inference: InferenceModel

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.batch.images.shape[-2:]
        return height, width

    def truth_on_canvas(self) -> list[tuple[Tensor, Tensor]]:
        """Per picture: boxes [M, 4] on the canvas and labels [M] of what is to be found, crowds left out."""
        found = []
        place = {int(image_id): p for p, image_id in enumerate(self.truth.image_ids)}
        for image_id, letterbox in zip(self.batch.image_ids, self.batch.letterboxes, strict=True):
            rows = self.truth.rows(place[image_id])
            boxes = torch.from_numpy(rows.boxes[~rows.crowd]).float()
            found.append((apply_boxes(boxes, letterbox), torch.from_numpy(rows.labels[~rows.crowd])))
        return found


def make_case(config: Config, records: Records, pictures: int = PICTURES) -> Case:
    """Build the model of a configuration and load pictures that have boxes, without augmentation.

    Where the data is tiled, tiles are what is learned. DataError where no picture with a box can be read.
    """
    seen = as_seen(records, data_of(config), train=True)
    chosen = choose_pictures(seen, pictures, config.training.seed)
    canvas = canvas_size(*data_of(config).image_size)
    loader = make_loader(chosen, canvas, len(chosen), train=False, workers=0, strict=True)
    batch = next(iter(loader))
    model = with_class_balance(config.model, seen.boxes_per_class())
    seed_everything(config.training.seed)
    detector = build_detector(model, len(records.classes.names))
    return Case(config, batch, chosen, detector, build_criterion(model), build_inference(detector, model))


def choose_pictures(records: Records, count: int, seed: int) -> Records:
    """Readable pictures with boxes, by lot, those that bring a new class first."""
    has_box = [bool((~records.rows(p).crowd).any()) for p in range(len(records))]
    order = np.random.default_rng(seed % 2**32).permutation(np.flatnonzero(has_box))
    seen: set[int] = set()
    first: list[int] = []
    later: list[int] = []
    for picture in order.tolist():
        rows = records.rows(picture)
        classes = set(rows.labels[~rows.crowd].tolist())
        (later if classes <= seen else first).append(picture)
        seen |= classes
    chosen = np.zeros(len(records), dtype=bool)
    for picture in (*first, *later):
        if chosen.sum() == count:
            break
        chosen[picture] = _readable(records, picture)
    if not chosen.any():
        raise DataError("data.train: no picture with a box can be read; run foveal doctor on it")
    return _take(records, chosen)


def _take(records: Records, chosen: Array) -> Records:
    """The pictures where ``chosen`` [P] is true; tiles, which share their picture's id, get ids of their own."""
    taken = take(records, chosen)
    if not isinstance(records, TiledRecords):
        return taken
    assert isinstance(taken, TiledRecords)
    return replace(
        taken,
        image_ids=np.arange(len(taken)),
        picture=records.picture[chosen],
        windows=records.windows[chosen],
    )


def _readable(records: Records, picture: int) -> bool:
    try:
        records.load(picture)
    except (DataError, OSError):
        return False
    return True


def backbone_features(case: Case) -> list[Tensor]:
    """C maps [B, C, H, W] of the pictures, once for all steps; the backbone is not trained here.

    Where its weights are random and its batch norm is to be trained, the norm's statistics are those of these
    pictures: untrained ones would stand for no picture at all.
    """
    backbone = case.detector.backbone
    norms = [m for m in backbone.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    random = case.config.model.architecture.backbone.params.weights is None
    backbone.eval()
    with torch.no_grad():
        images = case.detector.normalise(case.batch.images)
        if random and norms:
            for norm in norms:
                norm.train()
                norm.reset_running_stats()
                norm.momentum = None  # a plain mean over the passes: here, over one
            backbone(images)
            backbone.eval()
        features: list[Tensor] = backbone(images)
    return features
