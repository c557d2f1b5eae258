"""``foveal convert`` as a command: what it prints, writes and refuses, and what its checkpoints can do."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18

from foveal import Predictor, cli
from foveal.bench.twins import make_picture
from foveal.checkpoint.format import load_checkpoint
from foveal.config.schema import Config


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["foveal", "convert", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return 0 if caught.value.code is None else int(caught.value.code)


def add(state: dict[str, Tensor], name: str, channels: int, inputs: int, kernel: int) -> None:
    state[f"{name}.weight"] = torch.randn(channels, inputs, kernel, kernel) * 0.02
    state[f"{name}.bias"] = torch.zeros(channels)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file in mmdetection's layout: ResNet18, two classes, all scores high."""
    torch.manual_seed(0)
    body = {f"backbone.{n}": t for n, t in resnet18().state_dict().items() if not n.startswith("fc.")}
    state: dict[str, Tensor] = dict(body)
    for level, channels in enumerate((128, 256, 512)):
        add(state, f"neck.lateral_convs.{level}.conv", 256, channels, 1)
        add(state, f"neck.fpn_convs.{level}.conv", 256, 256, 3)
    add(state, "neck.fpn_convs.3.conv", 256, 512, 3)
    add(state, "neck.fpn_convs.4.conv", 256, 256, 3)
    for layer in range(4):
        add(state, f"bbox_head.cls_convs.{layer}.conv", 256, 256, 3)
        add(state, f"bbox_head.reg_convs.{layer}.conv", 256, 256, 3)
    add(state, "bbox_head.retina_cls", 9 * 2, 256, 3)
    add(state, "bbox_head.retina_reg", 9 * 4, 256, 3)
    cfg = "img_norm_cfg = dict(\n    mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)\n"
    path = tmp_path_factory.mktemp("source") / "epoch_12.pth"
    torch.save({"meta": {"CLASSES": ("cup", "fork"), "cfg": cfg}, "state_dict": state}, path)
    return path


def test_a_checkpoint_with_its_provenance(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output, report = tmp_path / "ours.safetensors", tmp_path / "report.json"
    assert run(monkeypatch, weights, "-o", output, "--image-size", 200, 128, "--report", report) == 0
    said = capsys.readouterr().out
    assert "epoch_12.pth: mmdetection's RetinaNet (PyTorch), preset mmdetection\n" in said
    assert "resnet18, P3 to P7 of 256 channels, 4 layers a subnet, 9 anchors a cell, 2 classes\n" in said
    counters = "backbone.bn1.num_batches_tracked and 19 more: batch norm's step counter, read by nothing\n"
    assert f"  ignored: {counters}" in said
    assert said.endswith(f"written: {output}\n")

    header, _ = load_checkpoint(output)
    assert header.classes == (("cup", "fork"), (0, 1))
    assert (header.size_policy["height"], header.size_policy["width"]) == (224, 128)
    source = header.facts["converted_from"]
    assert source["file"] == "epoch_12.pth"
    assert source["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    model = Config.model_validate(header.config).model
    assert model.preset == "mmdetection"
    assert not model.architecture.neck.params.relu_before_extra_convs
    assert model.architecture.pixels.order == "bgr", "as the configuration in the file says"
    assert model.architecture.pixels.mean == (103.53, 116.28, 123.675)

    entries = json.loads(report.read_text())["entries"]
    fates = {entry["name"]: entry for entry in entries}
    assert set(fates) == set(torch.load(weights, weights_only=True)["state_dict"])
    assert fates["bbox_head.retina_cls.weight"]["target"] == "head.cls_logits.weight"
    assert fates["backbone.layer4.1.bn2.bias"]["fate"] == "used"


def test_it_predicts(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "ours.safetensors"
    override = "model.postprocessor.params.detections_per_img=7"
    assert run(monkeypatch, weights, override, "-o", output, "--image-size", 128, 128) == 0
    found = Predictor(output, score_thresh=0.0)(make_picture(90, 120))
    assert len(found.boxes) == 7
    assert set(found.names) <= {"cup", "fork"}


def test_nothing_is_written_over(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken.safetensors"
    taken.write_text("mine")
    assert run(monkeypatch, weights, "-o", taken) == 2
    assert "taken.safetensors: exists; choose another name" in capsys.readouterr().err
    (tmp_path / "r.md").write_text("mine")
    assert run(monkeypatch, weights, "-o", tmp_path / "new.safetensors", "--report", tmp_path / "r.md") == 2
    assert taken.read_text() == (tmp_path / "r.md").read_text() == "mine"
    assert not (tmp_path / "new.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-o", "a.pth"], 2, "a.pth: a checkpoint's name ends in .safetensors"),
        (["--report", "a.txt"], 2, "a.txt: a report is a .md or a .json file"),
        (
            ["--from", "ultralytics"],
            2,
            "--from ultralytics: not known; known are detectron2, keras_retinanet",
        ),
        (["--from", "yhenon"], 4, "has no place in yhenon's pytorch-retinanet"),
        (["model.architecture.neck.params.nope=1"], 2, "nope"),
        (
            ["model.architecture.head.params.aspect_ratios=[1.0]"],
            4,
            "has 9 anchors per cell, and the settings",
        ),
        (["model.architecture.head.params.num_layers=3"], 4, "has no place in a RetinaNet on resnet18"),
        (["--classes", "absent.txt"], 2, "absent.txt: cannot be read"),
    ],
)
def test_wrong_wishes_are_one_line(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "-o" not in arguments:
        arguments = [*arguments, "-o", "new.safetensors"]
    assert run(monkeypatch, weights, *arguments) == code
    told = capsys.readouterr().err
    assert told.startswith("foveal: ")
    assert told.count("\n") == 1
    assert said in told
    assert list(tmp_path.iterdir()) == []


def test_a_bad_file_is_one_line_and_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"fc.weight": torch.ones(3, 3)}, tmp_path / "net.pth")
    assert run(monkeypatch, tmp_path / "net.pth") == 4
    assert capsys.readouterr().err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["net.pth"]


def test_yaml_goes_to_its_own_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "model:\n  architecture:\n    head:\n      name: anchor_decoupled_head\n"
    params = "      params:\n        anchor_sizes: [[32,], [64,], [128,], [256,]]\n        num_layers: 1\n"
    (tmp_path / "folder").mkdir()
    source = tmp_path / "folder" / "model.yaml"
    source.write_text(head + params)
    assert run(monkeypatch, source, "-o", tmp_path / "ours.yaml", "--report", tmp_path / "r.md") == 0
    assert "anchor_sizes" in capsys.readouterr().out
    assert "num_layers" in (tmp_path / "r.md").read_text()
    assert "num_layers: 1" in (tmp_path / "ours.yaml").read_text()
    assert run(monkeypatch, tmp_path / "folder", "-o", tmp_path / "again.yaml") == 0
    assert (tmp_path / "again.yaml").read_text().count("num_layers: 1") == 1
    assert run(monkeypatch, source, "--keep-unnamed") == 2
