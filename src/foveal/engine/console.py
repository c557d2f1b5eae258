"""What a person sees of a run: a bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""
BAR_EVERY = 0.5
"""Seconds between two looks at the numbers in a terminal."""


class RunConsole:
    """Prints lines and the progress of a run. ``quiet`` prints nothing."""

    def __init__(self, total_steps: int, total_epochs: int, quiet: bool = False) -> None:
        self._console = Console(file=sys.stdout, quiet=quiet, highlight=False)
        self._bar = self._console.is_terminal and not quiet
        self._quiet = quiet
        self._total_steps = total_steps
        self._total_epochs = total_epochs
        self._progress: Progress | None = None
        self._next_look = 0.0

    def line(self, text: str) -> None:
        """One line, above the bar where there is one."""
        # A file gets whole lines, however long; a terminal breaks them between words.
        self._console.print(Text(text), soft_wrap=not self._console.is_terminal)

    def start(self, step: int) -> None:
        """Show the bar."""
        self._next_look = time.monotonic() + (BAR_EVERY if self._bar else LINE_EVERY)
        if not self._bar:
            return
        self._progress = _TwoLines(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            expand=True,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task(
            self._where(0, step), total=self._total_steps, completed=step, left="", numbers=""
        )
        self._progress.start()

    def wants_numbers(self) -> bool:
        """Whether it is time to show new numbers; asking costs nothing, the numbers a wait for the device."""
        return not self._quiet and time.monotonic() >= self._next_look

    def show(self, epoch: int, step: int, losses: Mapping[str, float], rate: float, left: float) -> None:
        """Numbers of the steps since the last row; left: seconds to the end of the run."""
        self._next_look = time.monotonic() + (BAR_EVERY if self._bar else LINE_EVERY)
        numbers = "  ".join(f"{_short(name)} {value:.3g}" for name, value in losses.items())
        if self._progress is None:
            self.line(f"{self._where(epoch, step)}  {numbers}  rate {rate:.2e}  {duration(left)} left")
            return
        self._progress.update(
            self._task,
            completed=step,
            description=self._where(epoch, step),
            left=f"{duration(left)} left",
            numbers=f"{numbers}  rate {rate:.2e}",
        )

    def validating(self, epoch: int, step: int, done: int, total: int | None) -> None:
        """Where a validation stands; in a terminal only."""
        if self._progress is not None:
            of = f"/{total}" if total is not None else ""
            self._progress.update(
                self._task, completed=step, description=f"{self._where(epoch, step)}  validating {done}{of}"
            )

    def _where(self, epoch: int, step: int) -> str:
        shown = min(epoch + 1, self._total_epochs)
        return f"epoch {shown}/{self._total_epochs}  step {step}/{self._total_steps}"

    def stop(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class _TwoLines(Progress):
    """The bar, and under it the numbers, cut at the terminal's edge rather than wrapped."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            yield Text(task.fields["numbers"], no_wrap=True, overflow="ellipsis")


def _short(name: str) -> str:
    return name.replace("_", " ")


def duration(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
