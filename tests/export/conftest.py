"""One exported file for all tests: writing a graph takes many seconds."""

from __future__ import annotations

from typing import Any

import pytest

from foveal.verbs.export import ExportResult, export


@pytest.fixture(scope="session")
def onnx_export(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """The trained model as ONNX, through its gate on five of its pictures."""
    pytest.importorskip("onnxruntime")
    output = tmp_path_factory.mktemp("exported") / "shapes.onnx"
    return export(trained.best, "onnx", output, pictures=5, licence='CC0 "as is"', quiet=True)
