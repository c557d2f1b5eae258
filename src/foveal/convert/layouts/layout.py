"""What is known of one program's weight files: its names, its settings, and what it builds otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from foveal.convert.reading import Source

Settings = dict[str, Any]
"""``architecture.neck.params.min_level`` -> value: settings of section ``model``."""
Rename = str | Callable[[re.Match[str]], str]
"""What a source name becomes: a template for ``Match.expand``, or a function of the match."""
Rules = tuple[tuple[str, Rename], ...]
"""Patterns of whole source names, the first that fits counts.

Our side of a name is that of our own state dict, but for the subnets: ``head.cls_subnet.{block}.conv.weight`` and
``...norm.weight``, because their place depends on whether there is a norm.
"""
Ignored = tuple[tuple[str, str], ...]
"""Patterns of source names that are no weights of the network, and why."""
Transformed = tuple[Tensor, str]
"""The tensor as ours has it, and in words what was done; "" where nothing was."""

COUNTER: Ignored = ((r".*\.num_batches_tracked", "batch norm's step counter, read by nothing"),)
CLASSIFIER: Ignored = (
    (r"(?:.*\.)?fc\.(?:weight|bias)", "the image classifier's last layer, unused in a detector"),
)
BLOCK = r"(layer[1-4]\.\d+\.(?:conv[1-3]|bn[1-3]|downsample\.[01])\.\w+|(?:conv1|bn1)\.\w+)"
"""Names inside a ResNet as torchvision and timm have them."""


def unchanged(_: str, target: str, tensor: Tensor) -> Transformed:
    """Most layouts: tensors are stored as ours are."""
    del target
    return tensor, ""


def no_settings(_: Source, tensors: Mapping[str, Tensor]) -> Settings:
    """Nothing beyond the preset."""
    del tensors
    return {}


class Layout(NamedTuple):
    """One program's files."""

    name: str
    preset: str
    """Of ``model.preset``."""
    title: str
    """As people call it."""
    marks: tuple[str, ...]
    """Patterns of which each must fit some name: no other program's files have them all."""
    rules: Callable[[Iterable[str]], Rules]
    """Of all names of a file."""
    image_size: tuple[int, int]
    """Height and width that the program's own configuration works at, most."""
    ignored: Ignored = ()
    """Beside ``COUNTER``."""
    transform: Callable[[str, str, Tensor], Transformed] = unchanged
    """(source name, our name, tensor)."""
    settings: Callable[[Source, Mapping[str, Tensor]], Settings] = no_settings
    """(the file, tensors under our names) -> what differs from the preset."""
    cell_anchors: str = ""
    """Pattern of the names under which a file holds its cell's anchors, with the level as group; "": never."""
    background: bool = False
    """Class 0 is commonly left for background, which is then a row of weights like the others."""

    def fits(self, names: Iterable[str]) -> bool:
        """Whether these are names of such a file."""
        names = tuple(names)
        return all(any(re.fullmatch(mark, name) for name in names) for mark in self.marks)
