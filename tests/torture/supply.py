"""S14 whole: the pins and their licences, and what is installed held against both, file by file."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from frame import ENVIRONMENT, ROOT, Place, Verdict
from packaging.utils import canonicalize_name

TESTS = ("test_supply_chain.py", "test_licences.py", "test_offline.py")
TOOLS = {"foveal", "uv", "pip", "setuptools"}
"""What is installed without a pin: Foveal, and what installs."""


def run(place: Place) -> Verdict:
    """Kept where the tests pass, every installed package is at its pin, and its files are those of its list."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    words += ["-o", "timeout=1500", "-o", "tmp_path_retention_policy=none"]
    tests = subprocess.run(
        [*words, *(f"tests/{name}" for name in TESTS)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(tests.stdout)
    pins, licences = read_pins()
    here = {canonicalize_name(one.metadata["Name"]): one for one in distributions()}
    loose = [f"{name} {one.version}" for name, one in here.items() if (name, one.version) not in pins]
    loose = [line for line in loose if line.split()[0] not in TOOLS]
    files, changed = 0, []
    for name, one in here.items():
        count, others = changed_files(one)
        files += count
        changed += others if count else [f"{name} has no list of its files"]
    for line in [*loose, *changed]:
        print(line)
    found = f"tests: {tests.stdout.splitlines()[-1].strip('= ')}; {len(pins)} pins, {licences} licences; "
    found += f"{len(here)} packages installed, {len(loose)} not at their pin; "
    found += f"{files} files, {len(changed)} other than their package's list says"
    return Verdict(tests.returncode == 0 and not loose and not changed and files > 10_000, found)


def read_pins() -> tuple[set[tuple[str, str]], int]:
    """Names and versions of constraints.txt, and how many licences docs/licences.md has."""
    spec = importlib.util.spec_from_file_location("licences", ROOT / ".ci" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    rows = writer.rows(writer.PAGE.read_text(encoding="utf-8"))
    return set(writer.pins()), len({cells[2] for cells in rows.values()})


def changed_files(one: Distribution) -> tuple[int, list[str]]:
    """How many files of a package have a SHA-256 in its list, and those that are gone or have another."""
    listed = [file for file in one.files or () if file.hash is not None and file.hash.mode == "sha256"]
    return len(listed), [
        str(file) for file in listed if file.hash and digest(Path(file.locate())) != file.hash.value
    ]


def digest(path: Path) -> str:
    """SHA-256 as wheels write it; empty where there is no such file."""
    if not path.is_file():
        return ""
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").digest()
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode()
