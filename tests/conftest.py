"""Fixtures that every test may use."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts what it puts in the background deaf to Ctrl-C, and every process that a test starts with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Foveal itself sees to it (runtime/backends_openvino.py); a test that imports OpenVINO first would have it report.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def command_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test runs in its own process ends with SystemExit, and not the process."""
    monkeypatch.setattr("foveal.exits.command.end", sys.exit)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real pictures and weights; the test is skipped where it is absent."""
    folder = (REPOSITORY / os.environ.get("FOVEAL_SHARED", "../shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: set FOVEAL_SHARED (looked in {folder.name}/data)")
    return folder


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="session")
def same_detections() -> Callable[[Any, Any, float, float], None]:
    """Asserts that the detections of one picture, or of a batch, are the same but for (pixels, score).

    By label and overlap, as those whose scores are almost equal stand in either order.
    """
    from foveal.export.parity import lists_of
    from foveal.metrics.agreement import Found, Limits, Tolerance, compare_all
    from foveal.types import BatchDetections

    nothing_excused = Limits(score_thresh=-1.0, nms_thresh=2.0, most=-1)

    def check(found: Any, expected: Any, pixels: float, score: float) -> None:
        lists = [
            lists_of(one) if isinstance(one, BatchDetections) else [Found(one.boxes, one.scores, one.labels)]
            for one in (found, expected)
        ]
        if not any(len(one.scores) for both in lists for one in both):
            return
        agreement = compare_all(zip(*lists, strict=True), Tolerance(0.0, score, pixels), nothing_excused)
        assert (agreement.different, agreement.excused) == (0, 0), agreement
        assert agreement.pairs == sum(len(one.scores) for one in lists[1])

    return check


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, with a camera that shows a test picture.

    Not for the session: while playwright is started, nothing else in the process can run an event loop.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *CAMERA])
        yield chromium
        chromium.close()


COCO = "{{format: coco, annotations: {0}/annotations.json, images: {0}/images}}"
TINY = """\
data:
  train: {train}
  val: {val}
  image_size: [96, 128]
  augment: {{horizontal_flip: 0.0}}
  workers: 0
model:
  architecture:
    backbone: {{name: lcnet_050, params: {{weights: null, batch_norm: trained}}}}
    neck: {{params: {{out_channels: 32, norm_type: batch_norm}}}}
    head:
      params: {{anchor_sizes: [[16], [32], [64]], aspect_ratios: [1.0], num_layers: 1, norm_type: group_norm}}
  losses:
    assigner: {{name: atss}}
    box: {{name: giou}}
training:
  max_steps: 2
  batch_size: 8
  optimizer: {{name: adamw, lr_per_16: 0.01}}
  device: cpu
"""

WriteConfig = Callable[..., Path]


@pytest.fixture(scope="session")
def write_config() -> WriteConfig:
    """A function (file, train, val) that writes the configuration of a detector that trains in a second.

    train, val: folders of ``write_shapes``, or YAML of a source; val None: no validation.
    """

    def write(path: Path, train: Path | str, val: Path | str | None = None) -> Path:
        sources = [COCO.format(source) if isinstance(source, Path) else source for source in (train, val)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TINY.format(train=sources[0], val=sources[1] or "null"))
        return path

    return write


class TrainedRun(NamedTuple):
    """A run that has learned its own eight pictures, to be read only."""

    folder: Path
    config: Path
    data: Path
    """Pictures of 128 x 128, two classes, as COCO: ``annotations.json`` and ``images``."""
    best: Path
    metrics: dict[str, float | None]
    """What ``train`` returned."""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, write_config: WriteConfig) -> TrainedRun:
    """Trained on pictures larger than its canvas; what it finds is better than chance and not perfect."""
    from foveal.data.shapes import make_shapes, write_shapes
    from foveal.verbs.train import train

    folder = tmp_path_factory.mktemp("trained")
    data = folder / "data"
    write_shapes(make_shapes(8, 2, 128, seed=1, empty_share=0.2), data)
    config = write_config(folder / "tiny.yaml", data, data)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    changes = ["training.max_steps=40", "training.validate_every=10"]
    result = train(config, changes, output=folder / "runs", quiet=True)
    torch.set_num_threads(threads)
    return TrainedRun(result.folder, config, data, result.fit.best_file, result.metrics)


@pytest.fixture(scope="session")
def onnx_export(trained: TrainedRun, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``ExportResult`` of ``trained`` as ONNX, through its gate on five pictures: a graph takes many seconds."""
    pytest.importorskip("onnxruntime")
    from foveal.verbs.export import export

    output = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    with torch.random.fork_rng():
        return export(trained.best, "onnx", output, pictures=5, licence="CC0-1.0", quiet=True)
