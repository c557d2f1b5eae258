"""Before training: demo, init, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import early
from foveal.cli.options import Overrides
from foveal.cli.program import app
from foveal.exits import loading


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="run folder")] = Path("runs/demo"),
) -> None:
    """Generate shapes, train, evaluate and predict: minutes on a laptop, ends with an AP and pictures."""
    with loading():
        from foveal.verbs.demo import demo as verb

    verb(output)


@app.command()
def init(
    data: Annotated[str, typer.Argument(help="folder, COCO JSON, data.yaml or CSV to look at, or 'shapes'")],
    output: Annotated[Path, typer.Option("-o", "--output", help="YAML file to write")] = Path("config.yaml"),
    force: Annotated[bool, typer.Option("--force", help="write over an existing file")] = False,
    pictures: Annotated[
        Path | None, typer.Option(help="with shapes: new folder for the pictures and their COCO labels")
    ] = None,
) -> None:
    """Look at the data and write a config for it."""
    if data != "shapes":
        early.data(Path(data))
    with loading():
        from foveal.verbs.init import init as verb

    verb(data, output, force=force, pictures=pictures)


@app.command()
def doctor(
    source: Annotated[Path, typer.Argument(metavar="DATA|CONFIG", help="folder, label file or config")],
    overrides: Overrides = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file to write")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="CSV file to write")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="offline HTML file to write")] = None,
    fix: Annotated[
        Path | None, typer.Option(help="new folder for a corrected copy, as COCO, with a log")
    ] = None,
    merge_classes: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="with --fix: one class of two; repeat")
    ] = None,
    pictures: Annotated[str, typer.Option(help="decode all, a sample, or read headers only")] = "all",
    strict: Annotated[bool, typer.Option("--strict", help="exit code 3 on warnings, too")] = False,
    anchor_picture: Annotated[
        Path | None,
        typer.Option("--anchor-picture", help="of a config: PNG of the boxes that its anchors serve worst"),
    ] = None,
    fit_anchors: Annotated[
        bool, typer.Option("--fit-anchors", help="of a config: which anchors reach its boxes better")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="with --fit-anchors: the config with them, a new file"),
    ] = None,
    overfit: Annotated[
        bool, typer.Option("--overfit", help="of a config: can its model learn eight pictures by heart")
    ] = False,
    memory: Annotated[
        bool, typer.Option("--memory", help="of a config: what a step of its training takes")
    ] = False,
) -> None:
    """What is wrong with pictures, labels and anchors, where, and what to do: exit code 3 where there are errors.

    --fit-anchors, --overfit and --memory look at that alone.
    """
    if output is not None and not fit_anchors:
        raise typer.BadParameter(
            "-o goes with --fit-anchors; for the report there are --json, --csv and --html"
        )
    if pictures not in ("all", "headers", "sample"):
        raise typer.BadParameter(f"--pictures {pictures}: all, headers or sample")
    changes = overrides or ()
    if fit_anchors or overfit or memory:
        early.configuration(source, changes)
    else:
        early.data_or_configuration(source, changes)
    if fit_anchors:
        with loading():
            from foveal.verbs.fit_anchors import fit_anchors as fit_verb

        fit_verb(source, output, changes)
    if overfit or memory:
        with loading():
            from foveal.verbs.preflight import preflight

        result = preflight(source, changes, memory=memory, overfit=overfit)
        if not result.passed:
            raise typer.Exit(3)
    if fit_anchors or overfit or memory:
        return
    with loading():
        from foveal.verbs import doctor as verb

    report = verb.doctor(
        source, json_file, csv_file, html_file, fix, merge_classes or (), pictures, strict,  # type: ignore[arg-type]
        overrides=changes, anchor_picture=anchor_picture,
    )  # fmt: skip
    if verb.failed(report, strict):
        raise typer.Exit(3)
