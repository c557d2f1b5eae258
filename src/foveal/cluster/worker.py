"""What runs in each of Ray's processes: a predictor, and a row for every picture that it is given."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from foveal.errors import DataError, FovealError
from foveal.runtime.detections import Detections
from foveal.runtime.journal import error_row, picture_row
from foveal.runtime.remote import public_name

Batch = dict[str, Any]
"""Columns, as Ray Data hands them over."""
Seen = tuple[str, float, str]
"""Row as JSON, and the score and name of the best detection of all."""


class Work(NamedTuple):
    """How to detect; the same for all workers."""

    model: str
    """Path, where the workers see it; else its name."""
    options: dict[str, Any]
    """Of ``Predictor``."""
    limits: dict[str, float]
    batch_size: int
    threads: int
    """Of each worker."""
    on_gpu: bool = False
    """Where there are any."""
    content: Any = None
    """Reference in Ray's store to the model's files by name, where the workers do not see its path."""


class Detector:
    """Made once in each process; called with the pictures of a block."""

    def __init__(self, work: Work) -> None:
        import torch

        from foveal.runtime.predictor import Predictor

        torch.set_num_threads(work.threads)
        self._work = work
        with _model(work) as path:
            self._predictor = Predictor(path, score_thresh=0.0, **work.options)

    def __call__(self, batch: Batch) -> Batch:
        """number [n], names [n] (JSON: its own, path) -> number [n], row [n] (JSON), score [n], name [n]."""
        pairs = [json.loads(names) for names in batch["names"].tolist()]
        paths = [path for _, path in pairs]
        found: list[Seen] = []
        try:
            for path, result in self._predictor.outcomes(paths, self._work.batch_size):
                found.append(self._seen(pairs[len(found)][0], path, result))
                del result
        except Exception:  # one picture too large for the memory, say, and no fault of its neighbours
            for file, path in pairs[len(found) :]:
                found.append(self._seen(file, path, self._alone(path)))
        rows, scores, names = zip(*found, strict=True)
        return {"number": batch["number"], "row": list(rows), "score": list(scores), "name": list(names)}

    def _alone(self, path: str) -> Detections | DataError:
        try:
            return self._predictor(path)
        except DataError as error:
            return error
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            return DataError(reason if isinstance(error, FovealError) else f"{public_name(path)}: {reason}")

    def _seen(self, file: str, path: str, result: Detections | DataError) -> Seen:
        if isinstance(result, DataError):
            row = error_row(file, str(result).replace(path, file))
            return json.dumps(row), 0.0, ""
        row = picture_row(file, result.above(self._work.limits))
        best = (float(result.scores[0]), result.names[0]) if len(result) else (0.0, "")
        return json.dumps(row), *best


@contextmanager
def _model(work: Work) -> Iterator[str]:
    """Path of the model on this machine, for as long as it is being loaded."""
    if work.content is None:
        yield work.model
        return
    import ray

    with tempfile.TemporaryDirectory(prefix="foveal-model-", ignore_cleanup_errors=True) as folder:
        for name, content in ray.get(work.content[0]).items():
            (Path(folder) / name).write_bytes(content)
        yield str(Path(folder) / work.model)
