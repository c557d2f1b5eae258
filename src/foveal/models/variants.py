"""Where other implementations built the same network differently: their weights compute the same only so."""

from __future__ import annotations

from timm.models.resnet import Bottleneck
from torch import nn

from foveal.models.same_padding import SameConv2d, SameMaxPool2d


def stride_in_1x1(body: nn.Module) -> int:
    """Moves the stride of a ResNet's stages from the 3x3 to the first 1x1 convolution; how many were moved.

    So the first ResNets were built (He et al. 2015), and those of detectron2 ("MSRA"), Caffe and keras-resnet;
    timm's and torchvision's have it in the 3x3.
    """
    moved = 0
    for block in body.modules():
        if isinstance(block, Bottleneck) and block.conv2.stride != (1, 1):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
            moved += 1
    return moved


def pool_like_tensorflow(body: nn.Module) -> int:
    """Makes max poolings pad as TensorFlow's "same" does, at the bottom and right first; how many there are."""
    found = 0
    for part in list(body.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(part, name, SameMaxPool2d(child.kernel_size, child.stride))
                found += 1
    return found


def convolve_like_tensorflow(conv: nn.Conv2d) -> None:
    """Makes a convolution pad as TensorFlow's "same" does."""
    conv.padding = (0, 0)
    conv.__class__ = SameConv2d
