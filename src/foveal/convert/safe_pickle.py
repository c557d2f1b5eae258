"""Weights out of a pickle, with nothing in it run: dicts, lists, texts, numbers and numpy arrays, no more.

A pickle is a program that may call anything it can name. Here it can name the few things that numpy needs to
write an array, and gets stand-ins for them that do nothing but hold the values; every other name is an error.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from foveal.errors import ModelFileError
from foveal.types import Array

NUMBERS = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
"""numpy's types of plain numbers; an array of objects is none."""


class Refused(Exception):  # noqa: N818
    """The pickle names something it must not."""


class _Known:
    """Something a pickle may name and call. It has no attribute to write, so a pickle cannot change it."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise Refused("a change of a function")

    def __setstate__(self, state: object) -> NoReturn:
        raise Refused("a change of a function")


class _Type:
    """Stand-in for numpy.dtype."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, *_: object) -> None:
        if code not in NUMBERS:
            raise Refused(f"an array of type {str(code)[:20]!r}")
        self.code = str(code)
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = {">": ">", "<": "<", "|": "|", "=": "<"}[state[1]]

    def numpy(self) -> np.dtype[Any]:
        """The type itself."""
        return np.dtype(self.order + self.code)


class _Array:
    """Stand-in for numpy.ndarray: made empty, then given shape, type and bytes."""

    __slots__ = ("value",)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, kind, fortran, data = state[-4:]
        self.value = _array(data, kind, shape, "F" if fortran else "C")


def _array(data: object, kind: object, shape: object, order: str = "C") -> Array:
    """Values from bytes; ValueError where they do not fit the shape."""
    raw = data.encode("latin1") if isinstance(data, str) else data  # Python 2 wrote bytes as text
    sizes = (shape,) if isinstance(shape, int) else shape
    if (
        not isinstance(kind, _Type)
        or not isinstance(raw, bytes | bytearray)
        or not isinstance(sizes, tuple)
        or not all(isinstance(size, int) and size >= 0 for size in sizes)
        or len(raw) != math.prod(sizes) * kind.numpy().itemsize
    ):
        raise ValueError("an array whose bytes do not fit its shape")
    values = np.frombuffer(raw, kind.numpy()).reshape(sizes, order="F" if order == "F" else "C")
    return values.astype(kind.numpy().newbyteorder("="))


def _scalar(kind: object, data: object) -> Any:
    return _array(data, kind, ()).item()


def _from_buffer(data: object, kind: object, shape: object, order: str) -> _Array:
    array = _Array()
    array.value = _array(data, kind, shape, order)
    return array


def _encode(text: object, encoding: object) -> bytes:
    """``_codecs.encode``, by which Python 3 writes bytes for Python 2."""
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("_codecs.encode of another kind")
    return text.encode("latin1")


def _no_bytes(*arguments: object) -> bytes:
    """``bytes()``, by which older protocols write an empty array's."""
    if arguments:
        raise Refused("bytes of another kind")
    return b""


_NUMPY: dict[str, Callable[..., Any]] = {
    "multiarray _reconstruct": lambda *_: _Array(),
    "multiarray scalar": _scalar,
    "numeric _frombuffer": _from_buffer,
}
KNOWN: dict[tuple[str, str], _Known] = {
    ("numpy", "dtype"): _Known(_Type),
    ("numpy", "ndarray"): _Known(lambda *_: _Array()),
    ("_codecs", "encode"): _Known(_encode),
    ("collections", "OrderedDict"): _Known(dict),
    ("builtins", "bytes"): _Known(_no_bytes),
    ("__builtin__", "bytes"): _Known(_no_bytes),
    **{
        (f"numpy.{core}.{name.split()[0]}", name.split()[1]): _Known(make)
        for core in ("core", "_core")
        for name, make in _NUMPY.items()
    },
}
"""(module, name) -> stand-in: all that a pickle may name."""


# Python's own, not C's: its memory of objects is a dict, which a made-up index cannot blow up.
class _Reader(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> _Known:
        known = KNOWN.get((module, name))
        if known is None:
            raise Refused(f"{module}.{name}"[:80])
        return known

    def persistent_load(self, pid: object) -> NoReturn:
        raise Refused("an object kept outside the file")

    def get_extension(self, code: int) -> NoReturn:
        raise Refused(f"extension {code}")


def read_pickle(path: Path) -> Any:
    """What a pickle holds, of plain values and numpy arrays. ModelFileError for every other file."""
    try:
        with path.open("rb") as file:
            return _plain(_Reader(file, encoding="latin1").load())
    except Refused as error:
        raise ModelFileError(
            f"{path}: refused, it asks for {error}, and a pickle may run code when read; only dicts, texts, "
            "numbers and numpy arrays are taken: save the state_dict as .safetensors with the program that made it"
        ) from None
    except Exception as error:  # a made-up pickle can raise anything
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ModelFileError(
            f"{path}: damaged, or no pickle of weights ({reason[:100]}); copy it again"
        ) from error


def _plain(value: Any, depth: int = 0) -> Any:
    """Stand-ins replaced by what they stand for."""
    if isinstance(value, _Array):
        return value.value
    if depth > 4:
        return value
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(item, depth + 1) for item in value)
    return value
