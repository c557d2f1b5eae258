"""Training and what comes after: train, evaluate, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import early
from foveal.cli.options import (
    AnyModel,
    Backend,
    Calibration,
    Device,
    LabelledSet,
    Overlap,
    Overrides,
    Part,
    Precision,
    Tile,
)
from foveal.cli.program import app
from foveal.errors import UsageError
from foveal.exits import loading


@app.command()
def train(
    config: Annotated[Path | None, typer.Argument(help="YAML file")] = None,
    overrides: Overrides = None,
    name: Annotated[str | None, typer.Option(help="run name; default: the config's")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of the runs")] = Path("runs"),
    resume: Annotated[Path | None, typer.Option(help="run folder to go on with")] = None,
    start_from: Annotated[Path | None, typer.Option("--from", help="checkpoint to fine-tune from")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps")] = None,
    seed: Annotated[int | None, typer.Option(help="random seed; default: the config's")] = None,
    show_batch: Annotated[
        bool, typer.Option("--show-batch", help="write a picture of a training batch, and do not train")
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="BAD_BATCH", help="do the bad step of a run again, and say where it breaks; no training"
        ),
    ] = None,
) -> None:
    """Train a detector into runs/NAME."""
    if replay is not None:
        if not replay.exists():
            raise UsageError(
                f"{replay}: no such file or folder; a run that diverges leaves bad_batch.pt in its folder"
            )
        with loading():
            from foveal.verbs.replay import replay as replay_verb

        print("\n".join(replay_verb(replay, device).lines))
        return
    changes = list(overrides or ())
    if resume is not None and config is not None and "=" in str(config):
        # Without a config the first override stands in its place.
        changes, config = [str(config), *changes], None
    if show_batch and config is None:
        raise typer.BadParameter("--show-batch needs a config")
    early.run(config, start_from, changes, name, resume, start_from, device, seed)
    with loading():
        from foveal.verbs import train as verb

    if show_batch and config is not None:
        changes += [] if seed is None else [f"training.seed={seed}"]
        print(verb.show_batch(config, changes, output))
        return
    verb.train(config, changes, name, output, resume, start_from, device, seed)


@app.command()
def evaluate(
    checkpoint: AnyModel,
    data: LabelledSet = None,
    part: Part = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file to write")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 4,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = "fp32",
    calibration: Calibration = None,
    tile: Tile = None,
    overlap: Overlap = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="also errors, confusion, thresholds and calibration by class")
    ] = False,
    galleries: Annotated[
        Path | None, typer.Option(help="new folder for pictures of misses, mistakes and likely wrong labels")
    ] = None,
    thresholds: Annotated[
        str | None,
        typer.Option(metavar="f1|precision=X", help="chosen on this data; default: the checkpoint's own"),
    ] = None,
    write_thresholds: Annotated[
        Path | None, typer.Option(metavar="OUT", help="new checkpoint file with the thresholds chosen here")
    ] = None,
) -> None:
    """The 12 COCO numbers with intervals, for all classes and for each, and what the errors cost."""
    early.checkpoint(checkpoint)
    early.labelled(data)
    with loading():
        from foveal.verbs.evaluate import evaluate as verb

    verb(
        checkpoint, data, output, batch_size, device,
        backend=backend, precision=precision, calibration=calibration,
        thresholds=thresholds, write_thresholds=write_thresholds, galleries=galleries, errors=errors,
        tiles=tile, overlap=overlap, part=part,
    )  # fmt: skip


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="run folders, such as runs/NAME; several: side by side")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="HTML file to write; default: report.html in the run's folder"),
    ] = None,
    title: Annotated[str, typer.Option(help="heading of the page; default: the runs' names")] = "",
) -> None:
    """One offline HTML file about a run, or several side by side: figures, curves, errors, pictures, settings."""
    early.run_folders(runs)
    with loading():
        from foveal.verbs.report import report as verb

    verb(runs, output, title)
