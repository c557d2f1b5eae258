"""Transforms that place a picture or turn it -> ``data.image_size`` and ``data.augment``.

Facts: dataloaders/augmentation/custom/image_proc.py and mosaic.py.
"""

from __future__ import annotations

from foveal.config.document import Key, dotted
from foveal.config.netspresso.transforms import TRANSFORMS
from foveal.config.netspresso.translation import Translation

IMAGE_SIZE: Key = ("data", "image_size")
AUGMENT: Key = ("data", "augment")
CANVAS = "data.image_size, given before"


def sides(t: Translation, key: Key) -> list[int] | None:
    """[height, width] of a whole number or a list of one or two; anything else is a fault."""
    value = t.get(key)
    values = value if isinstance(value, list) else [value]
    if len(values) in (1, 2) and all(isinstance(side, int) and not isinstance(side, bool) for side in values):
        return [int(values[0]), int(values[-1])]
    if value is not None:
        allowed = "a whole number, or [height, width]"
        t.ledger.fault(t.origin(key), f"{dotted(key)}: {value!r} is not allowed; allowed: {allowed}")
    return None


def canvas(t: Translation, key: Key, size: list[int] | None) -> None:
    """The first size that a file gives is ``data.image_size``; the others are compared with it."""
    if size is None:
        return
    first = t.ours.get(IMAGE_SIZE)
    if first is None:
        t.map(key, IMAGE_SIZE, size)
    elif first == size:
        t.used(key, CANVAS)
    else:
        t.ignore(
            key, f"data.image_size is {first}, given before ({t.ours.origin(IMAGE_SIZE).place})", warning=True
        )


def resize(t: Translation, key: Key) -> None:
    """``size``: of a list a stretched picture, of one number the side that ``resize_criteria`` names."""
    size, criteria = (*key, "size"), (*key, "resize_criteria")
    if isinstance(t.get(size), list):
        shape = "the picture keeps its shape and is padded; theirs is stretched"
        t.ledger.mapped((*key, "name"), t.origin((*key, "name")), f"data.image_size: {shape}", "resize")
        canvas(t, size, sides(t, size))
    elif t.get(criteria) == "long":
        t.ledger.mapped(
            (*key, "name"), t.origin((*key, "name")), "data.image_size: scaled to fit, as theirs", "resize"
        )
        canvas(t, size, sides(t, size))
        t.used(criteria, "pictures are scaled to fit")
    else:
        why = "the shorter side decides, and Foveal scales a picture until it fits"
        t.ignore((*key, "name"), why, warning=True)
        if t.has(size):
            t.ignore(size, why)
    if t.has(criteria) and criteria not in t.ledger.entries:
        t.ignore(criteria, "the size has two sides")
    _interpolation(t, key)


def _interpolation(t: Translation, key: Key) -> None:
    key = (*key, "interpolation")
    if t.get(key) == "bilinear":
        t.used(key, "as always here, with antialiasing")
    elif t.has(key):
        t.ignore(key, "Foveal resizes bilinearly, with antialiasing")


def pad(t: Translation, key: Key) -> None:
    """Filled up at the right and bottom."""
    t.used((*key, "name"), "at the right and bottom, as here")
    canvas(t, (*key, "size"), sides(t, (*key, "size")))
    if t.get((*key, "fill")) == 114:
        t.used((*key, "fill"), "Foveal's grey")


def flip(t: Translation, key: Key, to: str) -> None:
    """Mirrored with probability ``p``."""
    share, name = (*key, "p"), (*key, "name")
    t.ledger.mapped(name, t.origin(name), f"data.augment.{to}", f"transform {t.get(name)}")
    if t.number(share) is not None:
        t.map(share, (*AUGMENT, to), t.get(share))
    elif not t.has(share):
        t.put(name, (*AUGMENT, to), 0.5)


def mosaic(t: Translation, key: Key) -> None:
    """Four pictures in one."""
    share, name, scale = (*key, "mosaic_prob"), (*key, "name"), (*key, "affine_scale")
    t.ledger.mapped(name, t.origin(name), "data.augment.mosaic", "transform mosaicdetection")
    if t.number(share) is not None:
        t.map(share, (*AUGMENT, "mosaic"), t.get(share))
    canvas(t, (*key, "size"), sides(t, (*key, "size")))
    if isinstance(t.get(scale), list):
        t.map(scale, (*AUGMENT, "scale_jitter"), list(t.get(scale)), "of every picture, in a mosaic or not")
    if t.has((*key, "enable_mixup")) and not t.get((*key, "enable_mixup")):
        t.used((*key, "enable_mixup"), "pictures are not mixed here either")
    for part in ("degrees", "shear", "translate"):
        if t.number((*key, part)) == 0:
            t.used((*key, part), "none here either")


def crop(t: Translation, key: Key) -> None:
    """``randomresizedcrop``."""
    canvas(t, (*key, "size"), sides(t, (*key, "size")))
    t.map((*key, "name"), (*AUGMENT, "crop"), 1.0, "a random part that keeps enough of a box, scaled to fit")
    _interpolation(t, key)


def window(t: Translation, key: Key) -> None:
    """``randomcrop``."""
    canvas(t, (*key, "size"), sides(t, (*key, "size")))
    t.ignore((*key, "name"), TRANSFORMS["randomcrop"].why, warning=True)


def random_resize(t: Translation, key: Key) -> None:
    """``randomresize``: the canvas grows and shrinks by steps of ``stride``."""
    base, name = (*key, "base_size"), (*key, "name")
    size = sides(t, base)
    step, reach = t.number((*key, "stride")), t.number((*key, "random_range"))
    if size is None or not step or reach is None:
        t.ledger.fault(t.origin(name), "randomresize needs base_size, stride and random_range")
        return
    canvas(t, base, size)
    factors = [(size[0] + step * i) / size[0] for i in range(-int(reach), int(reach) + 1)]
    kept = [factor for factor in factors if factor > 0]
    t.map(name, (*AUGMENT, "multi_scale"), kept, "one drawn per batch")
    for part in ("stride", "random_range"):
        t.ledger.mapped((*key, part), t.origin((*key, part)), "data.augment.multi_scale", part)
    _interpolation(t, key)
