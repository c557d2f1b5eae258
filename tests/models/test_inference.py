"""The inference model: detector, decoder and NMS joined, with their settings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foveal.models.inference import InferenceModel
from foveal.ops.nms import suppress
from foveal.types import Candidates


class FixedDetector(nn.Module):
    """Gives three boxes of two classes, the same for every picture."""

    def forward(self, images: Tensor) -> Candidates:
        boxes = torch.tensor([[0.0, 0, 20, 20], [1.0, 1, 21, 21], [0.0, 0, 20, 20]])
        scores, labels = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1])
        return Candidates(*(x.expand(len(images), *x.shape) for x in (boxes, scores, labels)))


class Clip:
    """A decoder that notes the canvas."""

    def __init__(self) -> None:
        self.canvas: tuple[int, int] | None = None

    def __call__(self, outputs: Candidates, image_size: tuple[int, int]) -> Candidates:
        self.canvas = image_size
        return outputs


def test_the_decoder_is_given_height_and_width_of_the_canvas() -> None:
    decoder = Clip()
    InferenceModel(FixedDetector(), decoder)(torch.zeros(1, 3, 32, 96, dtype=torch.uint8))
    assert decoder.canvas == (32, 96)


def test_settings_reach_nms() -> None:
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)

    def labels(**settings: float) -> list[int]:
        found = InferenceModel(FixedDetector(), Clip(), **settings)(images)  # type: ignore[arg-type]
        assert found.count[0] == found.count[1]
        return found.labels[0, : int(found.count[0])].tolist()

    assert labels() == [0, 1]
    assert labels(nms_thresh=0.99) == [0, 0, 1]
    assert labels(class_agnostic=True) == [0]
    assert labels(detections_per_img=1) == [0]


def test_postprocess_alone_is_the_second_half_of_forward() -> None:
    model = InferenceModel(FixedDetector(), Clip())
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    halves = model.postprocess(model.detector(images), (32, 32))
    for whole, half, plain in zip(model(images), halves, suppress(model.detector(images)), strict=True):
        assert torch.equal(whole, half)
        assert torch.equal(whole, plain)


def test_nothing_but_the_detector_is_saved() -> None:
    model = InferenceModel(nn.Linear(2, 2), Clip())
    assert set(model.state_dict()) == {"detector.weight", "detector.bias"}
