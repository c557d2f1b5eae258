"""A YAML file and overrides -> Config; faults told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from foveal.config import schema
from foveal.config.load import ConfigWarning, data_of, dump_config, load_config, read_config
from foveal.config.schema import Config
from foveal.errors import UsageError

SHAPES = "data:\n  train: {format: shapes}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, *overrides: str, require_data: bool = False) -> str:
    with pytest.raises(UsageError) as caught:
        load_config(path, overrides, require_data=require_data)
    return str(caught.value).replace(str(path), path.name)


def model(folder: Path, text: str, *overrides: str) -> schema.Model:
    return load_config(write(folder, text), overrides, require_data=False).model


class TestFile:
    def test_defaults_are_the_papers(self, tmp_path: Path) -> None:
        config = load_config(write(tmp_path, SHAPES))
        head = config.model.architecture.head.params
        assert [sizes[0] for sizes in head.anchor_sizes] == [32, 64, 128, 256, 512]
        assert config.model.architecture.neck.params.min_level == 3
        assert data_of(config).train.format == "shapes"

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "file.yaml: empty"),
            (b"# only a comment\n", "file.yaml: empty"),
            (b"- a\n- b\n", "file.yaml:1: holds a list"),
            (b"hello\n", "file.yaml:1: holds a single value"),
            (b"data:\n  train: \xff\xfe\n", "file.yaml:2: not UTF-8"),
            (b"data:\n\ttrain: 1\n", "file.yaml:2: a tab in the indentation"),
            (b"data: [1, 2\ntraining: 3\n", "file.yaml:2: not YAML"),
            (b"a: 1\nb: \x07\n", "file.yaml:2: character U+0007"),
            (b"training:\n  seed: 1\n  seed: 2\n", "file.yaml:3: key 'seed' stands twice, first in line 2"),
            (b"training: !!python/object/apply:os.system [ls]\n", "file.yaml:1: YAML tag"),
            (b"training: {seed: !!python/name:os.system x}\n", "file.yaml:1: cannot read 'x'"),
            (b"1.5: 2\n", "file.yaml:1: a key must be text"),
            (b"1: 2\n", "file.yaml:1: unknown key '1' at the top level"),
            (b"a: 1\n---\nb: 2\n", "file.yaml:2: not YAML: but found another document"),
        ],
    )
    def test_what_is_no_configuration(self, tmp_path: Path, content: bytes, said: str) -> None:
        path = tmp_path / "file.yaml"
        path.write_bytes(content)
        message = refusal(path)
        assert message.startswith(said)
        assert "\n" not in message

    def test_missing_file_and_folder(self, tmp_path: Path) -> None:
        assert "no such file" in refusal(tmp_path / "file.yaml")
        assert "is a folder" in refusal(tmp_path)

    def test_early_stopping_needs_something_to_go_by(self, tmp_path: Path) -> None:
        path = write(tmp_path, SHAPES + "training:\n  early_stopping: 5\n")
        assert refusal(path).startswith("file.yaml:4: training.early_stopping: goes by the AP on data.val")
        assert load_config(path, ["data.val={format: shapes, seed: 1}"]).training.early_stopping == 5

    def test_data_may_be_left_out_only_where_allowed(self, tmp_path: Path) -> None:
        path = write(tmp_path, "training: {epochs: 3}\n")
        assert load_config(path, require_data=False).data is None
        assert "section 'data' is missing" in refusal(path, require_data=True)
        with pytest.raises(UsageError, match="no section 'data'"):
            data_of(load_config(path, require_data=False))

    def test_bombs_are_refused(self, tmp_path: Path) -> None:
        """Without being unfolded: that would take longer than any test may."""
        laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
        )
        deep = "a: " + "[" * 5000
        wide = "a: [" + "1," * 300_000 + "]"
        itself = "a: &a [*a]\n"
        for text in (laughs, deep, wide, itself, "x" * 1_000_001):
            assert "\n" not in refusal(write(tmp_path, text))

    def test_a_large_mapping_merged_again_and_again(self, tmp_path: Path) -> None:
        """Keys that are there already are looked at each time, too."""
        keys = ", ".join(f"k{number}: 1" for number in range(3000))
        text = f"a: &a {{{keys}}}\nb: {{<<: [{', '.join(['*a'] * 90)}]}}\n"
        assert "aliases expand to more than 12000 values" in refusal(write(tmp_path, text))

    @pytest.mark.parametrize(
        "value", ["9" * 5000, "0x" + "f" * 5000, "1" + ":59" * 100_000, "1" + ":59" * 99 + ".5"]
    )
    def test_numbers_that_are_no_settings(self, tmp_path: Path, value: str) -> None:
        """The one to the base of sixty took hours; a hexadecimal one could be read, and never written."""
        said = refusal(write(tmp_path, f"training: {{max_steps: {value}}}\n"))
        assert said == f"file.yaml:1: a number of {len(value)} letters; over 100 are no setting"

    def test_more_faults_than_a_person_mends(self, tmp_path: Path) -> None:
        text = "training:\n" + "".join(f"  k{number}: {number}\n" for number in range(500))
        lines = refusal(write(tmp_path, text)).splitlines()
        assert len(lines) == 51
        assert lines[0].startswith("file.yaml:2: unknown key 'k0'")
        assert lines[-1] == "file.yaml:1: and 450 more faults; mend these first"

    def test_alias_and_merge_work(self, tmp_path: Path) -> None:
        text = (
            "data:\n  train: &set {format: shapes, pictures: 40, size: 64}\n  val: {<<: *set, pictures: 8}\n"
        )
        data = data_of(load_config(write(tmp_path, text)))
        assert isinstance(data.val, schema.ShapesSource)
        assert (data.val.pictures, data.val.size) == (8, 64)

    def test_numbers_with_exponents(self, tmp_path: Path) -> None:
        path = write(
            tmp_path, "training: {optimizer: {lr_per_16: 1e-4, weight_decay: 5E-2}, max_steps: 1e3}\n"
        )
        training = load_config(path, require_data=False).training
        assert (training.optimizer.lr_per_16, training.optimizer.weight_decay) == (1e-4, 0.05)
        assert training.max_steps == 1000


class TestFaults:
    def test_nearest_key(self, tmp_path: Path) -> None:
        text = "model:\n  architecture:\n    head:\n      params:\n        anchor_size: [[32]]\n"
        assert refusal(write(tmp_path, text)) == (
            "file.yaml:5: unknown key 'anchor_size' in model.architecture.head.params; "
            "did you mean 'anchor_sizes'?"
        )

    def test_key_in_the_wrong_section(self, tmp_path: Path) -> None:
        text = "model:\n  architecture:\n    head:\n      params: {fg_iou_thresh: 0.5}\n"
        assert "it belongs in model.losses.assigner" in refusal(write(tmp_path, text))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("trainin: {}", "1: unknown key 'trainin' at the top level; did you mean 'training'?"),
            (
                "training:\n  epochs: soon",
                "2: training.epochs: 'soon' is not allowed; allowed: a whole number > 0",
            ),
            (
                "data: {train: {format: csv, annotations: a.csv, columns: 5}}",
                "1: data.train.columns: 5 is not allowed; allowed: a mapping, or null",
            ),
            ("training:\n  epochs: 1.5", "2: training.epochs: 1.5 is not allowed"),
            ("training:\n  epochs: yes", "2: training.epochs: true is not allowed"),
            ("training:\n  seed: off", "2: training.seed: false is not allowed; allowed: a whole number"),
            (
                "training: {optimizer: {lr_per_16: .nan}}",
                "1: training.optimizer.lr_per_16: nan is not allowed",
            ),
            (
                "training: {optimizer: {name: adam}}",
                "1: training.optimizer.name: 'adam' is not allowed; allowed: adamw or sgd; did you mean 'adamw'?",
            ),
            ("training: {schedule: ~}", "1: training.schedule: nothing (null) is not allowed"),
            ("training: 3", "1: training: 3 is not allowed; allowed: a mapping with the keys"),
            (
                "data: {train: {format: vox}}",
                "1: data.train.format: 'vox' is not allowed; allowed: coco, csv, shapes",
            ),
            (
                "data:\n  train: {annotations: x}",
                "2: key 'format' is missing in data.train; needed: coco, csv, shapes, voc or yolo",
            ),
            ("data:\n  train: {format: coco}", "2: key 'annotations' is missing in data.train; needed: text"),
            ("data:\n  classes: [a]", "1: key 'train' is missing in data"),
            (
                SHAPES + "  classes: [a, no]",
                "3: data.classes.1: false is not allowed; allowed: text; put yes, no",
            ),
            (SHAPES + "  classes: [a, b, a]", "3: data.classes: names 'a' more than once"),
            (
                SHAPES + "  image_size: [512]",
                "3: data.image_size: [512] is not allowed; allowed: a list of 2: a whole number in",
            ),
            (
                "data:\n  train:\n    {format: csv, annotations: x, columns: {file: 1, q: 2}}",
                "3: data.train.columns: no such column 'q'; known are file, class, x1",
            ),
            (
                SHAPES + "  augment: {scale_jitter: [2, 1]}",
                "3: data.augment.scale_jitter: [2.0, 1.0] is upside down",
            ),
            (
                "model: {losses: {classification: {focal_alpha: [0.5, 2]}}}",
                "1: model.losses.classification.focal_alpha",
            ),
            (
                "model: {losses: {assigner: {fg_iou_thresh: 0.3}}}",
                "1: model.losses.assigner.bg_iou_thresh: 0.4 is above fg_iou_thresh (0.3)",
            ),
            (
                "model: {losses: {assigner: {name: atss, fg_iou_thresh: 1}}}",
                "1: unknown key 'fg_iou_thresh' in model.losses.assigner",
            ),
        ],
    )
    def test_one_line_each(self, tmp_path: Path, text: str, said: str) -> None:
        message = refusal(write(tmp_path, text))
        assert message.startswith(f"file.yaml:{said}")
        assert "\n" not in message

    def test_all_faults_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        text = (
            "training:\n  epoch: 3\n  seed: x\n"
            "model:\n  architecture:\n    head:\n      params:\n        num_layers: -1\n"
        )
        lines = refusal(write(tmp_path, text), "training.batch_size=0").splitlines()
        assert [line.split(": ")[0] for line in lines] == [
            "file.yaml:2",
            "file.yaml:3",
            "file.yaml:8",
            "override training.batch_size=0",
        ]

    @pytest.mark.parametrize(
        ("first", "lists", "ok"), [(3, 5, True), (3, 6, False), (2, 6, True), (2, 7, False), (5, 1, True)]
    )
    def test_levels(self, tmp_path: Path, first: int, lists: int, ok: bool) -> None:
        text = (
            f"model:\n  architecture:\n    neck: {{params: {{min_level: {first}}}}}\n"
            f"    head:\n      params:\n        anchor_sizes: {[[8 * 2**i] for i in range(lists)]}\n"
        )
        path = write(tmp_path, text)
        if ok:
            load_config(path, require_data=False)
        else:
            assert f"file.yaml:6: model.architecture.head.params.anchor_sizes: has {lists} lists" in refusal(
                path
            )
            assert f"one per level: P{first}..P{first + lists - 1}; the coarsest level is P7" in refusal(path)

    def test_unequal_lists(self, tmp_path: Path) -> None:
        text = "model: {architecture: {head: {params: {anchor_sizes: [[32, 40], [64]]}}}}"
        assert "the lists hold 2, 1 sizes; every level needs the same number" in refusal(
            write(tmp_path, text)
        )


class TestOverrides:
    def test_value_is_yaml(self, tmp_path: Path) -> None:
        path = write(tmp_path, SHAPES)
        config = load_config(
            path,
            [
                "training.epochs=7",
                "training.optimizer.lr_per_16=1e-4",
                "data.classes=[cat, dog]",
                "data.classes.0=bird",
                "data.classes.2=cow",
                "data.val={format: shapes, seed: 1}",
                "training.ema=",
                "model.architecture.backbone.params.weights=null",
            ],
        )
        assert config.training.epochs == 7
        assert config.training.optimizer.lr_per_16 == 1e-4
        assert data_of(config).classes == ["bird", "dog", "cow"]
        assert data_of(config).val == schema.ShapesSource(format="shapes", seed=1)
        assert config.training.ema is None
        assert config.model.architecture.backbone.params.weights is None

    def test_item_of_a_default_list(self, tmp_path: Path) -> None:
        found = model(
            tmp_path, "training: {}\n", "model.architecture.head.params.anchor_sizes.0=[16, 20, 25]"
        )
        assert found.architecture.head.params.anchor_sizes[0] == [16, 20, 25]
        assert found.architecture.head.params.anchor_sizes[1][0] == 64

    def test_another_kind_where_the_file_says_nothing(self, tmp_path: Path) -> None:
        found = model(tmp_path, "training: {}\n", "model.losses.assigner.name=atss")
        assert found.losses.assigner == schema.AtssAssigner(name="atss")

    def test_another_kind_drops_what_only_the_old_one_knows(self, tmp_path: Path) -> None:
        resolved = write(tmp_path, dump_config(Config()))
        loaded = read_config(resolved, ["training.optimizer.name=sgd"], require_data=False)
        assert isinstance(loaded.config.training.optimizer, schema.Sgd)
        path = write(tmp_path, "model: {losses: {assigner: {name: iou, fg_iou_thresh: 0.6}}}\n")
        loaded = read_config(path, ["model.losses.assigner.name=atss"], require_data=False)
        assert loaded.config.model.losses.assigner == schema.AtssAssigner(name="atss")
        assert "model.losses.assigner.fg_iou_thresh is dropped" in loaded.notes[0].text

    def test_another_kind_keeps_what_was_overridden_or_is_unknown_to_all(self, tmp_path: Path) -> None:
        path = write(tmp_path, "model: {losses: {assigner: {nme: iou}}}\n")
        assert "unknown key 'nme'" in refusal(path, "model.losses.assigner.name=atss")
        assert "override model.losses.assigner.fg_iou_thresh=1: unknown key" in refusal(
            path, "model.losses.assigner.name=atss", "model.losses.assigner.fg_iou_thresh=1"
        )

    @pytest.mark.parametrize(
        ("override", "said"),
        [
            ("training.epochs", "override 'training.epochs': write it as key.sub=value"),
            ("=3", "override '=3': write it as"),
            ("training..epochs=3", "override training..epochs=3: an empty name"),
            (
                "training.epoch=3",
                "override training.epoch=3: unknown key 'epoch' in training; did you mean 'epochs'?",
            ),
            ("trainin.epochs=3", "override trainin.epochs=3: unknown key 'trainin'"),
            ("training.epochs=x", "override training.epochs=x: training.epochs: 'x' is not allowed"),
            ("training.epochs=[1", "override training.epochs=[1: not YAML"),
            ("data.classes.5=x", "override data.classes.5=x: data.classes is a list of 2"),
            ("data.classes.first=x", "override data.classes.first=x: data.classes is a list of 2"),
            ("data.train.format.x=1", "override data.train.format.x=1: data.train.format is a single value"),
        ],
    )
    def test_faults_name_the_override(self, tmp_path: Path, override: str, said: str) -> None:
        path = write(tmp_path, SHAPES + "  classes: [a, b]\n")
        assert refusal(path, override).startswith(said)


class TestPaths:
    def test_relative_to_file_or_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        text = (
            "data:\n  train: {format: voc, annotations: xml, images: ~/pictures, split: /lists/train.txt}\n"
            "model: {architecture: {backbone: {params: {weights: w.safetensors}}}}\n"
        )
        config = load_config(write(tmp_path, text), ["data.val={format: coco, annotations: val.json}"])
        train, val = data_of(config).train, data_of(config).val
        assert isinstance(train, schema.VocSource)
        assert isinstance(val, schema.CocoSource)
        assert train.annotations == str(tmp_path / "xml")
        assert train.images == str(tmp_path / "home" / "pictures")
        assert train.split == "/lists/train.txt"
        assert val.annotations == str(tmp_path / "here" / "val.json")
        assert config.model.architecture.backbone.params.weights == str(tmp_path / "w.safetensors")

    def test_a_weight_name_is_no_path(self, tmp_path: Path) -> None:
        found = model(tmp_path, "model: {architecture: {backbone: {params: {weights: imagenet}}}}")
        assert found.architecture.backbone.params.weights == "imagenet"

    def test_empty_path(self, tmp_path: Path) -> None:
        assert "'' is no path" in refusal(write(tmp_path, "data: {train: {format: coco, annotations: ''}}"))


ROOTED = (
    "data:\n  root: set\n"
    "  train: {format: voc, annotations: xml, images: /elsewhere, split: lists/train.txt}\n"
    "  val: {format: coco, annotations: val.json}\n"
)


class TestRoot:
    @pytest.fixture
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        return tmp_path / "here"

    @pytest.mark.parametrize(
        ("changes", "root"),
        [([], "set"), (["data.root=mine"], "here/mine"), (["data.root=/far"], "/far"), (["data.root="], "")],
    )
    def test_relative_paths_start_there(
        self, tmp_path: Path, here: Path, changes: list[str], root: str
    ) -> None:
        path = write(tmp_path, ROOTED + "model: {architecture: {backbone: {params: {weights: w.pth}}}}\n")
        config = load_config(path, changes)
        found, start = data_of(config), tmp_path / root
        assert found.root == (str(start) if root else None)
        assert isinstance(found.train, schema.VocSource)
        assert isinstance(found.val, schema.CocoSource)
        assert found.train.annotations == str(start / "xml")
        assert found.train.images == "/elsewhere"
        assert found.train.split == str(start / "lists" / "train.txt")
        assert found.val.annotations == str(start / "val.json")
        assert config.model.architecture.backbone.params.weights == str(tmp_path / "w.pth")

    def test_an_override_of_one_path_does_not(self, tmp_path: Path, here: Path) -> None:
        path = write(tmp_path, ROOTED)
        found = data_of(load_config(path, ["data.root=/far", "data.val.annotations=own.json"]))
        assert isinstance(found.val, schema.CocoSource)
        assert found.val.annotations == str(here / "own.json")
        assert found.train.annotations == "/far/xml"  # type: ignore[union-attr]

    def test_resolved_it_loads_back_equal(self, tmp_path: Path, here: Path) -> None:
        config = load_config(write(tmp_path, ROOTED), ["data.root=mine"])
        assert load_config(write(here, dump_config(config))) == config

    def test_a_resolved_file_does_not_move(self, tmp_path: Path, here: Path) -> None:
        config = load_config(write(tmp_path, ROOTED))
        path = write(here, dump_config(config))
        with pytest.warns(ConfigWarning, match=r"override data\.root=/new: changes nothing"):
            assert data_of(load_config(path, ["data.root=/new"])).train == data_of(config).train

    @pytest.mark.parametrize(
        ("text", "said"), [("3", "data.root: 3 is not"), ("''", "data.root: '' is no path")]
    )
    def test_what_is_no_folder_name(self, tmp_path: Path, text: str, said: str) -> None:
        assert f"file.yaml:3: {said}" in refusal(write(tmp_path, f"{SHAPES}  root: {text}\n"))


class TestWarnings:
    def test_load_config_warns_where_the_file_contradicts_itself(self, tmp_path: Path) -> None:
        text = (
            "model:\n  architecture: {head: {params: {nms_thresh: 0.45}}}\n"
            "  postprocessor: {params: {nms_thresh: 0.6}}\n"
        )
        with pytest.warns(ConfigWarning, match="newer place"):
            config = load_config(write(tmp_path, text), require_data=False)
        assert config.model.postprocessor.params.nms_thresh == 0.6


def numbers(low: float, high: float) -> SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, exclude_min=True)


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
paths = names.map(lambda text: str(Path("/" + text.replace("\0", "").replace("~", ""))))
coco = st.builds(schema.CocoSource, format=st.just("coco"), annotations=paths, images=st.none() | paths)
voc = st.builds(schema.VocSource, format=st.just("voc"), annotations=paths, images=st.none() | paths)
yolo = st.builds(
    schema.YoloSource,
    format=st.just("yolo"),
    annotations=paths,
    names=st.none() | st.lists(names, min_size=1) | st.dictionaries(st.integers(0, 99), names, min_size=1),
)
shapes = st.builds(
    schema.ShapesSource, format=st.just("shapes"), size=st.integers(32, 999), seed=st.integers()
)
sources = coco | voc | yolo | shapes
data = st.builds(
    schema.Data,
    root=st.none() | paths,
    train=sources,
    val=st.none() | sources,
    classes=st.none() | st.lists(names, min_size=1, max_size=4, unique=True),
    image_size=st.tuples(st.integers(32, 999), st.integers(32, 999)),
    augment=st.builds(schema.Augment, multi_scale=st.none() | st.lists(numbers(0, 1e9), max_size=3)),
)
sizes = st.integers(1, 3).flatmap(
    lambda n: st.lists(st.lists(numbers(0, 1e6), min_size=n, max_size=n), min_size=1, max_size=5)
)
head_params = st.builds(schema.HeadParams, anchor_sizes=sizes, prior_prob=st.floats(1e-9, 0.99))
models = st.builds(
    schema.Model,
    architecture=st.builds(schema.Architecture, head=st.builds(schema.Head, params=head_params)),
    losses=st.builds(
        schema.Losses,
        assigner=st.just(schema.IouAssigner()) | st.builds(schema.AtssAssigner, name=st.just("atss")),
        classification=st.just(schema.FocalLoss())
        | st.builds(schema.QualityFocalLoss, name=st.just("quality_focal"))
        | st.builds(schema.CrossEntropy, name=st.just("cross_entropy")),
        mining=st.none()
        | st.builds(schema.SsdMining, name=st.just("ssd"))
        | st.builds(schema.OhemMining, name=st.just("ohem")),
    ),
)
training = st.builds(
    schema.Training,
    epochs=st.none() | st.integers(1, 10**6),
    optimizer=st.builds(schema.AdamW, lr_per_16=numbers(0, 1)) | st.builds(schema.Sgd, name=st.just("sgd")),
    ema=st.none() | st.just(schema.Ema()),
)


class TestDump:
    @settings(max_examples=120, deadline=None)
    @given(config=st.builds(Config, data=st.none() | data, model=models, training=training))
    def test_loads_back_equal(self, tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
        path = write(tmp_path_factory.getbasetemp(), dump_config(config, "first line\nsecond"))
        assert load_config(path, require_data=False) == config

    @given(
        st.lists(
            names
            | st.sampled_from(["1e-4", "no", "~", "null", "1_0", "=", "<<", "0x1f", "\x85", "a\u2028b"]),
            min_size=1,
            unique=True,
        )
    )
    @settings(max_examples=60, deadline=None)
    def test_class_names_stay_text(self, tmp_path_factory: pytest.TempPathFactory, found: list[str]) -> None:
        source = schema.ShapesSource(format="shapes")
        config = Config(data=schema.Data(train=source, classes=found))
        path = write(tmp_path_factory.getbasetemp(), dump_config(config))
        assert data_of(load_config(path)).classes == found

    def test_order_and_short_lists(self) -> None:
        text = dump_config(
            Config(data=schema.Data(train=schema.ShapesSource(format="shapes"))), "foveal train x.yaml"
        )
        assert text.startswith("# foveal train x.yaml\n\ndata:\n")
        sections = [
            line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")
        ]
        assert sections == ["data", "model", "training"]
        assert "aspect_ratios: [0.5, 1, 2]\n" in text
        assert "          - [32, 40.3" in text
        assert list(yaml.safe_load(text)) == ["data", "model", "training", "export"]

    def test_comments_stand_above_their_key(self) -> None:
        text = dump_config(Config(), comments={"training.seed": "one\ntwo"})
        assert "  # one\n  # two\n  seed: 0\n" in text
        assert yaml.safe_load(text) == yaml.safe_load(dump_config(Config()))
