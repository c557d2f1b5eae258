"""``python -m foveal`` is the command."""

from foveal.cli import main

main()
