"""``data.yaml`` -> section ``data``: where pictures and labels lie, and the class names.

Facts: dataloaders/detection.py and docs/components/data.md: NetsPresso's detector reads YOLO text files only; a
label path that holds COCO JSON or Pascal VOC XML is read all the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foveal.config.document import Key
from foveal.config.netspresso.translation import Translation

DATA: Key = ("data",)
PATHS: Key = (*DATA, "path")
SPLITS = {"train": "train", "valid": "val"}
YOLO = "its labels are YOLO text files, which Foveal does not read: convert them to COCO JSON"
ABSENT = "it is not there now, and NetsPresso's own labels are YOLO text files, which Foveal does not read"
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
            t.ignore(key, "a picture is found by its file name in the labels, or the label by the picture's")
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
    kind, annotations = _labels(root or Path(), folder)
    if kind is None:
        for key in (image, label):
            if t.has(key):
                t.ignore(key, YOLO if ((root or Path()) / folder).exists() else ABSENT, warning=key == label)
        return
    t.put(label, ours, {"format": kind})
    how = "COCO JSON" if kind == "coco" else "Pascal VOC XML"
    t.map(label, (*ours, "annotations"), annotations, how)
    if isinstance(t.get(image), str):
        t.map(image, (*ours, "images"), t.get(image))
    elif t.has(image):
        t.ignore(image, "there are no pictures")


def _labels(root: Path, label: str) -> tuple[str | None, str]:
    """Format and path of labels; None for YOLO, which is all that theirs reads, and for an absent folder."""
    path = root / label
    if path.suffix.lower() == ".json":
        return "coco", label
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir() if file.is_file())
        jsons = [name for name in names if name.lower().endswith(".json")]
        if len(jsons) == 1:
            return "coco", f"{label.rstrip('/')}/{jsons[0]}"
        if any(name.lower().endswith(".xml") for name in names):
            return "voc", label
    return None, label


def _classes(t: Translation, root: Path | None) -> None:
    key = (*DATA, "id_mapping")
    if not t.has(key):
        return
    names: Any = t.get(key)
    how = ""
    if isinstance(names, str):  # a file below the root that holds a JSON list
        how = f"of {names}"
        try:
            names = json.loads(((root or Path()) / names).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            t.ignore(
                key, f"{names} cannot be read as a JSON list of names now; write data.classes", warning=True
            )
            return
    if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
        t.map(key, (*DATA, "classes"), list(names), how)
    elif names is None:
        t.ignore(key, "")
    else:
        t.ledger.fault(t.origin(key), "id_mapping must be a list of class names, or a file that holds one")
