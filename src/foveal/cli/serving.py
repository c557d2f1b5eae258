"""A model over HTTP."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import early
from foveal.cli.options import Backend, Calibration, Device, Overlap, Precision, Tile
from foveal.cli.program import app
from foveal.errors import Interrupted
from foveal.exits import loading


@app.command()
def serve(
    model: Annotated[Path, typer.Argument(help="checkpoint, or a file of foveal export")],
    host: Annotated[str, typer.Option(help="address to listen on; 0.0.0.0: all")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 8000,
    name: Annotated[str | None, typer.Option(help="of the model; default: its file's, or its run's")] = None,
    score_thresh: Annotated[float | None, typer.Option(min=0, max=1, help="one threshold for all")] = None,
    device: Device = "auto",
    backend: Backend = "auto",
    precision: Precision = "fp32",
    calibration: Calibration = None,
    tile: Tile = None,
    overlap: Overlap = None,
    threads: Annotated[int | None, typer.Option(min=1, help="of the network; default: all cores")] = None,
    batch: Annotated[int, typer.Option(min=1, max=256, help="pictures in one pass, at most")] = 4,
    wait_ms: Annotated[
        float, typer.Option(min=0, max=10_000, help="how long a picture waits for others to share its pass")
    ] = 0,
    queue: Annotated[
        int, typer.Option(min=1, max=10_000, help="pictures in work; what is more is refused with 503")
    ] = 32,
    decoders: Annotated[int, typer.Option(min=1, max=64, help="processes that decode pictures")] = 2,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="origin of pages that may ask; repeat")
    ] = None,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="a line on stderr for every request")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="name that a proxy on this machine asks by; repeat"),
    ] = None,
) -> None:
    """A page to drop pictures on, POST /v1/detect, and the Open Inference Protocol v2."""
    early.checkpoint(model)
    with loading():
        from foveal.verbs.serve import serve as verb

    try:
        verb(
            model, host, port, name, score_thresh, device, backend, precision, calibration, tile, overlap,
            threads, batch, wait_ms, queue, decoders, cors or (), access_log, allow_host or (),
        )  # fmt: skip
    except Interrupted as stopped:
        # Python would free every module first, and wait for a pass of the network: seconds on a busy machine.
        print(f"foveal: {stopped}", file=sys.stderr, flush=True)
        os._exit(stopped.exit_code)
