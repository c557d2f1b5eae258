"""``foveal export``: one file that runs elsewhere, held against torch on real pictures before it gets its name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from torch import Tensor

from foveal.checkpoint.format import load_checkpoint
from foveal.checkpoint.header import CheckpointHeader
from foveal.data.layout import Part
from foveal.errors import DiskError, UsageError
from foveal.export.formats import SUFFIX, Form, Format, check_form, files_of, graph_of, write_form
from foveal.export.graph import DetectionGraph, RawGraph
from foveal.export.header import exported_header
from foveal.export.raw import raw_facts
from foveal.export.subjects import check_subjects, subjects
from foveal.files import free_name, write_bytes
from foveal.grammar import many
from foveal.runtime.calibration import calibration_images
from foveal.runtime.model_file import canvas_of, check_canvas, load_inference, model_of
from foveal.runtime.sources import find_pictures
from foveal.runtime.tiling import choose_tiling
from foveal.verbs.gate import Case, Gate, pass_gate, report_lines, report_table

PICTURES = "50"


class ExportResult(NamedTuple):
    """What ``export`` wrote, and how it compares with torch."""

    output: Path
    files: list[Path]
    gate: Gate | None
    """None where it was left out."""


def export(
    checkpoint: Path,
    to: Format = "onnx",
    output: Path | None = None,
    raw: bool = False,
    fp16: bool = False,
    int8: bool = False,
    data: Path | None = None,
    part: Part | None = None,
    pictures: str | Path | int = PICTURES,
    gate: bool = True,
    calibration: Path | None = None,
    licence: str | None = None,
    quiet: bool = False,
) -> ExportResult:
    """Write a checkpoint as ONNX, OpenVINO, torch.export or a Triton model folder.

    output: default: the checkpoint's name with the format's suffix; a numbered one where that is there. raw: the
    head's outputs, and a numpy script beside them that decodes them. fp16: weights in half the bytes. int8:
    convolutions on bytes, calibrated on ``calibration``, by default the training set. licence: a text for the
    metadata. data, part: labelled pictures, as in ``evaluate``. pictures: how many of them are compared detection
    by detection, or a folder of others. gate: compare with torch before anything is written.
    ModelFileError where the gate fails; then nothing is written.
    """
    form = _form(to, raw, fp16, int8, calibration)
    output = _checked_output(form, checkpoint, output)
    console = Console(quiet=quiet)
    loaded = load_checkpoint(checkpoint)
    check_canvas(checkpoint, loaded.header)
    model = load_inference(loaded, checkpoint)
    canvas, tiling = canvas_of(loaded.header), choose_tiling(loaded.header)
    params = model_of(loaded.header, checkpoint).postprocessor.params
    seen = subjects(loaded.header, checkpoint, data, part, pictures) if gate else None
    if seen is not None:
        check_subjects(form, seen)
        if seen.note:
            _say(console, seen.note)
    examples: list[Tensor] = []
    if int8:
        files = None if calibration is None else find_pictures([str(calibration)])
        examples = list(calibration_images(loaded.header, canvas, files, tiling))
    _say(console, f"writing the graph for {to}: up to a minute")
    graph = graph_of(form, model)
    facts: dict[str, Any] = {"format": to, "precision": form.precision, "licence": licence}
    if isinstance(graph, RawGraph):
        facts["raw"] = raw_facts(graph)
    header = exported_header(loaded.header, checkpoint, facts)
    passed = None
    with tempfile.TemporaryDirectory(prefix="foveal-export-") as folder:
        made = Path(folder) / output.name
        _write(form, graph, header, made, examples)
        if seen is not None:
            case = Case(form, made, output, model, header, canvas, tiling, params, seen)
            passed = pass_gate(case, quiet)
        output = _free(form, output)  # again: the gate takes its time, in which others may write there
        result = ExportResult(output, _put_in_place(form, made, output), passed)
    _report(console, form, result)
    return result


def _form(to: Format, raw: bool, fp16: bool, int8: bool, calibration: Path | None) -> Form:
    """What is asked for. UsageError where there is no such thing."""
    if fp16 and int8:
        raise UsageError("--fp16 and --int8: take one of them")
    if calibration is not None and not int8:
        raise UsageError("--calibration is for --int8: add it, or leave --calibration out")
    form = Form(to, "int8" if int8 else "fp16" if fp16 else "fp32", raw)
    check_form(form)
    return form


def _write(
    form: Form, graph: DetectionGraph, header: CheckpointHeader, made: Path, examples: Sequence[Tensor]
) -> None:
    """``write_form`` into a temporary folder. DiskError where it has no room."""
    try:
        write_form(form, graph, header, made, examples)
    except OSError as error:
        reason = error.strerror or error
        raise DiskError(
            f"{made.parent}: the export cannot be written there before it is compared ({reason}); "
            "free some space, or set TMPDIR to a folder with more"
        ) from error


def _report(console: Console, form: Form, result: ExportResult) -> None:
    if result.gate is None:
        _say(console, "not compared with torch (--no-gate)")
    else:
        console.print(report_table(result.gate, form))
        for line in report_lines(result.gate):
            _say(console, line)
    size = sum(file.stat().st_size for file in result.files)
    _say(console, f"written to {result.output} ({many(len(result.files), 'file')}, {size / 1e6:.1f} MB)")


def _say(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, markup=False, highlight=False)


def _checked_output(form: Form, checkpoint: Path, output: Path | None) -> Path:
    """Where the export goes. DiskError where that cannot be: said now, and not after minutes of work."""
    suffix = SUFFIX[form.format]
    if output is None:
        output = checkpoint.with_suffix(suffix)
    if output.suffix != suffix and suffix:
        raise UsageError(f"{output}: for --to {form.format} a name ends in {suffix}")
    if output.name in ("", ".."):
        raise UsageError(
            f"{output}: the export needs a name of its own; give a new one, such as -o model{suffix}"
        )
    there = next(folder for folder in output.parents if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "you may not write there" if there.is_dir() else "it is not a folder"
        raise DiskError(f"{output}: cannot be written in {there} ({reason}); choose another place with -o")
    return _free(form, output)


def _free(form: Form, output: Path) -> Path:
    """The name, or a numbered one: nothing that is there is written over."""
    return free_name(output, lambda path: any(file.exists() for file in [path, *files_of(form, path)]))


def _put_in_place(form: Form, made: Path, output: Path) -> list[Path]:
    """The files under the name that was asked for: all of them, or none."""
    written: list[Path] = []
    try:
        for source, target in zip(files_of(form, made), files_of(form, output), strict=True):
            content = source.read_bytes()
            written.append(target)  # before it is there, as Ctrl-C may come right after
            write_bytes(target, content)
    except BaseException:
        for target in written:
            target.unlink(missing_ok=True)
        if form.format == "triton":
            for folder in (output / "1", output):
                with suppress(OSError):  # not there, or not empty
                    folder.rmdir()
        raise
    return written
