"""What a prediction says and keeps, wherever the pictures are looked at: here, in videos, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from foveal.data.inside import printable
from foveal.errors import DataError, Interrupted
from foveal.grammar import many
from foveal.runtime.detections import Detections
from foveal.runtime.journal import ERROR, Row, detections_of
from foveal.runtime.prediction_folder import PredictionFolder
from foveal.types import ClassNames
from foveal.verbs.progress import a_second


class Prediction(NamedTuple):
    """Detections of one picture file."""

    path: Path
    detections: Detections


class PredictResult(NamedTuple):
    """What ``predict`` did. Only counts are held in memory: the rest is read back from ``detections.jsonl``."""

    output: Path
    pictures: int
    """Looked at, with those of earlier runs in the same folder."""
    videos: int
    detections: int
    """In pictures."""
    rows: Callable[[], Iterator[Row]]
    """The rows of ``detections.jsonl``, one at a time."""

    @property
    def predictions(self) -> list[Prediction]:
        """All pictures that were looked at. Where they are very many, go through ``rows()``."""
        return [
            Prediction(Path(row["file"]), detections_of(row))
            for row in self.rows()
            if row["status"] != ERROR and "frames" not in row
        ]

    @property
    def failed(self) -> list[tuple[Path, str]]:
        """Pictures and videos that could not be read, with the reason."""
        return [(Path(row["file"]), row["error"]) for row in self.rows() if row["status"] == ERROR]


class Choice(NamedTuple):
    """How pictures and videos are gone through, and what is written of them."""

    draw: bool
    table: bool
    """A CSV file of each video, too."""
    track: bool
    batch_size: int
    workers: int


class Best(NamedTuple):
    """The highest score of all, and its class."""

    score: float
    name: str


class PredictionRun:
    """Takes rows, names what failed, and says at the end what there is.

    limits: threshold by class name.
    """

    def __init__(self, console: Console, folder: PredictionFolder, limits: dict[str, float]) -> None:
        self.console, self.folder, self.limits = console, folder, limits
        self.best = Best(0.0, "")
        self.failed = 0
        self._first_reason = ""

    def shown(self, every: Detections) -> Detections:
        """Those over their thresholds; the best of all is remembered."""
        if len(every):
            self.saw(Best(float(every.scores[0]), every.names[0]))
        return every.above(self.limits)

    def saw(self, best: Best) -> None:
        """Remember a score."""
        self.best = max(self.best, best)

    def add(self, row: Row) -> None:
        """Keep the row of a picture or a video."""
        self.folder.add(row)
        if row["status"] == ERROR:
            self.failed += 1
            self._first_reason = self._first_reason or str(row["error"])
            self.say(str(row["error"]), "yellow")

    def say(self, line: str, style: str = "") -> None:
        """A line for the user; names of files may hold line breaks."""
        self.console.print(printable(line), style=style, soft_wrap=True, markup=False, highlight=False)

    def finish(
        self,
        formats: Sequence[str],
        classes: ClassNames,
        asked: Sequence[str],
        rate: float,
        strict: bool = False,
        signal: int | None = None,
    ) -> PredictResult:
        """Write the formats and say what was done. asked: pictures and videos that were named.

        rate: of them in a second; strict: as for ``predict``; signal: by which it was stopped. DataError where
        nothing could be read, and with ``strict``; Interrupted where a signal stopped it.
        """
        result = self._count()
        if signal is not None:
            left = len(self.folder.todo(asked))
            raise Interrupted(
                f"stopped with {left:,} of {len(asked):,} still to do; what was done is kept in "
                f"{self.folder.path}, and the same command with --resume goes on",
                signal,
            )
        if not result.pictures and not result.videos:
            self.folder.discard()
            raise DataError(
                f"none of the {len(asked)} pictures could be read; the first: {self._first_reason}"
            )
        self.folder.finish(formats, classes)
        self._tell(result, rate)
        if strict and self.failed:
            raise DataError(
                f"{many(self.failed, 'picture')} could not be read (--strict); the others are done"
            )
        return result

    def _count(self) -> PredictResult:
        pictures = videos = detections = 0
        for row in self.folder.rows() if self.folder.journal.path.exists() else ():
            if row["status"] != ERROR:
                videos += "frames" in row
                pictures += "frames" not in row
                detections += len(row.get("detections", ()))
        return PredictResult(self.folder.path, pictures, videos, detections, self.folder.rows)

    def _tell(self, result: PredictResult, rate: float) -> None:
        if result.pictures:
            speed = f", {a_second(rate)}" if rate and not result.videos else ""
            failed = f", {self.failed} could not be read" if self.failed else ""
            self.say(
                f"{many(result.detections, 'detection')} on {many(result.pictures, 'picture')}{speed}{failed} "
                f"-> {result.output}"
            )
            for line in not_shown(self.limits, self.best, result.detections):
                self.say(line)
        if result.videos:
            self.say(f"{many(result.videos, 'video')} -> {result.output}")


def not_shown(limits: dict[str, float], best: Best, found: int) -> list[str]:
    """Why there is less than a person may look for."""
    never = [name for name, limit in limits.items() if limit >= 1]
    if not found and not best.name:
        return ["the model gave no detection at all: no score was over its own score_thresh; train longer"]
    if not found:
        return [
            f"nothing scored over its threshold: the best was {best.name} {best.score:.2f}, whose threshold is "
            f"{limits[best.name]:.2f}; --all shows everything, --score-thresh sets another"
        ]
    if never:
        few = ", ".join(never[:5]) + (f" and {len(never) - 5} more" if len(never) > 5 else "")
        return [f"never shown, as the threshold is 1 (the precision asked for was not reached): {few}"]
    return []
