"""``foveal lab``: the paper's ablations in miniature, beside its figures."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from foveal.bench.machine import describe
from foveal.config.load import data_of, load_config
from foveal.config.schema import Config
from foveal.data.shapes import make_shapes, write_shapes
from foveal.engine.console import duration
from foveal.engine.saving import LAST
from foveal.errors import DivergedError, Interrupted, UsageError
from foveal.files import free_name, write_bytes, write_text
from foveal.lab import cumulative as anchors
from foveal.lab import report
from foveal.lab.results import RESULTS, Results, Run, fingerprint
from foveal.lab.settings import (
    Setting,
    all_settings,
    base_text,
    choose,
    common_changes,
    diverged_in_paper,
    paper_tables,
)
from foveal.lab.verdict import Row, rows_of
from foveal.verbs.run_folder import is_run_folder
from foveal.verbs.run_settings import CONFIG_FILE
from foveal.verbs.train import TrainResult, train

TRAIN_PICTURES, VAL_PICTURES = 800, 200
CLASSES, SIZE = 3, 128
BASE_FILE, TABLE, PICTURE, CURVES = "base.yaml", "table.md", "table.png", "cumulative"
RUNS = "runs"


class LabResult(NamedTuple):
    """What the lab has measured, this time and before."""

    folder: Path
    runs: list[Run]
    rows: dict[str, Row]


class _Job(NamedTuple):
    """One run to be made."""

    setting: Setting
    seed: int
    base: Path
    changes: tuple[str, ...]
    experiment: str


def lab(
    output: Path = Path("lab"),
    data: Path | None = None,
    settings: Sequence[str] = (),
    seeds: int = 3,
    steps: int | None = None,
    overrides: Sequence[str] = (),
    quiet: bool = False,
) -> LabResult:
    """Train settings of the paper's table 1 with several seeds, and set the results beside its figures.

    output: new folder, or that of a lab to go on with: finished runs are kept and not repeated, an interrupted one
    goes on from where it was saved. data: a configuration to change instead of the lab's own on generated
    shapes. settings: names; none: all, with ``data`` the six main ones. seeds: 0 to seeds - 1, every setting once
    before any twice. steps: of each run. overrides: ``key.sub=value``, for all runs; a setting's own win.
    After every run ``table.md`` and ``table.png`` are written anew. A run that diverges is a result.
    """
    chosen = choose(settings, only_main=data is not None)
    console = Console(quiet=quiet, highlight=False)
    results = Results(output)
    base = data if data is not None else _own_base(output, results)
    per_seed = _jobs(chosen, base, steps, overrides)
    results.claim()
    if data is None:
        _draw_pictures(output, console)
    jobs = [job._replace(seed=seed) for seed in range(seeds) for job in per_seed]
    found = [results.find(job.setting.name, job.seed, job.experiment) for job in jobs]
    todo = [job for job, run in zip(jobs, found, strict=True) if run is None]
    _tell(console, f"{len(jobs)} runs, {len(jobs) - len(todo)} of them done before ({results.file})")
    with _bar(console, len(todo)) as show:
        for place, job in enumerate(todo):
            where = f"{job.setting.name}, seed {job.seed}"
            show(f"{where}{_time_left(todo[place:], results.runs)}", place)
            run = _train(job, output, results)
            results.add(run)
            _write_table(output, results)
            outcome = "diverged" if run.AP is None else f"AP {100 * run.AP:.1f}"
            left = _time_left(todo[place + 1 :], results.runs)
            _tell(console, f"[{place + 1}/{len(todo)}] {where}: {outcome} ({duration(run.seconds)}){left}")
    rows = _write_table(output, results)
    if rows:
        _tell(console, f"\n{_report(rows)}")
        _tell(console, f"wrote {output / TABLE} and {output / PICTURE}")
    focal = output / RUNS / "focal_seed0" / "best.safetensors"
    if focal.is_file() and not (output / f"{CURVES}.png").exists():
        cumulative(focal, output, quiet=quiet)
    return LabResult(output, results.runs, rows)


def cumulative(
    checkpoint: Path, output: Path = Path("lab"), data: Path | None = None, quiet: bool = False
) -> anchors.AnchorLosses:
    """The paper's figure 4 of a checkpoint: ``cumulative.png`` and ``.md`` (numbered where they are there).

    data: labelled pictures, as for ``evaluate``; default: the validation set that it was trained with.
    """
    losses = anchors.measure(checkpoint, data)
    text = anchors.describe(losses)
    picture, table = (free_name(output / f"{CURVES}{suffix}") for suffix in (".png", ".md"))
    heading = f"# Cumulative loss over the anchors\n\n`foveal lab --cumulative {checkpoint}`\n\n"
    write_text(table, f"{heading}![foreground and background]({picture.name})\n\n{text}")
    write_bytes(picture, anchors.draw(losses))
    console = Console(quiet=quiet, highlight=False)
    _tell(console, f"\n{text}\nwrote {table} and {picture}")
    return losses


def list_settings() -> str:
    """Every setting: its name, what it is, and what it changes."""
    lines = ["all:", *(f"    {change}" for change in common_changes())]
    for setting in all_settings().values():
        lines += [f"{setting.name}: {setting.label}", *(f"    {change}" for change in setting.own)]
    return "\n".join(lines)


def _own_base(output: Path, results: Results) -> Path:
    """The lab's base configuration, in the lab's folder."""
    results.claim()
    base = output / BASE_FILE
    if not base.exists():
        write_text(base, base_text())
    return base


def _draw_pictures(output: Path, console: Console) -> None:
    """The pictures that the lab's base configuration names."""
    for split, pictures, seed in (("train", TRAIN_PICTURES, 0), ("val", VAL_PICTURES, 1)):
        folder = output / "data" / split
        if not (folder / "annotations.json").exists():
            _tell(console, f"drawing {pictures} pictures into {folder}")
            write_shapes(make_shapes(pictures, CLASSES, SIZE, seed), folder)


def _jobs(chosen: Sequence[Setting], base: Path, steps: int | None, overrides: Sequence[str]) -> list[_Job]:
    """A job per setting, for seed 0; a setting that cannot be is refused here, before any is trained."""
    if not base.is_file():
        raise UsageError(
            f"{base}: no such file; give a configuration with --data, or none for generated shapes"
        )
    text = base.read_text(encoding="utf-8")
    length = () if steps is None else (f"training.max_steps={steps}",)
    jobs = []
    for setting in chosen:
        changes = (*overrides, *setting.changes, *length)
        if data_of(load_config(base, changes)).val is None:
            raise UsageError(f"{base}: no data.val: the lab has nothing to measure AP on")
        jobs.append(_Job(setting, 0, base, changes, fingerprint(text, changes)))
    return jobs


def _train(job: _Job, output: Path, results: Results) -> Run:
    """Train a setting once; DivergedError becomes a result, Interrupted says how the lab goes on."""
    began = time.monotonic()
    name = f"{job.setting.name}_seed{job.seed}"
    try:
        made = _resume(job, output / RUNS, name) or train(
            job.base, job.changes, name=name, output=output / RUNS, seed=job.seed, quiet=True
        )
    except DivergedError as error:
        seconds = time.monotonic() - began
        return _run(job, None, None, str(error), seconds, f"{RUNS}/{name}")
    except Interrupted as error:
        raise Interrupted(
            f"stopped in {name}; {len(results.runs)} finished runs are kept in {results.file}, "
            "and the same command goes on",
            error.exit_code - 128,
        ) from error
    shutil.rmtree(made.folder / Path(LAST).parent, ignore_errors=True)  # a finished run needs no resume state
    seconds = time.monotonic() - began
    AP, AP50 = (made.metrics[name] or 0.0 for name in ("AP", "AP50"))
    return _run(job, AP, AP50, "", seconds, str(made.folder.relative_to(output)))


def _run(job: _Job, AP: float | None, AP50: float | None, note: str, seconds: float, folder: str) -> Run:
    return Run(
        job.setting.name, job.seed, AP, AP50, AP is None, note, round(seconds, 1), job.experiment, folder
    )


def _resume(job: _Job, runs: Path, name: str) -> TrainResult | None:
    """Go on with a run of the same configuration that was interrupted; None where there is none."""
    folder, number = runs / name, 1
    while is_run_folder(folder):
        if (folder / LAST).is_file() and (folder / CONFIG_FILE).is_file():
            wanted = load_config(job.base, [*job.changes, f"training.seed={job.seed}"])
            if _same_settings(load_config(folder / CONFIG_FILE), wanted):
                return train(resume=folder, quiet=True)
        number += 1
        folder = runs / f"{name}-{number}"
    return None


def _same_settings(run: Config, wanted: Config) -> bool:
    """Whether a run has the settings; where they say ``auto`` of the class weights, a run has numbers."""
    values, asked = run.model_dump(), wanted.model_dump()
    loss, asked_loss = (settings["model"]["losses"]["classification"] for settings in (values, asked))
    loss |= {name: value for name, value in asked_loss.items() if value == "auto" and name in loss}
    return values == asked


def _time_left(todo: Sequence[_Job], runs: Sequence[Run]) -> str:
    """Words for how long the jobs will take: each as long as its setting did, or else as the mean run."""
    if not runs:
        return ""
    known = {row.name: row.seconds for row in rows_of(runs).values()}
    mean = sum(run.seconds for run in runs) / len(runs)
    return f"; about {duration(sum(known.get(job.setting.name, mean) for job in todo))} left"


def _report(rows: dict[str, Row]) -> str:
    return report.markdown(paper_tables(), rows, all_settings(), diverged_in_paper())


def _write_table(output: Path, results: Results) -> dict[str, Row]:
    rows = rows_of(results.runs)
    if rows:
        heading = f"# The paper's table 1 in miniature\n\n![ours and the paper's]({PICTURE})\n"
        text = f"{heading}\n{_report(rows)}\nEvery run: `{RESULTS}`. {describe('cpu')}\n"
        write_text(output / TABLE, text)
        write_bytes(output / PICTURE, report.draw(paper_tables(), rows, diverged_in_paper()))
    return rows


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar with the current run and the time left; in a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    hidden = not console.is_terminal or not total
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=total)
        yield lambda text, done: progress.update(task, description=text, completed=done)


def _tell(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
