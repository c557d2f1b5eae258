"""A digest inside the file that it is of: damage is seen before anything runs the file."""

from __future__ import annotations

import hashlib

SEAL = "foveal_sha256"
"""Key of the digest among a file's metadata."""
UNSEALED = "0" * 64
"""What stands in the digest's place while it is taken."""


def seal(content: bytes, beside: bytes = b"") -> bytes:
    """The file with its digest in the last place that holds ``UNSEALED``.

    beside: a second file that belongs to it. ValueError where there is no such place.
    """
    place = content.rfind(UNSEALED.encode())
    if place < 0:
        raise ValueError("no place for the digest")
    return b"".join([content[:place], _digest(content, place, beside), content[place + len(UNSEALED) :]])


def is_sealed(content: bytes, digest: str, beside: bytes = b"") -> bool:
    """Whether a file, and the one beside it, are what they were when the digest was taken."""
    place = content.rfind(digest.encode()) if len(digest) == len(UNSEALED) else -1
    return place >= 0 and _digest(content, place, beside) == digest.encode()


def _digest(content: bytes, place: int, beside: bytes) -> bytes:
    rest = memoryview(content)
    found = hashlib.sha256(rest[:place])
    found.update(UNSEALED.encode())
    found.update(rest[place + len(UNSEALED) :])
    found.update(beside)
    return found.hexdigest().encode()
