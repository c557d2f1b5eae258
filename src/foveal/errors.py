"""Errors meant for a person: one line that says what, where and what to do, and an exit code each.

The command prints ``str(error)`` and exits with ``exit_code``; every other exception is a bug (exit code 1).
"""

from __future__ import annotations


class FovealError(Exception):
    """Base of every error that a user can mend."""

    exit_code = 1


class UsageError(FovealError):
    """Wrong arguments, or a missing or bad configuration."""

    exit_code = 2


class DataError(FovealError):
    """A data path or a label that cannot be used."""

    exit_code = 3


class ModelFileError(FovealError):
    """A model file that is refused, or an export that failed its gate."""

    exit_code = 4


class DiskError(FovealError):
    """A file could not be written; what was there before is intact."""

    exit_code = 5


class DivergedError(FovealError):
    """Training produced non-finite losses or gradients ten times in a row."""

    exit_code = 6


class Interrupted(FovealError):  # noqa: N818
    """The run was asked to stop by a signal, and has saved what it needs to go on."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
        """130 for Ctrl-C (SIGINT), 143 for SIGTERM."""


class FailedElsewhere(FovealError):  # noqa: N818
    """Another process of the same run has failed and says why: this one ends like it, in silence."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ConfigWarning(UserWarning):
    """The configuration is usable, but a person should look at it; the command prints it as one line."""


OUT_OF_MEMORY = ("out of memory", "DefaultCPUAllocator", "ALLOC_FAILED")
"""What torch says on CUDA, on the CPU, and in the libraries under it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had too little memory. Torch's own class is told by its name: nothing here loads torch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def exit_code_of(error: BaseException) -> int:
    """The code with which the command ends on this error."""
    if isinstance(error, FovealError):
        return error.exit_code
    if isinstance(error, OSError) and error.errno is not None:
        return DiskError.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 130
    return UsageError.exit_code if is_out_of_memory(error) else FovealError.exit_code
