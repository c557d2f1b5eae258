"""docs/export.md: every program for elsewhere runs as it stands, without Foveal, and finds what Foveal finds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foveal.checkpoint.format import load_checkpoint
from foveal.export.openvino_file import openvino_model, write_openvino
from foveal.export.torch_file import TorchvisionGraph, torch_file
from foveal.runtime.detections import Detections
from foveal.runtime.model_file import load_inference, open_model
from foveal.runtime.predictor import Predictor
from foveal.types import Array
from foveal.verbs.export import export

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
WITHOUT_FOVEAL = "import sys\nsys.modules['foveal'] = None\n"
ROW = re.compile(r"(.+) (\S+) \[ *([^\]]+)\]")


def block(words: str) -> str:
    """The one block that holds them."""
    found: list[str] = [text for text in BLOCKS if words in text]
    assert len(found) == 1, words
    return found[0]


@pytest.fixture(scope="module")
def picture(trained: Any) -> Path:
    return sorted((trained.data / "images").iterdir())[1]


@pytest.fixture(scope="module")
def expected(onnx_export: Any, picture: Path) -> Detections:
    return Predictor(onnx_export.output, score_thresh=0.0)(picture)


def printed(folder: Path, picture: Path, *blocks: str) -> list[tuple[str, float, Array]]:
    """What the blocks of the page print of a picture: name, score and box of each detection."""
    shutil.copy(picture, folder / "photo.png")
    program = WITHOUT_FOVEAL + "\n".join((block("def place"), *blocks))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, check=False, timeout=300, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    rows = [ROW.fullmatch(row) for row in " ".join(done.stdout.split()).replace("] ", "]\n").splitlines()]
    return [(m[1], float(m[2]), np.array(m[3].split(), dtype=float)) for m in rows if m is not None]


def check(found: list[tuple[str, float, Array]], expected: Detections) -> None:
    """The same, but for what Pillow's resampling rounds otherwise than torch's."""
    assert len(found) == pytest.approx(len(expected), abs=2)
    assert len(expected) > 3
    for i in range(3):
        name, score, box = found[i]
        assert name == expected.names[i]
        assert score == pytest.approx(float(expected.scores[i]), abs=0.02)
        assert box == pytest.approx(expected.boxes[i].numpy(), abs=1.0)


def test_onnx(onnx_export: Any, picture: Path, expected: Detections, tmp_path: Path) -> None:
    shutil.copy(onnx_export.output, tmp_path / "cells.onnx")
    check(printed(tmp_path, picture, block("session.run(None"), block("range(count[0])")), expected)


def test_openvino(onnx_export: Any, picture: Path, expected: Detections, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    graph, header = openvino_model(onnx_export.output.read_bytes()), open_model(onnx_export.output).header
    write_openvino(graph, header, tmp_path / "cells.xml")
    check(printed(tmp_path, picture, block("openvino.Core()"), block("range(count[0])")), expected)


@pytest.mark.slow
def test_torch(trained: Any, picture: Path, expected: Detections, onnx_export: Any, tmp_path: Path) -> None:
    model = load_inference(load_checkpoint(trained.best), trained.best)
    header = open_model(onnx_export.output).header
    (tmp_path / "cells.pt2").write_bytes(torch_file(TorchvisionGraph(model), header))
    check(printed(tmp_path, picture, block("torch.export.load"), block("range(count[0])")), expected)


@pytest.mark.slow
def test_raw(trained: Any, picture: Path, expected: Detections, tmp_path: Path) -> None:
    """Through its gate, which compares the script's detections with torch's."""
    found = export(trained.best, "onnx", tmp_path / "cells.onnx", raw=True, pictures=3, quiet=True)
    assert found.files == [tmp_path / "decode_cells.py", tmp_path / "cells.onnx"]
    assert found.gate is not None
    assert all(row.agreement.pairs > 5 and not row.agreement.different for row in found.gate.parity)
    check(printed(tmp_path, picture, block("from decode_cells")), expected)
