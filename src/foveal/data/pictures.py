"""One picture from the records to its canvas, and pictures to a batch: what a worker process does."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from foveal.config.schema import Augment
from foveal.data.augment import Sample, augment, mosaic
from foveal.data.records import Records
from foveal.data.sampler import Item, make_rng
from foveal.errors import DataError
from foveal.ops.letterbox import PAD_VALUE, apply_boxes, apply_letterbox, fit_letterbox
from foveal.types import Array, Batch, Letterbox, Target

MOST_UNREADABLE = 100
"""Unreadable pictures in a row after which looking for a readable one is given up."""


Unreadable = Literal["next", "blank", "error"]
"""What takes the place of a picture that cannot be read: the next readable one (training), an empty canvas whose
boxes then count as missed (evaluation), or nothing: it is an error."""


class Loaded(NamedTuple):
    """One picture on its canvas, ready for a batch."""

    sample: Sample
    image_id: int
    letterbox: Letterbox
    unreadable: tuple[str, ...]
    """A line for every picture that could not be read."""


class Pictures(Dataset[Any]):
    """Loads one item; everything random follows from (seed, epoch, picture, occurrence)."""

    def __init__(self, records: Records, augment: Augment | None, seed: int, unreadable: Unreadable) -> None:
        self.records = records
        self.augment = augment
        self.seed = seed
        self.unreadable = unreadable

    def __getitem__(self, item: Item) -> Loaded | DataError:
        """The picture, or the error that the main process is to raise."""
        try:
            return self._load(item)
        except DataError as error:
            # Raised here, it would reach the user as a worker's traceback.
            return error

    def _load(self, item: Item) -> Loaded:
        unreadable: list[str] = []
        index, sample = self._read(item.picture, unreadable)
        image_id = int(self.records.image_ids[index])
        if self.augment is None:
            letterbox = fit_letterbox(*sample.size, item.canvas)
            image = apply_letterbox(sample.image, letterbox, item.canvas)
            placed = sample._replace(image=image, boxes=apply_boxes(sample.boxes, letterbox))
            return Loaded(placed, image_id, letterbox, tuple(unreadable))
        rng = make_rng(self.seed, item.epoch, item.picture, item.occurrence)
        if rng.random() < self.augment.mosaic:
            others = rng.integers(len(self.records), size=3)
            four = [sample, *(self._read(int(other), unreadable)[1] for other in others)]
            placed, letterbox = mosaic(four, item.canvas, self.augment, rng)
        else:
            placed, letterbox = augment(sample, item.canvas, self.augment, rng)
        return Loaded(placed, image_id, letterbox, tuple(unreadable))

    def _read(self, index: int, unreadable: list[str]) -> tuple[int, Sample]:
        """The picture at ``index``, or what is to stand in its place where it cannot be read."""
        place = index
        for _ in range(min(MOST_UNREADABLE, len(self.records))):
            try:
                pixels = self.records.load(place)
            except (DataError, OSError) as error:
                line = _name(error, self.records, place)
                if self.unreadable == "error":
                    raise DataError(line) from error
                unreadable.append(line)
                if self.unreadable == "next":
                    # Past the other tiles of the same picture, where there are any.
                    same = int((self.records.files == self.records.files[place]).sum())
                    place = (place + same) % len(self.records)
                    continue
                size = int(self.records.heights[place]), int(self.records.widths[place])
                pixels = np.full((*size, 3), PAD_VALUE, dtype=np.uint8)
            return place, _sample(pixels, self.records, place)
        raise DataError(f"{len(unreadable)} pictures in a row cannot be read; the first: {unreadable[0]}")


class Packed(NamedTuple):
    """A batch as it leaves a worker: one tensor and plain arrays, since every tensor takes a file handle."""

    images: Tensor
    boxes: Array
    labels: Array
    crowd: Array
    counts: Array
    image_ids: tuple[int, ...]
    letterboxes: tuple[Letterbox, ...]
    unreadable: tuple[str, ...]


def collate(loaded: list[Loaded | DataError]) -> Packed | DataError:
    """Join pictures of one canvas size; the first error wins."""
    for picture in loaded:
        if isinstance(picture, DataError):
            return picture
    good = [picture for picture in loaded if isinstance(picture, Loaded)]
    samples = [picture.sample for picture in good]
    # In a worker, torch's own collate writes straight into the memory that the main process will see.
    images = default_collate([sample.image.permute(1, 2, 0) for sample in samples]).permute(0, 3, 1, 2)
    return Packed(
        images,
        np.concatenate([sample.boxes.numpy() for sample in samples]),
        np.concatenate([sample.labels.numpy() for sample in samples]),
        np.concatenate([sample.crowd.numpy() for sample in samples]),
        np.array([len(sample.labels) for sample in samples]),
        tuple(picture.image_id for picture in good),
        tuple(picture.letterbox for picture in good),
        tuple(line for picture in good for line in picture.unreadable),
    )


def unpack(packed: Packed) -> Batch:
    """What the loader yields, made of what a worker sent."""
    sizes = packed.counts.tolist()
    boxes, labels, crowd = (
        torch.split(torch.from_numpy(column), sizes) for column in (packed.boxes, packed.labels, packed.crowd)
    )
    targets = tuple(Target(*rows) for rows in zip(boxes, labels, crowd, strict=True))
    return Batch(packed.images, targets, packed.image_ids, packed.letterboxes)


def _sample(pixels: Array, records: Records, place: int) -> Sample:
    rows = records.rows(place)
    return Sample(
        torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1),
        torch.from_numpy(rows.boxes.astype(np.float32)),
        torch.from_numpy(rows.labels.astype(np.int64)),
        torch.from_numpy(rows.crowd.astype(bool)),
    )


def _name(error: Exception, records: Records, place: int) -> str:
    """One line that names the picture."""
    path, text = str(records.path(place)), " ".join(str(error).split())
    return text if path in text else f"{path}: {text}"
