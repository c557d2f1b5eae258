"""Weights by name: fetched once, kept, and quickly given up without a network."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub import constants

from foveal.errors import ModelFileError
from foveal.models import pretrained
from foveal.models.backbone import Backbone
from foveal.models.pretrained import create_pretrained

NAME = "test_resnet"
COMMIT = "0123456789" * 4


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no proxy in the way of this machine."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


def hub_at(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


class Hub(ThreadingHTTPServer):
    """A model hub with one repository."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.content = content
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        if not self.path.endswith(f"/timm/{NAME}.r160_in1k/resolve/main/model.safetensors"):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.send_header("ETag", f'"{hashlib.sha256(self.server.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.server.content)

    def log_message(self, *_: object) -> None:
        """Nothing: the answers are what is looked at."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(safetensors.torch.save(timm.create_model(NAME).state_dict())) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        hub_at(server.server_port, monkeypatch)
        yield server
        server.shutdown()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_fetched_once_then_taken_from_the_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = safetensors.torch.load(hub.content)
    found = create_pretrained(NAME).state_dict()
    assert all(torch.equal(found[key], value) for key, value in wanted.items())
    assert [line for line in hub.asked if line.startswith("GET")] == [
        f"GET /timm/{NAME}.r160_in1k/resolve/main/model.safetensors"
    ]
    assert constants.HF_HUB_DISABLE_TELEMETRY is True

    hub_at(closed_port(), monkeypatch)
    again = create_pretrained(NAME).state_dict()
    assert all(torch.equal(again[key], value) for key, value in wanted.items())


def test_a_backbone_of_them(hub: Hub) -> None:
    wanted = safetensors.torch.load(hub.content)
    backbone = Backbone(NAME, "imagenet")
    assert torch.equal(backbone.state_dict()["body.layer4.0.conv1.weight"], wanted["layer4.0.conv1.weight"])
    assert backbone.transfer_report == f"{NAME}: timm's pretrained weights"


def refusal(name: str = NAME) -> str:
    began = time.monotonic()
    with pytest.raises(ModelFileError) as caught:
        create_pretrained(name)
    assert time.monotonic() - began < 60
    message = str(caught.value)
    assert message.startswith(f"no pretrained weights for {name} (")
    assert "set model.architecture.backbone.params.weights to a file, or to null" in message
    assert "\n" not in message
    return message


def test_a_hub_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    hub_at(closed_port(), monkeypatch)
    assert "ConnectError" in refusal()


def test_a_hub_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub_at(silent.getsockname()[1], monkeypatch)
        assert "Timeout" in refusal()


def test_asked_to_stay_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "ffline" in refusal()


def test_a_network_that_timm_has_no_weights_of() -> None:
    assert "RuntimeError: No pretrained weights" in refusal("darknet17")
