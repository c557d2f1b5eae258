"""What is installed and what is loaded: exact pins, no unwanted package, nothing that can run code."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "foveal").rglob("*.py"))
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[0-9][0-9a-z.+!]*)( ; .+)?$")
BANNED = {"ultralytics", "albumentationsx", "lightning", "gradio", "litserve"}
"""AGPL, telemetry or an install that clashes; ``pytorch-lightning`` is another package than ``lightning``."""


def constraints() -> list[str]:
    return [
        line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line.strip()
    ]


def plain_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def requirements() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"dependencies": project["dependencies"], **project.get("optional-dependencies", {})}


def test_every_constraint_is_an_exact_pin() -> None:
    loose = [line for line in constraints() if not PIN.match(line)]
    assert len(constraints()) > 50
    assert not loose, f"constraints.txt: not of the form name==version: {loose}"


def test_no_addresses() -> None:
    for name in ("constraints.txt", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|git\+|file:|--(extra-)?index-url|--find-links| @ ", text), name


def test_no_lock_file_that_names_hosts() -> None:
    assert not (ROOT / "uv.lock").exists()


def test_no_banned_package() -> None:
    pinned = {plain_name(line) for line in constraints()}
    wanted = {plain_name(r) for rows in requirements().values() for r in rows}
    assert not BANNED & (pinned | wanted)
    assert "pytorch-lightning" in wanted


def test_every_requirement_has_a_floor_and_a_pin() -> None:
    pinned = {plain_name(line) for line in constraints()}
    for section, rows in requirements().items():
        for row in rows:
            name = plain_name(row)
            if name == "foveal":
                continue
            assert name in pinned, f"pyproject.toml [{section}]: {name} is not pinned in constraints.txt"
            assert ">=" in row or name.startswith("types-"), f"pyproject.toml [{section}]: {row} has no floor"


def test_pins_meet_the_floors() -> None:
    pins: dict[str, list[tuple[int, ...]]] = {}
    for line in constraints():
        match = PIN.match(line)
        if match is not None:
            pins.setdefault(plain_name(line), []).append(numbers(match["version"]))
    for rows in requirements().values():
        for row in rows:
            if ">=" in row:
                floor = numbers(row.partition(">=")[2])
                low = [p for p in pins[plain_name(row)] if p < floor]
                assert not low, f"{row}: constraints.txt pins {low}"


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def calls(path: Path) -> Iterator[tuple[int, str, ast.Call]]:
    """Line, dotted name and node of every call."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func), node


FORBIDDEN = re.compile(
    r"^(eval|exec|compile|__import__|os\.system|pickle\.(load|loads|Unpickler)|marshal\.loads?|joblib\.load"
    r"|dill\.loads?|yaml\.(load|load_all|unsafe_load|full_load)|(numpy|np)\.load)$"
)


def faults(path: Path) -> list[str]:
    found = []
    for line, name, node in calls(path):
        where = f"{path.name}:{line}"
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        if FORBIDDEN.match(name):
            found.append(f"{where}: {name}() may run code from a file")
        if name == "torch.load" and "weights_only" not in options:
            found.append(f"{where}: torch.load without weights_only=True")
        if "weights_only" in options and ast.unparse(options["weights_only"]) != "True":
            found.append(f"{where}: weights_only is not True")
        if ast.unparse(options.get("shell", ast.Constant(False))) != "False":
            found.append(f"{where}: a shell is started")
    return found


def test_nothing_that_is_read_can_run_code() -> None:
    assert len(SOURCES) > 40
    found = [fault for path in SOURCES for fault in faults(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "pickle.load(f)",
        "yaml.load(text)",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "trainer.fit(m, weights_only=flag)",
        "eval(text)",
        "subprocess.run(c, shell=True)",
    ],
)
def test_each_danger_would_be_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(f"x = 1\n{line}\n")
    assert [fault.split(":")[:2] for fault in faults(tmp_path / "bad.py")] == [["bad.py", "2"]]
    (tmp_path / "good.py").write_text("torch.load(p, weights_only=True)\nyaml.safe_load(t)\n")
    assert not faults(tmp_path / "good.py")
