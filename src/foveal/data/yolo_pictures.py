"""Which pictures a YOLO set has: those of its folders, and those that its lists name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from foveal.data.builder import RecordsBuilder
from foveal.data.decode import EXTENSIONS
from foveal.data.inside import is_inside
from foveal.data.lists import read_lines
from foveal.grammar import many


class YoloPictures:
    """The pictures of ``places``, folders and lists, all inside ``root``; what cannot be taken is counted."""

    def __init__(self, root: Path, places: Sequence[Path], builder: RecordsBuilder) -> None:
        self.root = root
        self.places = places
        self.builder = builder
        self._reached = list(places)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Each picture relative to the root, and where it is named."""
        for place in self.places:
            yield from self._of_list(place) if place.is_file() else self._of_folder(place)

    def _of_folder(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Pictures of a folder and those below it, relative to the root, by name."""
        found = []
        for name, folders, files in os.walk(folder, followlinks=True):
            folders[:] = [step for step in sorted(folders) if self._enters(os.path.join(name, step))]
            paths = (Path(name, file) for file in files if not file.startswith("."))
            found += [path for path in paths if path.suffix.lower() in EXTENSIONS]
        for path in sorted(found):
            relative = self.builder.locate((os.path.relpath(path, self.root),), str(path))
            if relative is not None:
                yield relative, str(path)

    def _enters(self, folder: str) -> bool:
        """Whether a folder below is read: no hidden one; a link may lead elsewhere in the root, once."""
        if os.path.basename(folder).startswith("."):
            return False
        if not os.path.islink(folder):
            return True
        if not is_inside(Path(folder), self.root):
            told = f"a link out of {self.root}: not entered; its target can be given as images:"
            self.builder.fault("unsafe_path", folder, told)
            return False
        target = Path(os.path.realpath(folder))
        # What is reached without the link would come twice, and what is around the link without end.
        if any(is_inside(target, place) or is_inside(place, target) for place in self._reached):
            return False
        self._reached.append(target)
        return True

    def _of_list(self, file: Path) -> Iterator[tuple[str, str]]:
        """Pictures of a list, relative to the root; a path from another machine is known by its end."""
        seen: set[str] = set()
        moved: list[str] = []
        near = os.path.relpath(file.parent, self.root)
        for line, where in read_lines(file):
            relative = self.builder.locate(_spellings(line, near), where)
            if relative is None:
                continue
            if relative in seen:
                self.builder.fault("duplicate_id", where, f"{line!r} is listed again: the first one counts")
                continue
            if relative not in (os.path.normpath(line), os.path.normpath(os.path.join(near, line))):
                moved.append(f"{line!r} is not there; taken instead: {relative!r}")
            seen.add(relative)
            yield relative, where
        if moved:
            told = f"{many(len(moved), 'path')} known by the end alone, first: {moved[0]}"
            self.builder.fault("moved_path", str(file), told)


def _spellings(line: str, near: str) -> Iterator[str]:
    """What a list's line may mean: from the root, from the list's folder, from any of its steps on."""
    yield line
    line = line.replace("\\", "/")
    yield os.path.join(near, line)
    steps = [step for step in PurePosixPath(line).parts if step not in ("..", ".", "/")]
    for start in range(len(steps)):
        yield "/".join(steps[start:])
