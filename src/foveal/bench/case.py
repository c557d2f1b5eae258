"""What a row of the table is made of: the same work done twice, by Foveal and by what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Setup(NamedTuple):
    """How the user wants the bench run."""

    device: str = "cpu"
    """cpu or cuda."""
    quick: bool = False
    """A small form of every row, to see that it runs; its figures mean nothing."""
    checkpoint: Path | None = None
    """A trained model, for the rows that need one (int8)."""
    data: Path | None = None
    """Labelled pictures to measure it on, config or COCO JSON; default: its own validation set."""


class Case(NamedTuple):
    """One line of the table. Both sides are called without arguments, in turns, and return their output."""

    name: str
    """The work, with its sizes: ``focal loss, forward and backward, 200,000 x 80``."""
    baseline_name: str
    """What ours is compared with: ``torchvision``, ``pycocotools``, ``PIL + float``."""
    ours: Callable[[], Any]
    baseline: Callable[[], Any]
    difference: Callable[[Any, Any], str]
    """(ours, baseline) -> largest difference of the outputs, in words with the number of things compared.
    ValueError where there is nothing to compare: two empty lists agree on nothing."""
    target: float | None
    """The ratio to reach, baseline's time over ours; None: shown for comparison only."""
    memory_target: float | None = None
    """Most megabytes of temporaries of ours; None: no target."""
    torch_memory: bool = True
    """Peak memory is read off torch's allocations; False: off the process, for work outside torch."""
    best: bool = False
    """Ratio of the best times instead of the median ratio: for a baseline whose times come in two modes."""
    rounds: int = 7
    memory_share: float | None = None
    """Largest share of the baseline's peak memory that ours may take; None: no target."""
    traffic: float | None = None
    """Bytes that the work must move at the least, each input read and each output written once."""
    arithmetic: float | None = None
    """Floating-point operations that the work must do at the least."""


class Absent(NamedTuple):
    """A line of the table that cannot be measured here, in a case's place."""

    name: str
    reason: str
    """What is missing, and how to get it."""


Cases = Callable[[Setup], Iterator[Case | Absent]]
"""A row's file gives this; a case's data is made when it is asked for, and freed before the next."""
