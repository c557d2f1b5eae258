"""``foveal init``: look at the data, write a configuration that fits it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from foveal.config.load import load_config
from foveal.config.schema import CocoSource
from foveal.data.layout import find_layout
from foveal.data.records import Records
from foveal.data.shapes import make_shapes, write_shapes
from foveal.data.split import VAL_SHARE, SplitFile, split_source
from foveal.diagnosis.doctor.check import check_labels
from foveal.diagnosis.doctor.part import Part
from foveal.diagnosis.doctor.reading import is_configuration
from foveal.diagnosis.doctor.reading import read_parts as read_all_parts
from foveal.diagnosis.doctor.report import Report
from foveal.diagnosis.doctor.roles import choose_roles
from foveal.diagnosis.proposal import (
    SHAPES_PICTURES,
    SHAPES_SIZE,
    SHAPES_VAL,
    TEST_NOTE,
    Parts,
    data_text,
    shapes_text,
)
from foveal.errors import DataError, UsageError
from foveal.files import write_text
from foveal.grammar import many
from foveal.verbs.summary import describe_data


def init(
    source: str | Path, output: Path, force: bool = False, quiet: bool = False, pictures: Path | None = None
) -> Path:
    """Writes a commented configuration for a folder of labelled pictures, for one label file, or for ``shapes``.

    source: a folder, a COCO JSON, a data.yaml, a CSV file, or the word ``shapes``.
    output: the YAML file; one that is there is only replaced with ``force``. Where the data has one part alone,
    two fixed parts of it are written beside the configuration; the data's own folder is never written to.
    pictures: with ``shapes``, a new folder that the pictures and their COCO labels are written into.
    UsageError: output is taken, or ``source`` is a configuration. DataError: no labels found, or none that can be
    trained on.
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
        root = Path(source).expanduser()
        _check_data(root)
        parts, files, report = read_parts(root, output)
        for file in files:
            _keep(file.path, force)
        _tell(parts, report, root, console)
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


def _check_data(source: Path) -> None:
    """UsageError for a configuration, which is what comes out of here."""
    if is_configuration(source):
        raise UsageError(
            f"{source}: is a configuration already: foveal train {source}; for a new one give the data's folder"
        )


def _tell(parts: Parts, report: Report, root: Path, console: Console) -> None:
    lines = [describe_data("train", parts.train)]
    if parts.val is not None:
        lines.append(describe_data("val", parts.val))
    if parts.test_source is not None:
        lines.append(f"test: {TEST_NOTE[0].lower()}{TEST_NOTE[1:]}")
    if parts.note:
        lines.append(f"note: {' '.join(parts.note.split())}")
    worst = report.worst()
    if worst is not None and worst.severity != "note":
        counts = report.counts()
        found = [many(counts[name], name) for name in ("error", "warning") if counts[name]]
        them = "it" if counts["error"] + counts["warning"] == 1 else "them"
        line = f"{' and '.join(found)}: foveal doctor {root} shows {them}"
        if worst.message not in lines[-1]:  # as the note
            line += f"; the worst: {worst.rule}: {worst.where}: {worst.message}"
        lines.append(line)
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def read_parts(root: Path, output: Path) -> tuple[Parts, tuple[SplitFile, ...], Report]:
    """The data as it will be trained and measured on, the files that must be written for it, and its faults.

    The faults are those that the labels and the pictures' headers show; no picture is decoded.
    """
    layout = find_layout(root)
    sources = {str(name): source for name, source in layout.parts.items()}
    roles, examined = choose_roles(sources), read_all_parts(sources)
    by_name = {part.name: part for part in examined}
    train_source, train = sources[roles.train], _usable(by_name[roles.train], root)
    val_source = sources[roles.val] if roles.val is not None else None
    val = _usable(by_name[roles.val], root) if roles.val is not None else None
    note, test_source = roles.note, sources.get("test")
    if test_source in (train_source, val_source):
        test_source = None
    files: tuple[SplitFile, ...] = ()
    if val_source is None:
        files = split_source(train_source, train, output.absolute().with_suffix("")) or ()
        _check_place(files, root)
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
    note = "\n".join([note, *layout.notes]).strip()
    if not (~train.crowd).any():
        raise DataError(
            f"{train_source.annotations}: no usable box in {many(len(train), 'picture')}; nothing to train on"
        )
    parts = Parts(train_source, train, val_source, val, test_source, note)
    return parts, files, check_labels(examined, layout.notes)


def _usable(part: Part, root: Path) -> Records:
    if part.unusable:
        use = "measure on" if part.measures else "train on"
        raise DataError(
            f"{part.unusable}: nothing to {use} in {part.name}; foveal doctor {root} names the faults"
        )
    return part.records


def _check_place(files: Sequence[SplitFile], root: Path) -> None:
    """UsageError where a half of the data would be found beside the whole of it, the next time."""
    for file in files:
        if root.is_dir() and file.path.resolve().is_relative_to(root.resolve()):
            raise UsageError(
                f"{file.path}: would lie in the data's own folder, which is never written to; put the "
                f"configuration elsewhere: -o {root.resolve().with_name(root.resolve().name + '.yaml')}"
            )
