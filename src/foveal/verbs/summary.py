"""A data set in a few lines: what was read, and everything that was noticed on the way."""

from __future__ import annotations

import numpy as np

from foveal.data.records import FaultKind, Records, class_counts
from foveal.data.tiled import TiledRecords
from foveal.grammar import many

MEANING: dict[FaultKind, tuple[str, str]] = {
    "no_label_file": (
        "picture without a label file, used as background",
        "pictures without a label file, used as background",
    ),
    "empty_labels": (
        "picture with empty labels, used as background",
        "pictures with empty labels, used as background",
    ),
    "only_crowd": ("picture with crowd boxes only", "pictures with crowd boxes only"),
    "crowd": ("crowd or difficult box, an ignored region", "crowd or difficult boxes, ignored regions"),
    "zero_size": ("box of zero size, left out", "boxes of zero size, left out"),
    "outside": ("box outside its picture, left out", "boxes outside their pictures, left out"),
    "clipped": ("box cut at the picture's edge", "boxes cut at the picture's edge"),
    "bad_number": ("box with bad numbers, left out", "boxes with bad numbers, left out"),
    "unknown_class": ("box of another class, left out", "boxes of other classes, left out"),
    "unreadable_picture": ("unreadable picture, left out", "unreadable pictures, left out"),
    "missing_picture": ("missing picture, left out", "missing pictures, left out"),
    "unsafe_path": (
        "picture outside the data's own folder, never opened",
        "pictures outside the data's own folder, never opened",
    ),
    "unreadable_labels": ("unreadable label file", "unreadable label files"),
    "size_mismatch": (
        "picture of another size than its labels say",
        "pictures of another size than their labels say",
    ),
    "rotated_labels": (
        "picture whose boxes were turned with it (EXIF)",
        "pictures whose boxes were turned with them (EXIF)",
    ),
    "duplicate_id": ("id or name given twice", "ids or names given twice"),
    "orphan_label": ("label without a picture, left out", "labels without a picture, left out"),
    "moved_path": (
        "path that was found elsewhere than written",
        "paths that were found elsewhere than written",
    ),
    "class_list": ("doubt about the list of classes", "doubts about the list of classes"),
    "polygon": ("outline, read as the box around it", "outlines, read as the boxes around them"),
    "duplicate_box": ("box that stands twice, left out once", "boxes that stand twice, left out once"),
    "flagged": (
        "box left out for a flag, as the settings say",
        "boxes left out for a flag, as the settings say",
    ),
}
"""Words for a kind of fault: of one, and of several."""
CLASSES_SHOWN = 12


def describe_data(title: str, records: Records) -> str:
    """Counts of pictures, boxes and classes, then one line per kind of fault with its first place."""
    counts = class_counts(records)
    order = (-counts).argsort(kind="stable")
    shown = [f"{records.classes.names[k]} {counts[k]}" for k in order[:CLASSES_SHOWN]]
    if len(counts) > CLASSES_SHOWN:
        shown.append(f"and {len(counts) - CLASSES_SHOWN} more")
    numbers = (
        many(len(records), "picture"),
        many(int(counts.sum()), "box", "boxes"),
        many(len(counts), "class", "classes"),
    )
    head = f"{title}: {', '.join(numbers)} ({', '.join(shown)})"
    lines = [head]
    for kind, count in sorted(records.fault_counts().items(), key=lambda item: -item[1]):
        first = next(fault for fault in records.faults if fault.kind == kind)
        words = many(count, *MEANING[first.kind])
        lines.append(f"  {words}; first: {first.where}: {first.message}")
    return "\n".join(lines)


def describe_tiles(title: str, tiles: TiledRecords) -> str:
    """What pictures were cut into, and how many tiles have something to find, in a line."""
    holders = np.repeat(np.arange(len(tiles)), np.diff(tiles.offsets))
    empty = len(tiles) - len(np.unique(holders[~tiles.crowd]))
    size = f"{tiles.tiling.width} x {tiles.tiling.height} pixels, {tiles.tiling.overlap:.0%} shared"
    return (
        f"{title}: {len(tiles.source)} pictures seen as {len(tiles)} tiles of {size}: "
        f"{int((~tiles.crowd).sum())} boxes, {int(tiles.crowd.sum())} ignored regions, {empty} tiles without a box"
    )
