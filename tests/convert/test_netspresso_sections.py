"""What each section of NetsPresso's files becomes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.convert.netspresso_examples import (
    FLAT,
    MEAN,
    NEW,
    NORMALIZE,
    OLD,
    PAD,
    RESIZE,
    STD,
    TENSOR,
    changed,
    convert,
    fate,
)

from foveal.build import build_records
from foveal.config import schema
from foveal.config.load import load_config
from foveal.engine.optim import peak_rate, pictures_per_step
from foveal.errors import UsageError


class TestModel:
    def test_new_and_old_keys_are_one_model(self, tmp_path: Path) -> None:
        new, old = (
            convert(tmp_path / name, {"model": (NEW if name == "new" else OLD)["model"]}).config
            for name in ("new", "old")
        )
        assert new.model.architecture.backbone.name == "resnet50"
        assert new.model.architecture.backbone.params.batch_norm == "trained"
        weights = [config.model.architecture.backbone.params.weights for config in (new, old)]
        assert weights == [None, "imagenet"]
        assert new.model.architecture.neck == old.model.architecture.neck
        assert new.model.architecture.head == old.model.architecture.head
        assert new.model.postprocessor == old.model.postprocessor
        assert new.model.losses == old.model.losses
        assert new.data is None

    def test_head_block_alone(self, tmp_path: Path) -> None:
        head = {"architecture": {"head": NEW["model"]["architecture"]["head"]}}
        config = convert(tmp_path, {"model": head}).config
        assert config.model.architecture.head.params.anchor_sizes == [[32], [64], [128], [256]]
        assert config.model.architecture.backbone == schema.Backbone()

    def test_differences_that_no_key_says_are_remarked(self, tmp_path: Path) -> None:
        remarks = " ".join(convert(tmp_path, {"model": NEW["model"]}).remarks)
        assert "compat: netspresso_512" in remarks
        assert "detections_per_img: null" in remarks
        assert "out_channels is 2048" in remarks

    def test_frozen_backbone(self, tmp_path: Path) -> None:
        config = convert(tmp_path, {"model": NEW["model"] | {"freeze_backbone": True}}).config
        assert config.model.architecture.backbone.params.batch_norm == "frozen"
        assert config.training.optimizer.backbone_lr_factor == 0

    @pytest.mark.parametrize(
        ("path", "value", "said"),
        [
            ("model.task", "segmentation", "task 'segmentation' has no equal here"),
            ("model.architecture.full", {"name": "yolo"}, "full is a whole model of another kind"),
            ("model.losses.0.criterion", "yolox_loss", "criterion 'yolox_loss' has no equal here"),
            ("model.architecture.head.params.num_layers", "four", "num_layers: 'four' is not allowed"),
            (
                "model.architecture.neck",
                [1],
                "model.architecture.neck: a list is not allowed; allowed: a mapping",
            ),
        ],
    )
    def test_what_cannot_be_built(self, tmp_path: Path, path: str, value: Any, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            convert(tmp_path, changed({"model": NEW["model"]}, path, value))


class TestData:
    def root(self, folder: Path, **files: str) -> dict[str, Any]:
        for name, text in files.items():
            path = folder / "signs" / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "signs").mkdir(parents=True, exist_ok=True)
        return changed({"data": NEW["data"]}, "data.path.root", str(folder / "signs"))

    def test_coco(self, tmp_path: Path) -> None:
        sections = self.root(tmp_path, **{"labels/train/a.json": "{}", "labels/valid.json": "{}"})
        sections = changed(sections, "data.path.valid.label", "labels/valid.json")
        result = convert(tmp_path, sections)
        data = result.config.data
        assert data is not None
        assert data.root == str(tmp_path / "signs")
        assert data.train == schema.CocoSource(
            format="coco", annotations="labels/train/a.json", images="images/train"
        )
        assert data.val == schema.CocoSource(
            format="coco", annotations="labels/valid.json", images="images/valid"
        )
        loaded = load_config(result.output)
        assert loaded.data is not None
        assert isinstance(loaded.data.train, schema.CocoSource)
        assert loaded.data.train.annotations == str(tmp_path / "signs/labels/train/a.json")

    def test_voc(self, tmp_path: Path) -> None:
        sections = self.root(tmp_path, **{"labels/train/a.xml": "<a/>", "labels/valid/a.xml": "<a/>"})
        data = convert(tmp_path, sections).config.data
        assert data is not None
        assert data.train == schema.VocSource(format="voc", annotations="labels/train", images="images/train")
        assert data.classes == ["stop", "go"]

    def yolo(self, folder: Path) -> dict[str, Any]:
        """Two pictures of 80 x 40 in train and one in valid, in the layout of NetsPresso's templates."""
        rows = {
            "train/a": "0 0.25 0.5 0.125 0.25\n1 0.5 0.5 0.5 0.5\n",
            "train/b": "",
            "valid/a": "1 .5 .5 .5 .5",
        }
        sections = self.root(folder, **{f"labels/{name}.txt": text for name, text in rows.items()})
        for name in rows:
            path = folder / "signs" / "images" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (80, 40)).save(path)
        return sections

    def test_yolo(self, tmp_path: Path) -> None:
        result = convert(tmp_path, self.yolo(tmp_path))
        data = load_config(result.output).data
        assert data is not None
        train, val = (build_records(source, data.classes) for source in (data.train, data.val) if source)
        assert train.files.tolist() == ["images/train/a.png", "images/train/b.png"]
        assert train.boxes.tolist() == [[15, 15, 25, 25], [20, 10, 60, 30]]
        assert [train.classes.names[label] for label in train.labels] == ["stop", "go"]
        assert val.files.tolist() == ["images/valid/a.png"]
        assert [val.classes.names[label] for label in val.labels] == ["go"]
        assert fate(result, "data.path.train.label") == (
            "mapped to data.train.annotations labels/train: YOLO text"
        )
        assert fate(result, "data.path.train.image") == "mapped to data.train.images images/train"
        assert fate(result, "data.id_mapping") == (
            "mapped to data.classes stop, go: names of data.train, too; names of data.val, too"
        )
        assert any("a picture without a label file is background" in remark for remark in result.remarks)
        assert not [note for note in result.notes if note.warning]

    @pytest.mark.parametrize("mapping", [{0: "stop", 1: "go"}, {"stop": 0, "go": 1}, "ids.json"])
    def test_ids_with_names(self, tmp_path: Path, mapping: Any) -> None:
        sections = self.yolo(tmp_path)
        (tmp_path / "signs" / "ids.json").write_text('{"0": "stop", "1": "go"}')
        sections["data"]["id_mapping"] = mapping
        result = convert(tmp_path, sections)
        data = load_config(result.output).data
        assert data is not None
        assert isinstance(data.train, schema.YoloSource)
        assert (data.train.class_names(), data.classes) == ({0: "stop", 1: "go"}, ["stop", "go"])
        if isinstance(mapping, dict):
            assert [fate(result, f"data.id_mapping.{name}") for name in mapping] == ["used", "used"]

    def test_ids_with_gaps(self, tmp_path: Path) -> None:
        sections = self.yolo(tmp_path)
        sections["data"]["id_mapping"] = {1: "go", 7: "wait"}
        data = load_config(convert(tmp_path, sections).output).data
        assert data is not None
        assert data.classes == ["go", "wait"]
        records = build_records(data.train, data.classes)
        assert records.boxes.tolist() == [[20, 10, 60, 30]]
        assert (records.classes.ids, records.fault_counts()["unknown_class"]) == ((1, 7), 1)

    @pytest.mark.parametrize("mapping", [[1, 2], {"stop": "a"}, {0: ["stop"]}, 3])
    def test_names_that_are_none(self, tmp_path: Path, mapping: Any) -> None:
        sections = self.yolo(tmp_path)
        sections["data"]["id_mapping"] = mapping
        with pytest.raises(UsageError, match="id_mapping must be a list of class names, ids with names"):
            convert(tmp_path, sections)

    def test_labels_that_are_not_there_yet(self, tmp_path: Path) -> None:
        result = convert(tmp_path, {"data": NEW["data"]})
        data = result.config.data
        assert data is not None
        assert data.train == schema.YoloSource(
            format="yolo", annotations="labels/train", images="images/train", names=["stop", "go"]
        )
        warnings = [note.text for note in result.notes if note.warning]
        assert len(warnings) == 2
        assert "data.path.train.label: labels/train: there are no label files now" in warnings[0]

    def test_labels_that_cannot_be_told(self, tmp_path: Path) -> None:
        sections = self.root(tmp_path, **{"labels/train/a.json": "{}", "labels/train/b.json": "{}"})
        result = convert(tmp_path, sections)
        assert result.config.data is None
        assert fate(result, "data.path.train.label") == (
            "ignored because it holds several JSON files; write the one that is meant into data"
        )
        assert any("data.path.train.label is ignored" in note.text for note in result.notes if note.warning)

    def test_class_names_of_a_file(self, tmp_path: Path) -> None:
        sections = self.root(tmp_path, **{"names.json": '["a", "b"]', "labels/train/a.xml": "<a/>"})
        data = convert(tmp_path, changed(sections, "data.id_mapping", "names.json")).config.data
        assert data is not None
        assert data.classes == ["a", "b"]
        result = convert(tmp_path / "absent", changed(sections, "data.id_mapping", "none.json"))
        assert "cannot be read as a JSON list" in fate(result, "data.id_mapping")
        assert fate(result, "data.id_mapping").endswith("write data.classes, and names into data.val")

    def test_hub(self, tmp_path: Path) -> None:
        data = {
            "task": "detection",
            "format": "huggingface",
            "metadata": {"repo": "a/b", "features": {"image": "i"}},
        }
        result = convert(tmp_path, {"data": data})
        assert fate(result, "data.metadata.features.image").startswith(
            "ignored because data sets of the Hugging"
        )


class TestAugmentation:
    def convert(self, folder: Path, *train: dict[str, Any]) -> schema.Config:
        train_file = {"path": {"train": {"image": "i", "label": "a.json"}}}
        return convert(folder, {"data": train_file, "augmentation": {"train": list(train)}}).config

    def test_lists(self, tmp_path: Path) -> None:
        config = self.convert(tmp_path, *NEW["augmentation"]["train"])
        assert config.data is not None
        assert config.data.image_size == (640, 640)
        augment = config.data.augment
        assert (augment.mosaic, augment.horizontal_flip, augment.scale_jitter) == (0.5, 0.4, (0.5, 1.5))
        # 30 of 255 is a factor of 1.1176; Foveal's strength s is a factor of 1.6 ** s.
        assert 1.6**augment.colour == pytest.approx(1 + 30 / 255, abs=1e-4)

    def test_what_the_file_does_not_ask_for_is_off(self, tmp_path: Path) -> None:
        config = self.convert(tmp_path, RESIZE, PAD)
        assert config.data is not None
        assert config.data.augment == schema.Augment(horizontal_flip=0.0)
        assert config.model.architecture.pixels == schema.Pixels()

    @pytest.mark.parametrize("scale", [1.0, 255.0])
    def test_pixels(self, tmp_path: Path, scale: float) -> None:
        """(v / 255 x range - mean) / std, as Foveal's (v - mean) / std."""
        with_norm = self.convert(
            tmp_path / "a", TENSOR | {"pixel_range": scale}, NORMALIZE
        ).model.architecture.pixels
        bare = self.convert(tmp_path / "b", TENSOR | {"pixel_range": scale}).model.architecture.pixels
        assert with_norm.mean is not None
        assert with_norm.std is not None
        assert bare.mean == (0, 0, 0)
        assert bare.std is not None
        for value in (0, 17, 255):
            for channel in range(3):
                theirs = (value / 255 * scale - MEAN[channel]) / STD[channel]
                assert (value - with_norm.mean[channel]) / with_norm.std[channel] == pytest.approx(
                    theirs, rel=1e-2
                )
                assert value / bare.std[channel] == pytest.approx(value / 255 * scale)

    def test_colour_jitter(self, tmp_path: Path) -> None:
        config = self.convert(tmp_path, OLD["augmentation"]["transforms"][2])
        assert config.data is not None
        assert config.data.augment.colour == pytest.approx(0.5 * math.log(1.25) / math.log(1.6), abs=1e-4)

    def test_flat_file(self, tmp_path: Path) -> None:
        data = {"path": {"train": {"label": "a.json"}}}
        config = convert(tmp_path, {"data": data, **FLAT}).config
        assert config.data is not None
        assert config.data.image_size == (256, 256)
        assert config.data.augment.horizontal_flip == 0.5
        assert config.data.augment.colour == pytest.approx(0.5 * math.log(1.25) / math.log(1.6), abs=1e-4)

    def test_stretched_pictures_are_told(self, tmp_path: Path) -> None:
        train = {"augmentation": {"train": [RESIZE | {"size": [512, 384], "resize_criteria": None}]}}
        result = convert(tmp_path, train)
        assert fate(result, "augmentation.train.0.name").endswith(
            "keeps its shape and is padded; theirs is stretched"
        )
        assert fate(result, "augmentation.train.0.size") == "mapped to data.image_size 512, 384"

    def test_sizes_that_differ_are_told(self, tmp_path: Path) -> None:
        result = convert(tmp_path, {"augmentation": {"train": [RESIZE, PAD | {"size": 672}]}})
        assert "data.image_size is [640, 640], given before" in fate(result, "augmentation.train.1.size")


class TestTraining:
    def test_new_files(self, tmp_path: Path) -> None:
        training = convert(tmp_path, NEW).config.training
        assert (training.epochs, training.batch_size, training.accumulate, training.seed) == (30, 8, 3, 7)
        assert (training.clip_grad_norm, training.precision, training.validate_every) == (0.1, "16-mixed", 10)
        assert training.ema == schema.Ema(decay=0.9999, warmup=True)
        assert isinstance(training.optimizer, schema.Sgd)
        assert (training.optimizer.momentum, training.optimizer.weight_decay) == (0.937, 0.0005)
        assert training.schedule.final_factor == pytest.approx(0.0001 / 0.01)

    @pytest.mark.parametrize(("gpus", "batch"), [("0", 8), ("0,1,2,3", 8), (2, 64), ("0, 1", 1)])
    def test_the_rate_of_a_step_is_theirs(self, tmp_path: Path, gpus: Any, batch: int) -> None:
        """What foveal train makes of lr_per_16 (engine/optim.py) is the lr of their file."""
        sections = changed(changed(NEW, "environment.gpus", gpus), "environment.batch_size", batch)
        training = convert(tmp_path, sections).config.training
        assert pictures_per_step(training) == batch * len(str(gpus).split(","))
        assert peak_rate(training) == pytest.approx(0.01)

    def test_no_batch_size_anywhere(self, tmp_path: Path) -> None:
        result = convert(tmp_path, {"training": NEW["training"]})
        assert result.config.training.optimizer.lr_per_16 == pytest.approx(0.02)
        assert fate(result, "training.optimizer.lr").endswith("NetsPresso's default: no file says")

    def test_steps(self, tmp_path: Path) -> None:
        training = convert(tmp_path, OLD).config.training
        assert training.schedule.name == "steps"
        assert training.schedule.milestones == pytest.approx([4 / 12, 8 / 12])
        assert training.schedule.drop == 0.5
        assert training.ema is None
        assert isinstance(training.optimizer, schema.AdamW)
        assert training.optimizer.lr_per_16 == pytest.approx(6e-5 * 2)

    def test_flat_file(self, tmp_path: Path) -> None:
        result = convert(tmp_path, FLAT)
        training = result.config.training
        assert isinstance(training.optimizer, schema.Sgd)
        assert (training.optimizer.lr_per_16, training.optimizer.momentum) == (pytest.approx(0.02), 0.937)
        assert training.schedule.final_factor == pytest.approx(0.1)
        assert (
            fate(result, "training.sched") == "mapped to training.schedule.name cosine: without its restarts"
        )

    def test_an_optimizer_without_equal(self, tmp_path: Path) -> None:
        optimizer = {"name": "rmsprop", "lr": 0.1, "alpha": 0.99, "momentum": 0.0, "weight_decay": 0.0}
        result = convert(tmp_path, {"training": {"epochs": 2, "optimizer": optimizer}})
        assert result.config.training.optimizer == schema.AdamW()
        assert fate(result, "training.optimizer.lr").startswith("ignored because")

    def test_newer_place_wins(self, tmp_path: Path) -> None:
        result = convert(tmp_path, changed(NEW, "training.seed", 3))
        assert result.config.training.seed == 7
        assert fate(result, "training.seed").startswith("ignored because environment gives it, too")

    @pytest.mark.parametrize(
        ("path", "value", "said"),
        [
            ("training.optimizer.name", "sdg", "optimizer 'sdg' is not known"),
            ("training.scheduler.name", "cosin", "scheduler 'cosin' is not known"),
            ("training.ema.name", "fast", "ema 'fast' is not known"),
            ("training.epochs", "ten", "training.epochs: 'ten' is not allowed; allowed: a number"),
            ("training.epochs", 0, "training.epochs: 0 is not allowed"),
            ("training.optimizer", 5, "training.optimizer: 5 is not understood in this place"),
            ("environment.gpus", "all", "gpus 'all' is not allowed"),
            ("data.workers", 3, "unknown key 'workers' in data"),
        ],
    )
    def test_faults(self, tmp_path: Path, path: str, value: Any, said: str) -> None:
        with pytest.raises(UsageError) as caught:
            convert(tmp_path, changed(NEW, path, value))
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
