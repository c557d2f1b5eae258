"""``augmentation.yaml`` -> ``data.image_size``, ``data.augment`` and ``model.architecture.pixels``.

Facts: docs/components/augmentation/, dataloaders/augmentation/. The list of training was ``transforms`` once, and
before that there was no list but single keys.
"""

from __future__ import annotations

from foveal.config.document import Key
from foveal.config.fields import nearest
from foveal.config.netspresso import geometry, pixels
from foveal.config.netspresso.geometry import AUGMENT, CANVAS, IMAGE_SIZE, canvas, sides
from foveal.config.netspresso.transforms import INFERENCE, NO_MIX, TRANSFORMS
from foveal.config.netspresso.translation import Translation

AUGMENTATION: Key = ("augmentation",)
LISTS = ("train", "transforms")
_OWN = "Foveal has no such single setting; see data.augment"
FLAT_NAMES = (
    "hsv_h hsv_s hsv_v degrees translate scale max_scale min_scale crop_size_h crop_size_w resize_ratio0 "
    "resize_ratiof resize_add shear perspective mixup copy_paste mixup_alpha cutmix_alpha mixup_switch_prob"
)
FLAT_REASONS = dict.fromkeys(FLAT_NAMES.split(), _OWN)
FLAT = {"fliplr": "horizontal_flip", "flipud": "vertical_flip", "mosaic": "mosaic"}
JITTER = ("brightness", "contrast", "saturation", "hue", "colorjitter_p")
NAMES: dict[Key, tuple[str, ...]] = {
    AUGMENTATION: ("img_size", *LISTS, "inference", "mix_transforms", *FLAT, "color_jitter", *FLAT_REASONS),
    (*AUGMENTATION, "color_jitter"): JITTER,
}


def augmentation(t: Translation) -> None:
    """The whole section. What the file does not ask for is off, whatever Foveal's defaults."""
    if not t.has(AUGMENTATION):
        return
    for name in ("horizontal_flip", "vertical_flip", "mosaic", "colour"):
        t.put(AUGMENTATION, (*AUGMENT, name), 0.0)
    for name in LISTS:
        items = t.get((*AUGMENTATION, name))
        for number in range(len(items) if isinstance(items, list) else 0):
            transform(t, (*AUGMENTATION, name, number))
        if isinstance(items, list):
            pixels.pixels(t, (*AUGMENTATION, name), len(items))
    size: Key = (*AUGMENTATION, "img_size")
    if t.number(size) is not None:
        canvas(t, size, sides(t, size))
    for name, ours in FLAT.items():
        key = (*AUGMENTATION, name)
        if t.number(key) is not None:
            t.map(key, (*AUGMENT, ours), t.get(key))
        elif t.has(key) and t.get(key) is None:
            t.ignore(key, "")
    inference = t.get((*AUGMENTATION, "inference"))
    for number in range(len(inference) if isinstance(inference, list) else 0):
        _inference(t, (*AUGMENTATION, "inference", number))
    mixes = t.get((*AUGMENTATION, "mix_transforms"))
    for number in range(len(mixes) if isinstance(mixes, list) else 0):
        section = (*AUGMENTATION, "mix_transforms", number)
        t.ignore_known(section, dict.fromkeys(t.theirs.mapping(section), NO_MIX))
    jitter: Key = (*AUGMENTATION, "color_jitter")
    if t.theirs.mapping(jitter):
        pixels.color_jitter(t, jitter, jitter, (*jitter, "colorjitter_p"))
        t.ignore_known(jitter, TRANSFORMS["colorjitter"].params)
    t.ignore_known(AUGMENTATION, FLAT_REASONS)


def transform(t: Translation, key: Key) -> None:
    """One item of the list of training."""
    kind = _kind(t, key)
    if kind is None:
        return
    name = (*key, "name")
    handler = HANDLERS.get(kind)
    if handler is None:
        t.ignore(name, TRANSFORMS[kind].why)
    else:
        handler(t, key)
    t.ignore_known(key, TRANSFORMS[kind].params)


def _kind(t: Translation, key: Key) -> str | None:
    """The transform's name, where NetsPresso has it; a fault otherwise."""
    name = t.get((*key, "name"))
    kind = str(name).lower()
    if kind in TRANSFORMS:
        return kind
    near = nearest(kind, list(TRANSFORMS))
    hint = f"; did you mean {near!r}?" if near else f"; NetsPresso has {', '.join(TRANSFORMS)}"
    t.ledger.fault(t.origin((*key, "name")), f"transform {name!r} is not known{hint}")
    return None


def _taken_later(t: Translation, key: Key) -> None:
    """``totensor`` and ``normalize`` mean something together only: see ``pixels.pixels``."""


HANDLERS = {
    "resize": geometry.resize,
    "pad": geometry.pad,
    "randomhorizontalflip": lambda t, key: geometry.flip(t, key, "horizontal_flip"),
    "randomverticalflip": lambda t, key: geometry.flip(t, key, "vertical_flip"),
    "mosaicdetection": geometry.mosaic,
    "randomresizedcrop": geometry.crop,
    "randomcrop": geometry.window,
    "randomresize": geometry.random_resize,
    "colorjitter": lambda t, key: pixels.color_jitter(t, key, (*key, "name"), (*key, "p")),
    "hsvjitter": pixels.hsv_jitter,
    "totensor": _taken_later,
    "normalize": _taken_later,
}


def _inference(t: Translation, key: Key) -> None:
    """What is done to every picture: Foveal does it as in training."""
    kind = _kind(t, key)
    if kind is None:
        return
    if kind not in INFERENCE:
        t.ignore((*key, "name"), "it varies pictures at inference, which Foveal does not")
        t.ignore_known(key, dict.fromkeys(TRANSFORMS[kind].names, "the transform is left out"))
        return
    t.used((*key, "name"), "pictures are placed and normalised as in training")
    size = (*key, "size")
    if t.has(size):
        if t.ours.get(IMAGE_SIZE) is None:
            canvas(t, size, sides(t, size))
        elif sides(t, size) == t.ours.get(IMAGE_SIZE):
            t.used(size, CANVAS)
        else:
            t.ignore(size, f"pictures are placed as in training: image_size {t.ours.get(IMAGE_SIZE)}")
    t.ignore_known(
        key, dict.fromkeys(TRANSFORMS[kind].names, "pictures are placed and normalised as in training")
    )
