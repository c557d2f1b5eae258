"""Transforms that change pixels -> ``data.augment.colour`` and ``model.architecture.pixels``.

Facts: dataloaders/augmentation/custom/image_proc.py, docs/components/augmentation/transforms.md.
"""

from __future__ import annotations

from math import log
from statistics import fmean

from foveal.config.document import Key
from foveal.config.netspresso.translation import Translation

COLOUR: Key = ("data", "augment", "colour")
PIXELS: Key = ("model", "architecture", "pixels")


def _colour(t: Translation, name: Key, strengths: dict[Key, float], share: float) -> None:
    """A strength s of ours varies by up to 1.6 ** s (data/colour.py), theirs by up to 1 + strength."""
    amounts = [log(1 + max(0.0, value)) / log(1.6) for value in strengths.values()]
    strength = min(1.0, share * fmean(amounts)) if amounts else 0.0
    strength = round(max(t.ours.get(COLOUR) or 0.0, strength), 4)
    t.map(name, COLOUR, strength, "one strength for all of them, and for hue; about as strong")
    for key in strengths:
        t.ledger.mapped(key, t.origin(key), "data.augment.colour")


def color_jitter(t: Translation, section: Key, name: Key, share_key: Key) -> None:
    """Brightness, contrast and saturation, each a strength or [least, most]."""
    strengths: dict[Key, float] = {}
    for part in ("brightness", "contrast", "saturation"):
        key = (*section, part)
        value = t.get(key)
        if isinstance(value, list) and value and all(isinstance(end, (int, float)) for end in value):
            strengths[key] = max(abs(float(end) - 1) for end in value)
        elif (number := t.number(key)) is not None:
            strengths[key] = number
    share = t.number(share_key)
    _colour(t, name, strengths, 1.0 if share is None else share)
    if share is not None:
        to = "data.augment.colour, as a factor: every picture is varied"
        t.ledger.mapped(share_key, t.origin(share_key), to)


def hsv_jitter(t: Translation, section: Key) -> None:
    """Saturation and value, moved by up to so much of 255."""
    values = {(*section, part): t.number((*section, part)) for part in ("s_mag", "v_mag")}
    strengths = {key: value / 255 for key, value in values.items() if value is not None}
    _colour(t, (*section, "name"), strengths, 1.0)


def pixels(t: Translation, section: Key, items: int) -> None:
    """``totensor`` (value / 255 x pixel_range) and ``normalize`` (less the mean, over std) as one mean and std.

    A list with neither is of a version that always normalised as ImageNet's networks want it; so do Foveal's.
    """
    names = {str(t.get((*section, number, "name"))).lower(): number for number in range(items)}
    scale = 1.0
    if "totensor" in names:
        tensor = (*section, names["totensor"])
        scale = t.number((*tensor, "pixel_range")) or 1.0
        bare = "" if "normalize" in names else " mean 0: the file has no normalize"
        t.ledger.mapped((*tensor, "name"), t.origin((*tensor, "name")), f"model.architecture.pixels{bare}")
        if t.number((*tensor, "pixel_range")) is not None:
            at = t.origin((*tensor, "pixel_range"))
            t.ledger.mapped(
                (*tensor, "pixel_range"), at, "model.architecture.pixels mean and std, as a factor"
            )
        if bare:
            t.put((*tensor, "name"), (*PIXELS, "mean"), [0.0] * 3)
            t.put((*tensor, "name"), (*PIXELS, "std"), [255 / scale] * 3)
    if "normalize" in names:
        norm = (*section, names["normalize"])
        t.ledger.mapped((*norm, "name"), t.origin((*norm, "name")), "model.architecture.pixels")
        for name in ("mean", "std"):
            _normalize(t, (*norm, name), (*PIXELS, name), 255 / scale)


def _normalize(t: Translation, key: Key, to: Key, factor: float) -> None:
    value = t.get(key)
    if isinstance(value, list) and all(
        isinstance(n, (int, float)) and not isinstance(n, bool) for n in value
    ):
        t.map(key, to, [round(float(n) * factor, 4) for n in value], "in 0..255")
    else:
        t.ledger.fault(t.origin(key), f"normalize: {key[-1]} must be a list of numbers")
