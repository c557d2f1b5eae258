"""A run whose second process has a loss that is not finite, from step 3 on: FOLDER STEPS_THAT_ARE_BAD."""

import sys
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from foveal.config.schema import Training
from foveal.data.loader import make_loader
from foveal.data.shapes import make_shapes
from foveal.engine.fit import fit
from foveal.engine.processes import joined, rank, world_size
from foveal.exits import run
from foveal.types import LossOutput

folder, bad_steps = Path(sys.argv[1]), int(sys.argv[2])


class Mean(nn.Module):
    """uint8 pictures -> their mean colour, weighted."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, images):
        return self.head(images.float().mean((2, 3)) / 255)


class Counting(nn.Module):
    """A number of boxes to be guessed; bad in the second process."""

    calls = 0

    def forward(self, outputs, targets):
        wanted = torch.tensor([[float(len(target.labels))] for target in targets])
        loss = (outputs - wanted).square().mean()
        Counting.calls += 1
        bad = rank() == 1 and 3 < Counting.calls <= 3 + bad_steps
        return LossOutput({"square": loss * float("nan") if bad else loss}, {})


def save(file, state, facts):
    safetensors.torch.save_file({name: value.contiguous() for name, value in state.items()}, file)


def train():
    with joined():
        torch.manual_seed(0)
        loader = make_loader(
            make_shapes(40, 2, 64, seed=1),
            (64, 64),
            2,
            train=True,
            workers=0,
            rank=rank(),
            world_size=world_size(),
        )
        settings = Training(device="cpu", batch_size=2, max_steps=20)
        result = fit(Mean(), Counting(), None, loader, None, None, settings, folder, save)
        (folder / f"rank{rank()}.txt").write_text(f"{result.steps} {result.skipped}")
    return 0


run(lambda standalone_mode: train())
