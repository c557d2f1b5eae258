"""How the server and its decoding processes talk: a header of JSON, then bytes."""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

LENGTH = struct.Struct("!I")
"""Bytes of the header that follows."""
BYTES = "bytes"
"""In a header: how many bytes follow it."""


def pack(header: dict[str, Any], payload: bytes | bytearray | memoryview = b"") -> bytes:
    """What goes before the payload."""
    text = json.dumps({**header, BYTES: len(payload)}).encode()
    return LENGTH.pack(len(text)) + text


def read(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next header and its payload; None at the end."""
    start = stream.read(LENGTH.size)
    if len(start) < LENGTH.size:
        return None
    header = json.loads(stream.read(LENGTH.unpack(start)[0]))
    payload = stream.read(header[BYTES])
    return (header, payload) if len(payload) == header[BYTES] else None
