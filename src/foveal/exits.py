"""How a command ends: one line on stderr for every error, and an exit code of the README's table."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import typer

from foveal.errors import ConfigWarning, FailedElsewhere, FovealError, is_out_of_memory

CommandLineError = typer.BadParameter.__bases__[0]
"""What typer raises for every wrong command line; it has no public name."""
READER_GONE = 141
INTERRUPTED = 130
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
    with warnings.catch_warnings():
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
            _fail("interrupted", INTERRUPTED, error, debug)
    if code == INTERRUPTED:  # typer turns Ctrl-C into this code
        _fail("interrupted", INTERRUPTED)
    sys.exit(code)


@contextmanager
def loading() -> Iterator[None]:
    """While modules are imported, Ctrl-C ends the process at once: some of them swallow a KeyboardInterrupt."""
    before = signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(*_: object) -> None:
    os.write(2, b"foveal: interrupted\n")
    os._exit(INTERRUPTED)


def _report(error: Exception, debug: bool) -> NoReturn:
    """One line and the exit code of any error."""
    if isinstance(error, FailedElsewhere):
        sys.exit(error.exit_code)
    if isinstance(error, FovealError):
        _fail(str(error), error.exit_code, error, debug)
    if isinstance(error, CommandLineError):
        _wrong_command_line(error)
    if isinstance(error, BrokenPipeError):
        _reader_gone(error, debug)
    if isinstance(error, OSError) and error.errno is not None:
        _fail(f"{error.filename or 'file'}: {error.strerror}", DISK, error, debug)
    if is_out_of_memory(error):
        _fail(OUT_OF_MEMORY, MEMORY, error, debug)
    _bug(error, debug)


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
    sys.exit(code)


def _show_warning(
    plain: Callable[..., None], message: Warning | str, category: type[Warning], *place: Any, **more: Any
) -> None:
    """Our own warnings as one line, others as Python shows them; of several processes the first one speaks."""
    if os.environ.get("WORLD_SIZE", "1") != "1" and os.environ.get("RANK", "0") != "0":
        return
    if issubclass(category, ConfigWarning):
        print(f"foveal: warning: {message}", file=sys.stderr)
    else:
        plain(message, category, *place, **more)
