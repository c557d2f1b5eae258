"""Calls in the sources that would run what a file says: found in the syntax tree, under whatever name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FORBIDDEN = {
    *(
        f"{name}.{call}"
        for name in ("pickle", "_pickle", "cPickle", "dill", "cloudpickle")
        for call in ("load", "loads")
    ),
    *("pickle.Unpickler", "_pickle.Unpickler", "marshal.load", "marshal.loads", "shelve.open", "joblib.load"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load"),
    *("yaml.full_load_all", "yaml.Loader", "yaml.UnsafeLoader", "yaml.FullLoader"),
    *("torch.jit.load", "torch.package.PackageImporter", "torch.hub.load", "pandas.read_pickle"),
    *("builtins.eval", "builtins.exec", "eval", "exec", "__import__", "onnx.load", "onnx.load_model"),
    "torch.serialization.add_safe_globals",
}
"""Names that are called or used nowhere. ``onnx.load`` opens files that the first one names."""
ALLOWED = {
    ("foveal/convert/safe_pickle.py", "pickle._Unpickler"),
    ("foveal/export/torch_file.py", "torch.export.load"),
}
"""A reader of pickles that knows nothing but stand-ins; and what an export's gate reads back, its own bytes."""
WATCHED = {"pickle._Unpickler", "torch.export.load"}


def unsafe_calls(root: Path) -> list[str]:
    """``file:line: what`` for every such use in the Python files below a folder."""
    found = []
    for file in sorted(root.rglob("*.py")):
        place = file.relative_to(root).as_posix()
        for line, what in unsafe_names(file.read_text(encoding="utf-8")):
            if (place, what) not in ALLOWED:
                found.append(f"{place}:{line}: {what}")
    return found


def unsafe_names(text: str) -> Iterator[tuple[int, str]]:
    """Line and full name of what is used in one file."""
    tree = ast.parse(text)
    names = dict(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            name = _full(node, names)
            if name in FORBIDDEN | WATCHED:
                yield node.lineno, name
        if isinstance(node, ast.keyword) and node.arg in ("weights_only", "allow_pickle"):
            safe = node.arg == "weights_only"
            if not isinstance(node.value, ast.Constant) or node.value.value is not safe:
                yield node.value.lineno, f"{node.arg}={ast.unparse(node.value)}"
        if isinstance(node, ast.Call) and _full(node.func, names) == "torch.load":
            said = [word.arg for word in node.keywords]
            yield from [] if "weights_only" in said else [(node.lineno, "torch.load without weights_only")]


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What each imported name stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                first = one.name.partition(".")[0]
                yield (one.asname, one.name) if one.asname else (first, first)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((one.asname or one.name, f"{node.module}.{one.name}") for one in node.names)


def _full(node: ast.AST, names: dict[str, str]) -> str:
    """Dotted name of an expression, its first part as imported; empty for what is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        before = _full(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return ""
