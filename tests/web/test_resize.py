"""The page's letterbox: the same bytes as Python's, for every size and picture."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
import torch

from foveal.export.header import golden_table
from foveal.ops.letterbox import fit_letterbox, scaled_size, size_policy, undo_boxes
from foveal.runtime.pictures import place_picture
from foveal.types import Array

pytestmark = pytest.mark.browser
PLACE = """async ([pixels, height, width, canvasHeight, canvasWidth]) => {
  const { place } = await import("/placing.js");
  const all = Uint8Array.from(atob(pixels), letter => letter.charCodeAt(0));
  const rows = (top, count) => all.subarray(top * width * 4, (top + count) * width * 4);
  const { planes } = place(height, width, { height: canvasHeight, width: canvasWidth }, 114, rows);
  let text = "";
  for (const value of planes) text += String.fromCharCode(value);
  return btoa(text);
}"""


def in_browser(page: Any, picture: Array, canvas: tuple[int, int]) -> Array:
    height, width = picture.shape[:2]
    opaque = np.concatenate([picture, np.full((height, width, 1), 255, np.uint8)], axis=2)
    text = page.evaluate(PLACE, [base64.b64encode(opaque.tobytes()).decode(), height, width, *canvas])
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(3, *canvas)


@pytest.mark.parametrize(
    ("height", "width"),
    [(96, 128), (480, 640), (77, 333), (333, 77), (1, 1), (1, 900), (900, 1), (2, 3), (96, 40), (40, 128)],
)
def test_the_model_sees_the_same_bytes(page: Any, height: int, width: int) -> None:
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected, _ = place_picture(picture, (96, 128))
    assert np.array_equal(in_browser(page, picture, (96, 128)), expected.numpy())


def test_and_so_for_sizes_and_canvases_at_random(page: Any) -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        height, width = (int(side) for side in rng.integers(1, 400, 2))
        canvas = (32 * int(rng.integers(1, 9)), 32 * int(rng.integers(1, 9)))
        # Hard edges and the ends of the range, where rounding and cutting show.
        picture = (rng.integers(0, 2, (height, width, 3)) * 255).astype(np.uint8)
        expected, _ = place_picture(picture, canvas)
        assert np.array_equal(in_browser(page, picture, canvas), expected.numpy()), (height, width, canvas)


@pytest.mark.parametrize("canvas", [(320, 416), (96, 128), (800, 1344), (32, 32)])
def test_the_golden_table_is_reproduced(page: Any, canvas: tuple[int, int]) -> None:
    table = golden_table(size_policy(*canvas))
    check = 'async ([table, canvas]) => (await import("/letterbox.js")).differences(table, canvas)'
    given = {"height": canvas[0], "width": canvas[1]}
    assert len(table) == 50
    assert page.evaluate(check, [table, given]) == []
    wrong = [*table[0][:2], table[0][2] + 1, table[0][3]]
    assert page.evaluate(check, [[wrong, *table[1:]], given]) == [wrong]


def test_sizes_are_those_of_python_for_every_picture(page: Any) -> None:
    sizes = [(h, w) for h in range(1, 700, 13) for w in range(1, 900, 17)]
    measure = """async sizes => {
      const { scaledSize } = await import("/letterbox.js");
      return sizes.map(([h, w]) => Object.values(scaledSize(h, w, { height: 320, width: 416 })));
    }"""
    expected = [list(scaled_size(fit_letterbox(h, w, (320, 416)))) for h, w in sizes]
    assert page.evaluate(measure, sizes) == expected


def test_boxes_come_back_to_the_last_bit(page: Any) -> None:
    rng = np.random.default_rng(3)
    undo = """async ([boxes, height, width]) => {
      const { scaledSize, undoBox } = await import("/letterbox.js");
      const size = scaledSize(height, width, { height: 320, width: 416 });
      return boxes.map(box => undoBox(box, height, width, size));
    }"""
    for height, width in ((480, 640), (333, 77), (4000, 3000), (1, 1)):
        boxes = torch.from_numpy(rng.uniform(-20, 440, (40, 4)).astype(np.float32))
        expected = undo_boxes(boxes, fit_letterbox(height, width, (320, 416)))
        found = torch.tensor(page.evaluate(undo, [boxes.tolist(), height, width]), dtype=torch.float64)
        assert torch.equal(found, expected.double())
