"""Names and ids for the rows of a foreign class layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foveal.convert.coco_names import COCO, COCO_ROWS
from foveal.data.coco_json import load_coco, whole
from foveal.errors import UsageError
from foveal.types import ClassNames

BACKGROUND_NAME = "__background__"
NAME_KEYS = ("CLASSES", "classes", "class_names", "names")


class Naming(NamedTuple):
    """Which rows are kept, and what they are called."""

    rows: tuple[int, ...]
    """Of the K of each anchor, in our order."""
    classes: ClassNames
    notes: tuple[str, ...]


def name_classes(
    num_classes: int,
    facts: Mapping[str, Any],
    given: Path | None = None,
    background: bool = False,
    keep_unnamed: bool = False,
) -> Naming:
    """Names from a file of the user's, else from what stands beside the weights, else COCO's, else class_0...

    num_classes: K, rows of the class layer per anchor. background: class 0 is commonly left for background.
    keep_unnamed: rows without a name of their own get one instead of being dropped.
    UsageError where the user's names do not fit.
    """
    if given is not None:
        return _given(num_classes, given, background, keep_unnamed)
    names = _beside(facts)
    if names is not None and len(names) == num_classes and len(set(names)) == len(names):
        return _all(names, tuple(range(num_classes)), "class names: those in the file")
    if num_classes == len(COCO):
        return _all(
            list(COCO.values()), tuple(COCO), "class names: none in the file; 80 classes are taken for COCO's"
        )
    if num_classes == COCO_ROWS and background:
        said = "class names: none in the file; 91 rows are taken for COCO's ids 0 to 90"
        return _by_row(num_classes, COCO, said, keep_unnamed)
    names = [f"class_{number}" for number in range(num_classes)]
    said = f"class names: none in the file, so class_0 to class_{num_classes - 1}; --classes FILE gives them"
    return _all(names, tuple(range(num_classes)), said)


def _given(num_classes: int, path: Path, background: bool, keep_unnamed: bool) -> Naming:
    by_id = _read(path)
    said = f"class names: {path.name}"
    if len(by_id) == num_classes:
        return _all(list(by_id.values()), tuple(by_id), said)
    if background and num_classes == max(by_id, default=0) + 1:
        return _by_row(num_classes, by_id, said, keep_unnamed)
    if background and num_classes == len(by_id) + 1:
        shifted = dict(enumerate(by_id.values(), start=1))
        return _by_row(num_classes, shifted, said, keep_unnamed)
    raise UsageError(
        f"{path}: {len(by_id)} names for {num_classes} classes in the weights; give one for each"
    )


def _read(path: Path) -> dict[int, str]:
    """Id -> name, by rising id: of a COCO JSON, or of a text with one name a line (ids from 0)."""
    if path.suffix.lower() == ".json":
        found: dict[int, str] = {}
        for entry in load_coco(path).categories:
            number = whole(entry.get("id")) if isinstance(entry, dict) else None
            if number is None or number < 0 or not isinstance(entry.get("name"), str) or number in found:
                raise UsageError(f"{path}: categories: {str(entry)[:60]} has no id and name of its own")
            found[number] = entry["name"]
        found = dict(sorted(found.items()))
    else:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: cannot be read as a text of class names; one name a line") from error
        found = dict(enumerate(line.strip() for line in lines if line.strip()))
    twice = sorted({name for name in found.values() if list(found.values()).count(name) > 1})
    if twice or not found:
        raise UsageError(
            f"{path}: {f'the name {twice[0]!r} stands there twice' if twice else 'holds no names'}"
        )
    return found


def _beside(facts: Mapping[str, Any]) -> list[str] | None:
    """A list of names in the file: mmdetection's meta (CLASSES; dataset_meta), or a plain one."""
    meta = facts.get("meta")
    inner = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    for place in (inner, meta, facts):
        for key in NAME_KEYS:
            names = place.get(key) if isinstance(place, Mapping) else None
            if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
                return list(names)
    return None


def _all(names: Sequence[str], ids: tuple[int, ...], said: str) -> Naming:
    return Naming(tuple(range(len(names))), ClassNames(tuple(names), ids), (said,))


def _by_row(num_classes: int, names: Mapping[int, str], said: str, keep_unnamed: bool) -> Naming:
    """Row = id; rows without a name are dropped, or get one."""
    unnamed = [row for row in range(num_classes) if row not in names]
    if keep_unnamed:
        made = {row: BACKGROUND_NAME if row == 0 else f"N/A {row}" for row in unnamed}
        every = {**names, **made}
        rows = tuple(range(num_classes))
        note = (
            f"{len(unnamed)} rows of the class layer have no class and are kept as {', '.join(made.values())}"
        )
        return Naming(rows, ClassNames(tuple(every[row] for row in rows), rows), (said, note))
    rows = tuple(sorted(names))
    note = (
        f"{len(unnamed)} of {num_classes} rows of the class layer have no class (0 is background) and are "
        f"dropped: {', '.join(map(str, unnamed))}; --keep-unnamed keeps them"
    )
    return Naming(rows, ClassNames(tuple(names[row] for row in rows), rows), (said, note))
