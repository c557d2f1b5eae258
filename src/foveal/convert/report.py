"""What became of every tensor of a foreign file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from foveal.errors import UsageError
from foveal.files import write_text


class Entry(NamedTuple):
    """One tensor of the file."""

    name: str
    shape: tuple[int, ...]
    fate: Literal["used", "transformed", "ignored"]
    target: str
    """Name in the checkpoint; "" where it went nowhere."""
    note: str
    """How it was transformed, or why it was ignored."""


class Conversion(NamedTuple):
    """A finished conversion, in facts."""

    file: str
    sha256: str
    kind: str
    title: str
    preset: str
    output: Path
    network: str
    """One line: backbone, neck, head."""
    notes: tuple[str, ...]
    """What a person should know: class names, what was assumed."""
    settings: Mapping[str, Any]
    """Section ``model``, resolved."""
    entries: tuple[Entry, ...]

    def count(self, fate: str) -> int:
        """Tensors of a fate."""
        return sum(1 for entry in self.entries if entry.fate == fate)

    def __str__(self) -> str:
        """The summary for the terminal."""
        used, changed, ignored = (self.count(fate) for fate in ("used", "transformed", "ignored"))
        lines = [
            f"{self.file}: {self.title} ({self.kind}), preset {self.preset}",
            self.network,
            f"{len(self.entries)} tensors: {used} used as they are, {changed} transformed, {ignored} ignored",
        ]
        lines += [f"  {text}" for text in _groups(self.entries)]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, f"written: {self.output}"])


def _groups(entries: tuple[Entry, ...]) -> list[str]:
    """Transformed and ignored tensors by what was done: how many, and the first."""
    groups: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if entry.fate != "used":
            groups.setdefault((entry.fate, entry.note), []).append(entry.name)
    return [
        f"{fate}: {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {note}"
        for (fate, note), names in groups.items()
    ]


def check_report_name(path: Path) -> None:
    """UsageError where a report could not be written under this name."""
    if path.suffix not in (".md", ".json"):
        raise UsageError(f"{path}: a report is a .md or a .json file")
    if path.exists():
        raise UsageError(f"{path}: exists; choose another name, nothing is written over")


def write_report(path: Path, conversion: Conversion) -> None:
    """Every tensor, as Markdown or JSON by the name's ending."""
    write_text(path, _json(conversion) if path.suffix == ".json" else _markdown(conversion))


def _json(conversion: Conversion) -> str:
    values = conversion._asdict()
    values["output"] = str(conversion.output)
    values["entries"] = [entry._asdict() for entry in conversion.entries]
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _markdown(conversion: Conversion) -> str:
    summary = "\n".join(f"    {line}" for line in str(conversion).splitlines())
    rows = [_row(entry) for entry in conversion.entries]
    head = ["| tensor | shape | | in the checkpoint | how, or why not |", "|---|---|---|---|---|"]
    title = f"# {conversion.file} -> {conversion.output.name}"
    return "\n".join(
        [title, "", f"SHA-256 of the source: {conversion.sha256}", "", summary, "", *head, *rows, ""]
    )


def _row(entry: Entry) -> str:
    shape, target = "x".join(map(str, entry.shape)), f"`{entry.target}`" if entry.target else ""
    return f"| `{entry.name}` | {shape} | {entry.fate} | {target} | {entry.note} |"
