"""Damaged pictures: what can be wrong with a file, done to sound ones of five formats."""

from __future__ import annotations

import itertools
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from sound_pictures import EXTENSIONS, VARIANTS

SIDE = 200
"""Sound pictures are made no larger: ten thousand are written and read."""
ENTRY = struct.Struct("<HHII")
"""One of a TIFF directory's entries: tag, type, count, value."""
ODD = (0, 1, 2, 7, 255, 4096, 16_000, 30_000, 65_535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
"""Numbers that a size, a length or a place in a file should not be."""


class Mutant(NamedTuple):
    """One damaged file."""

    name: str
    content: bytes


Damage = Callable[[bytes, str, random.Random], bytes]


def mutants(sources: Sequence[Path], count: int, seed: int) -> Iterator[Mutant]:
    """``count`` files, as many of each format, made of the pictures in ``sources``; the same for the same seed."""
    chance = random.Random(seed)
    pictures = []
    for path in sources:
        with Image.open(path) as image:
            image.thumbnail((SIDE, SIDE))
            pictures.append(image.convert("RGB"))
    sound = {name: [make(image) for image in pictures for make in VARIANTS[name]] for name in EXTENSIONS}
    kinds = list(DAMAGES)
    for number in range(count):
        format = list(EXTENSIONS)[number % len(EXTENSIONS)]
        kind = kinds[number // len(EXTENSIONS) % len(kinds)]
        content = DAMAGES[kind](chance.choice(sound[format]), format, chance)
        suffix = EXTENSIONS[format]
        if kind == "suffix":
            suffix = chance.choice([other for other in EXTENSIONS.values() if other != suffix])
        yield Mutant(f"{number:05}_{format.lower()}_{kind}{suffix}", content)


# ---------------------------------------------------------------- damage


def _flip(content: bytes, format: str, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 3, 20, 200))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _header(content: bytes, format: str, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 2, 8))):
        changed[chance.randrange(min(150, len(changed)))] = chance.choice(
            (0, 1, 127, 128, 255, chance.randrange(256))
        )
    return bytes(changed)


def _cut(content: bytes, format: str, chance: random.Random) -> bytes:
    return content[
        : chance.choice((0, chance.randrange(40), chance.randrange(len(content)), len(content) - 1))
    ]


def _junk(content: bytes, format: str, chance: random.Random) -> bytes:
    tail = chance.choice(
        (chance.randbytes(chance.randrange(1, 5000)), content, bytes(70_000), b"MZ" + content[:99])
    )
    return content + tail if chance.random() < 0.7 else tail[: chance.randrange(200)] + content


def _suffix(content: bytes, format: str, chance: random.Random) -> bytes:
    """The sound picture, under another's name, or another's beginning on it."""
    starts = (
        b"",
        b"",
        b"GIF89a",
        b"8BPS\0\1",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"P6 9 9 255\n",
        b"\0\0\1\0",
        b"SIMPLE  =",
    )
    return chance.choice(starts) + content


def _parts(content: bytes, format: str, chance: random.Random) -> bytes:
    """Chunks, segments or blocks swapped, repeated or left out."""
    places = sorted({0, len(content), *_borders(content, format, chance)})
    parts = [content[a:b] for a, b in itertools.pairwise(places)]
    for _ in range(chance.choice((1, 1, 4))):
        one, other = chance.randrange(len(parts)), chance.randrange(len(parts))
        what = chance.randrange(3)
        if what == 0:
            parts[one], parts[other] = parts[other], parts[one]
        elif what == 1:
            parts.insert(one, parts[other])
        elif len(parts) > 1:
            del parts[one]
    return b"".join(parts)


def _borders(content: bytes, format: str, chance: random.Random) -> list[int]:
    """Where the parts of a file begin."""
    if format in ("PNG", "WEBP"):
        place, found, png = (8, [], True) if format == "PNG" else (12, [], False)
        while place + 8 <= len(content):
            found.append(place)
            length = int.from_bytes(content[place : place + 4], "big") + 12 if png else (
                int.from_bytes(content[place + 4 : place + 8], "little") + 9 & ~1
            )  # fmt: skip
            place += length
        return found
    if format == "JPEG":
        return [at for at in range(2, len(content) - 1) if content[at] == 0xFF and content[at + 1] >= 0xC0]
    return [chance.randrange(len(content)) for _ in range(6)]


def _size(content: bytes, format: str, chance: random.Random) -> bytes:
    """Another width, height, depth, length or place than the file has, its checksum right again."""
    changed = bytearray(content)
    odd = [chance.choice((*ODD, chance.randrange(30_000))) for _ in range(2)]
    if format == "PNG":
        changed[16:24] = struct.pack(">II", *odd)
        if chance.random() < 0.3:
            changed[24:26] = bytes((chance.choice((1, 2, 4, 8, 16)), chance.choice((0, 2, 3, 4, 6))))
        changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
    elif format == "JPEG":
        frames = [
            at for at in range(len(content) - 9) if content[at] == 0xFF and content[at + 1] in (0xC0, 0xC2)
        ]
        at = frames[-1] + chance.choice((5, 5, 2, 11))
        changed[at : at + 4] = struct.pack(">HH", *(value & 0xFFFF for value in odd))
    elif format == "WEBP":
        at = chance.choice((4, 16, 20, 24, 26, 26, 30))
        changed[at : at + 4] = struct.pack("<I", odd[0] & 0xFFFFFFFF)
    elif format == "BMP":
        at = chance.choice((10, 14, 18, 18, 18, 28, 34, 46))
        changed[at : at + 8] = struct.pack("<II", *odd)
    else:
        _spoil_directory(changed, chance)
    return bytes(changed)


def _spoil_directory(changed: bytearray, chance: random.Random) -> None:
    """Sizes, strips and types of a TIFF's first directory."""
    start = int.from_bytes(changed[4:8], "little")
    if changed[2] != 42 or start + 2 > len(changed):  # BigTIFF
        at = chance.randrange(4, 60)
        changed[at : at + 4] = struct.pack("<I", chance.choice(ODD))
        return
    for _ in range(chance.choice((1, 2, 4))):
        entries = int.from_bytes(changed[start : start + 2], "little")
        at = start + 2 + ENTRY.size * chance.randrange(max(entries, 1))
        tag, kind, count, value = ENTRY.unpack_from(changed, at)
        odd = chance.choice((*ODD, chance.randrange(30_000)))
        spoiled = [
            (tag, kind, count, odd),
            (tag, 4, count, odd),
            (tag, kind, odd, value),
            (odd & 0xFFFF, kind, count, value),
        ]
        spoiled += [(256, 4, 1, odd), (257, 4, 1, odd), (278, 4, 1, odd), (tag, odd & 15, count, value)]
        ENTRY.pack_into(changed, at, *chance.choice(spoiled))


def _metadata(content: bytes, format: str, chance: random.Random) -> bytes:
    """EXIF that is broken, endless, or says what it must not."""
    at = content.find(b"II*\0")
    at = at if at >= 0 else content.find(b"MM\0*")
    if at < 0 or format == "TIFF":
        return _flip(content, format, chance) if at < 0 else _looped(content, chance)
    changed = bytearray(content)
    reach = min(len(changed), at + 160)
    what = chance.randrange(4)
    if what == 0:  # a directory that is its own next one
        changed[at + 4 : at + 8] = struct.pack(chance.choice("<>") + "I", chance.choice((0, 4, 8, *ODD)))
    elif what == 1:
        for _ in range(chance.choice((1, 5, 30))):
            changed[chance.randrange(at, reach)] = chance.randrange(256)
    elif what == 2:
        changed[at:reach] = chance.randbytes(reach - at)
    else:
        place = changed.find(b"\x12\x01", at, reach)
        place = place if place >= 0 else changed.find(b"\x01\x12", at, reach)
        changed[place + 8 : place + 12] = struct.pack("<I", chance.choice((0, 9, 255, *ODD)) & 0xFFFFFFFF)
    return _summed(bytes(changed)) if format == "PNG" else bytes(changed)


def _looped(content: bytes, chance: random.Random) -> bytes:
    """A TIFF whose next directory is an earlier one, itself, or anywhere."""
    changed = bytearray(content)
    start = int.from_bytes(changed[4:8], "little")
    after = start + 2 + ENTRY.size * int.from_bytes(changed[start : start + 2], "little")
    if after + 4 <= len(changed):
        changed[after : after + 4] = struct.pack(
            "<I", chance.choice((start, 8, chance.randrange(len(changed)), *ODD))
        )
    return bytes(changed)


def _data(content: bytes, format: str, chance: random.Random) -> bytes:
    """Damage behind right checksums, so that the decoder meets it."""
    changed = bytearray(content)
    low = min(len(changed) - 1, 100)
    for _ in range(chance.choice((1, 5, 50))):
        changed[chance.randrange(low, len(changed))] = chance.choice((0, 255, chance.randrange(256)))
    return _summed(bytes(changed)) if format == "PNG" else bytes(changed)


def _summed(content: bytes) -> bytes:
    """A PNG with every checksum right."""
    changed, place = bytearray(content), 8
    while place + 12 <= len(changed):
        end = place + 8 + int.from_bytes(changed[place : place + 4], "big")
        if end + 4 > len(changed):
            break
        changed[end : end + 4] = struct.pack(">I", zlib.crc32(changed[place + 4 : end]))
        place = end + 4
    return bytes(changed)


DAMAGES: dict[str, Damage] = {
    "flip": _flip,
    "header": _header,
    "cut": _cut,
    "parts": _parts,
    "size": _size,
    "junk": _junk,
    "suffix": _suffix,
    "exif": _metadata,
    "data": _data,
}
