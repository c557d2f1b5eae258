"""One video of ``foveal predict``: frames in order, tracks, and the files that are written of it."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from foveal.data.csv_cell import cell
from foveal.errors import DataError
from foveal.runtime.detections import Detections
from foveal.runtime.draw import draw_boxes
from foveal.runtime.journal import OK, Row, error_row
from foveal.runtime.palette import class_colour
from foveal.runtime.predictor import Predictor
from foveal.runtime.read_ahead import Stop
from foveal.runtime.tracking import Tracked, Tracker, no_tracks
from foveal.runtime.video import Frame, Video, VideoWriter, open_video
from foveal.types import Array
from foveal.verbs.prediction_run import Choice, PredictionRun
from foveal.verbs.progress import WorkProgress

COLUMNS = ("frame", "time", "track", "name", "score", "x1", "y1", "x2", "y2", "label")


def predict_video(run: PredictionRun, predictor: Predictor, name: str, choice: Choice, stopped: Stop) -> None:
    """Look at every frame; ``NAME.jsonl`` has a line per frame, ``NAME.mp4`` the boxes. Nothing of a video that
    was stopped or cannot be opened is kept; of one that breaks off, what there is."""
    try:
        with open_video(name) as video:
            row = _look(run, predictor, video, choice, stopped)
    except DataError as error:
        run.add(error_row(name, str(error)))
        return
    if row is not None:
        run.add(row)


def _look(
    run: PredictionRun, predictor: Predictor, video: Video, choice: Choice, stopped: Stop
) -> Row | None:
    """The video's row; None where it was stopped."""
    stem = run.folder.path / run.folder.name(video.name)
    frames = _Frames(video)
    tracker = Tracker(run.limits, float(video.rate)) if choice.track else None
    tracks: set[int] = set()
    count, height, width = 0, None, None
    with ExitStack() as stack:
        files = stack.enter_context(_Rows(stem, choice.table))
        writer = stack.enter_context(VideoWriter(stem.with_name(f"{stem.name}.mp4"), video.rate))
        progress = stack.enter_context(
            WorkProgress(run.console, video.expected, "frames", Path(video.name).name)
        )
        for loaded in predictor.outcomes(frames, choice.batch_size, choice.workers, stopped):
            assert isinstance(loaded.result, Detections)
            frame = frames.next()
            shown = run.shown(loaded.result)
            tracked = no_tracks(shown) if tracker is None else tracker.update(loaded.result)
            files.add(frame, tracked)
            if choice.draw:
                writer.add(_drawn(tracked), frame.time)
            tracks.update(one for one in tracked.tracks if one is not None)
            count, height, width = count + 1, shown.height, shown.width
            progress.advance()
        if frames.broken is not None and not count:
            raise frames.broken
        if stopped():
            files.forget()
            writer.forget()
            return None
    if frames.broken is not None:
        run.say(str(frames.broken), "yellow")
    row: Row = {"file": video.name, "status": OK, "error": frames.broken and str(frames.broken)}
    row |= {"height": height, "width": width, "frames": count, "rows": f"{stem.name}.jsonl"}
    row |= {"tracks": len(tracks)} if choice.track else {}
    return {**row, "drawn": f"{stem.name}.mp4"} if choice.draw else row


class _Frames:
    """The pixels of a video's frames; what else is known of each waits until its detections come."""

    def __init__(self, video: Video) -> None:
        self._video = video
        self._waiting: deque[Frame] = deque()
        self.broken: DataError | None = None

    def __iter__(self) -> Iterator[Array]:
        try:
            for frame in self._video:
                self._waiting.append(frame)
                yield frame.pixels
        except DataError as error:
            self.broken = error

    def next(self) -> Frame:
        """The frame whose turn it is."""
        return self._waiting.popleft()


class _Rows:
    """``NAME.jsonl`` and, if wanted, ``NAME.csv``: in place once they are whole."""

    def __init__(self, stem: Path, table: bool) -> None:
        self._paths = [stem.with_name(f"{stem.name}{ending}") for ending in (".jsonl", ".csv")[: 1 + table]]
        self._forgotten = False

    def __enter__(self) -> _Rows:
        self._paths[0].parent.mkdir(parents=True, exist_ok=True)
        self._streams: list[IO[str]] = [
            _part(path).open("w", encoding="utf-8", errors="backslashreplace", newline="")
            for path in self._paths
        ]
        self._tables = [csv.writer(stream, lineterminator="\n") for stream in self._streams[1:]]
        for table in self._tables:
            table.writerow(COLUMNS)
        return self

    def add(self, frame: Frame, tracked: Tracked) -> None:
        """The row of a frame."""
        time = round(frame.time, 6)
        rows = [
            {**one, "track": track}
            for one, track in zip(tracked.detections.to_dict()["detections"], tracked.tracks, strict=True)
        ]
        content = {"frame": frame.number, "time": time, "detections": rows}
        self._streams[0].write(json.dumps(content, ensure_ascii=False) + "\n")
        for table in self._tables:
            table.writerows(
                (frame.number, time, one["track"], cell(one["name"]), one["score"], *one["box"], one["label"])
                for one in rows
            )

    def forget(self) -> None:
        """Keep nothing."""
        self._forgotten = True

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            for stream in self._streams:
                stream.close()
            if kind is None and not self._forgotten:
                for path in self._paths:
                    _part(path).replace(path)
        finally:
            for path in self._paths:
                _part(path).unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _drawn(tracked: Tracked) -> Any:
    """The frame with boxes; a track has its number before the name, and a colour of its own."""
    found = tracked.detections
    assert found.picture is not None
    pairs = list(zip(found.names, found.labels.tolist(), tracked.tracks, strict=True))
    names = [name if track is None else f"{track} {name}" for name, _, track in pairs]
    colours = [class_colour(label if track is None else track) for _, label, track in pairs]
    return draw_boxes(found.picture, found.boxes, names, found.scores, colours)
