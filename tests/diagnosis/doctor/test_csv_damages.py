"""Every kind of damage to a CSV file: found, named by rule, at its line, and mended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.diagnosis.doctor.damage import Damage, check_copy, grave, told
from tests.diagnosis.doctor.sets import CSV_HEADER, SIDE, WIDTH, write_csv_set, write_voc_sheet

from foveal.verbs.doctor import examine

Cells = list[str]


def _cells(change: Callable[[Cells], Cells], line: int | None = None) -> Callable[[Path], None]:
    """Other cells in train's rows, or in that of one line of the file."""

    def do(folder: Path) -> None:
        path = folder / "train_labels.csv"
        lines = path.read_text().splitlines()
        for number in range(2, len(lines) + 1) if line is None else [line]:
            lines[number - 1] = ",".join(change(lines[number - 1].split(",")))
        path.write_text("\n".join(lines) + "\n")

    return do


def _numbers(
    change: Callable[[float, float, float, float], tuple[float, ...]], line: int | None = None
) -> Callable[[Path], None]:
    return _cells(lambda cells: [*cells[:4], *map(str, change(*map(float, cells[4:])))], line)


def _added(text: str) -> Callable[[Path], None]:
    """A last line more."""

    def do(folder: Path) -> None:
        path = folder / "train_labels.csv"
        path.write_text(path.read_text() + text + "\n")

    return do


def _row_again(folder: Path) -> None:
    _added((folder / "train_labels.csv").read_text().splitlines()[6])(folder)


def _shares_with_pixels(folder: Path) -> None:
    """Every row but 4 as shares of the picture."""
    _numbers(lambda a, b, c, d: (a / WIDTH, b / SIDE, c / WIDTH, d / SIDE))(folder)
    for line in (7, 8, 9, 10):
        _numbers(lambda a, b, c, d: (a * WIDTH, b * SIDE, c * WIDTH, d * SIDE), line)(folder)


def _stated(width: int, height: int, line: int | None = None) -> Callable[[Path], None]:
    return _cells(lambda cells: [cells[0], str(width), str(height), *cells[3:]], line)


def _small_copy(folder: Path) -> None:
    _stated(WIDTH // 2, SIDE // 2)(folder)
    _numbers(lambda *box: tuple(value / 2 for value in box))(folder)


def _picture_outside(folder: Path) -> None:
    _cells(lambda cells: ["../../elsewhere.png", *cells[1:]], 7)(folder)
    Image.new("RGB", (WIDTH, SIDE)).save(folder.parent / "elsewhere.png")


def _quote_over_two_lines(folder: Path) -> None:
    _cells(lambda cells: ['"' + cells[0], *cells[1:]], 7)(folder)
    _cells(lambda cells: [*cells[:-1], cells[-1] + '"'], 8)(folder)


def _named(name: str, line: int | None = None) -> Callable[[Path], None]:
    return _cells(lambda cells: [*cells[:3], name, *cells[4:]], line)


SEVENTH = "train_labels.csv:7"
CSV: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "xywh": (
        _numbers(lambda a, b, c, d: (a, b, c - a, d - b)),
        "xywh_as_xyxy",
        "as x, y, width, height 0% do not fit",
    ),
    "columns x x y y": (_numbers(lambda a, b, c, d: (a, c, b, d)), "column_order", "train"),
    "corners swapped": (_numbers(lambda a, b, c, d: (c, d, a, b)), "swapped_corners", "train"),
    "x and y swapped": (_numbers(lambda a, b, c, d: (b, a, d, c)), "transposed_boxes", "train"),
    "labels of half the size": (_small_copy, "resized_boxes", "by 2 (x) and 2 (y)"),
    "pixels among shares": (_shares_with_pixels, "bad_number", SEVENTH),
    "text": (_cells(lambda cells: [*cells[:4], "left", *cells[5:]], 7), "bad_number", SEVENTH),
    "nan": (_numbers(lambda a, b, c, d: (a, b, float("nan"), d), 7), "bad_number", SEVENTH),
    "no width": (_numbers(lambda a, b, c, d: (a, b, a, d), 7), "zero_size", SEVENTH),
    "outside": (_numbers(lambda *_: (500, 10, 520, 30), 7), "outside", SEVENTH),
    "over the edge": (_numbers(lambda *_: (WIDTH - 20, 10, WIDTH + 20, 30), 7), "clipped", SEVENTH),
    "whole picture": (_numbers(lambda *_: (0, 0, WIDTH, SIDE), 7), "huge_box", SEVENTH),
    "row again": (_row_again, "duplicate_box", "the same box as in"),
    "two classes": (
        lambda f: (_row_again(f), _named("red square", 7)(f)),
        "two_classes",
        "train_labels.csv:",
    ),
    "a cell too few": (_cells(lambda cells: cells[:-1], 7), "unreadable_labels", SEVENTH),
    "a cell too many": (_cells(lambda cells: [*cells, "1"], 7), "unreadable_labels", SEVENTH),
    "the header again": (_added(CSV_HEADER), "unreadable_labels", "the header once more"),
    "a quote over two lines": (_quote_over_two_lines, "unreadable_labels", "train_labels.csv:7: a quote"),
    "no class": (_named("", 7), "unknown_class", SEVENTH),
    "case": (_named("RED CIRCLE", 7), "similar_classes", "differ by case"),
    "picture gone": (_cells(lambda cells: ["gone.png", *cells[1:]], 7), "missing_picture", SEVENTH),
    "no name of a picture": (_cells(lambda cells: ["", *cells[1:]], 7), "missing_picture", SEVENTH),
    "outside the folder": (_picture_outside, "unsafe_path", SEVENTH),
    "another size stated": (_stated(WIDTH + 7, SIDE), "size_mismatch", "train_labels.csv:2"),
    "sides stated swapped": (_stated(SIDE, WIDTH), "stated_transposed", "44 pictures"),
    "cut short": (
        lambda f: (f / "train/0_005.png").write_bytes((f / "train/0_005.png").read_bytes()[:-1500]),
        "broken_picture",
        "0_005.png",
    ),
    "leak": (
        lambda f: shutil.copyfile(f / "val/1_002.png", f / "train/0_005.png"),
        "leaked_picture",
        "0_005.png",
    ),
}


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory, coco: Path) -> Path:
    folder = tmp_path_factory.mktemp("csv") / "set"
    write_csv_set(folder, coco)
    return folder


def test_a_sound_csv_set_has_no_error_and_no_warning(csv: Path) -> None:
    assert list(grave(examine(csv).report)) == []


def test_there_are_fifteen_kinds() -> None:
    assert len({rule for _, rule, _ in CSV.values()}) >= 15


@pytest.mark.parametrize("name", CSV)
def test_damage_to_csv_is_found_and_named(name: str, csv: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(csv, folder)
    do, rule, where = CSV[name]
    do(folder)
    found = examine(folder)
    damage = Damage(lambda *_: None, rule, where)
    assert told(found.report, damage), list(grave(found.report))
    check_copy(found, tmp_path / "copy", damage)


def test_pixels_that_the_settings_call_shares(csv: Path, tmp_path: Path) -> None:
    source = "{{format: csv, annotations: {0}/{1}_labels.csv, images: {0}/{1}, units: {2}}}"
    train, val = source.format(csv, "train", "relative"), source.format(csv, "val", "auto")
    (tmp_path / "config.yaml").write_text(f"data:\n  train: {train}\n  val: {val}\n")
    report = examine(tmp_path / "config.yaml", "none").report
    assert told(report, Damage(lambda *_: None, "pixel_boxes", "have numbers far over 1, and 0 have not"))


def test_a_class_of_which_every_box_was_refused_is_told(csv: Path, voc: Path, tmp_path: Path) -> None:
    for folder in (csv, voc):
        shutil.copytree(folder, tmp_path / folder.parent.name)
    _named("lost", 7)(tmp_path / csv.parent.name)
    _numbers(lambda a, b, c, d: (a, b, a, d), 7)(tmp_path / csv.parent.name)
    sheet = tmp_path / voc.parent.name / "train" / "0_005.png"
    write_voc_sheet(sheet, [("lost", (5, 5, 5, 9))])
    for folder in (csv, voc):
        report = examine(tmp_path / folder.parent.name, "none").report
        damage = Damage(lambda *_: None, "class_without_boxes", "declared classes: 'lost'")
        assert told(report, damage), report.findings
