"""Bodies for schemathesis where the document says "a picture": good ones, damaged ones, and others."""

from __future__ import annotations

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

KINDS = ("jpeg", "png", "webp", "bmp", "tiff", "*")

good = Path(os.environ["FOVEAL_TORTURE_PICTURE"]).read_bytes()
places = st.integers(0, len(good) - 1)
one_byte_changed = st.builds(
    lambda place, value: good[:place] + bytes([value]) + good[place + 1 :], places, st.integers(0, 255)
)
cut = places.map(lambda place: good[:place])
bodies = st.one_of(st.just(good), one_byte_changed, cut, st.binary(max_size=64))
for kind in ("application/octet-stream", *(f"image/{kind}" for kind in KINDS)):
    schemathesis.openapi.media_type(kind, bodies)
