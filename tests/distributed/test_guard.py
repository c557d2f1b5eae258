"""A loss that is not finite in one process: all leave the step out, and the pictures named are its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

from foveal.data.loader import make_loader
from foveal.data.shapes import make_shapes

SCRIPT = Path(__file__).with_name("diverging.py")


def pictures_of_second(steps: int, epoch: int = 0) -> list[list[int]]:
    """Ids of the pictures of an epoch's first steps in the second process."""
    loader = make_loader(
        make_shapes(40, 2, 64, seed=1), (64, 64), 2, train=True, workers=0, rank=1, world_size=2
    )
    loader.set_epoch(epoch)
    return [list(batch.image_ids) for batch, _ in zip(loader, range(steps), strict=False)]


def test_a_bad_step_is_left_out_by_all(ranks: Any, tmp_path: Path) -> None:
    done = ranks(tmp_path / "run", "2", folder=tmp_path, script=SCRIPT)
    assert done.codes == [0, 0], done.err
    assert [(tmp_path / "run" / f"rank{rank}.txt").read_text() for rank in range(2)] == ["20 2", "20 2"]
    told = [json.loads(line) for line in (tmp_path / "run" / "health.jsonl").read_text().splitlines()]
    pictures = [
        [int(i) for i in re.findall(r"\d+", re.search("pictures ([0-9, ]+), step", each["message"])[1])]
        for each in told
    ]
    assert pictures == pictures_of_second(5)[3:]


def test_ten_in_a_row_end_the_run_alike(ranks: Any, tmp_path: Path) -> None:
    done = ranks(tmp_path / "run", "10", folder=tmp_path, script=SCRIPT)
    assert done.codes == [6, 6], done.err
    assert "".join(done.err).count("training diverged at step 12") == 1
    saved = torch.load(tmp_path / "run" / "bad_batch.pt", weights_only=True)
    # Steps 4 to 13 are bad; the epoch has ten.
    assert saved["batch"]["image_ids"] == pictures_of_second(3, epoch=1)[2]
    assert saved["bad"] == "loss square"
    assert not torch.isfinite(saved["losses"]["square"])
