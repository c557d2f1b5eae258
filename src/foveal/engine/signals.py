"""Ctrl-C and SIGTERM: remember them until the run can stop with nothing lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
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
            self._before = {number: signal.getsignal(number) for number in WATCHED}
            self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def install(self) -> None:
        """Watch again: the trainer puts handlers of its own in place when it starts."""
        for number in self._before:
            signal.signal(number, self._note)

    def stopped(self) -> bool:
        """Whether a signal came."""
        return self.received is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A loader process that was forked while we watch: it must die of SIGTERM as ever.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if number == signal.SIGINT and self.received is not None:
            raise Interrupted("stopped at once, by a second Ctrl-C; the last saved state is kept", number)
        self.received = self.received or number


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
