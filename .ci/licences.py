"""docs/licences.md: the licence of every package that constraints.txt pins, as its own metadata states it.

    python .ci/licences.py [FOLDER ...] > licences.md && mv licences.md docs/

Where every extra is installed. FOLDER: pins of other systems and Pythons, brought there by
``uv pip install --target FOLDER --no-deps --python-platform ... --python-version ...``; what is neither here nor
there keeps the line that it has in docs/licences.md, if that is of the same version.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
CORE = "core"
NVIDIA = "LicenseRef-NVIDIA-Proprietary"
GCC = "GPL-3.0-or-later WITH GCC-exception-3.1"
BY_HAND = {
    "cuda-toolkit": NVIDIA,  # names other packages and holds nothing; its metadata has no licence
    "nvidia-cusparselt-cu13": NVIDIA,
    "contourpy": "BSD-3-Clause",
    "cycler": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "kiwisolver": "BSD-3-Clause",
    "mpmath": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
    "sympy": "BSD-3-Clause",
    "torchvision": "BSD-3-Clause",
    "colorama": "BSD-3-Clause",
    "matplotlib": "LicenseRef-matplotlib",
}
"""Whose metadata holds the text, or only a family: as their licence files read. matplotlib's is PSF-2.0's text."""
SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "osi approved :: apache software license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "freebsd": "BSD-2-Clause",
    "mit license": "MIT",
    "isc license": "ISC",
    "psfl": "PSF-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
}
"""What older metadata calls them -> the identifier of SPDX."""
CARRIED = {
    r"libx26[45]\b": "GPL-2.0-or-later (x264, x265)",
    r"libav(codec|format)\b": "LGPL-2.1-or-later (FFmpeg)",
    r"libQt5Core\b": "LGPL-3.0-only (Qt)",
    r"lib(gmp|gnutls|nettle|unistring)\b": "LGPL-3.0-or-later (GnuTLS and its own)",
    r"lib(gomp|gfortran)\b": f"{GCC} (GCC)",
    r"libquadmath\b": "LGPL-2.1-or-later (libquadmath)",
    r"lib(asound|mp3lame)\b": "LGPL-2.1-or-later (ALSA, LAME)",
    r"lib(cudart|nvjpeg)\b": f"{NVIDIA} (CUDA)",
}
"""Libraries inside a wheel that stand under other terms than the package, by the names of their files."""
SYSTEMS = [
    {"sys_platform": system, "platform_system": name, "python_full_version": f"{python}.0"}
    | {"python_version": python, "platform_machine": "x86_64"}
    for system, name in (("linux", "Linux"), ("win32", "Windows"), ("darwin", "Darwin"), ("emscripten", ""))
    for python in ("3.11", "3.13")
]


def pins() -> Iterator[tuple[str, str]]:
    """Name and version of every line of constraints.txt."""
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition(" ;")[0].partition("==")
        yield name, version


def stated(distribution: Distribution) -> str:
    """The licence of a package, in SPDX's words where its metadata allows."""
    metadata = distribution.metadata
    name = canonicalize_name(metadata["Name"])
    if name in BY_HAND:
        return BY_HAND[name]
    if metadata.get("License-Expression"):
        return str(metadata["License-Expression"])
    kinds = [
        kind.rpartition(" :: ")[2] for kind in metadata.get_all("Classifier") or [] if "License ::" in kind
    ]
    # A field of more lines is the text itself, whose first line tells which.
    for word in ((metadata.get("License") or "").partition("\n")[0].strip(), *kinds):
        if word:
            return SPDX.get(word.lower(), word)
    return "unknown"


def carried(distribution: Distribution) -> str:
    """Licences of libraries that its wheel brings along."""
    names = {PurePosixPath(str(file)).name for file in distribution.files or ()}
    return ", ".join(
        words for pattern, words in CARRIED.items() if any(re.match(pattern, name) for name in names)
    )


def reached(wanted: Iterable[str], installed: dict[str, Distribution]) -> set[str]:
    """Names that a list of requirements brings, on any system."""
    found: set[str] = set()
    open_ones = [Requirement(line) for line in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while open_ones:
        requirement = open_ones.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found.add(name)
        lines = installed[name].requires if name in installed else None
        for inner in map(Requirement, lines or ()):
            here = default_environment()
            places = [{**here, **system, "extra": extra} for system in SYSTEMS for extra in ("", *extras)]
            if inner.marker is None or any(inner.marker.evaluate(place) for place in places):
                open_ones.append(inner)
    return found


def wanted_by(installed: dict[str, Distribution]) -> dict[str, str]:
    """Name -> ``core``, or the extras that bring it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = reached(project["dependencies"], installed)
    lists = {
        extra: reached([line for line in lines if not line.startswith("foveal[")], installed)
        for extra, lines in project["optional-dependencies"].items()
    }
    names = core.union(*lists.values())
    return {
        name: CORE if name in core else ", ".join(extra for extra, has in lists.items() if name in has)
        for name in names
    }


def rows(page: str) -> dict[tuple[str, str], list[str]]:
    """(Name, version) -> cells of its line in the document."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"
    ]
    return {(cells[0], cells[1]): cells for cells in lines[2:]}


HEAD = f"""\
# Licences

Foveal is under Apache-2.0. This page lists what it stands on: every package that `constraints.txt` pins, with
the licence that its own metadata states. `.ci/licences.py` writes it, and `tests/test_licences.py` holds it
against the pins, the installed packages, and the lists of what may be there.

* Nothing that Foveal installs is under the GPL or the AGPL, with one exception: the extra `[video]`. The wheels
  of PyAV (`av`) hold FFmpeg linked with x264 and x265, which are under the GPL. Whoever passes on a program
  *with* these wheels passes on GPL code; whoever leaves `[video]` out has none. `opencv-python`, which comes
  with the same extra, holds FFmpeg and Qt under the LGPL.
* `{GCC}`, in the wheels of torch, NumPy, SciPy and scikit-learn, is the run-time library of GCC (OpenMP,
  Fortran): the exception allows programs under any licence on top of it. libquadmath beside it is a shared
  library of its own under the LGPL.
* On Linux, torch from the Python Package Index brings NVIDIA's CUDA libraries (`{NVIDIA}`): free to use and to
  pass on under NVIDIA's terms, but not open source. They are torch's, for GPUs; torch's builds for the CPU
  alone do without them.
* MPL-2.0 (certifi, hypothesis, pathspec, tqdm) binds changes to these packages' own files, and nothing around
  them.
* `foveal web` puts ONNX Runtime Web (MIT) into the sites that it writes, with its licence beside it.

"For": `core` comes with `pip install foveal`, the others with the extras of that name. "Inside": libraries that
the wheel holds under other terms than the package itself.

| package | version | licence | for | inside |
| --- | --- | --- | --- | --- |
"""


def main() -> None:
    """Print the page."""
    found: dict[tuple[str, str], Distribution] = {}
    installed: dict[str, Distribution] = {}
    for one in [*distributions(), *distributions(path=sys.argv[1:])]:
        name = canonicalize_name(one.metadata["Name"])
        found.setdefault((name, one.version), one)
        installed.setdefault(name, one)
    wanted = wanted_by(installed)
    kept = rows(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else {}
    print(HEAD, end="")
    for name, version in pins():
        if (name, version) in found:
            one = found[name, version]
            cells = [name, version, stated(one), wanted.get(name, "unknown"), carried(one)]
        elif (name, version) in kept:
            cells = kept[name, version]
        else:
            sys.exit(f"{name} {version} is not installed, and docs/licences.md has no line of it")
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
