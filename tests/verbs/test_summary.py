"""What a person is told about a data set."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from foveal.data.records import Fault, FaultKind, Records
from foveal.data.shapes import make_shapes
from foveal.verbs.summary import CLASSES_SHOWN, MEANING, describe_data


@pytest.fixture
def records() -> Records:
    return make_shapes(6, 2, 64, seed=1, empty_share=0.0)


def test_counts_in_order_of_number(records: Records) -> None:
    red, blue = (int((records.labels == label).sum()) for label in (0, 1))
    first, second = sorted([(red, "red circle"), (blue, "blue square")], reverse=True)
    expected = (
        f"mine: 6 pictures, {red + blue} boxes, 2 classes ({first[1]} {first[0]}, {second[1]} {second[0]})"
    )
    assert describe_data("mine", records) == expected


def test_one_of_each_is_no_plural() -> None:
    text = describe_data("a", make_shapes(1, 1, 64, seed=3, empty_share=0.0))
    assert text.startswith("a: 1 picture, ")
    assert ", 1 class (red circle " in text


def test_crowds_are_no_boxes(records: Records) -> None:
    crowd = replace(records, crowd=~records.crowd)
    assert describe_data("a", crowd) == "a: 6 pictures, 0 boxes, 2 classes (red circle 0, blue square 0)"


def test_faults_by_number_each_with_its_first_place(records: Records) -> None:
    faults = (
        Fault("crowd", "a.json: 7", "kept"),
        Fault("zero_size", "a.json: 3", "dropped"),
        Fault("zero_size", "a.json: 9", "dropped too"),
    )
    lines = describe_data("a", replace(records, faults=faults)).splitlines()
    assert lines[1:] == [
        "  2 boxes of zero size, left out; first: a.json: 3: dropped",
        "  1 crowd or difficult box, an ignored region; first: a.json: 7: kept",
    ]


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_every_kind_of_fault_has_words(records: Records, kind: FaultKind) -> None:
    text = describe_data("a", replace(records, faults=(Fault(kind, "here", "so"),)))
    assert text.endswith(f"  1 {MEANING[kind][0]}; first: here: so")


def test_many_classes_are_cut() -> None:
    text = describe_data("a", make_shapes(4, CLASSES_SHOWN + 5, 64))
    assert text.endswith(", and 5 more)")
