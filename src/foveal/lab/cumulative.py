"""How the loss of a trained model is spread over its anchors, hard ones and easy ones (paper, figure 4)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from foveal.build import build_criterion
from foveal.checkpoint.format import load_checkpoint
from foveal.config.schema import Model
from foveal.data.loader import make_loader
from foveal.errors import DataError
from foveal.heads.anchor_decoupled.targets import assign
from foveal.models.detector import Detector
from foveal.runtime.model_file import canvas_of, load_inference
from foveal.runtime.validation_set import validation_set
from foveal.types import BACKGROUND

GAMMAS = (0.0, 0.5, 1.0, 2.0)
"""Those of the paper's figure."""
ALPHA = 0.25
MOST_BACKGROUND = 10_000_000
"""As many negative windows as the paper's figure shows; then the remaining pictures are left out."""
SHARES = (0.001, 0.01, 0.1)
HARDEST_FOREGROUND = 0.2
CURVE_POINTS = 501
COLOURS = ("#9065b0", "#448361", "#0b6e99", "#d9730d")
INK, GRID = "#37352f", "#e3e2e0"


class AnchorLosses(NamedTuple):
    """Focal losses of every anchor of a data set under several gammas, the same model throughout."""

    gammas: tuple[float, ...]
    foreground: tuple[Tensor, ...]
    """One [P] float32 per gamma."""
    background: tuple[Tensor, ...]
    """One [N] float32 per gamma."""
    pictures: int


def focal_loss_of_anchors(
    cls_logits: Tensor, labels: Tensor, alpha: float = ALPHA, gamma: float = 2.0
) -> Tensor:
    """Focal loss of each anchor, summed over its classes: [N] float32 (paper, equation 5).

    cls_logits: [N, K] before the sigmoid; labels: [N] class or BACKGROUND. ``sigmoid_focal_loss`` is its sum.
    """
    logits = cls_logits.float()
    of_class = F.one_hot(labels.clamp(min=0), logits.shape[1]).bool() & (labels >= 0)[:, None]
    towards = torch.where(of_class, logits, -logits)  # p_t = sigmoid(towards)
    weight = torch.where(of_class, alpha, 1 - alpha)
    return (weight * (-towards).sigmoid().pow(gamma) * F.softplus(-towards)).sum(dim=1)


@torch.inference_mode()
def measure(
    checkpoint: Path, data: Path | None = None, gammas: Sequence[float] = GAMMAS, batch_size: int = 8
) -> AnchorLosses:
    """Losses of a checkpoint's anchors on labelled pictures, on the CPU, with its own assignment.

    data: as in ``validation_set``; default: the validation set that it was trained with. Ignored anchors are in
    neither group. DataError where no anchor is an object.
    """
    loaded = load_checkpoint(checkpoint)
    detector = load_inference(loaded, checkpoint).detector
    assert isinstance(detector, Detector)
    assigner = build_criterion(Model.model_validate(loaded.header.config["model"])).assigner
    records = validation_set(loaded.header, checkpoint, data)
    foreground: list[list[Tensor]] = [[] for _ in gammas]
    background: list[list[Tensor]] = [[] for _ in gammas]
    count = pictures = 0
    for batch in make_loader(records, canvas_of(loaded.header), batch_size, train=False, workers=0):
        outputs = detector(batch.images)
        labels = assign(outputs.anchors, batch.targets, assigner).labels.flatten()
        logits = torch.cat(outputs.cls_logits, dim=1).flatten(0, 1)
        is_object, is_background = labels >= 0, labels == BACKGROUND
        for place, gamma in enumerate(gammas):
            losses = focal_loss_of_anchors(logits, labels, ALPHA, gamma)
            foreground[place].append(losses[is_object])
            background[place].append(losses[is_background])
        count += int(is_background.sum())
        pictures += len(batch.images)
        if count >= MOST_BACKGROUND:
            break
    if not sum(len(part) for part in foreground[0]):
        raise DataError("no anchor of these pictures is an object: there is no foreground loss to look at")
    return AnchorLosses(
        tuple(gammas),
        tuple(torch.cat(parts) for parts in foreground),
        tuple(torch.cat(parts) for parts in background),
        pictures,
    )


def cumulative(losses: Tensor, points: int = CURVE_POINTS) -> tuple[Tensor, Tensor]:
    """Shares of the anchors, easiest first, and of the whole loss that they have: [points] float64 each."""
    total = torch.cat([losses.new_zeros(1), losses.sort().values]).double().cumsum(0)
    place = torch.linspace(0, len(losses), points, dtype=torch.float64)
    return place / len(losses), _at(total, place) / total[-1]


def share_of_hardest(losses: Tensor, share: float) -> float:
    """Share of the whole loss that the hardest ``share`` of the anchors has; a part of one counts in part."""
    total = torch.cat([losses.new_zeros(1), losses.sort().values]).double().cumsum(0)
    place = torch.tensor([len(losses) * (1 - share)], dtype=torch.float64)
    return float(1 - _at(total, place)[0] / total[-1])


def _at(total: Tensor, place: Tensor) -> Tensor:
    """Cumulative sums between the anchors, on a straight line."""
    low = place.floor().long().clamp(max=len(total) - 2)
    return total[low] + (place - low) * (total[low + 1] - total[low])


def describe(losses: AnchorLosses) -> str:
    """The figure in numbers: a Markdown table and three sentences."""
    objects, others = len(losses.foreground[0]), len(losses.background[0])
    lines = [
        f"{losses.pictures} pictures: {objects:,} foreground and {others:,} background anchors, "
        f"1 : {others / objects:,.0f}.",
        "",
        "| gamma | background / foreground loss | "
        + " | ".join(f"background loss in its hardest {share:.1%}" for share in SHARES)
        + f" | foreground loss in its hardest {HARDEST_FOREGROUND:.0%} |",
        "| --- " * (len(SHARES) + 3) + "|",
    ]
    for gamma, front, back in zip(losses.gammas, losses.foreground, losses.background, strict=True):
        shares = [share_of_hardest(back, share) for share in SHARES]
        cells = [f"{float(back.double().sum() / front.double().sum()):.3g}", *(f"{s:.1%}" for s in shares)]
        lines.append(
            f"| {gamma:g} | {' | '.join(cells)} | {share_of_hardest(front, HARDEST_FOREGROUND):.1%} |"
        )
    first, last = losses.gammas[0], losses.gammas[-1]
    hardest = [share_of_hardest(losses.background[place], 0.01) for place in (0, -1)]
    objects_hardest = [share_of_hardest(losses.foreground[place], HARDEST_FOREGROUND) for place in (0, -1)]
    lines += [
        "",
        f"The hardest 1% of the background anchors have {hardest[0]:.0%} of the background loss at gamma "
        f"{first:g} and {hardest[1]:.0%} at gamma {last:g}.",
        f"The hardest {HARDEST_FOREGROUND:.0%} of the foreground anchors have {objects_hardest[0]:.0%} and "
        f"{objects_hardest[1]:.0%} of theirs (paper: about half, little changed by gamma).",
    ]
    return "\n".join(lines) + "\n"


def draw(losses: AnchorLosses) -> bytes:
    """A PNG in the form of the paper's figure 4: foreground left, background right, a curve per gamma."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), dpi=110, layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, sharey=True)
    left.set_ylabel("cumulative normalised loss", color=INK)
    for panel, kind, groups in (
        (left, "foreground", losses.foreground),
        (right, "background", losses.background),
    ):
        for colour, gamma, values in zip(COLOURS, losses.gammas, groups, strict=False):
            share, loss = cumulative(values)
            panel.plot(share.numpy(), loss.numpy(), color=colour, lw=1.8, label=f"$\\gamma$ = {gamma:g}")
        _style(panel, f"share of the {kind} anchors, easiest first")
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _style(panel: Any, label: str) -> None:
    panel.set_xlabel(label, color=INK)
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    panel.grid(color=GRID, lw=0.8)
    panel.tick_params(colors=INK)
    panel.legend(frameon=False, loc="upper left", labelcolor=INK)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
