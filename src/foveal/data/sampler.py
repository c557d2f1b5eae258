"""Which pictures make up which batch: shuffled, weighted, sharded over processes, resumable to the batch.

The order of an epoch follows from the seed and the epoch's number alone, so that a resumed run sees what the
undisturbed one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from foveal.data.records import Records
from foveal.errors import UsageError
from foveal.ops.letterbox import canvas_size
from foveal.types import Array

_SEED_RANGE = 2**32


class Item(NamedTuple):
    """One picture to load, with all that its loading depends on."""

    picture: int
    epoch: int
    occurrence: int
    """How often the picture came before in this epoch (weighted sampling repeats pictures)."""
    canvas: tuple[int, int]
    """Height and width, the same for the whole batch."""


def make_rng(seed: int, *place: int) -> np.random.Generator:
    """Generator for one place in a run, such as (epoch, picture); any seed will do, also a negative one."""
    return np.random.default_rng((seed % _SEED_RANGE, *place))


class BatchSampler:
    """Lists of items, a list per batch; the state says which epoch and batch come next.

    length: pictures in the set. batch_size: per process. weights: [length] how much more often than others a
    picture is drawn; an epoch keeps its length. multi_scale: factors on image_size, one drawn per batch.
    groups: [length] which items are cut from one picture; with them, items come from ``mixed`` pictures at a time.
    rank, world_size: of this process. With ``shuffle`` the processes split each global batch of batch_size *
    world_size pictures; without it they take whole batches in turn, so that each is one that a process alone has.
    An incomplete last batch is dropped with ``drop_last``, unless it is the only one.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        image_size: tuple[int, int],
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        weights: Array | None = None,
        multi_scale: Sequence[float] | None = None,
        groups: Array | None = None,
        mixed: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if length < 1 or batch_size < 1:
            raise ValueError(f"length {length} and batch_size {batch_size} must be at least 1")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not in 0..{world_size - 1}")
        if weights is not None and (len(weights) != length or not (np.asarray(weights) > 0).all()):
            raise ValueError(f"weights must be {length} positive numbers")
        self.length, self.batch_size, self.image_size = length, batch_size, image_size
        self.seed, self.shuffle, self.drop_last = seed, shuffle, drop_last
        self.weights, self.multi_scale = weights, multi_scale
        self.groups, self.mixed = groups, mixed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self.start = 0
        self.next_batch = 0

    def __len__(self) -> int:
        """Batches of one epoch for this process."""
        if not self.shuffle:
            whole, rest = divmod(self.length, self.batch_size)
            batches = whole if rest == 0 or (self.drop_last and whole > 0) else whole + 1
            return len(range(self.rank, batches, self.world_size))
        whole, rest = divmod(self.length, self.batch_size * self.world_size)
        if rest == 0 or (self.drop_last and whole > 0):
            return whole
        return whole + (1 if self._shard(np.arange(rest)).size else 0)

    def __iter__(self) -> Iterator[list[Item]]:
        """One epoch; the first time after ``load_state_dict``, its rest.

        Workers read ahead, so what was yielded was not yet used: ``advance`` says what was.
        """
        epoch, order, start = self.epoch, self._order(self.epoch), self.start
        seen = _occurrences(order)
        self.start = 0
        for batch in range(start, len(self)):
            places = self._places(batch)
            canvas = self._canvas(epoch, batch)
            yield [Item(int(order[p]), epoch, int(seen[p]), canvas) for p in places]

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch; nothing happens where it has already begun."""
        if epoch != self.epoch:
            self.epoch, self.start, self.next_batch = epoch, 0, 0

    def advance(self, epoch: int, batches: int) -> None:
        """Note that ``batches`` of an epoch have been used; after its last the next epoch begins."""
        self.epoch, self.next_batch = (epoch, batches) if batches < len(self) else (epoch + 1, 0)

    def state_dict(self) -> dict[str, Any]:
        """Where the run is, and what the order depends on."""
        return {**self._identity(), "epoch": self.epoch, "next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state. UsageError where it belongs to another order of pictures."""
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise UsageError(
                    f"cannot resume the data order: {name} was {state.get(name)}, now it is {value}"
                )
        self.epoch = int(state["epoch"])
        self.start = self.next_batch = int(state["next_batch"])

    @property
    def sampler(self) -> Self:
        """Itself: where pytorch-lightning looks for ``set_epoch``."""
        return self

    def _identity(self) -> dict[str, Any]:
        return {
            "pictures": self.length,
            "global_batch_size": self.batch_size * self.world_size,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "weighted": self.weights is not None,
            **({} if self.groups is None else {"mixed": self.mixed}),
        }

    def _order(self, epoch: int) -> Array:
        """[length] picture indices of one epoch."""
        if not self.shuffle and self.weights is None:
            return np.arange(self.length)
        rng = make_rng(self.seed, epoch)
        order = self._drawn(rng)
        if self.groups is None or not self.shuffle:
            return order
        # Each picture has its turn, at which its items begin to come, spread over the turns of the next ones.
        # Those of the last turns go on at the epoch's beginning, so that it is as mixed as the rest.
        pictures = int(self.groups.max()) + 1
        turn = rng.permutation(pictures)[self.groups[order]]
        place = (turn + self.mixed * rng.random(len(order))) % pictures
        return order[np.argsort(place, kind="stable")]

    def _drawn(self, rng: np.random.Generator) -> Array:
        """[length] items of one epoch, weighted and shuffled as the settings say."""
        order = rng.permutation(self.length)
        if self.weights is None:
            return order
        # Systematic sampling: every picture comes floor or ceil of its expected number of times.
        steps = np.cumsum(self.weights[order])
        points = (np.arange(self.length) + rng.random()) * (steps[-1] / self.length)
        chosen = order[np.searchsorted(steps, points, side="right").clip(max=self.length - 1)]
        return rng.permutation(chosen) if self.shuffle else chosen

    def _places(self, batch: int) -> Array:
        """Places in the epoch's order that make up batch number ``batch`` of this process."""
        if not self.shuffle:
            number = batch * self.world_size + self.rank
            return np.arange(number * self.batch_size, min((number + 1) * self.batch_size, self.length))
        step = self.batch_size * self.world_size
        return self._shard(np.arange(batch * step, min((batch + 1) * step, self.length)))

    def _shard(self, places: Array) -> Array:
        """This process' part of one global batch's places."""
        if self.drop_last and len(places) < self.batch_size * self.world_size:
            # Training on fewer pictures than processes x batch size: every process must have the same number.
            each = -(-len(places) // self.world_size)
            places = np.resize(places, each * self.world_size)
        return np.array_split(places, self.world_size)[self.rank]

    def _canvas(self, epoch: int, batch: int) -> tuple[int, int]:
        """Canvas of one batch, the same in every process."""
        height, width = self.image_size
        if not self.multi_scale:
            return canvas_size(height, width)
        factor = float(make_rng(self.seed, epoch, batch, 1).choice(self.multi_scale))
        return canvas_size(max(1, round(height * factor)), max(1, round(width * factor)))


def class_aware_weights(records: Records, threshold: float | None = None) -> Array:
    """[P] how much more often each picture is drawn, so that rare classes are seen more.

    Repeat factor sampling (LVIS, Gupta et al. 2019): with f(c) the share of pictures that hold class c,
    r(c) = max(1, sqrt(t / f(c))), and a picture's weight is the largest r(c) of its classes, 1 if empty.
    threshold: t; LVIS takes 0.001 for 1,203 classes. Default: the mean of f over the classes that occur,
    so that sets of any number of classes are balanced towards their middle.
    """
    holders = np.repeat(np.arange(len(records)), np.diff(records.offsets))[~records.crowd]
    labels = records.labels[~records.crowd]
    weights = np.ones(len(records))
    if len(labels) == 0:
        return weights
    pairs = np.unique(np.stack([holders, labels], 1), axis=0)
    frequency = np.bincount(pairs[:, 1], minlength=len(records.classes.names)) / len(records)
    t = float(frequency[frequency > 0].mean()) if threshold is None else threshold
    repeat = np.maximum(1.0, np.sqrt(t / np.maximum(frequency, 1 / len(records))))
    np.maximum.at(weights, pairs[:, 0], repeat[pairs[:, 1]])
    return weights


def _occurrences(order: Array) -> Array:
    """[P] how often each entry came before in the list."""
    by_value = np.argsort(order, kind="stable")
    values = order[by_value]
    starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    run_lengths = np.diff(np.r_[starts, len(values)])
    counts = np.empty(len(order), dtype=np.int64)
    counts[by_value] = np.arange(len(order)) - np.repeat(starts, run_lengths)
    return counts
