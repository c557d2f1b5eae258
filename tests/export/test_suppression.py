"""NMS inside a graph keeps what ours keeps, in every program, also where there is nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foveal.ops.nms import suppress
from foveal.runtime.onnx_writing import write_onnx
from foveal.types import BatchDetections, Candidates

SETTINGS = [(0.5, False, 100), (0.3, True, None)]
"""IoU threshold, class_agnostic, detections_per_img; 100 are more than some pictures have candidates."""


class Suppression(nn.Module):
    """NMS alone. Its input: [B, C, 6], a candidate's box, score and class."""

    def __init__(self, settings: tuple[float, bool, int | None]) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """As ``BatchDetections``."""
        boxes = torch.stack([x[..., side] for side in range(4)], dim=-1)
        return tuple(suppress(Candidates(boxes, x[..., 4], x[..., 5].long()), *self.settings))


def candidates(batch: int, count: int, classes: int, share: float = 1.0) -> Tensor:
    """At random; a share of them with a score, the others empty places."""
    generator = torch.Generator().manual_seed(count)

    def random(columns: int) -> Tensor:
        return torch.rand(batch, count, columns, generator=generator)

    corner = random(2) * 100
    scores = torch.where(random(1) <= share, 0.01 + random(1), 0.0)
    labels = (random(1) * classes).floor()
    return torch.cat([corner, corner + 5 + random(2) * 60, scores, labels], dim=2)


def flat(count: int) -> Tensor:
    """Boxes cut to nothing at the border, all in one place."""
    one = candidates(1, count, 1)
    one[:, :, :4] = torch.tensor([100.0, 20.0, 100.0, 40.0])
    return one


CASES = {
    "80 classes": candidates(3, 400, 80),
    "one class": candidates(2, 60, 1),
    "half of the places empty": candidates(8, 90, 3, 0.5),
    "one picture with nothing": torch.cat([candidates(2, 40, 3), candidates(1, 40, 3, -1.0)]),
    "nothing at all": candidates(3, 30, 3, -1.0),
    "one candidate": candidates(1, 1, 1),
    "one empty place": candidates(1, 1, 1, -1.0),
    "boxes without an area": flat(9),
}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_graph_keeps_the_same(settings: tuple[float, bool, int | None]) -> None:
    pytest.importorskip("onnxruntime")
    from foveal.runtime.backends_onnxruntime import onnxruntime_run

    model = Suppression(settings)
    sizes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("places", min=1, max=100_000)}
    graph = write_onnx(model, candidates(2, 50, 3), sizes, ["x"])
    runs: dict[str, Any] = {"onnxruntime": onnxruntime_run(graph)}
    try:
        from foveal.runtime.backends_openvino import openvino_run

        runs["openvino"] = openvino_run(graph, "fp32")
    except ImportError:
        pass
    for name, case in CASES.items():
        expected = BatchDetections(*model(case))
        for program, run in runs.items():
            for found, wanted in zip(run(case), expected, strict=True):
                torch.testing.assert_close(
                    found, wanted, rtol=0, atol=0, check_dtype=False, msg=f"{name}, {program}"
                )
    assert int(model(CASES["80 classes"])[3].min()) > 20
