"""NetsPresso's set of YAML files as one configuration: an account of every key, and no key unknown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.convert.netspresso_examples import EXAMPLES, NEW, changed, convert, fate, write

from foveal.config import schema
from foveal.config.load import load_config
from foveal.convert.netspresso_yaml import convert_yaml
from foveal.errors import UsageError


def keys_of(node: yaml.Node, way: str = "") -> Iterator[tuple[str, int]]:
    """Every key of a YAML file and its line, found by PyYAML alone."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield f"{way}{name.value}", name.start_mark.line + 1
            yield from keys_of(value, f"{way}{name.value}.")
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from keys_of(item, f"{way}{number}.")


def _located(config: schema.Config, folder: Path) -> dict[str, Any]:
    """The configuration with its paths as loading makes them."""
    values = config.model_dump()
    data = values["data"]
    if data is not None:
        data["root"] = str(folder / data["root"])
        for split in ("train", "val"):
            for name in ("annotations", "images"):
                data[split][name] = str(folder / data["root"] / data[split][name])
    return values


class TestEveryKey:
    @pytest.mark.parametrize("name", list(EXAMPLES))
    def test_is_told_once_with_its_place(self, tmp_path: Path, name: str) -> None:
        result = convert(tmp_path, EXAMPLES[name])
        told = Counter((".".join(map(str, entry.key)), entry.place) for entry in result.entries)
        written: Counter[tuple[str, str]] = Counter()
        for file in tmp_path.glob("*.yaml"):
            if file.name != "foveal.yaml":
                root = yaml.compose(file.read_text(), yaml.SafeLoader)
                written.update((key, f"{file}:{line}") for key, line in keys_of(root))
        assert told == written
        assert len(written) > 25
        assert set(told.values()) == {1}

    @pytest.mark.parametrize("name", list(EXAMPLES))
    def test_has_a_kind_and_a_reason(self, tmp_path: Path, name: str) -> None:
        result = convert(tmp_path, EXAMPLES[name])
        for entry in result.entries:
            assert entry.kind in ("used", "mapped", "ignored")
            assert entry.text or entry.kind == "used"
        report = result.report().splitlines()
        assert [line.partition(": ")[0] for line in report[: len(result.entries)]] == [
            entry.place for entry in result.entries
        ]

    @pytest.mark.parametrize("name", list(EXAMPLES))
    def test_the_result_loads_back_equal(self, tmp_path: Path, name: str) -> None:
        result = convert(tmp_path, EXAMPLES[name])
        loaded = load_config(result.output, require_data=False)
        assert loaded.model_dump() == _located(result.config, tmp_path)
        assert result.output.read_text() == result.text
        assert str(tmp_path) not in result.text

    def test_the_commented_data_section_is_one(self, tmp_path: Path) -> None:
        text = convert(tmp_path, changed(NEW, "data.path.train.label", None)).text
        block = text[text.index("# data:") :].partition("\n\n")[0]
        data = yaml.safe_load("\n".join(line[2:] for line in block.splitlines()))["data"]
        data["train"] = {"format": "shapes"}
        found = schema.Data.model_validate(data)
        assert (found.image_size, found.workers, found.classes) == ((640, 640), 4, ["stop", "go"])
        assert found.augment.multi_scale == [0.95, 1.0, 1.05]


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("path", "line", "said"),
        [
            (
                "training.optimizer.learning_rate",
                "training.yaml",
                "unknown key 'learning_rate' in training.optimizer",
            ),
            ("training.epoch", "training.yaml", "unknown key 'epoch' in training; did you mean 'epochs'?"),
            ("model.architecture.neck.params.num_out", "model.yaml", "did you mean 'num_outs'?"),
            ("model.freeze_backbones", "model.yaml", "did you mean 'freeze_backbone'?"),
            (
                "data.path.validation",
                "data.yaml",
                "unknown key 'validation' in data.path; did you mean 'valid'?",
            ),
            (
                "augmentation.train.2.probability",
                "augmentation.yaml",
                "unknown key 'probability' in augmentation.train.2",
            ),
            ("environment.num_worker", "environment.yaml", "did you mean 'num_workers'?"),
        ],
    )
    def test_are_errors_with_the_nearest_known_one(
        self, tmp_path: Path, path: str, line: str, said: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            convert(tmp_path, changed(NEW, path, 1))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path}/{line}:")
        assert said in message
        assert "\n" not in message
        assert not (tmp_path / "foveal.yaml").exists()

    def test_all_are_told_together(self, tmp_path: Path) -> None:
        sections = changed(changed(NEW, "training.epoch", 1), "environment.gpu", 0)
        with pytest.raises(UsageError) as caught:
            convert(tmp_path, sections)
        assert len(str(caught.value).splitlines()) == 2

    def test_of_logging_change_nothing_and_are_told(self, tmp_path: Path) -> None:
        result = convert(tmp_path, changed(NEW, "logging.wandb", True))
        assert fate(result, "logging.wandb").startswith(
            "ignored because it is an unknown key 'wandb' in logging"
        )

    def test_transform(self, tmp_path: Path) -> None:
        with pytest.raises(
            UsageError, match=r"transform 'randomhorizontalflips' is not known; did you mean 'random"
        ):
            convert(tmp_path, changed(NEW, "augmentation.train.2.name", "randomhorizontalflips"))

    def test_top_level(self, tmp_path: Path) -> None:
        write(tmp_path, {"model": NEW["model"]})
        (tmp_path / "trainings.yaml").write_text("trainings: 3\n")
        with pytest.raises(
            UsageError, match=r"unknown key 'trainings' at the top level; did you mean 'training'\?"
        ):
            convert_yaml([tmp_path / "model.yaml", tmp_path / "trainings.yaml"])


class TestFiles:
    def test_nothing_is_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "foveal.yaml").write_text("mine")
        with pytest.raises(UsageError, match="exists already"):
            convert(tmp_path, NEW)
        assert (tmp_path / "foveal.yaml").read_text() == "mine"

    def test_default_names(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "a", NEW)
        assert convert_yaml(folder).output == folder / "foveal.yaml"
        assert convert_yaml(folder / "model.yaml").output == folder / "model.foveal.yaml"

    def test_changes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        changes = [
            "data.train={format: coco, annotations: a.json}",
            "model.compat=netspresso_512",
            "training.epochs=3",
        ]
        result = convert_yaml(write(tmp_path / "a", NEW), changes=changes)
        config = load_config(result.output)
        assert config.data is not None
        assert config.data.train == schema.CocoSource(format="coco", annotations=str(tmp_path / "a.json"))
        assert config.data.image_size == (640, 640)
        assert config.model.architecture.head.params.anchor_step == 512
        assert config.training.epochs == 3

    def test_report_files(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "a", NEW)
        result = convert_yaml(folder, tmp_path / "one.yaml", report=tmp_path / "one.json")
        told = json.loads((tmp_path / "one.json").read_text())
        assert [row["key"] for row in told["keys"]] == [".".join(map(str, e.key)) for e in result.entries]
        convert_yaml(folder, tmp_path / "two.yaml", report=tmp_path / "two.md")
        rows = [line for line in (tmp_path / "two.md").read_text().splitlines() if line.startswith("| `")]
        assert len(rows) == len(result.entries)
        for report in ("three.txt", "two.md"):
            with pytest.raises(UsageError):
                convert_yaml(folder, tmp_path / "three.yaml", report=tmp_path / report)
        assert not (tmp_path / "three.yaml").exists()

    def test_a_folder_is_read_again_beside_its_result(self, tmp_path: Path) -> None:
        first = convert(tmp_path, NEW)
        assert convert_yaml(tmp_path, tmp_path / "other.yaml").text == first.text

    def test_one_file_with_every_section(self, tmp_path: Path) -> None:
        separate = convert(tmp_path / "a", NEW)
        path = tmp_path / "all.yaml"
        path.write_text(yaml.safe_dump(NEW, sort_keys=False))
        assert convert_yaml(path).config == separate.config

    def test_a_section_in_two_files(self, tmp_path: Path) -> None:
        write(tmp_path / "a", {"model": NEW["model"]})
        write(tmp_path / "b", {"model": NEW["model"]})
        with pytest.raises(UsageError, match=r"section 'model' stands in .*a/model.yaml:1, too"):
            convert_yaml([tmp_path / "a", tmp_path / "b"])

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="holds no YAML file"):
            convert_yaml(tmp_path)
