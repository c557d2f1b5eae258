"""Comparing and looking inside: convert, bench, lab, config."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import early
from foveal.cli.options import LabelledSet, Overrides
from foveal.cli.program import app, config_app
from foveal.errors import ModelFileError
from foveal.exits import loading


@app.command()
def convert(
    file: Annotated[
        Path, typer.Argument(help="weights (.pth, .pkl, .h5, .safetensors), NetsPresso YAML or a folder")
    ],
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="file to write; default: beside the input")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="whose weights they are; default: told by their names")
    ] = None,
    classes: Annotated[Path | None, typer.Option(help="one class name a line, or a COCO JSON")] = None,
    keep_unnamed: Annotated[
        bool, typer.Option("--keep-unnamed", help="keep rows of the class layer that have no class")
    ] = False,
    image_size: Annotated[
        tuple[int, int] | None, typer.Option(help="height and width of the canvas; default: the source's own")
    ] = None,
    bn_eps: Annotated[
        float | None, typer.Option(min=0, help="epsilon of the backbone's batch norms; default: 1e-5")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help=".md or .json: what became of every tensor or key")
    ] = None,
) -> None:
    """Foreign RetinaNet weights to a checkpoint, NetsPresso YAML to a config."""
    if not file.exists():
        raise ModelFileError(f"{file}: no such file")
    with loading():
        from foveal.verbs.convert import convert as verb

    changes = overrides or ()
    print(verb(file, output, source, classes, keep_unnamed, image_size, bn_eps, changes, report))


@app.command()
def bench(
    rows: Annotated[
        list[str] | None, typer.Argument(help="rows of the table; default: all, see --list")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="of both sides; default: each row's own")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    quick: Annotated[bool, typer.Option("--quick", help="small forms, to see that they run")] = False,
    checkpoint: Annotated[Path | None, typer.Option(help="trained model, for the rows that need one")] = None,
    data: LabelledSet = None,
    markdown: Annotated[Path | None, typer.Option(help="Markdown file to write")] = None,
    to_json: Annotated[Path | None, typer.Option("--json", help="JSON file to write")] = None,
    list_rows: Annotated[bool, typer.Option("--list", help="print the rows there are")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="with growth: folder for its picture and table")
    ] = None,
) -> None:
    """Foveal beside torchvision, pycocotools and PIL: times, memory, differences.

    ``foveal bench growth -o FOLDER`` measures how time and memory grow with pictures, boxes, classes and data.
    """
    # Threads that wait for others would be counted as working. OpenMP reads this when torch is loaded, as torch
    # reads the other: its profiler warns of memory that it did not see taken.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with loading():
        from foveal.verbs import bench as verb

    if list_rows:
        print("\n".join([*verb.names(), "growth"]))
        return
    if rows == ["growth"]:
        verb.growth(output or Path("growth"), quick)
        return
    if output is not None:
        raise typer.BadParameter("-o goes with growth; for the table there are --markdown and --json")
    verb.bench(rows or (), rounds, device, quick, checkpoint, data, markdown, to_json)


@app.command()
def lab(
    overrides: Overrides = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="new folder, or a lab's to go on with")
    ] = Path("lab"),
    data: Annotated[
        Path | None,
        typer.Option(help="your own config instead of generated shapes; with --cumulative: labels"),
    ] = None,
    settings: Annotated[
        str | None, typer.Option(help="names with commas between; default: all, with --data the main six")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="runs of each setting")] = 3,
    steps: Annotated[int | None, typer.Option(min=1, help="of each run; default: the config's")] = None,
    cumulative: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="draw the paper's figure 4 of it, and train nothing"),
    ] = None,
    list_settings: Annotated[bool, typer.Option("--list", help="print the settings there are")] = False,
) -> None:
    """The paper's ablations in miniature, beside its figures: about an hour on two CPU cores; resumes."""
    if cumulative is not None:
        early.checkpoint(cumulative)
        early.labelled(data)
    elif data is not None:
        early.configuration(data, overrides or ())
    with loading():
        from foveal.verbs import lab as verb

    if list_settings:
        print(verb.list_settings())
    elif cumulative is not None:
        verb.cumulative(cumulative, output, data)
    else:
        names = [] if settings is None else [name.strip() for name in settings.split(",") if name.strip()]
        verb.lab(output, data, names, seeds, steps, overrides or ())


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    with loading():
        from foveal.config.schema import json_schema

    print(json_schema())


@config_app.command("show")
def config_show(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file")],
    overrides: Overrides = None,
    classes: Annotated[int | None, typer.Option(min=1, help="number of classes; default: the file's")] = None,
) -> None:
    """Build the model of a file and print its settings and levels."""
    early.configuration(path, overrides or (), require_data=False)
    with loading():
        from foveal.verbs.config import show

    show(path, classes, overrides or ())
