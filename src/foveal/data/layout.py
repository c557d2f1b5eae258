"""Which label files a folder holds, and which part of the data each is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from foveal.config.schema import FileSource
from foveal.data.inside import INSTEAD_OF_LINKS
from foveal.data.layout_coco import coco_parts, coco_source
from foveal.data.layout_csv import SUFFIXES, csv_parts
from foveal.data.layout_voc import voc_parts
from foveal.data.layout_yolo import parts_of_yaml, yolo_parts
from foveal.data.parts import MAX_DEPTH, Part, part_of, walk
from foveal.errors import DataError

__all__ = ["Layout", "Part", "coco_source", "find_layout", "part_of"]

LOOKED_FOR = (
    "COCO JSON (annotations/instances_*.json, train/_annotations.coco.json or any JSON with images, annotations "
    "and categories), Pascal VOC XML (Annotations beside JPEGImages, or XML beside the pictures), YOLO txt "
    "(data.yaml, labels beside images) and CSV (a row with picture, class and box)"
)


class Layout(NamedTuple):
    """The label files found, by the part of the data they hold."""

    kind: Literal["coco", "voc", "yolo", "csv"]
    parts: dict[Part, FileSource]
    notes: tuple[str, ...] = ()
    """What a person should know of how they were found."""


def find_layout(source: Path) -> Layout:
    """Looks at a folder, or at one label file: COCO JSON, data.yaml or CSV. DataError says what was looked for.

    Where a folder holds labels in several formats, the first of COCO, VOC, YOLO, CSV counts.
    """
    if source.is_file():
        return _of_file(source)
    if not source.is_dir():
        raise DataError(f"{source}: no such folder or file")
    links: list[Path] = []
    left_out: list[str] = []
    layout = _of_folder(source, links, left_out)
    told = [*(layout.notes if layout else ()), *left_out]
    links = [link for link in links if not any(str(link) in line for line in told)]
    if layout is None:
        first = "".join(f"; {line}" for line in [*told, *_not_followed(links, source)][:1])
        raise DataError(f"{source}: no labels found; looked {MAX_DEPTH} folders deep for {LOOKED_FOR}{first}")
    # A folder that is no part may be linked for another purpose.
    links = [link for link in links if part_of(link.name) is not None or not link.is_dir()]
    return layout._replace(notes=(*told, *_not_followed(links, source)))


def _of_folder(source: Path, links: list[Path], left_out: list[str]) -> Layout | None:
    """links, left_out: take what was not followed, and in words what was therefore not found."""
    folders = list(walk(source, links))
    files = [folder / name for folder, names in folders for name in names]
    parts = coco_parts([file for file in files if file.suffix.lower() == ".json"], source)
    if parts:
        return Layout("coco", parts)
    sheets = [folder for folder, names in folders if any(name.lower().endswith(".xml") for name in names)]
    parts = voc_parts(sheets, source, left_out)
    if parts:
        return Layout("voc", parts)
    parts, notes = yolo_parts(folders, source, left_out)
    if parts:
        return Layout("yolo", parts, tuple(notes))
    tables = [file for file in files if file.suffix.lower() in SUFFIXES]
    parts, notes = csv_parts(tables, folders, source, links)
    if parts:
        return Layout("csv", parts, tuple(notes))
    return None


def _not_followed(links: Sequence[Path], root: Path) -> tuple[str, ...]:
    """A line on what is a link out of the root; none where nothing is."""
    if not links:
        return ()
    more = f" (and {len(links) - 1} more)" if len(links) > 1 else ""
    of_a_picture = links[0].suffix.lower() == ".txt"  # such a file cannot be given by itself
    instead = INSTEAD_OF_LINKS if of_a_picture else f"if it is meant, give {links[0]} itself"
    return (f"{links[0]} is a link out of {root}{more} and not used: {instead}",)


def _of_file(file: Path) -> Layout:
    suffix, root = file.suffix.lower(), file.parent
    if suffix in (".yaml", ".yml"):
        parts, notes = parts_of_yaml(file, root)
        return Layout("yolo", parts, tuple(notes))
    if suffix in SUFFIXES:
        links: list[Path] = []
        parts, notes = csv_parts([file], list(walk(root, links)), root, links)
        if not parts:
            raise DataError(f"{file}: no table of boxes: no column of pictures' names was found")
        # A file that a person names is all there is, whatever part its name tells.
        parts = {"all": next(iter(parts.values()))} if len(parts) == 1 else parts
        return Layout("csv", parts, tuple(notes))
    return Layout("coco", {"all": coco_source(file, root)})
