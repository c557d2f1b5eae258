"""Rules on single pictures: broken, misnamed, odd in size or colour, without labels, not looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from foveal.diagnosis.doctor.looking import Look
from foveal.diagnosis.doctor.part import Hit, Part, Spot
from foveal.diagnosis.doctor.rulebook import finding
from foveal.grammar import many

SUFFIXES = {
    "JPEG": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    "MPO": frozenset({".jpg", ".jpeg", ".mpo"}),
    "PNG": frozenset({".png"}),
    "WEBP": frozenset({".webp"}),
    "BMP": frozenset({".bmp"}),
    "TIFF": frozenset({".tif", ".tiff"}),
}
FEW_TO_LEARN, FEW_TO_MEASURE = 40, 20
EMPTY_SHARE = 0.5
SIZE_RATIO = 4.0
PLAIN_MODES = frozenset({"RGB", ""})


def looks(part: Part, seen: list[Look] | None) -> Iterator[Hit]:
    """What looking at the files showed."""
    if seen is None:
        text = f"{many(len(part.records), 'picture')}, generated on demand: there is no file to look at"
        yield Hit(finding("not_looked_at", part.name, text, ""), part.name)
        return
    for picture, look in enumerate(seen):
        where = part.picture(picture)
        suffix = PurePosixPath(str(part.records.files[picture])).suffix.lower()
        if look.fault:
            yield Hit(finding("broken_picture", where, look.fault.removeprefix(f"{where}: ")), part.name)
        elif look.format and suffix not in SUFFIXES.get(look.format, {suffix}):
            text = f"is {look.format} by its content, {suffix or 'nothing'} by its name"
            yield Hit(finding("wrong_extension", where, text), part.name, Spot(part.name, picture))
    unseen = sum(not look.decoded for look in seen)
    if unseen:
        text = (
            f"the pixels of {unseen} of {many(len(seen), 'picture')}: faults and likenesses there go unseen"
        )
        yield Hit(finding("not_looked_at", part.name, text), part.name)
    yield from _colours(part, seen)


def _colours(part: Part, seen: list[Look]) -> Iterator[Hit]:
    modes = Counter(look.mode for look in seen if look.mode not in PLAIN_MODES)
    if modes:
        listed = ", ".join(f"{count} {mode}" for mode, count in modes.most_common())
        yield Hit(finding("colour_modes", part.name, f"{listed}, of {many(len(seen), 'picture')}"), part.name)
    turned = sum(look.orientation != 1 for look in seen)
    if turned:
        text = f"turned upright, with their boxes: {turned} of {many(len(seen), 'picture')}"
        yield Hit(finding("exif_rotation", part.name, text), part.name)


def picture_counts(part: Part) -> Iterator[Hit]:
    """What the records alone tell of the pictures."""
    records = part.records
    total = len(records)
    least = FEW_TO_LEARN if part.trains else FEW_TO_MEASURE
    if total < least:
        aim = "learn from" if part.trains else "measure on"
        text = f"{many(total, 'picture')} to {aim}: fewer than {least}"
        yield Hit(finding("few_pictures", part.name, text), part.name)
    if not total:
        return
    empty = int((part.boxes_per_picture == 0).sum())
    if empty > EMPTY_SHARE * total:
        seen_as = "measured" if part.measures else "trained"
        text = f"no box in {empty} of {total} pictures: {seen_as} as background"
        yield Hit(finding("mostly_empty", part.name, text), part.name)
    yield from _sizes(part)
    suffixes = Counter(PurePosixPath(str(name)).suffix for name in records.files)
    for known in SUFFIXES.values():
        mixed = {suffix: count for suffix, count in suffixes.items() if suffix.lower() in known}
        if len(mixed) > 1:
            listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(mixed.items()))
            text = f"{listed}: a search by one of them misses the others"
            yield Hit(finding("mixed_extensions", part.name, text), part.name)
            break


def _sizes(part: Part) -> Iterator[Hit]:
    widths, heights = part.records.widths, part.records.heights
    pixels = widths * heights
    low, high = int(pixels.argmin()), int(pixels.argmax())
    if pixels[high] > SIZE_RATIO * pixels[low]:
        smallest = f"{widths[low]} x {heights[low]} ({part.records.files[low]})"
        text = f"from {smallest} to {widths[high]} x {heights[high]}"
        yield Hit(finding("mixed_sizes", part.name, text), part.name)
    sizes, first, counts = np.unique(
        np.stack([widths, heights], 1), axis=0, return_index=True, return_counts=True
    )
    if 1 < len(sizes) <= 4 and len(widths) >= 20:
        for group in np.flatnonzero(counts == 1):
            text = f"{sizes[group, 0]} x {sizes[group, 1]}, the only one of {len(widths)} pictures"
            yield Hit(finding("odd_size", part.picture(int(first[group])), text), part.name)
