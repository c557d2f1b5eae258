"""The application without a network: not ready, full, too slow, with a bug."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from foveal.errors import UsageError
from foveal.runtime.predictor import Predictor
from foveal.serve.app import Application
from foveal.serve.hosts import host_check
from foveal.serve.http import bind, run
from foveal.serve.settings import Address, Limits
from foveal.verbs.serve import facts_of


@pytest.fixture(scope="module")
def predictor(trained: Any) -> Predictor:
    return Predictor(trained.best, "cpu")


def application(trained: Any, predictor: Predictor, limits: Limits | None = None, **more: Any) -> Application:
    return Application(predictor, facts_of(trained.best, "shapes", predictor), limits, **more)


def ask(app: Application, method: str, path: str, **more: Any) -> httpx.Response:
    async def work() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(method, path, **more)

    return asyncio.run(work())


def test_other_origins(trained: Any, predictor: Predictor) -> None:
    app = application(trained, predictor, origins=("https://shop.example",))
    mine = ask(app, "GET", "/v1/model", headers={"Origin": "https://shop.example"})
    assert mine.headers["access-control-allow-origin"] == "https://shop.example"
    other = ask(app, "GET", "/v1/model", headers={"Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in other.headers
    before = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    assert ask(app, "OPTIONS", "/v1/detect", headers=before).status_code == 200


def test_before_it_is_ready(trained: Any, predictor: Predictor) -> None:
    app = application(trained, predictor)
    answer = ask(app, "GET", "/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"error": "not ready: the model is being loaded, or the server stops"}
    assert ask(app, "GET", "/v2/health/ready").json() == {"ready": False}
    assert ask(app, "GET", "/v2/models/shapes/ready").status_code == 503
    assert ask(app, "GET", "/health/live").status_code == 200


def test_a_full_queue(trained: Any, predictor: Predictor) -> None:
    app = application(trained, predictor, Limits(queue=1))
    with app.gate.admit(1):
        answer = ask(app, "POST", "/v1/detect", content=b"x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"error": "the queue is full: 1 pictures wait, of 1 at most; try again in 1 s"}
    assert (app.gate.pictures, app.gate.bytes) == (0, 0)


def test_too_slow(trained: Any, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    app = application(trained, predictor, Limits(answer_seconds=0.05))
    ended = []

    async def forever(*_: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    monkeypatch.setattr(app.served, "detect", forever)
    answer = ask(app, "POST", "/v1/detect", content=b"x")
    assert answer.status_code == 504
    assert answer.json() == {"error": "no answer in 0.05 s: too much work for this server, or for its queue"}
    assert ended == [True]
    assert app.gate.pictures == 0


def test_a_bug_is_one_line_too(
    trained: Any, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = application(trained, predictor)

    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(app.served, "infer", broken)
    monkeypatch.setattr(app.served, "detect", broken)
    for path in ("/v2/models/shapes/infer", "/v1/detect"):
        answer = ask(app, "POST", path, content=b"{}")
        number = answer.headers["x-request-id"]
        said = f"a bug of Foveal's: ZeroDivisionError; the server's output has it whole, as request {number}"
        assert (answer.status_code, answer.json()) == (500, {"error": said})
        output = capsys.readouterr().err
        assert f"foveal: request {number} failed:\n" in output
        assert output.count("ZeroDivisionError: secret") == 1
    assert (app.gate.pictures, app.gate.bytes) == (0, 0)


def test_other_names(trained: Any, predictor: Predictor) -> None:
    """Those of pages from elsewhere, which had their name point at this machine."""
    app = application(trained, predictor, known_host=host_check("127.0.0.1", ["detect.example.org"]))
    answer = ask(app, "POST", "/v1/detect", content=b"x", headers={"Host": "evil.example:8000"})
    assert answer.status_code == 421
    assert answer.json() == {
        "error": "this server is not called 'evil.example'; if that name is right, start it with "
        "--allow-host evil.example"
    }
    assert app.gate.bytes == 0
    for host in ("127.0.0.1:8000", "localhost", "detect.example.org", "server"):
        assert ask(app, "GET", "/health/live", headers={"Host": host}).status_code == 200


def test_two_servers_that_start_at_once(trained: Any, predictor: Predictor) -> None:
    """Both can take an address while neither listens at it."""
    with bind(Address(port=0)) as first:
        port = first.getsockname()[1]
        with bind(Address(port=port)) as second:
            first.listen()
            with pytest.raises(UsageError, match=rf"another server took http://127.0.0.1:{port} meanwhile"):
                run(application(trained, predictor), second, Limits(decoders=1), lambda: None)


def test_what_was_refused_is_counted_by_reason(trained: Any, predictor: Predictor) -> None:
    app = application(trained, predictor, Limits(queue=1, body_bytes=10))
    with app.gate.admit(1):
        ask(app, "POST", "/v1/detect", content=b"x")
    ask(app, "POST", "/v1/detect", content=b"x" * 11)
    ask(app, "POST", "/v1/detect", content=b"")
    figures = ask(app, "GET", "/metrics").text
    for reason in ("queue", "size", "request"):
        assert f'foveal_refused_total{{reason="{reason}"}} 1.0' in figures
