"""What makes detections of a head's outputs: said in the metadata, done by a script beside the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foveal.export import numpy_decoder
from foveal.export.graph import RawGraph
from foveal.heads.anchor_decoupled import AnchorDecoder
from foveal.ops.box_coder import CentreCoder, CornerCoder
from foveal.runtime.exported import Detect
from foveal.types import BatchDetections


def raw_facts(graph: RawGraph) -> dict[str, Any]:
    """For the header: all that ``numpy_decoder`` needs, in JSON's types."""
    head, model = graph.head, graph.model
    decoder = model.decoder
    assert isinstance(decoder, AnchorDecoder)
    return {
        "outputs": graph.output_names,
        "levels": [
            {"stride": stride, "cell": head.get_buffer(f"cell_{level}").tolist()}
            for level, stride in enumerate(head.strides)
        ],
        "offset": head.anchor_rule.offset,
        "step": head.anchor_rule.step,
        "box_coder": _coder_facts(decoder),
        "topk_candidates": decoder.topk_candidates,
        "score_thresh": decoder.score_thresh,
        "nms_thresh": model.nms_thresh,
        "class_agnostic": model.class_agnostic,
        "detections_per_img": model.detections_per_img,
    }


def _coder_facts(decoder: AnchorDecoder) -> dict[str, Any]:
    coder = decoder.coder
    if isinstance(coder, CornerCoder):
        return {"name": "corners", "std": coder.std}
    assert isinstance(coder, CentreCoder)
    return {"name": "centre", "weights": list(coder.weights)}


def decoder_script() -> str:
    """The text of the script."""
    return Path(numpy_decoder.__file__).read_text(encoding="utf-8")


def decoded_by_script(run: Callable[[Tensor], Sequence[Tensor]], raw: dict[str, Any]) -> Detect:
    """A raw graph with the script behind it. run: pictures -> the graph's outputs, in order."""

    def detect(images: Tensor) -> BatchDetections:
        outputs = [output.numpy() for output in run(images.contiguous())]
        lists = numpy_decoder.decode(outputs, raw, images.shape[2], images.shape[3])
        most = max(len(scores) for _, scores, _ in lists)
        found = BatchDetections(
            torch.zeros(len(lists), most, 4),
            torch.zeros(len(lists), most),
            torch.zeros(len(lists), most, dtype=torch.int64),
            torch.tensor([len(scores) for _, scores, _ in lists]),
        )
        for i, columns in enumerate(lists):
            for column, values in zip(found[:3], columns, strict=True):
                column[i, : len(values)] = torch.from_numpy(values)
        return found

    return detect
