"""The command itself: its options, and what its verbs hang on."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from foveal.errors import UsageError
from foveal.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="RetinaNet trained, understood, measured and shipped.",
)
config_app = typer.Typer(no_args_is_help=True, help="The configuration: its schema, and what a file builds.")


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="show a traceback on errors")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Options of every verb; --debug is read by main()."""
    verb = context.invoked_subcommand
    if verb != "train" and os.environ.get("WORLD_SIZE", "1") != "1" and "TORCHELASTIC_RUN_ID" in os.environ:
        raise UsageError(f"torchrun is for foveal train: start foveal {verb} in one process")
