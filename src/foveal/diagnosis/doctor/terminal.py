"""The report for a terminal: short, the gravest first, with the first few places of every rule."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from foveal.diagnosis.doctor.report import Group, PartSummary, Report
from foveal.diagnosis.doctor.rulebook import RULES
from foveal.diagnosis.finding import Severity

PLACES: dict[Severity, int] = {"error": 10, "warning": 3, "note": 3}
"""Of each rule, shown in the terminal; the files have all."""
STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "cyan"}
CLASSES_SHOWN = 12
INDENT = Text(" " * 6)
BESIDE = 14
"""Columns that a long path leaves for the words beside it, so that a line has more than a path."""


def show(report: Report, console: Console, root: Path) -> None:
    """Print the figures of every part, then every rule that found something. root: left out of paths.

    Lines are as wide as the terminal, and paths that are longer lose their middle; in a file or a pipe each
    finding is one whole line.
    """
    console.print(_parts(report))
    for part in report.parts:
        if part.classes:
            _print(console, Text(f"{part.name}: {_classes(part)}"), Text(" "))
    console.print()
    if not report.hits:
        console.print("nothing to say: no rule found anything")
    for severity, style in STYLES.items():
        groups = [group for group in report.groups() if group.severity == severity]
        if groups:
            console.print(Text(f"{severity}s", style=style))
            for group in groups:
                _group(console, group, style, root)
            console.print()
    if report.anchors:
        console.print(Text("anchors", style="bold"))
        for line in report.anchors:
            _print(console, Text(short(line, root)), Text("  "))
        console.print()


def _parts(report: Report) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("part", no_wrap=True)
    for name in ("pictures", "decoded", "empty", "boxes", "crowd", "median px"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("size", overflow="fold")
    for part in report.parts:
        numbers = (part.pictures, part.decoded, part.empty, part.boxes, part.crowds, round(part.median_side))
        table.add_row(part.name, *map(str, numbers), part.sizes)
    return table


def _classes(part: PartSummary) -> str:
    shown = [f"{name} {count}" for name, count in list(part.classes.items())[:CLASSES_SHOWN]]
    rest = len(part.classes) - len(shown)
    return _plain(", ".join(shown) + (f" and {rest} more" if rest else ""))


def _group(console: Console, group: Group, style: str, root: Path) -> None:
    rule = RULES.get(group.rule)
    head = Text.assemble((group.rule, style), f"  {rule.means if rule else ''}")
    _print(console, head, Text(f"{len(group.findings):>5} ", style=style))
    places = PLACES[group.severity]
    for found in group.findings[:places]:
        where = f"{short(found.where, root)}: " if found.where else ""
        _print(console, Text.assemble((where, "dim"), short(found.message, root)))
    left = len(group.findings) - places
    if left > 0:
        _print(console, Text(f"and {left} more", style="dim"))
    if group.findings[0].fix:
        _print(console, Text(f"-> {_plain(group.findings[0].fix)}", style="green"))


def _print(console: Console, text: Text, label: Text = INDENT) -> None:
    """One line behind a label, or a paragraph of a terminal's width that is indented as far as the first."""
    if not console.is_terminal:
        console.print(label + text, soft_wrap=True)
        return
    width = max(console.width - len(label), 2 * BESIDE)
    for number, line in enumerate(_fitted(text, width - BESIDE).wrap(console, width)):
        line.rstrip()
        console.print((label if number == 0 else Text(" " * len(label))) + line)


def _fitted(text: Text, most: int) -> Text:
    """Words of more letters, as long paths are, without their middle."""
    for word in reversed(list(re.finditer(r"\S+", text.plain))):
        if len(word[0]) > most:
            head, tail = (most - 3) // 2, most - 3 - (most - 3) // 2
            text = Text.assemble(text[: word.start() + head], "...", text[word.end() - tail :])
    return text


def short(text: str, root: Path) -> str:
    """Text without the folder that all paths start with."""
    folder = str(root)
    return _plain(text.replace(folder + os.sep, "")) if len(folder) > 1 else _plain(text)


def _plain(text: str) -> str:
    """Without characters that move a terminal's cursor: names come from anyone's files."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
