"""Faults that are known of public sets: each found, and healthy parts of them not accused."""

from __future__ import annotations

from pathlib import Path

from foveal.diagnosis.doctor.report import Report
from foveal.verbs.doctor import examine


def told(report: Report, rule: str, *words: str) -> bool:
    """Whether a finding of the rule holds all the words, in its place or its message."""
    texts = [f"{f.where}: {f.message}" for f in report.findings if f.rule == rule]
    return any(all(word in text for word in words) for text in texts)


def rules(report: Report, *severities: str) -> set[str]:
    """Names of the rules that found something so grave."""
    return {f.rule for f in report.findings if f.severity in severities}


def test_blood_cells(shared: Path) -> None:
    report = examine(shared / "data" / "bccd_voc").report
    assert told(report, "zero_size", "BloodImage_00343.xml", "[181, 329, 181, 329]")
    assert told(report, "zero_size", "BloodImage_00338.xml", "[504, 337, 504, 337]")
    assert told(report, "class_imbalance", "'RBC' has 2381 boxes, 'Platelets' has 209")
    assert told(report, "one_based", "train")
    assert told(report, "at_edge", "train")
    assert told(report, "rarely_absent", "BloodImage_00350", "no 'RBC'")
    # One field of view in two focuses, in train and in val: not in the README, and seen on the pictures.
    assert told(report, "near_leak", "BloodImage_00037", "BloodImage_00038")
    assert len([f for f in report.findings if f.rule in ("near_leak", "near_duplicate")]) == 1
    assert rules(report, "error") == {"zero_size"}
    assert rules(report, "warning") == {"class_imbalance", "near_leak"}


def test_chess(shared: Path) -> None:
    report = examine(shared / "data" / "chess_coco").report
    assert told(report, "ids_from_zero", "'pieces'")
    assert told(report, "super_category", "'pieces'")
    assert told(report, "class_without_boxes", "'bishop'")
    assert told(report, "ids_restart", "29 picture ids")
    assert told(report, "empty_labels", "test/_annotations.coco.json")
    assert told(report, "near_leak", "a fixed camera")
    assert told(report, "no_training_part", "its validation part is trained on")
    assert rules(report, "error") == set()
    assert rules(report, "warning") == {"near_leak", "no_training_part"}


def test_tiny_coco(shared: Path) -> None:
    report = examine(shared / "data" / "tinycoco_coco").report
    assert told(report, "ids_with_gaps", "80 class ids from 1 to 90, 10 missing")
    assert told(report, "class_without_boxes", "train: without a box: 39 of 80")
    assert sum(f.rule == "crowd" for f in report.findings) == 5
    assert told(report, "mask_area", "train")
    assert told(report, "empty_labels", "image 226111")
    assert told(report, "empty_labels", "image 58636")
    assert told(report, "tiny_box", "4 x 1.85 px")
    assert told(report, "at_edge", "val")
    assert told(report, "foreign_part", "train: 32 of 32", "val2017")
    assert told(report, "foreign_part", "val: 6 of 6", "train2017")
    assert told(report, "few_pictures", "train")
    assert told(report, "class_not_trained", "'wine glass' has 31 boxes")
    assert told(report, "huge_box", "'dining table' covers 99.3%")
    assert sum(f.severity == "warning" for f in report.findings) == 14


def test_playing_cards(shared: Path) -> None:
    report = examine(shared / "data" / "playing_cards_voc_csv").report
    assert told(report, "mixed_extensions", "train: 251 .JPG, 45 .jpg")
    assert told(report, "odd_size", "cam_image1.jpg", "480 x 270")
    assert told(report, "mixed_sizes", "train") or told(report, "odd_size", "train")
    assert told(report, "one_based", "train: 17 numbers are 1")
    assert told(report, "at_edge", "train: 33 of 527")
    assert rules(report, "error", "warning") == set()


def test_road_signs(shared: Path) -> None:
    report = examine(shared / "data" / "road_signs_yolo").report
    for part, name in (
        ("val", "red_light"),
        ("val", "do_not_turn_l"),
        ("test", "parking"),
        ("test", "bus_stop"),
    ):
        assert told(report, "class_not_trained", part, f"'{name}'")
    assert told(report, "class_without_boxes", "of 21 declared classes")
    assert told(report, "moved_path", "../train/images")
    # One traffic light at two zooms, in train and in val.
    assert told(report, "near_leak", "lampu-hijau--36-", "lampu-hijau--77-")
    assert told(report, "not_used", "suggested_split", "are not named by data.yaml")
    assert rules(report, "error") == {"class_not_trained"}
    assert rules(report, "warning") == {"near_leak", "not_used"}


def test_cats_whose_coco_copy_kept_numbers_from_one(shared: Path) -> None:
    report = examine(shared / "data" / "eval_toy_cats").report
    assert told(report, "off_by_one", "none at 0 and 6 at 1")
    assert told(report, "empty_labels")
