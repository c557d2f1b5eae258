"""Proposals: never worse by the check that measured what was there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foveal.build import build_detector
from foveal.config.load import load_config
from foveal.config.schema import BackboneParams, Config, Data, Model
from foveal.data.records import Records
from foveal.data.shapes import make_shapes
from foveal.diagnosis.anchors import proposal as proposal_module
from foveal.diagnosis.anchors.check import check_anchors
from foveal.diagnosis.anchors.picture import draw_worst, worst_rows
from foveal.diagnosis.anchors.proposal import propose_anchors
from foveal.diagnosis.anchors.search import cluster, cluster_sizes
from foveal.errors import DataError, UsageError
from foveal.types import ClassNames

HEAD = ("model", "architecture", "head", "params")


def config(tmp_path: Path, size: int = 256, model: str = "{}") -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(f"data: {{train: {{format: shapes}}, image_size: [{size}, {size}]}}\nmodel: {model}\n")
    return load_config(path)


def squares(stored: int, low: float, high: float, ratio: float = 1.0, pictures: int = 12) -> Records:
    """Records of boxes with sides (in stored pixels) between two numbers, 10 a picture."""
    rng = np.random.default_rng(0)
    number = pictures * 10
    side = np.exp(rng.uniform(np.log(low), np.log(high), (number, 1)))
    shape = side * np.array([[1 / np.sqrt(ratio), np.sqrt(ratio)]])
    start = rng.uniform(0, 1, (number, 2)) * (stored - shape)
    return Records(
        root=Path("nowhere"),
        files=np.array([f"p{i}.png" for i in range(pictures)]),
        image_ids=np.arange(pictures),
        heights=np.full(pictures, stored),
        widths=np.full(pictures, stored),
        offsets=np.arange(pictures + 1) * 10,
        boxes=np.concatenate([start, start + shape], axis=1),
        labels=np.zeros(number, dtype=np.int64),
        crowd=np.zeros(number, dtype=bool),
        area=shape.prod(1),
        classes=ClassNames(("cat",), (1,)),
    )


def changed(values: dict[str, Any], changes: dict[tuple[str, ...], Any]) -> None:
    for key, value in changes.items():
        inner = values
        for step in key[:-1]:
            inner = inner[step]
        inner[key[-1]] = value


def with_small_parts(model: Model) -> Model:
    """The same anchors over a backbone and a neck that are built in no time."""
    old = model.architecture
    backbone = old.backbone.model_copy(
        update={"name": "lcnet_050", "params": BackboneParams(weights=None, batch_norm="trained")}
    )
    neck = old.neck.model_copy(update={"params": old.neck.params.model_copy(update={"out_channels": 8})})
    return model.model_copy(
        update={"architecture": old.model_copy(update={"backbone": backbone, "neck": neck})}
    )


STRICT = "{losses: {assigner: {allow_low_quality: false}}}"
ATSS = "{losses: {assigner: {name: atss}}}"
SINGLE = "{architecture: {neck: {params: {min_level: 4}}, head: {params: {anchor_sizes: [[50, 90]]}}}}"
ODD = (
    "{preset: torchvision_v1, architecture: {head: {params: {anchor_sizes: [[64], [40], [99], [200]], "
    "octave_scales: [1, 1.4]}}}}"
)
ONE = "{architecture: {head: {params: {anchor_sizes: [[32], [64], [128]], aspect_ratios: [1.0]}}}}"


@pytest.mark.parametrize(
    ("low", "high", "ratio", "model"),
    [
        (10, 15, 1.0, STRICT),
        (18, 30, 2.5, STRICT),
        (30, 200, 1.0, STRICT),
        (12, 40, 0.4, ONE),
        (11, 15, 1.5, ATSS),
        (12, 60, 1.0, SINGLE),
        (3, 6, 1.0, ODD),
        (20, 90, 60.0, ONE),
    ],
)
def test_never_worse_and_no_more_anchors(
    tmp_path: Path, low: float, high: float, ratio: float, model: str
) -> None:
    data, settings = squares(256, low, high, ratio), config(tmp_path, model=model)
    proposal = propose_anchors(data, settings)
    before, after = proposal.before, proposal.after
    assert after.recall() >= before.recall()
    assert after.reached >= before.reached
    assert after.per_cell <= before.per_cell
    assert proposal.reasons
    assert len(before.boxes.boxes) == len(after.boxes.boxes) == 120
    values = settings.model_dump(mode="json")
    changed(values, proposal.changes)
    written = Config.model_validate(values)
    detector = build_detector(with_small_parts(written.model), 1, pretrained=False)
    outputs = detector(torch.zeros(1, 3, *after.canvas, dtype=torch.uint8))
    assert [len(level.boxes) for level in outputs.anchors] == [level.anchors for level in after.levels]
    again = check_anchors(data, written)
    assert again.recall() == after.recall(), "the changes are what was measured"
    assert again.reached == after.reached


def test_small_objects_get_small_anchors_and_p2(tmp_path: Path) -> None:
    proposal = propose_anchors(squares(256, 10, 15), config(tmp_path, model=STRICT))
    assert proposal.before.recall() < 0.05
    assert proposal.after.recall() > 0.95
    assert proposal.changes["model", "architecture", "neck", "params", "min_level"] == 2
    assert proposal.changes[(*HEAD, "anchor_sizes")][0][0] <= 13
    assert proposal.tiles is None


def test_no_level_that_the_backbone_has_no_map_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_stride_4(model: Model, *_: Any, **__: Any) -> None:
        if model.architecture.neck.params.min_level < 3:
            raise UsageError("backbone has no feature map at stride 4")

    monkeypatch.setattr(proposal_module, "build_detector", without_stride_4)
    proposal = propose_anchors(squares(256, 10, 15), config(tmp_path, model=STRICT))
    assert ("model", "architecture", "neck", "params", "min_level") not in proposal.changes
    assert proposal.after.levels[0].name == "P3"
    assert proposal.after.recall() > proposal.before.recall()


def test_nothing_is_proposed_where_nothing_is_won(tmp_path: Path) -> None:
    data, settings = squares(256, 20, 60), config(tmp_path, model=STRICT)
    first = propose_anchors(data, settings)
    values = settings.model_dump(mode="json")
    changed(values, first.changes)
    second = propose_anchors(data, Config.model_validate(values))
    assert first.changes
    assert second.changes == {}
    assert second.after is second.before
    assert "kept" in second.reasons[-1]


def test_a_larger_canvas_where_the_pictures_have_more(tmp_path: Path) -> None:
    """Boxes of 16 to 24 stored pixels on pictures of 512, seen at 128: 4 to 6 px."""
    proposal = propose_anchors(squares(512, 16, 24), config(tmp_path, 128, STRICT))
    size = proposal.changes["data", "image_size"]
    assert size[0] == size[1]
    assert size[0] % 32 == 0
    assert size[0] <= 512, "not beyond the stored pictures"
    assert 16 <= proposal.after.median_side < 18, "16 px for the median box, in whole strides"
    assert proposal.after.canvas == tuple(size)
    assert (
        f"{proposal.before.median_side:.1f} px, then {proposal.after.median_side:.1f};" in proposal.reasons[0]
    )
    assert proposal.tiles is None


def test_tiles_where_no_canvas_is_enough(tmp_path: Path) -> None:
    """Boxes of 9 to 11 stored pixels on pictures of 4,000: even 1,024 px leave them 2.5 px."""
    proposal = propose_anchors(squares(4000, 9, 10.5), config(tmp_path, 256, STRICT))
    tiles = proposal.tiles
    assert tiles is not None
    assert tiles.size == 160, "256 px show 160 stored ones: 10 become 16"
    assert tiles.median_side == pytest.approx(16, abs=1)
    assert tiles.overlap * tiles.size >= 10.5, "an object that is cut is whole on a neighbour"
    assert ("data", "image_size") not in proposal.changes
    assert any("data.tiles: {size: 160" in reason for reason in proposal.reasons)
    Data.model_validate(
        {"train": {"format": "shapes"}, "tiles": {"size": tiles.size, "overlap": tiles.overlap}}
    )


def test_only_crowds_is_an_error(tmp_path: Path) -> None:
    data = squares(256, 10, 20)
    data.crowd[:] = True
    with pytest.raises(DataError, match="crowd"):
        propose_anchors(data, config(tmp_path))


def test_clusters_are_means_of_what_is_nearest() -> None:
    values = np.array([0.0, 0.1, 0.2, 5.0, 5.2, 9.0])
    found = cluster(values, 3)
    assert found is not None
    np.testing.assert_allclose(found, [0.1, 5.1, 9.0])
    assert cluster(np.array([1.0, 1.0]), 2) is None


def test_cluster_sizes_suit_their_strides() -> None:
    sides = np.exp(np.random.default_rng(0).uniform(np.log(16), np.log(120), 400))
    sizes = cluster_sizes(sides, 3, 2, 3)
    assert sizes is not None
    assert all(
        0.75 * 2 ** (3 + n) <= size <= 10 * 2 ** (3 + n) for n, level in enumerate(sizes) for size in level
    )
    assert cluster_sizes(np.linspace(10, 12, 50), 3, 2, 3) is None, "nothing that a stride of 32 could find"
    one = cluster_sizes(np.linspace(20, 40, 50), 1, 2, 3)
    assert one is not None
    assert one[2] == pytest.approx([4 * size for size in one[0]], abs=0.3)


def test_the_picture_shows_the_worst_first(tmp_path: Path) -> None:
    data = make_shapes(8, 2, 160, seed=3, empty_share=0.2)
    head = "architecture: {head: {params: {anchor_sizes: [[16], [32], [64]]}}}"
    model = f"{{{head}, losses: {{assigner: {{allow_low_quality: false}}}}}}"
    check = check_anchors(data, config(tmp_path, 160, model))
    rows = worst_rows(check, 100)
    assert sorted(rows.tolist()) == list(range(len(check.boxes.boxes)))
    none = len(check.unreached)
    assert none > 1
    assert set(rows[:none].tolist()) == set(check.unreached.tolist())
    owners = check.boxes.owner[rows[:none]]
    first = len(set(owners.tolist()))
    assert len(set(owners[:first].tolist())) == first, "every picture once before one comes again"
    sheet = draw_worst(check, data, most=4, columns=2)
    assert sheet.width > 600
    pixels = np.asarray(sheet).reshape(-1, 3)
    assert (pixels == (213, 94, 0)).all(axis=1).any(), "the box"
    assert (pixels == (86, 180, 233)).all(axis=1).any(), "its anchor"


def test_the_picture_of_nothing(tmp_path: Path) -> None:
    data = squares(256, 10, 20)
    data.crowd[:] = True
    check = check_anchors(data, config(tmp_path))
    assert len(worst_rows(check, 5)) == 0
    with pytest.raises(ValueError, match="no picture"):
        draw_worst(check, data)
