"""A run by however many processes there are: CONFIG FOLDER float64|float32 key=value ...

In float64 what differs between one process and several shows whole: rounding is at 1e-16 instead of 1e-7.
"""

import sys
from pathlib import Path

import safetensors.torch
import torch

from foveal.build import build_criterion, build_detector, build_inference, build_loader, build_records
from foveal.config.load import load_config
from foveal.engine.fit import fit
from foveal.engine.processes import joined

config, folder = Path(sys.argv[1]), Path(sys.argv[2])
settings = load_config(config, sys.argv[4:])


def save(file, state, facts):
    safetensors.torch.save_file({name: value.contiguous() for name, value in state.items()}, file)


with joined():
    torch.manual_seed(0)
    records = build_records(settings.data.train)
    detector = build_detector(settings.model, len(records.classes.names)).to(getattr(torch, sys.argv[3]))
    folder.mkdir(exist_ok=True)
    save(folder / "first.safetensors", detector.state_dict(), {})
    fit(
        detector,
        build_criterion(settings.model),
        build_inference(detector, settings.model).postprocess,
        build_loader(records, settings, train=True),
        None,
        None,
        settings.training,
        folder,
        save,
    )
