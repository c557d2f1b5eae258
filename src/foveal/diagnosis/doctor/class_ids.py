"""Rules on what a label file declares: ids, classes without boxes, families of classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from foveal.data.layout import part_of
from foveal.diagnosis.doctor.class_counts import all_counts, counts_of
from foveal.diagnosis.doctor.part import Hit, Part
from foveal.diagnosis.doctor.rulebook import finding
from foveal.grammar import many

SHOWN = 12


def class_ids(parts: Sequence[Part]) -> Iterator[Hit]:
    """Everything here is a note: readers cope, other programs may not."""
    boxes = all_counts(parts)
    seen: set[frozenset[tuple[int, str]]] = set()
    for part in parts:
        account = part.records.account
        declared = {} if account is None else account.categories
        key = frozenset(declared.items())
        if declared and key not in seen:
            seen.add(key)
            yield from _ids(part, declared)
        if account is None:
            continue
        here = counts_of(part)
        empty = sorted({name for name in declared.values() if not here.get(name)})
        families = [name for name in empty if name in account.super_categories and not boxes.get(name)]
        for name in families:
            text = f"{name!r} has no box and is named as the super-category of others"
            yield Hit(finding("super_category", part.name, text), part.name)
        empty = [name for name in empty if name not in families]
        if empty:
            names = ", ".join(map(repr, empty[:SHOWN])) + (" ..." if len(empty) > SHOWN else "")
            total = many(len(declared), "declared class", "declared classes")
            text = f"without a box: {len(empty)} of {total}: {names}"
            yield Hit(finding("class_without_boxes", part.name, text), part.name)
        yield from _foreign(part)
    yield from _picture_ids(parts)
    for name in sorted(name for part in parts[:1] for name, count in counts_of(part).items() if not count):
        if not any(
            name in (p.records.account.categories.values() if p.records.account else ()) for p in parts
        ):
            text = f"{name!r} is wanted and has no box"
            yield Hit(finding("class_without_boxes", parts[0].name, text), parts[0].name)


def _ids(part: Part, declared: dict[int, str]) -> Iterator[Hit]:
    low, high = min(declared), max(declared)
    source = getattr(part.source, "format", "")
    if low == 0 and source == "coco":
        yield Hit(finding("ids_from_zero", part.name, f"class id 0 is {declared[0]!r}"), part.name)
    gaps = high - low + 1 - len(declared)
    if gaps:
        text = f"{many(len(declared), 'class id')} from {low} to {high}, {gaps} missing between"
        yield Hit(finding("ids_with_gaps", part.name, text), part.name)


def _picture_ids(parts: Sequence[Part]) -> Iterator[Hit]:
    """Only COCO's pictures have ids of their own."""
    ids = [
        set(part.records.image_ids.tolist()) for part in parts if getattr(part.source, "format", "") == "coco"
    ]
    shared = sum(map(len, ids)) - len(set().union(*ids))
    if shared:
        text = f"in one part and again in another: {many(shared, 'picture id')}"
        yield Hit(finding("ids_restart", "parts", text))


def _foreign(part: Part) -> Iterator[Hit]:
    """The part that COCO's own addresses name, where it is another one than this."""
    account = part.records.account
    assert account is not None
    # .../val2017/000000000139.jpg: the folder before the file.
    origins = {
        picture: part_of(url.rpartition("/")[0].rpartition("/")[2]) for picture, url in account.urls.items()
    }
    foreign = [picture for picture, origin in origins.items() if origin not in (None, part.name)]
    if foreign and part.name in ("train", "val", "test"):
        url = account.urls[foreign[0]]
        text = f"{len(foreign)} of {many(len(part.records), 'picture')}, by their coco_url, such as {url}"
        yield Hit(finding("foreign_part", part.name, text), part.name)
