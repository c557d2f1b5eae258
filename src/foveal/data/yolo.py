"""YOLO label files, one ``.txt`` a picture -> records.

The layouts: Ultralytics (``data.yaml``, ``images/`` beside ``labels/``), its Roboflow exports, Darknet (labels
beside the pictures, ``classes.txt`` or ``obj.names``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from foveal.data.builder import RecordsBuilder
from foveal.data.inside import forms, is_inside, mending
from foveal.data.records import Records
from foveal.data.yolo_pictures import YoloPictures
from foveal.data.yolo_plan import CLASS_LISTS, PICTURE_STEPS, Plan, plan_read, swapped
from foveal.data.yolo_rows import BadRow, YoloRow, read_rows
from foveal.errors import DataError


def read_yolo(
    annotations: Path,
    images: Path | None = None,
    part: str | None = None,
    split: Path | None = None,
    classes: Sequence[str] | None = None,
    strict: bool = False,
    names: Mapping[int, str] | None = None,
) -> Records:
    """Read one part of a set with YOLO labels.

    annotations: the ``data.yaml``, or a folder of label files. part: which of the file's parts.
    images: folder of the pictures, instead of a part; with a folder of label files, default: the ``images``
    beside it, else itself. split: list of the pictures, one path a line, instead of a part.
    classes: names in model order; default: those with a usable box, by id. Class ids are the file's, image ids
    1..P in the order of the list, or by name. names: class id -> name; default: as the data.yaml, or a list of
    classes beside the labels, says.
    A picture without a label file is background, and counted; one with an unreadable label file is left out.
    DataError: the set as a whole cannot be used; one bad line is a Fault.
    """
    annotations = Path(annotations)
    plan = plan_read(annotations, images, part, split, names)
    builder = RecordsBuilder(plan.root, split or annotations, strict)
    for notice in plan.notices:
        builder.fault(*notice)
    return _YoloSet(plan, builder).read(classes)


class _YoloSet:
    """One read: the class names, and the label files met so far."""

    def __init__(self, plan: Plan, builder: RecordsBuilder) -> None:
        self.plan = plan
        self.builder = builder
        self.names = dict(plan.names)
        self.read_labels: dict[str, str] = {}
        """Label file -> the picture it was read for."""
        self.wanted: dict[str, int] = {}
        self.any_class = True

    def read(self, classes: Sequence[str] | None) -> Records:
        builder = self.builder
        builder.declare(self.plan.names)
        self._tell_repeated_names()
        self.any_class = classes is None
        self.wanted = {name: place for place, name in enumerate(dict.fromkeys(classes or ()))}
        for relative, where in YoloPictures(self.plan.root, self.plan.places, builder):
            self._read_pair(relative, where)
        for place in self.plan.places:
            if place.is_dir():
                self._count_orphans(place)
        order = self._ids().__getitem__
        return builder.finish(list(self.wanted), not self.any_class, order, self._class_ids)

    def _tell_repeated_names(self) -> None:
        first: dict[str, int] = {}
        for class_id, name in self.names.items():
            other = first.setdefault(name, class_id)
            if other != class_id:
                same = f"class {class_id} has the name of {other}, {name!r}: taken as one class"
                self.builder.fault("duplicate_id", str(self.builder.source), same)

    def _ids(self) -> dict[str, int]:
        """Name -> the lowest id that bears it."""
        return {name: class_id for class_id, name in sorted(self.names.items(), reverse=True)}

    def _class_ids(self, names: Sequence[str]) -> tuple[int, ...]:
        """The file's id of each name; ids above all of the file's for names that it does not have."""
        known, free = self._ids(), max(self.names, default=-1) + 1
        ids = []
        for name in names:
            ids.append(known.get(name, free))
            free += name not in known
        return tuple(ids)

    # ------------------------------------------------------------ one picture

    def _read_pair(self, relative: str, where: str) -> None:
        builder = self.builder
        candidates = self._label_candidates(relative)
        path = self._on_disk(candidates)
        if path is not None and not is_inside(path, self.plan.root):
            told = f"lies outside {self.plan.root}: its picture is left out{mending(path)}"
            builder.fault("unsafe_path", str(path), told)
            return
        rows: list[YoloRow | BadRow] = []
        if path is not None:
            other = self.read_labels.setdefault(os.path.normpath(path), relative)
            if other != relative:
                same = f"{path} is the label file of {other!r}, too: both are read with it"
                builder.fault("duplicate_id", where, same)
            try:
                rows = read_rows(path, None, self.plan.keypoints)
            except DataError as error:
                builder.fault("unreadable_labels", where, f"{error}: its picture is left out")
                return
        if not builder.add_picture(relative, where, len(builder) + 1, None):
            return
        if path is None:
            builder.fault("no_label_file", where, f"no {candidates[0]}: background")
            return
        if any(isinstance(row, YoloRow) and row.doubt for row in rows):
            rows = read_rows(path, builder.size, self.plan.keypoints)
        if not rows:
            builder.fault("empty_labels", str(path), "no objects: background")
        for row in rows:
            self._read_row(row, f"{path}:{row.line}")

    def _on_disk(self, candidates: Sequence[str]) -> Path | None:
        """The first label file that is there, perhaps a link that leads nowhere."""
        paths = (self.plan.root / form for name in candidates for form in forms(name))
        return next((path for path in paths if os.path.lexists(path)), None)

    def _label_candidates(self, relative: str) -> list[str]:
        """Where a picture's label file may be, relative to the root, the likeliest first."""
        picture = PurePosixPath(Path(relative).as_posix())
        name = picture.stem + ".txt"
        beside = PurePosixPath(*swapped(picture.parent.parts, PICTURE_STEPS, "labels"))
        found = [str(beside / name), str(picture.parent / name)]
        if self.plan.labels is not None:
            folder = PurePosixPath(Path(os.path.relpath(self.plan.labels, self.plan.root)).as_posix())
            place = next(iter(self.plan.places))
            inner = os.path.relpath(self.plan.root / relative, place if place.is_dir() else self.plan.root)
            found = [str(folder / PurePosixPath(inner).parent / name), str(folder / name), *found]
        return list(dict.fromkeys(found))

    def _read_row(self, row: YoloRow | BadRow, where: str) -> None:
        builder = self.builder
        if isinstance(row, BadRow):
            builder.fault(row.kind, where, row.message)
            return
        if row.label not in self.names and not self.plan.names and row.label >= 0:
            self.names[row.label] = f"class {row.label}"
        name = self.names.get(row.label)
        if self.any_class and name is not None:
            self.wanted.setdefault(name, len(self.wanted))
        label = self.wanted.get(name) if name is not None else None
        if label is None:
            what = f"class {name!r} is not wanted" if name is not None else self._no_class(row.label)
            builder.fault("unknown_class", where, f"{what}: dropped")
            return
        if row.polygon:
            builder.fault("polygon", where, "an outline: read as the box around it")
        height, width = builder.size
        x1, y1, x2, y2 = row.corners
        corners = (x1 * width, y1 * height, x2 * width, y2 * height)
        if row.doubt:
            builder.doubt_box(corners, label, where, "bad_number", f"{row.doubt}: dropped")
        else:
            builder.add_box(corners, label, where)

    def _no_class(self, label: int) -> str:
        return f"no class {label}; the names go from {min(self.names)} to {max(self.names)}"

    def _count_orphans(self, folder: Path) -> None:
        """Label files of a folder of pictures that no picture is for."""
        labels = self.plan.labels or Path(*swapped(folder.parts, PICTURE_STEPS, "labels"))
        if not labels.is_dir() or not is_inside(labels, self.plan.root):
            return
        for name, _, files in os.walk(labels):
            for file in sorted(files):
                path = os.path.normpath(os.path.join(name, file))
                if (
                    file.lower().endswith(".txt")
                    and path not in self.read_labels
                    and self._is_label(Path(path))
                ):
                    self.builder.fault("orphan_label", path, f"no picture of this name in {folder}: left out")

    def _is_label(self, path: Path) -> bool:
        """Whether a text file without a picture is a label file, not a list of classes or a note."""
        if path.name in CLASS_LISTS or not is_inside(path, self.plan.root):
            return False
        try:
            rows = read_rows(path)
        except DataError:
            return False
        return any(isinstance(row, YoloRow) for row in rows)
