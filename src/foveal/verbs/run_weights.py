"""The weights of a run: what is written with them, and what is taken over from another's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from foveal.build import build_tiling
from foveal.checkpoint.format import load_checkpoint, save_checkpoint
from foveal.checkpoint.header import CheckpointHeader
from foveal.checkpoint.transfer import carry_over
from foveal.config.load import data_of
from foveal.config.schema import Config
from foveal.errors import ModelFileError
from foveal.models.detector import Detector
from foveal.ops.letterbox import size_policy
from foveal.runtime.tiling import tiling_policy
from foveal.types import ClassNames
from foveal.verbs.evaluate import Evaluation


def weights_writer(
    settings: Config, classes: ClassNames
) -> Callable[[Path, Mapping[str, Tensor], dict[str, Any]], None]:
    """A function that writes a model's weights as a checkpoint with everything needed to use them."""
    return partial(_save, settings, classes)


def _save(
    settings: Config, classes: ClassNames, path: Path, state: Mapping[str, Tensor], facts: dict[str, Any]
) -> None:
    data = data_of(settings)
    policy = size_policy(*data.image_size) | tiling_policy(build_tiling(data.tiles))
    header = CheckpointHeader(settings.model_dump(mode="json"), classes, policy, facts=facts)
    save_checkpoint(path, state, header)


def store_thresholds(file: Path, best: Evaluation) -> None:
    """Write each class's best-F1 threshold into the checkpoint; ``predict`` goes by them."""
    assert best.analysis is not None
    header, state = load_checkpoint(file)
    save_checkpoint(file, state, replace(header, thresholds=best.analysis.thresholds.values))


def take_over(detector: Detector, start_from: Path, classes: ClassNames) -> str:
    """Fine-tuning: weights from a checkpoint; the report of what was reused."""
    source = load_checkpoint(start_from)
    num_anchors = detector.head.num_anchors
    assert isinstance(num_anchors, int)
    transfer = carry_over(source.state, source.header.classes, detector.state_dict(), classes, num_anchors)
    report = transfer.report
    # A few small layers fit any network; going on would train the rest from random weights.
    if len(report.matched) < len(report.missing):
        raise ModelFileError(
            f"{start_from}: of another network ({report.summary()}); use its model.architecture"
        )
    detector.load_state_dict(transfer.state)
    return report.summary()
