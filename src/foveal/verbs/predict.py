"""``foveal predict``: pictures and videos with boxes, and files of the detections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from foveal.cluster.job import PATIENCE
from foveal.data.decode import MAX_PIXELS
from foveal.engine.signals import StopSignals
from foveal.errors import UsageError
from foveal.runtime.formats import check_formats
from foveal.runtime.model_file import open_model
from foveal.runtime.prediction_folder import PredictionFolder, file_hash
from foveal.runtime.predictor import Predictor, choose_thresholds
from foveal.runtime.remote import is_remote
from foveal.runtime.sources import find_pictures as find_pictures
from foveal.runtime.sources import find_sources, is_video
from foveal.runtime.tiling import TileSize, choose_tiling
from foveal.runtime.tracking import check_tracking
from foveal.runtime.video import check_video
from foveal.verbs.predict_cluster import Spread, check_cluster_choice, predict_on_cluster
from foveal.verbs.predict_pictures import predict_pictures
from foveal.verbs.predict_video import predict_video
from foveal.verbs.prediction_run import Choice, PredictionRun, PredictResult
from foveal.verbs.prediction_run import Prediction as Prediction
from foveal.verbs.progress import WorkProgress

READERS = 2
"""Threads that decode while the network works."""
GPU_BATCH = 8


def predict(
    checkpoint: str | Path,
    sources: Sequence[str | Path],
    output: str | Path = "predictions",
    score_thresh: float | None = None,
    everything: bool = False,
    pictures: bool | None = None,
    device: str = "auto",
    quiet: bool = False,
    backend: str = "auto",
    precision: str = "fp32",
    calibration: Path | None = None,
    tiles: TileSize | None = None,
    overlap: float | None = None,
    formats: Sequence[str] = ("coco",),
    batch_size: int | None = None,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    track: bool = True,
    resume: bool = False,
    strict: bool = False,
    cluster: bool = False,
    address: str | None = None,
    patience: float = PATIENCE,
) -> PredictResult:
    """Detect on files, folders, globs, addresses and videos; write ``detections.jsonl`` and more into ``output``.

    score_thresh: one threshold for all classes; default: those stored with the model. everything: all
    detections over the model's own score_thresh. pictures: also write pictures and videos with boxes; by default
    not from a cluster. backend, precision, calibration, tiles, overlap, max_pixels: as in ``Predictor``,
    pictures to calibrate on as files, folders or globs. formats: coco, csv, yolo, parquet, jsonl. batch_size:
    pictures that go through the network together; default: 8 on a GPU, else 1. workers: threads that decode ahead,
    by default 2 where a GPU works or pictures come from elsewhere; on a cluster, processes that detect. track:
    follow objects through videos. resume: go on with ``output`` where it was left; otherwise an ``output``
    with anything in it is not touched and a numbered one is made beside it.
    cluster, address, patience: with Ray Data, on this machine or on the cluster at an address, as for
    ``detect_on_cluster``; pictures alone.

    A picture that cannot be read is named and left out; DataError where none could be read, and with ``strict``
    at the end. Interrupted on Ctrl-C and SIGTERM: what was done by then is kept.
    """
    checkpoint, asked_for = Path(checkpoint), [str(source) for source in sources]
    console = Console(quiet=quiet, stderr=True)
    wanted = check_formats(formats)
    names = _usable(find_sources(asked_for), asked_for, track, console)
    if cluster:
        check_cluster_choice(names, pictures)
    examples = None if calibration is None else find_pictures([str(calibration)])
    options: dict[str, Any] = {"device": device, "backend": backend, "precision": precision}
    options |= {"calibration": examples, "tiles": tiles, "overlap": overlap, "max_pixels": max_pixels}
    # Everything is asked for and sorted out here: where nothing is shown, the best score says why.
    predictor = None if cluster else Predictor(checkpoint, score_thresh=0.0, **options)
    header = (
        open_model(checkpoint, backend, precision, device).header if predictor is None else predictor.header
    )
    limits = choose_thresholds(header, 0.0 if everything else score_thresh)
    settings = settings_of(checkpoint, limits, precision, choose_tiling(header, tiles, overlap))
    if any(map(is_video, names)):
        settings["track"] = track
    with StopSignals() as signals, PredictionFolder(Path(output), settings, resume) as folder:
        todo = folder.todo(names)
        run = PredictionRun(console, folder, limits)
        pictures_left = sum(not is_video(name) for name in todo)
        every = sum(not is_video(name) for name in names)
        with WorkProgress(console, every, "pictures", done=every - pictures_left) as progress:
            if predictor is None:
                spread = Spread(checkpoint, options, address, workers, batch_size or 1, patience)
                predict_on_cluster(run, spread, todo, signals, progress)
            else:
                batch = batch_size or (GPU_BATCH if predictor.device.type == "cuda" else 1)
                threads = _readers(predictor, todo) if workers is None else workers
                choice = Choice(pictures is not False, "csv" in wanted, track, batch, threads)
                predict_pictures(run, predictor, todo, choice, signals.stopped, progress)
        if predictor is not None:
            for name in filter(is_video, todo):
                if not signals.stopped():
                    predict_video(run, predictor, name, choice, signals.stopped)
        return run.finish(wanted, header.classes, names, progress.rate, strict, signals.received)


def _readers(predictor: Predictor, names: Sequence[str]) -> int:
    """Threads that decode ahead: on a CPU they take from the network what they bring, unless they mostly wait."""
    return READERS if predictor.device.type != "cpu" or any(map(is_remote, names)) else 0


def settings_of(
    model: Path, limits: dict[str, float], precision: str, tiling: NamedTuple | None
) -> dict[str, Any]:
    """What detections depend on: kept beside them, and compared where a folder is gone on with."""
    return {
        "model": file_hash(model),
        "thresholds": limits,
        "precision": precision,
        "tiles": None if tiling is None else tiling._asdict(),
    }


def _usable(names: list[str], sources: Sequence[str], track: bool, console: Console) -> list[str]:
    """What can be looked at with the packages that are installed."""
    videos = [name for name in names if is_video(name)]
    if not videos:
        return names
    try:
        check_video()
        if track:
            check_tracking()
        return names
    except UsageError as error:
        asked_for = any(is_video(source) for source in sources)
        if asked_for or len(videos) == len(names):
            raise
        # A folder of pictures with a stray video in it.
        console.print(
            f"{len(videos)} videos are left out: {error}", style="yellow", soft_wrap=True, markup=False
        )
        return [name for name in names if not is_video(name)]
