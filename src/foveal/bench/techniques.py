"""Row: what each technique of inference brings, alone: our prediction beside the same one without it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from foveal.bench.case import Absent, Case, Setup
from foveal.bench.prediction import QUICK_SIZE, SIZE, SPARSE, difference, limits_of, predict
from foveal.bench.twins import make_foveal, make_picture, make_torchvision
from foveal.models.detector import Detector
from foveal.models.folding import fold_batch_norm
from foveal.models.inference import InferenceModel
from foveal.runtime.backends import accelerate, missing_packages
from foveal.runtime.backends_torch import TorchBranches
from foveal.runtime.lazy_model import LazyModel
from foveal.types import Array, BatchDetections


class Technique(NamedTuple):
    """Our prediction with and without something."""

    name: str
    without: str
    ours: nn.Module
    baseline: nn.Module
    picture: Array
    precision: str = "fp32"


def cases(setup: Setup) -> Iterator[Case | Absent]:
    """Each technique of ``accelerate``, on a picture full of candidates unless its name says otherwise."""
    height, width = QUICK_SIZE if setup.quick else SIZE
    full, few = make_picture(height, width), make_picture(height, width, SPARSE)
    theirs = make_torchvision(full)
    device = torch.device(setup.device)
    for technique in techniques(make_foveal(theirs), make_foveal(theirs, "trained"), full, few, device):
        if isinstance(technique, Absent):
            yield technique
            continue
        yield Case(
            f"prediction {height} x {width}: {technique.name}",
            f"Foveal, {technique.without}",
            partial(predict, technique.ours, technique.picture, device),
            partial(predict, technique.baseline, technique.picture, device),
            partial(_difference, partial(difference, limits_of(theirs), technique.precision)),
            target=None,
            torch_memory="openvino" not in technique.name,
            rounds=5,
        )


def techniques(
    model: InferenceModel, with_norms: InferenceModel, full: Array, few: Array, device: torch.device
) -> Iterator[Technique | Absent]:
    """with_norms: the same model with batch norms of its own, as they are before they are frozen."""
    ours = accelerate(model, device=device)
    yield Technique("batch norm folded", "norms apart", ours, _norms_apart(with_norms).to(device), full)
    yield Technique("channels_last", "NCHW", ours, _in_nchw(model).to(device), full)
    every_box = _every_box(model).to(device)
    yield Technique("box subnet only where a class passes", "everywhere", ours, every_box, full)
    yield Technique("the same, few candidates", "everywhere", ours, every_box, few)
    yield Technique("torch bf16", "fp32", accelerate(model, "torch", "bf16", device), ours, full, "bf16")
    if device.type != "cpu":
        return
    missing = missing_packages("openvino", "fp32")
    if missing:
        yield Absent("openvino", f"no {', '.join(missing)}: pip install 'foveal[export]'")
    else:
        yield Technique("openvino fp32", "torch fp32", accelerate(model, "openvino"), ours, full)


class PlainLayout(Detector):
    """A detector whose maps lie channel by channel."""

    def normalise(self, images: Tensor) -> Tensor:
        """As ``Detector``, in NCHW."""
        return super().normalise(images).contiguous()


def _norms_apart(model: InferenceModel) -> LazyModel:
    """What ``accelerate`` makes, with the norms where they are."""
    assert isinstance(model.detector, Detector)
    return _lazy(model, deepcopy(model.detector))


def _in_nchw(model: InferenceModel) -> LazyModel:
    """What ``accelerate`` makes, in another layout."""
    detector = _folded(model).to(memory_format=torch.contiguous_format)
    detector.__class__ = PlainLayout
    return _lazy(model, detector)


def _lazy(model: InferenceModel, detector: Detector) -> LazyModel:
    branches = TorchBranches(detector, "fp32")
    return LazyModel(model, branches.head, branches).eval()


def _every_box(model: InferenceModel) -> InferenceModel:
    """The whole head on the whole picture, then decoding."""
    copy = deepcopy(model)
    copy.detector = _folded(model)
    return copy.eval()


def _folded(model: InferenceModel) -> Detector:
    assert isinstance(model.detector, Detector)
    return fold_batch_norm(model.detector, torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def _difference(compare: partial[str], ours: BatchDetections, baseline: BatchDetections) -> str:
    count = int(baseline.count[0])
    columns = {name: getattr(baseline, name)[0, :count] for name in ("boxes", "scores", "labels")}
    return compare(ours, columns)
