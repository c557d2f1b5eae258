"""NetsPresso's transforms: what each takes, and why what has no equal has none.

Facts: docs/components/augmentation/transforms.md, dataloaders/augmentation/registry.py and custom/.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

INFERENCE = ("resize", "pad", "totensor", "normalize")
NO_MIX = "Foveal mixes no pictures"
_POSE = "it is of pose estimation"
_NONE = "Foveal has no such transform"
_WHOLE = "the whole transform has no equal"
_GREY = "padding is always the same grey (114)"


class Transform(NamedTuple):
    """One transform of NetsPresso."""

    taken: tuple[str, ...] = ()
    """Parameters that a handler may enter."""
    params: Mapping[str, str] = MappingProxyType({})
    """Parameters that do nothing here, unless the handler has entered them, and why."""
    why: str = _NONE
    """Why the transform itself does nothing, where there is no handler."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every parameter."""
        return tuple(dict.fromkeys(("name", *self.taken, *self.params)))


def _none(*params: str, why: str = _NONE) -> Transform:
    return Transform((), dict.fromkeys(params, _WHOLE), why)


_CROPPED = "Foveal draws the part itself, so that a box keeps enough of itself"
TRANSFORMS = {
    "resize": Transform(
        ("size", "resize_criteria"),
        {"interpolation": "", "max_size": "no side is longer than data.image_size"},
    ),
    "pad": Transform(
        ("size",),
        {
            "fill": _GREY,
            "padding_mode": _GREY,
            "padding": "a picture is padded to data.image_size, not by a width",
        },
    ),
    "randomhorizontalflip": Transform(("p",)),
    "randomverticalflip": Transform(("p",)),
    "colorjitter": Transform(
        ("brightness", "contrast", "saturation", "p"),
        {"hue": "it goes with the strength of data.augment.colour"},
    ),
    "hsvjitter": Transform(("s_mag", "v_mag"), {"h_mag": "it goes with the strength of data.augment.colour"}),
    "mosaicdetection": Transform(
        ("size", "mosaic_prob", "affine_scale"),
        {
            "degrees": "Foveal turns by quarters only (data.augment.rotate_90)",
            "translate": "a mosaic's joint, and a picture's place in it, are drawn at random anyway",
            "shear": "Foveal does not shear",
            "enable_mixup": NO_MIX,
            "mixup_prob": NO_MIX,
            "mixup_scale": NO_MIX,
            "fill": _GREY,
            "mosaic_off_epoch": "Foveal's mosaic stays as it is to the end",
            "mosaic_off_duration": "Foveal's mosaic stays as it is to the end",
        },
    ),
    "randomresizedcrop": Transform(("size",), {"scale": _CROPPED, "ratio": _CROPPED, "interpolation": ""}),
    "randomcrop": Transform(
        ("size",),
        {"fill": _GREY},
        "Foveal's crops are scaled to fit; a window of the picture's own scale is not cut",
    ),
    "randomresize": Transform(("base_size", "stride", "random_range"), {"interpolation": ""}),
    "totensor": Transform(("pixel_range",)),
    "normalize": Transform(("mean", "std")),
    "centercrop": _none("size"),
    "randomerasing": _none("p", "scale", "ratio", "value", "inplace"),
    "randomzoomout": _none("fill", "side_range", "p"),
    "trivialaugmentwide": _none("num_magnitude_bins", "interpolation", "fill"),
    "autoaugment": _none("policy", "interpolation", "fill"),
    "mixing": _none("mixup", "cutmix", "inplace", why=NO_MIX),
    "mixup": _none("alpha", "p", "inplace", why=NO_MIX),
    "cutmix": _none("alpha", "p", "inplace", why=NO_MIX),
    "posetopdownaffine": _none(
        *("scale", "scale_prob", "translate", "translate_prob", "rotation", "rotation_prob", "size"),
        why=_POSE,
    ),
}
