"""The site of ``foveal web`` in Chromium: the same detections as in Python, and no request to anyone else."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.web.conftest import Answer, files_of, served
from tests.web.test_page import until

from foveal.data.shapes import make_shapes
from foveal.page.files import security_policy
from foveal.runtime.model_file import canvas_of, open_model
from foveal.runtime.pictures import place_picture
from foveal.runtime.predictor import Predictor
from foveal.types import Array

pytestmark = pytest.mark.browser
START = """async () => {
  const worker = new Worker("./worker.js", { type: "module" });
  const waiting = new Map();
  worker.onmessage = ({ data }) => data.progress || waiting.get(data.id)(data);
  window.ask = question => new Promise(resolve => {
    waiting.set(question.id, resolve);
    worker.postMessage(question);
  });
  return await window.ask({ start: true });
}"""
DETECT = """async bytes => {
  const planes = Uint8Array.from(atob(bytes), letter => letter.charCodeAt(0));
  return (await window.ask({ id: 1, planes })).found;
}"""
BOX_PIXELS, BOX_SHARE, SCORE = 1e-3, 1e-5, 1e-5
"""The tolerance for one model on two programs: of a box side, as a share of the box, of a score."""


@pytest.fixture(scope="module")
def pictures() -> list[Array]:
    records = make_shapes(4, 2, 128, seed=1, empty_share=0.0)
    wide = np.ascontiguousarray(np.tile(records.load(3), (1, 2, 1))[:, :200])
    return [*(records.load(place) for place in range(3)), wide]


@pytest.fixture(scope="module")
def page(browser: Any, site: Path) -> Iterator[Any]:
    """The site, whose requests to anything but its own files are counted."""
    with served(files_of(site)) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.seen = []
        page.on("dialog", lambda dialog: page.seen.append(dialog.message))
        page.on("pageerror", lambda error: page.seen.append(str(error)))
        page.on("console", lambda message: page.seen.append(message.text))
        page.on(
            "request", lambda request: request.url.startswith(address) or page.seen.append(request.url[:200])
        )
        page.goto(address)
        until(page, "!document.querySelector('#about').hidden")
        yield page
        context.close()


def png(picture: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def iou(a: Array, b: Array) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    inside = sides.prod()
    return float(inside / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inside))


def partner(row: tuple[Array, float, int], others: list[dict[str, Any]]) -> dict[str, Any]:
    """The detection of the same class that a box shares most with, taken out of the others."""
    same = [other for other in others if other["label"] == row[2]]
    best = max(same, key=lambda other: iou(row[0], np.array(other["box"])))
    others.remove(best)
    return best


def test_the_same_tensor_gives_the_same_detections(
    page: Any, onnx_model: Path, pictures: list[Array]
) -> None:
    assert "ready" in page.evaluate(START)
    model = open_model(onnx_model)
    detect, canvas = model.start(), canvas_of(model.header)
    compared = 0
    for picture in pictures:
        placed, _ = place_picture(picture, canvas)
        expected = detect(placed[None])
        count = int(expected.count[0])
        found = page.evaluate(DETECT, base64.b64encode(placed.contiguous().numpy().tobytes()).decode())
        assert len(found) == count > 0
        for place in range(count):
            box = expected.boxes[0, place].numpy()
            row = partner((box, float(expected.scores[0, place]), int(expected.labels[0, place])), found)
            limit = max(BOX_PIXELS, BOX_SHARE * float((box[2:] - box[:2]).max()))
            assert np.abs(np.array(row["box"]) - box).max() <= limit
            assert abs(row["score"] - float(expected.scores[0, place])) <= SCORE
            compared += 1
    assert compared > 20


def test_the_same_png_on_the_page_gives_the_same_detections(
    page: Any, onnx_model: Path, pictures: list[Array], tmp_path: Path
) -> None:
    predictor = Predictor(onnx_model, score_thresh=0.0)
    files = [
        {"name": f"{place}.png", "mimeType": "image/png", "buffer": png(picture)}
        for place, picture in enumerate(pictures)
    ]
    page.set_input_files("#choose", files)
    until(
        page,
        "count => document.querySelectorAll('#strip button[data-state=done]').length === count",
        len(files),
    )
    page.fill("#threshold", page.get_attribute("#threshold", "min"))
    with page.expect_download() as caught:
        page.click("#download-json")
    content = json.loads(Path(caught.value.path()).read_text())
    header = predictor.header
    assert [category["id"] for category in content["categories"]] == list(header.classes.ids)
    compared = 0
    for image, picture in zip(content["images"], pictures, strict=True):
        assert (image["height"], image["width"]) == picture.shape[:2]
        found = [
            {
                "box": [*row["bbox"][:2], row["bbox"][0] + row["bbox"][2], row["bbox"][1] + row["bbox"][3]],
                "label": header.classes.ids.index(row["category_id"]),
                "score": row["score"],
            }
            for row in content["annotations"]
            if row["image_id"] == image["id"]
        ]
        for box, score, label, _ in predictor(picture):
            if score <= 0.3:
                continue
            row = partner((np.array(box), score, label), found)
            assert iou(np.array(box), np.array(row["box"])) >= 0.95
            assert abs(row["score"] - score) < 1e-4
            compared += 1
    assert compared > 5
    assert page.seen == []


def test_the_page_says_what_model_it_runs_and_that_pictures_stay(page: Any) -> None:
    assert page.inner_text("#model-line") == "tiny runs in this browser: pictures stay on this machine"
    facts = page.text_content("#facts")
    assert "CC0-1.0" in facts
    assert "onnxruntime-web" in facts


def test_a_file_that_is_no_picture(page: Any) -> None:
    page.set_input_files("#choose", [{"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"}])
    page.wait_for_selector("#fault:not([hidden])")
    assert page.inner_text("#fault-text").startswith(
        "a.txt: This is not a picture that the browser can read."
    )
    page.set_input_files("#choose", [{"name": "b.png", "mimeType": "image/png", "buffer": b""}])
    until(page, "document.querySelector('#fault-text').textContent === 'b.png: The file is empty.'")


def wrong_table(content: bytes) -> bytes:
    return content.replace(b'"golden": [', b'"golden": [[1, 1, 5, 5],')


@pytest.mark.parametrize(
    ("path", "change", "text"),
    [
        ("model.onnx", lambda content: content[:-5], "The model came damaged or cut off."),
        ("model.onnx", lambda content: b"x" * len(content), "The model failed here:"),
        ("model.onnx", None, "The site has no model.onnx (404)"),
        ("model.json", wrong_table, "counts sizes otherwise"),
        ("runtime/onnxruntime.js", None, "The model stopped in this browser"),
    ],
)  # fmt: skip
def test_a_site_that_is_not_whole_says_so(
    browser: Any, site: Path, path: str, change: Any, text: str
) -> None:
    plain = files_of(site)

    def answer(method: str, asked: str, body: bytes) -> Answer:
        status, kind, content = plain(method, asked, body)
        if asked.split("?")[0] != path:
            return status, kind, content
        return (404, "text/plain", b"") if change is None else (status, kind, change(content))

    with served(answer) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#alert:not([hidden])")
        assert text in page.inner_text("#alert")
        page.close()


def test_a_site_that_is_not_whole_leaves_no_thread_behind_for_each_try(browser: Any, site: Path) -> None:
    plain = files_of(site)
    with served(
        lambda *asked: (404, "text/plain", b"") if asked[1].startswith("model.onnx") else plain(*asked)
    ) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#alert:not([hidden])")
        file = {"name": "a.png", "mimeType": "image/png", "buffer": png(np.zeros((4, 4, 3), np.uint8))}
        page.set_input_files("#choose", [file] * 3)
        until(page, "document.querySelectorAll('#strip button[data-state=failed]').length === 3")
        assert page.workers == []
        page.close()


def test_any_static_host_will_do(browser: Any, site: Path, pictures: list[Array]) -> None:
    """Under a path of its own, with types that a host does not know, and with the policy on every file."""
    plain = files_of(site)

    def answer(method: str, path: str, body: bytes) -> Answer:
        if not path.startswith("a/b/"):
            return 404, "text/plain", b""
        status, kind, content = plain(method, path.removeprefix("a/b/"), body)
        return status, "application/octet-stream" if path.endswith(".wasm") else kind, content

    with served(answer, {"Content-Security-Policy": security_policy("browser")}) as address:
        page = browser.new_page()
        seen: list[str] = []
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on(
            "request", lambda request: request.url.startswith(f"{address}a/b/") or seen.append(request.url)
        )
        page.goto(f"{address}a/b/")
        until(page, "!document.querySelector('#about').hidden")
        file = {"name": "a.png", "mimeType": "image/png", "buffer": png(pictures[0])}
        page.set_input_files("#choose", [file])
        page.wait_for_selector("#stage[data-state=done]")
        assert seen == []
        page.close()


def test_opened_as_a_file_it_says_what_it_needs(browser: Any, site: Path) -> None:
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    until(page, "getComputedStyle(document.querySelector('.late')).visibility === 'visible'")
    text = " ".join(page.inner_text("#model-line").split())
    assert text.endswith(
        "the page was opened as a file: it needs a server, such as python3 -m http.server in its folder."
    )
    page.close()


def test_a_model_that_the_browser_kept_of_an_earlier_site_is_not_taken(
    browser: Any, site: Path, tmp_path: Path
) -> None:
    later = tmp_path / "site"
    shutil.copytree(site, later)
    now = [site]
    kept = {"Cache-Control": "max-age=3600"}
    with served(lambda *asked: files_of(now[0])(*asked), kept) as address:
        context = browser.new_context()
        for length in ((site / "model.onnx").stat().st_size, 10):
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector("#about:not([hidden])" if length > 10 else "#alert:not([hidden])")
            # The later site's model is none: that it is refused shows that it was fetched.
            said = page.inner_text("#alert") if length == 10 else ""
            page.close()
            description = json.loads((later / "model.json").read_text())
            (later / "model.json").write_text(json.dumps({**description, "bytes": 10, "sha256": "cd" * 32}))
            (later / "model.onnx").write_bytes(b"0123456789")
            now[0] = later
        context.close()
    assert said.startswith("The model failed here:")
