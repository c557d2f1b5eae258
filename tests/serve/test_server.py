"""The server as its users see it: a process that answers over HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from foveal.checkpoint.format import load_checkpoint
from foveal.export.header import digest
from foveal.runtime.predictor import Predictor


@pytest.fixture
def client(server: Any) -> Any:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client:
        yield client


FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="\\ud800.jpg"\r\n\r\nx\r\n'
END = b"--b--\r\n"


def form(*pictures: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", picture) for picture in pictures]


# ---------------------------------------------------------------- detections


def test_one_picture_gives_what_the_predictor_gives(client: Any, trained: Any, pictures: list[Path]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = Predictor(trained.best, "cpu")(pictures[0])
    torch.set_num_threads(threads)
    content = pictures[0].read_bytes()
    for answer in (
        client.post("/v1/detect", files=form((pictures[0].name, content))),
        client.post("/v1/detect", content=content, headers={"Content-Type": "image/png"}),
        client.post("/v1/detect", content=content),
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        (picture,) = answer.json()["pictures"]
        assert answer.json()["model"] == "shapes"
        assert picture.pop("name") in (pictures[0].name, "body")
        assert picture.pop("error") is None
        assert picture == {key: json.loads(json.dumps(value)) for key, value in found.to_dict().items()}


def test_several_pictures_each_with_its_own_fault(client: Any, pictures: list[Path]) -> None:
    files = [(path.name, path.read_bytes()) for path in pictures[:3]]
    answer = client.post(
        "/v1/detect?all=true", files=form(files[0], ("notes.txt", b"text"), ("x", b""), *files[1:])
    )
    assert answer.status_code == 200
    rows = answer.json()["pictures"]
    assert [row["name"] for row in rows] == [files[0][0], "notes.txt", "x", files[1][0], files[2][0]]
    assert [row["error"] for row in rows] == [
        None, "notes.txt: not a picture that can be read (JPEG, PNG, WEBP, BMP, TIFF)", "x: the file is empty",
        None, None,
    ]  # fmt: skip
    assert [(row["width"], row["height"]) for row in rows] == [
        (128, 128),
        (0, 0),
        (0, 0),
        (128, 128),
        (128, 128),
    ]
    assert rows[1]["detections"] == rows[2]["detections"] == []
    scores = [found["score"] for found in rows[0]["detections"]]
    assert scores == sorted(scores, reverse=True)
    fewer = client.post("/v1/detect", files=form(files[0])).json()["pictures"][0]["detections"]
    assert 0 <= len(fewer) < len(scores)


def test_a_file_name_comes_back_as_it_was(client: Any, jpeg: bytes) -> None:
    name = '<img src=x onerror="alert(1)">\u202e.jpg'
    answer = client.post("/v1/detect", files=form((name, jpeg)))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["pictures"][0]["name"] in (name, name.replace('"', "%22"))


def test_model(client: Any, trained: Any) -> None:
    header = load_checkpoint(trained.best).header
    assert client.get("/v1/model").json() == {
        "name": "shapes",
        "classes": ["red circle", "blue square"],
        "ids": list(header.classes.ids),
        "thresholds": header.thresholds,
        "score_thresh": 0.05,
        "canvas": {"height": 96, "width": 128},
        "version": header.version,
        "licence": None,
        "sha256": digest(trained.best),
        "backend": "torch",
        "precision": "fp32",
    }


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        (
            {"content": b""},
            400,
            "the body is empty: send pictures as multipart/form-data in the field 'file'",
        ),
        (
            {"content": b"x", "headers": {"Content-Type": "application/json"}},
            415,
            "Content-Type 'application/json'",
        ),
        ({"data": {"file": "x"}}, 415, "Content-Type 'application/x-www-form-urlencoded' is no picture"),
        ({"content": b"x"}, 415, "body: not a picture that can be read"),
        (
            {"content": b"x", "headers": {"Content-Encoding": "gzip"}},
            415,
            "Content-Encoding 'gzip' is not taken",
        ),
        ({"files": {"image": b"x"}}, 400, "the form has 'image': send pictures"),
        ({"files": {"file": (None, "x")}}, 400, "field 'file' is text, not a file"),
        ({"files": {"file": ("a.jpg", b"")}}, 400, "a.jpg: the file is empty"),
        ({"files": [("file", ("a", b"x"))] * 9}, 413, "Too many files. Maximum number of files is 8"),
        (
            {"content": b"--x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            400,
            "the form cannot be read",
        ),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "Missing boundary"),
        (
            {"content": PART, "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            400,
            "the form cannot be read: it ends before its last boundary",
        ),
        (
            {"content": PART + END, "headers": {"Content-Type": FORM + "; charset=undefined"}},
            400,
            "the form cannot be read: its names are not of its charset",
        ),
        (
            {"content": PART + END, "headers": {"Content-Type": FORM + "; charset=unicode_escape"}},
            415,
            "?.jpg: not",
        ),
        (
            {
                "content": PART.replace(b"\r\n\r\n", b"\r\nA: " + b"a" * 1_000_000 + b"\r\n\r\n", 1) + END,
                "headers": {"Content-Type": FORM},
            },
            400,
            "the form cannot be read: Invalid multipart data",
        ),
        ({"content": PART * 10_000 + END, "headers": {"Content-Type": FORM}}, 413, "Too many files"),
        ({"content": b"x", "params": {"all": "maybe"}}, 422, "all: input should be a valid boolean"),
    ],
)
def test_wrong_requests(client: Any, request_: dict[str, Any], status: int, said: str) -> None:
    answer = client.post("/v1/detect", **request_)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_a_damaged_picture(client: Any, pictures: list[Path]) -> None:
    content = pictures[0].read_bytes()
    answer = client.post("/v1/detect", files=form(("half.png", content[: len(content) // 2])))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("half.png: the picture cannot be decoded: ")


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v1/detct", 404, "no such address: /v1/detct"),
        ("GET", "/../../etc/passwd", 404, "no such address"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404, "no such address"),
        ("PUT", "/v1/detect", 405, "PUT is not for /v1/detect; use POST"),
        ("GET", "/v2/models/other", 404, "no model 'other' here; it is called 'shapes'"),
        ("GET", "/v2/models/shapes/versions/2", 404, "no version '2'; there is version 1"),
        ("POST", "/v2/models/shapes/infer", 400, "the request is no JSON"),
    ],
)
def test_wrong_addresses(client: Any, method: str, path: str, status: int, said: str) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert said in answer.json()["error"]


HEAD = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"\x16\x03\x01 hello\r\n\r\n", 400, "illegal request line"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400, "conflicting Content-Length"),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400, "bad Content-Length"),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "Only Transfer-Encoding: chunked"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "illegal chunk header"),
        (HEAD + b"A: " + b"a" * 100_000, 431, "Receive buffer too long"),
    ],
)
def test_what_is_no_http(server: Any, torture: Any, sent: bytes, status: int, said: str) -> None:
    answer = asyncio.run(torture.ask(server.port, sent))
    assert answer.status == status
    line = json.loads(answer.body)["error"]
    assert line.startswith("this is no HTTP request that can be taken: ")
    assert said in line


def test_the_same_length_twice_and_requests_one_after_the_other(server: Any, torture: Any) -> None:
    """What is odd but right: an equal second length, and the next request before the first answer."""
    request = torture.post(b"x", more="Content-Length: 1\r\n")

    async def both() -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request + torture.get("/health/live"))
        answers = [await torture.read_answer(reader, 0.0) for _ in range(2)]
        writer.close()
        return [answer.status for answer in answers]

    assert asyncio.run(both()) == [415, 200]


def test_a_large_body_is_refused_before_it_is_asked_for(server: Any, torture: Any) -> None:
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    assert asyncio.run(torture.ask(server.port, head % 200_000_000)).status == 413
    assert asyncio.run(torture.ask(server.port, head % 5)).status == 100


# ---------------------------------------------------------------- health, figures, page, document


def test_health(client: Any) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_metrics(client: Any, jpeg: bytes) -> None:
    def figures() -> dict[str, float]:
        lines = client.get("/metrics").text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}

    before = figures()
    assert client.post("/v1/detect", content=jpeg).status_code == 200
    assert client.post("/v1/detect", content=b"x").status_code == 415
    client.get("/unknown/anything")
    after = figures()

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grew('foveal_requests_total{method="POST",path="/v1/detect",status="200"}') == 1
    assert grew('foveal_requests_total{method="POST",path="/v1/detect",status="415"}') == 1
    assert grew('foveal_pictures_total{result="detected"}') == 1
    assert grew('foveal_pictures_total{result="refused"}') == 1
    assert grew("foveal_pass_seconds_count") == 1
    assert after["foveal_pictures_in_work"] == 0
    assert after["foveal_body_bytes"] == 0
    assert after["foveal_decoders"] == 2
    assert not any(
        "unknown" in name for name in after
    )  # whoever asks for anything cannot fill memory with it


def test_page_and_its_policy(client: Any) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert client.get("/app.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert client.head("/").status_code == 200
    assert client.get("/health/live").headers["content-security-policy"].startswith("default-src 'none'")


def test_no_other_origin_unless_told(client: Any) -> None:
    answer = client.get("/v1/model", headers={"Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_document(client: Any) -> None:
    document = client.get("/openapi.json").json()
    assert {
        "/v1/detect",
        "/v1/model",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/v2/models/{model}/infer",
    } <= set(document["paths"])
    detect = document["paths"]["/v1/detect"]["post"]
    assert {"multipart/form-data", "image/jpeg"} <= set(detect["requestBody"]["content"])
    assert {"400", "413", "415", "422", "503", "504"} <= set(detect["responses"])
    assert "example" in json.dumps(document["components"]["schemas"]["FoundObject"])
    assert client.get("/docs").status_code == 404  # its scripts would come from elsewhere
