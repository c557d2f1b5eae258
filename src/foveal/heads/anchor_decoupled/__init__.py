"""RetinaNet's head (paper, section 4): anchors, two decoupled subnets, focal loss."""

from foveal.heads.anchor_decoupled.criterion import AnchorCriterion
from foveal.heads.anchor_decoupled.decoder import AnchorDecoder
from foveal.heads.anchor_decoupled.lazy import decode_lazily
from foveal.heads.anchor_decoupled.network import AnchorDecoupledHead

__all__ = ["AnchorCriterion", "AnchorDecoder", "AnchorDecoupledHead", "decode_lazily"]
