"""Which names a server answers to."""

from __future__ import annotations

import socket

import pytest

from foveal.serve.hosts import host_check, is_loopback, name_of


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("::", False),
        ("192.168.1.5", False), ("/tmp/socket", False),
    ],
)  # fmt: skip
def test_loopback(address: str, inside: bool) -> None:
    assert is_loopback(address) is inside


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.org:8000", "example.org"), ("example.org.", "example.org"), ("[::1]:8000", "::1"),
        (" 127.0.0.1 ", "127.0.0.1"), ("", ""),
    ],
)  # fmt: skip
def test_names(host: str, name: str) -> None:
    assert name_of(host) == name


def test_on_this_machine_alone_other_names_are_refused() -> None:
    known = host_check("127.0.0.1", ["Detect.example.org"])
    mine = ("", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "a.localhost", "foveal", "192.168.1.5",
            "detect.example.org:443", socket.gethostname())  # fmt: skip
    assert [host for host in mine if not known(host)] == []
    others = ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example")
    assert [host for host in others if known(host)] == []


def test_open_to_others_every_name_is_right() -> None:
    assert host_check("0.0.0.0")("detect.example.org")
