"""One set of labels -> two."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foveal.data.shapes import make_shapes
from foveal.data.split import held_out, take


def test_a_fifth_is_held_out_by_name_alone() -> None:
    held = [held_out(f"{i}.jpg") for i in range(10_000)]
    assert 0.18 < sum(held) / len(held) < 0.22
    assert not any(held_out(f"{i}.jpg", 0.0) for i in range(100))
    assert all(held_out(f"{i}.jpg", 1.0) for i in range(100))


def test_take_keeps_boxes_with_their_picture() -> None:
    records = make_shapes(12, 3, 64, 0, 0.3)
    chosen = np.arange(12) % 3 == 0
    part = take(records, chosen)
    assert len(part) == 4
    for place, picture in enumerate(np.flatnonzero(chosen)):
        np.testing.assert_array_equal(part.rows(place).boxes, records.rows(int(picture)).boxes)
        np.testing.assert_array_equal(part.rows(place).labels, records.rows(int(picture)).labels)
    assert part.root == records.root == Path(records.root)
