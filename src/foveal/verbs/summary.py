"""A data set in a few lines: what was read, and everything that was noticed on the way."""

from __future__ import annotations

from foveal.data.records import FaultKind, Records, class_counts

MEANING: dict[FaultKind, str] = {
    "no_label_file": "pictures without a label file, used as background",
    "empty_labels": "pictures with empty labels, used as background",
    "only_crowd": "pictures with crowd boxes only",
    "crowd": "crowd or difficult boxes, ignored regions",
    "zero_size": "boxes of zero size, left out",
    "outside": "boxes outside their picture, left out",
    "clipped": "boxes cut at the picture's edge",
    "bad_number": "boxes with bad numbers, left out",
    "unknown_class": "boxes of other classes, left out",
    "unreadable_picture": "unreadable pictures, left out",
    "missing_picture": "missing pictures, left out",
    "unsafe_path": "pictures outside the data's own folder, never opened",
    "unreadable_labels": "unreadable label files",
    "size_mismatch": "pictures of another size than their labels say",
    "rotated_labels": "pictures whose boxes were turned with them (EXIF)",
    "duplicate_id": "repeated ids, left out",
    "orphan_label": "labels without a picture, left out",
}
CLASSES_SHOWN = 12


def describe_data(title: str, records: Records) -> str:
    """Counts of pictures, boxes and classes, then one line per kind of fault with its first place."""
    counts = class_counts(records)
    order = (-counts).argsort(kind="stable")
    shown = [f"{records.classes.names[k]} {counts[k]}" for k in order[:CLASSES_SHOWN]]
    if len(counts) > CLASSES_SHOWN:
        shown.append(f"and {len(counts) - CLASSES_SHOWN} more")
    head = (
        f"{title}: {len(records)} pictures, {counts.sum()} boxes, {len(counts)} classes ({', '.join(shown)})"
    )
    lines = [head]
    for kind, count in sorted(records.fault_counts().items(), key=lambda item: -item[1]):
        first = next(fault for fault in records.faults if fault.kind == kind)
        lines.append(f"  {count} {MEANING[first.kind]}; first: {first.where}: {first.message}")
    return "\n".join(lines)
