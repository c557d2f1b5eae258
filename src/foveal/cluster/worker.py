"""What runs in each of Ray's processes: a predictor, and a row for every picture that it is given."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from foveal.errors import DataError
from foveal.runtime.journal import error_row, picture_row

Batch = dict[str, Any]
"""Columns, as Ray Data hands them over."""


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
    content: Any = None
    """Reference in Ray's store to the model's files by name, where the workers do not see its path."""


class Detector:
    """Made once in each process; called with the pictures of a block."""

    def __init__(self, work: Work) -> None:
        import torch

        from foveal.runtime.predictor import Predictor

        torch.set_num_threads(work.threads)
        self._work = work
        self._predictor = Predictor(_model(work), score_thresh=0.0, **work.options)

    def __call__(self, batch: Batch) -> Batch:
        """number [n], file [n] (as it is called), path [n] -> number [n], row [n] (JSON), score [n], name [n]."""
        names = dict(zip(batch["path"].tolist(), batch["file"].tolist(), strict=True))
        rows, scores, best = [], [], []
        for path, found in self._predictor.outcomes(list(names), self._work.batch_size):
            every = None if isinstance(found, DataError) else found
            if every is None:
                rows.append(error_row(names[path], str(found).replace(path, names[path])))
            else:
                rows.append(picture_row(names[path], every.above(self._work.limits)))
            scores.append(float(every.scores[0]) if every else 0.0)
            best.append(every.names[0] if every else "")
        return {
            "number": batch["number"],
            "row": [json.dumps(row) for row in rows],
            "score": scores,
            "name": best,
        }


def _model(work: Work) -> str:
    """Path of the model on this machine."""
    if work.content is None:
        return work.model
    import ray

    folder = Path(tempfile.mkdtemp(prefix="foveal-model-"))
    for name, content in ray.get(work.content[0]).items():
        (folder / name).write_bytes(content)
    return str(folder / work.model)
