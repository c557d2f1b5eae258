"""``foveal``, with a function that fails in one of its processes: FUNCTION RANK ERROR words of the command ..."""

import os
import sys
from importlib import import_module

from foveal import errors
from foveal.cli import main

function, rank, error = sys.argv[1:4]


def fail(*arguments, **options):
    raise getattr(errors, error)(f"{function} fails in process {rank}")


if os.environ["RANK"] == rank:
    module, _, name = function.rpartition(".")
    assert callable(getattr(import_module(module), name))
    setattr(import_module(module), name, fail)
sys.argv = ["foveal", *sys.argv[4:]]
main()
