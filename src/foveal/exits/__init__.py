"""How a command ends: one line on stderr for every error, and an exit code of the README's table."""

from foveal.exits.command import READER_GONE, run
from foveal.exits.interruption import loading

__all__ = ["READER_GONE", "loading", "run"]
