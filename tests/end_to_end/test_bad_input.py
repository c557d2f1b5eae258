"""Whatever is wrong: one clear line, the right exit code, and nothing of the user's changed."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

USAGE, DATA, MODEL_FILE, DISK = 2, 3, 4, 5
Boxes = dict[str, list[list[float]]]


def write_coco(folder: Path, boxes: Boxes, pictures: int = 4, on_disk: int | None = None) -> Path:
    """A COCO set in which every picture has the same boxes, by class name. on_disk: pictures that exist."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    entries, annotations = [], []
    for number in range(1, pictures + 1):
        if on_disk is None or number <= on_disk:
            Image.fromarray(np.full((64, 64, 3), 20 * number, dtype=np.uint8)).save(images / f"{number}.png")
        entries.append({"id": number, "file_name": f"{number}.png", "height": 64, "width": 64})
        for category, rows in enumerate(boxes.values(), start=1):
            for row in rows:
                place = {"id": len(annotations) + 1, "image_id": number, "category_id": category}
                annotations.append({**place, "bbox": row, "area": row[2] * row[3], "iscrowd": 0})
    content = {
        "images": entries,
        "annotations": annotations,
        "categories": [{"id": category, "name": name} for category, name in enumerate(boxes, start=1)],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


GOOD: Boxes = {"cat": [[10, 10, 30, 30]]}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path under a folder, with the bytes of the files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refused(command: Any, folder: Path, *arguments: str | Path, code: int, said: str, **options: Any) -> str:
    """A command that fails with one line and leaves the folder as it was; the line."""
    before = contents(folder)
    done = command(*arguments, folder=folder, **options)
    assert done.code == code, done.err
    assert done.err.startswith("foveal: ")
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.out + done.err
    assert re.search(said, done.err), done.err
    assert contents(folder) == before
    return done.err


# ---------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "data:\n  train: {format: shapes}\n  imgae_size: [64, 64]\n",
            r"c\.yaml:3: .*imgae_size.*image_size",
        ),
        ("data: {train: {format: yollo, annotations: x}}\n", r"c\.yaml:1: .*yollo.*coco"),
        ("data: [1, 2\n", r"c\.yaml:\d: "),
        ("", r"c\.yaml: "),
        ("model: {}\n", r"c\.yaml: section 'data' is missing"),
        ("data: {train: {format: shapes, pictures: many}}\n", r"c\.yaml:1: .*pictures"),
        (
            "data: {train: {format: shapes}}\nmodel: {architecture: {backbone: {name: resnet5O}}}\n",
            "resnet50",
        ),
        ("data: {train: {format: shapes}}\ntraining: {device: 'cuda:99'}\n", r"cuda:99|there is no CUDA"),
        ("data: {train: {format: shapes}}\ntraining: {device: gpu}\n", "gpu.*auto, cpu, cuda"),
    ],
)
def test_bad_config(command: Any, tmp_path: Path, text: str, said: str) -> None:
    text = text.replace("backbone: {name: resnet5O}", "backbone: {name: resnet5O, params: {weights: null}}")
    (tmp_path / "c.yaml").write_text(text)
    small = ["data.train.pictures=4"] if "device" in text or "resnet5O" in text else []
    if "device" in text:
        network = "{name: lcnet_035, params: {weights: null, batch_norm: trained}}"
        small.append(f"model.architecture.backbone={network}")
    refused(command, tmp_path, "train", "c.yaml", *small, code=USAGE, said=said)


def test_resume_takes_no_config(command: Any, tmp_path: Path, write_config: Any) -> None:
    write_config(tmp_path / "c.yaml", write_coco(tmp_path / "set", GOOD))
    refused(command, tmp_path, "train", "c.yaml", "--resume", "set", code=USAGE, said="give no config")


# ---------------------------------------------------------------- data


def break_json(folder: Path) -> None:
    (folder / "annotations.json").write_text('{"images": [\n{]')


def swap_format(folder: Path) -> None:
    (folder / "annotations.json").write_text("<annotation></annotation>")


def remove_labels(folder: Path) -> None:
    (folder / "annotations.json").unlink()


def remove_pictures(folder: Path) -> None:
    shutil.rmtree(folder / "images")
    (folder / "images").mkdir()


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder / "images")


def empty(folder: Path) -> None:
    (folder / "annotations.json").write_text('{"images": [], "annotations": [], "categories": []}')


def invalidate(folder: Path) -> None:
    write_coco(folder, {"cat": [[10, 10, 0, 5], [500, 500, 5, 5]]})


def corrupt(folder: Path) -> None:
    for picture in (folder / "images").iterdir():
        picture.write_bytes(picture.read_bytes()[:20])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (break_json, r"annotations\.json:2: not JSON"),
        (swap_format, r"annotations\.json:1: not JSON"),
        (remove_labels, r"annotations\.json: no such file"),
        (remove_pictures, "no picture"),
        (remove_folder, "images: no such folder of pictures"),
        (empty, "no picture"),
        (invalidate, "no usable box.*zero_size"),
        (corrupt, "no picture.*unreadable_picture"),
    ],
)
def test_bad_training_data(command: Any, tmp_path: Path, write_config: Any, spoil: Any, said: str) -> None:
    folder = write_coco(tmp_path / "set", GOOD)
    spoil(folder)
    write_config(tmp_path / "c.yaml", folder)
    refused(command, tmp_path, "train", "c.yaml", code=DATA, said=said)


def test_voc_without_pictures(command: Any, tmp_path: Path, write_config: Any) -> None:
    (tmp_path / "xml").mkdir()
    write_config(tmp_path / "c.yaml", "{format: voc, annotations: xml}")
    refused(command, tmp_path, "train", "c.yaml", code=DATA, said="no picture")


def test_val_of_other_classes(command: Any, tmp_path: Path, write_config: Any) -> None:
    train = write_coco(tmp_path / "set", GOOD)
    val = write_coco(tmp_path / "val", {"dog": [[10, 10, 30, 30]], "cow": [[0, 0, 9, 9]]})
    write_config(tmp_path / "c.yaml", train, val)
    said = r"data\.val: no class in common: the model knows cat; the labels have dog, cow"
    refused(command, tmp_path, "train", "c.yaml", code=DATA, said=said)
    generated = write_config(
        tmp_path / "d.yaml", train, "{format: shapes, pictures: 4, classes: 1, size: 64}"
    )
    said = r"data\.val: no class in common: the model knows cat; the labels have red circle"
    refused(command, tmp_path, "train", generated, code=DATA, said=said)


def test_oddities_are_counted_and_shown(command: Any, tmp_path: Path, write_config: Any) -> None:
    """Other classes, bad boxes and missing pictures beside good ones: training goes on, nothing is silent."""
    boxes: Boxes = {"cat": [[10, 10, 30, 30], [5, 5, 0, 9]], "[b]dog": [[0, 0, 20, 20]]}
    folder = write_coco(tmp_path / "set", boxes, pictures=5, on_disk=4)
    write_config(tmp_path / "c.yaml", folder, folder)
    before = contents(folder)
    changes = ["data.classes=[cat, unicorn]", "training.max_steps=1"]
    done = command("train", "c.yaml", *changes, folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    for part in ("train", "val"):
        assert f"{part}: 4 pictures, 4 boxes, 2 classes (cat 4, unicorn 0)\n" in done.out
    assert "  4 boxes of other classes, left out; first: " in done.out
    assert "annotation 3: class '[b]dog' is not wanted: dropped\n" in done.out
    assert "  4 boxes of zero size, left out; first: " in done.out
    assert "  1 missing picture, left out; first: " in done.out
    assert contents(folder) == before
    result = json.loads((tmp_path / "runs" / "c" / "evaluation.json").read_text())
    assert [row["boxes"] for row in result["per_class"]] == [4, 0]
    assert result["per_class"][1]["AP"] is None


def cut(picture: Path) -> None:
    """Header whole, pixels not: found out only when the picture is needed."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(picture)
    picture.write_bytes(picture.read_bytes()[:5000])


def test_a_picture_cut_off_in_training_is_named_once(command: Any, tmp_path: Path, write_config: Any) -> None:
    folder = write_coco(tmp_path / "set", GOOD)
    cut(folder / "images" / "2.png")
    write_config(tmp_path / "c.yaml", folder)
    changes = ["training.max_steps=3", "training.batch_size=2"]
    done = command("train", "c.yaml", *changes, folder=tmp_path)
    assert done.code == 0
    assert done.err.count("\n") == 1
    assert re.search(r"unreadable picture, replaced by the next one: .*set/images/2\.png", done.err)
    refused_after = command("train", "c.yaml", *changes, "data.strict=true", folder=tmp_path)
    assert refused_after.code == DATA
    assert re.fullmatch(r"foveal: .*set/images/2\.png.*\n", refused_after.err)


def test_a_picture_cut_off_in_val_counts_as_missed(command: Any, tmp_path: Path, write_config: Any) -> None:
    """A number over fewer pictures would look better than it is: its boxes stay in the count."""
    train, val = write_coco(tmp_path / "set", GOOD), write_coco(tmp_path / "val", GOOD)
    cut(val / "images" / "2.png")
    write_config(tmp_path / "c.yaml", train, val)
    done = command("train", "c.yaml", "training.max_steps=1", folder=tmp_path)
    assert done.code == 0
    assert re.search(r"unreadable picture, its boxes count as missed: .*val/images/2\.png", done.err)
    result = json.loads((tmp_path / "runs" / "c" / "evaluation.json").read_text())
    assert result["pictures"] == 4
    assert sum(row["boxes"] for row in result["per_class"]) == 4
    refused = command("train", "c.yaml", "training.max_steps=1", "data.strict=true", folder=tmp_path)
    assert refused.code == DATA
    assert re.search(r"foveal: .*val/images/2\.png", refused.err)


def test_strict_stops_at_a_missing_picture(command: Any, tmp_path: Path, write_config: Any) -> None:
    folder = write_coco(tmp_path / "set", GOOD, pictures=5, on_disk=4)
    write_config(tmp_path / "c.yaml", folder)
    said = "strict, and 1 cannot be read; first: .*5.png"
    refused(command, tmp_path, "train", "c.yaml", "data.strict=true", code=DATA, said=said)


def test_evaluate_on_other_classes(command: Any, tmp_path: Path, trained: Any) -> None:
    write_coco(tmp_path / "set", GOOD)
    arguments = ("evaluate", trained.best, "--data", "set/annotations.json", "-o", "e.json")
    said = "no class in common: the model knows red circle, blue square; the labels have cat"
    error = refused(command, tmp_path, *arguments, code=DATA, said="the data set")
    assert said in error


def test_val_that_has_gone(command: Any, tmp_path: Path, trained: Any) -> None:
    """The checkpoint names its validation set; the message names the file that is not there."""
    from foveal.checkpoint.format import load_checkpoint, save_checkpoint

    header, state = load_checkpoint(trained.best)
    header.config["data"]["val"]["annotations"] = str(tmp_path / "gone.json")
    save_checkpoint(tmp_path / "moved.safetensors", state, header)
    refused(command, tmp_path, "evaluate", "moved.safetensors", code=DATA, said=r"gone\.json: no such file")


# ---------------------------------------------------------------- model files


class Bomb:
    """Runs a command when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def spoiled(kind: str, folder: Path, good: Path) -> Path:
    path = folder / f"{kind}.safetensors"
    content = good.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "truncated_header":
        path.write_bytes(content[:100])
    elif kind == "flipped":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb(folder / "ran")))
    elif kind == "torch":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Bomb(folder / "ran")))
    elif kind == "weights":
        safetensors.torch.save_file({"a": torch.zeros(2)}, path)
    elif kind == "picture":
        Image.new("RGB", (9, 9)).save(path, "PNG")
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "no such file"),
        ("truncated", "damaged"),
        ("truncated_header", "damaged, it ends inside its header"),
        ("flipped", "damaged, its SHA-256 does not fit"),
        ("empty", "an empty file"),
        ("pickle", "a pickle, which may run code"),
        ("torch", "a zip archive"),
        ("weights", "plain weights, not a Foveal checkpoint"),
        ("picture", "a picture; give the checkpoint first"),
    ],
)
def test_bad_checkpoint(
    command: Any, tmp_path: Path, trained: Any, write_config: Any, kind: str, said: str
) -> None:
    bad = spoiled(kind, tmp_path, trained.best).name
    picture = next((trained.data / "images").iterdir())
    for arguments in (("evaluate", bad, "-o", "e.json"), ("predict", bad, picture, "-o", "found")):
        error = refused(command, tmp_path, *arguments, code=MODEL_FILE, said=said)
        assert bad in error
    if kind in ("truncated", "pickle"):
        write_config(tmp_path / "c.yaml", trained.data)
        refused(command, tmp_path, "train", "c.yaml", "--from", bad, code=MODEL_FILE, said=said)
    assert not (tmp_path / "ran").exists()


def test_backbone_weights_that_cannot_be_used(
    command: Any, tmp_path: Path, write_config: Any, trained: Any
) -> None:
    write_config(tmp_path / "c.yaml", trained.data)
    key = "model.architecture.backbone.params.weights"
    for name, said in (("gone.safetensors", "gone.safetensors"), ("w.pth", r"w\.pth")):
        if name == "w.pth":
            (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
        refused(command, tmp_path, "train", "c.yaml", f"{key}={name}", code=MODEL_FILE, said=said)
    safetensors.torch.save_file({"conv.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    said = "not of this network"
    refused(command, tmp_path, "train", "c.yaml", f"{key}=other.safetensors", code=MODEL_FILE, said=said)


# ---------------------------------------------------------------- pictures to predict


def test_nothing_to_predict(command: Any, tmp_path: Path, trained: Any) -> None:
    (tmp_path / "empty").mkdir()
    for source, fault in (
        ("gone.jpg", "file or folder"),
        ("empty", "no picture"),
        ("no/*.jpg", "no picture"),
    ):
        said = re.escape(source) + ": .*" + fault
        refused(command, tmp_path, "predict", trained.best, source, code=DATA, said=said)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff but no more")
    before = contents(tmp_path)
    done = command("predict", trained.best, "bad.jpg", folder=tmp_path)
    assert done.code == DATA
    assert done.err.splitlines()[-1].startswith("foveal: none of the 1 pictures could be read; the first: ")
    assert contents(tmp_path) == before


# ---------------------------------------------------------------- disk


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "{config}", "training.max_steps=1", "-o", "file/runs"),
        ("train", "{config}", "--show-batch", "-o", "file/runs"),
        ("evaluate", "{best}", "-o", "file/e.json"),
        ("predict", "{best}", "{picture}", "-o", "file/found"),
        ("predict", "{best}", "{picture}", "--no-pictures", "-o", "file/found"),
        ("init", "shapes", "-o", "file/c.yaml"),
        ("demo", "-o", "file/demo"),
    ],
)
def test_output_below_a_file(command: Any, tmp_path: Path, trained: Any, arguments: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("mine")
    values = {
        "config": trained.config,
        "best": trained.best,
        "picture": sorted((trained.data / "images").iterdir())[0],
    }
    filled = [argument.format(**values) for argument in arguments]
    refused(command, tmp_path, *filled, code=DISK, said="Not a directory|File exists")


def test_no_larger_files_than_the_system_allows(command: Any, tmp_path: Path, trained: Any) -> None:
    """A quota of 300 KB: the weights do not fit, and no half of them is left."""
    arguments = ("train", trained.config, "training.max_steps=1")
    done = command(*arguments, folder=tmp_path, largest_file=300_000)
    assert done.code == DISK, done.err
    assert re.fullmatch(r"foveal: runs/tiny/last\.safetensors: .*File too large.*\n", done.err)
    files = {path.name for path in (tmp_path / "runs" / "tiny").rglob("*") if path.is_file()}
    assert "config.yaml" in files
    assert not any("tmp" in name or "partial" in name or name.endswith("safetensors") for name in files)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("no mount command")
    arguments = [mount, "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if subprocess.run(arguments, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_full_while_training(command: Any, small_disk: Path, trained: Any) -> None:
    """What was saved before the disk was full is whole, and the run goes on once there is room."""
    from foveal.checkpoint.format import load_checkpoint

    # The weights take 1.4 MB, the resume state 4.2: there is room for one save and not for a second.
    arguments = ("train", trained.config, "training.max_steps=20", "-o", small_disk)
    done = command(*arguments, folder=small_disk.parent)
    assert done.code == DISK, done.err
    run = small_disk / "tiny"
    assert re.fullmatch(rf"foveal: {run}/.*No space left on device.*\n", done.err)
    load_checkpoint(run / "best.safetensors")
    files = {path.name for path in run.rglob("*") if path.is_file()}
    assert not any("tmp" in name or "partial" in name for name in files)
    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    again = command("train", "--resume", run, folder=small_disk.parent)
    assert (again.code, again.err) == (0, "")
    assert load_checkpoint(run / "last.safetensors").header.facts["step"] == 20


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_outside_training(
    command: Any, tmp_path: Path, trained: Any, number: signal.Signals
) -> None:
    """While predicting: one line and 130 or 143; what was drawn is whole, and has its row."""
    many = tmp_path / "many"
    many.mkdir()
    source = sorted((trained.data / "images").iterdir())[0]
    for place in range(2000):
        (many / f"{place:04}.png").hardlink_to(source)
    running = command.start("predict", trained.best, many, "-o", "found", folder=tmp_path)
    found = tmp_path / "found"
    running.wait_for(lambda: (found / "detections.jsonl").exists(), "the first picture")
    running.signal(number)
    done = running.wait()
    assert done.code == 128 + number
    assert re.fullmatch(
        r"foveal: stopped with [\d,]+ of 2,000 still to do; what was done is kept in found, and the same command "
        r"with --resume goes on\n",
        done.err,
    )
    assert len(list(many.iterdir())) == 2000
    rows = [json.loads(line) for line in (found / "detections.jsonl").read_text().splitlines()]
    for row in rows:
        with Image.open(found / row["drawn"]) as picture:
            picture.load()
