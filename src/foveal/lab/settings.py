"""The settings of the lab and the paper's tables, read from ``settings.yaml`` beside this file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from foveal.errors import UsageError

DIVERGED = "diverged"
BASE = "base.yaml"


class Setting(NamedTuple):
    """One row: a name, what it is in words, and what it changes of the base configuration."""

    name: str
    label: str
    own: tuple[str, ...]
    """``key.sub=value``, after those that all settings share."""

    @property
    def changes(self) -> tuple[str, ...]:
        """Everything that is changed, in order."""
        return (*common_changes(), *self.own)


class PaperTable(NamedTuple):
    """A table of the paper: rows that were trained alike, and may be compared."""

    title: str
    rows: dict[str, float | None]
    """Setting -> AP x 100; 0 where the paper's training diverged, None where it gives no figure."""


def all_settings() -> dict[str, Setting]:
    """Every setting by name, in the tables' order."""
    rows = _content()["settings"].items()
    return {name: Setting(name, row["label"], tuple(row["changes"])) for name, row in rows}


def common_changes() -> tuple[str, ...]:
    """What every setting changes first."""
    return tuple(_content()["common"])


def paper_tables() -> list[PaperTable]:
    """The paper's tables."""
    return [
        PaperTable(
            table["title"],
            {name: 0.0 if value == DIVERGED else value for name, value in table["rows"].items()},
        )
        for table in _content()["tables"]
    ]


def diverged_in_paper() -> set[str]:
    """Settings of which the paper says that training diverged."""
    return {name for table in _content()["tables"] for name, ap in table["rows"].items() if ap == DIVERGED}


def choose(names: Sequence[str], only_main: bool = False) -> list[Setting]:
    """The settings named, in the lab's order; without names all, or the main ones. UsageError: unknown name."""
    known = all_settings()
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"lab: no setting {name!r}; {hint}")
    wanted = set(names or (_content()["main"] if only_main else known))
    return [setting for name, setting in known.items() if name in wanted]


def base_text() -> str:
    """The base configuration, as shipped."""
    return (files("foveal.lab") / BASE).read_text(encoding="utf-8")


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(
        (files("foveal.lab") / "settings.yaml").read_text(encoding="utf-8")
    )
    return content
