"""Do the pictures reach the backbone as those did that it was trained on?

A pretrained backbone remembers them: the running mean and variance of every batch norm. With the same pixels,
what enters each norm now has nearly the same mean and variance; with another scale or mean it does not, whatever
is in the pictures. The distance is the divergence of two normal distributions,
KL = (v / V + (m - M)^2 / V - 1 - ln(v / V)) / 2, its median over channels, averaged over layers. Measured with
MobileNetV2 on BCCD, chess and COCO pictures: 0.02 to 0.21 as it should be, 1.5 to 10 times as much with values in
0..1 or means of a half, 90 times and more with raw values. The order of the colours moves it far less: a tenth on
COCO, nothing on pictures of one colour.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from foveal.config.schema import Model
from foveal.diagnosis.finding import Finding
from foveal.models.backbone import Backbone

FARTHER = 1.25
"""Times the distance with the backbone's own mean and std: the pixels are not the backbone's."""
FAR = 5.0
"""From here it is an error: little of what the backbone learned is left."""
FLIPPED = 1.1
"""Times the distance with the colours the other way round."""
SAME_SCALE = (0.8, 1.25)
PARAMS = "model.architecture.pixels"
Three = tuple[float, ...]


class Pixels(NamedTuple):
    """How bytes become inputs: (value - mean) / std, in 0..255, channels in this order."""

    order: str
    mean: Three
    std: Three


def pixel_findings(model: Model, images: Tensor) -> list[Finding]:
    """Compare statistics with those in the backbone's batch norms; images: [B, 3, H, W] uint8 RGB.

    Nothing can be said of random weights, or of a backbone without batch norm.
    """
    params = model.architecture.backbone.params
    if params.weights is None:
        return []
    backbone = Backbone(
        model.architecture.backbone.name,
        params.weights,
        params.c5,
        "trained",
        model.architecture.neck.params.min_level,
        params.stride_in_1x1,
        params.pool_padding,
    )
    settings = model.architecture.pixels
    own = Pixels("rgb", *(tuple(255 * v for v in values) for values in (backbone.mean, backbone.std)))
    flip = settings.order == "bgr"
    given = Pixels(
        settings.order,
        settings.mean or (own.mean[::-1] if flip else own.mean),
        settings.std or (own.std[::-1] if flip else own.std),
    )
    # The backbone's own numbers in the order given: what differs from them is scale and mean alone.
    in_order = Pixels(given.order, *((own.mean[::-1], own.std[::-1]) if flip else (own.mean, own.std)))
    distance = statistics_distance(backbone, images, given)
    if distance is None:
        return []
    best = statistics_distance(backbone, images, in_order) or 0.0
    found = _scale(given, in_order, distance, best)
    return found + _order(backbone, images, in_order, best, params.weights)


def statistics_distance(backbone: nn.Module, images: Tensor, pixels: Pixels) -> float | None:
    """Distance of the pictures, read in this way, from what the backbone was trained on; None without a norm."""
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d) and m.running_mean is not None]
    if not norms:
        return None
    found: list[Tensor] = []

    def look(norm: Any, inputs: tuple[Tensor, ...]) -> None:
        x, spread = inputs[0].float(), norm.running_var + norm.eps
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3)) + norm.eps
        shift = (mean - norm.running_mean) ** 2 / spread
        found.append((variance / spread + shift - 1 - torch.log(variance / spread)).median() / 2)

    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    values = (images.flip(1) if pixels.order == "bgr" else images).float()
    with torch.no_grad():
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (pixels.mean, pixels.std))
        backbone.eval()((values - mean) / std)
    for handle in handles:
        handle.remove()
    return float(torch.stack(found).mean())


def _scale(given: Pixels, own: Pixels, distance: float, best: float) -> list[Finding]:
    if given == own or distance < FARTHER * best:
        return []
    factor = sum(g / o for g, o in zip(given.std, own.std, strict=True)) / 3
    scaled = not SAME_SCALE[0] <= factor <= SAME_SCALE[1]
    message = (
        f"pixels reach the backbone with mean {_three(given.mean)} and std {_three(given.std)}, it was trained "
        f"with {_three(own.mean)} and {_three(own.std)}: its statistics are {distance / max(best, 1e-9):.1f} "
        "times as far off"
    )
    hint = ""
    if all(value <= 1 for value in given.mean) and all(value <= 1 for value in given.std):
        hint = "mean and std count in 0..255 here, not in 0..1: "
    severity = "error" if distance >= FAR * best else "warning"
    return [
        Finding(
            "pixel_scale" if scaled else "pixel_mean",
            severity,  # type: ignore[arg-type]
            PARAMS,
            message,
            f"{hint}set {PARAMS}.mean and .std to null: the backbone's own",
        )
    ]


def _order(
    backbone: nn.Module, images: Tensor, given: Pixels, distance: float, weights: str
) -> list[Finding]:
    other = Pixels("rgb" if given.order == "bgr" else "bgr", given.mean[::-1], given.std[::-1])
    flipped = statistics_distance(backbone, images, other) or 0.0
    fits = flipped * FLIPPED < distance
    if not fits and not (weights == "imagenet" and given.order == "bgr"):
        return []
    why = (
        f"the statistics in its norms fit {other.order} better ({flipped:.3f} against {distance:.3f})"
        if fits
        else "timm's weights were trained on rgb"
    )
    message = f"the backbone is given the colours in the order {given.order}, but {why}"
    severity = "error" if weights == "imagenet" and given.order == "bgr" else "warning"
    fix = f"set {PARAMS}.order: {other.order}"
    return [Finding("colour_order", severity, f"{PARAMS}.order", message, fix)]  # type: ignore[arg-type]


def _three(values: Three) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
