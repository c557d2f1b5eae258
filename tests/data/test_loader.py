"""Batches: the same for any number of workers, exactly resumable, honest about what cannot be read."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from foveal.config.schema import Augment
from foveal.data.loader import Loader, make_loader
from foveal.data.pictures import Loaded, Pictures
from foveal.data.shapes import ShapesRecords, make_shapes
from foveal.errors import DataError
from foveal.ops.letterbox import PAD_VALUE, undo_boxes
from foveal.types import Batch

EVERYTHING = Augment(
    vertical_flip=0.5,
    rotate_90=0.3,
    scale_jitter=(0.5, 1.5),
    crop=0.3,
    colour=0.5,
    mosaic=0.3,
    multi_scale=[0.5, 1.0],
)


def train_loader(workers: int = 0, pictures: int = 20, **options: Any) -> Loader:
    records = make_shapes(pictures, size=64, seed=0)
    options = {"augment": EVERYTHING, "seed": 3, **options}
    return make_loader(records, (64, 96), 4, train=True, workers=workers, **options)


def content(batches: list[Batch]) -> list[tuple[bytes, bytes, tuple[int, ...]]]:
    def flat(batch: Batch) -> Tensor:
        return torch.cat([target.boxes.flatten() for target in batch.targets])

    return [(b.images.numpy().tobytes(), flat(b).numpy().tobytes(), b.image_ids) for b in batches]


def test_batch_layout() -> None:
    records = make_shapes(10, classes=5, size=100, seed=0, empty_share=0.3)
    batches = list(make_loader(records, (64, 90), 4, train=False, workers=0))
    assert [batch.images.shape for batch in batches] == [(4, 3, 64, 96), (4, 3, 64, 96), (2, 3, 64, 96)]
    for number, batch in enumerate(batches):
        assert batch.images.dtype == torch.uint8
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        for place, target in enumerate(batch.targets):
            rows = records.rows(number * 4 + place)
            assert target.boxes.dtype == torch.float32
            assert target.labels.dtype == torch.int64
            assert target.crowd.dtype == torch.bool
            assert target.labels.tolist() == rows.labels.tolist()
            back = undo_boxes(target.boxes, batch.letterboxes[place])
            np.testing.assert_allclose(back.numpy(), rows.boxes, atol=1e-3)
    assert tuple(i for batch in batches for i in batch.image_ids) == tuple(records.image_ids.tolist())
    assert any(len(target.boxes) == 0 for batch in batches for target in batch.targets)


def test_workers_do_not_matter() -> None:
    alone, two = train_loader(0), train_loader(2)
    for _ in range(2):  # the second epoch reuses the workers
        assert content(list(alone)) == content(list(two))
    assert alone.state_dict() == two.state_dict()
    assert alone.state_dict()["epoch"] == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_channels_last(workers: int) -> None:
    for batch in train_loader(workers):
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


def test_a_picture_depends_on_seed_epoch_and_place_alone() -> None:
    """Not on what was loaded before it, nor on any random state of the process."""
    items = next(iter(train_loader().batch_sampler))

    def one(number: int, seed: int = 3, epoch: int = 0) -> bytes:
        pictures = Pictures(make_shapes(20, size=64, seed=0), EVERYTHING, seed, "error")
        loaded = pictures[items[number]._replace(epoch=epoch)]
        assert isinstance(loaded, Loaded)
        return loaded.sample.image.numpy().tobytes() + loaded.sample.boxes.numpy().tobytes()

    first = [one(number) for number in range(4)]
    np.random.seed(1)
    torch.manual_seed(1)
    assert [one(number) for number in (3, 2, 1, 0)] == first[::-1]
    assert one(0, seed=4) != first[0]
    assert one(0, epoch=1) != first[0]


def test_epochs_differ_and_can_be_set() -> None:
    loader = train_loader()
    first, second = content(list(loader)), content(list(loader))
    assert first != second
    loader.set_epoch(0)
    assert content(list(loader)) == first


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_is_exact(workers: int) -> None:
    whole = train_loader(workers)
    expected = content([batch for _ in range(2) for batch in whole])
    stopped = train_loader(workers)
    list(stopped)
    partial = iter(stopped)
    for _ in range(2):
        next(partial)
    resumed = train_loader(workers)
    resumed.load_state_dict(stopped.state_dict())
    assert content(list(resumed)) == expected[5 + 2 :]
    assert resumed.state_dict() == whole.state_dict()


def test_stopping_early_does_not_shorten_the_next_pass() -> None:
    loader = make_loader(make_shapes(12, size=64), (64, 64), 4, train=False, workers=0)
    next(iter(loader))
    assert len(list(loader)) == 3


def test_starting_an_epoch_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(train_loader(2))
    assert torch.equal(torch.get_rng_state(), before)


def test_multi_scale_sizes_come_per_batch() -> None:
    sizes = {tuple(batch.images.shape[-2:]) for batch in train_loader(pictures=80)}
    assert sizes == {(32, 64), (64, 96)}


def test_a_set_smaller_than_a_batch_is_kept() -> None:
    assert [len(b.images) for b in train_loader(pictures=3)] == [3]
    assert [len(b.images) for b in train_loader(pictures=10)] == [4, 4]


def test_class_aware_sampling_draws_rare_classes_more() -> None:
    records = make_shapes(300, classes=2, size=32, seed=0, empty_share=0)
    rare = np.array([p for p in range(300) if 1 in records.rows(p).labels])[:15]
    keep = [p for p in range(300) if 1 not in records.rows(p).labels or p in rare]
    small = subset(records, keep)
    plain, aware = (
        sum(len(set(t.labels.tolist()) & {1}) for b in loader for t in b.targets)
        for loader in (
            make_loader(small, (32, 32), 1, train=True, workers=0, class_aware=flag) for flag in (False, True)
        )
    )
    assert plain == 15
    assert aware >= 20


def subset(records: ShapesRecords, keep: list[int]) -> ShapesRecords:
    rows = np.concatenate([np.arange(records.offsets[p], records.offsets[p + 1]) for p in keep])
    picked = {name: getattr(records, name)[keep] for name in ("files", "image_ids", "heights", "widths")}
    columns = ("boxes", "labels", "crowd", "area")
    picked |= {name: getattr(records, name)[rows] for name in columns}
    counts = np.diff(records.offsets)[keep]
    return dataclasses.replace(records, offsets=np.r_[0, np.cumsum(counts)], **picked)


class Broken(ShapesRecords):
    """Shapes of which pictures 2 and 3 cannot be read."""

    def load(self, picture: int) -> np.ndarray:
        if picture in (2, 3):
            raise DataError(f"{self.path(picture)}: truncated")
        return super().load(picture)


class AllBroken(ShapesRecords):
    """Shapes of which none can be read."""

    def load(self, picture: int) -> np.ndarray:
        raise OSError("no such device")


def broken(kind: type[ShapesRecords], pictures: int = 8) -> ShapesRecords:
    whole = make_shapes(pictures, size=64)
    return kind(**{field.name: getattr(whole, field.name) for field in dataclasses.fields(whole)})


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_pictures_are_replaced_and_reported_once(
    workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    loader = make_loader(broken(Broken), (64, 64), 4, train=True, workers=workers)
    with caplog.at_level(logging.WARNING, logger="foveal.data"):
        ids = [i for _ in range(3) for batch in loader for i in batch.image_ids]
    assert len(ids) == 24
    assert set(ids) == {1, 2, 5, 6, 7, 8}
    assert ids.count(5) == 9  # its own place and those of the two broken ones
    assert len(loader.unreadable) == 2
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert any("shape_000003.png: truncated" in message for message in messages)


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_pictures_are_measured_as_missed(workers: int, caplog: pytest.LogCaptureFixture) -> None:
    records = broken(Broken)
    loader = make_loader(records, (64, 64), 4, train=False, workers=workers)
    with caplog.at_level(logging.WARNING, logger="foveal.data"):
        batch = next(iter(loader))
    assert batch.image_ids == (1, 2, 3, 4)
    assert [len(target.boxes) for target in batch.targets] == [len(records.rows(p).boxes) for p in range(4)]
    assert all((batch.images[place] == PAD_VALUE).all() for place in (2, 3))
    assert not (batch.images[0] == PAD_VALUE).all()
    assert len(loader.unreadable) == 2
    assert "its boxes count as missed" in caplog.text


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("train", [False, True])
def test_strict_makes_an_unreadable_picture_an_error_in_one_line(workers: int, train: bool) -> None:
    loader = make_loader(broken(Broken), (64, 64), 4, train=train, strict=True, workers=workers)
    with pytest.raises(DataError) as caught:
        list(loader)
    assert "\n" not in str(caught.value)
    assert "truncated" in str(caught.value)
    assert "shape_00000" in str(caught.value)


def test_nothing_readable_is_an_error() -> None:
    loader = make_loader(broken(AllBroken), (64, 64), 4, train=True, workers=0)
    with pytest.raises(DataError, match=r"8 pictures in a row .*shape_\d+.png: no such device"):
        list(loader)


def test_no_pictures_is_an_error() -> None:
    with pytest.raises(DataError, match="no pictures"):
        make_loader(subset_of_none(), (64, 64), 4, train=True, workers=0)


def subset_of_none() -> ShapesRecords:
    whole = make_shapes(1, size=64, empty_share=1)
    none = {name: getattr(whole, name)[:0] for name in ("files", "image_ids", "heights", "widths")}
    return dataclasses.replace(whole, offsets=np.zeros(1, dtype=np.int64), **none)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_interrupt_is_quiet_in_the_workers(tmp_path: Path) -> None:
    script = tmp_path / "loop.py"
    script.write_text(
        "from foveal.data.loader import make_loader\n"
        "from foveal.data.shapes import make_shapes\n"
        "if __name__ == '__main__':\n"
        "    loader = make_loader(make_shapes(64, size=64), (64, 64), 4, train=True, workers=2)\n"
        "    try:\n"
        "        while True:\n"
        "            for batch in loader:\n"
        "                print('batch', flush=True)\n"
        "    except KeyboardInterrupt:\n"
        "        print('stopped', flush=True)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-W", "error", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "batch\n"
    time.sleep(0.2)
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=240)
    assert out.endswith("stopped\n")
    assert err == ""
    assert run.returncode == 0


def test_a_sigterm_to_every_process_leaves_the_workers_a_while() -> None:
    """systemd and SLURM send it so; the main process still needs its batch to come to where it can save."""
    loader = make_loader(make_shapes(64, size=64), (64, 64), 4, train=True, workers=1)
    batches = iter(loader)
    first = next(batches)
    (worker,) = loader._iterator._workers  # type: ignore[union-attr]
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGTERM)
    time.sleep(0.1)
    assert len(first.image_ids) + sum(len(next(batches).image_ids) for _ in range(6)) == 28
    batches.close()
    del batches, loader
    worker.join(20)
    assert worker.exitcode is not None
