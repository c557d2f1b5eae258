"""Where an exported graph leaves the path of torch: every stage's output beside torch's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from foveal.export.graph import DetectionGraph
from foveal.metrics.agreement import TRAINED, Found, Limits, compare_all
from foveal.runtime.graph import Run
from foveal.types import BatchDetections, Candidates

DRIFT = 1e-4
"""Difference of a map, as a share of its largest value, that float arithmetic in another order does not make."""
MAPS = ("backbone", "neck", "class logits", "deltas")
LISTS = ("decoded candidates", "NMS")
STAGES = (*MAPS, *LISTS)


class StageGraph(DetectionGraph):
    """Gives what every stage gives, in the order of ``STAGES``."""

    @property
    def counts(self) -> list[int]:
        """How many tensors each stage gives."""
        maps, levels = len(self.detector.neck.lateral), len(self.head.strides)  # type: ignore[arg-type]
        return [maps, levels, levels, levels, 3, 4]

    @property
    def output_names(self) -> list[str]:
        """Stage and place."""
        return [
            f"{stage} {place}".replace(" ", "_")
            for stage, count in zip(STAGES, self.counts, strict=True)
            for place in range(count)
        ]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """images: as for ``DetectionGraph``."""
        detector, model = self.detector, self.model
        maps = detector.backbone(detector.normalise(images))
        pyramid = detector.neck(maps)
        outputs: Any = self.head(pyramid)
        candidates = model.decoder(outputs, (images.shape[2], images.shape[3]))
        found = model.suppress(candidates)
        # Copies: a tensor that is given out as it came in has no name of its own in a graph.
        return tuple(
            x.clone()
            for x in (*maps, *pyramid, *outputs.cls_logits, *outputs.bbox_deltas, *candidates, *found)
        )


class Drift(NamedTuple):
    """How far a stage is from torch's."""

    stage: str
    difference: float
    """Of maps the largest, as a share of the map's largest value; of boxes in pixels."""
    drifts: bool


@torch.inference_mode()
def find_drift(graph: StageGraph, run: Run, images: Tensor, limits: Limits) -> list[Drift]:
    """Every stage of a graph beside torch. run: the same graph, exported. images: as for ``DetectionGraph``."""
    ours, theirs = graph(images), run(images)
    found, start = [], 0
    for stage, count in zip(STAGES, graph.counts, strict=True):
        part = slice(start, start + count)
        start += count
        measure = _of_maps if stage in MAPS else _of_lists
        found.append(Drift(stage, *measure(ours[part], theirs[part], limits)))
    return found


def _of_maps(ours: Sequence[Tensor], theirs: Sequence[Tensor], limits: Limits) -> tuple[float, bool]:
    shares = [
        float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)) for a, b in zip(ours, theirs, strict=True)
    ]
    drifting = [share for share in shares if not share <= DRIFT]  # so that what is no number drifts
    return max(drifting or shares), bool(drifting)


def _of_lists(ours: Sequence[Tensor], theirs: Sequence[Tensor], limits: Limits) -> tuple[float, bool]:
    pairs = [
        (_picture(ours, i, limits.score_thresh), _picture(theirs, i, limits.score_thresh))
        for i in range(len(ours[0]))
    ]
    try:
        agreement = compare_all(pairs, TRAINED, limits)
    except ValueError:
        return 0.0, False
    return agreement.pixels, agreement.different > 0


def _picture(part: Sequence[Tensor], i: int, score_thresh: float) -> Found:
    """Candidates or detections of one picture, without the empty places."""
    fields = Candidates(*part) if len(part) == 3 else BatchDetections(*part)
    real = fields.scores[i] > 0
    return Found(fields.boxes[i][real], fields.scores[i][real], fields.labels[i][real])


def first_drift(stages: Sequence[Drift]) -> str:
    """One sentence: the first stage that is off, or how far every one is where none is off by itself."""
    for one in stages:
        if one.drifts:
            return f"the first stage that drifts is the {one.stage} ({_size(one)} off)"
    every = ", ".join(f"{one.stage} {_size(one)}" for one in stages)
    return f"no stage drifts by itself ({every})"


def _size(one: Drift) -> str:
    return f"{one.difference:.1e}{' px' if one.stage in LISTS else ' of its largest value'}"
