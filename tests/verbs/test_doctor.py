"""``foveal doctor`` as a command: exit codes, files, a hostile set, and that nothing of the data is written to."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image
from rich.console import Console
from tests.diagnosis.doctor.sets import read_labels, write_coco_set, write_labels, write_yolo_set
from typer.testing import CliRunner

from foveal.cli import app
from foveal.data.coco import read_coco
from foveal.data.records import FaultKind
from foveal.diagnosis.doctor.part import Hit
from foveal.diagnosis.doctor.report import Report
from foveal.diagnosis.doctor.rulebook import RULES, finding
from foveal.diagnosis.doctor.tables import write_csv
from foveal.diagnosis.doctor.terminal import show
from foveal.errors import UsageError
from foveal.verbs.doctor import doctor, examine

REPOSITORY = Path(__file__).resolve().parents[2]
HOSTILE = '=HYPERLINK("x")<script>alert(1)</script>\x1b[2J&\''


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "set"
    write_coco_set(folder)
    return folder


@pytest.fixture
def hurt(sound: Path, tmp_path: Path) -> Path:
    """One class of a hostile name, one box of no width, one of the whole picture."""
    folder = tmp_path / "hurt"
    shutil.copytree(sound, folder)
    content = read_labels(folder, "train")
    content["categories"][0]["name"] = HOSTILE
    content["annotations"][7]["bbox"] = [10, 10, 0, 20]
    content["annotations"][8]["bbox"] = [0, 0, 144, 96]
    write_labels(folder, "train", content)
    return folder


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *map(str, words)])
    return result.exit_code, result.output


def table(path: Path) -> list[list[str]]:
    """Rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.reader(file))


def log_of(copy: Path) -> list[dict[str, str]]:
    """Rows of ``fixes.csv`` by column."""
    header, *rows = table(copy / "fixes.csv")
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_exit_codes(sound: Path, hurt: Path, tmp_path: Path) -> None:
    code, text = run(sound, "--strict", "--pictures", "headers")
    assert (code, "foveal init" in text) == (0, True)
    code, text = run(hurt, "--pictures", "headers")
    assert code == 3
    assert re.search(
        r"annotations/instances_train\.json: annotation 8: bbox is 0 wide", " ".join(text.split())
    )
    warned = tmp_path / "warned"
    shutil.copytree(sound, warned)
    content = read_labels(warned, "train")
    content["annotations"].append({**content["annotations"][0], "id": 9999})
    write_labels(warned, "train", content)
    assert run(warned, "--pictures", "headers")[0] == 0
    assert run(warned, "--pictures", "headers", "--strict")[0] == 3
    assert run(sound, "--pictures", "some")[0] == 2


def test_what_was_not_looked_at_is_said(sound: Path) -> None:
    report = examine(sound, "headers").report
    assert [f.where for f in report.findings if f.rule == "not_looked_at"] == ["train", "val"]
    assert not [f for f in examine(sound, "sample").report.findings if f.rule == "not_looked_at"]


def test_a_configuration_is_examined_at_its_own_size(sound: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    source = "{{format: coco, annotations: {0}/annotations/instances_{1}.json, images: {0}/images/{1}}}"
    train, val = (source.format(sound, part) for part in ("train", "val"))
    config.write_text(f"data:\n  train: {train}\n  val: {val}\n  image_size: [32, 32]\n")
    findings = examine(config, "headers").report.findings
    assert any(f.rule == "tiny_box" and "at training size" in f.message for f in findings)
    config.write_text(f"data:\n  train: {train}\n  classes: [red circle, unicorn]\n")
    findings = examine(config, "headers").report.findings
    assert any(f.rule == "unknown_class" for f in findings)
    assert any(f.rule == "class_without_boxes" and "'unicorn'" in f.message for f in findings)


def test_the_files_hold_every_finding(hurt: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.json", "a.csv", "a.html")]
    report = doctor(hurt, *files, quiet=True)
    content = json.loads(files[0].read_text())
    assert content["findings"] == [finding._asdict() for finding in report.findings]
    assert content["counts"]["error"] == 2  # the box, and the class that val knows by its old name
    rows = table(files[1])
    assert rows[0] == ["rule", "severity", "where", "message", "fix"]
    assert len(rows) == 1 + len(report.findings)
    assert not [value for row in rows for value in row if value.startswith(("=", "+", "-", "@"))]


def test_a_place_may_hold_anything_and_the_csv_stays_a_table(sound: Path, tmp_path: Path) -> None:
    found = examine(sound, "headers")
    first = found.report.hits[0]
    bad = first.finding._replace(where="-2+3", message='a"b,c\nd', fix="@x")
    found.report.hits.append(first._replace(finding=bad))
    write_csv(found.report, tmp_path / "a.csv")
    assert table(tmp_path / "a.csv")[-1][2:] == ["'-2+3", 'a"b,c\\nd', "'@x"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_runs_nothing_and_loads_nothing(hurt: Path, tmp_path: Path) -> None:
    doctor(hurt, html_file=tmp_path / "a.html", quiet=True)
    text = (tmp_path / "a.html").read_text()
    seen = _Tags()
    seen.feed(text)
    assert not seen.tags & {"script", "iframe", "object", "link", "a", "form", "input"}
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert all(
        (value or "").startswith("data:image/jpeg") for name, value in seen.attributes if name == "src"
    )
    assert "default-src 'none'" in text
    assert "unsafe" not in text
    assert not [name for name, _ in seen.attributes if name == "style"]  # its policy would refuse it
    assert "prefers-color-scheme:dark" in text
    assert "http://" not in text
    assert "https://" not in text
    assert "<script>alert(1)</script>" in seen.text
    assert "\x1b" not in text
    assert "img" in seen.tags


def test_a_terminal_is_not_moved_by_names(hurt: Path) -> None:
    assert "\x1b[2J" not in run(hurt, "--pictures", "headers")[1]


def test_fix_writes_a_copy_and_a_log(hurt: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in hurt.rglob("*") if path.is_file()}
    copy = tmp_path / "copy"
    doctor(hurt, fix=copy, merges=[f"{HOSTILE}=red circle"], quiet=True)
    assert before == {path: path.read_bytes() for path in hurt.rglob("*") if path.is_file()}
    rows = log_of(copy)
    assert {row["rule"] for row in rows} == {"zero_size", "similar_classes"}
    assert next(row for row in rows if row["rule"] == "zero_size")["after"] == "left out"
    report = examine(copy).report
    assert report.counts()["error"] == 0
    assert HOSTILE not in report.parts[0].classes


def test_a_folder_that_is_there_stays(sound: Path, tmp_path: Path) -> None:
    """As a file does: the copy goes into a numbered one."""
    taken = tmp_path / "copy"
    taken.mkdir()
    (taken / "mine").write_text("mine")
    _, text = run(sound, "--pictures", "headers", "--fix", taken)
    assert [path.name for path in taken.iterdir()] == ["mine"]
    assert f"wrote {tmp_path / 'copy-2'}: a copy as COCO JSON, with 0 changes" in text
    assert (tmp_path / "copy-2" / "fixes.csv").is_file()
    with pytest.raises(UsageError, match="lies in the data's own folder"):
        doctor(sound, fix=sound / "copy", quiet=True)


def test_fix_restores_what_the_numbers_meant(sound: Path, tmp_path: Path) -> None:
    folder, copy = tmp_path / "corners", tmp_path / "copy"
    shutil.copytree(sound, folder)
    content = read_labels(folder, "train")
    for row in content["annotations"]:
        x, y, width, height = row["bbox"]
        row["bbox"] = [x, y, x + width, y + height]
    write_labels(folder, "train", content)
    doctor(folder, fix=copy, quiet=True)
    original, mended = (
        read_coco(place / "annotations" / "instances_train.json", place / "images" / "train")
        for place in (sound, copy)
    )
    assert original.files.tolist() == mended.files.tolist()
    assert original.labels.tolist() == mended.labels.tolist()
    assert abs(original.boxes - mended.boxes).max() < 1e-9
    rows = log_of(copy)
    assert sum(row["rule"] == "xyxy_as_xywh" for row in rows) == len(original.labels)


@pytest.mark.parametrize("text", ["a", "=b", "a=", "a=a"])
def test_a_merge_needs_two_names(text: str, hurt: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="OLD=NEW"):
        doctor(hurt, fix=tmp_path / "copy", merges=[text], quiet=True)


def test_merging_a_class_that_is_not_there_names_those_that_are(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no class 'cat'; there are .*red circle"):
        doctor(sound, fix=tmp_path / "copy", merges=["cat=dog"], quiet=True)


def test_every_fault_of_a_reader_has_a_rule_and_every_rule_is_documented() -> None:
    assert set(get_args(FaultKind)) <= RULES.keys()
    document = (REPOSITORY / "docs" / "doctor.md").read_text()
    rows = re.findall(r"^\| `\w+` \| (?:error|warning|note) \|.*$", document, re.MULTILINE)
    assert sorted(rows) == sorted(
        f"| `{name}` | {rule.severity} | {rule.means} | {rule.fix} | {'yes' if rule.mends else ''} |"
        for name, rule in RULES.items()
    )


def paragraph(report: Report, rule: str, width: int | None, root: Path) -> list[str]:
    """What a terminal, or without a width a file, shows of a rule."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=width is not None, color_system=None, highlight=False
    )
    show(report, console, root)
    lines = stream.getvalue().splitlines()
    first = next(number for number, line in enumerate(lines) if line.split()[1:2] == [rule])
    return [line for line in lines[first + 1 : first + 8] if line.startswith("      ")]


@pytest.mark.parametrize("width", [80, 120])
def test_long_names_keep_their_ends(width: int) -> None:
    one, other = (f"train/images/{letter * 80}_jpg.rf.{letter * 32}.jpg" for letter in "ab")
    found = finding("near_leak", f"/data/{one}", f"looks like /data/{other} in train")
    lines = paragraph(Report("", [], [Hit(found)]), "near_leak", width, Path("/data"))
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("      train/images/aaa")
    assert lines[0].endswith("aaa.jpg: looks like")
    assert lines[1].startswith("      train/images/bbb")
    assert lines[1].endswith("bbb.jpg in train")


def test_a_file_gets_every_finding_as_one_whole_line() -> None:
    found = finding("near_leak", f"/data/{'a' * 200}.jpg", "looks " + "so " * 50)
    lines = paragraph(Report("", [], [Hit(found)]), "near_leak", None, Path("/data"))
    assert lines[0].rstrip() == f"      {'a' * 200}.jpg: looks {('so ' * 50).rstrip()}"


def test_both_pictures_of_a_leak_are_shown(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "leak"
    shutil.copytree(sound, folder)
    shutil.copyfile(folder / "images/val/1_002.png", folder / "images/train/0_006.png")
    doctor(folder, html_file=tmp_path / "a.html", quiet=True)
    text = (tmp_path / "a.html").read_text()
    figure = text[text.index('<figure class="two">') :].split("</figure>")[0]
    assert figure.count('<img src="data:image/jpeg') == 2
    assert {"train: images/train/0_006.png", "val: images/val/1_002.png"} == set(
        re.findall(r"<small[^>]*>([^<]*)</small>", figure)
    )


def test_one_is_singular(sound: Path, tmp_path: Path) -> None:
    """Of any number before a noun, in the report of one picture with one box."""
    folder = tmp_path / "one"
    shutil.copytree(sound, folder)
    content = read_labels(folder, "val")
    content["images"] = content["images"][:1]
    content["annotations"] = [
        r for r in content["annotations"] if r["image_id"] == content["images"][0]["id"]
    ][:1]
    content["annotations"][0]["bbox"] = [0, 0, 144, 96]
    write_labels(folder, "val", content)
    doctor(folder, html_file=tmp_path / "a.html", pictures="headers", quiet=True)
    seen = _Tags()
    seen.feed((tmp_path / "a.html").read_text())
    report = examine(folder, "headers").report
    texts = [f"{found.where}: {found.message}" for found in report.findings if found.where == "val"]
    assert any("1 picture to measure on" in text for text in texts)
    wrong = re.compile(
        r"(?<![\d.,])1 (?:of 1 )?(pictures|boxes|classes|names|ids|areas|errors|warnings|notes)\b"
    )
    assert not wrong.findall("\n".join([seen.text, *texts]))


def test_parts_that_are_missing_are_told_with_what_follows(sound: Path, tmp_path: Path) -> None:
    def told(folder: Path) -> dict[str, str]:
        return {f.rule: f.message for f in examine(folder, "headers").report.findings}

    for name, gone in (("only_val", "train"), ("only_train", "val")):
        shutil.copytree(sound, tmp_path / name)
        (tmp_path / name / "annotations" / f"instances_{gone}.json").unlink()
    assert (
        "val is all there is: foveal init holds 20% of its pictures out"
        in told(tmp_path / "only_val").values()
    )
    assert "no_validation_part" in told(tmp_path / "only_train")
    (tmp_path / "only_val/annotations/instances_val.json").rename(
        tmp_path / "only_val/annotations/instances_test.json"
    )
    shutil.copytree(tmp_path / "only_train", tmp_path / "no_val")
    shutil.copy(tmp_path / "only_val/annotations/instances_test.json", tmp_path / "no_val/annotations")
    (tmp_path / "no_val/images/val").rename(tmp_path / "no_val/images/test")
    assert "AP is measured on its test part" in told(tmp_path / "no_val")["no_validation_part"]
    content = read_labels(sound, "val")
    shutil.copytree(sound, tmp_path / "empty")
    write_labels(tmp_path / "empty", "val", {**content, "annotations": []})
    assert "training stops here, with exit code 3" in told(tmp_path / "empty")["unusable"]
    config = tmp_path / "config.yaml"
    config.write_text(
        "data:\n  train: {format: coco, annotations: only_train/annotations/instances_train.json, "
        "images: only_train/images/train}\n"
    )
    assert "nothing_measured" in told(config)


def test_lists_that_a_data_yaml_does_not_name_are_told(sound: Path, tmp_path: Path) -> None:
    folder = tmp_path / "yolo"
    write_yolo_set(folder, sound)
    (folder / "better_split").mkdir()
    for part in ("train", "val"):
        (folder / "better_split" / f"{part}.txt").write_text(f"{part}/images/0_000.png\n")
    report = examine(folder, "headers").report
    assert ["better_split" in f.message for f in report.findings if f.rule == "not_used"] == [True]


def test_a_data_yaml_is_data_also_where_its_names_are_damaged(sound: Path, tmp_path: Path) -> None:
    write_yolo_set(tmp_path, sound)
    file = tmp_path / "data.yaml"
    for text in (file.read_text(), file.read_text().replace("names:", "na<mes:").replace("nc:", "n<c:")):
        file.write_text(text)
        code, told = run(file, "--pictures", "headers")
        assert code == 0
        assert told.rstrip().endswith(f"next: foveal init {file}")


def test_the_copy_of_another_format_is_coco_and_says_so(sound: Path, tmp_path: Path) -> None:
    folder, copy = tmp_path / "yolo", tmp_path / "copy"
    write_yolo_set(folder, sound)
    _, text = run(folder, "--pictures", "headers", "--fix", copy)
    assert "a copy as COCO JSON, not as YOLO as the data's labels are" in text
    assert [(row["rule"], row["before"], row["after"]) for row in log_of(copy)] == [
        ("format", "yolo", "coco")
    ] * 2


def test_outputs_are_judged_before_the_data_is(sound: Path, tmp_path: Path) -> None:
    for option in ("json_file", "csv_file", "html_file", "anchor_picture"):
        with pytest.raises(UsageError, match="is a folder; give the name of the file to write"):
            doctor(sound, **{option: tmp_path}, quiet=True)  # type: ignore[arg-type]
    _, text = run(sound, "--pictures", "headers", "--json", tmp_path / "a", "--csv", tmp_path / "a")
    assert (tmp_path / "a").read_text().startswith("{")
    assert (tmp_path / "a-2").read_text().startswith("rule,")
    assert f"wrote {tmp_path / 'a-2'}" in text


# ---------------------------------------------------------------- of a configuration


@pytest.fixture
def config(sound: Path, tmp_path: Path) -> Path:
    """A configuration of the sound set, whose anchors are far too large."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "data:\n  root: nowhere\n"
        "  train: {format: coco, annotations: annotations/instances_train.json, images: images/train}\n"
        "  image_size: [96, 160]\nmodel:\n  architecture: {head: {params: {anchor_sizes: [[256], [512]]}}}\n"
        "  losses: {assigner: {allow_low_quality: false}}\n"
    )
    return path


def test_anchors_of_a_configuration(config: Path, sound: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / f"out.{name}" for name in ("json", "html", "png")}
    code, text = run(
        config, f"data.root={sound}", "--pictures", "headers", "--json", files["json"], "--html", files["html"],
        "--anchor-picture", files["png"],
    )  # fmt: skip
    assert code == 3, text
    found = json.loads(files["json"].read_text())
    assert "anchors_boxes_without" in {row["rule"] for row in found["findings"]}
    assert "best possible recall" in "".join(found["anchors"])
    assert "best possible recall" in text
    assert "<h2>Anchors</h2>" in files["html"].read_text()
    with Image.open(files["png"]) as sheet:
        assert sheet.width > 200


def test_fitted_anchors_are_written_into_a_new_file(config: Path, sound: Path, tmp_path: Path) -> None:
    before, better = config.read_bytes(), tmp_path / "better.yaml"
    code, text = run(config, f"data.root={sound}", "--fit-anchors", "-o", better)
    assert code == 0, text
    assert config.read_bytes() == before
    code, text = run(better, f"data.root={sound}", "--pictures", "headers")
    assert "anchors_boxes_without" not in text


def test_what_goes_with_a_configuration_only(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="settings go with a configuration"):
        doctor(sound, pictures="headers", overrides=["data.root=x"], quiet=True)
    with pytest.raises(UsageError, match="has no anchors"):
        doctor(sound, pictures="headers", anchor_picture=tmp_path / "x.png", quiet=True)
    code, text = run(sound, "-o", tmp_path / "x.yaml")
    assert code == 2
    assert "goes with --fit-anchors" in text


def test_a_file_that_is_there_stays(sound: Path, tmp_path: Path) -> None:
    taken = tmp_path / "report.html"
    taken.write_text("mine")
    _, text = run(sound, "--pictures", "headers", "--html", taken)
    assert taken.read_text() == "mine"
    written = [path for path in tmp_path.iterdir() if path != taken]
    assert len(written) == 1
    assert written[0].name in text


def test_what_fix_leaves_to_a_person_is_said(sound: Path, tmp_path: Path) -> None:
    """A class that is measured and never trained: no copy can mend that, so none is offered."""
    folder = tmp_path / "split"
    shutil.copytree(sound, folder)
    content = read_labels(folder, "train")
    gone = content["categories"][0]["id"]
    content["annotations"] = [row for row in content["annotations"] if row["category_id"] != gone]
    write_labels(folder, "train", content)
    code, text = run(folder, "--pictures", "headers")
    assert code == 3
    assert "which --fix cannot" in " ".join(text.split())
    _, text = run(folder, "--pictures", "headers", "--fix", tmp_path / "copy")
    assert "errors that only you can mend: class_not_trained" in " ".join(text.split())
