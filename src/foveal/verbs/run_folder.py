"""What a run's folder holds, and whether a folder is one."""

from __future__ import annotations

import os
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
    """Whether a path is taken by a run (or is no folder), so that a new one must go elsewhere."""
    if not path.is_dir():
        return os.path.lexists(path)
    return any(os.path.lexists(path / file) for file in RUN_FILES)
