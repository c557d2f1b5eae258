"""A live server: ``foveal serve`` in a process of its own."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs foveal[serve]")
if not Path("/proc/self/statm").exists():
    pytest.skip("reads processes from /proc", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]
SHORT_DEADLINES = """
import sys
from functools import partial
from foveal.serve import settings
settings.Limits = partial(settings.Limits, body_seconds=float(sys.argv.pop(1)))
from foveal.cli import main
sys.argv = ["foveal", *sys.argv[1:]]
main()
"""
"""The command, with its first argument as the seconds that slow clients have."""


def _loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def torture() -> ModuleType:
    """The script of the full run: its attacks, here in small."""
    return _loaded("serve_torture")


@pytest.fixture(scope="session")
def start(torture: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """A function (model, arguments) that starts a server; it ends with the tests."""
    servers = []

    def start(model: Path, *arguments: str, seconds: float = 2.0) -> Any:
        command = [
            sys.executable,
            "-c",
            SHORT_DEADLINES,
            str(seconds),
            "serve",
            str(model),
            "--port",
            "0",
            *arguments,
        ]
        os.environ["OMP_NUM_THREADS"] = "1"
        server = torture.Server(command, tmp_path_factory.mktemp("server") / "log")
        servers.append(server)
        return server

    before = os.environ.get("OMP_NUM_THREADS")
    yield start
    for server in servers:
        server.stop()
    if before is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    else:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture(scope="session")
def server(start: Callable[..., Any], trained: Any) -> Any:
    """One server for all tests that leave it as it was."""
    return start(trained.best, "--name", "shapes", "--queue", "8", "--batch", "2", "--access-log")


@pytest.fixture(scope="session")
def pictures(trained: Any) -> list[Path]:
    """The pictures that its model was trained on."""
    return sorted((trained.data / "images").iterdir())


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    """A small picture."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue()
