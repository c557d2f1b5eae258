"""Detecting on pictures and videos: predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import early
from foveal.cli.options import AnyModel, Backend, Calibration, Device, Overlap, Precision, ScoreThresh, Tile
from foveal.cli.program import app
from foveal.exits import loading


@app.command()
def predict(
    checkpoint: AnyModel,
    sources: Annotated[
        list[str], typer.Argument(help="pictures, videos, folders, globs, addresses (s3://...)")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="folder to write")] = Path("predictions"),
    score_thresh: ScoreThresh = None,
    everything: Annotated[bool, typer.Option("--all", help="every detection of the model")] = False,
    pictures: Annotated[
        bool | None, typer.Option("--pictures/--no-pictures", help="write pictures and videos with boxes")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="coco,csv,jsonl,yolo,parquet", help="beside detections.jsonl")
    ] = "coco",
    resume: Annotated[bool, typer.Option("--resume", help="go on with the folder as it was left")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="a picture that cannot be read: exit code 3")
    ] = False,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = "fp32",
    calibration: Calibration = None,
    tile: Tile = None,
    overlap: Overlap = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", "--batch-size", min=1, help="pictures together; default: 8 on a GPU, else 1"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="threads that read ahead; with --cluster: processes that detect")
    ] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help="larger pictures are refused")] = 250_000_000,
    track: Annotated[bool, typer.Option(help="follow objects through videos")] = True,
    cluster: Annotated[bool, typer.Option("--cluster", help="on Ray: this machine, or --address")] = False,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="a Ray cluster; with --cluster")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="seconds without a picture after which a cluster is given up")
    ] = 120.0,
) -> None:
    """Detect on pictures and videos: drawn pictures, COCO JSON and more."""
    early.pictures(sources)
    early.checkpoint(checkpoint)
    with loading():
        from foveal.verbs.predict import predict as verb

    verb(
        checkpoint, sources, output, score_thresh, everything, pictures, device,
        backend=backend, precision=precision, calibration=calibration, tiles=tile, overlap=overlap,
        formats=[formats], batch_size=batch, workers=workers, max_pixels=max_pixels, track=track,
        resume=resume, strict=strict, cluster=cluster or address is not None, address=address,
        patience=patience,
    )  # fmt: skip
