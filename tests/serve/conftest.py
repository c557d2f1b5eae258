"""A live server: ``foveal serve`` in a process of its own."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
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


ATTACKS = ("addresses", "bodies", "client", "ending", "load", "mixture", "pictures", "server")


@pytest.fixture(scope="session")
def torture() -> SimpleNamespace:
    """What ``python tests/torture S1 S2 S3 S4 S5 S6 S7`` is made of, here for attacks in small."""
    place = str(ROOT / "tests" / "torture")
    sys.path.insert(0, place)
    names: dict[str, Any] = {}
    for name in ATTACKS:
        names |= vars(import_module(f"attacks.{name}"))
    sys.path.remove(place)
    return SimpleNamespace(**names)


@pytest.fixture(scope="session")
def start(torture: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
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
        server = torture.Server(command, tmp_path_factory.mktemp("server") / "log")
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


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
