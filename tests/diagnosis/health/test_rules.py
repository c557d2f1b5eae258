"""Each warning comes where it should, once, and not on runs that are well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from foveal.config.load import load_config
from foveal.data.shapes import make_shapes
from foveal.diagnosis.health.history import History, Row, RunFacts, facts_of
from foveal.diagnosis.health.watch import AGAIN, HealthWatch

FACTS = RunFacts(
    class_names=("red", "rare", "blue"),
    boxes_per_class=(100, 2, 50),
    pictures_per_class=(90, 2, 40),
    median_side=11.0,
    anchor_sides=(32.0, 512.0),
    picture_side=4000.0,
    canvas_side=416,
    tiled=False,
    pictures_per_step=8,
    steps=1000,
    warmup=50,
    unsettled=0,
    lr_per_16=2e-3,
    clip=10.0,
    class_loss="focal",
    gamma=2.0,
    score_thresh=0.05,
    mosaic=0.0,
    workers=2,
    cores=8,
    precision="fp32",
    fine_tuned=False,
)
WELL = {
    "rate": 1e-3,
    "gradient_norm": 4.0,
    "clipped_steps": 0.0,
    "boxes": 10.0,
    "boxes_unmatched": 0.0,
    "pictures_with_boxes": 0.9,
    "pictures_unmatched": 0.0,
    "cls_share_easy": 0.4,
    "data_wait": 0.02,
    "skipped_steps": 0.0,
}


def losses(step: int) -> float:
    return 1.5 * 0.99 ** (step / 10) + 0.2


def rows(count: int, **columns: Any) -> Iterator[tuple[int, dict[str, float]]]:
    """Rows every 10 steps; a column is a number, or a function of the step."""
    for step in range(10, 10 * count + 1, 10):
        values: dict[str, Any] = {"loss": losses, **WELL, **columns}
        yield step, {name: value(step) if callable(value) else value for name, value in values.items()}


def run(watch: HealthWatch, lines: Iterator[tuple[int, Mapping[str, float]]]) -> list[tuple[int, Any]]:
    return [(step, finding) for step, values in lines for finding in watch(step, step // 100, values)]


def rules(found: list[tuple[int, Any]]) -> list[str]:
    return [finding.rule for _, finding in found]


def test_a_run_that_is_well_is_left_alone() -> None:
    watch = HealthWatch(FACTS)
    assert run(watch, rows(100)) == []
    for epoch in range(1, 8):
        assert not watch(epoch * 100, epoch, {"val_loss": 1 / epoch, "AP": 0.1 * epoch})
        assert not watch(epoch * 100, epoch, {f"positives_of_class.{k}": 5.0 for k in range(3)})


@pytest.mark.parametrize(
    ("columns", "rule", "words"),
    [
        (
            {"pictures_unmatched": 0.837, "boxes_unmatched": 9.5},
            "pictures_without_positives",
            "93 % of pictures with boxes have no positive anchor: median box 11 px, smallest anchor 32 px",
        ),
        ({"boxes_unmatched": 2.0}, "boxes_without_anchor", "20 % of boxes have no positive anchor"),
        ({"cls_share_easy": 0.99}, "easy_negatives", "holds 99 % of the class loss"),
        ({"loss": 1.5}, "loss_not_falling", "1.5 at first, 1.5 now"),
        ({"loss": lambda s: losses(s) if s < 300 else 4.0}, "learning_rate_too_high", "to 4 "),
        ({"gradient_norm": lambda s: 4.0 if s < 300 else 500.0}, "gradient_jump", "jumped to 500"),
        ({"gradient_norm": 300.0, "clipped_steps": 1.0}, "always_clipped", "is 300, the limit 10"),
        ({"skipped_steps": lambda s: s / 20}, "many_skipped", "5 of 100 steps were skipped"),
        ({"data_wait": 0.6}, "waits_for_data", "60 % of the time"),
    ],
)
def test_each_fault_is_told_once_with_what_to_do(columns: dict[str, Any], rule: str, words: str) -> None:
    found = run(HealthWatch(FACTS), rows(40, **columns))
    assert set(rules(found)) == {rule}
    assert words in found[0][1].message
    assert found[0][1].fix
    # It comes again, if at all, only when the run is several times as long.
    assert all(later >= AGAIN * step for (step, _), (later, _) in pairwise(found))
    assert len(found) <= 3


def test_advice_names_the_setting() -> None:
    def fix(**columns: Any) -> str:
        return str(run(HealthWatch(FACTS), rows(40, **columns))[0][1].fix)

    assert fix(pictures_unmatched=0.9) == "run foveal doctor CONFIG --fit-anchors"
    assert "focal_gamma (now 2)" in fix(cls_share_easy=0.95)
    assert "raise data.workers (now 2; this machine has 8 cores)" in fix(data_wait=0.5)
    assert "4000 px, the canvas 416" in fix(data_wait=0.5)
    assert "lr_per_16 to 0.00067 (now 0.002)" in fix(loss=lambda s: losses(s) if s < 300 else 4.0)
    clipped = fix(gradient_norm=300.0, clipped_steps=1.0)
    assert "training.clip_grad_norm (now 10)" in clipped
    assert "rate" not in clipped, "a smaller rate makes no gradient smaller"
    entropy = HealthWatch(FACTS._replace(class_loss="cross_entropy", gamma=0.0))
    assert "name: focal" in run(entropy, rows(40, cls_share_easy=0.95))[0][1].fix


@pytest.mark.parametrize(
    ("facts", "columns"),
    [
        (FACTS._replace(fine_tuned=True), {"loss": 0.3}),
        (FACTS._replace(precision="16-mixed"), {"skipped_steps": lambda s: s / 20}),
        (FACTS, {"gradient_norm": lambda s: 300.0 if s <= 60 else 4.0, "clipped_steps": lambda s: s <= 60}),
        (FACTS, {"gradient_norm": 0.0}),
        (FACTS._replace(unsettled=50), {"loss": lambda s: 0.1 if s <= 50 else losses(s)}),
        (FACTS._replace(clip=None), {"gradient_norm": 300.0}),
        (FACTS, {"gradient_norm": 12.0, "clipped_steps": 1.0}),
        (FACTS, {"loss": lambda s: losses(s) * (1.2 if s % 20 else 1.0)}),
        (FACTS, {"data_wait": lambda s: 0.9 if s % 100 == 10 else 0.05}),
        (FACTS, {"cls_share_easy": lambda s: 0.99 if s < 150 else 0.5}),
    ],
)
def test_what_is_no_fault_is_not_told(facts: RunFacts, columns: dict[str, Any]) -> None:
    assert run(HealthWatch(facts), rows(60, **columns)) == []


def epoch(*counts: float) -> dict[str, float]:
    return {f"positives_of_class.{k}": count for k, count in enumerate(counts)}


def test_classes_without_a_positive_are_named_a_rare_one_after_five_epochs() -> None:
    watch = HealthWatch(FACTS)
    found = watch(100, 1, epoch(5, 0, 0))
    assert [f.message for f in found] == ["class 'blue' (50 boxes) had no positive anchor in 1 epoch"]
    assert "--fit-anchors" in found[0].fix
    rare = HealthWatch(FACTS)
    assert not [f for number in range(1, 5) for f in rare(100 * number, number, epoch(5, 0, 1))]
    assert "'rare' (2 boxes) had no positive anchor in 5 epochs" in rare(500, 5, epoch(5, 0, 1))[0].message
    none = FACTS._replace(boxes_per_class=(100, 0, 50), pictures_per_class=(90, 0, 40))
    empty = HealthWatch(none)(100, 1, epoch(5, 0, 1))
    assert "no box of 'rare': label some, or leave it out of data.classes" in empty[0].fix
    both = HealthWatch(none)(100, 1, epoch(5, 0, 0))
    assert "'rare' (0 boxes), 'blue' (50 boxes)" in both[0].message
    assert "for the others run foveal doctor CONFIG --fit-anchors" in both[0].fix


def test_a_class_that_had_anchors_once_is_not_dead() -> None:
    """Two of two pictures may be cut off, or lie in the incomplete last batch, in any later epoch."""
    watch = HealthWatch(FACTS)
    assert not watch(100, 1, epoch(5, 3, 5))
    assert not [f for number in range(2, 20) for f in watch(100 * number, number, epoch(5, 0, 5))]


def test_the_anchors_end_that_is_nearest_is_named() -> None:
    def sides(median: float) -> str:
        facts = FACTS._replace(median_side=median)
        return str(run(HealthWatch(facts), rows(10, boxes_unmatched=9.0))[0][1].message).partition(": ")[2]

    assert sides(11) == "median box 11 px, smallest anchor 32 px"
    assert sides(700) == "median box 700 px, largest anchor 512 px"
    assert sides(50) == "median box 50 px, anchors 32 to 512 px"


def test_pictures_without_objects_are_told_as_the_cause_of_easy_background() -> None:
    found = run(HealthWatch(FACTS), rows(40, cls_share_easy=0.99, pictures_with_boxes=0.04))
    assert "4 % of the pictures have a box" in found[0][1].message
    assert found[0][1].fix == "leave out most of the pictures without a box"
    tiled = HealthWatch(FACTS._replace(tiled=True))
    assert run(tiled, rows(40, cls_share_easy=0.99, pictures_with_boxes=0.04))[0][1].fix == (
        "lower data.tiles.keep_empty"
    )


def test_rows_of_a_few_pictures_are_judged_together() -> None:
    """One picture a step, three rows of ten in which 3 of 10 boxes are missed by chance: too few to say."""
    single = FACTS._replace(pictures_per_step=1)
    unlucky = {"boxes_unmatched": lambda step: 3.0 if step in (210, 220, 230) else 0.0}
    assert rules(run(HealthWatch(FACTS), rows(40, **unlucky))) == ["boxes_without_anchor"]
    assert run(HealthWatch(single), rows(40, **unlucky)) == []
    assert rules(run(HealthWatch(single), rows(40, boxes_unmatched=5.0))) == ["boxes_without_anchor"]


def test_rows_that_a_validation_cuts_short_are_joined_by_their_steps() -> None:
    """Epochs of 7 steps: rows end at 7, 10, 14, 20, ...; easy background is looked at in every second of them."""
    watch = HealthWatch(FACTS)
    steps = sorted({*range(7, 400, 7), *range(10, 400, 10)})
    found = []
    for step in steps:
        values = {"loss": losses(step), **WELL, "cls_share_easy": 0.99, "skipped_steps": float(step == 210)}
        if step % 10 and (step - 1) // 10 == (step - step % 7) // 10:
            del values["cls_share_easy"]
        found += watch(step, step // 7, values)
    assert [f.rule for f in found] == ["easy_negatives"]
    for before, after in pairwise(watch.history.train):
        assert after.first_step == before.step + 1
        assert after.step - after.first_step >= 9
    joined = History(10)
    joined.add(Row(4, 0, {"rate": 1.0, "loss": 1.0, "skipped_steps": 0.0}))
    assert joined.add(Row(10, 0, {"rate": 2.0, "loss": 6.0, "skipped_steps": 3.0})) == "train"
    assert joined.train == [Row(10, 0, {"rate": 2.0, "loss": 4.0, "skipped_steps": 3.0}, 1)]


def test_a_validation_without_a_finite_loss_is_still_one() -> None:
    watch = HealthWatch(FACTS)
    run(watch, rows(30))
    assert [f.rule for f in watch(300, 3, {"AP": 0.0})] == ["nothing_found"]


def test_facts_of_a_set(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "data: {train: {format: shapes}, image_size: [96, 96]}\ntraining: {batch_size: 1, accumulate: 2}\n"
    )
    config, records = load_config(file), make_shapes(30, 3, 96, empty_share=0.5)
    facts = facts_of(config, records)
    having = [{int(k) for k in records.rows(p).labels[~records.rows(p).crowd]} for p in range(30)]
    assert facts.pictures_per_class == tuple(sum(k in labels for labels in having) for k in range(3))
    assert facts.pictures_per_step == 2
    assert facts.anchor_sides == (32.0, 512 * 2 ** (2 / 3))
    assert not facts.tiled


def test_an_ap_of_nothing_names_the_likely_cause() -> None:
    def said(watch: HealthWatch, val_loss: float, **columns: Any) -> Any:
        run(watch, rows(30, **columns))
        return [f for f in watch(300, 3, {"AP": 0.0, "val_loss": val_loss}) if f.rule == "nothing_found"]

    assert not HealthWatch(FACTS)(100, 1, {"AP": 0.0, "val_loss": 1.0})
    assert not said(HealthWatch(FACTS._replace(steps=5000)), 1.0)
    assert "AP is 0.0000 after 3 epochs (300 steps)" in said(HealthWatch(FACTS), 1.0)[0].message
    assert "no positive anchor" in said(HealthWatch(FACTS), 1.0, boxes_unmatched=9.0)[0].fix
    assert "has not fallen" in said(HealthWatch(FACTS), 1.6, loss=1.5)[0].fix
    assert "validation set differs" in said(HealthWatch(FACTS), 9.0)[0].fix
    assert "score_thresh (now 0.05)" in said(HealthWatch(FACTS), 1.2)[0].fix


def test_learning_by_heart_is_told_where_ap_and_loss_agree() -> None:
    def validated(scores: list[float], val: list[float]) -> list[str]:
        watch, found = HealthWatch(FACTS), []
        lines = dict(rows(100))
        for number, (score, loss) in enumerate(zip(scores, val, strict=True), start=1):
            for step in range(100 * (number - 1) + 10, 100 * number + 1, 10):
                watch(step, number, lines[step])
            found += [f.rule for f in watch(100 * number, number, {"AP": score, "val_loss": loss})]
        return found

    worse = [1.0, 0.8, 0.85, 0.9, 1.0, 1.1]
    assert validated([0.2, 0.5, 0.5, 0.4, 0.4, 0.4], worse) == ["overfitting"]
    # The focal loss of a validation set may rise while detections still get better.
    assert validated([0.2, 0.3, 0.4, 0.5, 0.55, 0.6], worse) == []
