"""``foveal doctor CONFIG --fit-anchors``: better anchors for a configuration, measured before and after."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from foveal.build import build_records
from foveal.config.document import Origin
from foveal.config.edit import edit_values
from foveal.config.load import ROOT, SOURCE_PATHS, SPLITS, WEIGHTS, data_of, load_config
from foveal.config.schema import Config
from foveal.config.yaml_text import parse
from foveal.diagnosis.anchors.check import AnchorCheck, share
from foveal.diagnosis.anchors.figures import by_size
from foveal.diagnosis.anchors.proposal import AnchorProposal, Key, propose_anchors
from foveal.errors import UsageError
from foveal.files import free_name, write_text

SUFFIX = "_anchors"


class FittedAnchors(NamedTuple):
    """What was proposed, and where it was written."""

    proposal: AnchorProposal
    output: Path | None


def fit_anchors(
    config: Path,
    output: Path | None = None,
    overrides: Sequence[str] = (),
    write: bool = False,
    console: Console | None = None,
) -> FittedAnchors:
    """Proposes anchors (and a canvas or tiles for tiny objects) for the training data of a configuration.

    Prints what they reach before and after. output: where the configuration with the new values goes: the file's
    own text, in which only these values differ; write: the same as FILE_anchors.yaml beside it, or the next free
    name. No file is ever written over. overrides: ``key.sub=value``, as for training; they are not written.
    UsageError: a configuration that cannot be read or changed, or an output that exists; DataError: no usable box.
    """
    config, console = Path(config), console or Console(highlight=False)
    if output is not None and output.exists():
        raise UsageError(f"{output}: exists already; no file is written over: choose another name")
    settings = load_config(config, overrides)
    data = data_of(settings)
    records = build_records(data.train, data.classes, data.strict)
    proposal = propose_anchors(records, settings)
    _show(proposal, settings, console)
    if not proposal.changes or not (write or output):
        return FittedAnchors(proposal, None)
    path = output or free_name(config.with_name(f"{config.stem}{SUFFIX}{config.suffix or '.yaml'}"))
    write_text(path, changed_text(config, path, proposal.changes, data.root is not None))
    _check(path, settings, overrides, proposal.changes)
    command = shlex.join(["foveal", "train", str(path), *_kept(overrides, proposal.changes)])
    console.print(f"wrote {path}; next: {command}", markup=False, soft_wrap=True)
    return FittedAnchors(proposal, path)


def changed_text(config: Path, output: Path, changes: dict[Key, Any], rooted: bool = False) -> str:
    """The configuration's text with the changes; relative paths are those from where the output will be.

    rooted: paths of the splits start at data.root (of the file or an override), and stay.
    """
    text = config.read_bytes().decode("utf-8-sig")
    moved = {} if _folder(output) == _folder(config) else _moved_paths(text, config, output, rooted)
    return edit_values(text, {**moved, **changes}, str(config))


def _folder(path: Path) -> Path:
    return path.absolute().parent.resolve()


def _moved_paths(text: str, config: Path, output: Path, rooted: bool) -> dict[Key, Any]:
    """Relative paths of the file, as seen from another folder."""
    document = parse(text, Origin(str(config), _folder(config)))
    sources = [("data", split, name) for split in SPLITS for name in SOURCE_PATHS]
    keys = [ROOT, WEIGHTS, *(() if rooted else sources)]
    moved: dict[Key, Any] = {}
    for key in keys:
        value = document.get(key)
        relative = isinstance(value, str) and not Path(value).expanduser().is_absolute()
        if relative and not (key == WEIGHTS and value == "imagenet"):
            moved[tuple(map(str, key))] = Path(
                os.path.relpath(_folder(config) / value, _folder(output))
            ).as_posix()
    return moved


def _check(path: Path, before: Config, overrides: Sequence[str], changes: dict[Key, Any]) -> None:
    """The written file gives the proposal and nothing else; UsageError, and no file, where it does not."""
    kept = _kept(overrides, changes)
    wanted = before.model_dump(mode="json")
    for key, value in changes.items():
        _put(wanted, key, value)
    try:
        found = load_config(path, kept).model_dump(mode="json")
        if _plain(found) != _plain(Config.model_validate(wanted).model_dump(mode="json")):
            raise UsageError("other settings would change with it")
    except UsageError as error:
        path.unlink()
        raise UsageError(f"{path}: not written: {error}; write the values above by hand") from None


def _kept(overrides: Sequence[str], changes: dict[Key, Any]) -> list[str]:
    """Overrides of other settings than those that the file now has."""
    return [text for text in overrides if not any(_steps(text)[: len(key)] == key for key in changes)]


def _steps(override: str) -> Key:
    return tuple(step.strip() for step in override.partition("=")[0].split("."))


def _plain(values: Any) -> Any:
    """Nested values in which one path has one spelling (``a/b/../c`` is ``a/c``)."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return os.path.normpath(values) if isinstance(values, str) and os.path.isabs(values) else values


def _put(values: dict[str, Any], key: Key, value: Any) -> None:
    for step in key[:-1]:
        values = values[step]
    values[key[-1]] = value


# ---------------------------------------------------------------- on the terminal


def _show(proposal: AnchorProposal, config: Config, console: Console) -> None:
    before, after = proposal.before, proposal.after
    if before.boxes.sampled:
        console.print(before.boxes.sampled, markup=False, soft_wrap=True)
    columns = {"now": _figures(before)} | ({"proposed": _figures(after)} if proposal.changes else {})
    table = Table("", *columns, title="Anchors", title_justify="left")
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        table.add_row(name, *(column.get(name, "-") for column in columns.values()))
    console.print(table)
    for reason in proposal.reasons:
        console.print(reason, markup=False, soft_wrap=True)
    if not proposal.changes:
        console.print("nothing to change", markup=False)
    for key, value in proposal.changes.items():
        console.print(f"{'.'.join(key)}: {value}", markup=False, soft_wrap=True)


def _figures(check: AnchorCheck) -> dict[str, str]:
    """Figures by their names; a size that no box has is left out."""
    counts = check.positives.sum(axis=1)
    sizes = {row.name: row for row in by_size(check)}
    sides = [side for level in check.levels for side in level.sizes]
    rule = "ATSS" if check.assigner == "atss" else f"IoU {check.threshold:g}"
    figures = [
        ("canvas", f"{check.canvas[1]} x {check.canvas[0]}"),
        ("levels", ", ".join(level.name for level in check.levels)),
        ("anchor sizes, px", f"{min(sides):.4g} to {max(sides):.4g}"),
        ("anchors in a cell", str(check.per_cell)),
        ("anchors of a picture", f"{sum(level.anchors for level in check.levels):,}"),
        ("median box, px", f"{check.median_side:.1f}"),
    ]
    figures += [(f"boxes that can reach IoU {t}", f"{check.recall(t):.1%}") for t in (0.4, 0.5, 0.6, 0.7)]
    figures += [("mean best IoU", f"{check.best.iou.mean():.2f}")]
    if check.assigner == "iou":
        strict, lenient = share(check.strict.any(axis=1)), share(check.lenient.any(axis=1))
        off, on = (" (as set)", "") if not check.low_quality else ("", " (as set)")
        figures += [(f"boxes with an object, {rule}", f"{strict:.1%}{off}")]
        figures += [("the same with low-quality matches", f"{lenient:.1%}{on}")]
    else:
        figures += [(f"boxes with an object, {rule}", f"{check.reached:.1%}")]
    figures += [("objects of a box, median", f"{np.median(counts):.0f}")]
    figures += [
        ("pictures without any object", f"{len(check.pictures_without()):,} of {check.boxes.labelled:,}")
    ]
    for name in ("small", "medium", "large"):
        if name in sizes:
            row = sizes[name]
            figures.append((f"{name}: boxes, with an object", f"{row.boxes:,}, {row.reached:.1%}"))
    return dict(figures)
