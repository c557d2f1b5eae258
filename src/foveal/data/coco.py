"""COCO JSON (object detection) -> records.

The format: https://cocodataset.org/#format-data. Ids may start anywhere and have gaps; they are kept in
``Records.image_ids`` and ``ClassNames.ids``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from foveal.data.builder import UNKNOWN, RecordsBuilder
from foveal.data.coco_json import as_float, is_number, is_text, load_coco, no_garbage_collection, short, whole
from foveal.data.flags import DEFAULT_FLAGS, Flags
from foveal.data.inside import spellings
from foveal.data.records import Records

_UNMARKED = (None, 0, "", "0")
"""What ``iscrowd`` and ``ignore`` are where they say no."""


class _Categories(NamedTuple):
    names: dict[int, str]
    """File id -> name, in order of id. Ids that repeat a name are there too."""
    first: dict[str, int]
    """Name -> the lowest id that bears it."""


@no_garbage_collection()
def read_coco(
    annotations: Path,
    images: Path | None = None,
    classes: Sequence[str] | None = None,
    strict: bool = False,
    flags: Flags = DEFAULT_FLAGS,
) -> Records:
    """Read one COCO JSON file.

    images: folder that the ``file_name`` entries are relative to; default: the JSON file's own folder.
    classes: names in model order; default: every declared category that has a usable box which is no crowd,
    by id (categories without one, such as a super-category, would be outputs that nothing trains).
    A wanted class that the file does not declare gets the next free id. Boxes of other classes are dropped
    and counted. flags.crowd: what becomes of annotations with ``iscrowd`` or ``ignore``; an ignored one is kept
    with ``crowd`` set. The file's ``area`` is kept.
    Pictures without boxes stay. DataError: the file as a whole cannot be used; one bad entry is a Fault.
    """
    annotations = Path(annotations)
    content = load_coco(annotations)
    folder = Path(images) if images is not None else annotations.parent
    builder = RecordsBuilder(folder, annotations, strict)
    categories = _read_categories(content.categories, annotations, builder)
    builder.declare(categories.names, content.categories, content.images)
    wanted = list(dict.fromkeys(categories.first if classes is None else classes))
    place = {name: index for index, name in enumerate(wanted)}
    labels = {file_id: place.get(name, UNKNOWN) for file_id, name in categories.names.items()}

    by_image = _group(content.annotations, str(annotations), builder)
    seen: set[int] = set()
    for index, image in enumerate(content.images):
        image_id = _read_image(image, f"{annotations}: images[{index}]", builder, seen)
        if image_id is not None:
            boxes = by_image.get(image_id, ())
            if not boxes:
                builder.fault("empty_labels", f"{annotations}: image {image_id}", "no boxes: background")
            for where, box in boxes:
                _read_box(box, where, labels, categories, builder, flags)
    for image_id in (number for number in by_image if number not in seen):
        for where, _ in by_image[image_id]:
            builder.fault("orphan_label", where, f"no image {image_id}: dropped")
    return builder.finish(wanted, classes is not None, ids=partial(_class_ids, categories))


def _read_categories(entries: list[Any], path: Path, builder: RecordsBuilder) -> _Categories:
    names: dict[int, str] = {}
    for index, entry in enumerate(entries):
        where = f"{path}: categories[{index}]"
        category_id = whole(entry.get("id")) if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if category_id is None or not isinstance(name, str) or not name.strip() or not is_text(name):
            builder.fault(
                "unreadable_labels", where, "a category needs a whole number id and a name: left out"
            )
        elif category_id in names:
            builder.fault("duplicate_id", where, f"category id {category_id} again: the first one counts")
        else:
            names[category_id] = name.strip()
    first: dict[str, int] = {}
    for category_id in sorted(names):
        other = first.setdefault(names[category_id], category_id)
        if other != category_id:
            same = f"category {category_id} has the name of {other}, {names[other]!r}: taken as one class"
            builder.fault("duplicate_id", str(path), same)
    return _Categories({category_id: names[category_id] for category_id in sorted(names)}, first)


def _group(
    entries: list[Any], path: str, builder: RecordsBuilder
) -> dict[int, list[tuple[str, dict[str, Any]]]]:
    """Annotations by picture, each with its place in the file."""
    by_image: dict[int, list[tuple[str, dict[str, Any]]]] = {}
    ids: set[int] = set()
    for index, entry in enumerate(entries):
        image_id = whole(entry.get("image_id")) if isinstance(entry, dict) else None
        if image_id is None:
            builder.fault(
                "unreadable_labels", f"{path}: annotations[{index}]", "no whole number image_id: dropped"
            )
            continue
        box_id = whole(entry.get("id"))
        if box_id is None:
            where = f"{path}: annotations[{index}]"
        else:
            where = f"{path}: annotation {box_id}"
            if box_id in ids:
                builder.fault("duplicate_id", where, "annotation id again: both boxes are kept")
            ids.add(box_id)
        by_image.setdefault(image_id, []).append((where, entry))
    return by_image


def _read_image(entry: Any, where: str, builder: RecordsBuilder, seen: set[int]) -> int | None:
    """Make one picture current and return its id; None, counted, where it cannot be used."""
    if not isinstance(entry, dict):
        builder.fault(
            "unreadable_labels", where, f"a {type(entry).__name__} where an image is listed: left out"
        )
        return None
    image_id = whole(entry.get("id"))
    if image_id is None:
        builder.fault(
            "unreadable_labels", where, f"image id {short(entry.get('id'))} is no whole number: left out"
        )
        return None
    if image_id in seen:
        builder.fault("duplicate_id", where, f"image id {image_id} again: the first one counts")
        return None
    seen.add(image_id)
    name = entry.get("file_name")
    if not isinstance(name, str) or not name:
        builder.fault("missing_picture", where, f"image {image_id} has no file_name: left out")
        return None
    relative = builder.locate(spellings(name), where)
    if relative is None:
        return None
    height, width = whole(entry.get("height")), whole(entry.get("width"))
    declared = (height, width) if height is not None and width is not None else None
    return image_id if builder.add_picture(relative, where, image_id, declared) else None


def _read_box(
    entry: dict[str, Any],
    where: str,
    labels: dict[int, int],
    categories: _Categories,
    builder: RecordsBuilder,
    flags: Flags,
) -> None:
    category_id = whole(entry.get("category_id"))
    label = labels.get(category_id, UNKNOWN) if category_id is not None else UNKNOWN
    if label == UNKNOWN:
        name = categories.names.get(category_id) if category_id is not None else None
        what = f"class {name!r} is not wanted" if name else f"no category {short(entry.get('category_id'))}"
        builder.fault("unknown_class", where, f"{what}: dropped")
        return
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        builder.fault("bad_number", where, f"bbox {short(box)} is not four numbers: dropped")
        return
    x, y, width, height = map(as_float, box)
    if (width <= 0 or height <= 0) and math.isfinite(width) and math.isfinite(height):
        builder.fault("zero_size", where, f"bbox is {width:.6g} wide and {height:.6g} high: dropped")
        return
    marked = entry.get("iscrowd") not in _UNMARKED or entry.get("ignore") not in _UNMARKED
    ignored = flags.judge(("crowd",) if marked else (), where, builder)
    if ignored is None:
        return
    area = entry.get("area")
    builder.add_box(
        (x, y, x + width, y + height),
        label,
        where,
        crowd=ignored,
        area=as_float(area) if is_number(area) else None,
    )


def _class_ids(categories: _Categories, names: Sequence[str]) -> tuple[int, ...]:
    """The file's id of each name; ids above all of the file's for names that it does not declare."""
    free = max(categories.names, default=0) + 1
    ids = []
    for name in names:
        known = categories.first.get(name)
        ids.append(free if known is None else known)
        free += known is None
    return tuple(ids)
