"""What the gate says of two sides: equal, near a threshold, different, and at which stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foveal.checkpoint.format import load_checkpoint
from foveal.export.graph import RawGraph
from foveal.export.parity import BATCHES, NothingFoundError, canvases, compare_runs, limits_of
from foveal.export.raw import decoded_by_script, raw_facts
from foveal.export.stages import STAGES, StageGraph, find_drift, first_drift
from foveal.export.torch_file import kept_by_torchvision
from foveal.metrics.agreement import TRAINED
from foveal.models.inference import InferenceModel
from foveal.ops.nms import kept_by_nms
from foveal.runtime.calibration import some_images
from foveal.runtime.model_file import canvas_of, load_inference, model_of
from foveal.types import BatchDetections


@pytest.fixture(scope="module")
def plain(trained: Any) -> InferenceModel:
    return load_inference(load_checkpoint(trained.best), trained.best)


@pytest.fixture(scope="module")
def limits(trained: Any) -> Any:
    return limits_of(model_of(load_checkpoint(trained.best).header, trained.best).postprocessor.params)


@pytest.fixture(scope="module")
def images(trained: Any) -> list[Tensor]:
    header = load_checkpoint(trained.best).header
    paths = sorted((trained.data / "images").iterdir())
    return list(some_images(paths, canvas_of(header), None, 5))


def run(model: nn.Module, change: Callable[[BatchDetections], BatchDetections] | None = None) -> Any:
    """A model as one of two sides, its detections changed."""

    @torch.inference_mode()
    def detect(pictures: Tensor) -> BatchDetections:
        found: BatchDetections = model(pictures)
        return found if change is None else change(found)

    return detect


def test_a_side_agrees_with_itself(plain: InferenceModel, images: list[Tensor], limits: Any) -> None:
    rows = list(compare_runs(run(plain), run(plain), images, limits, TRAINED))
    assert [row.batch for row in rows] == list(BATCHES)
    for row in rows:
        assert row.pictures == 5
        assert row.agreement.pairs > 15
        assert row.agreement.different == 0
        assert row.agreement.pixels < 1e-3


def moved(found: BatchDetections) -> BatchDetections:
    return found._replace(boxes=found.boxes + 0.01)


def without_the_best(found: BatchDetections) -> BatchDetections:
    return BatchDetections(
        found.boxes[:, 1:], found.scores[:, 1:], found.labels[:, 1:], (found.count - 1).clamp(min=0)
    )


def not_a_number(found: BatchDetections) -> BatchDetections:
    return found._replace(scores=found.scores * float("nan"))


@pytest.mark.parametrize("change", [moved, without_the_best, not_a_number])
def test_what_differs_is_counted(
    plain: InferenceModel, images: list[Tensor], limits: Any, change: Any
) -> None:
    first = next(compare_runs(run(plain), run(plain, change), images, limits, TRAINED))
    assert first.agreement.different >= 3


def test_the_worst_batch_is_named(plain: InferenceModel, images: list[Tensor], limits: Any) -> None:
    def second_of_three(pictures: Tensor) -> BatchDetections:
        found: BatchDetections = plain(pictures)
        if len(pictures) == 3:
            found.boxes[1] += 1
        return found

    with torch.inference_mode():
        whole = {row.batch: row for row in compare_runs(run(plain), second_of_three, images, limits, TRAINED)}
    assert whole[3].agreement.different > 0
    assert whole[3].worst == slice(0, 3)
    assert whole[8].agreement.different == 0


def test_the_worst_picture_is_named(plain: InferenceModel, images: list[Tensor], limits: Any) -> None:
    def third(pictures: Tensor) -> BatchDetections:
        found: BatchDetections = plain(pictures)
        return moved(found) if torch.equal(pictures, images[2]) else found

    with torch.inference_mode():
        assert next(compare_runs(run(plain), third, images, limits, TRAINED)).worst == slice(2, 3)


def test_nothing_on_both_sides_is_no_comparison(images: list[Tensor], limits: Any) -> None:
    def blind(pictures: Tensor) -> BatchDetections:
        size = len(pictures)
        empty = torch.zeros(size, 4)
        return BatchDetections(torch.zeros(size, 4, 4), empty, empty.long(), torch.zeros(size).long())

    with pytest.raises(NothingFoundError, match="no detection on either side"):
        list(compare_runs(blind, blind, images, limits, TRAINED))


@pytest.mark.parametrize(
    ("own", "other"),
    [((320, 416), (256, 320)), ((800, 1344), (608, 1024)), ((64, 64), (64, 96)), ((32, 64), (64, 64))],
)
def test_two_canvases(own: tuple[int, int], other: tuple[int, int]) -> None:
    assert canvases(own) == (own, other)


# ---------------------------------------------------------------- stages


@pytest.mark.parametrize("stage", STAGES)
def test_the_first_stage_that_drifts(
    plain: InferenceModel, images: list[Tensor], limits: Any, stage: str
) -> None:
    """A graph whose outputs are torch's but for those of one stage, and of what comes after it."""
    graph = StageGraph(plain)
    start = sum(graph.counts[: STAGES.index(stage)])

    def drifting(pictures: Tensor) -> list[Tensor]:
        outputs = list(graph(pictures))
        return outputs[:start] + [x * 1.01 if x.is_floating_point() else x for x in outputs[start:]]

    found = find_drift(graph, drifting, images[1], limits)
    assert [one.stage for one in found] == list(STAGES)
    assert [one.drifts for one in found].index(True) == STAGES.index(stage)
    assert f"the first stage that drifts is the {stage} (" in first_drift(found)


def test_no_stage_drifts(plain: InferenceModel, images: list[Tensor], limits: Any) -> None:
    graph = StageGraph(plain)
    found = find_drift(graph, lambda x: list(graph(x)), images[1], limits)
    assert not any(one.drifts for one in found)
    assert first_drift(found).startswith(
        "no stage drifts by itself (backbone 0.0e+00 of its largest value, neck"
    )


def test_what_is_no_number_drifts(plain: InferenceModel, images: list[Tensor], limits: Any) -> None:
    graph = StageGraph(plain)

    def broken(pictures: Tensor) -> list[Tensor]:
        outputs = list(graph(pictures))
        outputs[1] = outputs[1] * float("nan")
        return outputs

    assert find_drift(graph, broken, images[1], limits)[0].drifts


def test_every_output_of_the_stages_has_a_name(plain: InferenceModel, images: list[Tensor]) -> None:
    graph = StageGraph(plain)
    with torch.inference_mode():
        assert len(graph(images[0])) == len(graph.output_names) == len(set(graph.output_names))


# ---------------------------------------------------------------- the numpy decoder


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_agnostic": True},
        {"detections_per_img": None},
        {"detections_per_img": 3},
        {"nms_thresh": 0.1},
    ],
    ids=str,
)
def test_the_script_gives_our_detections(
    plain: InferenceModel, images: list[Tensor], limits: Any, changes: dict[str, Any]
) -> None:
    model = InferenceModel(
        plain.detector,
        plain.decoder,
        **{
            "nms_thresh": plain.nms_thresh,
            "class_agnostic": plain.class_agnostic,
            "detections_per_img": plain.detections_per_img,
            **changes,
        },
    ).eval()
    graph = RawGraph(model)
    script = decoded_by_script(torch.inference_mode()(lambda x: list(graph(x))), raw_facts(graph))
    limits = limits._replace(nms_thresh=model.nms_thresh, most=model.detections_per_img or 1 << 62)
    rows = list(compare_runs(run(model), script, images, limits, TRAINED))
    assert all(row.agreement.different == 0 for row in rows)
    assert all(row.agreement.pairs >= 10 for row in rows)


@pytest.mark.parametrize(("topk", "thresh"), [(20, 0.05), (None, 0.05), (5, 0.0), (1000, 1.0)])
def test_the_script_picks_as_our_decoder(
    plain: InferenceModel, images: list[Tensor], limits: Any, topk: int | None, thresh: float
) -> None:
    from foveal.heads.anchor_decoupled import AnchorDecoder

    model = InferenceModel(plain.detector, AnchorDecoder(topk, thresh), 0.5, False, 100).eval()
    graph = RawGraph(model)
    with torch.inference_mode():
        expected = model(images[1])
        found = decoded_by_script(lambda x: list(graph(x)), raw_facts(graph))(images[1])
    count = int(expected.count[0])
    assert found.count.tolist() == [count]
    torch.testing.assert_close(found.scores[0, :count], expected.scores[0, :count], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.boxes[0, :count], expected.boxes[0, :count], rtol=0, atol=1e-3)


# ---------------------------------------------------------------- torchvision's NMS inside a graph


@pytest.mark.parametrize("seed", range(4))
def test_one_call_for_the_whole_batch_keeps_the_same(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(3, 200, 2, generator=generator) * 100
    boxes = torch.cat([corner, corner + 5 + torch.rand(3, 200, 2, generator=generator) * 60], dim=2)
    scores = torch.rand(3, 200, generator=generator)
    scores[:, 150:] = 0
    scores[1] = 0  # a picture without a candidate
    scores[2, :20] = 0.5  # ties
    groups = torch.randint(0, 3, (3, 200), generator=generator)
    kept = kept_by_torchvision(boxes, scores, groups, 0.4)
    assert torch.equal(kept, kept_by_nms(boxes, scores, groups, 0.4))
    assert not kept[1].any()
    assert kept[0].sum() > 10
