"""The pictures of ``foveal predict``: read ahead, looked at, drawn and kept."""

from __future__ import annotations

from collections.abc import Sequence

from foveal.errors import DataError
from foveal.runtime.detections import Detections
from foveal.runtime.journal import error_row, picture_row
from foveal.runtime.predictor import Predictor
from foveal.runtime.read_ahead import Stop
from foveal.runtime.sources import is_video
from foveal.verbs.drawing import Drawing, drawn_name
from foveal.verbs.prediction_run import Choice, PredictionRun
from foveal.verbs.progress import WorkProgress

FAR_LARGER = 8
"""A picture whose sides are so many times the canvas's, seen whole, is worth a line."""


def predict_pictures(
    run: PredictionRun,
    predictor: Predictor,
    todo: Sequence[str],
    choice: Choice,
    stopped: Stop,
    progress: WorkProgress,
) -> None:
    files = [name for name in todo if not is_video(name)]
    warned = False
    with Drawing() as drawing:
        for file, found in predictor.outcomes(files, choice.batch_size, choice.workers, stopped):
            if isinstance(found, DataError):
                row = error_row(file, str(found))
                drawing.add(lambda row=row: run.add(row))  # type: ignore[misc]
            else:
                if not warned and _is_far_larger(predictor, found):
                    warned = True
                    run.say(_shrunk(predictor, file, found), "yellow")
                shown = run.shown(found)
                target = drawn_name(run.folder.name(file), file) if choice.draw else None
                row = picture_row(file, shown, target)
                path = None if target is None else run.folder.path / target
                drawing.add(lambda row=row: run.add(row), shown, path)  # type: ignore[misc]
                del shown
            del found  # so that a large picture is gone before the next one is decoded
            progress.advance()


def _is_far_larger(predictor: Predictor, found: Detections) -> bool:
    height, width = predictor.canvas
    return predictor.tiling is None and max(found.height / height, found.width / width) > FAR_LARGER


def _shrunk(predictor: Predictor, file: str, found: Detections) -> str:
    height, width = predictor.canvas
    times = max(found.height / height, found.width / width)
    return (
        f"{file}: {found.width} x {found.height} pixels are seen on a canvas of {width} x {height}, {times:.0f} "
        f"times smaller; where small objects matter, --tile {height}x{width} looks at it in tiles"
    )
