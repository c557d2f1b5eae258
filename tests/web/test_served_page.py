"""The page of a real ``foveal serve``, over a checkpoint and over its export: the boxes of ``foveal predict``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.web.test_page import until

from foveal.runtime.predictor import Predictor

pytest.importorskip("fastapi", reason="needs foveal[serve]")
pytestmark = pytest.mark.browser


@contextmanager
def serving(model: Path, log: Path) -> Iterator[str]:
    """Address of a server in a process of its own."""
    command = [sys.executable, "-m", "foveal", "serve", str(model), "--port", "0", "--threads", "1"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stderr=stream, stdin=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
    try:
        while not (found := re.search(r" on (http://\S+:\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("kind", ["checkpoint", "onnx"])
def test_the_page_finds_what_predict_finds(
    browser: Any, trained: Any, onnx_model: Path, tmp_path: Path, kind: str
) -> None:
    model = onnx_model if kind == "onnx" else trained.best
    files = sorted((trained.data / "images").iterdir())[:3]
    with serving(model, tmp_path / "log") as address:
        page = browser.new_page()
        seen: list[str] = []
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("console", lambda message: seen.append(message.text))
        page.goto(f"{address}/")
        until(page, "!document.querySelector('#about').hidden")
        page.set_input_files("#choose", files)
        until(page, "document.querySelectorAll('#strip button[data-state=done]').length === 3")
        with page.expect_download() as caught:
            page.click("#download-json")
        content = json.loads(Path(caught.value.path()).read_text())
        page.close()
    assert seen == []
    predictor = Predictor(model)
    compared = 0
    for image, file in zip(content["images"], files, strict=True):
        assert image["file_name"] == file.name
        rows = [row for row in content["annotations"] if row["image_id"] == image["id"]]
        found = predictor(file)
        assert len(rows) == len(found)
        for row, (box, score, label, _) in zip(rows, found, strict=True):
            x, y, width, height = row["bbox"]
            assert [x, y, x + width, y + height] == pytest.approx(box, abs=1e-3)
            assert row["score"] == pytest.approx(score, abs=1e-5)
            assert row["category_id"] == predictor.classes.ids[label]
            compared += 1
    assert compared > 5
