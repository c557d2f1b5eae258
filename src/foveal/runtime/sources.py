"""What a person names -> pictures and videos, one by one: files, folders, globs, addresses."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

from foveal.data.decode import EXTENSIONS
from foveal.errors import DataError
from foveal.runtime.prediction_folder import is_prediction_folder
from foveal.runtime.remote import has_pattern, is_remote, list_remote, remote_path, without_secrets

VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"})
"""Extensions by which a file is taken for a video, in lower case."""


def is_video(name: str) -> bool:
    """Whether a file or an address is a video, by its name."""
    return _extension(name) in VIDEOS


def find_sources(sources: Sequence[str]) -> list[str]:
    """Pictures and videos named by files, folders (all levels), globs and addresses, without repeats, in order.

    DataError for what is not there, and where nothing is found. A file that is named itself is taken whatever it
    is; from folders and globs, what is a picture or a video by its extension. A folder below, which a prediction
    has written, is passed over: its pictures are the same ones again, with boxes.
    """
    found: dict[str, None] = {}
    for source in sources:
        matches = list(_remote(source) if is_remote(source) else _local(source))
        if not matches:
            raise DataError(_nothing(source))
        found.update(dict.fromkeys(matches))
    return list(found)


def find_pictures(sources: Sequence[str]) -> list[Path]:
    """Picture files on this machine, as ``find_sources``."""
    return [Path(name) for name in find_sources(sources) if not is_video(name)]


def _nothing(source: str) -> str:
    if not is_remote(source) and not has_pattern(source) and not Path(source).expanduser().exists():
        return f"{source}: no such file or folder"
    return f"{without_secrets(source)}: no picture there (looked for {', '.join(sorted(EXTENSIONS))}, and videos)"


def _local(source: str) -> Iterator[str]:
    path = Path(source).expanduser()
    if path.is_dir():
        yield from map(str, sorted(_below(path)))
    elif path.exists():
        yield str(path)
    else:
        for match in sorted(glob(str(path), recursive=True)):
            yield from _local(match)


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if not is_prediction_folder(here / name)]
        yield from (here / name for name in names if _is_wanted(name) and (here / name).is_file())


def _remote(source: str) -> Iterator[str]:
    names = list_remote(source)
    yield from [source] if names is None else (name for name in names if _is_wanted(name))


def _is_wanted(name: str) -> bool:
    return _extension(name) in EXTENSIONS or is_video(name)


def _extension(name: str) -> str:
    """Extension of a file or of an address without its query, in lower case."""
    return Path(remote_path(name) if is_remote(name) else name).suffix.lower()
