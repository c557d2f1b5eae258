"""Files that lie elsewhere, by address: s3://, gs://, https://, memory:// and whatever else fsspec knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from foveal.errors import DataError, FovealError, UsageError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z][A-Za-z0-9+.-]+)*://")
_WEB = ("http", "https")


def is_remote(name: str) -> bool:
    """Whether a name is an address. One letter and a colon is a drive."""
    return _ADDRESS.match(name) is not None


def read_remote(address: str) -> bytes:
    """A whole file. DataError where it is not there or not to be had, UsageError where a package is missing."""
    with _failures(address):
        system, path = _open(address)
        content = system.cat_file(path)
        assert isinstance(content, bytes)
        return content


@contextmanager
def open_remote(address: str) -> Iterator[Any]:
    """A file to read and seek in. Errors as in ``read_remote``, while it is opened."""
    with _failures(address):
        system, path = _open(address)
        file = system.open(path, "rb")
    with file:
        yield file


def list_remote(address: str) -> list[str] | None:
    """Addresses of all files in a folder, or that a pattern matches; None where the address is one file.

    A web server has no folders: its address is a file, unless it is a pattern.
    """
    with _failures(address):
        system, path = _open(address)
        if has_pattern(address):
            found = system.glob(path)
        elif urlsplit(address).scheme in _WEB or not system.isdir(path):
            return None
        else:
            found = system.find(path)
        return sorted(str(system.unstrip_protocol(name)) for name in found)


def has_pattern(name: str) -> bool:
    """Whether a name is a pattern of names. In a web address ``?`` begins the query."""
    signs = "*[" if urlsplit(name).scheme in _WEB else "*?["
    return any(sign in name for sign in signs)


def _open(address: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(address)
    return system, path


@contextmanager
def _failures(address: str) -> Iterator[None]:
    try:
        yield
    except FovealError:
        raise
    except ImportError as error:
        raise UsageError(f"{address}: {_missing(address)}") from error
    except FileNotFoundError as error:
        raise DataError(f"{address}: no such file") from error
    except Exception as error:  # every system that fsspec speaks to has errors of its own
        if isinstance(error, ValueError) and "rotocol not known" in str(error):
            scheme = urlsplit(address).scheme
            raise UsageError(f"{address}: {scheme}:// is no protocol that fsspec knows") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{address}: cannot be read: {reason}") from error


def _missing(address: str) -> str:
    """What to install for a protocol."""
    from fsspec.registry import known_implementations

    scheme = address.split("://")[0].split("::")[0]
    module = known_implementations.get(scheme, {}).get("class", "").split(".")[0]
    package = {"fsspec": "aiohttp" if scheme in _WEB else "", "adlfs": "adlfs"}.get(module, module)
    if not package:
        return (
            f"{scheme}:// needs a package that is not installed: {known_implementations[scheme].get('err')}"
        )
    return f"{scheme}:// needs the package {package}: pip install {package}"
