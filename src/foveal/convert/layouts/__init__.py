"""The programs whose files can be read, by name."""

from __future__ import annotations

from foveal.convert.layouts import (
    detectron2,
    keras_retinanet,
    mmdetection,
    netspresso,
    odtk,
    torchvision,
    yhenon,
)
from foveal.convert.layouts.layout import Layout

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        torchvision.V2,  # before V1, whose marks it has, too
        torchvision.V1,
        detectron2.LAYOUT,
        mmdetection.LAYOUT,
        odtk.LAYOUT,
        keras_retinanet.LAYOUT,
        yhenon.LAYOUT,
        netspresso.LAYOUT,
    )
}
"""In the order in which they are tried."""
