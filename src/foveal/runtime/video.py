"""Videos: frames in, frames with boxes out. PyAV decodes and encodes; it comes with the extra ``video``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from foveal.errors import DataError, DiskError, UsageError
from foveal.grammar import many
from foveal.runtime.remote import is_remote, open_remote, public_name
from foveal.types import Array

ENCODERS = ("libx264", "libopenh264")
"""H.264, which every player and browser shows: builds of PyAV have the one or the other."""
FRAMES_PER_SECOND = 25
"""Of the written video, where the one that was read does not say."""
TICKS = 90000
"""Units of time in a second: every usual frame rate is whole in them."""
HD_LINES = 720
"""From here on players take colours that are not labelled for those of BT.709, below for those of BT.601."""
_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5
"""Colour matrices, by their numbers in ITU-T H.273."""


class Frame(NamedTuple):
    """One picture of a video, as a person sees it."""

    number: int
    """From 0."""
    time: float
    """Seconds from the beginning, as the file has it."""
    pixels: Array
    """[H, W, 3] uint8 RGB."""


class Video:
    """An open video: ``for frame in video``. DataError where it never was one, and at the end of a damaged one."""

    def __init__(self, name: str, container: Any) -> None:
        self.name = name
        self._container = container
        # The picture on the cover of a song is a stream, too.
        streams = [one for one in container.streams.video if not _is_cover(one)]
        if not streams:
            raise DataError(f"{name}: no video in it")
        self._stream = streams[0]
        self._stream.thread_type = "AUTO"
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = Fraction(rate) if rate else Fraction(FRAMES_PER_SECOND)
        """Frames per second."""
        self.expected: int | None = self._stream.frames or _by_length(container, self._stream, self.rate)
        """Number of frames as the file states it; None where it does not."""

    def __iter__(self) -> Iterator[Frame]:
        first: float | None = None
        number = 0
        damage = _Damage()
        for frame in self._decoded(damage):
            time = number / float(self.rate) if frame.time is None else float(frame.time)
            first = time if first is None else first
            pixels = np.rot90(_rgb(frame), round(frame.rotation / 90))
            yield Frame(number, time - first, np.ascontiguousarray(pixels))
            number += 1
        if number == 0:
            raise DataError(f"{self.name}: the video cannot be decoded: {damage.reason or 'no frame in it'}")
        if damage.breaks_off:
            raise DataError(f"{self.name}: breaks off after {number} frames: {damage.reason}")
        if damage.count:
            raise DataError(
                f"{self.name}: damaged in {many(damage.count, 'place')}, where frames are missing: {damage.reason}"
            )

    def _decoded(self, damage: _Damage) -> Iterator[Any]:
        """PyAV's frames; what cannot be decoded is passed over, as players do."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except _errors() as error:
                damage.add(error)
                damage.breaks_off = True
                return
            if packet is None:
                return
            if packet.is_corrupt:
                damage.add("cut off")
            try:
                yield from packet.decode()
            except _errors() as error:
                damage.add(error)


class _Damage:
    """What could not be read of a video."""

    def __init__(self) -> None:
        self.count = 0
        self.reason = ""
        """Of the first."""
        self.breaks_off = False

    def add(self, error: BaseException | str) -> None:
        self.count += 1
        self.reason = self.reason or (error if isinstance(error, str) else _reason(error))


@contextmanager
def open_video(name: str) -> Iterator[Video]:
    """A video file or address. DataError where it is none, UsageError where PyAV is missing."""
    check_video()
    import av

    source: AbstractContextManager[Any] = open_remote(name) if is_remote(name) else nullcontext(name)
    name = public_name(name)
    with source as file:
        try:
            container = av.open(file)
        except FileNotFoundError as error:
            raise DataError(f"{name}: no such video") from error
        except _errors() as error:
            raise DataError(f"{name}: not a video that can be read: {_reason(error)}") from error
        with container:
            yield Video(name, container)


def check_video() -> None:
    """UsageError where the package that reads videos is not installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise UsageError("videos need PyAV: pip install 'foveal[video]'") from None


class VideoWriter:
    """Writes frames to an MP4 file; it is there when all were written, and not before.

    Frames keep their times, so that a video of changing rate stays in step. There is no sound.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        self.path = path
        self._rate = rate
        self._ticks = max(1, round(TICKS / rate))
        """Of a frame."""
        self._part = path.with_name(f".{path.name}.part")
        self._container: Any = None
        self._stream: Any = None
        self._last = -1
        self._forgotten = False

    def __enter__(self) -> VideoWriter:
        return self

    def forget(self) -> None:
        """Keep nothing of what was written."""
        self._forgotten = True

    def add(self, picture: Image.Image, time: float) -> None:
        """One frame. time: seconds from the beginning."""
        import av

        try:
            if self._container is None:
                self._open(picture)
            size = (self._stream.width, self._stream.height)
            colour = self._stream.codec_context.colorspace
            frame = av.VideoFrame.from_ndarray(np.asarray(picture.crop((0, 0, *size))), format="rgb24")
            frame = frame.reformat(format=self._stream.pix_fmt, dst_colorspace=colour)
            frame.colorspace = colour
            # A frame that comes no later than the one before it would be refused.
            self._last = max(self._last + 1, round(time * TICKS))
            frame.pts, frame.time_base, frame.duration = self._last, Fraction(1, TICKS), self._ticks
            self._container.mux(self._stream.encode(frame))
        except _errors(OSError) as error:
            raise DiskError(f"{self.path}: cannot write the video: {_reason(error)}") from error

    def _open(self, picture: Image.Image) -> None:
        import av

        self.path.parent.mkdir(parents=True, exist_ok=True)
        encoder = next((name for name in ENCODERS if name in av.codec.codecs_available), None)
        if encoder is None:
            raise UsageError(
                "this PyAV cannot write H.264: take the one of pip install 'foveal[video]', or leave videos with "
                "boxes out with --no-pictures"
            )
        # Its index comes first, so that a browser plays it before all of it is there.
        self._container = av.open(str(self._part), "w", format="mp4", options={"movflags": "faststart"})
        self._stream = self._container.add_stream(encoder, rate=self._rate)
        # Colour is stored for two by two pixels: an odd last row or column is left out.
        self._stream.width, self._stream.height = max(2, picture.width & ~1), max(2, picture.height & ~1)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.colorspace = _usual_colours(self._stream.height)
        self._stream.codec_context.time_base = Fraction(1, TICKS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is None:
            return
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if kind is None and not self._forgotten:
                self._part.replace(self.path)
        except _errors(OSError) as failure:
            if kind is None:
                raise DiskError(f"{self.path}: cannot write the video: {_reason(failure)}") from failure
        finally:
            self._part.unlink(missing_ok=True)


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _usual_colours(height: int) -> int:
    return _BT709 if height >= HD_LINES else _BT601


def _rgb(frame: Any) -> Array:
    if frame.colorspace != _UNSPECIFIED:
        pixels: Array = frame.to_ndarray(format="rgb24")
        return pixels
    pixels = frame.reformat(format="rgb24", src_colorspace=_usual_colours(frame.height)).to_ndarray()
    return pixels


def _by_length(container: Any, stream: Any, rate: Fraction) -> int | None:
    if stream.duration and stream.time_base:
        return int(stream.duration * stream.time_base * rate) or None
    return int(Fraction(container.duration or 0, 1_000_000) * rate) or None  # of a file: in microseconds


def _errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    import av

    return (av.FFmpegError, *others)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
