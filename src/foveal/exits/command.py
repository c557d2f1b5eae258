"""A command from its arguments to its exit code; whatever goes wrong is one line on stderr."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from foveal.errors import ConfigWarning, FailedElsewhere, FovealError, is_out_of_memory
from foveal.exits.interruption import INTERRUPTED, Interruption, end, is_alone

READER_GONE = 141
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
    with warnings.catch_warnings(), Interruption() as interruption:
        warnings.showwarning = partial(_show_warning, warnings.showwarning)
        try:
            end(_exit_code(app, debug))
        except KeyboardInterrupt:
            end(_say(*interruption.told()))


def _exit_code(app: Callable[..., Any], debug: bool) -> int:
    """Run the app, and say what goes wrong."""
    try:
        code: int | None = app(standalone_mode=False)
        if code == INTERRUPTED:  # typer's answer to a KeyboardInterrupt
            raise KeyboardInterrupt
        if sys.stdout is not None:  # as for a program that was started with it closed
            sys.stdout.flush()
        return code or 0
    except SystemExit as error:  # typer's and rich's answer to a reader that has gone
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return _reader_gone(error.__context__, debug)
    except Exception as error:
        return _report(error, debug)


def _report(error: Exception, debug: bool) -> int:
    """One line and the exit code of any error."""
    if isinstance(error, FailedElsewhere):
        return error.exit_code
    if isinstance(error, FovealError):
        return _say(str(error), error.exit_code, error, debug)
    if _is_wrong_command_line(error):
        return _wrong_command_line(error)
    if isinstance(error, BrokenPipeError):
        return _reader_gone(error, debug)
    if isinstance(error, OSError) and error.errno is not None:
        return _say(f"{error.filename or 'file'}: {error.strerror}", DISK, error, debug)
    if is_out_of_memory(error):
        return _say(OUT_OF_MEMORY, MEMORY, error, debug)
    return _bug(error, debug)


def _is_wrong_command_line(error: Exception) -> bool:
    """Whether typer raised it for a wrong command line; the class has no public name."""
    import typer  # here, so that Ctrl-C finds us ready while it is imported

    return isinstance(error, typer.BadParameter.__bases__[0])


def _wrong_command_line(error: Any) -> int:
    place = error.ctx.command_path if error.ctx else "foveal"
    message = " ".join(error.format_message().split()).rstrip(".")
    # Without any argument the help has been printed, and there is nothing left to say.
    return _say(f"{message}; see {place} --help" if message else "", error.exit_code)


def _reader_gone(error: BaseException, debug: bool) -> int:
    """What reads our output (``head``, a pager) has enough of it: no fault, and nobody to tell."""
    if sys.stdout.isatty():
        return _bug(error, debug)
    # Python flushes once more at its end, and would complain then.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return READER_GONE


def _bug(error: BaseException, debug: bool) -> int:
    text = str(error).splitlines()[0] if str(error) else ""
    return _say(
        f"a bug of Foveal's: {type(error).__name__}: {text} (see it whole with --debug)", BUG, error, debug
    )


def _say(message: str, code: int, error: BaseException | None = None, debug: bool = False) -> int:
    if debug and error is not None:
        traceback.print_exception(error)
    elif message:
        print(f"foveal: {message}", file=sys.stderr)
    return code


def _show_warning(
    plain: Callable[..., None], message: Warning | str, category: type[Warning], *place: Any, **more: Any
) -> None:
    """Our own warnings as one line, others as Python shows them; of several processes the first one speaks."""
    if not is_alone() and os.environ.get("RANK", "0") != "0":
        return
    if issubclass(category, ConfigWarning):
        print(f"foveal: warning: {message}", file=sys.stderr)
    else:
        plain(message, category, *place, **more)
