"""The generated sets, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.diagnosis.doctor.sets import write_coco_set, write_voc_set


@pytest.fixture(scope="session")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco") / "set"
    write_coco_set(folder)
    return folder


@pytest.fixture(scope="session")
def voc(tmp_path_factory: pytest.TempPathFactory, coco: Path) -> Path:
    folder = tmp_path_factory.mktemp("voc") / "set"
    write_voc_set(folder, coco)
    return folder
