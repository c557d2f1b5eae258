"""Pictures with boxes, written while the next picture is looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from PIL import Image

from foveal.errors import DiskError
from foveal.runtime.detections import Detections

WAITING = 4
"""Pictures that may wait to be drawn."""
LARGE_PIXELS = 16_000_000
"""A picture from here on is drawn at once: two of them at a time would be too much memory."""
QUALITY = 92
"""Of JPEG."""
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")


class _Job(NamedTuple):
    drawn: Future[None] | None
    then: Callable[[], None]


class Drawing:
    """``add`` draws in a thread, and calls back in order once a picture is on the disk; leaving waits for all."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "drawing")
        self._jobs: deque[_Job] = deque()

    def __enter__(self) -> Drawing:
        return self

    def add(
        self, then: Callable[[], None], found: Detections | None = None, path: Path | None = None
    ) -> None:
        """Draw detections into a file, if there is one; then call, in the thread of the caller.

        DiskError where an earlier picture could not be written.
        """
        if found is None or path is None:
            self._jobs.append(_Job(None, then))
        elif found.height * found.width >= LARGE_PIXELS:
            draw(found, path)
            self._jobs.append(_Job(None, then))
        else:
            self._jobs.append(_Job(self._pool.submit(draw, found, path), then))
        while self._jobs and (len(self._jobs) > WAITING or _is_done(self._jobs[0])):
            self._finish()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._jobs and kind is None:
                self._finish()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _finish(self) -> None:
        job = self._jobs.popleft()
        if job.drawn is not None:
            job.drawn.result()
        job.then()


def drawn_name(name: str, file: str) -> str:
    """File name of a drawn picture: JPEG where the picture is one, and else PNG."""
    return name + (".jpg" if Path(file).suffix.lower() in _JPEG else ".png")


def draw(found: Detections, path: Path) -> None:
    """Write the picture with its boxes, whole or not at all. DiskError where it cannot be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _save(_drawn(found), part, "JPEG" if path.suffix == ".jpg" else "PNG")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DiskError(f"{path}: cannot write the picture: {error.strerror or error}") from error


def _drawn(found: Detections) -> Image.Image:
    picture = found.picture
    if isinstance(picture, Image.Image) and found.height * found.width >= LARGE_PIXELS:
        return found.draw_on(picture)  # nobody else has it, and a copy would be hundreds of megabytes
    return found.draw()


def _save(picture: Image.Image, path: Path, format: str) -> None:
    # Level 1 of 9: files a little larger, written several times as fast.
    with path.open("wb") as stream:
        picture.save(stream, format, quality=QUALITY, compress_level=1)


def _is_done(job: _Job) -> bool:
    return job.drawn is None or job.drawn.done()
