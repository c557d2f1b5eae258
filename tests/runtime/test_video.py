"""Videos in and out, and tracks over their frames."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foveal.errors import DataError, UsageError
from foveal.runtime.detections import Detections
from foveal.runtime.tracking import SURE, Tracker, check_tracking
from foveal.runtime.video import Frame, VideoWriter, open_video

av = pytest.importorskip("av", reason="videos need the extra video")


def write(path: Path, times: list[float], size: tuple[int, int] = (48, 64)) -> None:
    """Frame i is grey of brightness 10 i."""
    with VideoWriter(path, Fraction(10)) as writer:
        for number, time in enumerate(times):
            writer.add(Image.new("RGB", (size[1], size[0]), (10 * number,) * 3), time)


def test_frames_come_back_with_their_times(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.5, 0.6, 1.4]
    write(tmp_path / "a.mp4", times)
    with open_video(str(tmp_path / "a.mp4")) as video:
        frames = list(video)
    assert [frame.number for frame in frames] == list(range(6))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)
    for frame in frames:
        assert frame.pixels.shape == (48, 64, 3)
        assert abs(float(frame.pixels.mean()) - 10 * frame.number) < 4
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_odd_sides_lose_their_last_line(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [0.0, 0.1], (47, 65))
    with open_video(str(tmp_path / "a.mp4")) as video:
        assert next(iter(video)).pixels.shape == (46, 64, 3)


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001)])
@pytest.mark.parametrize("count", [1, 5])
def test_rate_length_and_colours_are_written_down(tmp_path: Path, rate: Fraction, count: int) -> None:
    """Players take the colours of HD for BT.709 where a file does not say."""
    path = tmp_path / "a.mp4"
    with VideoWriter(path, rate) as writer:
        for number in range(count):
            writer.add(Image.new("RGB", (1280, 720), (200, 40, 30)), number / float(rate))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == rate
        assert container.duration / 1e6 == pytest.approx(count / float(rate), abs=1e-4)
        assert next(container.decode(stream)).colorspace == 1
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")
    with open_video(str(path)) as video:
        assert next(iter(video)).pixels[300, 300] == pytest.approx([200, 40, 30], abs=3)


def encode(path: Path, frames: int, rotation: int | None = None, format: str = "mp4") -> None:
    """A red stripe on the left, by PyAV alone."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if rotation is not None:
            stream.set_display_rotation(rotation)
        noise = np.random.default_rng(0)
        for _ in range(frames):
            pixels = noise.integers(0, 60, (48, 64, 3), dtype=np.uint8)
            pixels[:, :16] = (255, 0, 0)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(("rotation", "side"), [(None, "left"), (90, "bottom"), (180, "right"), (-90, "top")])
def test_a_telephone_that_was_turned(tmp_path: Path, rotation: int | None, side: str) -> None:
    """The angle is that by which the picture is turned, against the clock, to be shown."""
    encode(tmp_path / "a.mp4", 2, rotation)
    with open_video(str(tmp_path / "a.mp4")) as video:
        pixels = next(iter(video)).pixels
    assert pixels.shape == ((48, 64, 3) if rotation in (None, 180) else (64, 48, 3))
    ends = {"left": pixels[:, :8], "right": pixels[:, -8:], "top": pixels[:8], "bottom": pixels[-8:]}
    assert max(ends, key=lambda end: float(ends[end][..., 0].mean())) == side


def read_damaged(path: Path) -> tuple[list[Frame], str]:
    """The frames that come, and the error at their end."""
    frames = []
    try:
        with open_video(str(path)) as video:
            frames += iter(video)  # keeps what came before an error
    except DataError as error:
        return frames, str(error)
    return frames, ""


def test_damage_in_the_middle_costs_no_more_than_what_it_hit(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", 60)
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    middle = content.index(b"mdat") + len(content) // 2
    content[middle : middle + 400] = bytes(400)
    (tmp_path / "a.mp4").write_bytes(content)
    frames, said = read_damaged(tmp_path / "a.mp4")
    assert re.search(r"a\.mp4: damaged in \d+ places?, where frames are missing: Invalid data", said)
    assert 50 <= len(frames) < 60
    assert frames[-1].time == pytest.approx(59 / 25, abs=1e-3)


def test_a_video_that_was_cut_off(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", Fraction(10)) as writer:  # its index lies before its frames
        noise = np.random.default_rng(0)
        for number in range(40):
            writer.add(Image.fromarray(noise.integers(0, 255, (48, 64, 3), dtype=np.uint8)), number / 10)
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    frames, said = read_damaged(tmp_path / "a.mp4")
    assert "a.mp4: " in said
    assert 10 < len(frames) < 40


def test_how_many_frames_a_matroska_file_has(tmp_path: Path) -> None:
    encode(tmp_path / "a.mkv", 50, format="matroska")
    with open_video(str(tmp_path / "a.mkv")) as video:
        assert video.expected == 50
        assert sum(1 for _ in video) == 50


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match=r"a\.mp4: no video in it"), open_video(str(tmp_path / "a.mp4")):
        pass


@pytest.mark.parametrize("content", [b"", b"no video", b"\x00\x00\x00\x18ftypmp42" + bytes(40)])
def test_what_is_no_video(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.mp4: "), open_video(str(path)) as video:
        list(video)
    with pytest.raises(DataError, match=r"gone\.mp4: no such video"), open_video(str(tmp_path / "gone.mp4")):
        pass


def test_a_video_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with suppress(RuntimeError), VideoWriter(tmp_path / "a.mp4", Fraction(10)) as writer:
        writer.add(Image.new("RGB", (64, 48)), 0.0)
        raise RuntimeError("the model fails")
    with VideoWriter(tmp_path / "b.mp4", Fraction(10)) as writer:
        writer.add(Image.new("RGB", (64, 48)), 0.0)
        writer.forget()
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- tracks

NAMES = ("horse", "rider")
LIMITS = {"horse": 0.3, "rider": 0.6}


def frame(*objects: tuple[float, float, float, int]) -> Detections:
    """Objects of x, y, score, class; boxes of 20 x 40."""
    boxes = torch.tensor([[x, y, x + 20, y + 40] for x, y, *_ in objects], dtype=torch.float32).reshape(-1, 4)
    labels = [label for *_, label in objects]
    scores = torch.tensor([score for *_, score, _ in objects], dtype=torch.float32)
    names = tuple(NAMES[label] for label in labels)
    return Detections(boxes, scores, torch.tensor(labels, dtype=torch.int64), names, 200, 400)


@pytest.fixture
def tracker() -> Tracker:
    pytest.importorskip("trackers", reason="tracking needs the extra video")
    return Tracker(LIMITS, 10.0)


def test_two_objects_keep_their_tracks_in_any_order(tracker: Tracker) -> None:
    seen = []
    for step in range(8):
        objects = [(10.0 + 3 * step, 50.0, 0.9, 0), (200.0 - 3 * step, 50.0, 0.8, 0)]
        tracked = tracker.update(frame(*(objects if step % 2 else objects[::-1])))
        where = dict(
            zip((round(float(x)) for x in tracked.detections.boxes[:, 0]), tracked.tracks, strict=True)
        )
        seen.append((where[10 + 3 * step], where[200 - 3 * step]))
    assert seen[0] == (None, None)  # seen once so far
    assert len(set(seen[1:])) == 1
    assert set(seen[1]) == {1, 2}


def test_a_doubtful_object_keeps_its_track_and_begins_none(tracker: Tracker) -> None:
    """Half hidden for a while: below its threshold, but where its track goes on."""
    scores = [0.9, 0.9, 0.9, 0.45, 0.45, 0.9]
    tracks = [
        tracker.update(frame((10 + 2 * step, 50, score, 1))).tracks for step, score in enumerate(scores)
    ]
    assert tracks == [(None,), (1,), (1,), (1,), (1,), (1,)]
    alone = Tracker(LIMITS, 10.0)
    for _ in range(4):
        assert alone.update(frame((300, 50, 0.5, 1))).tracks == ()  # of a rider, not sure
    assert alone.update(frame((100, 50, 0.5, 0))).tracks == (None,)  # of a horse, it is


def test_classes_do_not_take_each_others_tracks(tracker: Tracker) -> None:
    for step in range(5):
        tracked = tracker.update(frame((50 + step, 50, 0.9, 0), (50 + step, 45, 0.9, 1)))
    alone = tracker.update(frame((55, 45, 0.9, 1)))
    assert sorted(track or 0 for track in tracked.tracks) == [1, 2]
    assert alone.tracks == (tracked.tracks[tracked.detections.names.index("rider")],)


def test_a_lost_object_is_another_one_after_a_second(tracker: Tracker) -> None:
    for _ in range(3):
        tracker.update(frame((50, 50, 0.9, 0)))
    for _ in range(12):
        assert tracker.update(frame()).tracks == ()
    tracker.update(frame((50, 50, 0.9, 0)))
    assert tracker.update(frame((50, 50, 0.9, 0))).tracks == (2,)


def test_thresholds_of_zero_and_one(tracker: Tracker) -> None:
    every = Tracker({"horse": 0.0, "rider": 1.0}, 10.0)
    tracked = every.update(frame((50, 50, 0.01, 0), (90, 50, 0.99, 1)))
    assert tracked.detections.names == ("horse",)
    assert np.isclose(SURE, 0.5)


def test_missing_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(
        UsageError, match=r"tracking needs trackers: pip install 'foveal\[video\]', or .*--no-t"
    ):
        check_tracking()
    monkeypatch.setitem(sys.modules, "av", None)
    with (
        pytest.raises(UsageError, match=r"videos need PyAV: pip install 'foveal\[video\]'"),
        open_video("a.mp4"),
    ):
        pass
