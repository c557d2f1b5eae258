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
from foveal.runtime.remote import is_remote, open_remote
from foveal.types import Array

ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""H.264, which every player and browser shows, where this build of PyAV has it."""
FRAMES_PER_SECOND = 25
"""Of the written video, where the one that was read does not say."""


class Frame(NamedTuple):
    """One picture of a video, as a person sees it."""

    number: int
    """From 0."""
    time: float
    """Seconds from the beginning, as the file has it."""
    pixels: Array
    """[H, W, 3] uint8 RGB."""


class Video:
    """An open video: ``for frame in video``. DataError where it breaks off or never was one."""

    def __init__(self, name: str, container: Any) -> None:
        self.name = name
        self._container = container
        if not container.streams.video:
            raise DataError(f"{name}: no video in it")
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = Fraction(rate) if rate else Fraction(FRAMES_PER_SECOND)
        """Frames per second."""
        self.expected: int | None = self._stream.frames or _by_length(self._stream, self.rate)
        """Number of frames as the file states it; None where it does not."""

    def __iter__(self) -> Iterator[Frame]:
        first: float | None = None
        number = 0
        try:
            for frame in self._container.decode(self._stream):
                time = number / float(self.rate) if frame.time is None else float(frame.time)
                first = time if first is None else first
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                yield Frame(number, time - first, np.ascontiguousarray(pixels))
                number += 1
        except _errors() as error:
            if number == 0:
                raise DataError(f"{self.name}: the video cannot be decoded: {_reason(error)}") from error
            raise BrokenVideoError(
                f"{self.name}: breaks off after {number} frames: {_reason(error)}", number
            ) from error
        if number == 0:
            raise DataError(f"{self.name}: no frame could be decoded")


class BrokenVideoError(DataError):
    """A video whose beginning could be read."""

    def __init__(self, message: str, frames: int) -> None:
        super().__init__(message)
        self.frames = frames


@contextmanager
def open_video(name: str) -> Iterator[Video]:
    """A video file or address. DataError where it is none, UsageError where PyAV is missing."""
    check_video()
    import av

    source: AbstractContextManager[Any] = open_remote(name) if is_remote(name) else nullcontext(name)
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
            frame = av.VideoFrame.from_ndarray(np.asarray(picture.crop((0, 0, *size))), format="rgb24")
            # A frame that comes no later than the one before it would be refused.
            self._last = max(self._last + 1, round(time * TICKS))
            frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
            self._container.mux(self._stream.encode(frame))
        except _errors(OSError) as error:
            raise DiskError(f"{self.path}: cannot write the video: {_reason(error)}") from error

    def _open(self, picture: Image.Image) -> None:
        import av

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._part), "w", format="mp4")
        encoder = next(name for name in ENCODERS if name in av.codec.codecs_available)
        self._stream = self._container.add_stream(encoder, rate=self._rate)
        # Colour is stored for two by two pixels: an odd last row or column is left out.
        self._stream.width, self._stream.height = max(2, picture.width & ~1), max(2, picture.height & ~1)
        self._stream.pix_fmt = "yuv420p"
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


TICKS = 90000
"""Units of time in a second: every usual frame rate is whole in them."""


def _by_length(stream: Any, rate: Fraction) -> int | None:
    if not stream.duration or not stream.time_base:
        return None
    return int(stream.duration * stream.time_base * rate) or None


def _errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    import av

    return (av.FFmpegError, *others)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
