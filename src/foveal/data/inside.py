"""Paths as labels write them -> files of a data root: nothing outside it is read, through links or ``..``."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, links followed, lies in the folder or is it."""
    try:
        return _leads_into(os.path.realpath(folder), path)
    except ValueError:  # A NUL or half a surrogate pair in the name.
        return False


def relative_to(name: str, real_root: str) -> str | None:
    """Path of a named file relative to a root, whose own links are followed; None where it leads out of it."""
    try:
        full = os.path.normpath(os.path.join(real_root, name))
        return os.path.relpath(full, real_root) if _leads_into(real_root, full) else None
    except ValueError:  # As above.
        return None


def find_file(names: Iterable[str], real_root: str) -> str | None:
    """Path, relative to the root, of the first of the names that is a file inside it."""
    for name in names:
        for form in forms(name):
            relative = relative_to(form, real_root)
            if relative is not None and os.path.isfile(os.path.join(real_root, relative)):
                return relative
    return None


def spellings(name: str) -> tuple[str, str, str]:
    """What a picture's path may mean: exporters write folders of their own before it, or backslashes."""
    return name, str(slashed(name)), slashed(name).name


def slashed(name: str) -> PurePosixPath:
    """A path with slashes, whichever system wrote it."""
    return PurePosixPath(name.replace("\\", "/"))


def forms(name: str) -> Iterator[str]:
    """A name as it is, then as a disk may have it: its extension in another case, accents as signs of their own.

    The latter are Unicode's NFC and NFD: macOS and its archives take names apart.
    """
    yield name
    stem, extension = os.path.splitext(name)
    others = dict.fromkeys(
        unicodedata.normalize(form, stem + ending)
        for ending in (extension, extension.lower(), extension.upper())
        for form in ("NFC", "NFD")
    )
    yield from (other for other in others if other != name)


INSTEAD_OF_LINKS = "a copy (cp -L) or a hard link (ln) is read"


def mending(path: str | Path) -> str:
    """What to add to the refusal of a path that leads out of a root; nothing where it is no link."""
    return f"; it is a link: {INSTEAD_OF_LINKS}" if os.path.islink(path) else ""


def same_form(name: str) -> str:
    """A name by which files are told apart, whichever form it is stored in."""
    return unicodedata.normalize("NFC", name)


def printable(text: str) -> str:
    """A text in one line that can be written anywhere: what is no printable sign is spelled out."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _leads_into(real_root: str, path: str | Path) -> bool:
    return os.path.commonpath((real_root, os.path.realpath(path))) == real_root
