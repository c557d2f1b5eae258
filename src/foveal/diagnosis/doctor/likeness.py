"""Nearly the same picture, found among many: a 64-bit difference hash in buckets, confirmed on the thumbnails.

The hash (dHash): 8 x 8 bits, each whether a cell is brighter than its right neighbour; it bears rescaling,
recompression and changes of brightness. Two hashes that differ in at most BANDS - 1 bits agree on one of BANDS
bands of bits (pigeonhole), so only pictures that share a bucket are compared. Pictures of one kind, such as cells
under a microscope, come near in the hash; the thumbnails then tell them apart by their correlation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from foveal.types import Array

BANDS = 8
MOST_BITS = BANDS - 1
"""Bits in which two hashes may differ."""
LEAST_CORRELATION = 0.95
"""Of thumbnails. In 364 pictures of blood cells one pair is over it (0.976), one field of view in two focuses; the
next has 0.65. One traffic light at two zooms: 0.968."""
LEAST_CONTRAST = 6.0
"""Standard deviation of grey levels under which a picture is too plain to be told from others."""
MOST_IN_BUCKET = 3000
"""A larger bucket holds plain pictures; it is searched in slices of this size."""


def near_pairs(thumbnails: Array) -> Array:
    """[T, 2] int64 pairs (i < j) of pictures that are nearly the same. thumbnails: [P, S, S] grey levels."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    centred = flat - flat.mean(1, keepdims=True)
    contrast = centred.std(1)
    usable = np.flatnonzero(contrast > LEAST_CONTRAST)
    if len(usable) < 2:
        return np.empty((0, 2), dtype=np.int64)
    unit = centred[usable] / np.linalg.norm(centred[usable], axis=1, keepdims=True)
    hashes = difference_hash(thumbnails[usable])
    pairs = [_confirm(pair, unit) for pair in _candidates(hashes)]
    found = np.unique(np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs]), axis=0)
    return np.asarray(usable[found])


def difference_hash(thumbnails: Array) -> Array:
    """[P] uint64 of [P, S, S] grey levels, S a multiple of 8 over 8."""
    side = thumbnails.shape[1]
    rows = thumbnails.reshape(len(thumbnails), 8, side // 8, side).mean(2)
    columns = np.stack([part.mean(2) for part in np.array_split(rows, 9, axis=2)], axis=2)
    bits = columns[:, :, 1:] > columns[:, :, :-1]
    packed = np.packbits(bits.reshape(len(bits), 64), axis=1)
    return np.frombuffer(packed.tobytes(), dtype=np.uint64)


def _candidates(hashes: Array) -> Iterator[Array]:
    """[T, 2] pairs within MOST_BITS, band by band; a pair may come more than once."""
    bands = hashes.view(np.uint8).reshape(-1, BANDS)
    for band in range(BANDS):
        order = np.argsort(bands[:, band], kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(bands[order, band])) + 1):
            for start in range(0, len(bucket), MOST_IN_BUCKET):
                yield _within(bucket[start : start + MOST_IN_BUCKET], hashes)


def _within(bucket: Array, hashes: Array) -> Array:
    apart = np.bitwise_count(hashes[bucket][:, None] ^ hashes[bucket][None])
    one, other = np.nonzero(np.triu(apart <= MOST_BITS, 1))
    pairs = np.stack([bucket[one], bucket[other]], axis=1).astype(np.int64)
    return np.sort(pairs, axis=1)


def _confirm(pairs: Array, unit: Array) -> Array:
    alike = np.einsum("td,td->t", unit[pairs[:, 0]], unit[pairs[:, 1]]) > LEAST_CORRELATION
    return np.asarray(pairs[alike])


def heaps(pairs: Array, pictures: int) -> list[list[int]]:
    """Pictures that pairs hang together, each heap and all heaps in order. pairs: [T, 2]; pictures: how many."""
    leader = list(range(pictures))

    def find(picture: int) -> int:
        while leader[picture] != picture:
            leader[picture] = leader[leader[picture]]
            picture = leader[picture]
        return picture

    for one, other in pairs.tolist():
        low, high = sorted((find(one), find(other)))
        leader[high] = low
    found: dict[int, list[int]] = {}
    for picture in np.unique(pairs).tolist():
        found.setdefault(find(picture), []).append(picture)
    return list(found.values())
