"""What is let in is let out again, whatever happens to it."""

from __future__ import annotations

import pytest

from foveal.serve.gate import Gate
from foveal.serve.refusal import Refusal
from foveal.serve.settings import Limits

LIMITS = Limits(queue=3, body_bytes=100, buffered_bytes=250)


def test_pictures() -> None:
    gate = Gate(LIMITS)
    with gate.admit(2):
        with (
            pytest.raises(Refusal, match="the queue is full: 2 pictures wait, of 3 at most") as caught,
            gate.admit(2),
        ):
            pass
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
        with gate.admit(1):
            assert gate.pictures == 3
    assert gate.pictures == 0
    with (
        pytest.raises(Refusal, match="4 pictures in a request; this server takes 3") as caught,
        gate.admit(4),
    ):
        pass
    assert (caught.value.status, caught.value.headers) == (413, {})
    with pytest.raises(KeyError), gate.admit(3):
        raise KeyError
    assert gate.pictures == 0


def test_bytes() -> None:
    gate = Gate(LIMITS)
    with gate.body() as body:
        body.add(100)
        with pytest.raises(Refusal, match="over 100 bytes") as caught:
            body.add(1)
    assert caught.value.status == 413
    assert gate.bytes == 0
    with pytest.raises(Refusal, match="the body has 101 bytes; this server takes 100"), gate.body() as body:
        body.announce(101)
    with gate.body() as one, gate.body() as two:
        one.add(100)
        two.add(100)
        with pytest.raises(Refusal, match="as many bytes of requests") as caught, gate.body() as three:
            three.add(51)
        assert caught.value.status == 503
        assert gate.bytes == 200
    assert gate.bytes == 0
