"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real pictures and weights; the test is skipped where it is absent."""
    folder = (REPOSITORY / os.environ.get("FOVEAL_SHARED", "../shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: set FOVEAL_SHARED (looked in {folder.name}/data)")
    return folder
