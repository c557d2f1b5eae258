"""A model, a criterion and loaders small enough to train in a second."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from foveal.types import Batch, BatchDetections, Letterbox, LossOutput, Target


class TinyModel(nn.Module):
    """uint8 pictures -> one number each. Has a backbone, BatchNorm, and dropout that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(4, 1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images.float() / 255).mean((2, 3))
        return self.head(self.drop(features))


def criterion(outputs: Tensor, targets: Any) -> LossOutput:
    """Regress the number of boxes: two losses and a stat."""
    wanted = torch.stack([target.labels.float().sum() for target in targets]).to(outputs.device)
    error = outputs.float().squeeze(1) - wanted
    return LossOutput(
        {"square": error.square().mean(), "absolute": error.abs().mean() * 0.1},
        {"positives": torch.tensor(2.0), "positives_per_level": torch.tensor([1.0, 0.5])},
    )


def postprocess(outputs: Tensor, size: tuple[int, int]) -> BatchDetections:
    """One detection a picture, its score the output."""
    count = len(outputs)
    return BatchDetections(
        torch.zeros(count, 1, 4),
        outputs.float(),
        torch.zeros(count, 1, dtype=torch.int64),
        torch.ones(count, dtype=torch.int64),
    )


class MeanEvaluator:
    """AP is 1 / (1 + mean absolute error), so that learning raises it."""

    def __init__(self, scores: list[float] | None = None) -> None:
        self.scores = scores
        self.calls = 0
        self.pictures: list[int] = []

    def reset(self) -> None:
        self.errors: list[float] = []
        self.pictures = []

    def update(self, detections: BatchDetections, batch: Batch) -> None:
        self.pictures += batch.image_ids
        for score, target in zip(detections.scores[:, 0].tolist(), batch.targets, strict=True):
            self.errors.append(abs(score - float(target.labels.sum())))

    def compute(self) -> Mapping[str, float | None]:
        self.calls += 1
        if self.scores is not None:
            return {"AP": self.scores[min(self.calls, len(self.scores)) - 1], "AP50": None}
        return {"AP": 1 / (1 + sum(self.errors) / len(self.errors)), "AP50": None}


class Pictures(torch.utils.data.Dataset[Any]):
    """Pictures whose brightness says how many boxes they have."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Target, int]:
        generator = torch.Generator().manual_seed(index)
        boxes = index % 3
        image = torch.randint(0, 60, (3, 8, 8), generator=generator, dtype=torch.uint8) + boxes * 60
        labels = torch.ones(boxes, dtype=torch.int64)
        return image, Target(torch.zeros(boxes, 4), labels, torch.zeros(boxes, dtype=torch.bool)), index


def collate(items: list[tuple[Tensor, Target, int]]) -> Batch:
    images, targets, ids = zip(*items, strict=True)
    letterbox = Letterbox(1.0, 1.0, 0.0, 0.0, 8, 8)
    return Batch(torch.stack(images), tuple(targets), tuple(ids), (letterbox,) * len(ids))


def make_loader(
    count: int = 26, batch_size: int = 4, shuffle: bool = True, workers: int = 0
) -> DataLoader[Any]:
    return DataLoader(Pictures(count), batch_size, shuffle=shuffle, collate_fn=collate, num_workers=workers)


def save_weights(file: Path, state: Mapping[str, Tensor], facts: dict[str, Any]) -> None:
    tensors = {name: value.contiguous() for name, value in state.items()}
    safetensors.torch.save_file(tensors, file, {"facts": json.dumps(facts)})


def load_weights(file: Path) -> dict[str, Any]:
    with safetensors.safe_open(file, framework="pt") as opened:
        facts = json.loads(opened.metadata()["facts"])
    return {"state": safetensors.torch.load_file(file), "facts": facts}


class OrderedBatches:
    """Batch sampler that is resumable, as the data package's is."""

    def __init__(self, count: int, batch_size: int) -> None:
        self.count, self.batch_size, self.epoch, self.next_batch = count, batch_size, 0, 0

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Any:
        generator = torch.Generator().manual_seed(self.epoch)
        order = torch.randperm(self.count, generator=generator).tolist()
        starts = range(self.next_batch * self.batch_size, self.count, self.batch_size)
        return iter([order[start : start + self.batch_size] for start in starts])

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "epoch": self.epoch, "next_batch": self.next_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.next_batch = state["epoch"], state["next_batch"]


class CountingPictures(Pictures):
    """Counts how many pictures were loaded."""

    loaded = 0

    def __getitem__(self, index: int) -> tuple[Tensor, Target, int]:
        self.loaded += 1
        return super().__getitem__(index)


def sampled_loader(count: int = 26, batch_size: int = 4) -> DataLoader[Any]:
    return DataLoader(
        CountingPictures(count), batch_sampler=OrderedBatches(count, batch_size), collate_fn=collate
    )


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """This file's parts: tests are not packages, so they cannot import them."""
    return sys.modules[__name__]
