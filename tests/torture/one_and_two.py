"""How far a run of two processes is from one process with the same global batch: twelve steps, gloo, CPU.

    python tests/torture/one_and_two.py

Augmentation, mosaic, several sizes and class-aware sampling on; the pictures of every step are the same. Prints
the largest difference of a weight, and the difference of all as a share of what training has moved them.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

DISTRIBUTED = Path(__file__).resolve().parents[1] / "distributed"
OPTIMIZERS = {"sgd": "{name: sgd, lr_per_16: 0.02}", "adamw": "{name: adamw, lr_per_16: 0.002}"}


def module(name: str) -> Any:
    """A file of the tests beside."""
    spec = importlib.util.spec_from_file_location(name, DISTRIBUTED / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def main() -> None:
    """Run it and print the table."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "tiny.yaml").write_text(module("conftest").CONFIG)
        ranks = module("ranks").Ranks(root)
        print("optimiser  precision  largest difference  share of the way")
        for optimizer, words in OPTIMIZERS.items():
            for precision in ("float64", "float32"):
                folders = []
                for count, size in ((1, 8), (2, 4)):
                    folders.append(root / f"{optimizer}_{precision}_{count}")
                    changes = (
                        f"training.batch_size={size}",
                        f"training.optimizer={words}",
                        "training.ema=null",
                    )
                    script = DISTRIBUTED / "any_precision.py"
                    words_of_run = root / "tiny.yaml", folders[-1], precision, *changes
                    done = ranks(*words_of_run, folder=root, count=count, script=script)
                    if done.codes != [0] * count:
                        sys.exit("".join(done.err))
                one, two = (weights(folder / "last.safetensors") for folder in folders)
                share = float((one - two).norm() / (one - weights(folders[0] / "first.safetensors")).norm())
                largest = float((one - two).abs().max())
                print(f"{optimizer:9}  {precision:9}  {largest:18.1e}  {share:16.1e}", flush=True)
        ranks.close()


def weights(file: Path) -> torch.Tensor:
    """All weights of a file in one row."""
    state = load_file(file)
    return torch.cat([value.double().flatten() for _, value in sorted(state.items())])


if __name__ == "__main__":
    main()
