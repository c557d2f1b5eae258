"""The lab's table and picture, of made-up runs."""

from __future__ import annotations

import io

from PIL import Image

from foveal.lab import report
from foveal.lab.settings import PaperTable, Setting
from foveal.lab.verdict import Row

TABLES = [
    PaperTable("Losses", {"ce": 0.0, "focal": 34.0, "gamma_5": 32.2}),
    PaperTable("Mining", {"ssd": None, "focal": 36.0}),
    PaperTable("Anchors", {"anchors_1x1": 30.3}),
]
ROWS = {
    "ce": Row("ce", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 3, 12.4),
    "focal": Row("focal", (40.0, 41.0, 45.0), (80.0, 81.0, 82.0), 0, 30.0),
    "gamma_5": Row("gamma_5", (46.0, 47.0, 48.0), (90.0, 90.0, 90.0), 0, 31.0),
    "ssd": Row("ssd", (30.0, 41.0, 43.0), (80.0, 80.0, 80.0), 0, 33.0),
}
SETTINGS = {name: Setting(name, f"what {name} is", ()) for name in ROWS}


def test_table() -> None:
    text = report.markdown(TABLES, ROWS, SETTINGS, {"ce"})
    lines = text.splitlines()
    assert "| ce | what ce is | diverged | diverged | 0.0 - 0.0 | 0.0 | 3, 3 diverged | 12 |" in lines
    assert "| focal | what focal is | 34.0 | 42.0 | 40.0 - 45.0 | 81.0 | 3 | 30 |" in lines
    assert "| focal | what focal is | 36.0 | 42.0 | 40.0 - 45.0 | 81.0 | 3 | 30 |" in lines
    assert "| ssd | what ssd is | - | 38.0 | 30.0 - 43.0 | 80.0 | 3 | 33 |" in lines
    assert "| focal - ce | +34.0 | +42.0 | agrees |" in lines
    assert "| gamma_5 - focal | -1.8 | +5.0 | **disagrees** |" in lines
    assert "| focal - ssd | - | +4.0 | no order in the paper; here undecided |" in lines
    assert (
        "Of 3 pairs that the paper orders, 2 have its order here, 1 the other, and 0 are undecided." in lines
    )
    assert [line for line in lines if line.startswith("##")] == ["## Losses", "## Mining"]


def test_a_table_with_one_row_has_nothing_to_compare() -> None:
    rows = {"focal": ROWS["focal"], "ssd": ROWS["ssd"]}
    assert [table.title for table in report.worth_showing(TABLES, rows)] == ["Mining"]
    del rows["ssd"]
    assert [table.title for table in report.worth_showing(TABLES, rows)] == ["Losses", "Mining"]
    assert report.worth_showing(TABLES, {}) == []


def test_picture() -> None:
    """As high as it has rows; our colour and the paper's are in it."""
    whole = Image.open(io.BytesIO(report.draw(TABLES, ROWS, {"ce"}))).convert("RGB")
    part = Image.open(io.BytesIO(report.draw(TABLES[:1], ROWS, {"ce"})))
    assert whole.width == part.width
    assert whole.height > 1.5 * part.height
    colours = {colour for _, colour in whole.getcolors(1 << 24) or ()}
    assert (0x0B, 0x6E, 0x99) in colours
    assert (0xD9, 0x73, 0x0D) in colours
