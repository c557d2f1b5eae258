"""Batch normalisation whose statistics and affine parameters are fixed: one multiply-add per value."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
        scale, shift = self.scale_and_shift()
        shape = (1, -1, 1, 1)
        y = torch.addcmul(shift.to(x.dtype).view(shape), x, scale.to(x.dtype).view(shape))
        activated: Tensor = self.act(y)
        return activated

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"


def freeze_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every ``nn.BatchNorm2d`` (timm's fused ones too) inside a module; returns the module."""
    if isinstance(module, nn.BatchNorm2d):
        return FrozenBatchNorm2d.from_batch_norm(module)
    for name, child in list(module.named_children()):
        frozen = freeze_batch_norm(child)
        if frozen is not child:
            setattr(module, name, frozen)
    return module
