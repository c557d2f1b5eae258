"""Batch norm over the pictures of all processes of a run."""

from __future__ import annotations

from timm.layers.norm_act import convert_sync_batchnorm
from torch import nn

from foveal.errors import UsageError

SETTINGS = {
    "backbone": "model.architecture.backbone.params.batch_norm=frozen",
    "neck": "model.architecture.neck.params.norm_type=group_norm",
    "head": "model.architecture.head.params.norm_type=group_norm",
}


def share_batch_norm(detector: nn.Module, device: str) -> None:
    """Make every trained batch norm of a detector a synchronised one (timm's fused ones too, with activations).

    device: its type. UsageError off CUDA, for which torch has no synchronised batch norm: each process would
    normalise by its own pictures alone, and end with statistics of its own.
    """
    trained = [
        name
        for name, module in detector.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    if trained and device != "cuda":
        parts = {name.partition(".")[0] for name in trained}
        changes = " ".join(change for part, change in SETTINGS.items() if part in parts)
        raise UsageError(
            f"several processes on {device} cannot train batch norm together: set {changes}, or start one process"
        )
    convert_sync_batchnorm(detector)  # type: ignore[no-untyped-call]
