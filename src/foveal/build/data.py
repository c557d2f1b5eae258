"""A data section -> records, tiles and batches."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import assert_never

from foveal.config import schema
from foveal.config.load import data_of
from foveal.data.coco import read_coco
from foveal.data.csv_table import read_csv
from foveal.data.flags import Flags
from foveal.data.loader import Loader, make_loader
from foveal.data.records import Records, with_classes
from foveal.data.shapes import make_shapes
from foveal.data.tiled import numbered_tiles, tile_records
from foveal.data.voc import read_voc
from foveal.data.yolo import read_yolo
from foveal.engine.processes import rank, world_size
from foveal.errors import ConfigWarning, UsageError
from foveal.ops.letterbox import STRIDE_MULTIPLE, canvas_size
from foveal.ops.tiles import Tiling


def build_records(source: schema.Source, classes: list[str] | None = None, strict: bool = False) -> Records:
    """Read one split. classes: names in model order; None takes those of the labels."""
    if isinstance(source, schema.ShapesSource):
        shapes = make_shapes(source.pictures, source.classes, source.size, source.seed, source.empty_share)
        return shapes if classes is None else with_classes(shapes, classes)
    labels, images = Path(source.annotations), _path(source.images)
    if isinstance(source, schema.CocoSource):
        return read_coco(labels, images, classes, strict, Flags(crowd=source.crowd))
    split = _path(source.split)
    if isinstance(source, schema.VocSource):
        flags = Flags(source.difficult, source.truncated, source.occluded)
        return read_voc(labels, images, split, source.voc_corners, classes, strict, flags)
    if isinstance(source, schema.YoloSource):
        return read_yolo(labels, images, source.part, split, classes, strict, source.class_names())
    if isinstance(source, schema.CsvSource):
        flags = Flags(source.difficult, source.truncated, source.occluded, source.crowd)
        return read_csv(
            labels,
            images,
            split,
            source.part,
            source.columns,
            source.corners,
            source.units,
            classes,
            strict,
            flags,
        )
    assert_never(source)


def build_loader(records: Records, config: schema.Config, train: bool) -> Loader:
    """Batches of one split, augmented and shuffled where ``train``; of its tiles, where the data is tiled.

    ConfigWarning, where ``train``, that the canvas is not of the size that was asked for.
    """
    data = data_of(config)
    canvas = canvas_size(*data.image_size)
    if train and canvas != data.image_size:
        warnings.warn(
            f"data.image_size {list(data.image_size)} is rounded up to {list(canvas)}: sides are multiples of "
            f"{STRIDE_MULTIPLE}",
            ConfigWarning,
            stacklevel=2,
        )
    return make_loader(
        as_seen(records, data, train),
        canvas,
        config.training.batch_size,
        augment=data.augment if train else None,
        train=train,
        seed=config.training.seed,
        workers=data.workers,
        class_aware=data.class_aware_sampling and train,
        strict=data.strict,
        rank=rank(),
        world_size=world_size(),
    )


def build_tiling(tiles: schema.Tiles | None) -> Tiling | None:
    """How pictures are cut; None: they are not."""
    if tiles is None:
        return None
    height, width = tiles.size if isinstance(tiles.size, tuple) else (tiles.size, tiles.size)
    return Tiling(height, width, tiles.overlap)


def as_seen(records: Records, data: schema.Data, train: bool) -> Records:
    """What is put on the canvas: the pictures, or their tiles.

    UsageError where ``train`` and no tile would have an object, though the pictures have.
    """
    tiles, tiling = data.tiles, build_tiling(data.tiles)
    if tiles is None or tiling is None:
        return records
    if train:
        tiled = tile_records(records, tiling, tiles.min_visible, tiles.keep_empty)
        if tiled.crowd.all() and not records.crowd.all():
            raise UsageError(
                f"data.tiles: no tile shows {tiles.min_visible:g} of a box, so there is nothing to learn; "
                "take a larger data.tiles.size or a smaller data.tiles.min_visible"
            )
        return tiled
    return numbered_tiles(records, tiling, tiles.min_visible)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
