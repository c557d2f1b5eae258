"""``foveal predict --cluster``: the same rows, from Ray's workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foveal.cluster.job import detect_on_cluster, work_for
from foveal.cluster.start import check_ray, ray_cluster
from foveal.engine.signals import StopSignals
from foveal.errors import UsageError
from foveal.runtime.sources import is_video
from foveal.verbs.prediction_run import Best, PredictionRun
from foveal.verbs.progress import WorkProgress


class Spread(NamedTuple):
    """What goes to which cluster."""

    model: Path
    options: dict[str, Any]
    """Of ``Predictor``."""
    address: str | None
    workers: int | None
    batch_size: int
    patience: float


def check_cluster_choice(names: Sequence[str], pictures: bool | None) -> None:
    """UsageError for what a cluster does not do, and where Ray is missing."""
    check_ray()
    if pictures:
        raise UsageError("--cluster draws no pictures: leave out --pictures")
    videos = [name for name in names if is_video(name)]
    if videos:
        raise UsageError(
            f"{videos[0]}: --cluster takes pictures, and no videos, whose frames follow one another"
        )


def predict_on_cluster(
    run: PredictionRun, spread: Spread, todo: Sequence[str], signals: StopSignals, progress: WorkProgress
) -> None:
    """Keep a row for each file."""
    if not todo:
        return
    with ray_cluster(spread.address, spread.workers) as cluster:
        signals.install()  # Ray has put a handler of its own in place
        work = work_for(cluster, spread.model, spread.options, run.limits, spread.batch_size)
        # A picture that is seen in tiles takes long enough to be handed out alone.
        size = {"largest_block": 1} if spread.options["tiles"] else {}
        answers = detect_on_cluster(cluster, todo, work, signals.stopped, spread.patience, **size)
        for answer in answers:
            run.saw(Best(answer.score, answer.name))
            run.add(answer.row)
            progress.advance()
