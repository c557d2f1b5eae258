"""Any timm network as a source of feature maps at strides 4, 8, 16 and 32."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from foveal.checkpoint.transfer import transfer_weights
from foveal.checkpoint.weight_file import load_weight_file
from foveal.errors import ModelFileError, UsageError
from foveal.models import variants
from foveal.models.frozen_norm import apply_to_weights, freeze_batch_norm
from foveal.models.norm_pairs import find_norm_pairs
from foveal.models.pretrained import create_pretrained
from foveal.models.same_padding import replace_same_padding

RGB = tuple[float, float, float]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LAST_LEVEL = 5
PROBE_SIZE = (128, 192)
"""Height and width of the picture that shows strides and layout: unequal, so that NHWC cannot hide."""


class Backbone(nn.Module):
    """C{min_level}..C5 of a timm network, finest first; level l has stride 2**l.

    name: a timm model. weights: None (random), "imagenet" (timm's pretrained weights, by name) or a file.
    c5: "features" is the last stage; "conv_head" is the map after the last 1x1 convolution, its norm and its
    activation, where the network has one (MobileNetV2: 1,280 channels instead of 320).
    batch_norm: "frozen" fixes statistics and affine parameters, "trained" leaves ordinary batch norm.
    stride_in_1x1, pool_padding: as other implementations have them (``variants``).

    UsageError for a name or a setting that cannot work, ModelFileError for weights that cannot be used.
    """

    def __init__(
        self,
        name: str,
        weights: str | Path | None = None,
        c5: Literal["features", "conv_head"] = "features",
        batch_norm: Literal["frozen", "trained"] = "frozen",
        min_level: int = 3,
        stride_in_1x1: bool = False,
        pool_padding: Literal["symmetric", "tensorflow"] = "symmetric",
    ) -> None:
        super().__init__()
        _check_name(name)
        # The image classifier as its authors built it: the names that weight files use.
        whole = create_pretrained(name) if weights == "imagenet" else timm.create_model(name)
        self.strides = tuple(2**level for level in range(min_level, LAST_LEVEL + 1))
        self.body = _create_features(name, whole, self.strides)
        replace_same_padding(self.body)
        if stride_in_1x1 and not variants.stride_in_1x1(self.body):
            raise UsageError(f"backbone {name} has no bottleneck blocks: stride_in_1x1 must be false")
        if pool_padding == "tensorflow" and not variants.pool_like_tensorflow(self.body):
            raise UsageError(f"backbone {name} has no max pooling: pool_padding must be symmetric")
        self.conv_head: nn.Module | None = None
        self.bn2: nn.Module | None = None
        if c5 == "conv_head":
            self.conv_head, self.bn2 = _take_conv_head(name, whole)
        facts: Any = whole.pretrained_cfg
        self.mean = _three(facts.get("mean"), IMAGENET_MEAN)
        self.std = _three(facts.get("std"), IMAGENET_STD)
        self.transfer_report = self._load(name, weights, whole)
        if batch_norm == "frozen":
            freeze_batch_norm(self)
        self._nhwc = False
        self.channels = self._probe(name)
        if batch_norm == "frozen":
            apply_to_weights(find_norm_pairs(self, torch.zeros(1, 3, *PROBE_SIZE)))

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] float, normalised with ``mean`` and ``std`` -> feature maps [B, C, H / s, W / s]."""
        features = list(self.body(images))
        if self._nhwc:
            features = [feature.permute(0, 3, 1, 2) for feature in features]
        if self.conv_head is not None and self.bn2 is not None:
            features[-1] = self.bn2(self.conv_head(features[-1]))
        return features

    def _load(self, name: str, weights: str | Path | None, whole: nn.Module) -> str | None:
        """Bring the weights into the parts; the report in one line, None where the weights are random."""
        if weights is None or weights == "imagenet":
            self._load_parts(name, whole.state_dict())
            return None if weights is None else f"{name}: timm's pretrained weights"
        source = load_weight_file(weights)
        try:
            if any(key.startswith("body.") for key in source):
                transfer = transfer_weights(source, self.state_dict())
                self.load_state_dict(transfer.state)
            else:
                transfer = transfer_weights(source, whole.state_dict())
                self._load_parts(name, transfer.state)
        except ModelFileError as error:
            raise ModelFileError(f"{weights} into {name}: {error}") from error
        return f"{Path(weights).name} into {name}: {transfer.report.summary()}"

    def _load_parts(self, name: str, whole: Mapping[str, Tensor]) -> None:
        """The whole network's tensors under the names of the parts; timm renames stages.0 to stages_0."""
        state = {}
        for key in self.state_dict():
            found = next((alias for alias in _aliases(key) if alias in whole), None)
            if found is None:
                raise UsageError(f"backbone {name}: {key} is not in the whole network; choose another")
            state[key] = whole[found]
        self.load_state_dict(state)

    @torch.no_grad()
    def _probe(self, name: str) -> tuple[int, ...]:
        """Channels of the levels, from a real pass that checks strides and layout."""
        training = self.training
        height, width = PROBE_SIZE
        grids = [(height // stride, width // stride) for stride in self.strides]
        self.eval()
        try:
            shapes = [tuple(feature.shape) for feature in self.body(torch.zeros(1, 3, height, width))]
            self._nhwc = [shape[1:-1] for shape in shapes] == grids
            features = self(torch.zeros(1, 3, height, width))
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"backbone {name} cannot take pictures of {height}x{width} ({reason}); "
                "choose one without a fixed picture size"
            ) from error
        finally:
            self.train(training)
        if [tuple(feature.shape[2:]) for feature in features] != grids:
            raise UsageError(
                f"backbone {name} gives maps {shapes} for a picture of {height}x{width}, "
                f"not strides {list(self.strides)}; choose another backbone"
            )
        return tuple(feature.shape[1] for feature in features)


def _check_name(name: str) -> None:
    if timm.is_model(name):
        return
    near = get_close_matches(name, timm.list_models(), n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them"
    raise UsageError(f"unknown backbone {name!r}: {hint}")


def _create_features(name: str, whole: nn.Module, strides: tuple[int, ...]) -> nn.Module:
    """The same network cut down to the stages asked for, with fresh weights."""
    info = getattr(whole, "feature_info", None) or ()
    reductions = [stage["reduction"] for stage in getattr(info, "info", info)]
    missing = [stride for stride in strides if stride not in reductions]
    if missing:
        has = sorted(set(reductions)) or "none that timm knows of"
        raise UsageError(
            f"backbone {name} has no feature map at stride {missing[0]} (it has {has}); "
            "choose a network with stages, such as resnet50, mobilenetv2_100 or convnext_tiny"
        )
    last = {reduction: index for index, reduction in enumerate(reductions)}
    settings: dict[str, Any] = {"out_indices": tuple(last[stride] for stride in strides)}
    if "strict_img_size" in inspect.signature(type(whole).__init__).parameters:
        settings["strict_img_size"] = False
    try:
        return timm.create_model(name, features_only=True, **settings)
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = (str(error).splitlines() or ["not supported"])[0]
        raise UsageError(f"backbone {name} gives no feature maps ({reason}); choose another") from error


def _take_conv_head(name: str, whole: nn.Module) -> tuple[nn.Module, nn.Module]:
    conv, norm = getattr(whole, "conv_head", None), getattr(whole, "bn2", None)
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        raise UsageError(
            f"backbone {name} has no conv_head before its pooling: use c5: features "
            "(conv_head works with mobilenetv2_*, efficientnet_*, tf_efficientnet_*, mnasnet_*)"
        )
    return conv, norm


def _aliases(key: str) -> Iterator[str]:
    """Names that a part's tensor may have in the whole network, the likeliest first."""
    name = key.removeprefix("body.")
    for bare in (name, name.removeprefix("model."), name.removeprefix("body.")):
        yield bare
        first, dot, rest = bare.partition(".")
        words = first.split("_")
        for cut in range(1, len(words)):
            yield "_".join(words[:cut]) + "." + "_".join(words[cut:]) + dot + rest


def _three(values: Sequence[float] | None, default: RGB) -> RGB:
    """One number per colour, also where timm's entry is absent or for another number of channels."""
    return (values[0], values[1], values[2]) if values is not None and len(values) == 3 else default
