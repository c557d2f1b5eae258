"""The settings themselves: every one explained, no default that its own rule would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from foveal.config import schema
from foveal.config.fields import root_schema

SELF_EXPLAINING = {"name", "params", "seed", "momentum", "weight_decay", "weight", "format"}


def fields() -> Iterator[tuple[str, str, dict[str, Any]]]:
    definitions: dict[str, Any] = {**root_schema()["$defs"], "Config": root_schema()}
    for title, body in definitions.items():
        for name, field in body.get("properties", {}).items():
            yield title, name, field


def test_every_section_and_almost_every_field_says_what_it_is() -> None:
    assert all(body.get("description") for body in root_schema()["$defs"].values())
    silent = [
        f"{title}.{name}"
        for title, name, field in fields()
        if name not in SELF_EXPLAINING and "description" not in field and "$ref" not in str(field)
    ]
    assert len(silent) <= 8, silent


def test_an_empty_file_is_the_papers_retinanet() -> None:
    model = schema.Config().model
    assert [round(size, 1) for size in model.architecture.head.params.anchor_sizes[0]] == [32, 40.3, 50.8]
    assert model.losses.assigner == schema.IouAssigner(fg_iou_thresh=0.5, bg_iou_thresh=0.4)
    assert model.losses.classification == schema.FocalLoss(focal_alpha=0.25, focal_gamma=2.0)
    assert model.architecture.head.params.prior_prob == 0.01


def test_no_section_takes_an_unknown_key() -> None:
    definitions = {**root_schema()["$defs"], "Config": root_schema()}
    assert all(body["additionalProperties"] is False for body in definitions.values() if "properties" in body)


def test_values_do_not_change_after_loading() -> None:
    with pytest.raises(ValidationError):
        schema.Config().training.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_is_infinite(value: float) -> None:
    with pytest.raises(ValidationError):
        schema.AdamW(lr_per_16=value)
