"""The same detections from every backend, in the precision that was asked for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

from foveal.checkpoint.format import load_checkpoint
from foveal.data.coco import read_coco
from foveal.errors import UsageError
from foveal.models.inference import InferenceModel
from foveal.runtime import backends, model_file
from foveal.runtime.backends import POSSIBLE, accelerate, check_choice
from foveal.runtime.graph import export_box_branch, export_class_branch
from foveal.runtime.lazy_model import LazyModel
from foveal.runtime.model_file import canvas_of, load_inference
from foveal.runtime.pictures import place_picture
from foveal.runtime.predictor import Predictor
from foveal.types import BatchDetections

CHOICES = [(backend, precision) for backend, precisions in POSSIBLE.items() for precision in precisions]
FP32 = [choice for choice in CHOICES if choice[1] == "fp32"]

Accelerated = Callable[[str, str], LazyModel]


@pytest.fixture(scope="module")
def plain(trained: Any) -> InferenceModel:
    return load_inference(load_checkpoint(trained.best), trained.best)


@pytest.fixture(scope="module")
def images(trained: Any) -> Tensor:
    """All eight pictures of the training set on the canvas."""
    records = read_coco(trained.data / "annotations.json", trained.data / "images")
    canvas = canvas_of(load_checkpoint(trained.best).header)
    return torch.stack([place_picture(records.load(i), canvas)[0] for i in range(len(records))])


@pytest.fixture(scope="module")
def accelerated(plain: InferenceModel, images: Tensor) -> Accelerated:
    """The trained model on a backend, made once; its graphs are written once for all backends."""
    made: dict[tuple[str, str], LazyModel] = {}
    graphs: dict[Callable[..., bytes], bytes] = {}

    def once(export: Callable[..., bytes]) -> Callable[..., bytes]:
        return lambda module: graphs.get(export) or graphs.setdefault(export, export(module))

    def make(backend: str, precision: str) -> LazyModel:
        if backend != "torch":
            pytest.importorskip(backend)
        if precision == "int8":
            pytest.importorskip("nncf")
        if (backend, precision) not in made:
            with pytest.MonkeyPatch.context() as patch:
                for export in (export_class_branch, export_box_branch):
                    patch.setattr(backends, export.__name__, once(export))
                made[backend, precision] = accelerate(plain, backend, precision, calibration=images.split(1))
        return made[backend, precision]

    return make


@torch.inference_mode()
def detect(model: nn.Module, images: Tensor) -> BatchDetections:
    found: BatchDetections = model(images)
    return found


@pytest.mark.parametrize(("backend", "precision"), FP32)
def test_fp32_gives_the_same_detections(
    accelerated: Accelerated,
    plain: InferenceModel,
    images: Tensor,
    same_detections: Callable[..., None],
    backend: str,
    precision: str,
) -> None:
    """One by one and all at once, and of other sizes: the tolerance of trained models."""
    model = accelerated(backend, precision)
    for pictures in (images, images[2:3], images[:2, :, :64, :], images[:3].repeat(1, 1, 2, 1)):
        found, expected = detect(model, pictures), detect(plain, pictures)
        assert torch.equal(found.count, expected.count)
        assert int(expected.count.sum()) > 3 * len(pictures)
        same_detections(found, expected, 2e-3, 1e-5)


@pytest.mark.parametrize(("backend", "precision"), FP32)
def test_levels_of_one_cell(
    accelerated: Accelerated, plain: InferenceModel, backend: str, precision: str
) -> None:
    """A graph holds for them, too, though it is written from larger ones."""
    pictures = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        logits, features = accelerated(backend, precision).branches.classify(pictures)
        expected = plain.detector.features(pictures)
    assert [x.shape for x in features] == [x.shape for x in expected]
    assert features[-1].shape[2:] == logits[-1].shape[2:] == (1, 1)
    for x, y in zip(features, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("backend", "precision"), [choice for choice in CHOICES if choice not in FP32])
def test_less_precision_gives_nearly_the_same(
    accelerated: Accelerated, plain: InferenceModel, images: Tensor, backend: str, precision: str
) -> None:
    found, expected = detect(accelerated(backend, precision), images), detect(plain, images)
    # It is not float32 under another name.
    assert float((found.scores - expected.scores).abs().max()) > 1e-4
    strong = partners = 0
    for i in range(len(images)):
        top = expected.scores[i] > 0.3
        overlap = box_iou(expected.boxes[i][top], found.boxes[i, : int(found.count[i])])
        overlap *= expected.labels[i][top][:, None] == found.labels[i, : int(found.count[i])]
        strong += int(top.sum())
        partners += int((overlap.amax(dim=1) > 0.5).sum()) if top.any() else 0
    assert strong >= 5
    assert partners >= 0.8 * strong


def test_the_model_itself_is_not_changed(plain: InferenceModel, images: Tensor) -> None:
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    expected = detect(plain, images[:1])
    accelerate(plain, "torch", "bf16")
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    assert torch.equal(detect(plain, images[:1]).boxes, expected.boxes)


def test_results_outlive_the_next_call(accelerated: Accelerated, images: Tensor) -> None:
    """A backend's maps lie in memory that it uses again; detections do not."""
    model = accelerated("openvino", "fp32")
    first = detect(model, images[:1])
    copy = [value.clone() for value in first]
    detect(model, images[3:4])
    assert all(torch.equal(a, b) for a, b in zip(first, copy, strict=True))


def test_the_predictor_takes_a_backend(
    accelerated: Accelerated,
    trained: Any,
    same_detections: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = sorted((trained.data / "images").iterdir())[1]
    expected = Predictor(trained.best, "cpu", 0.0)(path)
    asked: list[Any] = []

    def make(model: InferenceModel, *choice: Any) -> LazyModel:
        asked.extend(choice)
        return accelerated(*choice[:2])

    monkeypatch.setattr(model_file, "accelerate", make)
    found = Predictor(trained.best, score_thresh=0.0, backend="openvino")(path)
    assert asked[:3] == ["openvino", "fp32", torch.device("cpu")]
    assert len(found) == len(expected) > 0
    same_detections(found, expected, 5e-3, 1e-4)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("tensorrt", "fp32", "auto"), "backend 'tensorrt' is not known; use torch, onnxruntime, openvino"),
        (("torch", "fp64", "auto"), "precision 'fp64' is not known; use fp32, bf16, int8"),
        (("torch", "int8", "auto"), "backend torch cannot run in int8; take --backend openvino"),
        (
            ("onnxruntime", "bf16", "auto"),
            "backend onnxruntime cannot run in bf16; take --backend torch or openvino",
        ),
        (
            ("openvino", "fp32", "cuda:1"),
            "backend openvino runs on the CPU, not on cuda:1; take --backend torch",
        ),
    ],
)
def test_impossible_choices(choice: tuple[str, str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_choice(*choice)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("choice", "absent", "message"),
    [
        (("openvino", "fp32"), "openvino", "backend openvino in fp32 needs openvino"),
        (("openvino", "int8"), "nncf", "backend openvino in int8 needs nncf"),
        (("onnxruntime", "fp32"), "onnx", "backend onnxruntime in fp32 needs onnx, onnxscript, onnxruntime"),
    ],
)
def test_missing_packages(
    monkeypatch: pytest.MonkeyPatch, choice: tuple[str, str], absent: str, message: str
) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None if name.startswith(absent) else True)
    with pytest.raises(UsageError) as caught:
        check_choice(*choice, "cpu")
    assert str(caught.value) == f"{message}: pip install 'foveal[export]'"
    check_choice("torch", "bf16", "cpu")


def test_the_predictor_refuses_before_it_reads_anything() -> None:
    with pytest.raises(UsageError, match="cannot run in int8"):
        Predictor("nothing.safetensors", precision="int8")


def test_quantising_tells_nobody() -> None:
    """NNCF reports its use over the network unless told not to, before it is imported; tests silence it, too."""
    pytest.importorskip("nncf")
    script = (
        "from foveal.runtime.backends_openvino import import_nncf\n"
        "import_nncf()\n"
        "from nncf.telemetry import wrapper\n"
        "print(type(wrapper.telemetry).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "MagicMock"


def test_openvino_runs_in_float32_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left alone it takes bfloat16 where the processor has it: boxes are pixels off."""
    openvino = pytest.importorskip("openvino")
    from foveal.runtime import backends_openvino

    x = openvino.opset13.parameter([1, 4], openvino.Type.f32)
    relu = openvino.Model([openvino.opset13.relu(x)], [x])
    compiled = []

    class Core:
        """The real one; what it compiles is kept, whatever it is given to read."""

        def __getattr__(self, name: str) -> Any:
            return getattr(openvino.Core(), name)

        def read_model(self, graph: object) -> Any:
            return relu

        def compile_model(self, *arguments: Any) -> Any:
            compiled.append(openvino.Core().compile_model(*arguments))
            return compiled[-1]

    monkeypatch.setattr(backends_openvino, "the_core", Core)
    backends_openvino.openvino_run(b"", "fp32")
    assert compiled[0].get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32


ORPHANED_STACK = """
import signal, subprocess
from onnx import TensorProto, helper
from foveal.runtime.backends_openvino import openvino_run

x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
opset = helper.make_opsetid("", 17)
relu = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
first, second = openvino_run(relu, "fp32"), openvino_run(relu, "fp32")
del first
del second
ended = []
signal.signal(signal.SIGCHLD, lambda *_: ended.append(1))
subprocess.run(["true"])
print(len(ended))
"""


def test_models_may_go_in_any_order() -> None:
    """Where the processor has AMX, a signal after the last one would end the process."""
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-c", ORPHANED_STACK], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "1\n")
