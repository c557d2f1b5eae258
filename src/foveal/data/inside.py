"""Whether a path stays in its folder, through links and ``..``: nothing outside a data root is read."""

from __future__ import annotations

import os
from pathlib import Path


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


def _leads_into(real_root: str, path: str | Path) -> bool:
    return os.path.commonpath((real_root, os.path.realpath(path))) == real_root
