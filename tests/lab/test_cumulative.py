"""The spread of the loss over the anchors, against direct computation."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from PIL import Image

from foveal.build import build_criterion
from foveal.checkpoint.format import load_checkpoint
from foveal.config.schema import Model
from foveal.data.loader import make_loader
from foveal.errors import DataError
from foveal.lab.cumulative import (
    AnchorLosses,
    cumulative,
    describe,
    draw,
    focal_loss_of_anchors,
    measure,
    share_of_hardest,
)
from foveal.ops.focal_loss import sigmoid_focal_loss
from foveal.ops.mining import cross_entropy_of_anchors
from foveal.runtime.model_file import canvas_of, load_inference
from foveal.runtime.validation_set import validation_set
from foveal.types import BACKGROUND


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_loss_of_anchors_adds_up_to_the_loss_of_training(gamma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(300, 5, generator=generator)
    labels = torch.randint(BACKGROUND, 5, (300,), generator=generator)
    each = focal_loss_of_anchors(logits, labels, 0.3, gamma)
    assert each.shape == (300,)
    for rows in (slice(None), slice(0, 1), labels >= 0, labels == BACKGROUND):
        whole = sigmoid_focal_loss(logits[rows], labels[rows], 0.3, gamma)
        assert float(each[rows].sum()) == pytest.approx(float(whole), rel=1e-5)


def test_without_focus_it_is_half_the_cross_entropy() -> None:
    logits = torch.tensor([[-4.0, 2.0], [0.5, -1.0], [3.0, 8.0]])
    labels = torch.tensor([1, BACKGROUND, 0])
    half = focal_loss_of_anchors(logits, labels, 0.5, 0.0)
    assert torch.allclose(2 * half, cross_entropy_of_anchors(logits, labels))


def test_cumulative_by_hand() -> None:
    """Losses 1, 1, 2, 4: the easiest half has a quarter, the hardest quarter a half."""
    losses = torch.tensor([4.0, 1.0, 2.0, 1.0])
    share, loss = cumulative(losses, points=5)
    assert share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert loss.tolist() == [0, 0.125, 0.25, 0.5, 1]
    assert [share_of_hardest(losses, share) for share in (0.25, 0.5, 1.0)] == [0.5, 0.75, 1.0]
    assert share_of_hardest(losses, 0.125) == pytest.approx(0.25)  # half of the hardest anchor
    assert share_of_hardest(torch.ones(1000), 0.01) == pytest.approx(0.01)


@pytest.fixture(scope="module")
def direct(trained: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """p_t of every anchor and class by the textbook: foreground [P, K] and background [N, K]."""
    loaded = load_checkpoint(trained.best)
    model = load_inference(loaded, trained.best)
    criterion = build_criterion(Model.model_validate(loaded.header.config["model"]))
    records = validation_set(loaded.header, trained.best)
    front, back = [], []
    for picture in make_loader(records, canvas_of(loaded.header), 1, train=False, workers=0):
        with torch.no_grad():
            outputs = model.detector(picture.images)
        scores = torch.cat(outputs.cls_logits, 1)[0].double().sigmoid()
        target = picture.targets[0]
        match = criterion.assigner(outputs.anchors, target.boxes)
        for place, box in enumerate(match.tolist()):
            p_t = 1 - scores[place]
            if box >= 0:
                own = target.labels[box]
                p_t[own] = scores[place, own]
                front.append(p_t)
            elif box == BACKGROUND:
                back.append(p_t)
    return torch.stack(front), torch.stack(back)


def test_measured_on_a_checkpoint(trained: Any, direct: Any) -> None:
    found = measure(trained.best, batch_size=3)
    front, back = direct
    assert found.pictures == 8
    assert [len(x) for x in (found.foreground[0], found.background[0])] == [len(front), len(back)]
    for gamma, losses in zip(found.gammas, found.background, strict=True):
        expected = (0.75 * (1 - back) ** gamma * -back.log()).sum(1)
        assert torch.allclose(losses.double().sort().values, expected.sort().values, rtol=1e-3, atol=1e-7)
        hardest = expected.sort(descending=True).values
        tenth = hardest[: len(hardest) // 10].sum() / hardest.sum()
        assert share_of_hardest(losses, (len(hardest) // 10) / len(hardest)) == pytest.approx(
            float(tenth), abs=1e-4
        )
    focused = [share_of_hardest(losses, 0.01) for losses in found.background]
    assert focused == sorted(focused)  # the more focus, the more of the loss in the hardest
    assert focused[-1] > focused[0]


def test_numbers_and_picture(trained: Any) -> None:
    found = measure(trained.best)
    text = describe(found)
    assert f"8 pictures: {len(found.foreground[0]):,} foreground and" in text
    share = share_of_hardest(found.background[-1], 0.01)
    assert f"and {share:.0%} at gamma 2." in text
    assert [line.split(" |")[0] for line in text.splitlines() if line.startswith("| ")][2:] == [
        "| 0",
        "| 0.5",
        "| 1",
        "| 2",
    ]
    picture = Image.open(io.BytesIO(draw(found)))
    assert picture.width > 2 * picture.height


def test_the_curves_bend_as_the_losses_say() -> None:
    same = AnchorLosses((0.0,), (torch.ones(10),), (torch.tensor([0.0] * 99 + [1.0]),), 1)
    assert "| 0 | 0.1 | 10.0% | 100.0% | 100.0% | 20.0% |" in describe(same).splitlines()


def test_nothing_to_look_at(trained: Any, tmp_path: Any) -> None:
    empty = tmp_path / "c.yaml"
    empty.write_text("data: {train: {format: shapes, pictures: 2, classes: 2, size: 64, empty_share: 1.0}}\n")
    with pytest.raises(DataError, match="no anchor of these pictures is an object"):
        measure(trained.best, empty)
