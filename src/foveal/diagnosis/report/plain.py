"""Text of unknown origin made fit for a page: no control marks, no folders of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

REPLACEMENT = "\ufffd"
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1, but for tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the direction of what follows
    "\ud800-\udfff\ufffe\uffff]"  # halves of a pair, and what is no character
)
# A folder or file named from the root, of a drive, of a share or of a home folder, inside other text.
_ABSOLUTE = re.compile(
    r"""(?<![\w.:/\\~…<>-])(?:~[\w.-]*|[A-Za-z]:|\\\\[\w.-]+)?[/\\](?:[^\s/\\:'"`,;<>|]+[/\\])+"""
    r"""(?P<last>[^\s/\\:'"`,;<>|]*)"""
)
KEPT_PARTS = 2


def clean(value: Any) -> Any:
    """The value, nested as it may be, with every text in it (keys too) free of marks that could break a page."""
    if isinstance(value, str):
        return _UNSAFE.sub(REPLACEMENT, value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def short_path(path: str | os.PathLike[str]) -> str:
    """A path without the folders above it that tell of the machine or its user: ``…/BCCD/train.txt``.

    A relative path stays as it is. Texts that are no paths do, too.
    """
    text = os.fspath(path)
    parts = [part for part in re.split(r"[/\\]", text) if part]
    rooted = text.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:[/\\]", text) is not None
    if not rooted:
        return text
    if parts and (parts[0].startswith("~") or re.fullmatch(r"[A-Za-z]:", parts[0])):
        parts = parts[1:]
    home = list(Path.home().parts[1:])
    if parts[:1] in (["home"], ["Users"]):
        parts = parts[2:]
    elif home and parts[: len(home)] == home:
        parts = parts[len(home) :]
    return "/".join(["…", *parts[-KEPT_PARTS:]])


def without_folders(text: str, known: Iterable[str] = ()) -> str:
    """A sentence in which every absolute path is shortened as by ``short_path``.

    known: paths that may stand in it whole, blanks and all (data folders of the run); the home folder and the
    working directory always count as known.
    """
    paths = [*known, str(Path.home()), str(Path.cwd())]
    names = {path for path in paths if len(Path(path).parts) > 1}
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, short_path(name))
    return _ABSOLUTE.sub(lambda found: short_path(found.group()), text)
