"""The detector: pixels in, normalised once; memory layout; what is saved."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foveal.models.detector import Detector

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Recorder(nn.Module):
    """A backbone that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> list[Tensor]:
        self.seen.append(x)
        return [self.conv(x)]


def make() -> tuple[Detector, Recorder]:
    recorder = Recorder()
    return Detector(recorder, nn.Identity(), nn.Identity(), [8], MEAN, STD), recorder


def test_pixels_are_normalised_per_channel() -> None:
    detector, recorder = make()
    images = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    detector(images)
    expected = (images / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(recorder.seen[0], expected, rtol=1e-5, atol=1e-5)


def test_the_network_sees_channels_last_and_the_callers_tensor_is_untouched() -> None:
    detector, recorder = make()
    images = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    copy = images.clone()
    detector(images)
    assert recorder.seen[0].is_contiguous(memory_format=torch.channels_last)
    assert recorder.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, copy)


def test_layout_of_the_input_does_not_matter() -> None:
    detector, _ = make()
    images = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    plain = detector(images)[0]
    assert torch.equal(plain, detector(images.contiguous(memory_format=torch.channels_last))[0])


def test_the_numbers_follow_the_precision_of_the_model() -> None:
    detector, recorder = make()
    detector.double()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    assert recorder.seen[0].dtype == torch.float64


def test_mean_and_std_travel_with_the_weights_but_are_not_trained() -> None:
    detector, _ = make()
    weights = {"backbone.conv.weight", "backbone.conv.bias"}
    assert {name for name, _ in detector.named_parameters()} == weights
    assert set(detector.state_dict()) == weights | {"mean", "scale"}
    assert detector.strides == (8,)


def test_channels_in_the_backbones_order() -> None:
    """detectron2's: BGR less a mean, in 0..255."""
    recorder = Recorder()
    mean, std = (103.53, 116.28, 123.675), (1.0, 1.0, 1.0)
    units = [[value / 255 for value in values] for values in (mean, std)]
    detector = Detector(recorder, nn.Identity(), nn.Identity(), [8], *units, order="bgr")
    images = torch.randint(0, 256, (2, 3, 32, 64), dtype=torch.uint8)
    detector(images)
    expected = images.flip(1).float() - torch.tensor(mean)[:, None, None]
    torch.testing.assert_close(recorder.seen[0], expected, rtol=1e-5, atol=1e-4)
    assert recorder.seen[0].is_contiguous(memory_format=torch.channels_last)
