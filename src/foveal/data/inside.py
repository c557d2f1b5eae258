"""Whether a path stays in its folder, through links and ``..``: nothing outside a data root is read."""

from __future__ import annotations

import os
from pathlib import Path


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, links followed, lies in the folder or is it."""
    try:
        root = os.path.realpath(folder)
        return os.path.commonpath((root, os.path.realpath(path))) == root
    except ValueError:  # A NUL or half a surrogate pair in the name.
        return False
