"""What anchors reach, against plain loops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from foveal.build import build_anchors, build_detector
from foveal.config.load import load_config
from foveal.config.schema import Config
from foveal.data.records import Records
from foveal.diagnosis.anchors.canvas_boxes import boxes_on_canvas, part_of
from foveal.diagnosis.anchors.check import check_anchors
from foveal.diagnosis.anchors.figures import by_class, by_size, section_lines
from foveal.diagnosis.anchors.findings import anchor_findings
from foveal.ops.letterbox import apply_boxes, fit_letterbox
from foveal.types import ClassNames

SHAPES = "{format: shapes, pictures: 4}"


def config(tmp_path: Path, model: str = "", size: str = "[96, 128]") -> Config:
    path = tmp_path / "c.yaml"
    head = "model: {architecture: {head: {params: {anchor_sizes: [[16, 20], [32, 40], [64, 80]]}}}}"
    path.write_text(f"data: {{train: {SHAPES}, image_size: {size}}}\n{model or head}\n")
    return load_config(path)


def records(pictures: int = 6, boxes: int = 7, seed: int = 0, least: float = 4, most: float = 90) -> Records:
    rng = np.random.default_rng(seed)
    widths, heights = rng.integers(80, 400, pictures), rng.integers(80, 400, pictures)
    corners = []
    for width, height in zip(widths, heights, strict=True):
        side = np.exp(rng.uniform(np.log(least), np.log(most), (boxes, 2)))
        side = np.minimum(side, [width, height])
        start = rng.uniform(0, 1, (boxes, 2)) * ([width, height] - side)
        corners.append(np.concatenate([start, start + side], axis=1))
    all_boxes = np.concatenate(corners)
    number = len(all_boxes)
    return Records(
        root=Path("nowhere"),
        files=np.array([f"p{i}.png" for i in range(pictures)]),
        image_ids=np.arange(pictures),
        heights=heights,
        widths=widths,
        offsets=np.arange(pictures + 1) * boxes,
        boxes=all_boxes,
        labels=np.arange(number) % 2,
        crowd=np.zeros(number, dtype=bool),
        area=(all_boxes[:, 2:] - all_boxes[:, :2]).prod(1),
        classes=ClassNames(("cat", "dog"), (1, 2)),
    )


def iou(a: list[float], b: list[float]) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    common = max(w, 0) * max(h, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def anchors_by_hand(
    sizes: list[list[float]], first: int, canvas: tuple[int, int]
) -> list[tuple[int, list[float]]]:
    """(level, xyxy) of every anchor: ratios 0.5, 1, 2, centres in the middle of the cells."""
    found = []
    for number, level in enumerate(sizes):
        stride = 2 ** (first + number)
        for row in range(-(-canvas[0] // stride)):
            for column in range(-(-canvas[1] // stride)):
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                for size in level:
                    for ratio in (0.5, 1.0, 2.0):
                        w, h = size / ratio**0.5, size * ratio**0.5
                        found.append((number, [x - w / 2, y - h / 2, x + w / 2, y + h / 2]))
    return found


@pytest.mark.parametrize(("first", "sizes"), [(3, [[16, 20], [32, 40], [64, 80]]), (2, [[8], [16], [32]])])
def test_against_a_plain_loop_over_boxes_and_anchors(
    tmp_path: Path, first: int, sizes: list[list[float]]
) -> None:
    head = f"head: {{params: {{anchor_sizes: {sizes}}}}}"
    model = f"model: {{architecture: {{neck: {{params: {{min_level: {first}}}}}, {head}}}}}"
    data = records()
    check = check_anchors(data, config(tmp_path, model))
    anchors = anchors_by_hand(sizes, first, (96, 128))
    for picture in range(len(data)):
        rows = range(picture * 7, picture * 7 + 7)
        boxes = [scaled(data, picture, row) for row in rows]
        table = [[iou(box, anchor) for box in boxes] for _, anchor in anchors]
        for place, row in enumerate(rows):
            column = [line[place] for line in table]
            assert check.best.iou[row] == pytest.approx(max(column), abs=1e-5)
            assert iou(check.best.anchor[row].tolist(), boxes[place]) == pytest.approx(max(column), abs=1e-5)
            for level in range(len(sizes)):
                own = sum(
                    number == level and max(line) == line[place] >= 0.5
                    for (number, _), line in zip(anchors, table, strict=True)
                )
                assert check.strict[row, level] == own
    assert check.recall(0.5) == np.mean(check.best.iou >= 0.5)
    assert check.positives is check.lenient, "low-quality matches are on"
    assert check.reached > check.strict.any(axis=1).mean()
    assert check.levels[0].name == f"P{first}"
    assert 0 < check.recall(0.5) < 1


def scaled(data: Records, picture: int, row: int) -> list[float]:
    """A box on the 96 x 128 canvas: one scale for both sides, the picture's sides in whole pixels."""
    height, width = int(data.heights[picture]), int(data.widths[picture])
    scale = min(96 / height, 128 / width)
    x, y = round(width * scale) / width, round(height * scale) / height
    box = data.boxes[row].tolist()
    return [box[0] * x, box[1] * y, box[2] * x, box[3] * y]


def test_boxes_are_where_the_loader_puts_them() -> None:
    data = records(20)
    found = boxes_on_canvas(data, (160, 96))
    for picture in range(20):
        box = fit_letterbox(int(data.heights[picture]), int(data.widths[picture]), (160, 96))
        rows = slice(picture * 7, picture * 7 + 7)
        wanted = apply_boxes(torch.from_numpy(data.boxes[rows]), box)
        np.testing.assert_allclose(found.boxes[rows], wanted.numpy(), atol=1e-4)
        assert found.zoom[picture] == pytest.approx(box.scale_x, rel=0.02)


def test_anchors_are_those_of_the_network(tmp_path: Path) -> None:
    model = (
        "model: {preset: torchvision_v1, architecture: {backbone: {name: lcnet_050, params: {weights: null, "
        "batch_norm: trained}}, neck: {params: {out_channels: 8}}}}"
    )
    settings = config(tmp_path, model)
    detector = build_detector(settings.model, 2, pretrained=False)
    outputs = detector(torch.zeros(1, 3, 96, 160, dtype=torch.uint8))
    state = torch.random.get_rng_state()
    levels = build_anchors(settings.model, (96, 160))
    assert torch.equal(torch.random.get_rng_state(), state), "looking at anchors moves no random numbers"
    for mine, network in zip(levels, outputs.anchors, strict=True):
        assert torch.equal(mine.boxes, network.boxes)
        assert mine[2:] == network[2:]


def test_crowds_are_left_out(tmp_path: Path) -> None:
    data = records()
    crowd = np.zeros(len(data.boxes), dtype=bool)
    crowd[[0, 1, 8, *range(14, 21)]] = True
    check = check_anchors(replace(data, crowd=crowd), config(tmp_path))
    kept = data.boxes[~crowd]
    assert len(check.boxes.boxes) == check.boxes.all_boxes == len(kept)
    assert check.boxes.offsets.tolist() == [0, 5, 11, 11, 18, 25, 32]
    np.testing.assert_array_equal(check.boxes.labels, data.labels[~crowd])
    assert 2 not in check.pictures_without().tolist(), "a picture of crowds alone has nothing to reach"


def test_no_box_at_all(tmp_path: Path) -> None:
    data = records()
    empty = replace(data, crowd=np.ones(len(data.boxes), dtype=bool))
    check = check_anchors(empty, config(tmp_path))
    lines, findings = section_lines(check, empty), anchor_findings(check, empty)
    assert findings == []
    assert len(lines) == 1


def test_atss_reaches_what_the_iou_rule_does_not(tmp_path: Path) -> None:
    tiny = records(least=10, most=14)
    wide = "architecture: {head: {params: {anchor_sizes: [[64], [128], [256]]}}}"
    strict = config(
        tmp_path, f"model: {{{wide}, losses: {{assigner: {{allow_low_quality: false}}}}}}", "[256, 256]"
    )
    atss = config(tmp_path, f"model: {{{wide}, losses: {{assigner: {{name: atss}}}}}}", "[256, 256]")
    by_iou, by_atss = check_anchors(tiny, strict), check_anchors(tiny, atss)
    assert by_iou.reached == by_iou.recall() == 0
    assert len(by_iou.pictures_without()) == 6
    assert by_atss.reached > 0.9
    assert by_atss.otherwise is None
    assert by_atss.recall() == 0


def test_a_part_is_the_same_every_time_and_said_aloud(tmp_path: Path) -> None:
    data = records(60)
    whole = boxes_on_canvas(data, (96, 128))
    assert whole.sampled == ""
    part = boxes_on_canvas(data, (96, 128), most_boxes=100)
    assert 90 <= len(part.boxes) <= 100
    assert "420 boxes of 60 pictures" in part.sampled
    again = boxes_on_canvas(data, (96, 128), most_boxes=100)
    np.testing.assert_array_equal(part.boxes, again.boxes)
    for place, picture in enumerate(part.pictures):
        rows = slice(part.offsets[place], part.offsets[place + 1])
        np.testing.assert_array_equal(part.boxes[rows], whole.boxes[picture * 7 : picture * 7 + 7])
    fewer = part_of(whole, 1000, 5)
    assert len(fewer.pictures) == 5
    place = fewer.pictures[3]
    np.testing.assert_array_equal(fewer.boxes[21:28], whole.boxes[place * 7 : place * 7 + 7])


def test_pictures_without_a_box_take_no_place_in_the_part() -> None:
    """3,000 pictures, 30 of them labelled: every box is measured, and nothing is said to be left out."""
    data = records(3000, 1)
    crowd = np.ones(3000, dtype=bool)
    crowd[::100] = False
    mostly_empty = replace(data, crowd=crowd)
    found = boxes_on_canvas(mostly_empty, (96, 128))
    assert len(found.boxes) == 30
    assert found.sampled == ""
    part = boxes_on_canvas(mostly_empty, (96, 128), most_pictures=10)
    assert len(part.boxes) == 10
    assert part.sampled.startswith("measured on 10 boxes of ")
    assert 600 < len(part.pictures) < 1600, "the empty ones are drawn beside them, in proportion"
    for place in np.flatnonzero(np.diff(part.offsets)):
        assert part.pictures[place] % 100 == 0


def test_one_picture_of_too_many_boxes_is_taken_whole() -> None:
    assert len(boxes_on_canvas(records(3, 40), (96, 128), most_boxes=10).boxes) == 40


def test_what_a_person_is_told(tmp_path: Path) -> None:
    """Boxes of 10 to 14 px, anchors from 64: the finding names both, and what to do."""
    tiny = records(least=10, most=14)
    wide = "architecture: {head: {params: {anchor_sizes: [[64], [128], [256]]}}}"
    settings = config(
        tmp_path, f"model: {{{wide}, losses: {{assigner: {{allow_low_quality: false}}}}}}", "[256, 256]"
    )
    check = check_anchors(tiny, settings)
    found = {one.rule: one for one in anchor_findings(check, tiny)}
    first = found["anchors_pictures_without"]
    assert first.severity == "error"
    assert first.message.startswith("100% of pictures with boxes have no positive anchor: median box ")
    assert first.message.endswith(" px, smallest anchor 64 px on the canvas")
    assert "--fit-anchors" in first.fix
    assert found["anchors_boxes_without"].message.startswith("100% of boxes reach no anchor")
    assert "objects_tiny" in found
    lines = "\n".join(section_lines(check_anchors(tiny, settings), tiny))
    assert "42 boxes have no object" in lines
    assert "p0.png: cat [" in lines


def test_good_anchors_give_no_findings_but_notes(tmp_path: Path) -> None:
    data = records(least=16, most=80)
    settings = config(tmp_path, size="[416, 416]")
    found = anchor_findings(check_anchors(data, settings), data)
    assert [one for one in found if one.severity == "error"] == []


def test_low_quality_matches_are_told_of(tmp_path: Path) -> None:
    tiny = records(least=10, most=14)
    wide = "model: {architecture: {head: {params: {anchor_sizes: [[64], [128], [256]]}}}}"
    check = check_anchors(tiny, config(tmp_path, wide, "[256, 256]"))
    rules = [one.rule for one in anchor_findings(check, tiny)]
    assert "anchors_low_quality_only" in rules
    assert "anchors_pictures_without" not in rules


def test_rows_by_class_and_size_add_up(tmp_path: Path) -> None:
    data = records()
    check = check_anchors(data, config(tmp_path, size="[256, 256]"))
    for rows in (by_class(check, data.classes.names), by_size(check)):
        assert sum(row.boxes for row in rows) == len(data.boxes)
        assert sum(row.recall * row.boxes for row in rows) / len(data.boxes) == pytest.approx(check.recall())
