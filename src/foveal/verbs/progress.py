"""How far a long work is: a bar in a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from foveal.engine.console import duration

LINE_EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


class WorkProgress:
    """``with WorkProgress(console, 100, "pictures") as work: work.advance()``.

    total: None where it is not known. done: of them, before this work began.
    """

    def __init__(self, console: Console, total: int | None, unit: str, name: str = "", done: int = 0) -> None:
        self._console, self._total, self._unit, self._name = console, total, unit, name
        self._before = self.done = done
        self._began = self._line = time.monotonic()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[said]}"),
        )
        # A transient bar leaves an empty line in a file.
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def __enter__(self) -> WorkProgress:
        self._bar.start()
        self._task = self._bar.add_task(
            self._name or "predicting", total=self._total, completed=self.done, said=""
        )
        return self

    def advance(self) -> None:
        """One more is done."""
        self.done += 1
        now = time.monotonic()
        if self._console.is_terminal:
            self._bar.update(self._task, completed=self.done, said=self.said())
        elif now - self._line >= LINE_EVERY:
            self._line = now
            before = f"{self._name}: " if self._name else ""
            self._console.print(f"{before}{self.said()}", soft_wrap=True, markup=False, highlight=False)

    @property
    def rate(self) -> float:
        """Done in a second, in this work."""
        return (self.done - self._before) / max(1e-9, time.monotonic() - self._began)

    def said(self) -> str:
        """How many, how fast, and how long it will take."""
        text = f"{self.done:,} {self._unit}, {a_second(self.rate)}"
        if self._total is None or not self.rate:
            return text
        left = duration(max(0, self._total - self.done) / self.rate)
        return f"{self.done:,} of {self._total:,} {self._unit}, {a_second(self.rate)}, {left} left"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def a_second(rate: float) -> str:
    """A rate in three digits, without an exponent."""
    return f"{rate:,.0f} a second" if rate >= 100 else f"{rate:.3g} a second"
