"""A checkpoint and a picture -> detections in the picture's own pixels."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

import foveal
from foveal.checkpoint.format import load_checkpoint, save_checkpoint
from foveal.data.coco import read_coco
from foveal.errors import DataError, ModelFileError, UsageError
from foveal.runtime.predictor import DEFAULT_THRESHOLD, Predictor, load_picture


@pytest.fixture(scope="module")
def predictor(trained: Any) -> Predictor:
    return Predictor(trained.best, "cpu")


@pytest.fixture(scope="module")
def pictures(trained: Any) -> list[Path]:
    return sorted((trained.data / "images").iterdir())


def assert_same(first: foveal.Detections, second: foveal.Detections, atol: float = 1e-4) -> None:
    torch.testing.assert_close(first.boxes, second.boxes, rtol=0, atol=100 * atol)
    torch.testing.assert_close(first.scores, second.scores, rtol=0, atol=atol)
    assert first.names == second.names


def test_from_a_file(trained: Any, pictures: list[Path]) -> None:
    detections = foveal.Predictor(str(trained.best))(str(pictures[1]))
    assert isinstance(detections, foveal.Detections)
    count = len(detections)
    assert count > 1
    assert detections.boxes.shape == (count, 4)
    assert detections.scores.shape == detections.labels.shape == (count,)
    assert set(detections.names) <= {"red circle", "blue square"}
    names = ("red circle", "blue square")
    assert detections.names == tuple(names[label] for label in detections.labels.tolist())
    assert (detections.scores.diff() <= 0).all()
    assert (detections.boxes[:, 2:] > detections.boxes[:, :2]).all()
    assert (detections.height, detections.width) == (128, 128)


def test_boxes_are_in_the_pictures_pixels(trained: Any, predictor: Predictor) -> None:
    """The pictures (128 x 128) are larger than the canvas (96 x 128): what it has learned lies on the truth."""
    records = read_coco(trained.data / "annotations.json", trained.data / "images")
    found = 0
    for picture in range(len(records)):
        truth = records.rows(picture)
        detections = predictor(records.path(picture))
        if len(truth.boxes):
            overlap = box_iou(torch.from_numpy(truth.boxes).float(), detections.boxes)
            found += int((overlap > 0.5).any(dim=1).sum()) if len(detections) else 0
        assert detections.boxes.numel() == 0 or float(detections.boxes.max()) <= 128
    assert found >= 0.6 * len(records.boxes)


@pytest.mark.parametrize("factor", [2, 5])
def test_a_larger_picture_gives_larger_boxes(predictor: Predictor, pictures: list[Path], factor: int) -> None:
    """Each pixel becomes a square of pixels: on the canvas nearly the same, in its own pixels times the factor."""
    small = load_picture(pictures[1])
    large = small.repeat(factor, axis=0).repeat(factor, axis=1)
    before, after = predictor(small), predictor(large)
    assert (after.height, after.width) == (128 * factor, 128 * factor)
    strong = before.above(0.4)
    assert len(strong) > 0
    overlap = box_iou(strong.boxes * factor, after.boxes)
    assert float(overlap.max(dim=1).values.min()) > 0.7


def test_a_wide_and_a_tall_picture(predictor: Predictor) -> None:
    for height, width in ((40, 400), (400, 40), (1, 1), (7, 3)):
        detections = predictor(np.zeros((height, width, 3), dtype=np.uint8))
        assert (detections.height, detections.width) == (height, width)
        limit = torch.tensor([width, height, width, height])
        assert (detections.boxes <= limit).all()
        assert (detections.boxes >= 0).all()


def test_file_array_and_pillow_are_one(predictor: Predictor, pictures: list[Path]) -> None:
    by_file = predictor(pictures[1])
    assert_same(by_file, predictor(load_picture(pictures[1])))
    with Image.open(pictures[1]) as image:
        assert_same(by_file, predictor(image))


def test_a_files_content_and_a_grey_array(predictor: Predictor, pictures: list[Path]) -> None:
    assert_same(predictor(pictures[1]), predictor(pictures[1].read_bytes()))
    with Image.open(pictures[1]) as image:
        grey = image.convert("L")
    assert_same(predictor(grey), predictor(np.asarray(grey)))
    with pytest.raises(DataError, match=r"^picture of 3 bytes: not a picture that can be read"):
        predictor(b"abc")


@pytest.mark.parametrize("options", [{}, {"tiles": 64}])
def test_a_stream_holds_no_picture_that_it_gave_out(
    trained: Any, pictures: list[Path], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a picture is decoded, the one before it is gone: a folder of very large ones needs one's memory."""
    held: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def noting(prepare: Any) -> Any:
        def load(*arguments: Any) -> Any:
            alive.append(sum(one() is not None for one in held))
            return prepare(*arguments)

        return load

    predictor = Predictor(trained.best, "cpu", **options)
    monkeypatch.setattr(predictor, "_prepare", noting(predictor._prepare))
    for found in predictor.stream(pictures):
        held.append(weakref.ref(found.picture))
        del found
    assert alive == [0] * len(pictures)


@pytest.mark.parametrize("kind", ["turned", "grey16", "palette", "alpha"])
def test_odd_pictures_are_the_same_from_pillow(tmp_path: Path, kind: str) -> None:
    """As a person sees them: upright, 16 bits shifted and not clipped, transparency over white."""
    path = tmp_path / "a.png"
    ramp = np.linspace(0, 255, 24 * 36).reshape(24, 36).astype(np.uint8)
    image = Image.fromarray(ramp)
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.convert("RGB").save(path, exif=exif)
    elif kind == "grey16":
        Image.fromarray(ramp.astype(np.uint16) * 257).save(path)
    elif kind == "palette":
        image.convert("P").save(path, transparency=3)
    else:
        image.putalpha(Image.fromarray(255 - ramp))
        image.save(path)
    with Image.open(path) as opened:
        from_pillow = load_picture(opened)
    assert (from_pillow == load_picture(path)).all()
    assert from_pillow.shape == ((36, 24, 3) if kind == "turned" else (24, 36, 3))
    if kind == "grey16":
        assert (from_pillow[..., 0] == ramp).all()


def test_stream_is_in_order_for_any_batch(predictor: Predictor, pictures: list[Path]) -> None:
    singles = [predictor(path) for path in pictures]
    for size in (3, 20):
        batched = list(predictor.stream(iter(pictures), batch_size=size))
        assert len(batched) == len(singles)
        for first, second in zip(singles, batched, strict=True):
            assert_same(first, second, atol=1e-3)
    assert list(predictor.stream([])) == []


def test_stream_reads_no_further_than_asked(predictor: Predictor, pictures: list[Path]) -> None:
    read: list[Path] = []

    def source() -> Any:
        for path in pictures:
            read.append(path)
            yield path

    stream = predictor.stream(source(), batch_size=2)
    next(stream)
    assert read == pictures[:2]


# ---------------------------------------------------------------- thresholds


def test_stored_thresholds_are_the_default(trained: Any, predictor: Predictor, pictures: list[Path]) -> None:
    stored = load_checkpoint(trained.best).header.thresholds
    assert predictor.thresholds == stored
    everything = Predictor(trained.best, "cpu", 0.0)
    kept = 0
    for path in pictures:
        expected = [d for d in everything(path) if d.score > stored[d.name]]
        assert [(d.name, d.score) for d in predictor(path)] == [(d.name, d.score) for d in expected]
        kept += len(expected)
    assert kept > 0


def test_given_thresholds(trained: Any, pictures: list[Path]) -> None:
    high = Predictor(trained.best, "cpu", 0.6)
    assert all(float(detections.scores.min()) > 0.6 for detections in map(high, pictures) if len(detections))
    mixed = Predictor(trained.best, "cpu", {"red circle": 1.0})
    assert mixed.thresholds["blue square"] == load_checkpoint(trained.best).header.thresholds["blue square"]
    assert all("red circle" not in detections.names for detections in map(mixed, pictures))
    with pytest.raises(UsageError, match=r"threshold for 'dog': the model knows red circle, blue square"):
        Predictor(trained.best, "cpu", {"dog": 0.5})


def test_no_stored_threshold(trained: Any, tmp_path: Path) -> None:
    header, state = load_checkpoint(trained.best)
    save_checkpoint(tmp_path / "a.safetensors", state, replace(header, thresholds={"red circle": 0.7}))
    thresholds = Predictor(tmp_path / "a.safetensors", "cpu").thresholds
    assert thresholds == {"red circle": 0.7, "blue square": DEFAULT_THRESHOLD}


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((0, 8, 3), dtype=np.uint8),
        np.zeros((8, 8, 4), dtype=np.uint8),
        np.zeros((3, 8, 8), dtype=np.uint8),
        np.zeros((8, 8, 3), dtype=np.float32),
        Image.new("F", (8, 8)),
        [np.zeros((8, 8, 3), dtype=np.uint8)],
    ],
)
def test_not_a_picture(predictor: Predictor, picture: Any) -> None:
    with pytest.raises(UsageError, match="picture"):
        predictor(picture)


def test_broken_files(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg: no such picture"):
        predictor(tmp_path / "gone.jpg")
    broken = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50, 3), dtype=np.uint8)).save(broken)
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"a\.png"):
        predictor(broken)
    with Image.open(broken) as image, pytest.raises(DataError, match="cannot be decoded"):
        predictor(image)


def test_weights_that_do_not_fit_the_header(trained: Any, tmp_path: Path) -> None:
    header, state = load_checkpoint(trained.best)
    short = {name: value for name, value in state.items() if not name.startswith("neck.")}
    save_checkpoint(tmp_path / "a.safetensors", short, header)
    with pytest.raises(
        ModelFileError, match=r"a\.safetensors: the weights do not fit the model in its header"
    ):
        Predictor(tmp_path / "a.safetensors", "cpu")


def test_a_read_only_array_is_copied_and_not_warned_of(predictor: Predictor, pictures: list[Path]) -> None:
    """What ``np.asarray`` makes of a Pillow picture; warnings are errors here."""
    array = load_picture(pictures[1])
    array.flags.writeable = False
    assert_same(predictor(array), predictor(pictures[1]))


def test_tiles_of_a_file_are_those_of_its_pixels(trained: Any, tmp_path: Path) -> None:
    """A file that is seen in tiles stays as Pillow has it: turned, grey and transparent ones, too."""
    tiled = Predictor(trained.best, "cpu", score_thresh=0.05, tiles=64, overlap=0.25)
    pixels = np.asarray(Image.open(sorted((trained.data / "images").iterdir())[1]).convert("RGB"))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(pixels).convert("L").save(tmp_path / "grey.png")
    for path in (tmp_path / "turned.png", tmp_path / "grey.png"):
        found = tiled(path)
        assert_same(found, tiled(load_picture(path)))
        assert len(found) > 0
        assert found.draw().size == (found.width, found.height)
