"""``data.yaml`` -> section ``data``: where pictures and labels lie, and the class names.

Facts: dataloaders/detection.py and docs/components/data.md: NetsPresso's detector reads YOLO text files only, one
for each picture of ``image``, by its stem; it passes over pictures without one, and does not use ``pattern``. A
label path that holds COCO JSON or Pascal VOC XML is read all the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from foveal.config.document import Key, dotted
from foveal.config.netspresso.ledger import walk
from foveal.config.netspresso.translation import Translation

DATA: Key = ("data",)
PATHS: Key = (*DATA, "path")
SPLITS = {"train": "train", "valid": "val"}
YOLO = "YOLO text"
ABSENT = "there are no label files now; taken for YOLO text, the only labels that NetsPresso's detector reads"
SEVERAL = "it holds several JSON files; write the one that is meant into data"
NO_FOLDER = "it is neither a folder nor a JSON file"
NO_PAIR = "is background here, where NetsPresso passes over it; move it elsewhere if it shows objects"
NO_TEST = "training looks at train and val only; foveal evaluate measures on another set"
COLOURS = "Foveal draws each class in a colour of its own"
NAMES: dict[Key, tuple[str, ...]] = {
    DATA: (
        "name",
        "task",
        "format",
        "path",
        "id_mapping",
        "pallete",
        "palette",
        "label_image_mode",
        "metadata",
    ),
    PATHS: ("root", "train", "valid", "test", "pattern"),
    **{(*PATHS, part): ("image", "label") for part in ("train", "valid", "test", "pattern")},
}


def data(t: Translation) -> None:
    """The whole section; where no labels can be read, ``data.train`` is left out."""
    if not t.has(DATA):
        return
    _about(t)
    root = _root(t)
    for theirs, ours in SPLITS.items():
        _split(t, (*PATHS, theirs), (*DATA, ours), root)
    for name in ("image", "label"):
        key = (*PATHS, "test", name)
        if t.has(key):
            t.ignore(key, NO_TEST)
        key = (*PATHS, "pattern", name)
        if t.has(key):
            t.ignore(
                key, "a label belongs to the picture of its name; NetsPresso's detector goes by that, too"
            )
    _classes(t, root)
    reasons = {"pallete": COLOURS, "palette": COLOURS, "label_image_mode": "it is of segmentation"}
    t.ignore_known(
        DATA, {**reasons, "metadata": "data sets of the Hugging Face hub are not read; give files"}
    )


def _about(t: Translation) -> None:
    if t.has((*DATA, "name")):
        t.ignore((*DATA, "name"), "it is a nickname")
    task, layout = (*DATA, "task"), (*DATA, "format")
    if t.has(task):
        if str(t.get(task)).lower() == "detection":
            t.used(task, "detection is what Foveal does")
        else:
            t.ledger.fault(t.origin(task), f"task {t.get(task)!r} has no equal here; Foveal does: detection")
    if t.has(layout):
        if t.get(layout) == "local":
            t.used(layout, "files on this machine")
        else:
            t.ignore(layout, "only files on this machine are read")


def _root(t: Translation) -> Path | None:
    """Their root starts where the trainer was started; ours, written in full, does not move."""
    key = (*PATHS, "root")
    if not t.has(key):
        return None
    value = t.get(key)
    if not isinstance(value, str) or not value.strip():
        t.ignore(key, "it names no folder")
        return None
    here = Path(value).expanduser()
    for start in (Path.cwd(), t.origin(key).folder):
        if (start / here).is_dir():
            root = (start / here).resolve()
            t.map(key, (*DATA, "root"), str(root))
            return root
    t.map(key, (*DATA, "root"), value, "there is no such folder now; from the configuration's own folder")
    return here


def _split(t: Translation, theirs: Key, ours: Key, root: Path | None) -> None:
    image, label = (*theirs, "image"), (*theirs, "label")
    folder = t.get(label)
    if not isinstance(folder, str):
        for key in (image, label):
            if t.has(key):
                t.ignore(key, "there are no labels beside it")
        return
    found = _labels(root or Path(), folder)
    if found.kind is None:
        for key in (image, label):
            if t.has(key):
                t.ignore(key, found.how, warning=key == label)
        return
    t.put(label, ours, {"format": found.kind})
    t.map(label, (*ours, "annotations"), found.annotations, found.how)
    if found.how == ABSENT:
        t.ledger.warn(t.origin(label), f"{dotted(label)}: {folder}: {ABSENT}")
    elif found.kind == "yolo":
        t.ledger.remark(t.origin(label), f"{dotted(label)}: a picture without a label file {NO_PAIR}")
    if isinstance(t.get(image), str):
        t.map(image, (*ours, "images"), t.get(image))
    elif t.has(image):
        t.ignore(image, "there are no pictures")


class _Labels(NamedTuple):
    """What a label path of theirs holds."""

    kind: str | None
    """Foveal's name of the format; None: no labels."""
    annotations: str
    how: str
    """What a person should know of it, or why there are none."""


def _labels(root: Path, label: str) -> _Labels:
    """Text files count before others, since theirs reads nothing else; an absent folder is taken to hold them."""
    path = root / label
    if path.suffix.lower() == ".json":
        return _Labels("coco", label, "COCO JSON")
    if path.exists() and not path.is_dir():
        return _Labels(None, label, NO_FOLDER)
    names = sorted(file.name for file in path.iterdir() if file.is_file()) if path.is_dir() else []
    if any(name.endswith(".txt") and "classes" not in name for name in names):
        return _Labels("yolo", label, YOLO)
    jsons = [name for name in names if name.lower().endswith(".json")]
    if len(jsons) == 1:
        return _Labels("coco", f"{label.rstrip('/')}/{jsons[0]}", "COCO JSON")
    if any(name.lower().endswith(".xml") for name in names):
        return _Labels("voc", label, "Pascal VOC XML")
    return _Labels(None, label, SEVERAL) if jsons else _Labels("yolo", label, ABSENT)


def _classes(t: Translation, root: Path | None) -> None:
    """Their list is both: the names of the label files' ids, and the classes of the model in their order."""
    key = (*DATA, "id_mapping")
    if not t.has(key):
        return
    value: Any = t.get(key)
    how = []
    if isinstance(value, str):  # a JSON file below the root
        how.append(f"of {value}")
        try:
            value = json.loads(((root or Path()) / value).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            missing = f"{value} cannot be read as a JSON list of names now; write data.classes"
            yolo = [name for name in SPLITS.values() if t.ours.get((*DATA, name, "format")) == "yolo"]
            t.ignore(key, ", and names into data.".join([missing, *yolo]), warning=True)
            return
    if value is None:
        t.ignore(key, "")
        return
    names = _names(value)
    if not names:
        t.ledger.fault(
            t.origin(key),
            "id_mapping must be a list of class names, ids with names, or a file that holds either",
        )
        return
    whole = list(names) == list(range(len(names)))
    for split in SPLITS.values():
        if t.ours.get((*DATA, split, "format")) == "yolo":
            t.put(key, (*DATA, split, "names"), list(names.values()) if whole else names)
            how.append(f"names of data.{split}, too")
    t.map(key, (*DATA, "classes"), list(names.values()), "; ".join(how))
    for inner, _ in walk(t.get(key), key):
        t.used(inner)


def _names(value: Any) -> dict[int, str]:
    """Names by id: of a list, of ids with names, or of names with ids; empty where it is none of these."""
    if isinstance(value, list):
        pairs: list[tuple[Any, Any]] = list(enumerate(value))
    elif isinstance(value, dict):
        pairs = list(value.items())
        if all(type(number) is int for number in value.values()):
            pairs = [(str(number), name) for name, number in pairs]
    else:
        return {}
    names = {
        int(number): name
        for number, name in pairs
        if str(number).isascii() and str(number).isdigit() and isinstance(name, str)
    }
    return dict(sorted(names.items())) if len(names) == len(pairs) else {}
