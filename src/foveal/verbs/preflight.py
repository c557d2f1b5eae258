"""Before the long run: ``foveal doctor CONFIG --overfit`` and ``--memory``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from foveal.config.load import load_config
from foveal.diagnosis.preflight.attempt import STEPS
from foveal.diagnosis.preflight.check import PreflightResult
from foveal.diagnosis.preflight.check import preflight as check


def preflight(
    config: Path,
    overrides: Sequence[str] = (),
    *,
    memory: bool = True,
    overfit: bool = True,
    steps: int = STEPS,
    quiet: bool = False,
) -> PreflightResult:
    """Estimate a training step's memory and learn eight training pictures by heart; nothing is written.

    config: a YAML file; overrides: ``key.sub=value``. steps: of the overfit test, at most. The time is said first.
    UsageError or DataError as for ``train``.
    """
    console = Console(quiet=quiet)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False, highlight=False)

    result = check(load_config(config, overrides), memory=memory, overfit=overfit, steps=steps, say=say)
    for line in result.lines():
        say(line)
    return result
