"""Pictures over Ray Data: every one exactly once in the answer, whatever happens to a worker on the way.

Decoding is done in the workers, with an outcome per picture: a damaged one is a row, not the end of the job. A
worker that dies is started anew and its pictures are done again; what it dies over every time is told apart by
doing what is left one at a time, and becomes a row with an error. One CPU is kept free of workers, as Ray
Data hangs without a word where nothing is left to read with. A watchdog ends what makes no progress.
"""

from __future__ import annotations

import json
import math
import os
import queue
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foveal.cluster.start import Cluster
from foveal.cluster.worker import Detector, Work
from foveal.errors import UsageError
from foveal.runtime.exported import is_exported
from foveal.runtime.journal import Row, error_row
from foveal.runtime.read_ahead import POLL, Stop
from foveal.runtime.remote import is_remote, public_name

PATIENCE = 120.0
"""Seconds without a picture after which the job is given up."""
LARGEST_BLOCK = 16
"""Pictures that are handed out together, and are done again together where a worker dies."""
BLOCKS_EACH = 4
"""Blocks per worker at the least, so that all end at about the same time."""
RETRIES = 3
"""Times that a block is done again before its pictures are done one at a time."""


class Answer(NamedTuple):
    """One picture's row, and the best of all its scores."""

    row: Row
    score: float
    name: str


def detect_on_cluster(
    cluster: Cluster,
    files: Sequence[str],
    work: Work,
    stopped: Stop,
    patience: float = PATIENCE,
    largest_block: int = LARGEST_BLOCK,
) -> Iterator[Answer]:
    """An answer for each file, exactly once, in the order in which they come.

    stopped: ends it early. UsageError where nothing came for ``patience`` seconds, or no worker could start.
    """
    left = dict(enumerate(files))
    even = math.ceil(len(files) / (cluster.workers * BLOCKS_EACH))
    for size in (max(1, min(even, largest_block)), 1):
        for batch in _blocks(cluster, left, work, size, stopped, patience):
            columns = (batch["number"].tolist(), batch["row"], batch["score"], batch["name"])
            for number, row, score, name in zip(*columns, strict=True):
                if left.pop(number, None) is not None:
                    yield Answer(json.loads(row), float(score), str(name))
        if stopped() or not left:
            return
    for file in left.values():
        died = f"{public_name(file)}: the worker died over it, {RETRIES + 2} times"
        yield Answer(error_row(file, died), 0.0, "")


def _blocks(
    cluster: Cluster, left: dict[int, str], work: Work, size: int, stopped: Stop, patience: float
) -> Iterator[dict[str, Any]]:
    """Answers block by block; blocks that failed are missing."""
    answers: queue.Queue[dict[str, Any] | BaseException | None] = queue.Queue()
    data = _pipeline(cluster, left, work, size)

    def collect() -> None:
        try:
            for batch in data.iter_batches(batch_size=None, prefetch_batches=0):
                answers.put(batch)
            answers.put(None)
        except BaseException as error:  # handed to the thread that waits
            answers.put(error)

    threading.Thread(target=collect, name="ray-answers", daemon=True).start()
    heard = time.monotonic()
    while not stopped():
        try:
            answer = answers.get(timeout=POLL)
        except queue.Empty:
            if time.monotonic() - heard > patience:
                raise UsageError(
                    f"no picture came back from Ray in {patience:g} seconds: its CPUs are taken, or a picture "
                    "takes longer (--patience SECONDS); what came before is kept, and --resume goes on"
                ) from None
            continue
        if answer is None:
            return
        if isinstance(answer, BaseException):
            _tell_apart(answer)
            return
        heard = time.monotonic()
        yield answer


def _pipeline(cluster: Cluster, left: dict[int, str], work: Work, size: int) -> Any:
    import ray.data
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    # A block whose worker died too often is looked at again, picture by picture.
    context.max_errored_blocks = -1
    # Names as JSON, in which those that are no UTF-8 can be written.
    items = [
        {"number": number, "names": json.dumps([file, _absolute(file)])} for number, file in left.items()
    ]
    blocks = math.ceil(len(items) / size)
    workers = min(cluster.workers, blocks)
    share = gpu_share(cluster.gpus, workers) if work.on_gpu else 0
    on_gpu: dict[str, Any] = {"num_gpus": share} if share else {}
    with warnings.catch_warnings():
        # max_task_retries has no named parameter yet; the form that takes it goes in Ray 2.64.
        warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
        return ray.data.from_items(items, override_num_blocks=blocks).map_batches(
            Detector,
            fn_constructor_args=(work,),
            # One block at a time each: those that wait behind one that kills its worker would fail with it.
            compute=ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            batch_size=None,
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=RETRIES,
            **on_gpu,
        )


def gpu_share(gpus: int, workers: int) -> float:
    """GPUs that each worker asks for, so that all of them find room: one, or a part of one; 0 without any."""
    return 1 / math.ceil(workers / gpus) if gpus else 0.0


def _tell_apart(error: BaseException) -> None:
    """Let the death of a worker pass, whose pictures are done again; raise what is another fault."""
    import ray.exceptions

    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ray.exceptions.ActorDiedError | ray.exceptions.WorkerCrashedError):
            if "creation task" in str(inner) or "__init__" in str(inner):
                break
            return
        inner = inner.__cause__ or inner.__context__
    reason = " ".join(str(error).split())
    raise UsageError(f"Ray's workers cannot detect: {reason[-400:]}") from error


def _absolute(file: str) -> str:
    return file if is_remote(file) else os.path.abspath(file)


def work_for(
    cluster: Cluster, model: Path, options: dict[str, Any], limits: dict[str, float], batch_size: int
) -> Work:
    """How the workers detect. The model's files go to those of another machine through Ray.

    options: of ``Predictor``; pictures to calibrate on are read by the workers.
    """
    threads = max(1, (os.cpu_count() or 1) // cluster.workers) if cluster.is_local else 1
    examples = options.get("calibration")
    options = {**options, "calibration": examples and [_absolute(str(picture)) for picture in examples]}
    # What is no checkpoint runs on processors alone, and so do other programs than torch.
    on_gpu = not is_exported(model) and options["backend"] in ("auto", "torch") and options["device"] != "cpu"
    plain = Work(os.path.abspath(model), options, limits, batch_size, threads, on_gpu)
    if cluster.is_local:
        return plain
    files = [model, model.with_suffix(".bin")] if model.suffix.lower() == ".xml" else [model]
    content = cluster.ray.put({file.name: file.read_bytes() for file in files})
    # In a list, so that Ray hands over the reference: a worker that is started anew asks for it again.
    return plain._replace(model=model.name, content=[content])
