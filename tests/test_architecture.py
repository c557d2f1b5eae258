"""The floors of the house, read from the imports of every module.

A room may import rooms on lower floors, and its own files; nothing else. Imports inside functions count, too.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "foveal"
PACKAGE = "foveal"

FLOORS = {
    "types": 0, "errors": 0, "version": 0, "files": 0, "grammar": 0,
    "config": 1, "ops": 1,
    "data": 2, "metrics": 2, "engine": 2, "checkpoint": 2,
    "models": 3, "heads": 3,
    "build": 4, "runtime": 4,
    "diagnosis": 5, "bench": 5, "lab": 5, "convert": 5, "export": 5, "page": 5, "cluster": 5,
    "verbs": 6, "serve": 6,
    "exits": 6, "cli": 7, "__main__": 8,
}  # fmt: skip
NEIGHBOURS = {("runtime", "build"), ("files", "errors"), ("verbs", "serve")}
"""Rooms of one floor where the first may import the second: a Predictor builds what a checkpoint describes,
a file that cannot be written is a DiskError, and the verb starts the server."""
CLOSED = {
    "models": (
        {"config", "data", "metrics", "engine", "files"},
        "modules never see a config, a file or a data set",
    ),
    "heads": (
        {"config", "data", "metrics", "engine", "checkpoint", "files"},
        "heads never see a config, a file or a data set",
    ),
    "ops": ({"files", "version"}, "ops imports foveal.types and foveal.errors only"),
    "engine": ({"ops"}, "the engine does not know what a box is"),
}
"""Lower rooms that a room must not enter all the same, and why."""
OPS_MAY = {"torch", "numpy", "torchvision.ops"}
ONE_FILE = {"hotcoco": "behind one adapter file"}
NO_NAMES = {"utils", "util", "misc", "common", "helpers", "helper"}


class Import(NamedTuple):
    """One imported module, and where."""

    file: Path
    line: int
    module: str
    """Importing module, dotted."""
    target: str
    """Imported module, dotted: the deepest that exists."""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def modules(source: Path) -> dict[str, Path]:
    """Dotted name -> file, of a package folder."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(source: Path) -> list[Import]:
    """Every import of every module, wherever it stands."""
    known = modules(source)
    found = []
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            line = getattr(node, "lineno", 0)
            targets = _targets(node, module, path, known)
            found += [Import(path.relative_to(source.parent), line, module, target) for target in targets]
    return found


def _targets(node: ast.AST, module: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:  # relative: counted from the package that holds the file
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            above = package[: len(package) - node.level + 1]
            base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in known or base == "torchvision" else base
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
        "import_module",
        "__import__",
    ):
        first = node.args[0] if node.args else None
        yield str(first.value) if isinstance(first, ast.Constant) else "an unknown module"


def room(module: str) -> str | None:
    """The room of one of our modules; None for the package itself and for foreign ones."""
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else None


def violations(found: list[Import]) -> list[str]:
    """One line for every import that breaks a floor: place, what, rule."""
    return [
        f"{one.place}: {one.module} imports {one.target}: {rule}"
        for one in found
        if (rule := _broken_rule(one)) is not None
    ]


def _broken_rule(one: Import) -> str | None:
    here, there = room(one.module), room(one.target)
    if one.target == "an unknown module":
        return "write the name of the module, so that this test can read it"
    if here is None:
        return None  # foveal/__init__.py, the front door: see its own test
    if here not in FLOORS:
        return f"room {here!r} has no floor: give it one in FLOORS of {Path(__file__).name}"
    if one.target.split(".")[0] != PACKAGE:
        return _broken_outside(one, here)
    if there is None:
        return "import the module itself, not the package's front door"
    if there == here:
        return None
    if there not in FLOORS:
        return f"room {there!r} has no floor: give it one in FLOORS of {Path(__file__).name}"
    if FLOORS[there] > FLOORS[here]:
        return f"floor {FLOORS[here]} must not import floor {FLOORS[there]}"
    if FLOORS[there] == FLOORS[here] and (here, there) not in NEIGHBOURS:
        return f"{here} and {there} are siblings on floor {FLOORS[here]}; neither imports the other"
    closed, reason = CLOSED.get(here, (set(), ""))
    return reason if there in closed else None


def _broken_outside(one: Import, here: str) -> str | None:
    top = one.target.split(".")[0]
    if here != "ops" or top in sys.stdlib_module_names or one.target in OPS_MAY or top in OPS_MAY:
        return None
    if one.target.startswith("torchvision.ops"):
        return None
    return f"ops imports only the standard library, {', '.join(sorted(OPS_MAY))} and foveal.types"


def scattered(found: list[Import]) -> list[str]:
    """Foreign packages that belong in one file, in more than one."""
    lines = []
    for package, reason in ONE_FILE.items():
        places = {one.file: one.place for one in found if one.target.split(".")[0] == package}
        if len(places) > 1:
            lines.append(f"{', '.join(sorted(places.values()))}: {package} belongs {reason}")
    return lines


def cycle(found: list[Import]) -> str | None:
    """A ring of modules that import one another, or None."""
    graph: dict[str, set[str]] = {}
    place: dict[tuple[str, str], str] = {}
    for one in found:
        if one.target.split(".")[0] == PACKAGE and one.target != one.module:
            graph.setdefault(one.module, set()).add(one.target)
            place.setdefault((one.module, one.target), one.place)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        ring: list[str] = error.args[1][::-1]
        steps = [place[pair] for pair in pairwise(ring)]
        return f"{' -> '.join(ring)}: modules must not import each other in a ring ({', '.join(steps)})"
    return None


# ---------------------------------------------------------------- the house as it stands


@pytest.fixture(scope="module")
def house() -> list[Import]:
    found = imports(SOURCE)
    assert len(found) > 200, "hardly any import was read"
    return found


def test_every_import_goes_down(house: list[Import]) -> None:
    broken = violations(house)
    assert not broken, "\n" + "\n".join(broken)


def test_no_rings(house: list[Import]) -> None:
    ring = cycle(house)
    assert ring is None, ring


def test_adapters_stay_alone(house: list[Import]) -> None:
    broken = scattered(house)
    assert not broken, "\n".join(broken)


def test_the_front_door_is_light(house: list[Import]) -> None:
    """foveal/__init__.py loads nothing but the version until something is asked for."""
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in top}
    assert names <= {"__future__", "typing", "foveal.version"}, f"src/foveal/__init__.py imports {names}"


def test_names_say_what_is_inside() -> None:
    files = [path for folder in (SOURCE, ROOT / "tests") for path in folder.rglob("*.py")]
    bad = [
        str(p.relative_to(ROOT)) for p in files if NO_NAMES & {part.removesuffix(".py") for part in p.parts}
    ]
    assert not bad, f"{bad}: name a file after its idea, not utils, misc, common or helpers"


def test_tests_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize(
    "line", ["import foveal", "import foveal.cli", "import foveal.version, foveal.errors"]
)
def test_torch_is_not_loaded_before_it_is_needed(line: str) -> None:
    """`foveal --help` must answer at once."""
    heavy = "{'torch', 'torchvision', 'timm', 'pytorch_lightning', 'hotcoco', 'matplotlib'}"
    script = f"{line}; import sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]", f"`{line}` loads {done.stdout.strip()}: import it inside the function"


# ---------------------------------------------------------------- the test itself can fail


def house_of(folder: Path, files: dict[str, str]) -> list[Import]:
    source = folder / PACKAGE
    for name, text in {"__init__.py": "", **files}.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return imports(source)


ROOMS = {
    f"{name}/__init__.py": ""
    for name in ("ops", "data", "engine", "models", "heads", "verbs", "config", "checkpoint")
}


@pytest.mark.parametrize(
    ("file", "line", "rule"),
    [
        ("ops/iou.py", "from foveal.data import coco", "floor 1 must not import floor 2"),
        ("ops/iou.py", "from foveal.config.schema import X", "siblings on floor 1"),
        ("ops/iou.py", "import torchvision", "ops imports only"),
        ("ops/iou.py", "from torchvision import transforms", "ops imports only"),
        ("ops/iou.py", "import PIL.Image", "ops imports only"),
        ("data/coco.py", "import foveal.engine.fit", "siblings on floor 2"),
        ("data/coco.py", "def f():\n    from foveal.verbs import train", "floor 2 must not import floor 6"),
        ("data/coco.py", "from ..engine import fit", "siblings on floor 2"),
        ("data/coco.py", "from .. import engine", "siblings on floor 2"),
        ("data/coco.py", "from foveal import Predictor", "front door"),
        ("data/coco.py", "importlib.import_module('foveal.cli')", "floor 2 must not import floor 7"),
        ("data/coco.py", "importlib.import_module(name)", "write the name"),
        ("models/fpn.py", "from foveal.heads import HEADS", "siblings on floor 3"),
        ("heads/h.py", "from foveal.models.fpn import FPN", "siblings on floor 3"),
        ("heads/h.py", "from foveal.config.schema import Head", "never see a config"),
        ("models/fpn.py", "from foveal.data.coco import read", "never see a config"),
        ("heads/h.py", "from foveal.checkpoint.format import load", "never see a config"),
        ("engine/fit.py", "from foveal.ops.iou import box_iou", "does not know what a box is"),
        ("odds/ends.py", "import foveal.types", "has no floor"),
    ],
)
def test_each_broken_rule_names_file_line_and_rule(tmp_path: Path, file: str, line: str, rule: str) -> None:
    found = violations(house_of(tmp_path, {**ROOMS, file: f"\n{line}\n"}))
    assert len(found) == 1, found
    number = 2 + line.count("\n")
    assert found[0].startswith(f"foveal/{file}:{number}: ")
    assert rule in found[0]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (
            "ops/iou.py",
            "import math, torch, numpy as np\nfrom torchvision.ops import nms\nfrom torchvision import ops",
        ),
        (
            "ops/iou.py",
            "from foveal.types import X\nfrom foveal.errors import Y\nfrom foveal.ops.nms import Z",
        ),
        ("models/backbone.py", "import timm\nfrom foveal.checkpoint.transfer import t"),
        ("verbs/train.py", "from foveal.verbs.evaluate import evaluate\nfrom .predict import p"),
        ("runtime/predictor.py", "from foveal.build import build_detector"),
        ("engine/fit.py", "from foveal.config.schema import Training"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, file: str, line: str) -> None:
    assert violations(house_of(tmp_path, {**ROOMS, file: line})) == []


def test_a_ring_is_found(tmp_path: Path) -> None:
    files = {
        "data/a.py": "from foveal.data.b import x",
        "data/b.py": "\ndef f():\n    from foveal.data import c",
        "data/c.py": "import foveal.data.a",
    }
    ring = cycle(house_of(tmp_path, {**ROOMS, **files}))
    assert ring is not None
    assert "foveal/data/b.py:3" in ring
    assert cycle(house_of(tmp_path, {"data/c.py": "import math"})) is None


def test_a_scattered_adapter_is_found(tmp_path: Path) -> None:
    files = {"metrics/a.py": "import hotcoco", "metrics/b.py": "from hotcoco import COCO"}
    assert "foveal/metrics/b.py:1" in scattered(house_of(tmp_path, files))[0]
