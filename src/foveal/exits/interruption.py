"""Ctrl-C and SIGTERM from a command's first import to its last moment."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from foveal.engine.signals import WATCHED, die_of, handlers_of

INTERRUPTED = 130
SENT_AGAIN = 0.1
"""Seconds after which a signal that had no effect is sent again."""


class Interruption:
    """Context in which SIGTERM unwinds a command as Ctrl-C does: its temporary files and its processes go.

    Commands that can do better, as training and predicting, watch it themselves meanwhile. Processes of one run
    end at once, as by the system: they may wait for each other where no Python runs.
    """

    def __init__(self) -> None:
        self._number = signal.SIGINT
        self._process = os.getpid()
        self._watches = False
        self._show = sys.unraisablehook

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._watches = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and is_alone()
            sys.unraisablehook = self._unraisable
        if self._watches:
            signal.signal(signal.SIGTERM, self._unwind)
        return self

    def __exit__(self, *_: object) -> None:
        sys.unraisablehook = self._show
        if self._watches:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def told(self) -> tuple[str, int]:
        """Words and exit code of an interrupted command."""
        return _words_of(self._number)

    def _unwind(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            die_of(number)
            return
        self._number = signal.SIGTERM
        if not _is_unwinding():  # another one would break into what the first one cleans up
            raise KeyboardInterrupt

    def _unraisable(self, lost: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised after a fork, in a ``__del__`` and the like, so the signal is sent again."""
        if not isinstance(lost.exc_value, KeyboardInterrupt) or os.getpid() != self._process:
            self._show(lost)
            return
        again = threading.Timer(SENT_AGAIN, os.kill, (self._process, self._number))
        again.daemon = True
        again.start()


def _is_unwinding() -> bool:
    """Whether what runs now cleans up after a KeyboardInterrupt."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def is_alone() -> bool:
    """Whether this is no process among several of one run."""
    return os.environ.get("WORLD_SIZE", "1") == "1"


def _words_of(number: int) -> tuple[str, int]:
    return "stopped by SIGTERM" if number == signal.SIGTERM else "interrupted", 128 + number


@contextmanager
def loading() -> Iterator[None]:
    """While modules are imported, signals end the process at once: some of them swallow a KeyboardInterrupt."""
    numbers = WATCHED if is_alone() else (signal.SIGINT,)
    before = handlers_of(numbers) if threading.current_thread() is threading.main_thread() else {}
    for number in before:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    words, code = _words_of(number)
    os.write(2, f"foveal: {words}\n".encode())
    os._exit(code)


def end(code: int) -> NoReturn:
    """End this process, without the seconds in which Python frees every module of torch."""
    if _is_watched():  # by a debugger, cProfile, coverage: they have something to say at the end
        sys.exit(code)
    for number in WATCHED:
        signal.signal(number, lambda *_: os._exit(code))  # its work is done: whoever asks is not made to wait
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # what reads it may have gone
            if stream is not None:
                stream.flush()
    os._exit(code)


def _is_watched() -> bool:
    watchers: list[Any] = [sys.gettrace(), sys.getprofile()]
    if sys.version_info >= (3, 12):
        watchers += map(sys.monitoring.get_tool, range(6))
    return any(watchers)
