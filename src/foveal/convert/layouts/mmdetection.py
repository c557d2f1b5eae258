"""mmdetection: mmdet/models/dense_heads/retina_head.py, necks/fpn.py, backbones/resnet.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from foveal.convert.layouts.layout import BLOCK, CLASSIFIER, Layout, Rules, Settings
from foveal.convert.reading import Source

HEADS = {"cls_convs": "cls_subnet", "reg_convs": "box_subnet"}
NUMBERS = r"\s*[=:]\s*[\[(]\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*,?\s*[\])]"


def rules(names: Iterable[str]) -> Rules:
    """Names; the neck's convolutions beyond the lateral ones make the extra levels."""
    laterals = sum(1 for name in names if re.fullmatch(r"neck\.lateral_convs\.\d\.conv\.weight", name))

    def output(match: re.Match[str]) -> str:
        level, place = int(match[1]), 0 if match[2] == "conv" else 1
        kind, level = ("output", level) if level < laterals else ("extra", level - laterals)
        return f"neck.{kind}.{level}.{place}.{match[3]}"

    def lateral(match: re.Match[str]) -> str:
        return f"neck.lateral.{match[1]}.{0 if match[2] == 'conv' else 1}.{match[3]}"

    def subnet(match: re.Match[str]) -> str:
        return f"head.{HEADS[match[1]]}.{match[2]}.{'conv' if match[3] == 'conv' else 'norm'}.{match[4]}"

    return (
        (rf"backbone\.{BLOCK}", r"backbone.body.\1"),
        (r"neck\.lateral_convs\.(\d)\.(conv|bn|gn)\.(\w+)", lateral),
        (r"neck\.fpn_convs\.(\d)\.(conv|bn|gn)\.(\w+)", output),
        (r"bbox_head\.(cls_convs|reg_convs)\.(\d)\.(conv|bn|gn)\.(\w+)", subnet),
        (r"bbox_head\.retina_cls\.(\w+)", r"head.cls_logits.\1"),
        (r"bbox_head\.retina_reg\.(\w+)", r"head.bbox_pred.\1"),
    )


def settings(source: Source, tensors: Mapping[str, Tensor]) -> Settings:
    """What the configuration says that training wrote beside the weights, as text: style and pixels."""
    meta = source.facts.get("meta")
    text = meta.get("cfg", meta.get("config", "")) if isinstance(meta, Mapping) else ""
    if not isinstance(text, str):
        return {}
    found: Settings = {}
    if re.search(r"style\s*[=:]\s*['\"]caffe['\"]", text):
        found["architecture.backbone.params.stride_in_1x1"] = True
    mean, std = (re.search(rf"['\"]?\b{name}\b['\"]?{NUMBERS}", text) for name in ("mean", "std"))
    turned = re.search(r"\b(?:to_rgb|bgr_to_rgb)\b['\"]?\s*[=:]\s*(True|False)", text)
    if mean and std and turned:
        found["architecture.pixels.order"] = "rgb" if turned[1] == "True" else "bgr"
        found["architecture.pixels.mean"] = [float(number) for number in mean.groups()]
        found["architecture.pixels.std"] = [float(number) for number in std.groups()]
    return found


LAYOUT = Layout(
    "mmdetection",
    "mmdetection",
    "mmdetection's RetinaNet",
    (r"neck\.lateral_convs\.0\.conv\.weight", r"bbox_head\.retina_cls\.weight"),
    rules,
    (800, 1344),
    (*CLASSIFIER, (r"ema_\w+", "a moving average; the weights under the plain names are taken")),
    settings=settings,
)
