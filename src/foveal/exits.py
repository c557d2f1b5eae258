"""How a command ends: one line on stderr for every error, and an exit code of the README's table."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from foveal.engine.signals import WATCHED, die_of, handlers_of
from foveal.errors import ConfigWarning, FailedElsewhere, FovealError, is_out_of_memory

READER_GONE = 141
INTERRUPTED = 130
INTERRUPTIONS = tuple(128 + number for number in WATCHED)
DISK = 5
MEMORY = 2
"""As other settings that cannot be."""
OUT_OF_MEMORY = (
    "out of memory: ask for less at a time, with a smaller --batch-size, --tile or training.batch_size, or take "
    "--device cpu"
)
BUG = 1


def run(app: Callable[..., Any]) -> NoReturn:
    """Run a typer app on the arguments of this process, and end the process."""
    debug = "--debug" in sys.argv[1:]
    if debug:  # accepted in any place, as people add it to the end of the line that failed
        sys.argv.remove("--debug")
    with warnings.catch_warnings(), _Termination() as termination:
        warnings.showwarning = partial(_show_warning, warnings.showwarning)
        try:
            code = app(standalone_mode=False)
            sys.stdout.flush()
        except SystemExit as error:  # typer's and rich's answer to a reader that has gone
            if not isinstance(error.__context__, BrokenPipeError):
                raise
            _reader_gone(error.__context__, debug)
        except Exception as error:
            _report(error, debug)
        except KeyboardInterrupt as error:
            _fail(*termination.told(), error, debug)
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code
        _fail(*termination.told())
    sys.exit(code)


class _Termination:
    """Context in which SIGTERM unwinds a command as Ctrl-C does: its temporary files and its processes go.

    Commands that can do better, as training and predicting, watch it themselves meanwhile. Processes of one run
    end at once, as by the system: they may wait for each other where no Python runs.
    """

    def __init__(self) -> None:
        self._came = False
        self._process = os.getpid()
        self._watches = False

    def __enter__(self) -> _Termination:
        self._watches = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            and _is_alone()
        )
        if self._watches:
            signal.signal(signal.SIGTERM, self._unwind)
        return self

    def __exit__(self, *_: object) -> None:
        if self._watches:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def told(self) -> tuple[str, int]:
        """Words and exit code of an interrupted command."""
        return _words_of(signal.SIGTERM if self._came else signal.SIGINT)

    def _unwind(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            die_of(number)
            return
        if not self._came:  # another one would break into what the first one cleans up
            self._came = True
            raise KeyboardInterrupt


def _is_alone() -> bool:
    """Whether this is no process among several of one run."""
    return os.environ.get("WORLD_SIZE", "1") == "1"


def _words_of(number: int) -> tuple[str, int]:
    return "stopped by SIGTERM" if number == signal.SIGTERM else "interrupted", 128 + number


@contextmanager
def loading() -> Iterator[None]:
    """While modules are imported, signals end the process at once: some of them swallow a KeyboardInterrupt."""
    numbers = WATCHED if _is_alone() else (signal.SIGINT,)
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


def _report(error: Exception, debug: bool) -> NoReturn:
    """One line and the exit code of any error."""
    if isinstance(error, FailedElsewhere):
        sys.exit(error.exit_code)
    if isinstance(error, FovealError):
        _fail(str(error), error.exit_code, error, debug)
    if _is_wrong_command_line(error):
        _wrong_command_line(error)
    if isinstance(error, BrokenPipeError):
        _reader_gone(error, debug)
    if isinstance(error, OSError) and error.errno is not None:
        _fail(f"{error.filename or 'file'}: {error.strerror}", DISK, error, debug)
    if is_out_of_memory(error):
        _fail(OUT_OF_MEMORY, MEMORY, error, debug)
    _bug(error, debug)


def _is_wrong_command_line(error: Exception) -> bool:
    """Whether typer raised it for a wrong command line; the class has no public name."""
    import typer  # here, so that Ctrl-C finds us ready while it is imported

    return isinstance(error, typer.BadParameter.__bases__[0])


def _wrong_command_line(error: Any) -> NoReturn:
    place = error.ctx.command_path if error.ctx else "foveal"
    message = " ".join(error.format_message().split()).rstrip(".")
    # Without any argument the help has been printed, and there is nothing left to say.
    _fail(f"{message}; see {place} --help" if message else "", error.exit_code)


def _reader_gone(error: BaseException, debug: bool) -> NoReturn:
    """What reads our output (``head``, a pager) has enough of it: no fault, and nobody to tell."""
    if sys.stdout.isatty():
        _bug(error, debug)
    # Python flushes once more at its end, and would complain then.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(READER_GONE)


def _bug(error: BaseException, debug: bool) -> NoReturn:
    text = str(error).splitlines()[0] if str(error) else ""
    _fail(f"a bug of Foveal's: {type(error).__name__}: {text} (see it whole with --debug)", BUG, error, debug)


def _fail(message: str, code: int, error: BaseException | None = None, debug: bool = False) -> NoReturn:
    if debug and error is not None:
        traceback.print_exception(error)
    elif message:
        print(f"foveal: {message}", file=sys.stderr)
    if code in INTERRUPTIONS:
        _end(code)
    sys.exit(code)


def _end(code: int) -> NoReturn:
    """End an interrupted process, without the seconds (on a busy machine) in which Python frees every module."""
    for number in WATCHED:
        signal.signal(number, lambda *_: os._exit(code))  # whoever asks again is not made to wait
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _show_warning(
    plain: Callable[..., None], message: Warning | str, category: type[Warning], *place: Any, **more: Any
) -> None:
    """Our own warnings as one line, others as Python shows them; of several processes the first one speaks."""
    if not _is_alone() and os.environ.get("RANK", "0") != "0":
        return
    if issubclass(category, ConfigWarning):
        print(f"foveal: warning: {message}", file=sys.stderr)
    else:
        plain(message, category, *place, **more)
