"""X1 whole: how far two processes are from one with the same global batch: twelve steps, gloo, CPU.

Augmentation, mosaic, several sizes and class-aware sampling on; the pictures of every step are the same. Prints
the largest difference of a weight, and the difference of all as a share of the way that training has moved them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from frame import Place, Verdict
from runs_of import write_config
from safetensors.torch import load_file

DISTRIBUTED = Path(__file__).resolve().parents[1] / "distributed"
sys.path.insert(0, str(DISTRIBUTED))
from ranks import Ranks  # noqa: E402

STEPS = 12
OPTIMIZERS = {"sgd": "{name: sgd, lr_per_16: 0.02}", "adamw": "{name: adamw, lr_per_16: 0.002}"}
EXACT = ("model.losses.assigner={name: atss}", "model.losses.box={name: giou}")
"""Parts that can compute in float64."""
LARGEST = {"float64": 1e-12}
"""Largest difference of a weight, by precision."""
SHARE = {"float64": 1e-9, "float32": 1e-4}
"""Of the way."""


def run(place: Place) -> Verdict:
    """Both optimisers, in both precisions."""
    write_config(place.work, STEPS)
    ranks, kept, found = Ranks(place.work), True, []
    try:
        print("optimiser  precision  largest difference  share of the way")
        for optimizer in OPTIMIZERS:
            for precision in SHARE:
                largest, share = difference(ranks, place.work, optimizer, precision)
                print(f"{optimizer:9}  {precision:9}  {largest:18.1e}  {share:16.1e}", flush=True)
                # No difference at all would mean that there were not two.
                kept &= 0 < largest <= LARGEST.get(precision, 1) and share <= SHARE[precision]
                found.append(f"{optimizer} {precision} {largest:.1e} ({share:.1e} of the way)")
    finally:
        ranks.close()
    return Verdict(kept, f"largest difference of a weight: {', '.join(found)}")


def difference(ranks: Ranks, root: Path, optimizer: str, precision: str) -> tuple[float, float]:
    """Largest difference of a weight after the run, and that of all as a share of the way."""
    folders = []
    for count, size in ((1, 8), (2, 4)):
        folders.append(root / f"{optimizer}_{precision}_{count}")
        changes = (
            f"training.batch_size={size}",
            f"training.optimizer={OPTIMIZERS[optimizer]}",
            "training.ema=null",
            *EXACT,
        )
        words = root / "tiny.yaml", folders[-1], precision, *changes
        done = ranks(*words, folder=root, count=count, script=DISTRIBUTED / "any_precision.py")
        if done.codes != [0] * count:
            raise RuntimeError("".join(done.err))
    one, two = (weights(folder / "last.safetensors") for folder in folders)
    way = one - weights(folders[0] / "first.safetensors")
    return float((one - two).abs().max()), float((one - two).norm() / way.norm())


def weights(file: Path) -> torch.Tensor:
    """All weights of a file in one row."""
    state = load_file(file)
    return torch.cat([value.double().flatten() for _, value in sorted(state.items())])
