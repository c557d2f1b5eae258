"""A run folder in memory: every file that is there and can be read; what is missing is simply not in it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foveal.config.yaml_text import read_file
from foveal.diagnosis.report.metrics_file import Points, read_metrics
from foveal.diagnosis.report.plain import clean, without_folders
from foveal.diagnosis.report.weights_header import WeightsHeader, read_weights_header
from foveal.errors import UsageError

CONFIG = "config.yaml"
EVALUATION = "evaluation.json"
METRICS = "metrics.csv"
HEALTH = "health.jsonl"
ENVIRONMENT = "environment.json"
WEIGHTS = ("best.safetensors", "last.safetensors")
RUN_FILES = (CONFIG, METRICS, EVALUATION, *WEIGHTS)
"""A folder with one of these is a run."""
MOST_HEALTH_LINES = 2000


class HealthLine(NamedTuple):
    """One warning that training gave."""

    step: int | None
    rule: str
    severity: str
    message: str
    fix: str


class Run(NamedTuple):
    """What a run folder holds."""

    folder: Path
    name: str
    """Name on the page: the folder's, with a number where two are called the same."""
    config: dict[str, Any]
    """The resolved configuration as plain values, unchecked; empty where it cannot be read."""
    curves: dict[str, Points]
    evaluation: dict[str, Any]
    """evaluation.json, unchecked; numbers that are not finite are None."""
    weights: WeightsHeader | None
    """Of the best checkpoint, else of the last."""
    health: list[HealthLine]
    environment: dict[str, str]
    sizes: dict[str, int]
    """Bytes of each file in the folder itself, and of each folder in it."""
    place: int = 0
    """Number of the run on the page, and of its colour."""

    def metric(self, name: str) -> float | None:
        """One of the 12 COCO numbers, 0 to 1; of the evaluation, else of the checkpoint's own facts."""
        value = number(self.evaluation.get(name))
        if value is None and self.weights is not None and not self.evaluation:
            value = number(at(self.weights.about, "facts", "metrics", name))
        return value

    def paths(self) -> list[str]:
        """Folders and files that the configuration names."""
        found: list[str] = []
        pending: list[Any] = [self.config]
        while pending:
            value = pending.pop()
            if isinstance(value, dict):
                pending.extend(value.values())
            elif isinstance(value, str) and value.startswith(("/", "~", "\\")):
                found.append(value)
        return [*found, *(str(Path(path).parent) for path in found)]

    def plain(self, text: object) -> str:
        """A text of the run without the folders of its machine."""
        return without_folders(str(clean(str(text))), [*self.paths(), str(self.folder.absolute())])


def gather(folders: Sequence[Path]) -> list[Run]:
    """Read run folders. UsageError where one of them is none, or is named twice."""
    for folder in folders:
        check_run_folder(folder)
    seen: dict[Path, Path] = {}
    for folder in folders:
        if folder.resolve() in seen:
            raise UsageError(f"{folder}: named twice; give each run once")
        seen[folder.resolve()] = folder
    runs: list[Run] = []
    for folder in folders:
        name = str(clean(folder.resolve().name)) or "run"
        taken = {run.name for run in runs}
        count = 2
        unique = name
        while unique in taken:
            unique, count = f"{name} ({count})", count + 1
        runs.append(read_run(folder, unique)._replace(place=len(runs)))
    return runs


def read_run(folder: Path, name: str) -> Run:
    """One run folder; any of its files may be missing or damaged."""
    headers = (read_weights_header(folder / file) for file in WEIGHTS)
    environment = _mapping(read_json(folder / ENVIRONMENT))
    return Run(
        folder,
        name,
        _mapping(_yaml(folder / CONFIG)),
        read_metrics(folder / METRICS),
        _mapping(read_json(folder / EVALUATION)),
        next((header for header in headers if header is not None), None),
        _health(folder / HEALTH),
        {key: value for key, value in environment.items() if isinstance(value, str)},
        _sizes(folder),
    )


def number(value: Any) -> float | None:
    """The value where it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def at(value: Any, *keys: str | int) -> Any:
    """What stands at nested keys; None where one of them is missing."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def rows(value: Any) -> list[dict[str, Any]]:
    """The mappings of a list; empty where it is none."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def check_run_folder(folder: Path) -> None:
    """UsageError, with what to give instead, where a folder is no run's."""
    if folder.is_file():
        raise UsageError(f"{folder}: a file; give the run's folder, such as {folder.parent}")
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give a run's, such as runs/NAME")
    if not any((folder / name).is_file() for name in RUN_FILES):
        inner = sorted(child.parent.name for child in folder.glob(f"*/{CONFIG}"))
        more = ", ..." if len(inner) > 3 else ""
        hint = f"; the runs in it are {', '.join(inner[:3])}{more}" if inner else ""
        raise UsageError(
            f"{folder}: not a run folder: it has none of {', '.join(RUN_FILES)}; give a folder that foveal train "
            f"made{hint}"
        )


def read_json(file: Path) -> Any:
    """Content of a JSON file, cleaned; None where there is none or it is no JSON."""
    try:
        return _finite(clean(json.loads(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError, RecursionError):
        return None


def _yaml(file: Path) -> Any:
    try:
        return clean(read_file(file).value)
    except UsageError:
        return None


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _health(file: Path) -> list[HealthLine]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines()[:MOST_HEALTH_LINES]:
        try:
            row = _mapping(clean(json.loads(line)))
        except (ValueError, RecursionError):
            continue
        step = number(row.get("step"))
        message = row.get("message")
        if isinstance(message, str):
            fix = row.get("fix")
            found.append(
                HealthLine(
                    None if step is None else int(step),
                    str(row.get("rule", "")),
                    str(row.get("severity", "warning")),
                    message,
                    fix if isinstance(fix, str) else "",
                )
            )
    return found


def _sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    try:
        children = sorted(folder.iterdir())
    except OSError:
        return sizes
    for child in children:
        files = [child] if child.is_file() else [file for file in child.rglob("*") if file.is_file()]
        name = str(clean(child.name)) + ("/" if child.is_dir() else "")
        sizes[name] = sum(file.stat().st_size for file in files)
    return sizes
