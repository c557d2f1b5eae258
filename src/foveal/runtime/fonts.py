"""A font that has the letters of a name, so that class names in any script are drawn and none crashes."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Looked up by Pillow in the system's own font folders (Linux, macOS, Windows), only where they are needed.
_SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "DejaVuSans.ttf",
    "Arial Unicode.ttf",
    "AppleSDGothicNeo.ttc",
    "malgun.ttf",
    "msyh.ttc",
)


def font_for(text: str, size: int) -> Font:
    """Pillow's own font, or where it lacks letters of the text, the one at hand that lacks the fewest."""
    best = _default_font(size)
    lacking = _lacking(best, text)
    for name in (_matplotlib_font(), *_SYSTEM_FONTS):
        if not lacking:
            break
        font = _named_font(name, size)
        if font is not None and _lacking(font, text) < lacking:
            best, lacking = font, _lacking(font, text)
    return best


def drawable(text: str, font: Font) -> str:
    """The text on one line; where the font is Pillow's bitmap one, letters it lacks become question marks."""
    line = " ".join(text.split())
    if isinstance(font, ImageFont.FreeTypeFont):
        return line
    return line.encode("latin-1", "replace").decode("latin-1")


@cache
def _default_font(size: int) -> Font:
    return ImageFont.load_default(size=size)


@cache
def _named_font(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


@cache
def _matplotlib_font() -> str:
    """Path of the DejaVu Sans that comes with matplotlib, found without importing it."""
    spec = find_spec("matplotlib")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    return str(folder / "mpl-data/fonts/ttf/DejaVuSans.ttf")


def _lacking(font: Font, text: str) -> int:
    """How many letters of the text the font cannot draw."""
    if not isinstance(font, ImageFont.FreeTypeFont):
        return sum(not letter.isascii() for letter in text)
    return sum(not (letter.isspace() or _has_glyph(font, letter)) for letter in text)


@cache
def _has_glyph(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    # A font draws all letters it lacks alike, and the last code point of Unicode is a letter none has.
    return letter.isascii() or bytes(font.getmask(letter)) != bytes(font.getmask("\U0010ffff"))
