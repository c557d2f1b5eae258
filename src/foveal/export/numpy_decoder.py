"""Detections from the outputs of a model exported with ``foveal export --raw``, in numpy alone.

This file stands by itself: copy it anywhere. What it needs to know is in the model's metadata:

    import json, onnxruntime
    session = onnxruntime.InferenceSession("model.onnx")
    header = json.loads(session.get_modelmeta().custom_metadata_map["foveal"])
    raw = header["facts"]["export"]["raw"]
    outputs = session.run(raw["outputs"], {"images": images})  # [B, 3, H, W] uint8, on the canvas
    for boxes, scores, labels in decode(outputs, raw, images.shape[2], images.shape[3]):
        ...  # boxes [D, 4] in pixels of the canvas; header["classes"]["names"][label]

How a picture comes onto the canvas is in ``header["size_policy"]``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
MAX_LOG_RATIO = np.float32(math.log(1000 / 16))


def decode(
    outputs: Sequence[Array], raw: Mapping[str, Any], height: int, width: int
) -> list[tuple[Array, Array, Array]]:
    """Boxes [D, 4] (x1, y1, x2, y2), scores [D] and labels [D] of every picture, best first.

    outputs: in the order of ``raw["outputs"]``: logits [B, n, K] of every level, then deltas [B, n, 4] of each.
    """
    levels = len(outputs) // 2
    anchors = anchors_of(raw, height, width)
    found = []
    for i in range(len(outputs[0])):
        picks = [
            _candidates(outputs[level][i], outputs[levels + level][i], anchors[level], raw)
            for level in range(levels)
        ]
        boxes, scores, labels = (np.concatenate(column) for column in zip(*picks, strict=True))
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
        kept = _suppress(boxes, scores, labels, raw)
        found.append((boxes[kept], scores[kept], labels[kept]))
    return found


def anchors_of(raw: Mapping[str, Any], height: int, width: int) -> list[Array]:
    """Anchors [n, 4] of every level, row by row of cells, for a canvas of this size."""
    levels = raw["levels"]
    grids = [(-(-height // level["stride"]), -(-width // level["stride"])) for level in levels]
    canvas = [cells * levels[0]["stride"] for cells in grids[0]]
    anchors = []
    for level, (rows, columns) in zip(levels, grids, strict=True):
        step_y = step_x = level["stride"]
        if raw["step"] != "stride":
            sides = canvas if raw["step"] == "canvas" else [raw["step"]] * 2
            step_y, step_x = max(1, sides[0] // rows), max(1, sides[1] // columns)
        y = (np.arange(rows, dtype=np.float32) + np.float32(raw["offset"])) * step_y
        x = (np.arange(columns, dtype=np.float32) + np.float32(raw["offset"])) * step_x
        shift_y, shift_x = np.meshgrid(y, x, indexing="ij")
        shift = np.stack([shift_x, shift_y, shift_x, shift_y], axis=-1)
        cell = np.array(level["cell"], dtype=np.float32)
        anchors.append((shift[:, :, None] + cell).reshape(-1, 4))
    return anchors


def _candidates(
    logits: Array, deltas: Array, anchors: Array, raw: Mapping[str, Any]
) -> tuple[Array, Array, Array]:
    """The best (anchor, class) pairs of one level of one picture over the threshold."""
    thresh = raw["score_thresh"]
    least = -math.inf if thresh <= 0 else math.log(thresh / (1 - thresh)) if thresh < 1 else math.inf
    flat = logits.ravel()
    places = np.flatnonzero(flat > np.float32(least))
    places = places[np.argsort(-flat[places], kind="stable")][: raw["topk_candidates"]]
    rows = places // logits.shape[1]
    scores = (1 / (1 + np.exp(-flat[places].astype(np.float64)))).astype(np.float32)
    return _boxes(deltas[rows], anchors[rows], raw["box_coder"]), scores, places % logits.shape[1]


def _boxes(deltas: Array, anchors: Array, coder: Mapping[str, Any]) -> Array:
    sides = anchors[:, 2:] - anchors[:, :2]
    if coder["name"] == "corners":
        corners: Array = anchors + deltas * (np.tile(sides, 2) * np.float32(coder["std"]))
        return corners
    deltas = deltas / np.array(coder["weights"], dtype=np.float32)
    centre = deltas[:, :2] * sides + anchors[:, :2] + sides / 2
    half = np.exp(np.minimum(deltas[:, 2:], MAX_LOG_RATIO)) * sides / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _suppress(boxes: Array, scores: Array, labels: Array, raw: Mapping[str, Any]) -> list[int]:
    """Places of the detections: best first, without what overlaps a better one of its class too much."""
    order = np.argsort(-scores, kind="stable")
    exact = boxes.astype(np.float64)
    area = (exact[:, 2] - exact[:, 0]) * (exact[:, 3] - exact[:, 1])
    most = raw["detections_per_img"] or len(order)
    kept: list[int] = []
    while len(order) and len(kept) < most:
        best, order = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(exact[best, :2], exact[order, :2])
        high = np.minimum(exact[best, 2:], exact[order, 2:])
        shared = (high - low).clip(0).prod(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):  # boxes cut to nothing at the border
            over = shared / (area[best] + area[order] - shared) > raw["nms_thresh"]
        if not raw["class_agnostic"]:
            over &= labels[order] == labels[best]
        order = order[~over]
    return kept
