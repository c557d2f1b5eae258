"""Every promise of docs/reliability.md has a full form, quick tests that exist, and one line of the table."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parent
TORTURE = TESTS / "torture"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"torture_{name}", TORTURE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ROWS = load("rows").ROWS


def functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_promise_is_missing() -> None:
    promised = [f"R{n}" for n in range(1, 12)] + [f"S{n}" for n in range(1, 17)]
    assert list(ROWS)[: len(promised)] == promised


@pytest.mark.parametrize("name", ROWS)
def test_each_has_its_full_form(name: str) -> None:
    file, _, function = ROWS[name].runs.partition(":")
    assert function in functions(TORTURE / f"{file}.py")


@pytest.mark.parametrize("name", ROWS)
def test_each_has_quick_tests(name: str) -> None:
    assert ROWS[name].quick, f"{name} has no test in the suite"
    for test in ROWS[name].quick:
        file, _, function = test.partition("::")
        names = functions(TESTS / file)
        assert function in names if function else any(one.startswith("test_") for one in names), test


@pytest.mark.parametrize("name", ROWS)
def test_each_stands_in_the_document_with_its_figure(name: str) -> None:
    row = ROWS[name]
    text = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    line = re.search(
        rf"^\| {name} \| (.+?) \| (.+?) \| (.+) \| (kept|\*\*missed\*\*) \|$", text, re.MULTILINE
    )
    assert line is not None, f"docs/reliability.md has no line of {name}: python tests/torture {name}"
    assert (line[1], line[2]) == (row.fault, row.mark)
