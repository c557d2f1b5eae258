"""How long training took, and how large its result is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foveal.diagnosis.report.blocks import MISSING, Block, Column, Row, Section, Table, size_words, time_words
from foveal.diagnosis.report.gather import Run, at, number

LEAD = "Time of the training, and bytes on the disk."
RESUME = "resume/last.ckpt"
SMALL_PART = 1000
"""Numbers under which a part is not named: the mean and spread of the pixels are no network."""


def speed(runs: Sequence[Run]) -> Section:
    """A column a run."""
    progress = [read_progress(run) for run in runs]
    table = [
        ["Steps done", *(_steps(run, state) for run, state in zip(runs, progress, strict=True))],
        ["Training, with validations", *(_total(state) for state in progress)],
        ["Time per step", *(_per_step(state) for state in progress)],
        ["Pictures per second", *(_rate(run, state) for run, state in zip(runs, progress, strict=True))],
        ["Waiting for data, share of the time", *(_waiting(run) for run in runs)],
        ["Why it ended", *(_reason(state) for state in progress)],
        ["Parameters", *(_parameters(run) for run in runs)],
        *_parameter_parts(runs),
        ["Checkpoint", *(MISSING if run.weights is None else size_words(run.weights.bytes) for run in runs)],
        ["Run folder", *(size_words(sum(run.sizes.values())) for run in runs)],
    ]
    rows: list[Row] = [row for row in table if any(cell != MISSING for cell in row[1:])]
    head = [Column("", numeric=False)]
    head += [Column(run.name if len(runs) > 1 else "this run", run=None if len(runs) == 1 else place)
             for place, run in enumerate(runs)]  # fmt: skip
    blocks: list[Block] = [Table(head, rows)]
    return Section("speed", "Speed and size", LEAD, blocks)


def read_progress(run: Run) -> dict[str, Any]:
    """Counters of the run's resume state, without its tensors; empty where there is none or it cannot be read."""
    file = run.folder / RESUME
    if not file.is_file():
        return {}
    import torch

    try:
        state = torch.load(file, map_location="meta", weights_only=True, mmap=True)
    except Exception:  # a damaged file may raise anything, and is not this page's business
        return {}
    progress = at(state, "progress")
    return progress if isinstance(progress, dict) else {}


def _steps(run: Run, state: dict[str, Any]) -> str:
    done = number(state.get("step"))
    if done is None:
        done = max((points[-1][0] for points in run.curves.values() if points), default=None)
    return MISSING if done is None else f"{done:,.0f}"


def _total(state: dict[str, Any]) -> str:
    seconds = number(state.get("seconds"))
    return time_words(seconds) if seconds else MISSING


def _per_step(state: dict[str, Any]) -> str:
    seconds, steps = number(state.get("seconds")), number(state.get("step"))
    return time_words(seconds / steps) if seconds and steps else MISSING


def _rate(run: Run, state: dict[str, Any]) -> str:
    seconds, steps = number(state.get("seconds")), number(state.get("step"))
    batch = number(at(run.config, "training", "batch_size"))
    if not seconds or not steps or not batch:
        return MISSING
    pictures = steps * batch * (number(at(run.config, "training", "accumulate")) or 1)
    return f"{pictures / seconds:.3g}"


def _waiting(run: Run) -> str:
    values = [value for _, value in run.curves.get("data_wait", ())]
    return f"{100 * sum(values) / len(values):.0f} %" if values else MISSING


def _reason(state: dict[str, Any]) -> str:
    if not state:
        return MISSING
    words = {"length": "reached its length", "early_stopping": "no better AP for a while", "": "not over yet"}
    return words.get(str(state.get("stopped", "")), MISSING)


def _parameters(run: Run) -> str:
    return MISSING if run.weights is None else f"{sum(run.weights.parameters.values()) / 1e6:.2f} M"


def _parameter_parts(runs: Sequence[Run]) -> list[list[str]]:
    counts = [count for run in runs if run.weights is not None for count in run.weights.parameters.items()]
    names = dict.fromkeys(name for name, count in counts if count >= SMALL_PART)
    if not 1 < len(names) <= 6:
        return []
    return [
        [
            f"… {name}",
            *(
                MISSING
                if run.weights is None or name not in run.weights.parameters
                else f"{run.weights.parameters[name] / 1e6:.2f} M"
                for run in runs
            ),
        ]
        for name in names
    ]
