"""Average precision of many draws of pictures at once, from one matching."""

from __future__ import annotations

import numpy as np

from foveal.metrics.matching import NONE, Matching
from foveal.types import Array

RECALLS = np.linspace(0, 1, 101)
_CHUNK = 4_000_000
"""Entries of a table of draws and detections that are held at a time."""


def draw_weights(pictures: int, samples: int, seed: int = 0) -> Array:
    """[S, P] int64: how often each draw of ``pictures`` pictures, with replacement, takes each of them."""
    rng = np.random.default_rng(seed)
    places = np.arange(pictures)
    draws = [np.bincount(rng.choice(places, pictures), minlength=pictures) for _ in range(samples)]
    return np.array(draws, dtype=np.int64).reshape(samples, pictures)


def class_precision(matching: Matching, label: int, weights: Array) -> Array:
    """[S, T] COCO's average precision of one class when every picture counts as often as its weight says.

    weights: [S, P]. NaN where a draw holds no box of the class. Equal to the evaluator on pictures repeated so
    often: among the copies of a right detection precision rises with recall, so that only the point after the last
    copy bears on the precision at any recall. (Two detections of one picture and class with the same score, one
    right and one wrong, come in another order.)
    """
    mine = matching.of_class(label)
    mine = mine[~matching.ignored[:, mine].all(axis=0)]
    table = np.full((len(weights), len(matching.thresholds)), np.nan)
    positives = weights @ matching.positives[:, label]
    known = np.flatnonzero(positives)
    step = max(1, _CHUNK // max(len(mine), 1))
    for start in range(0, len(known), step):
        some = known[start : start + step]
        counts = weights[some].astype(np.int32)[:, matching.pictures[mine]]
        seen = np.cumsum(counts, axis=1, dtype=np.int32)
        needed = _needed(positives[some])
        for t in range(len(matching.thresholds)):
            right = np.flatnonzero(matching.found[t, mine] != NONE)
            counted = seen[:, right]
            if len(passed := np.flatnonzero(matching.ignored[t, mine])):
                over = np.cumsum(counts[:, passed], axis=1, dtype=np.int32)
                before = np.searchsorted(passed, right)
                counted[:, before > 0] -= over[:, before[before > 0] - 1]
            table[some, t] = _average_precision(counted, counts[:, right], needed)
    return table


def over_classes(tables: Array) -> Array:
    """[S] COCO's mean of [K, S, T] over thresholds and the classes that have boxes; NaN where none has."""
    known = ~np.isnan(tables)
    total = np.where(known, tables, 0.0).sum(axis=(0, 2))
    count = known.sum(axis=(0, 2))
    mean: Array = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean


def _needed(positives: Array) -> Array:
    """[S, 101] how many boxes have to be found for each recall: the least c with c / positives >= recall."""
    whole = positives[:, None]
    needed = np.ceil(RECALLS * whole).astype(np.int64)
    # The product is rounded, and what counts is the quotient, as in pycocotools.
    needed -= (needed > 0) & ((needed - 1) / whole >= RECALLS)
    needed += needed / whole < RECALLS
    return needed


def _average_precision(seen: Array, counts: Array, needed: Array) -> Array:
    """[S] from the right detections, best first: their weights [S, R], and those of all up to each [S, R]."""
    right = np.cumsum(counts, axis=1, dtype=np.int64)
    precision = np.divide(right, seen, out=np.zeros(seen.shape), where=seen > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.pad(envelope, ((0, 0), (0, 1)))
    # One search for all draws: each has a range of whole numbers of its own.
    draws, found = right.shape
    shift = np.arange(draws)[:, None] * (max(int(right.max(initial=0)), int(needed.max(initial=0))) + 1)
    reached = np.searchsorted((right + shift).ravel(), (needed + shift).ravel()).reshape(needed.shape)
    reached -= np.arange(draws)[:, None] * found
    values: Array = np.take_along_axis(envelope, reached, axis=1).mean(axis=1)
    return values
