"""detectron2: modeling/meta_arch/retinanet.py, modeling/backbone/resnet.py and fpn.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from foveal.convert.layouts.layout import Layout, Rules, Settings
from foveal.convert.reading import Source

BODY = r"backbone\.bottom_up\."


def _block(match: re.Match[str]) -> str:
    """res2.0.conv1.norm.weight -> layer1.0.bn1.weight; the shortcut is timm's downsample."""
    stage, block, layer, norm, tensor = match.groups()
    plain, normed = ("downsample.0", "downsample.1") if layer == "shortcut" else (layer, f"bn{layer[-1]}")
    name = normed if norm else plain
    return f"backbone.body.layer{int(stage) - 1}.{block}.{name}.{tensor}"


def _level(kind: str) -> Callable[[re.Match[str]], str]:
    def name(match: re.Match[str]) -> str:
        return f"neck.{kind}.{int(match[1]) - 3}.{1 if match[2] else 0}.{match[3]}"

    return name


def _subnet(ours: str, step: int) -> Callable[[re.Match[str]], str]:
    """step: 2 for convolution and ReLU, 3 with a norm between."""

    def name(match: re.Match[str]) -> str:
        block, layer = divmod(int(match[1]), step)
        return f"head.{ours}.{block}.{'conv' if layer == 0 else 'norm'}.{match[2]}"

    return name


def rules(names: Iterable[str]) -> Rules:
    """Names of the ResNet FPN with the subnets in a row."""
    step = 3 if "head.cls_subnet.1.weight" in set(names) else 2
    return (
        (BODY + r"stem\.conv1\.(weight)", r"backbone.body.conv1.\1"),
        (BODY + r"stem\.conv1\.norm\.(\w+)", r"backbone.body.bn1.\1"),
        (BODY + r"res([2-5])\.(\d+)\.(conv[1-3]|shortcut)(\.norm)?\.(\w+)", _block),
        (r"backbone\.fpn_lateral([3-5])(\.norm)?\.(\w+)", _level("lateral")),
        (r"backbone\.fpn_output([3-5])(\.norm)?\.(\w+)", _level("output")),
        (r"backbone\.top_block\.p6\.(\w+)", r"neck.extra.0.0.\1"),
        (r"backbone\.top_block\.p7\.(\w+)", r"neck.extra.1.0.\1"),
        (r"head\.cls_subnet\.(\d+)\.(\w+)", _subnet("cls_subnet", step)),
        (r"head\.bbox_subnet\.(\d+)\.(\w+)", _subnet("box_subnet", step)),
        (r"head\.cls_score\.(\w+)", r"head.cls_logits.\1"),
        (r"head\.bbox_pred\.(\w+)", r"head.bbox_pred.\1"),
    )


def settings(source: Source, tensors: Mapping[str, Tensor]) -> Settings:
    """Means and deviations of the pixels, where the file holds them."""
    found: Settings = {}
    for name, ours in (("pixel_mean", "mean"), ("pixel_std", "std")):
        value = source.tensors.get(name)
        if value is not None and value.numel() == 3:
            found[f"architecture.pixels.{ours}"] = [float(number) for number in value.flatten().tolist()]
    return found


LAYOUT = Layout(
    "detectron2",
    "detectron2",
    "detectron2's RetinaNet",
    (BODY + r"stem\.conv1\.weight", r"backbone\.top_block\.p6\.weight", r"head\.cls_score\.weight"),
    rules,
    (800, 1344),
    (
        (
            BODY + r"(?:stem\.fc|linear)\.(?:weight|bias)",
            "the image classifier's last layer, unused in a detector",
        ),
        (r"pixel_(?:mean|std)", "read into model.architecture.pixels"),
    ),
    settings=settings,
    cell_anchors=r"anchor_generator\.cell_anchors\.(\d)",
)
