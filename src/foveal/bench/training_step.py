"""Rows: a training step of RetinaNet-R50: forward, losses, backward, optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.optim import SGD
from torchvision.models.detection import RetinaNet

from foveal.bench.case import Case, Setup
from foveal.bench.twins import CLASSES, make_foveal, make_picture, make_torchvision
from foveal.heads.anchor_decoupled.criterion import AnchorCriterion, focal
from foveal.models.detector import Detector
from foveal.ops.matcher import match_iou
from foveal.types import Target

BATCH, SIZE = 4, 512
QUICK_BATCH, QUICK_SIZE = 1, 256
BOXES = 7
"""COCO's mean of a picture."""
SMALLEST, LARGEST = 0.04, 0.6
"""Sides of boxes, as shares of the picture's; evenly spread on a logarithmic scale."""
RATE = 1e-7
"""So small that both sides stay together over the rounds: a fresh network runs away from its rounding."""
MEMORY_SHARE = 0.45

Losses = list[tuple[float, float]]
"""(class, box) of every step so far."""


def cases(setup: Setup) -> Iterator[Case]:
    """In fp32 and bf16; torchvision as its users run it: fp32 on a CPU, autocast on a GPU for the bf16 case."""
    batch, size = (QUICK_BATCH, QUICK_SIZE) if setup.quick else (BATCH, SIZE)
    images, targets = make_batch(batch, size)
    images, targets = images.to(setup.device), [Target(*(x.to(setup.device) for x in t)) for t in targets]
    for precision, target in (("bf16", 2.5), ("fp32", 1.15)):
        theirs = make_torchvision(make_picture(size, size))
        detector = make_foveal(theirs).detector
        assert isinstance(detector, Detector)
        bf16 = precision == "bf16"
        yield Case(
            f"training step, batch {batch}, {size} x {size}, {precision}",
            "torchvision",
            our_step(detector.to(setup.device), images, targets, bf16),
            torchvision_step(theirs.to(setup.device), images, targets, bf16 and setup.device != "cpu"),
            partial(difference, batch * BOXES),
            target=target if setup.device == "cpu" else None,
            rounds=5,
            memory_share=MEMORY_SHARE if bf16 else None,
        )


def make_batch(batch: int, size: int) -> tuple[Tensor, list[Target]]:
    """Pictures [B, 3, H, W] uint8 in channels_last, and BOXES boxes in each."""
    picture = torch.from_numpy(make_picture(size, size)).permute(2, 0, 1)
    images = torch.stack([picture.roll(17 * i, 2) for i in range(batch)])
    generator = torch.Generator().manual_seed(1)
    targets = []
    for _ in range(batch):
        share = torch.rand(BOXES, 2, generator=generator)
        side = size * SMALLEST * (LARGEST / SMALLEST) ** share
        corner = torch.rand(BOXES, 2, generator=generator) * (size - side)
        labels = torch.randint(0, CLASSES, (BOXES,), generator=generator)
        boxes = torch.cat([corner, corner + side], dim=1)
        targets.append(Target(boxes, labels, torch.zeros(BOXES, dtype=torch.bool)))
    return images.contiguous(memory_format=torch.channels_last), targets


def our_step(detector: Detector, images: Tensor, targets: list[Target], bf16: bool) -> Callable[[], Losses]:
    """A step of ours at each call, with torchvision's rules of assignment and normalisation."""
    criterion = AnchorCriterion(match_iou, focal(), normalizer="image_positives")
    optimizer = _optimizer(detector.train(), fused=True)
    history: list[Tensor] = []

    def step() -> Losses:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            outputs = detector(images)
        losses = criterion(outputs, targets).losses
        optimizer.zero_grad()
        torch.stack([losses["cls"], losses["box"]]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        history.append(torch.stack([losses["cls"], losses["box"]]).detach())
        return _values(history)

    return step


def torchvision_step(
    model: RetinaNet, images: Tensor, targets: list[Target], amp: bool
) -> Callable[[], Losses]:
    """A step of torchvision's reference recipe at each call. Floats, as its loader gives, are made beforehand."""
    pictures = [image.float().div(255).contiguous() for image in images]
    truth = [{"boxes": target.boxes, "labels": target.labels} for target in targets]
    optimizer = _optimizer(model.train(), fused=False)
    history: list[Tensor] = []

    def step() -> Losses:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=amp):
            losses = model(pictures, truth)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        history.append(torch.stack([losses["classification"], losses["bbox_regression"]]).detach())
        return _values(history)

    return step


def difference(boxes: int, ours: Losses, baseline: Losses) -> str:
    """Largest relative difference of each loss, over the steps that both have made."""
    steps = list(zip(ours, baseline, strict=False))
    if not steps or not all(all(losses) for losses in baseline):
        raise ValueError("no losses to compare")
    cls, box = (max(abs(a[i] - b[i]) / b[i] for a, b in steps) for i in (0, 1))
    return f"class loss {cls:.0e}, box loss {box:.0e} of {boxes} boxes, over {len(steps)} steps"


def _optimizer(model: torch.nn.Module, fused: bool) -> SGD:
    return SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=1e-4, fused=fused)


def _values(history: list[Tensor]) -> Losses:
    return [(float(cls), float(box)) for cls, box in history]
