"""The report for a terminal: short, the gravest first, with the first few places of every rule."""

from __future__ import annotations

import os
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


def show(report: Report, console: Console, root: Path) -> None:
    """Print the figures of every part, then every rule that found something. root: left out of paths."""
    console.print(_parts(report))
    for part in report.parts:
        if part.classes:
            console.print(Text(f" {part.name}: {_classes(part)}"))
    console.print()
    if not report.hits:
        console.print("nothing to say: no rule found anything")
    for severity, style in STYLES.items():
        groups = [group for group in report.groups() if group.severity == severity]
        if groups:
            table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), expand=True)
            table.add_column(justify="right", no_wrap=True, min_width=5)
            table.add_column(overflow="fold", ratio=1)
            for group in groups:
                table.add_row(Text(str(len(group.findings)), style=style), _group(group, style, root))
            console.print(Text(f"{severity}s", style=style))
            console.print(table)
            console.print()
    if report.anchors:
        console.print(Text("anchors", style="bold"))
        for line in report.anchors:
            console.print(f"  {_plain(short(line, root))}", markup=False, soft_wrap=True)
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


def _group(group: Group, style: str, root: Path) -> Text:
    rule = RULES.get(group.rule)
    text = Text()
    text.append(group.rule, style=style)
    text.append(f"  {rule.means if rule else ''}\n")
    places = PLACES[group.severity]
    for found in group.findings[:places]:
        text.append(f"{short(found.where, root)}: ", style="dim")
        text.append(f"{_plain(short(found.message, root))}\n")
    left = len(group.findings) - places
    if left > 0:
        text.append(f"and {left} more\n", style="dim")
    fix = group.findings[0].fix
    if fix:
        text.append(f"-> {_plain(fix)}\n", style="green")
    text.rstrip()
    return text


def short(text: str, root: Path) -> str:
    """Text without the folder that all paths start with."""
    folder = str(root)
    return _plain(text.replace(folder + os.sep, "")) if len(folder) > 1 else _plain(text)


def _plain(text: str) -> str:
    """Without characters that move a terminal's cursor: names come from anyone's files."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
