"""The picture and the table of growth."""

from __future__ import annotations

import io

from PIL import Image

from foveal.bench import growth_report
from foveal.bench.growth import Point, Series

SERIES = [
    Series("pixels", "prediction", (Point(10, 0.001, 1e6), Point(100, 0.01, 1e7), Point(1000, 2.0, 2e9))),
    Series("pixels", "reading", (Point(10, 0.5, 0), Point(1000, 0.5, 0))),
    Series("classes", "loss", (Point(1, 1.0, 1e6), Point(80, 80.0, 8e7))),
]


def test_one_line_per_series_with_its_ends_and_exponents() -> None:
    lines = growth_report.markdown(SERIES).splitlines()
    assert len(lines) == 2 + len(SERIES)
    assert lines[2] == (
        "| pixels | prediction | 10 - 1,000 | 1 ms - 2 s | **2.30** | 1 MB - 2 GB | **2.30** |"
    )
    assert lines[3].endswith("| 500 ms - 500 ms | 0.00 | 0 MB - 0 MB | 0.00 |")
    assert "**" not in lines[4]


def test_the_picture_has_a_column_for_everything_that_grows() -> None:
    whole = Image.open(io.BytesIO(growth_report.draw(SERIES)))
    half = Image.open(io.BytesIO(growth_report.draw(SERIES[:2])))
    assert whole.format == "PNG"
    assert whole.width == 2 * half.width
    assert whole.height == half.height
    corner = whole.convert("RGB").getpixel((0, 0))
    assert corner == (255, 255, 255)
    colours = {colour for _, colour in whole.convert("RGB").getcolors(1 << 24) or ()}
    assert (0x0B, 0x6E, 0x99) in colours
    assert (0xD9, 0x73, 0x0D) in colours
