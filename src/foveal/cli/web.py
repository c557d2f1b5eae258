"""The static site: web."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foveal.cli import early
from foveal.cli.program import app
from foveal.exits import loading


@app.command()
def web(
    model: Annotated[Path, typer.Argument(help="ONNX file of foveal export")],
    output: Annotated[Path, typer.Option("-o", "--output", help="new folder for the site")] = Path("site"),
    samples: Annotated[
        list[Path] | None,
        typer.Option(
            "--sample", help="picture that the page offers to try; repeat; default: generated shapes"
        ),
    ] = None,
) -> None:
    """A folder of plain files that runs the model in the browser: pictures never leave the reader's machine."""
    early.checkpoint(model)
    with loading():
        from foveal.verbs.web import web as verb

    verb(model, output, samples or ())
