"""Two processes train what one would: one folder, the same pictures in every step, the same numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from foveal.checkpoint.format import load_checkpoint

SCRIPT = Path(__file__).with_name("any_precision.py")
BOUND = 1e-9
"""Largest difference of a weight after twelve steps in float64. Measured: see docs/distributed.md."""


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(newline="") as stream:
        return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(stream)]


def test_one_folder_and_one_voice(ranks: Any, config: Path) -> None:
    """Also where a folder of that name is there."""
    (config.parent / "runs" / "voice").mkdir(parents=True)
    (config.parent / "runs" / "voice" / "config.yaml").write_text("a: run\n")
    changes = ("training.max_steps=4", "training.ema=null")
    done = ranks("train", config, *changes, "--name", "voice", folder=config.parent)
    assert done.codes == [0, 0], done.err
    assert "8 pictures a step (4 x 2 processes)" in done.out[0]
    assert "run folder: runs/voice-2" in done.out[0]
    assert done.err[0].count("\n") == 1  # the warning about frozen norms
    assert (done.out[1], done.err[1]) == ("", "")
    assert {path.name for path in (config.parent / "runs").glob("voice*")} == {"voice", "voice-2"}
    assert len(list((config.parent / "runs" / "voice-2" / "tensorboard").iterdir())) == 1


def test_validation_by_two_is_that_by_one(undisturbed: Path) -> None:
    """``evaluation.json`` is of the same weights and batches, in the first process alone."""
    alone = json.loads((undisturbed / "evaluation.json").read_text())
    together = load_checkpoint(undisturbed / "best.safetensors").header.facts["metrics"]
    twelve = {name: value for name, value in together.items() if not name.startswith("val_")}
    assert len(twelve) == 12
    assert twelve == {name: alone[name] for name in twelve}


def test_the_same_pictures_in_every_step(ranks: Any, config: Path, undisturbed: Path) -> None:
    """The anchors of each class over an epoch, exactly; and the losses of the first one, before rounding grows."""
    done = ranks("train", config, "training.batch_size=8", "--name", "one", folder=config.parent, count=1)
    assert done.codes == [0], done.err
    one, two = rows(config.parent / "runs" / "one"), rows(undisturbed)
    assert [set(row) for row in one] == [set(row) for row in two]
    totals = [{k: v for k, v in row.items() if k.startswith("positives_of_class")} for row in one]
    assert totals == [{k: v for k, v in row.items() if k.startswith("positives_of_class")} for row in two]
    assert sum(map(bool, totals)) == 3
    first_one, first_two = (next(row for row in table if "loss" in row) for table in (one, two))
    for name in first_one:
        if name not in (
            "data_wait",
            "cls_share_objects",
            "cls_share_hard",
            "cls_share_easy",
        ):  # means of shares
            assert first_two[name] == pytest.approx(first_one[name], rel=2e-5), name


@pytest.mark.parametrize(
    "changes",
    [
        ("training.accumulate=3",),
        ("model.losses.normalizer=ema_positives", "training.clip_grad_norm=0.5"),
    ],
    ids=["accumulate", "running normaliser, clipped"],
)
def test_the_same_weights_but_for_rounding(ranks: Any, config: Path, tmp_path: Path, changes: Any) -> None:
    for count, size in ((1, 8), (2, 4)):
        sizes = (f"training.batch_size={size}", "training.ema=null")
        done = ranks(
            config, str(count), "float64", *changes, *sizes, folder=tmp_path, count=count, script=SCRIPT
        )
        assert done.codes == [0] * count, done.err
    one, two = (load_file(tmp_path / str(count) / "last.safetensors") for count in (1, 2))
    assert one.keys() == two.keys()
    differences = {name: float((one[name] - two[name]).abs().max()) for name in one}
    assert max(differences.values()) < BOUND, max(differences.items(), key=lambda pair: pair[1])
    assert max(differences.values()) > 0, "both runs summed alike: were there two processes?"
