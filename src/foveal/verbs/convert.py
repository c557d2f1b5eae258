"""``foveal convert``: foreign weights or NetsPresso YAML -> ours, with a report of every tensor or key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foveal.convert.netspresso_yaml import YamlConversion, convert_yaml
from foveal.convert.report import Conversion, check_report_name, write_report
from foveal.convert.weights import Wishes, convert_weights
from foveal.errors import UsageError

YAML = (".yaml", ".yml")


def convert(
    file: Path,
    output: Path | None = None,
    source: str | None = None,
    classes: Path | None = None,
    keep_unnamed: bool = False,
    image_size: tuple[int, int] | None = None,
    bn_eps: float | None = None,
    changes: Sequence[str] = (),
    report: Path | None = None,
) -> Conversion | YamlConversion:
    """Convert a file of foreign weights, or NetsPresso YAML (a file or a folder of them).

    output: a ``.safetensors`` checkpoint, or a YAML file; default: beside the input. changes: ``key.sub=value``
    over what files and preset say. report: .md or .json file for the fate of every tensor or key. The rest is for
    weights alone. source: whose they are, where their names do not tell. classes: a text of names or a COCO JSON.
    keep_unnamed: keep rows of the class layer without a class. image_size: height and width of the canvas. bn_eps:
    epsilon of the backbone's batch norms.
    ``str`` of the result is the summary. Nothing that is there is written over. UsageError, ModelFileError: one
    line each.
    """
    if is_yaml(file):
        if source or classes or keep_unnamed or image_size or bn_eps is not None:
            raise UsageError(f"{file}: YAML takes -o, --report and key.sub=value; the rest is for weights")
        return convert_yaml(file, output, changes, report)
    if report is not None:
        check_report_name(report)
    output = output or file.with_suffix(".safetensors")
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: a checkpoint's name ends in .safetensors")
    wishes = Wishes(source, classes, keep_unnamed, image_size, bn_eps, changes)
    conversion = convert_weights(file, output, wishes)
    if report is not None:
        write_report(report, conversion)
    return conversion


def is_yaml(file: Path) -> bool:
    """A YAML file, or a folder that holds one."""
    if file.is_dir():
        return any(inner.suffix in YAML for inner in file.iterdir())
    return file.suffix in YAML
