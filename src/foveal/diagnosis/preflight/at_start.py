"""The doctor's gravest findings that cost no picture's decoding: said at the start of every run."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foveal.data.records import Records
from foveal.diagnosis.finding import Finding
from foveal.grammar import many

SAMPLE = 4096
"""Bytes at the beginning, the middle and the end by which files of one size are told apart."""
NAMED = 3


class SharedPictures(NamedTuple):
    """Validation pictures that are trained on."""

    number: int
    first: tuple[Path, Path]
    """In training and in validation."""


def start_findings(train: Records, val: Records | None, classes_chosen: bool = False) -> list[Finding]:
    """Classes that are never trained, and pictures in both parts. The rules are named as the doctor's.

    val: with the classes of training. classes_chosen: the configuration names them, so that boxes of others are
    left out on purpose. Files are told apart by size and by samples of their bytes.
    """
    found = [*_untrained(train, val)]
    if val is not None:
        dropped = 0 if classes_chosen else val.fault_counts().get("unknown_class", 0)
        if dropped:
            message = (
                f"{many(dropped, 'box', 'boxes')} of data.val are of classes that data.train does not have"
            )
            found.append(
                Finding("class_not_trained", "error", "data.val", f"{message}: left out of every figure")
            )
        shared = shared_pictures(train, val)
        if shared is not None:
            same = "" if shared.first[0] == shared.first[1] else f" as {shared.first[0]}"
            are = "is" if shared.number == 1 else "are"
            message = (
                f"{shared.number:,} of the {len(val):,} pictures of data.val {are} trained on, too: AP is memory "
                f"there. The first is {shared.first[1]}{same}"
            )
            found.append(Finding("leaked_picture", "error", "data.val", message))
    return found


def _untrained(train: Records, val: Records | None) -> Iterator[Finding]:
    trained = np.array(train.boxes_per_class())
    measured = np.zeros_like(trained) if val is None else np.array(val.boxes_per_class())
    missing = np.flatnonzero(trained == 0)
    if len(missing):
        names = [repr(train.classes.names[k]) for k in missing[np.argsort(-measured[missing], kind="stable")]]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        boxes = int(measured[missing].sum())
        cost = f", and {many(boxes, 'box', 'boxes')} in data.val: their AP is 0" if boxes else ""
        message = f"no box in data.train of {', '.join(names[:NAMED])}{more}{cost}"
        yield Finding("class_not_trained", "error", "data.train", message)


def shared_pictures(train: Records, val: Records) -> SharedPictures | None:
    """Pictures of val that are a file of train, or hold the same bytes; None: none."""
    by_file: dict[tuple[int, int], Path] = {}
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path, facts in _files(train):
        by_file.setdefault((facts.st_dev, facts.st_ino), path)
        by_size[facts.st_size].append(path)
    samples: dict[int, dict[bytes, Path]] = {}
    pairs = []
    for path, facts in _files(val):
        twin = by_file.get((facts.st_dev, facts.st_ino))
        if twin is None and facts.st_size in by_size:
            size = facts.st_size
            if size not in samples:
                samples[size] = {_sample(other, size): other for other in reversed(by_size[size])}
            twin = samples[size].get(_sample(path, size))
        if twin is not None:
            pairs.append((twin, path))
    return SharedPictures(len(pairs), pairs[0]) if pairs else None


def _files(records: Records) -> Iterator[tuple[Path, os.stat_result]]:
    """Pictures that are files of some bytes; generated ones are none."""
    for picture in range(len(records)):
        path = records.path(picture)
        try:
            facts = os.stat(path)
        except (OSError, ValueError):
            continue
        if facts.st_size:
            yield path, facts


def _sample(path: Path, size: int) -> bytes:
    """Bytes from three places; of a file that cannot be read its own name, which is like no other."""
    try:
        with path.open("rb") as stream:
            parts = []
            for start in (0, size // 2, size - SAMPLE):
                stream.seek(max(0, start))
                parts.append(stream.read(SAMPLE))
            return b"".join(parts)
    except OSError:
        return os.fsencode(path)
