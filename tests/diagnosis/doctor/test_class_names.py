"""Class names that may be one, without comparing all of them."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest

from foveal.diagnosis.doctor.class_names import close_pairs, difference


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("Cat", "cat", "case"),
        ("traffic light", "traffic_light", "spaces or signs"),
        ("dog", "dogs", "a plural"),
        ("bus", "buses", "a plural"),
        ("circle", "circel", "a letter"),
        ("circle", "circl", "a letter"),
        ("circle", "curcle", "a letter"),
        ("cat", "bat", ""),
        ("class 1", "class 2", ""),
        ("1.5 mm", "15 mm", ""),
        ("10-1", "101", ""),
    ],
)
def test_names_that_differ_by_next_to_nothing(one: str, other: str, why: str) -> None:
    assert difference(one, other, 0.1) == why
    assert why == "" or close_pairs([one, other]) == [tuple(sorted((one, other)))]


def test_ten_thousand_names_are_not_compared_pair_by_pair() -> None:
    names = [hashlib.sha256(str(number).encode()).hexdigest()[:12] for number in range(10_000)]
    assert close_pairs([*names, names[7] + "s"]) == [(names[7], names[7] + "s")]


def test_a_name_as_long_as_a_file_is_taken_apart_letter_by_letter_by_nobody() -> None:
    names = ["c" * 5_000, "c" * 4_999, "cat", "cats"]
    tracemalloc.start()
    assert close_pairs(names) == [("cat", "cats")]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000
