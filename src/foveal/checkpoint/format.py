"""One checkpoint file: safetensors, with all that is needed to use the weights in its JSON header.

Any safetensors reader opens it. Its metadata holds ``foveal``, the header below as JSON, and ``sha256``, the
digest of the whole file with these 64 digits set to zero, so that no flipped bit goes unseen. Reading runs no
code of the file's, and no other kind of file is tried in its place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from foveal.checkpoint.header import HEADER, CheckpointHeader, damaged, header_text, parse_header
from foveal.checkpoint.sniff import describe_file
from foveal.errors import ModelFileError
from foveal.files import write_bytes

HEADER_LIMIT = 16 << 20
"""Bytes of JSON that are read at most; ten thousand classes and tensors take about two million."""
METADATA = "__metadata__"
NO_DIGEST = "0" * 64


class Checkpoint(NamedTuple):
    """A checkpoint file in memory."""

    header: CheckpointHeader
    state: dict[str, Tensor]


def save_checkpoint(path: str | Path, state: Mapping[str, Tensor], header: CheckpointHeader) -> None:
    """Write the file whole or not at all.

    state: tensors of any device and layout, shared ones too; they are stored contiguous, each by itself.
    DiskError where it cannot be written; a file that was there before is then unchanged. One writer per path.
    """
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }
    content = bytearray(safetensors.torch.save(tensors, {HEADER: header_text(header), "sha256": NO_DIGEST}))
    if int.from_bytes(content[:8], "little") > HEADER_LIMIT:
        raise ValueError(f"the header is over {HEADER_LIMIT} bytes: no reader would take it")
    place = _digest_place(content, NO_DIGEST)
    content[place : place + len(NO_DIGEST)] = hashlib.sha256(content).hexdigest().encode()
    write_bytes(Path(path), content)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read and check a checkpoint; tensors on the CPU.

    ModelFileError, with what to do, for all but a whole, unaltered checkpoint of this format or an older one.
    """
    path = Path(path)
    metadata, content = _read(path)
    if not _is_ours(metadata):
        raise ModelFileError(
            f"{path}: plain weights, not a Foveal checkpoint; name it in backbone.params.weights, "
            "or run foveal convert on it"
        )
    if not _is_intact(content, metadata.get("sha256", "")):
        raise damaged(path, "its SHA-256 does not fit its content")
    header = parse_header(path, metadata.get(HEADER, ""))
    try:
        return Checkpoint(header, safetensors.torch.load(bytes(content)))
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise damaged(path, str(error).splitlines()[0]) from error


def is_checkpoint(path: str | Path) -> bool:
    """Whether a safetensors file is one of ours, be it damaged; ModelFileError where it is not safetensors."""
    return _is_ours(_read(Path(path), only_header=True)[0])


# ---------------------------------------------------------------- reading


def _read(path: Path, only_header: bool = False) -> tuple[dict[str, str], bytes]:
    """The metadata and the bytes of a safetensors file."""
    if path.is_dir():
        raise ModelFileError(
            f"{path}: a folder, not a checkpoint; name a file in it, such as best.safetensors"
        )
    try:
        with path.open("rb") as file:
            start = file.read(9)
            length = int.from_bytes(start[:8], "little")
            if len(start) < 9 or start[8:] != b"{" or length > HEADER_LIMIT:
                raise ModelFileError(f"{path}: {describe_file(path)}")
            head = start + file.read(length - 1)
            metadata = _parse_metadata(path, head[8:], length)
            return metadata, head if only_header else head + file.read()
    except FileNotFoundError as error:
        raise ModelFileError(
            f"{path}: no such file; a run's checkpoints are best.safetensors and last.safetensors"
        ) from error
    except OSError as error:
        raise ModelFileError(
            f"{path}: cannot be read ({error.strerror}); check its permissions and the disk"
        ) from error


def _parse_metadata(path: Path, text: bytes, length: int) -> dict[str, str]:
    if len(text) < length:
        raise damaged(path, "it ends inside its header")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, "its header is no JSON") from error
    metadata = entries.get(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise damaged(path, "its metadata is no table of texts")
    for name, entry in entries.items():  # among them "__metadata__" itself, where a bit of it is flipped
        if name != METADATA and not (isinstance(entry, dict) and "dtype" in entry):
            raise damaged(path, "its header has an entry that is no tensor")
    return metadata


def _is_ours(metadata: dict[str, str]) -> bool:
    """By either entry: a flipped bit may have renamed the other."""
    return bool(metadata.keys() & {HEADER, "sha256"})


def _digest_place(content: bytes | bytearray, digest: str) -> int:
    """Where the digest's text stands; -1 where it does not. Quotes inside the other texts are escaped."""
    entry = f'"sha256":"{digest}"'.encode()
    found = content.find(entry, 8, HEADER_LIMIT + 8)
    return found + entry.index(b":") + 2 if found >= 0 else -1


def _is_intact(content: bytes, digest: str) -> bool:
    place = _digest_place(content, digest)
    if place < 0 or len(digest) != len(NO_DIGEST):
        return False
    rest = memoryview(content)
    found = hashlib.sha256(rest[:place])
    found.update(NO_DIGEST.encode())
    found.update(rest[place + len(NO_DIGEST) :])
    return found.hexdigest() == digest
