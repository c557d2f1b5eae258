"""S4: pictures that promise too much, and files that are none."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

from attacks.client import ask, post
from attacks.server import MEGABYTE, Server, growth


def png(width: int, height: int) -> bytes:
    """A PNG whose header promises so much, with a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(pages: int) -> bytes:
    """So many pages of 8 x 8 grey pixels, all of the same bytes."""
    data = bytes(range(64))
    tags = [(256, 3, 8), (257, 3, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 3, 8), (279, 4, len(data))]
    size = 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    places = [8 + len(data) + size * page for page in range(pages)]
    directories = [
        struct.pack("<H", len(tags)) + entries + struct.pack("<I", end) for end in [*places[1:], 0]
    ]
    return b"II*\0" + struct.pack("<I", places[0]) + data + b"".join(directories)


def bombs() -> dict[str, bytes]:
    """S4: pictures too large, or of formats that are not taken, and one of very many pages."""
    from PIL import Image

    def saved(kind: str, **options: Any) -> bytes:
        stream = io.BytesIO()
        frames = [Image.new("L", (8, 8), shade) for shade in range(2)]
        frames[0].save(stream, kind, **options)
        return stream.getvalue()

    fits = b"SIMPLE  =                    T".ljust(80) + b"END".ljust(80)
    return {
        "400 Mpx PNG": png(20_000, 20_000),
        "51 Mpx PNG": png(10_200, 5_000),
        "FITS": fits.ljust(2880),
        "GD": b"\xff\xfe\x00\x10\x00\x10\x01" + b"\0" * 2000,
        "PSD": b"8BPS\0\1" + b"\0" * 6 + struct.pack("!HIIHH", 3, 20_000, 20_000, 8, 3) + b"\0" * 100,
        "animated GIF": saved(
            "GIF", save_all=True, append_images=[Image.new("L", (8, 8), n % 256) for n in range(500)]
        ),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        "10,000-page TIFF": tiff(10_000),
        "text": b"not a picture\n" * 100,
        "0 bytes": b"",
    }


async def odd_pictures(server: Server) -> dict[str, Any]:
    """S4: status, seconds and growth of each."""
    figures = {}
    for name, content in bombs().items():
        with growth(server) as grown:
            answer = await ask(server.port, post(content, kind="application/octet-stream"))
        figures[name] = {
            "status": answer.status,
            "seconds": round(answer.seconds, 3),
            "growth MB": round(grown[0] / MEGABYTE, 1),
            "said": json.loads(answer.body).get("error", "") if answer.body else "",
        }
    return figures
