"""Which folders of Pascal VOC XML files a folder holds, and where their pictures are."""

from __future__ import annotations

from pathlib import Path

from foveal.config.schema import FileSource, VocSource
from foveal.data.inside import is_inside, same_form
from foveal.data.parts import PICTURE_FOLDERS, Part, part_of, part_of_folder
from foveal.errors import DataError


def voc_parts(folders: list[Path], root: Path) -> dict[Part, FileSource]:
    parts: dict[Part, FileSource] = {}
    for folder in folders:
        limit = root if folder != root else root.parent  # around a folder that was named itself, its set is
        images = _picture_folder(folder, limit)
        if images is None:
            continue
        images_text = None if images == folder else str(images.absolute())
        lists = folder.parent / "ImageSets" / "Main"
        splits = {part: lists / f"{part}.txt" for part in ("train", "val", "trainval", "test")}
        present = {
            part_of(name): file for name, file in splits.items() if file.is_file() and is_inside(file, limit)
        }
        for part, file in present.items() or {None: None}.items():
            key: Part = part or part_of_folder(folder, root) or part_of_folder(folder.parent, root) or "all"
            if key in parts:
                raise DataError(
                    f"{folder}: a second folder of XML files for '{key}', after {parts[key].annotations}; "
                    "give one of the two folders"
                )
            parts[key] = VocSource(
                format="voc",
                annotations=str(folder.absolute()),
                images=images_text,
                split=str(file.absolute()) if file else None,
            )
    return parts


def _picture_folder(folder: Path, limit: Path) -> Path | None:
    """Where the pictures of a folder of XML files are: beside them, or in a folder next to theirs.

    limit: nothing outside of it is looked at, as through a link.
    """
    stems = {same_form(file.stem) for file in folder.iterdir() if file.suffix.lower() == ".xml"}
    for candidate in [folder, *(folder.parent / name for name in PICTURE_FOLDERS)]:
        if not candidate.is_dir() or not is_inside(candidate, limit):
            continue
        if any(
            same_form(f.stem) in stems and f.suffix.lower() not in (".xml", ".txt", ".json")
            for f in candidate.iterdir()
        ):
            return candidate
    return None
