"""foveal demo in miniature: the same flow on few pictures and few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveal.config.load import data_of, load_config
from foveal.data.coco import read_coco
from foveal.metrics.coco import COCO_METRICS
from foveal.verbs import demo as verb
from foveal.verbs.demo import demo
from foveal.verbs.evaluate import evaluate

SMALLER = (
    "model.architecture.backbone.name=lcnet_050",
    "model.architecture.neck.params.out_channels=16",
    "model.architecture.head.params.num_layers=1",
    "training.max_steps=2",
    "training.batch_size=4",
    "training.device=cpu",
    "data.workers=0",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verb, "TRAIN_PICTURES", 8)
        patch.setattr(verb, "VAL_PICTURES", 5)
        return demo(tmp_path_factory.mktemp("runs") / "demo", quiet=True, overrides=SMALLER)


def test_everything_lies_in_one_folder(made: Any) -> None:
    names = {path.name for path in made.folder.iterdir()}
    assert names == {
        "data",
        "demo.yaml",
        "config.yaml",
        "best.safetensors",
        "last.safetensors",
        "resume",
        "metrics.csv",
        "tensorboard",
        "evaluation.json",
        "environment.json",
        "galleries",
        "report.html",
        "predictions",
        "contact_sheet.png",
    }
    assert tuple(made.metrics) == COCO_METRICS
    assert made.seconds > 0


def test_measured_on_pictures_it_was_not_trained_on(made: Any) -> None:
    data = data_of(load_config(made.folder / "config.yaml"))
    parts = [
        read_coco(made.folder / "data" / part / "annotations.json", made.folder / "data" / part / "images")
        for part in ("train", "val")
    ]
    assert [len(part) for part in parts] == [8, 5]
    assert [str(made.folder / "data" / part / "images") for part in ("train", "val")] == [
        data.train.images,  # type: ignore[union-attr]
        data.val.images,  # type: ignore[union-attr]
    ]
    seen = {parts[0].load(picture).tobytes() for picture in range(8)}
    assert not any(parts[1].load(picture).tobytes() in seen for picture in range(5))
    again = evaluate(made.folder / "best.safetensors", device="cpu", workers=0, quiet=True)
    assert again.metrics == made.metrics
    assert again.pictures == 5


def test_contact_sheet(made: Any) -> None:
    """Five pairs in three columns, drawn on: two lines of tiles of about 256 pixels."""
    assert made.contact_sheet == made.folder / "contact_sheet.png"
    with Image.open(made.contact_sheet) as sheet:
        assert 3 * 2 * 128 <= sheet.width <= 3000
        assert 2 * 128 <= sheet.height <= 2000
        assert len(np.unique(np.asarray(sheet.convert("RGB")).reshape(-1, 3), axis=0)) > 1000


def test_another_folder_where_something_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "demo" / "data" / "train" / "annotations.json"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    monkeypatch.setattr(verb, "TRAIN_PICTURES", 4)
    monkeypatch.setattr(verb, "VAL_PICTURES", 2)
    result = demo(tmp_path / "demo", overrides=SMALLER)
    assert result.folder == tmp_path / "demo-2"
    assert mine.read_text() == "mine"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1/4  drawing 4 pictures to train on and 2 held out"
    assert lines[-4] == f"report: {result.folder / 'report.html'}"
    assert lines[-3] == f"contact sheet: {result.contact_sheet}"
    assert lines[-2] == f"done in {result.seconds:.0f} seconds"
    assert lines[-1].startswith(f"next: foveal serve {result.folder / 'best.safetensors'} ")
    table = "\n".join(lines[-20:-4])
    assert "The demo on 2 held-out pictures" in table
    assert f"{result.metrics['AP']:.3f}" in table
