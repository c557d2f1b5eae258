"""S1 to S7 of docs/reliability.md in small; ``python tests/torture S1 S2 S3 S4 S5 S6 S7`` does them whole."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foveal.errors import UsageError
from foveal.serve.http import bind, url
from foveal.serve.settings import Address
from foveal.verbs.serve import model_name, serve


def test_s2_huge_bodies_are_refused_while_they_come(server: Any, torture: Any) -> None:
    figures = asyncio.run(torture.huge_bodies(server))
    assert {name: row["status"] for name, row in figures.items()} == {"announced": 413, "endless": 413}
    assert all(row["growth MB"] < 60 for row in figures.values())


def test_s3_slow_clients_are_ended_and_keep_nobody_out(server: Any, torture: Any, jpeg: bytes) -> None:
    figures = asyncio.run(torture.slow_clients(server, jpeg, sockets=12, seconds=5, asked=3))
    assert set(figures["ends of slow requests"]) == {408}
    assert figures["ends of slow requests"][408] >= 12  # heads, bodies, large bodies
    assert figures["refused beside"] == 0  # every request of the other client was answered with 200


def test_s4_bombs_and_odd_formats(server: Any, torture: Any) -> None:
    figures = asyncio.run(torture.odd_pictures(server))
    statuses = {name: row["status"] for name, row in figures.items()}
    large = dict.fromkeys(("400 Mpx PNG", "51 Mpx PNG", "10,000-page TIFF"), 413)
    other = dict.fromkeys(("FITS", "GD", "PSD", "animated GIF", "SVG", "EPS", "text"), 415)
    assert statuses == {**large, **other, "0 bytes": 400}
    assert "over the limit of 50,000,000 pixels" in figures["400 Mpx PNG"]["said"]
    assert figures["10,000-page TIFF"]["said"] == "body: over 16 pages; send each as a picture of its own"
    assert all(row["growth MB"] < 200 for row in figures.values())


def test_s5_killed_decoders_cost_their_own_request_alone(server: Any, torture: Any, jpeg: bytes) -> None:
    figures = asyncio.run(torture.killed_decoders(server, jpeg, kills=3, clients=3, pause=0.3))
    assert set(figures["statuses"]) <= {200, 503}
    assert figures["failed"] <= figures["kills"]
    assert (figures["lost"], figures["status after"], figures["server alive"]) == (0, 200, True)


def test_s7_no_address_is_followed(server: Any, torture: Any) -> None:
    figures = asyncio.run(torture.addresses_of_others(server))
    assert (figures["calls"], figures["outgoing"]) == (0, [])
    assert all(400 <= status < 500 for status in figures["statuses"][:-1])


def test_s1_x3_s6_overload_then_everybody_at_once_then_stop(
    start: Callable[..., Any], trained: Any, torture: Any, jpeg: bytes
) -> None:
    """A server of its own: it ends."""
    server = start(trained.best, "--queue", "6", "--batch", "1", "--decoders", "1", seconds=15.0)
    figures = asyncio.run(torture.overload(server, jpeg, clients=30, each=3))
    assert set(figures["statuses"]) == {200, 503}
    assert sum(figures["statuses"].values()) == 90
    assert (figures["lost"], figures["without Retry-After"]) == (0, 0)
    assert set(figures["scrapes"]) == {200}
    assert figures["growth MB"] < 100

    mixture = torture.Mixture(server, jpeg, seed=0)
    asyncio.run(mixture.run(5))
    assert {pair for pair in mixture.answers if pair[1] not in torture.PROMISED[pair[0]]} == set()
    assert mixture.answers["good picture", 200] > 0
    assert (mixture.mixed_up, mixture.kills > 0) == (0, True)

    figures = asyncio.run(torture.stop_under_load(server, jpeg, requests=6))
    assert figures["statuses"] == {200: 6}
    assert (figures["status of a new one"], figures["exit code"]) == (0, 143)
    assert (figures["orphans"], figures["port free"]) == (0, True)
    assert server.log.read_text().splitlines()[-1] == "foveal: stopped by SIGTERM"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"host": "203.0.113.7"}, "cannot listen on 203.0.113.7 port 8000: "),
        ({"name": "a/b"}, "name 'a/b' does not fit into an address"),
        ({"cors": ["https://shop.example/"]}, "--cors https://shop.example/: an origin is like"),
        ({"cors": ["shop.example"]}, "--cors shop.example: an origin is like"),
    ],
)
def test_wrong_arguments(trained: Any, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        serve(trained.best, **arguments)
    assert str(caught.value).startswith(said)


def test_a_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            UsageError, match=rf"cannot listen on 127.0.0.1 port {port}: .*; take another --port"
        ):
            bind(Address(port=port))
    with bind(Address(port=0)) as free:
        assert url(free) == f"http://127.0.0.1:{free.getsockname()[1]}"


def test_model_names(tmp_path: Path) -> None:
    assert model_name(tmp_path / "my run" / "best.safetensors") == "my-run"
    assert model_name(Path("exports/bccd.int8.onnx")) == "bccd.int8"
    assert model_name(Path("é.onnx")) == "model"
