"""Files that lie elsewhere, by address: s3://, gs://, https://, memory:// and whatever else fsspec knows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from foveal.errors import DataError, FovealError, UsageError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::[A-Za-z][A-Za-z0-9+.-]+)*://")
_WEB = ("http", "https")
_LOGIN = re.compile(
    r"((?:https?|ftps?|sftp|ssh|smb|webdavs?)://)[^/?#\s]+@|(?<!github)(://)[^/?#@:\s]*:[^/?#\s]+@"
)
"""Who asks, and by which password. ``abfs://container@account`` and ``github://owner:name@branch`` are places."""
_SIGNED = "signature|token|secret|password|credential|[-_]key|apikey|accesskeyid"
_SECRET = re.compile(rf"([?&;](?:sig|key|auth|[^=&\s]*(?:{_SIGNED})[^=&\s]*)=)[^&#\s'\")\]]+", re.IGNORECASE)
"""Of a query: what signs an address (S3, Azure, Google Cloud, CloudFront), and keys of programs' own."""


def is_remote(name: str) -> bool:
    """Whether a name is an address. One letter and a colon is a drive."""
    return _ADDRESS.match(name) is not None


def without_secrets(text: str) -> str:
    """An address, or a sentence with addresses in it, without passwords and what signs a query."""
    named = _LOGIN.sub(lambda found: f"{found[1] or found[2]}***@", text)
    return _SECRET.sub(r"\1***", named)


def public_name(file: str) -> str:
    """What a file is called in rows and sentences: itself, an address without its secrets."""
    return without_secrets(file) if is_remote(file) else file


def remote_path(address: str) -> str:
    """The path of the file itself, without its query: ``zip://a/b.png::s3://c/d.zip`` -> ``a/b.png``."""
    first = next((part for part in address.split("::") if "://" in part), address)
    protocol, _, rest = first.partition("://")
    path = re.split(r"[?#]" if protocol in _WEB else r"\?", rest)[0]
    return unquote(path.partition("/")[2]) if protocol in _WEB else path


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

    A web server has no folders: its address is a file, unless it is a pattern, or ends with a slash and names a
    page of links.
    """
    with _failures(address):
        system, path = _open(address)
        if has_pattern(address):
            found = system.glob(path)
        elif urlsplit(address).scheme in _WEB:
            if not urlsplit(address).path.endswith("/"):
                return None
            found = system.ls(path, detail=False)
        elif not system.isdir(path):
            return None
        else:
            found = system.find(path)
        before, after = _around(address)
        return sorted(f"{before}{system.unstrip_protocol(name)}{after}" for name in found)


def _around(address: str) -> tuple[str, str]:
    """What stands before and after the files' own part of a chain: ``simplecache::`` and ``::s3://b/a.zip``."""
    parts = address.split("::")
    own = next(place for place, part in enumerate(parts) if "://" in part)
    return "".join(f"{part}::" for part in parts[:own]), "".join(f"::{part}" for part in parts[own + 1 :])


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
    name = without_secrets(address)
    try:
        yield
    except FovealError:
        raise
    except ImportError as error:
        raise UsageError(f"{name}: {_missing(address)}") from error
    except FileNotFoundError as error:
        raise DataError(f"{name}: no such file") from error
    except Exception as error:  # every system that fsspec speaks to has errors of its own
        if isinstance(error, ValueError) and "rotocol not known" in str(error):
            scheme = urlsplit(address).scheme
            raise UsageError(f"{name}: {scheme}:// is no protocol that fsspec knows") from error
        reason = " ".join(without_secrets(str(error)).split()) or type(error).__name__
        raise DataError(f"{name}: cannot be read: {reason}") from error


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
