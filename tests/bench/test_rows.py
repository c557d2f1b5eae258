"""The list of rows."""

from __future__ import annotations

from foveal.bench.rows import ROWS


def test_a_row_for_every_line_of_the_table() -> None:
    assert list(ROWS) == [
        "prediction", "quantised", "techniques", "training_step", "focal_loss", "matching", "postprocess",
        "decoding", "evaluation",
    ]  # fmt: skip


def test_a_row_bears_the_name_of_its_file() -> None:
    for name, cases in ROWS.items():
        assert cases.__module__ == f"foveal.bench.{name}"
