"""What was found, a line of JSON per picture, written as it is found: what a stopped run goes on from.

A row: ``file``, ``status`` (ok or error), ``error``, ``height``, ``width``, ``detections`` (``box`` xyxy in the
picture's pixels, ``score``, ``label``, ``name``), ``drawn``, the picture with boxes, and of a file on this machine
``modified``, the time of its last change. A video's row has ``frames`` instead of detections.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch

from foveal.errors import DiskError
from foveal.files import write_atomically
from foveal.runtime.detections import Detections
from foveal.runtime.remote import is_remote, public_name

Row = dict[str, Any]
OK, ERROR = "ok", "error"


def picture_row(file: str, detections: Detections, drawn: str | None = None) -> Row:
    """The row of a picture that was looked at."""
    row = {"file": public_name(file), "status": OK, "error": None, **detections.to_dict()}
    return row if drawn is None else {**row, "drawn": drawn}


def error_row(file: str, reason: str) -> Row:
    """The row of a picture that could not be read."""
    row = {"file": public_name(file), "status": ERROR, "error": reason}
    return {**row, "height": None, "width": None, "detections": []}


def detections_of(row: Row) -> Detections:
    """The detections of a picture's row, to the last bit."""
    rows = row["detections"]
    return Detections(
        torch.tensor([one["box"] for one in rows], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([one["score"] for one in rows], dtype=torch.float32),
        torch.tensor([one["label"] for one in rows], dtype=torch.int64),
        tuple(one["name"] for one in rows),
        row["height"],
        row["width"],
    )


def read_journal(path: Path) -> Iterator[Row]:
    """The rows of a journal, one at a time; a line that a kill or a crash spoiled is left out."""
    with path.open("rb") as stream:
        for line in stream:
            with suppress(ValueError):
                row = json.loads(line) if line.endswith(b"\n") else None
                if isinstance(row, dict) and {"file", "status"} <= row.keys():
                    yield row


class Journal:
    """Appends rows to a file; each is on its way to the disk when ``add`` returns.

    What is there is kept, but for rows with an error, those of files that were changed since, and a line that was
    cut off. DiskError where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[str, str | None] = {}
        """Files with a row, and what was drawn of them."""
        self._stream: IO[bytes] | None = None
        if path.exists():
            write_atomically(path, self._keep)

    def add(self, row: Row) -> None:
        """Write a row. The file is made by the first one."""
        modified = _modified(row["file"])
        row = row if modified is None else {**row, "modified": modified}
        text = json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace")
        try:
            if self._stream is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._stream = open(self.path, "ab")  # noqa: SIM115
            self._stream.write(text + b"\n")
            self._stream.flush()
        except OSError as error:
            raise DiskError(
                f"{self.path}: cannot be written ({error.strerror or error}); free some space or choose another "
                "place with -o"
            ) from error
        self.done[row["file"]] = row.get("drawn")

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _keep(self, stream: IO[bytes]) -> None:
        for row in read_journal(self.path):
            if row["status"] == OK and not _changed_since(row):
                stream.write(json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")
                self.done[row["file"]] = row.get("drawn")


def _modified(file: str) -> float | None:
    """Time of a file's last change; None where it is not on this machine."""
    with suppress(OSError, ValueError):
        return None if is_remote(file) else os.stat(file).st_mtime
    return None


def _changed_since(row: Row) -> bool:
    before, now = row.get("modified"), _modified(row["file"])
    return before is not None and now is not None and before != now
