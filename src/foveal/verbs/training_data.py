"""The labelled pictures of a run: read, refused where nothing can be learned, and told in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from foveal.build import build_records
from foveal.config.load import data_of
from foveal.config.schema import Config
from foveal.data.inside import printable
from foveal.data.records import Records
from foveal.diagnosis.preflight.at_start import start_findings
from foveal.errors import DataError
from foveal.runtime.validation_set import check_common_class
from foveal.verbs.summary import describe_data


def load_data(settings: Config) -> tuple[Records, Records | None]:
    """Training and validation records with the same classes; DataError where there is nothing to learn from."""
    data = data_of(settings)
    train_records = build_records(data.train, data.classes, data.strict)
    if len(train_records) == 0:
        raise DataError("data.train: no pictures" + _first_fault(train_records))
    if not (~train_records.crowd).any():
        raise DataError("data.train: not one usable box" + _first_fault(train_records))
    if data.val is None:
        return train_records, None
    val_records = build_records(data.val, list(train_records.classes.names), data.strict)
    if len(val_records) == 0:
        raise DataError("data.val: no pictures" + _first_fault(val_records))
    check_common_class(val_records, data.val, "data.val")
    return train_records, val_records


def first_lines(train: Records, val: Records | None, settings: Config, fresh: bool) -> Iterator[str]:
    """What was read, and of a new run what the doctor would call an error and takes no time to see."""
    yield describe_data("train", train)
    if val is not None:
        yield describe_data("val", val)
    if fresh:
        for found in start_findings(train, val, data_of(settings).classes is not None):
            yield f"warning: {found.message}; foveal doctor CONFIG says more"


def picture_names(records: Records) -> Callable[[int], str]:
    """A function from a picture's id to what a person finds it by: the id and its file."""
    files = dict(zip(records.image_ids.tolist(), records.files.tolist(), strict=True))
    return lambda picture: f"{picture} ({printable(files[picture])})" if picture in files else str(picture)


def _first_fault(records: Records) -> str:
    if not records.faults:
        return ""
    fault = records.faults[0]
    more = f" (and {len(records.faults) - 1} more)" if len(records.faults) > 1 else ""
    return f"; {fault.where}: {fault.message}{more}"
