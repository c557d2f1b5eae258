"""One colour per class: fixed, apart from each other for colour-blind eyes too, for any number of classes.

The first seven are those of Okabe and Ito (Color Universal Design, 2008) without black. The rest walk round
the OKLCH hue circle by the golden angle and change lightness at every step, since lightness is what remains
where hues fall together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

RGB = tuple[int, int, int]

_OKABE_ITO: tuple[RGB, ...] = (
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermilion
    (0, 114, 178),  # blue
)
_GOLDEN_ANGLE = 360 * (1 - 1 / ((1 + math.sqrt(5)) / 2))
_LIGHTNESS = (0.80, 0.55, 0.70, 0.90, 0.62)
_CHROMA = 0.16


@cache
def class_colour(label: int) -> RGB:
    """Colour of a class by its index, the same in every picture and every run."""
    if label < len(_OKABE_ITO):
        return _OKABE_ITO[label]
    step = label - len(_OKABE_ITO)
    return _oklch_to_rgb(_LIGHTNESS[step % len(_LIGHTNESS)], _CHROMA, (20 + step * _GOLDEN_ANGLE) % 360)


def name_colours(names: Iterable[str]) -> dict[str, RGB]:
    """Colour of each name: those of class 0, 1, ... in the order in which the names first occur."""
    return {name: class_colour(label) for label, name in enumerate(dict.fromkeys(names))}


def text_colour(background: RGB) -> RGB:
    """Near-black or white, whichever has the greater contrast on the background (WCAG 2.1)."""
    luminance = _luminance(background)
    dark: RGB = (17, 17, 17)
    on_dark = (luminance + 0.05) / (_luminance(dark) + 0.05)
    return dark if on_dark >= 1.05 / (luminance + 0.05) else (255, 255, 255)


def _luminance(colour: RGB) -> float:
    red, green, blue = (
        c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _oklch_to_rgb(lightness: float, chroma: float, hue: float) -> RGB:
    """Björn Ottosson's OKLab, with the chroma reduced until the colour is one that a screen has."""
    while True:
        a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
        long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        linear = (
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        )
        if all(-1e-4 <= c <= 1.0001 for c in linear):
            red, green, blue = (_gamma(min(max(c, 0.0), 1.0)) for c in linear)
            return red, green, blue
        chroma *= 0.95


def _gamma(linear: float) -> int:
    encoded = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * encoded)
