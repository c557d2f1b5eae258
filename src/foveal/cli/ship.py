"""A trained model elsewhere: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from foveal.cli import early
from foveal.cli.options import Calibration, LabelledSet
from foveal.cli.program import app
from foveal.exits import loading


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="best.safetensors of a run")],
    to: Annotated[
        Literal["onnx", "openvino", "torch", "triton"], typer.Option("--to", help="what to write")
    ] = "onnx",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=".onnx, .xml or .pt2 file; for triton REPOSITORY/NAME"),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="the head's outputs, and a numpy script that decodes them")
    ] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="weights in half the bytes")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="convolutions on bytes, calibrated on pictures")
    ] = False,
    data: LabelledSet = None,
    part: Annotated[
        Literal["train", "val", "test"] | None,
        typer.Option(help="part of that data; default: val, else what there is"),
    ] = None,
    pictures: Annotated[
        str,
        typer.Option(metavar="N|FOLDER", help="compared with torch: so many of the data's, or a folder's"),
    ] = "50",
    gate: Annotated[bool, typer.Option("--gate/--no-gate", help="compare with torch before writing")] = True,
    calibration: Calibration = None,
    licence: Annotated[str | None, typer.Option(help="text for the file's metadata")] = None,
) -> None:
    """Write a model that runs elsewhere, after the same detections and AP as torch's; exit code 4 where not."""
    early.checkpoint(checkpoint)
    early.labelled(data)
    folders = [str(calibration)] if calibration is not None else []
    early.pictures(folders if pictures.isdecimal() else [pictures, *folders])
    with loading():
        from foveal.verbs.export import export as verb

    verb(checkpoint, to, output, raw, fp16, int8, data, part, pictures, gate, calibration, licence)
