"""docs/licences.md names every pin, says what the packages say, and holds nothing that may not be there."""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
FREE = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "ISC", "LicenseRef-matplotlib", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "ZPL-2.1", "Zlib",
    "GPL-3.0-or-later WITH GCC-exception-3.1",
}  # fmt: skip
"""Whose terms leave what stands on them free."""
SHARED_LIBRARIES = FREE | {"LGPL-2.1-or-later"}
"""Inside a wheel, where each is a file of its own that can be exchanged."""


def load_writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", ROOT / ".ci" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITER = load_writer()
TEXT = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
ROWS = WRITER.rows(TEXT)


def faults(name: str, licence: str, wanted_by: str, inside: str) -> list[str]:
    """What may not be there, of one line."""
    terms = {part for one in licence.split(" OR ") for part in one.split(" AND ")} - FREE
    terms |= {re.sub(r" \(.*", "", part) for part in inside.split("), ") if part} - SHARED_LIBRARIES
    if wanted_by == "video":
        terms = {one for one in terms if not re.match(r"L?GPL-", one)}
    if name.startswith(("nvidia-", "cuda-", "torchvision")):
        terms -= {WRITER.NVIDIA}
    return [f"{name} ({wanted_by}): {one}" for one in sorted(terms)]


def test_every_pin_has_its_line() -> None:
    assert set(ROWS) == set(WRITER.pins())


def test_the_text_is_the_writers() -> None:
    assert TEXT.startswith(WRITER.HEAD)


def test_nothing_that_may_not_be_there() -> None:
    assert not [fault for name, _, *cells in ROWS.values() for fault in faults(name, *cells)]


@pytest.mark.parametrize(
    "line",
    [
        ("a", "AGPL-3.0-only", "video", ""),
        ("a", "GPL-2.0-or-later", "core", ""),
        ("a", "unknown", "dev", ""),
        ("a", "MIT AND GPL-3.0-only", "core", ""),
        ("a", "LicenseRef-NVIDIA-Proprietary", "core", ""),
        ("a", "MIT", "cluster, video", "GPL-2.0-or-later (x264, x265), LGPL-2.1-or-later (FFmpeg)"),
        ("a", "LGPL-2.1-or-later", "core", ""),
        ("a", "SSPL-1.0", "serve", ""),
    ],
)
def test_each_danger_would_be_found(line: tuple[str, str, str, str]) -> None:
    assert faults(*line)


def test_what_is_installed_says_the_same() -> None:
    """Of packages at their pins; the libraries inside are those of the wheels of one system."""
    same_wheels = sys.platform == "linux" and platform.machine() == "x86_64"
    compared = 0
    for (name, version), cells in ROWS.items():
        try:
            here = distribution(name)
        except PackageNotFoundError:
            continue
        if here.version == version:
            compared += 1
            assert cells[2] == WRITER.stated(here), name
            assert cells[4] == WRITER.carried(here) or not same_wheels, name
    assert compared > 20


def test_who_asks_for_what() -> None:
    """As pyproject.toml has it, for what it names itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {WRITER.CORE: project["dependencies"], **project["optional-dependencies"]}
    told: dict[str, set[str]] = {}
    for name, _, _, wanted_by, _ in ROWS.values():
        told.setdefault(name, set()).update(wanted_by.split(", "))
    for section, lines in lists.items():
        for line in lines:
            name = re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ]", line)[0]).lower()
            assert name == "foveal" or told[name] & {section, WRITER.CORE}, f"{line} of {section}"
