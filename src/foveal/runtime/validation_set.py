"""The labelled pictures that a checkpoint is measured on."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from foveal.build import build_records
from foveal.checkpoint.header import CheckpointHeader
from foveal.config.load import data_of, load_config
from foveal.config.schema import Data, Source
from foveal.data.layout import Part, find_layout
from foveal.data.layout_csv import SUFFIXES
from foveal.data.records import Records
from foveal.data.yolo_yaml import is_data_yaml
from foveal.errors import DataError, ModelFileError, UsageError

MEASURED: tuple[Part, ...] = ("val", "test", "all", "trainval", "train")
"""Which part of a set is measured on, the likeliest first."""


def validation_set(
    header: CheckpointHeader, checkpoint: Path, data: Path | None = None, part: Part | None = None
) -> Records:
    """The labels of a validation set, in the model's class order.

    data: a config file (its val, or else its train), or labels as ``find_layout`` finds them: a folder, a COCO
    JSON, a data.yaml or a CSV; of their parts val, else test, else what there is. Default: the validation set
    that the checkpoint was trained with. part: take this one instead, of either. UsageError where there is none;
    DataError without a picture, or with both lists where no class is in common.
    """
    source = _own(header, checkpoint, part) if data is None else _source(data, part)
    records = build_records(source, list(header.classes.names))
    if len(records) == 0:
        raise DataError("the data set has no pictures: nothing to evaluate")
    check_common_class(records, source, "the data set")
    return records


def check_common_class(records: Records, source: Source, name: str) -> None:
    """DataError with both lists where every box of ``records``, read from ``source``, is of another class."""
    if len(records.labels) or not records.fault_counts().get("unknown_class"):
        return
    known, found = (
        ", ".join(classes) for classes in (records.classes.names, build_records(source).classes.names)
    )
    raise DataError(f"{name}: no class in common: the model knows {known}; the labels have {found}")


def _own(header: CheckpointHeader, checkpoint: Path, part: Part | None) -> Source:
    values = header.config.get("data")
    try:
        section = None if values is None else Data.model_validate(values)
    except ValidationError as error:
        raise ModelFileError(
            f"{checkpoint}: Foveal {header.version} wrote a data section that this one cannot read "
            f"({error.errors()[0]['msg']}); give the data with --data CONFIG.yaml or COCO.json"
        ) from error
    source = None if section is None else _of_section(section, part or "val")
    if source is None:
        what = "validation set" if part is None else f"data.{part}"
        raise UsageError(f"the checkpoint names no {what}: give one with --data CONFIG.yaml or COCO.json")
    return source


def _of_section(section: Data, part: Part) -> Source | None:
    sources: dict[str, Source | None] = {
        "train": section.train,
        "val": section.val,
        "test": section.test,
    }
    return sources.get(part)


def _source(data: Path, part: Part | None) -> Source:
    suffix = data.suffix.lower()
    if (
        data.is_dir()
        or suffix in (".json", *SUFFIXES)
        or (suffix in (".yaml", ".yml") and is_data_yaml(data))
    ):
        parts = find_layout(data).parts
        if part is None:
            return next(parts[name] for name in MEASURED if name in parts)
        if part not in parts:
            raise UsageError(f"{data}: no part {part}; it has {', '.join(parts)}")
        return parts[part]
    section = data_of(load_config(data))
    if part is None:
        return section.val or section.train
    source = _of_section(section, part)
    if source is None:
        raise UsageError(f"{data}: no data.{part}; add it, or leave --part out")
    return source
