"""The README's Python examples run as they stand, each in at most ten lines of code."""

from __future__ import annotations

import re
import runpy
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

README = Path(__file__).resolve().parents[2] / "README.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PACKAGES = {"pandas": "cluster", "clip.mp4": "video", "foveal.verbs.export": "export"}
"""A word of an example, and the extra that it needs."""
IMPORTED = {"pandas": "pandas", "clip.mp4": "trackers", "foveal.verbs.export": "onnxscript"}


@pytest.fixture(scope="module")
def place(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "runs" / "my").mkdir(parents=True)
    shutil.copy(trained.best, folder / "runs" / "my" / "best.safetensors")
    shutil.copy(trained.config, folder / "my.yaml")
    shutil.copytree(trained.data / "images", folder / "photos")
    images = [Image.open(path).convert("RGB") for path in sorted((folder / "photos").iterdir())]
    images[1].save(folder / "cat.jpg", quality=95)
    (folder / "photos" / "torn.jpg").write_bytes((folder / "cat.jpg").read_bytes()[:300])
    rows = [
        np.concatenate([np.asarray(image) for image in part], axis=1) for part in (images[:3], images[3:6])
    ]
    Image.fromarray(np.concatenate(rows)).save(folder / "field.png")
    return folder


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(
    number: int, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = EXAMPLES[number]
    beside = ("#", "from", "import")
    assert sum(bool(line) and not line.startswith(beside) for line in example.splitlines()) <= 10
    for word, extra in PACKAGES.items():
        if word in example:
            pytest.importorskip(IMPORTED[word], reason=f"needs foveal[{extra}]")
    if "clip.mp4" in example:
        from foveal.runtime.video import VideoWriter

        with VideoWriter(place / "clip.mp4", Fraction(10)) as writer:
            for frame in range(3):
                writer.add(Image.open(place / "cat.jpg").convert("RGB"), frame / 10)
    monkeypatch.chdir(place)
    (place / f"example_{number}.py").write_text(example)
    names = runpy.run_path(f"example_{number}.py")
    said = capsys.readouterr().out
    if "cat_boxes" in example:
        with Image.open("cat_boxes.png") as drawn:
            assert drawn.size == (128, 128)
        assert len(names["detections"]) > 0
    if "to_csv" in example:
        assert "torn.jpg" in said
        assert len(names["tables"]) == 8
        assert (place / "found.csv").read_text().splitlines()[0].endswith("name,score,x1,y1,x2,y2,label")
    if "train" in names:
        assert (names["run"].folder / "report.html").is_file()
        assert set(names["result"].analysis.errors.points) >= {"missed", "background"}
    if "tiles=" in example:
        assert names["field"].width == 3 * 128
        assert {path.suffix for path in names["result"].output.iterdir()} >= {".mp4", ".csv"}
    if "export" in names:
        assert names["done"].gate is not None
        assert names["done"].output.is_file()
        assert "[" in said or "(" in said
