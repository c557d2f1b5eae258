"""docs/predict.md: every Python example runs as it stands, in at most ten lines; every option it names exists."""

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

PAGE = Path(__file__).resolve().parents[2] / "docs" / "predict.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
NEEDS = {"to_pandas": "pandas", "to_supervision": "supervision", "clip.mp4": "trackers"}


@pytest.fixture(scope="module")
def place(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copy(trained.best, folder / "best.safetensors")
    shutil.copytree(trained.data / "images", folder / "photos")
    images = [Image.open(path).convert("RGB") for path in sorted((folder / "photos").iterdir())]
    images[1].save(folder / "cat.jpg", quality=95)
    rows = [
        np.concatenate([np.asarray(image) for image in part], axis=1) for part in (images[:3], images[3:6])
    ]
    Image.fromarray(np.concatenate(rows)).save(folder / "field.png")
    return folder


def test_there_is_an_example_for_every_job() -> None:
    assert len(EXAMPLES) >= 7
    assert all(len(example.strip().splitlines()) <= 10 for example in EXAMPLES)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs_as_it_stands(
    number: int, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = EXAMPLES[number]
    for sign, package in NEEDS.items():
        if sign in example:
            pytest.importorskip(package, reason=f"the example needs {package}, of the extra video")
    if "clip.mp4" in example:
        from foveal.runtime.video import VideoWriter

        picture = Image.open(place / "photos" / "shape_000001.png").convert("RGB")
        with VideoWriter(place / "clip.mp4", Fraction(10)) as writer:
            for frame in range(4):
                writer.add(picture, frame / 10)
    monkeypatch.chdir(place)
    (place / f"example_{number}.py").write_text(example)
    names: dict[str, Any] = runpy.run_path(f"example_{number}.py")
    said = capsys.readouterr().out
    assert said or "print" not in example
    if "to_coco" in example:
        assert len(names["coco"]) == len(names["table"]) == len(names["boxes_for_supervision"]) > 0
    if "from_pillow" in example:
        assert names["from_file"].names
        for other in ("from_pillow", "from_array", "from_address"):
            assert names[other].boxes.tolist() == names["from_file"].boxes.tolist()
    if "outcomes" in example:
        assert len(said.splitlines()) == 16
    if "clip.mp4" in example:
        assert re.fullmatch(r"4 frames, [1-9]\d* tracks\n", said)


def test_every_option_on_the_page_exists() -> None:
    from typer.main import get_command

    from foveal.cli import app

    command = get_command(app).commands["predict"]  # type: ignore[attr-defined]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE.read_text(encoding="utf-8"))) <= known
