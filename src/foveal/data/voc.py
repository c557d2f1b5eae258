"""Pascal VOC XML, one file a picture -> records.

The format: VOC 2012 development kit, section 4. Corners are 1-based and inclusive there, so that a box
``xmin, ymin, xmax, ymax`` spans [xmin - 1, xmax] in continuous pixels; ``raw`` takes the numbers as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Literal

from foveal.data.builder import RecordsBuilder
from foveal.data.decode import EXTENSIONS
from foveal.data.flags import DEFAULT_FLAGS, Flags, is_set
from foveal.data.inside import is_inside, mending, same_form, slashed
from foveal.data.lists import number, read_lines
from foveal.data.records import Records
from foveal.data.voc_xml import VocObject, VocSheet, read_sheet
from foveal.errors import DataError

Corners = Literal["one_based", "raw"]

SHIFT = {"one_based": (-1.0, -1.0, 0.0, 0.0), "raw": (0.0, 0.0, 0.0, 0.0)}
VOC_MARKS = ("difficult", "truncated", "occluded")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_KNOWN_EXTENSIONS = EXTENSIONS | {".xml"}
_CLASS_MARKS = ("1", "-1", "0")
"""What the lists of one class (``cat_train.txt``) say of each picture: has it, has it not, only difficult ones."""


def read_voc(
    annotations: Path,
    images: Path | None = None,
    split: Path | None = None,
    corners: Corners = "one_based",
    classes: Sequence[str] | None = None,
    strict: bool = False,
    flags: Flags = DEFAULT_FLAGS,
) -> Records:
    """Read a folder of Pascal VOC XML files.

    images: folder of the pictures; default: the XML files' own. A picture belongs to the XML file of its
    stem, whatever the case of its extension; ``filename`` helps only where no picture has the stem.
    split: text file with one stem a line; default: every picture in ``images``.
    corners: how the file's numbers are meant. classes: names in model order; default: those that have a
    usable box, sorted by name. Class ids are 1..K, image ids 1..P in the order of the split, or by name.
    A picture without an XML file is background, and counted; one with a broken XML file is left out.
    flags: what becomes of objects marked difficult, truncated or occluded; an ignored one is kept as a crowd
    box, and counted.
    DataError: the set as a whole cannot be used; one bad entry is a Fault.
    """
    return _VocFolder(Path(annotations), images, split, corners, strict, flags).read(classes)


class _VocFolder:
    """One read: the folders' listings, and the classes met so far."""

    def __init__(
        self,
        annotations: Path,
        images: Path | None,
        split: Path | None,
        corners: Corners,
        strict: bool,
        flags: Flags,
    ) -> None:
        if not annotations.is_dir():
            raise DataError(f"{annotations}: no such folder of XML files")
        if corners not in SHIFT:
            raise ValueError(f"corners must be one_based or raw, not {corners!r}")
        self.annotations = annotations
        self.images = Path(images) if images is not None else annotations
        self.split = Path(split) if split is not None else None
        self.builder = RecordsBuilder(self.images, self.split or annotations, strict)
        self.shift = SHIFT[corners]
        self.flags = flags
        self.pictures = _by_stem(self.images, EXTENSIONS)
        self.sheets = _by_stem(annotations, frozenset({".xml"}))
        self.labels: dict[str, int] = {}
        self.any_class = True

    def read(self, classes: Sequence[str] | None) -> Records:
        self.any_class = classes is None
        self.labels = {name: index for index, name in enumerate(dict.fromkeys(classes or ()))}
        for stem, where in self._listed() if self.split else self._all():
            self._read_pair(stem, where)
        if self.any_class:
            self.builder.declare(dict(enumerate(sorted(self.labels), start=1)))
        return self.builder.finish(list(self.labels), not self.any_class, order=str)

    # ------------------------------------------------------------ which pictures

    def _listed(self) -> Iterator[tuple[str, str]]:
        """Stems of the split file, each with its line."""
        assert self.split is not None
        seen: set[str] = set()
        for line, where in read_lines(self.split):
            stem = self._stem(line)
            if stem in seen:
                self.builder.fault("duplicate_id", where, f"{stem!r} is listed again: the first one counts")
            else:
                seen.add(stem)
                yield stem, where

    def _stem(self, line: str) -> str:
        """A split's line as a stem: bare, with an extension or folder, or with a class's 1 / -1 after it."""
        words = line.rsplit(maxsplit=1)
        for name in (line, words[0]) if words[-1] in _CLASS_MARKS else (line,):
            path = slashed(name)
            known = path.suffix.lower() in _KNOWN_EXTENSIONS
            for stem in map(same_form, (name, path.name, path.stem if known else name)):
                if stem in self.pictures or stem in self.sheets:
                    return stem
        return line

    def _all(self) -> Iterator[tuple[str, str]]:
        """Stems of every picture, then of the XML files whose picture has another stem."""
        apart = sorted(self.sheets.keys() - self.pictures.keys())
        claimed = {name: stem for stem in apart if (name := self._named_picture(stem)) is not None}
        claiming = set(claimed.values())
        for stem, names in sorted(self.pictures.items()):
            if stem in self.sheets or names[0] not in claimed:
                yield stem, str(self.images / names[0])
        for stem in apart:
            where = str(self.annotations / self.sheets[stem][0])
            if stem in claiming:
                yield stem, where
            else:
                self.builder.fault(
                    "orphan_label", where, f"no picture of this name in {self.images}: left out"
                )

    def _named_picture(self, stem: str) -> str | None:
        """The picture that an XML file without one of its own stem names, if no other XML file has it."""
        path = self.annotations / self.sheets[stem][0]
        try:
            fields = read_sheet(path).fields if is_inside(path, self.annotations) else {}
        except DataError:
            return None
        name = slashed(fields.get("filename", "")).name
        other = same_form(PurePath(name).stem)
        found = next(
            (file for file in self.pictures.get(other, ()) if same_form(file) == same_form(name)), None
        )
        return found if other not in self.sheets else None

    # ------------------------------------------------------------ one picture

    def _read_pair(self, stem: str, where: str) -> None:
        builder = self.builder
        sheet = None
        if stem in self.sheets:
            path = self.annotations / self.sheets[stem][0]
            if not is_inside(path, self.annotations):
                told = f"lies outside {self.annotations}: its picture is left out{mending(path)}"
                builder.fault("unsafe_path", str(path), told)
                return
            try:
                sheet = read_sheet(path)
            except DataError as error:
                builder.fault("unreadable_labels", where, f"{error}: its picture is left out")
                return
        names = self.pictures.get(stem) or [
            self._named_picture(stem) or f"{stem}.jpg" if sheet else f"{stem}.jpg"
        ]
        if len(names) > 1:
            builder.fault(
                "duplicate_id", where, f"several pictures of one stem: {', '.join(names)}; the first counts"
            )
        relative = builder.locate(names[:1], where)
        if relative is None or not builder.add_picture(relative, where, len(builder) + 1, _declared(sheet)):
            return
        if sheet is None:
            builder.fault("no_label_file", where, f"no {stem}.xml in {self.annotations}: background")
            return
        if not sheet.objects:
            builder.fault("empty_labels", str(path), "no objects: background")
        for entry in sheet.objects:
            self._read_object(entry, f"{path}:{entry.line}")

    def _read_object(self, entry: VocObject, where: str) -> None:
        name = entry.fields.get("name", "")
        if self.any_class and name:
            self.labels.setdefault(name, len(self.labels))
        label = self.labels.get(name)
        if label is None:
            what = f"class {name!r} is not wanted" if name else "an object without a name"
            self.builder.fault("unknown_class", where, f"{what}: dropped")
            return
        corners = []
        for side in _SIDES:
            text = entry.fields.get(side)
            value = None if text is None else number(text)
            if value is None:
                what = f"no bndbox with {side}" if text is None else f"{side} {text[:40]!r} is no number"
                self.builder.fault("bad_number", where, f"{what}: dropped")
                return
            corners.append(value)
        marks = [mark for mark in VOC_MARKS if is_set(entry.fields.get(mark, ""))]
        ignored = self.flags.judge(marks, where, self.builder)
        if ignored is not None:
            self.builder.add_box(corners, label, where, crowd=ignored, shift=self.shift)


def _declared(sheet: VocSheet | None) -> tuple[int, int] | None:
    """(height, width) as the file states it, or None; 0 x 0, which some tools write, states nothing."""
    if sheet is None:
        return None
    try:
        height, width = int(sheet.fields["height"]), int(sheet.fields["width"])
    except (KeyError, ValueError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _by_stem(folder: Path, extensions: frozenset[str]) -> dict[str, list[str]]:
    """File names in a folder by stem (in one form), those with the extensions (in any case), in order of name."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file())
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror or error}") from error
    found: dict[str, list[str]] = {}
    for name in names:
        path = PurePath(name)
        if path.suffix.lower() in extensions:
            found.setdefault(same_form(path.stem), []).append(name)
    return found
