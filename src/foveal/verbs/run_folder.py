"""What a run's folder holds, and whether a folder is one."""

from __future__ import annotations

from pathlib import Path

from foveal.diagnosis.report.gather import ENVIRONMENT
from foveal.diagnosis.report.writing import PAGE
from foveal.engine.health import HEALTH
from foveal.engine.logs import METRICS
from foveal.engine.saving import BEST_WEIGHTS, LAST, LAST_WEIGHTS, PREVIOUS
from foveal.verbs.run_settings import CONFIG_FILE

EVALUATION_FILE = "evaluation.json"
LAUNCH_FILE = "launch.json"
"""Which torchrun began the run."""
GALLERIES = "galleries"
RUN_FILES = (
    CONFIG_FILE,
    LAUNCH_FILE,
    ENVIRONMENT,
    EVALUATION_FILE,
    GALLERIES,
    PAGE,
    BEST_WEIGHTS,
    LAST_WEIGHTS,
    METRICS,
    HEALTH,
    LAST,
    PREVIOUS,
)
"""What a run writes: none of it may be there when another begins."""


def is_run_folder(path: Path) -> bool:
    """Whether a path is taken by a run (or is a file), so that a new one must go elsewhere."""
    return path.is_file() or any((path / file).exists() for file in RUN_FILES)
