"""Programs and machine in words: nothing that names the machine or who uses it."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from foveal.diagnosis.report.gather import ENVIRONMENT
from foveal.files import write_text
from foveal.version import __version__

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "timm", "numpy", "pillow", "hotcoco", "safetensors")


def describe_environment() -> dict[str, str]:
    """Name -> words, of the machine that this runs on."""
    found = {
        "Foveal": __version__,
        "Python": platform.python_version(),
        "System": f"{platform.system()} {platform.machine()}",
        "Processor": processor(),
        "Cores": str(os.cpu_count() or "unknown"),
    }
    gpu = _gpu()
    if gpu:
        found["GPU"] = gpu
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_environment(run_folder: Path) -> Path:
    """``environment.json`` of a run, for a report that may be made elsewhere."""
    path = run_folder / ENVIRONMENT
    write_text(path, json.dumps(describe_environment(), indent=2) + "\n")
    return path


def processor() -> str:
    """The processor's name where Linux tells it, else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return " ".join(names[0].split()) if names else platform.processor() or platform.machine()


def _gpu() -> str:
    import torch

    try:
        return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""
    except RuntimeError:
        return ""
