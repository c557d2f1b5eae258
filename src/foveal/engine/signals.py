"""Ctrl-C and SIGTERM: remember them until the run can stop with nothing lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

from foveal.errors import Interrupted

WATCHED = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Context in which the first SIGINT or SIGTERM is only noted in ``received``.

    A second Ctrl-C stops at once, with ``Interrupted``. Only the main thread can watch signals: in any other,
    this does nothing.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._process = os.getpid()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = handlers_of(WATCHED)
            self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Watch again: the trainer puts handlers of its own in place when it starts."""
        for number in self._before:
            signal.signal(number, self._note)

    def stopped(self) -> bool:
        """Whether a signal came."""
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            die_of(number)
            return
        if number == signal.SIGINT and self.received is not None:
            raise Interrupted("stopped at once, by a second Ctrl-C; the last saved state is kept", number)
        self.received = self.received or number


def handlers_of(numbers: Sequence[signal.Signals]) -> dict[signal.Signals, Any]:
    """What is done on each of these signals, so that it can be put back.

    Without those that this process was started deaf to, as a script's job in the background is to Ctrl-C.
    """
    found = {number: signal.getsignal(number) or signal.SIG_DFL for number in numbers}
    return {number: handler for number, handler in found.items() if handler != signal.SIG_IGN}


def die_of(number: int) -> None:
    """End as if nobody had watched: for a process that was forked meanwhile, and has its parent's handlers."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@contextlib.contextmanager
def interrupts_kept_from_children() -> Iterator[None]:
    """Processes started inside never see the terminal's Ctrl-C, so loader workers outlive the last batch."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
