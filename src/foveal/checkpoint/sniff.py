"""What a file is that was meant to be a checkpoint, told by its first bytes, without opening it as such."""

from __future__ import annotations

from pathlib import Path

LEAD = 4096
"""Bytes looked at."""
SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive, as PyTorch's .pth and Keras's .keras are; run foveal convert on it"),
    (b"\x80", "a pickle, which may run code when read; never opened here, save its weights as .safetensors"),
    (b"\x89HDF", "an HDF5 file, as Keras writes; run foveal convert on it"),
    (b"\x89PNG", "a picture; give the checkpoint first, then the pictures"),
    (b"\xff\xd8\xff", "a picture; give the checkpoint first, then the pictures"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; run git lfs pull"),
)
ONNX = "an ONNX model: it can predict and serve"
EXPORTED = {
    ".onnx": ONNX,
    ".xml": "an OpenVINO model: it can predict and serve",
    ".pt2": "a torch.export model: torch and torchvision run it",
}
"""What ``foveal export`` writes, by suffix."""
ONNX_START = (b"\x08", b"\x12", b"\x3a")
"""A ModelProto opens with its format version, and then its producer or its graph."""


def describe_file(path: Path) -> str:
    """One line: what the file seems to be, and what to do. OSError where it cannot be read."""
    with path.open("rb") as file:
        lead = file.read(LEAD)
    if not lead:
        return "an empty file; the copy or the save did not finish, use another checkpoint"
    if lead[8:10] == b'{"':
        return "damaged at its start; copy it again or use the run's other checkpoint"
    if path.suffix in EXPORTED:
        return f"{EXPORTED[path.suffix]}, but this needs the checkpoint it was exported from"
    for signature, words in SIGNATURES:
        if lead.startswith(signature):
            return f"{words} (a checkpoint is a .safetensors file)"
    if lead[:1] == ONNX_START[0] and lead[2:3] in ONNX_START[1:]:
        return f"{ONNX}, but this needs the checkpoint it was exported from"
    if _is_text(lead):
        return "a text file, not a checkpoint; give the .safetensors file of a run"
    return "not a checkpoint, or one damaged at its start; copy it again or use the run's other checkpoint"


def _is_text(lead: bytes) -> bool:
    try:
        text = lead.decode("utf-8")
    except UnicodeDecodeError as error:
        # The cut may fall inside a character.
        if error.start < len(lead) - 3:
            return False
        text = lead[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)
