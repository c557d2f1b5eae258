"""foveal evaluate: the numbers, the classes, the file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foveal.build import build_records
from foveal.checkpoint.format import load_checkpoint, save_checkpoint
from foveal.config.load import data_of, load_config
from foveal.config.schema import ShapesSource
from foveal.data.coco import read_coco
from foveal.data.coco_writer import write_coco
from foveal.data.records import Records, with_classes
from foveal.errors import DataError, ModelFileError, UsageError
from foveal.metrics.coco import COCO_METRICS, CocoEvaluator
from foveal.runtime.predictor import Predictor
from foveal.verbs.evaluate import evaluate, metrics_table


def rename(records: Records, *names: str) -> Records:
    return replace(records, classes=records.classes._replace(names=names))


@pytest.fixture
def records(trained: Any) -> Records:
    return read_coco(trained.data / "annotations.json", trained.data / "images")


def test_default_is_the_validation_set_of_the_run(trained: Any) -> None:
    result = evaluate(trained.best, device="cpu", workers=0, quiet=True)
    assert result.metrics == trained.metrics
    assert tuple(result.metrics) == COCO_METRICS
    assert 0.2 < result.metrics["AP50"] <= 1  # it has learned these pictures
    assert result.pictures == 8
    written = json.loads((trained.folder / "evaluation.json").read_text())
    assert {name: written[name] for name in COCO_METRICS} == result.metrics
    sections = ["intervals", "errors", "confusion", "curves", "calibration", "thresholds", "by_size"]
    first = [*COCO_METRICS, "pictures", "checkpoint", "per_class"]
    assert list(written) == [*first, *sections, "findings", "galleries"]
    assert written["per_class"] == [row._asdict() for row in result.per_class]


def test_equal_to_the_evaluator_fed_by_the_predictor(trained: Any, records: Records) -> None:
    evaluator = CocoEvaluator(records.ground_truth())
    predictor = Predictor(trained.best, "cpu", score_thresh=0.0)
    for picture in range(len(records)):
        found = predictor(records.path(picture))
        evaluator.add(int(records.image_ids[picture]), found.boxes, found.scores, found.labels)
    assert evaluator.compute() == pytest.approx(trained.metrics, abs=1e-9)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_and_loader_processes_change_nothing(trained: Any, batch_size: int) -> None:
    result = evaluate(trained.best, batch_size=batch_size, device="cpu", workers=batch_size // 2, quiet=True)
    assert result.metrics == pytest.approx(trained.metrics, abs=2e-3)


def test_in_bf16(trained: Any) -> None:
    """Other numbers, and hardly worse ones."""
    result = evaluate(trained.best, device="cpu", workers=0, quiet=True, precision="bf16")
    assert result.metrics != trained.metrics
    assert result.metrics["AP50"] == pytest.approx(trained.metrics["AP50"], abs=0.1)


def test_a_backend_that_cannot(trained: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="backend torch cannot run in int8; take --backend openvino"):
        evaluate(trained.best, precision="int8")
    with pytest.raises(DataError, match="no picture there"):
        evaluate(trained.best, workers=0, quiet=True, calibration=tmp_path)


@pytest.mark.parametrize("kind", ["json", "config", "config_without_val"])
def test_data_by_json_or_config(
    trained: Any, tmp_path: Path, write_config: Any, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = trained.data / "annotations.json"
    if kind != "json":
        val = trained.data if kind == "config" else None
        data = write_config(tmp_path / "c.yaml", trained.data, val)
    assert evaluate(trained.best, data, device="cpu", workers=0).metrics == trained.metrics
    assert f"{data}: 8 pictures, " in capsys.readouterr().out


def test_a_part_by_its_name(
    trained: Any, tmp_path: Path, write_config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test part of a configuration, of the checkpoint's own, and of a folder; it is never taken unasked."""
    shapes = "{format: shapes, pictures: 5, classes: 2, size: 64}"
    data = write_config(tmp_path / "c.yaml", trained.data, shapes)
    section = data.read_text()
    assert "  val: {format" in section
    data.write_text(section.replace("  val: {", "  test: {format: shapes, pictures: 3, size: 64}\n  val: {"))

    def measured(file: Path, source: Path | None, part: Any) -> int:
        return evaluate(file, source, device="cpu", workers=0, quiet=True, part=part).pictures

    assert [measured(trained.best, data, part) for part in (None, "val", "test", "train")] == [5, 5, 3, 8]
    header, state = load_checkpoint(trained.best)
    header.config["data"] = data_of(load_config(data)).model_dump(mode="json")
    own = tmp_path / "own.safetensors"
    save_checkpoint(own, state, header)
    assert [measured(own, None, part) for part in (None, "test")] == [5, 3]
    with pytest.raises(UsageError, match=r"the checkpoint names no data\.test: give one with --data"):
        measured(trained.best, None, "test")
    data.write_text(section)
    with pytest.raises(UsageError, match=r"c\.yaml: no data\.test; add it, or leave --part out"):
        measured(trained.best, data, "test")
    with pytest.raises(UsageError, match=r"annotations\.json: no part test; it has all"):
        measured(trained.best, trained.data / "annotations.json", "test")
    evaluate(trained.best, data, device="cpu", workers=0, part="val")
    assert f"{data} val: 5 pictures" in capsys.readouterr().out


def test_classes_are_matched_by_name(trained: Any, records: Records, tmp_path: Path) -> None:
    """Other ids, another order, one class more: the same numbers, and the rest is told."""
    three = with_classes(records, ["green", "blue square", "red circle"])
    path = tmp_path / "labels.json"
    write_coco(three, path)
    content = json.loads(path.read_text())
    extra = {"id": 999, "image_id": 1, "category_id": content["categories"][0]["id"], "bbox": [1, 1, 9, 9]}
    content["annotations"].append({**extra, "area": 81, "iscrowd": 0})
    path.write_text(json.dumps(content))
    shutil.copytree(trained.data / "images", tmp_path / "images")
    result = evaluate(trained.best, path, device="cpu", workers=0, quiet=True)
    assert result.metrics == trained.metrics
    assert [row.name for row in result.per_class] == ["red circle", "blue square"]


def test_no_class_in_common(trained: Any, records: Records, tmp_path: Path, write_config: Any) -> None:
    write_coco(rename(records, "cat", "dog"), tmp_path / "labels.json")
    shutil.copytree(trained.data / "images", tmp_path / "images")
    said = "no class in common: the model knows red circle, blue square; the labels have cat, dog"
    with pytest.raises(DataError, match=said):
        evaluate(trained.best, tmp_path / "labels.json", workers=0, quiet=True)
    header, state = load_checkpoint(trained.best)
    other = header.classes._replace(names=("cat", "dog"))
    save_checkpoint(tmp_path / "other.safetensors", state, replace(header, classes=other))
    shapes = "{format: shapes, pictures: 4, classes: 1, size: 64}"
    with pytest.raises(DataError, match="the model knows cat, dog; the labels have red circle"):
        evaluate(
            tmp_path / "other.safetensors", write_config(tmp_path / "c.yaml", shapes), workers=0, quiet=True
        )


def test_generated_shapes_go_by_name(trained: Any) -> None:
    source = ShapesSource(format="shapes", pictures=6, classes=3, size=64)
    plain = build_records(source)
    turned = build_records(source, ["blue square", "cat", "red circle"])
    assert turned.classes.names == ("blue square", "cat", "red circle")
    assert len(set(turned.classes.ids)) == 3
    assert turned.fault_counts() == {"unknown_class": int((plain.labels == 2).sum())}
    for picture in range(len(plain)):
        old, new = plain.rows(picture), turned.rows(picture)
        names = [name for name in (plain.classes.names[label] for label in old.labels) if "green" not in name]
        assert [turned.classes.names[label] for label in new.labels] == [
            n for n in names if n in turned.classes.names
        ]
        assert (plain.load(picture) == turned.load(picture)).all()


def test_nothing_is_written_over(trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "e.json"
    mine.write_text("mine")
    evaluate(trained.best, output=mine, device="cpu", workers=0)
    assert mine.read_text() == "mine"
    assert json.loads((tmp_path / "e-2.json").read_text())["AP"] == trained.metrics["AP"]
    assert f"written to {tmp_path / 'e-2.json'}" in capsys.readouterr().out


def test_checkpoint_without_validation_set(trained: Any, tmp_path: Path) -> None:
    header, state = load_checkpoint(trained.best)
    header.config["data"]["val"] = None
    save_checkpoint(tmp_path / "a.safetensors", state, header)
    with pytest.raises(UsageError, match=r"names no validation set: give one with --data"):
        evaluate(tmp_path / "a.safetensors", quiet=True)


def test_data_section_of_another_foveal(trained: Any, tmp_path: Path) -> None:
    header, state = load_checkpoint(trained.best)
    header.config["data"]["val"]["format"] = "format_of_tomorrow"
    save_checkpoint(tmp_path / "a.safetensors", state, replace(header, version="9.0"))
    with pytest.raises(ModelFileError, match=r"a\.safetensors: Foveal 9\.0 wrote a data section .*--data"):
        evaluate(tmp_path / "a.safetensors", quiet=True)


def test_table(trained: Any, records: Records, capsys: pytest.CaptureFixture[str]) -> None:
    """A class without a box has dashes; a name with brackets is shown as it is."""
    from rich.console import Console

    from foveal.verbs.evaluate import Evaluation

    evaluator = CocoEvaluator(
        with_classes(rename(records, "[red] a", "[/b]"), ["[red] a", "[/b]", "c"]).ground_truth()
    )
    result = Evaluation(evaluator.compute(), evaluator.per_class(), 8, evaluator)
    Console(width=100).print(metrics_table(result, "[x] on 8"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "[x] on 8"
    rows = {line.split("  ")[0].strip(): line.split() for line in lines}
    assert rows["all"] == ["all", "26", "0.000", "0.000", "0.000", "0.000", "0.000", "-", "0.000"]
    assert rows["[red] a"][-7:] == ["0.000"] * 5 + ["-", "0.000"]
    assert rows["c"] == ["c", "0", *["-"] * 7]
    assert "[/b]" in rows
    assert lines[-1].strip() == "all: AR1 0.000  AR10 0.000  ARs 0.000  ARm 0.000  ARl -"


def test_a_long_name_is_folded_and_no_number_cut(trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """In 80 columns: the interval of a class stands whole beside a name that takes two lines."""
    from rich.console import Console

    result = evaluate(trained.best, device="cpu", workers=0, quiet=True)
    first = result.per_class[0]._replace(name="yellow triangle with a bow")
    Console(width=80).print(metrics_table(result._replace(per_class=[first, *result.per_class[1:]]), "80"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert result.analysis is not None
    interval = result.analysis.intervals.per_class[0]
    assert interval is not None
    words = f"{interval.low:.2f}-{interval.high:.2f}".replace("0.", ".")
    row = next(line for line in lines if line.split()[:1] == ["yellow"])
    assert row.split()[-1] == words
    assert any("AP 95 %" in line for line in lines)
    assert {"triangle", "bow"} <= {word for line in lines for word in line.split()}


# ---------------------------------------------------------------- how sure, and what is wrong


def test_intervals_and_errors_are_printed(trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The table stays within 80 columns, each line of the split has its price, and no name is cut."""
    result = evaluate(trained.best, device="cpu", workers=0)
    out = capsys.readouterr().out
    assert result.analysis is not None
    interval = result.analysis.intervals.AP
    assert interval is not None
    assert interval.value == pytest.approx(trained.metrics["AP"], abs=1e-12)
    assert f"AP {interval.value:.3f}, 95 %: {interval.low:.3f} to {interval.high:.3f} (8 pictures)" in out
    assert "…" not in out
    points = result.analysis.errors.points
    kind = max(points, key=lambda name: points[name])
    assert f"  {kind} {points[kind]:.1f} points of AP50: " in out
    assert f"the largest is {kind}; what usually helps: " in out
    assert "calibration error" not in out


def test_errors_prints_the_tables(trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(trained.best, device="cpu", workers=0, errors=True)
    out = capsys.readouterr().out
    for text in (
        "points of AP50 by kind",
        "not found",
        "(nothing)",
        "at the thresholds (stored)",
        "expected cal",
    ):
        assert text in out


def test_a_run_has_its_galleries(trained: Any) -> None:
    written = json.loads((trained.folder / "evaluation.json").read_text())
    assert written["thresholds"]["rule"] == "f1"
    assert written["thresholds"]["values"] == load_checkpoint(trained.best).header.thresholds
    assert written["galleries"]
    for gallery in written["galleries"]:
        assert gallery["file"] == f"galleries/{gallery['name']}.jpg"
        assert (trained.folder / gallery["file"]).is_file()
        assert gallery["rows"]


def test_new_thresholds_go_into_a_new_file(trained: Any, tmp_path: Path) -> None:
    before = trained.best.read_bytes()
    mine = tmp_path / "mine.safetensors"
    mine.write_text("mine")
    made = tmp_path / "mine-2.safetensors"
    evaluate(
        trained.best, device="cpu", workers=0, quiet=True, thresholds="precision=0.8", write_thresholds=mine
    )
    assert (mine.read_text(), trained.best.read_bytes()) == ("mine", before)
    (old, weights), (new, copied) = load_checkpoint(trained.best), load_checkpoint(made)
    assert new.thresholds != old.thresholds
    assert replace(new, thresholds={}) == replace(old, thresholds={})
    assert all((weights[name] == copied[name]).all() for name in weights)
    assert Predictor(made, "cpu").thresholds == new.thresholds
    result = evaluate(made, device="cpu", workers=0, quiet=True)
    assert result.metrics == trained.metrics  # thresholds are no part of the figures
    assert result.analysis is not None
    for label, name in enumerate(new.classes.names):
        if name not in result.analysis.thresholds.unreached and new.thresholds[name] < 1:
            assert (result.analysis.confusion.precision(label) or 1) >= 0.8


def test_galleries_go_into_a_new_folder(trained: Any, tmp_path: Path) -> None:
    folder, output = tmp_path / "look", tmp_path / "e.json"
    folder.mkdir()
    evaluate(trained.best, output=output, device="cpu", workers=0, quiet=True, galleries=folder)
    assert not list(folder.iterdir())
    files = [gallery["file"] for gallery in json.loads(output.read_text())["galleries"]]
    assert files
    assert all(file.startswith("look-2/") and (tmp_path / file).is_file() for file in files)


def test_a_rule_that_is_none_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(UsageError, match=r"thresholds 'best': take f1, or precision=0\.9"):
        evaluate(Path("nowhere.safetensors"), thresholds="best")


def test_data_section_of_the_run_is_the_one_in_the_checkpoint(trained: Any) -> None:
    data = data_of(load_config(trained.folder / "config.yaml"))
    assert load_checkpoint(trained.best).header.config["data"] == data.model_dump(mode="json")
