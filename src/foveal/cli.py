"""The command: parses arguments and calls one verb."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from foveal.exits import loading, run
from foveal.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="RetinaNet trained, understood, measured and shipped.",
)
config_app = typer.Typer(no_args_is_help=True, help="The configuration: its schema, and what a file builds.")
app.add_typer(config_app, name="config")

Overrides = Annotated[list[str] | None, typer.Argument(help="key.sub=value, any number")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps")]
Backend = Annotated[str, typer.Option(help="torch, onnxruntime or openvino; all but torch on the CPU")]
Precision = Annotated[str, typer.Option(help="fp32, bf16 (torch, openvino) or int8 (openvino)")]
Calibration = Annotated[
    Path | None, typer.Option(help="for int8: pictures like those to come; default: the training set")
]


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="show a traceback on errors")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Options of every verb; --debug is read by main()."""


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
    data: Annotated[str, typer.Argument(help="folder or COCO JSON to look at, or 'shapes'")],
    output: Annotated[Path, typer.Option("-o", "--output", help="YAML file to write")] = Path("config.yaml"),
    force: Annotated[bool, typer.Option("--force", help="write over an existing file")] = False,
    pictures: Annotated[
        Path | None, typer.Option(help="with shapes: new folder for the pictures and their COCO labels")
    ] = None,
) -> None:
    """Look at the data and write a config for it."""
    with loading():
        from foveal.verbs.init import init as verb

    verb(data, output, force=force, pictures=pictures)


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
) -> None:
    """Train a detector into runs/NAME."""
    with loading():
        from foveal.verbs import train as verb

    changes = list(overrides or ())
    if resume is not None and config is not None and "=" in str(config):
        # Without a config the first override stands in its place.
        changes, config = [str(config), *changes], None
    if show_batch:
        if config is None:
            raise typer.BadParameter("--show-batch needs a config")
        changes += [] if seed is None else [f"training.seed={seed}"]
        print(verb.show_batch(config, changes, output))
        return
    verb.train(config, changes, name, output, resume, start_from, device, seed)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="best.safetensors of a run")],
    data: Annotated[Path | None, typer.Option(help="config or COCO JSON; default: the run's own val")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="JSON file to write")] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 4,
    device: Device = "auto",
    backend: Backend = "torch",
    precision: Precision = "fp32",
    calibration: Calibration = None,
) -> None:
    """The 12 COCO numbers, for all classes and for each."""
    with loading():
        from foveal.verbs.evaluate import evaluate as verb

    verb(
        checkpoint, data, output, batch_size, device,
        backend=backend, precision=precision, calibration=calibration,
    )  # fmt: skip


@app.command()
def predict(
    checkpoint: Annotated[Path, typer.Argument(help="best.safetensors of a run")],
    sources: Annotated[list[str], typer.Argument(help="pictures, folders, globs")],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder to write")] = Path("predictions"),
    score_thresh: Annotated[float | None, typer.Option(min=0, max=1, help="one threshold for all")] = None,
    everything: Annotated[bool, typer.Option("--all", help="every detection of the model")] = False,
    pictures: Annotated[bool, typer.Option(help="draw pictures, not only JSON")] = True,
    device: Device = "auto",
    backend: Backend = "torch",
    precision: Precision = "fp32",
    calibration: Calibration = None,
) -> None:
    """Detect on pictures: drawn pictures and COCO JSON."""
    with loading():
        from foveal.verbs.predict import predict as verb

    verb(
        checkpoint, sources, output, score_thresh, everything, pictures, device,
        backend=backend, precision=precision, calibration=calibration,
    )  # fmt: skip


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
    data: Annotated[Path | None, typer.Option(help="config or COCO JSON; default: the run's own val")] = None,
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
    with loading():
        from foveal.verbs.config import show

    show(path, classes, overrides or ())


def main() -> None:
    """Entry point: runs the command and ends the process."""
    run(app)
