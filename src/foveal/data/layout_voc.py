"""Which folders of Pascal VOC XML files a folder holds, and where their pictures are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from foveal.config.schema import FileSource, VocSource
from foveal.data.inside import same_form
from foveal.data.parts import PICTURE_FOLDERS, Part, if_meant, is_of_the_set, part_of, part_of_folder
from foveal.errors import DataError


def voc_parts(folders: list[Path], root: Path, left_out: list[str]) -> dict[Part, FileSource]:
    """The parts of folders of XML files. left_out: takes a line for one whose pictures are not looked for."""
    parts: dict[Part, FileSource] = {}
    for folder in folders:
        candidates = [folder, *(folder.parent / name for name in PICTURE_FOLDERS)]
        allowed = [one for one in candidates if one.is_dir() and is_of_the_set(one, folder, root)]
        images = _picture_folder(folder, allowed)
        if images is None:
            out = [one for one in candidates if one.is_dir() and one not in allowed][:1]
            left_out += [
                f"{one} leads out of {root} and is not used: {if_meant('voc', folder, one)}" for one in out
            ]
            continue
        images_text = None if images == folder else str(images.absolute())
        lists = folder.parent / "ImageSets" / "Main"
        splits = {part: lists / f"{part}.txt" for part in ("train", "val", "trainval", "test")}
        present = {
            part_of(name): file
            for name, file in splits.items()
            if file.is_file() and is_of_the_set(file, folder, root)
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


def _picture_folder(folder: Path, candidates: Iterable[Path]) -> Path | None:
    """Where the pictures of a folder of XML files are: beside them, or in a folder next to theirs."""
    stems = {same_form(file.stem) for file in folder.iterdir() if file.suffix.lower() == ".xml"}
    for candidate in candidates:
        if any(
            same_form(f.stem) in stems and f.suffix.lower() not in (".xml", ".txt", ".json")
            for f in candidate.iterdir()
        ):
            return candidate
    return None
