"""The command: parses arguments and calls one verb. The order of the imports is that of ``foveal --help``."""

from __future__ import annotations

from functools import partial

from foveal.exits import loading, run

with loading():
    from foveal.cli import data as data
    from foveal.cli import model as model
    from foveal.cli import predict as predict
    from foveal.cli import serving as serving
    from foveal.cli import ship as ship
    from foveal.cli import study as study
    from foveal.cli import web as web
    from foveal.cli.program import app, config_app

app.add_typer(config_app, name="config")


def main() -> None:
    """Entry point: runs the command and ends the process."""
    # Left to itself it is called after whatever was started with python -m.
    run(partial(app, prog_name="foveal"))
