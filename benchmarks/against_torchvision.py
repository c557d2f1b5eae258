"""Train a recipe of ours and torchvision's RetinaNet v2 recipe on the same data for the same steps, and compare.

    python benchmarks/against_torchvision.py RECIPE.yaml [key.sub=value ...]

Both sides take the same backbone weights, canvas, batches (same order and augmentation), number of optimiser
steps, precision and seed, and are measured by the same evaluator on their last weights. Torchvision's side is
its v2 model (GroupNorm subnets, GIoU, P6 from C5, its own anchors and postprocessing) with the v2 recipe:
AdamW, learning rate 5e-4 at this batch, weight decay 0.05, cosine, frozen batch norm; losses in float32, as
on our side.
"""

from __future__ import annotations

import math
import sys
import time
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead
from torchvision.models.detection.retinanet import _default_anchorgen as default_anchors
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7

from foveal.build import build_loader
from foveal.config.load import load_config
from foveal.config.schema import Config
from foveal.engine.random_state import seed_everything
from foveal.metrics.coco import CocoEvaluator
from foveal.models.backbone import Backbone
from foveal.types import Batch, BatchDetections
from foveal.verbs.train import train
from foveal.verbs.training_data import load_data

LEARNING_RATE = 5e-4
WEIGHT_DECAY = 0.05
WARMUP_STEPS = 20
CHANNELS = 256


class Body(nn.Module):
    """Backbone and pyramid in the form that torchvision's RetinaNet takes."""

    out_channels = CHANNELS

    def __init__(self, config: Config) -> None:
        super().__init__()
        params = config.model.architecture.backbone.params
        name = config.model.architecture.backbone.name
        self.backbone = Backbone(name, params.weights, params.c5, "frozen")
        extra = LastLevelP6P7(self.backbone.channels[-1], CHANNELS)
        self.fpn = FeaturePyramidNetwork(list(self.backbone.channels), CHANNELS, extra_blocks=extra)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """C3..C5 -> P3..P7 by name."""
        pyramid: dict[str, Tensor] = self.fpn(dict(enumerate(self.backbone(images))))
        return pyramid


def build_torchvision(config: Config, num_classes: int) -> RetinaNet:
    """torchvision's v2 model on our backbone; its transform is not used."""
    body = Body(config)
    anchors = default_anchors()
    count = anchors.num_anchors_per_location()[0]
    head = RetinaNetHead(CHANNELS, count, num_classes, norm_layer=partial(nn.GroupNorm, 32))
    head.regression_head._loss_type = "giou"
    model = RetinaNet(body, num_classes, anchor_generator=anchors, head=head, detections_per_img=100)
    return model.to(memory_format=torch.channels_last)


def outputs_of(
    model: RetinaNet, images: Tensor, bf16: bool
) -> tuple[dict[str, Tensor], list[Tensor], list[int]]:
    """Head outputs in float32, anchors per picture, anchors per level."""
    body = model.backbone.backbone
    mean, std = (
        images.new_tensor(v, dtype=torch.float32).view(1, 3, 1, 1) * 255 for v in (body.mean, body.std)
    )
    pixels = ((images.float() - mean) / std).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        features = list(model.backbone(pixels).values())
        outputs = model.head(features)
    sizes = [(images.shape[2], images.shape[3])] * len(images)
    anchors = model.anchor_generator(ImageList(pixels, sizes), features)
    per_cell = model.anchor_generator.num_anchors_per_location()[0]
    levels = [feature.shape[2] * feature.shape[3] * per_cell for feature in features]
    return {name: value.float() for name, value in outputs.items()}, anchors, levels


def train_torchvision(config: Config, recipe: str) -> dict[str, float | None]:
    """Train torchvision's side and return the 12 numbers."""
    train_records, val_records = load_data(config)
    assert val_records is not None
    seed_everything(config.training.seed)
    model = build_torchvision(config, len(train_records.classes.names)).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = config.training.max_steps
    assert steps is not None, f"{recipe} must state its length as training.max_steps"
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda i: min(1.0, (i + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * min(1.0, i / steps))),
    )
    bf16 = config.training.precision == "bf16"
    for batch in track(
        _endless(build_loader(train_records, config, train=True), steps), "torchvision", steps
    ):
        targets = [{"boxes": t.boxes[~t.crowd], "labels": t.labels[~t.crowd]} for t in batch.targets]
        outputs, anchors, _ = outputs_of(model, batch.images, bf16)
        loss = sum(model.compute_loss(targets, outputs, anchors).values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.training.clip_grad_norm or math.inf)
        optimizer.step()
        schedule.step()
    evaluator = CocoEvaluator(val_records.ground_truth())
    model.eval()
    for batch in build_loader(val_records, config, train=False):
        evaluator.update(detect(model, batch), batch)
    return evaluator.compute()


@torch.inference_mode()
def detect(model: RetinaNet, batch: Batch) -> BatchDetections:
    """torchvision's own postprocessing, padded to a fixed number."""
    outputs, anchors, levels = outputs_of(model, batch.images, bf16=False)
    sizes = [tuple(batch.images.shape[2:])] * len(batch.images)
    split_outputs = {name: list(value.split(levels, dim=1)) for name, value in outputs.items()}
    found = model.postprocess_detections(split_outputs, [list(a.split(levels)) for a in anchors], sizes)
    limit = model.detections_per_img
    boxes, scores = torch.zeros(len(found), limit, 4), torch.zeros(len(found), limit)
    labels = torch.zeros(len(found), limit, dtype=torch.int64)
    count = torch.tensor([len(row["scores"]) for row in found])
    for i, (row, n) in enumerate(zip(found, count.tolist(), strict=True)):
        boxes[i, :n], scores[i, :n], labels[i, :n] = row["boxes"], row["scores"], row["labels"]
    return BatchDetections(boxes, scores, labels, count)


def _endless(loader, steps: int):  # type: ignore[no-untyped-def]
    done = epoch = 0
    while done < steps:
        loader.set_epoch(epoch)
        for batch in loader:
            yield batch
            done += 1
            if done == steps:
                return
        epoch += 1


def main() -> None:
    """Both sides, then one table."""
    recipe, overrides = Path(sys.argv[1]), sys.argv[2:]
    config = load_config(recipe, overrides)
    results, seconds = {}, {}
    began = time.monotonic()
    results["torchvision v2 recipe"] = train_torchvision(config, recipe.name)
    seconds["torchvision v2 recipe"] = time.monotonic() - began
    began = time.monotonic()
    results["Foveal"] = train(recipe, overrides, name=f"{recipe.stem}_against_torchvision").metrics
    seconds["Foveal"] = time.monotonic() - began
    table = Table(
        "",
        "AP",
        "AP50",
        "AP75",
        "AR100",
        "seconds",
        title=f"{recipe.name}: {config.training.max_steps} steps",
    )
    for name, metrics in results.items():
        numbers = [f"{metrics[key]:.3f}" for key in ("AP", "AP50", "AP75", "AR100")]
        table.add_row(name, *numbers, f"{seconds[name]:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
