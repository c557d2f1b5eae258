"""``foveal init``: look at the data, write a configuration that fits it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from foveal.build import build_records
from foveal.config.load import load_config
from foveal.config.schema import CocoSource, FileSource
from foveal.data.layout import Layout, find_layout
from foveal.data.shapes import make_shapes, write_shapes
from foveal.data.split import VAL_SHARE, SplitFile, split_source
from foveal.diagnosis.proposal import (
    SHAPES_PICTURES,
    SHAPES_SIZE,
    SHAPES_VAL,
    Parts,
    data_text,
    shapes_text,
    source_values,
)
from foveal.errors import DataError, UsageError
from foveal.files import write_text
from foveal.verbs.summary import describe_data


def init(
    source: str | Path, output: Path, force: bool = False, quiet: bool = False, pictures: Path | None = None
) -> Path:
    """Writes a commented configuration for a folder of labelled pictures, for one label file, or for ``shapes``.

    source: a folder, a COCO JSON, a data.yaml, a CSV file, or the word ``shapes``.
    output: the YAML file; one that is there is only replaced with ``force``. Where the data has one part alone,
    two fixed parts of it are written beside the configuration; the data's own folder is never written to.
    pictures: with ``shapes``, a new folder that the pictures and their COCO labels are written into.
    UsageError: output is taken. DataError: no labels found, or none that can be trained on.
    """
    output, console = Path(output), Console(quiet=quiet, highlight=False)
    if output.is_dir():
        raise UsageError(f"{output}: is a folder; give the name of the YAML file to write")
    _keep(output, force)
    if pictures is not None and (str(source) != "shapes" or pictures.exists()):
        raise UsageError(
            f"--pictures {pictures}: takes a folder that is not there yet, and goes with shapes only"
        )
    if str(source) == "shapes":
        files: tuple[SplitFile, ...] = ()
        text = shapes_text(output, None if pictures is None else _draw_shapes(pictures))
    else:
        parts, files = read_parts(Path(source).expanduser(), output)
        for file in files:
            _keep(file.path, force)
        _tell(parts, console)
        text = data_text(parts, output)
    for file in files:
        write_text(file.path, file.text)
    write_text(output, text)
    load_config(output)
    console.print(f"wrote {output}; next: foveal train {output}", markup=False, soft_wrap=True)
    return output


def _draw_shapes(folder: Path) -> tuple[CocoSource, CocoSource]:
    """Generate the training and the validation pictures, and write them as COCO."""
    train, val = (
        write_shapes(make_shapes(number, size=SHAPES_SIZE, seed=seed), folder / split)
        for seed, (split, number) in enumerate((("train", SHAPES_PICTURES), ("val", SHAPES_VAL)))
    )
    return _coco(train), _coco(val)


def _coco(annotations: Path) -> CocoSource:
    labels = annotations.absolute()
    return CocoSource(format="coco", annotations=str(labels), images=str(labels.parent / "images"))


def _keep(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise UsageError(f"{path}: exists already; choose another name with -o, or replace it with --force")


def _tell(parts: Parts, console: Console) -> None:
    lines = [describe_data("train", parts.train)]
    if parts.val is not None:
        lines.append(describe_data("val", parts.val))
    if parts.note:
        lines.append(f"note: {' '.join(parts.note.split())}")
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def read_parts(root: Path, output: Path) -> tuple[Parts, tuple[SplitFile, ...]]:
    """The data as it will be trained and measured on, and the files that must be written for it."""
    layout = find_layout(root)
    train_source, val_source, note = choose_parts(layout)
    test = layout.parts.get("test")
    train = build_records(train_source)
    val = build_records(val_source) if val_source is not None else None
    files: tuple[SplitFile, ...] = ()
    if val_source is None:
        files = split_source(train_source, train, output.absolute().with_suffix("")) or ()
        if files:
            train_source, train = files[0].source, files[0].records
            val_source, val = files[1].source, files[1].records
            note = (
                f"The data has no validation part: {VAL_SHARE:.0%} of its pictures, chosen by a hash of their\n"
                f"file names, are held out ({files[1].path.name}). Pictures of one scene may lie on both\n"
                "sides; where that is so, put your own split here."
            )
        else:
            note = (
                "val is MISSING: too few pictures to hold some out. No AP is measured and the last weights count\n"
                "as the best. Label more pictures and add  val: {format: ..., annotations: ...}  here."
            )
    if test is not None and test not in (train_source, val_source) and note == "":
        note = _test_note(test, output)
    note = "\n".join([note, *layout.notes]).strip()
    if not (~train.crowd).any():
        raise DataError(
            f"{train_source.annotations}: no usable box in {len(train)} pictures; nothing to train on"
        )
    return Parts(train_source, train, val_source, val, note), files


def _test_note(test: FileSource, output: Path) -> str:
    values = source_values(test, output.absolute().parent)
    text = ", ".join(f"{key}: {value}" for key, value in values.items())
    return (
        "The data's test part is not used here: keep it for a last measurement, when everything is chosen. To\n"
        f"measure on it, put this at val: in a copy of this file, and give that to foveal evaluate --data:\n"
        f"{{{text}}}"
    )


def choose_parts(layout: Layout) -> tuple[FileSource, FileSource | None, str]:
    """Training source, validation source, and what to say about them."""
    parts = layout.parts
    train, val, test = parts.get("train"), parts.get("val"), parts.get("test")
    if train is not None and val is not None:
        return train, val, ""
    train = train or parts.get("trainval") or parts.get("all")
    if train is not None and val is not None:
        return train, val, ""
    if train is not None and test is not None:
        return (
            train,
            test,
            (
                "The data has no validation part: AP is measured on its test part while training, so the best\n"
                "weights are chosen on it, and a later number on it is a little too good."
            ),
        )
    if train is None and val is not None and test is not None:
        return (
            val,
            test,
            (
                "The data has no training part: its validation part is trained on, AP is measured on its\n"
                "test part. Where you have the training part, put it at data.train, and the validation part here."
            ),
        )
    only = train or val or test
    assert only is not None
    return only, None, ""
