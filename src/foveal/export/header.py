"""What an exported file says about itself: the checkpoint's header without what training needed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from foveal.checkpoint.header import CheckpointHeader
from foveal.ops.letterbox import fit_letterbox, scaled_size
from foveal.version import __version__

GOLDEN_SIDES = (1, 7, 33, 100, 319, 480, 641, 1080, 2047, 4000)
"""Heights and widths of the pictures whose scaled size an exported file lists."""
GOLDEN_SIZES = 50
RULE = (
    "scale = min(canvas height / height, canvas width / width); each side times scale, rounded half to even, "
    "at least 1; bilinear with antialiasing; at the top left; the rest pad_value; "
    "canvas x = picture x * scaled width / width, and so for y"
)
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".pkl", ".h5", ".ckpt")


def exported_header(header: CheckpointHeader, checkpoint: Path, facts: dict[str, Any]) -> CheckpointHeader:
    """The header for a file made from a checkpoint: without its data, its training and any folder's name.

    facts: of the export itself: format, precision, licence.
    """
    source = {"checkpoint": checkpoint.name, "sha256": digest(checkpoint), "foveal": header.version}
    return replace(
        header,
        config={"model": without_folders(header.config["model"])},
        size_policy={**header.size_policy, "rule": RULE, "golden": golden_table(header.size_policy)},
        version=__version__,
        facts={**without_folders(header.facts), "export": {**facts, "source": source}},
    )


def without_folders(value: Any) -> Any:
    """The same with every path cut down to its last part: whose machine it was is nobody's business."""
    if isinstance(value, Mapping):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    if isinstance(value, Path):
        return value.name
    if not isinstance(value, str) or "\n" in value:
        return value
    posix, windows = PurePosixPath(value), PureWindowsPath(value)
    if value.startswith("~") or posix.is_absolute() or posix.suffix.lower() in WEIGHT_SUFFIXES:
        return windows.name  # which takes both kinds of separators
    return windows.name if windows.is_absolute() else value


def golden_table(policy: dict[str, Any]) -> list[list[int]]:
    """50 rows of a picture's height and width, and its own on the canvas: for whoever writes the rule again."""
    canvas = int(policy["height"]), int(policy["width"])
    # Sides that come to 2.5 pixels: half to even makes 2 of them, half up 3.
    halves = [(2 * canvas[0], 5), (5, 2 * canvas[1])]
    pairs = [(h, w) for h in GOLDEN_SIDES for w in GOLDEN_SIDES]
    chosen = halves + pairs[:: len(pairs) // GOLDEN_SIZES][: GOLDEN_SIZES - len(halves)]
    return [[h, w, *scaled_size(fit_letterbox(h, w, canvas))] for h, w in chosen]


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
