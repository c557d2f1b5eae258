"""Batch normalisation whose statistics and affine parameters are fixed: a multiply-add per value, or none.

``conv(x, w) * scale + shift`` is ``conv(x, w * scale) + shift``: a weight has far fewer values than a map, so a
frozen norm behind a convolution is applied to its weight. The parameter stays w, with its name, its gradient
``scale`` times what it was, and weight decay pulling at w itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from foveal.models.same_padding import SameConv2d, pad_same


class FrozenBatchNorm2d(nn.Module):
    """``y = act(x * scale + shift)`` with the numbers of a trained ``nn.BatchNorm2d``, all of them buffers.

    x: [B, C, H, W] of any float type; y has the type and the memory layout of x. The same in training and in
    evaluation. The names in the state dict are those of ``nn.BatchNorm2d`` (``num_batches_tracked`` is
    accepted and dropped), so either kind of layer loads the other's checkpoint.

    timm and torchvision have such layers too; they multiply, then add, in float32 whatever the input, which
    turns an autocast network back to float32 and costs a second pass over memory.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, act: nn.Module | None = None) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.in_weight = False
        """The convolution in front has scale and shift in its weight and bias: only ``act`` is left to do."""
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.act = act if act is not None else nn.Identity()

    @classmethod
    def from_batch_norm(cls, norm: nn.BatchNorm2d) -> FrozenBatchNorm2d:
        """The frozen equal of a trained layer; timm's fused drop and activation come along.

        ValueError where the layer keeps no statistics: there is nothing to freeze.
        """
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError("a batch norm without running statistics cannot be frozen")
        fused = (getattr(norm, "drop", None), getattr(norm, "act", None))
        active = [part for part in fused if part is not None and not isinstance(part, nn.Identity)]
        act = nn.Sequential(*active) if len(active) > 1 else next(iter(active), None)
        frozen = cls(norm.num_features, norm.eps, act)
        if norm.affine:
            frozen.weight.copy_(norm.weight.detach())
            frozen.bias.copy_(norm.bias.detach())
        frozen.running_mean.copy_(norm.running_mean)
        frozen.running_var.copy_(norm.running_var)
        return frozen.to(norm.running_mean.device).train(norm.training)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """[C] float32 each: what the layer multiplies by and adds, for folding it into a convolution."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        if not self.in_weight:
            scale, shift = self.scale_and_shift()
            shape = (1, -1, 1, 1)
            x = torch.addcmul(shift.to(x.dtype).view(shape), x, scale.to(x.dtype).view(shape))
        activated: Tensor = self.act(x)
        return activated

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}" + (", in weight" if self.in_weight else "")


def freeze_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every ``nn.BatchNorm2d`` (timm's fused ones too) inside a module; returns the module."""
    if isinstance(module, nn.BatchNorm2d):
        return FrozenBatchNorm2d.from_batch_norm(module)
    for name, child in list(module.named_children()):
        frozen = freeze_batch_norm(child)
        if frozen is not child:
            setattr(module, name, frozen)
    return module


class NormedConv2d(nn.Conv2d):
    """A convolution with the frozen norm behind it applied to its weight; made by ``apply_to_weights``.

    The norm stays where it was in the network, and its buffers with it. Here it is held in a tuple, as no module
    of its own: names in the state dict are those of the two layers side by side.
    """

    norm: tuple[FrozenBatchNorm2d]
    same: bool
    """Padding as TensorFlow's: by the size of the input."""

    def weight_and_bias(self) -> tuple[Tensor, Tensor]:
        """What the input is convolved with, [O, I / groups, h, w] and [O]."""
        scale, shift = self.norm[0].scale_and_shift()
        bias = shift if self.bias is None else torch.addcmul(shift, self.bias, scale)
        return self.weight * scale.view(-1, 1, 1, 1), bias

    def forward(self, x: Tensor) -> Tensor:
        if self.same:
            x = pad_same(x, self.kernel_size, self.stride)
        y: Tensor = self._conv_forward(x, *self.weight_and_bias())
        return y


def apply_to_weights(pairs: Iterable[tuple[nn.Conv2d, nn.Module]]) -> None:
    """Apply every frozen norm to the weight of the convolution in front of it, in place.

    pairs: (convolution, the one norm that takes its output, and takes nothing else). Other norms than frozen
    ones, and convolutions of other kinds than PyTorch's and those with "same" padding, are left as they are.
    """
    for conv, norm in pairs:
        if isinstance(norm, FrozenBatchNorm2d) and type(conv) in (nn.Conv2d, SameConv2d):
            same = isinstance(conv, SameConv2d)
            conv.__class__ = NormedConv2d
            assert isinstance(conv, NormedConv2d)
            conv.norm, conv.same = (norm,), same
            norm.in_weight = True
