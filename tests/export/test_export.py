"""``foveal export``: a file gets its name only after the same detections and AP as torch's."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from foveal.checkpoint.format import load_checkpoint, save_checkpoint
from foveal.errors import DiskError, ModelFileError, UsageError
from foveal.export import subjects
from foveal.export.accuracy import Accuracy
from foveal.export.formats import Form, check_form, files_of
from foveal.export.graph import DetectionGraph
from foveal.export.header import golden_table, without_folders
from foveal.export.onnx_file import onnx_file
from foveal.export.torch_file import TorchvisionGraph, load_torch_file, torch_file
from foveal.export.triton import triton_config
from foveal.metrics.intervals import Interval
from foveal.ops.letterbox import fit_letterbox, scaled_size
from foveal.ops.tiles import Tiling
from foveal.runtime.calibration import some_images
from foveal.runtime.model_file import canvas_of, load_inference, open_model
from foveal.runtime.predictor import Predictor
from foveal.runtime.tiling import tiling_policy
from foveal.runtime.validation_set import validation_set
from foveal.types import BatchDetections
from foveal.verbs import export as verb
from foveal.verbs import gate
from foveal.verbs.evaluate import evaluate
from foveal.verbs.export import ExportResult, export

pytest.importorskip("onnxruntime")


@pytest.fixture
def quick(onnx_export: ExportResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """``export --to onnx`` that takes the file of the session instead of writing a graph."""

    def write(form: Form, graph: DetectionGraph, header: Any, place: Path, examples: Any) -> None:
        shutil.copy(onnx_export.output, place)

    monkeypatch.setattr(verb, "write_form", write)
    monkeypatch.setattr(gate, "_speed", lambda *_: gate.Ratio(1.0, 1.0, 1.0))


def header_of(result: ExportResult) -> dict[str, Any]:
    import onnx

    model = onnx.ModelProto.FromString(result.output.read_bytes())
    header: dict[str, Any] = json.loads({p.key: p.value for p in model.metadata_props}["foveal"])
    return header


# ---------------------------------------------------------------- ONNX


def test_the_gate_saw_the_same_detections(onnx_export: ExportResult) -> None:
    found = onnx_export.gate
    assert found is not None
    assert [(row.canvas, row.batch) for row in found.parity] == [
        ((96, 128), 1), ((96, 128), 3), ((96, 128), 8), ((96, 96), 1), ((96, 96), 3), ((96, 96), 8),
    ]  # fmt: skip
    assert all(row.agreement.pairs > 10 and not row.agreement.different for row in found.parity)
    assert len(found.speed) == 6
    assert found.accuracy is not None
    assert found.accuracy.pictures == 8
    assert abs(found.accuracy.change.value) < 1e-3


def test_metadata(onnx_export: ExportResult, trained: Any) -> None:
    header, checkpoint = header_of(onnx_export), load_checkpoint(trained.best).header
    assert header["classes"]["names"] == list(checkpoint.classes.names)
    assert header["thresholds"] == checkpoint.thresholds
    about = header["facts"]["export"]
    assert (about["format"], about["precision"], about["licence"]) == ("onnx", "fp32", "CC0-1.0")
    assert about["source"]["checkpoint"] == "best.safetensors"
    assert len(about["source"]["sha256"]) == 64
    assert len(header["size_policy"]["golden"]) == 50
    for height, width, scaled_height, scaled_width in header["size_policy"]["golden"]:
        assert scaled_size(fit_letterbox(height, width, (96, 128))) == (scaled_height, scaled_width)
    assert "data" not in header["config"]


def test_nothing_of_this_machine_is_in_the_file(onnx_export: ExportResult, trained: Any) -> None:
    content = onnx_export.output.read_bytes()
    for text in (str(trained.folder), str(Path(verb.__file__).parents[2]), "site-packages", sys.prefix):
        assert text.encode() not in content


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/home/me/weights/r50.pth", "r50.pth"),
        ("C:\\Users\\me\\r50", "r50"),
        ("weights/r50.safetensors", "r50.safetensors"),
        ("~/r50", "r50"),
        ("imagenet", "imagenet"),
        ("car/truck", "car/truck"),
        ({"a": [Path("/x/y.pt"), 1, None]}, {"a": ["y.pt", 1, None]}),
    ],
)
def test_paths_lose_their_folders(value: Any, expected: Any) -> None:
    assert without_folders(value) == expected


def test_golden_sizes_are_fifty_of_many_shapes() -> None:
    rows = golden_table({"height": 320, "width": 416})
    assert len({(h, w) for h, w, _, _ in rows}) == 50
    assert [33, 33, 320, 320] in rows or [1, 1, 320, 320] in rows
    assert all(1 <= h <= 320 and 1 <= w <= 416 for _, _, h, w in rows)


@pytest.mark.parametrize("canvas", [(96, 128), (320, 416), (800, 1344), (512, 512)])
def test_golden_sizes_tell_half_up_from_half_to_even(canvas: tuple[int, int]) -> None:
    def half_up(height: int, width: int) -> tuple[int, int]:
        scale = min(canvas[0] / height, canvas[1] / width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    rows = golden_table({"height": canvas[0], "width": canvas[1]})
    assert any(half_up(h, w)[0] != scaled for h, w, scaled, _ in rows)
    assert any(half_up(h, w)[1] != scaled for h, w, _, scaled in rows)


def test_a_predictor_gives_the_same(
    onnx_export: ExportResult, trained: Any, same_detections: Callable[..., None]
) -> None:
    picture = sorted((trained.data / "images").iterdir())[1]
    expected = Predictor(trained.best, "cpu", 0.0)(picture)
    found = Predictor(onnx_export.output, score_thresh=0.0)(picture)
    assert len(found) == len(expected) > 3
    same_detections(found, expected, 5e-3, 1e-4)
    assert Predictor(onnx_export.output).thresholds == Predictor(trained.best, "cpu").thresholds


def test_evaluate_takes_an_exported_file(onnx_export: ExportResult, trained: Any) -> None:
    found = evaluate(onnx_export.output, trained.config, quiet=True, workers=0)
    expected = evaluate(trained.best, quiet=True, workers=0, device="cpu")
    assert found.metrics == pytest.approx(expected.metrics, abs=1e-3)


def test_evaluate_says_what_an_exported_file_lacks(onnx_export: ExportResult, trained: Any) -> None:
    with pytest.raises(
        UsageError, match="an exported file names no data: give labelled pictures with --data"
    ):
        evaluate(onnx_export.output, quiet=True)
    out = onnx_export.output.with_name("t.safetensors")
    with pytest.raises(UsageError, match="--write-thresholds needs a checkpoint"):
        evaluate(onnx_export.output, trained.config, quiet=True, write_thresholds=out)


@pytest.mark.parametrize(
    ("suffix", "words"), [(".onnx", "ONNX"), (".xml", "OpenVINO"), (".pt2", "torch.export")]
)
def test_what_needs_a_checkpoint_says_so(tmp_path: Path, suffix: str, words: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(
        ModelFileError, match=rf"{words} model.* this needs the checkpoint it was exported from"
    ):
        export(path, quiet=True)


# ---------------------------------------------------------------- what fails leaves nothing


def changed(change: Callable[[BatchDetections], BatchDetections]) -> Any:
    """``run_form`` whose detections are changed."""
    real = gate.run_form

    def run(form: Form, place: Path, header: Any) -> Any:
        detect = real(form, place, header)
        return lambda images: change(detect(images))

    return run


@pytest.mark.usefixtures("quick")
def test_a_drift_fails_and_names_the_stage(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "run_form", changed(lambda found: found._replace(boxes=found.boxes + 0.01)))

    def stages(form: Form, graph: Any) -> Any:
        """Torch's own stages, but for the deltas and what is made of them."""
        start = sum(graph.counts[:3])

        def run(images: Tensor) -> list[Tensor]:
            outputs = list(graph(images))
            return outputs[:start] + [x + 0.1 if x.is_floating_point() else x for x in outputs[start:]]

        return run

    monkeypatch.setattr(gate, "run_stages", stages)
    with pytest.raises(ModelFileError) as caught:
        export(trained.best, "onnx", tmp_path / "a.onnx", pictures=3, quiet=True)
    message = str(caught.value)
    assert caught.value.exit_code == 4
    assert "not written" in message
    assert "box up to 1.0e-02 px off" in message
    assert "the first stage that drifts is the deltas" in message
    assert message.endswith("--no-gate writes it all the same")
    assert not list(tmp_path.iterdir())


def fails_in_batches_of_three(found: BatchDetections) -> BatchDetections:
    return found._replace(boxes=found.boxes + float(len(found.count) == 3))


@pytest.mark.usefixtures("quick")
def test_a_drift_of_one_size_of_batch_is_looked_for_there(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "run_form", changed(fails_in_batches_of_three))

    def stages(form: Form, graph: Any) -> Any:
        return lambda images: [x + float(len(images) == 3) for x in graph(images)]

    monkeypatch.setattr(gate, "run_stages", stages)
    with pytest.raises(
        ModelFileError, match=r"batch 3, 96 x 128\); the first stage that drifts is the backbone"
    ):
        export(trained.best, "onnx", tmp_path / "a.onnx", pictures=4, quiet=True)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stages_run", [True, False])
def test_a_drift_of_the_script_is_not_the_graphs(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages_run: bool
) -> None:
    plain = load_inference(load_checkpoint(trained.best), trained.best)

    def moved(images: Tensor) -> BatchDetections:
        found: BatchDetections = plain(images)
        return found._replace(boxes=found.boxes + 1)

    def stages(form: Form, graph: Any) -> Any:
        if not stages_run:
            raise RuntimeError("no such operator")
        return lambda images: list(graph(images))

    monkeypatch.setattr(gate, "run_form", lambda *_: moved)
    monkeypatch.setattr(gate, "run_stages", stages)
    words = "what the script makes of them does" if stages_run else r"do not run one by one \(RuntimeError\)"
    with pytest.raises(ModelFileError, match=words):
        export(trained.best, "onnx", tmp_path / "a.onnx", raw=True, pictures=2, quiet=True)


@pytest.mark.usefixtures("quick")
def test_an_export_that_does_not_run_fails(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(images: Tensor) -> BatchDetections:
        raise RuntimeError("bad shape\nof many lines")

    def unreadable(*_: Any) -> Any:
        raise ModelFileError("/tmp/x/a.onnx: does not run; export it again") from RuntimeError(
            "no operator Foo"
        )

    for run_form, words in (
        (lambda *_: broken, r" on 1 x 3 x 96 x 128 \(bad shape\)"),
        (unreadable, r" \(no operator Foo\)"),
    ):
        monkeypatch.setattr(gate, "run_form", run_form)
        with pytest.raises(ModelFileError) as caught:
            export(trained.best, "onnx", tmp_path / "a.onnx", pictures=2, quiet=True)
        assert re.fullmatch(
            r".*a\.onnx: not written: it does not run in onnxruntime" + words, str(caught.value)
        )
        assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
def test_a_loss_of_ap_fails(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    pytest.importorskip("nncf")
    lost = Accuracy(0.5, 0.49, Interval(-0.01, -0.012, -0.008), 8)
    monkeypatch.setattr(gate, "compare_accuracy", lambda *_: lost)
    with pytest.raises(ModelFileError, match=r"AP 0\.5000 -> 0\.4900 .*which is over 0\.005"):
        export(
            trained.best, "onnx", tmp_path / "a.onnx", pictures=1, quiet=True,
            int8=precision == "int8", fp16=precision == "fp16",
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("quick")
def test_pictures_without_a_detection_are_no_comparison(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(found: BatchDetections) -> BatchDetections:
        return found._replace(count=found.count * 0)

    monkeypatch.setattr(gate, "run_form", changed(nothing))
    monkeypatch.setattr(gate, "accelerate", lambda model: lambda images: nothing(model(images)))
    with pytest.raises(
        ModelFileError, match=r"neither torch nor the export finds anything.*--pictures FOLDER"
    ):
        export(trained.best, "onnx", tmp_path / "a.onnx", pictures=2, quiet=True)


@pytest.mark.parametrize("error", [DiskError("full"), KeyboardInterrupt()])
def test_half_a_pair_of_files_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    made, output = tmp_path / "made" / "m.xml", tmp_path / "out" / "m.xml"
    made.parent.mkdir()
    made.write_text("xml")
    made.with_suffix(".bin").write_text("bin")
    real = verb.write_bytes

    def full(path: Path, content: bytes) -> None:
        real(path, content)
        if path.suffix == ".xml":  # it came while the folder was synced
            raise error

    monkeypatch.setattr(verb, "write_bytes", full)
    with pytest.raises(type(error)):
        verb._put_in_place(Form("openvino"), made, output)
    assert not list(output.parent.iterdir())


# ---------------------------------------------------------------- names, data, refusals


@pytest.mark.usefixtures("quick")
def test_nothing_is_written_over(trained: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_text("mine")
    found = export(trained.best, "onnx", path, gate=False, quiet=True)
    assert found.output == tmp_path / "a-2.onnx"
    assert path.read_text() == "mine"


@pytest.mark.usefixtures("quick")
def test_what_comes_there_during_the_gate_is_not_written_over(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "folder" / "a.onnx"

    def slow(*_: Any) -> None:
        path.parent.mkdir(parents=True)
        path.write_text("mine")

    monkeypatch.setattr(verb, "pass_gate", slow)
    assert export(trained.best, "onnx", path, pictures=2, quiet=True).output == path.with_name("a-2.onnx")
    assert path.read_text() == "mine"


def test_a_place_that_cannot_be_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "load_checkpoint", lambda path: pytest.fail("it was read"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DiskError, match=r"a\.onnx: cannot be written in .*file \(it is not a folder\)"):
        export(tmp_path / "c", "onnx", tmp_path / "file" / "deep" / "a.onnx", quiet=True)
    monkeypatch.setattr(verb.os, "access", lambda *_: False)
    with pytest.raises(DiskError, match=r"\(you may not write there\); choose another place with -o"):
        export(tmp_path / "c", "onnx", tmp_path / "a.onnx", quiet=True)


def test_no_room_for_the_temporary_files(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(verb, "write_form", full)
    with pytest.raises(DiskError, match=r"\(No space left on device\); free some space, or set TMPDIR"):
        export(trained.best, "onnx", tmp_path / "a.onnx", gate=False, quiet=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "script"), [("cells.onnx", "decode_cells.py"), ("2026-11 b-2.onnx", "decode_2026_11_b_2.py")]
)
def test_the_script_has_a_name_that_python_imports(tmp_path: Path, name: str, script: str) -> None:
    assert files_of(Form("onnx", raw=True), tmp_path / name) == [tmp_path / script, tmp_path / name]


def test_a_pair_is_free_only_where_both_are(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_text("mine")
    assert verb._checked_output(Form("openvino"), tmp_path / "c", tmp_path / "a.xml").name == "a-2.xml"
    (tmp_path / "decode_r.py").write_text("mine")
    form = Form("onnx", raw=True)
    assert verb._checked_output(form, tmp_path / "c", tmp_path / "r.onnx").name == "r-2.onnx"
    (tmp_path / "cells").mkdir()
    assert verb._checked_output(Form("triton"), tmp_path / "c", tmp_path / "cells").name == "cells-2"
    for nameless in (".", ".."):
        with pytest.raises(UsageError, match="needs a name of its own"):
            verb._checked_output(Form("triton"), tmp_path / "c", Path(nameless))


@pytest.fixture
def without_data(trained: Any, tmp_path: Path) -> Path:
    """The checkpoint as ``foveal convert`` leaves one: it names no data."""
    loaded = load_checkpoint(trained.best)
    header = replace(loaded.header, config={"model": loaded.header.config["model"]})
    save_checkpoint(tmp_path / "c.safetensors", loaded.state, header)
    return tmp_path / "c.safetensors"


@pytest.mark.usefixtures("quick")
def test_without_labels(without_data: Path, trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = export(without_data, "onnx", without_data.with_name("a.onnx"), pictures=4)
    said = " ".join(capsys.readouterr().out.split())
    assert "AP is not measured: the checkpoint names no validation set" in said
    assert "compared on 4 generated pictures" in said
    assert found.gate is not None
    assert found.gate.accuracy is None
    folder = trained.data / "images"
    found = export(without_data, "onnx", without_data.with_name("b.onnx"), pictures=folder, quiet=True)
    assert found.gate is not None
    assert found.gate.parity[0].pictures == 8


def test_pictures_without_a_box_measure_no_ap(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    header = load_checkpoint(trained.best).header
    records = validation_set(header, trained.best)
    crowds = replace(records, crowd=np.ones_like(records.crowd))
    monkeypatch.setattr(subjects, "validation_set", lambda *_: crowds)
    seen = subjects.subjects(header, trained.best, None, None, 5)
    assert (seen.labelled, seen.pictures, seen.most) == (None, crowds, 5)
    assert seen.note == "AP is not measured: the labelled pictures have no box to find"
    with pytest.raises(UsageError, match="int8 passes by its AP"):
        subjects.check_subjects(Form("onnx", "int8"), seen)


@pytest.mark.usefixtures("quick")
def test_less_precision_needs_labels(without_data: Path) -> None:
    with pytest.raises(UsageError, match=r"fp16 passes by its AP.*--data, or --no-gate"):
        export(without_data, "onnx", without_data.with_name("a.onnx"), fp16=True, quiet=True)


@pytest.mark.usefixtures("quick")
def test_a_model_of_tiles_is_measured_in_tiles(trained: Any, tmp_path: Path) -> None:
    loaded = load_checkpoint(trained.best)
    policy = {**loaded.header.size_policy, **tiling_policy(Tiling(96, 96, 0.2))}
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, loaded.state, replace(loaded.header, size_policy=policy))
    found = export(path, "onnx", tmp_path / "a.onnx", pictures=2, quiet=True).gate
    expected = evaluate(path, quiet=True, workers=0, device="cpu").metrics["AP"]
    assert found is not None
    assert found.accuracy is not None
    assert found.accuracy.before == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form("tflite"), "--to tflite: not known; use onnx, openvino, torch, triton"),  # type: ignore[arg-type]
        (Form("torch", "int8"), "--to torch is in float32; for int8 take --to onnx or --to openvino"),
        (Form("onnx", "int8", True), "--raw does not go with --int8: leave one of them out"),
        (Form("triton", "fp32", True), "--raw does not go with --to triton: leave one of them out"),
    ],
)
def test_forms_that_are_not(form: Form, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_form(form)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fp16": True, "int8": True}, "take one of them"),
        ({"output": Path("a.xml")}, "for --to onnx a name ends in .onnx"),
        ({"calibration": Path("x")}, "--calibration is for --int8"),
        ({"pictures": 0}, "at least one picture"),
    ],
)
def test_options_that_do_not_go_together(trained: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        export(trained.best, "onnx", quiet=True, **options)


# ---------------------------------------------------------------- other formats


@pytest.fixture(scope="module")
def images(trained: Any) -> Tensor:
    header = load_checkpoint(trained.best).header
    paths = sorted((trained.data / "images").iterdir())[:4]
    return torch.cat(list(some_images(paths, canvas_of(header), None, 4)))


@pytest.fixture(scope="module")
def expected(trained: Any, images: Tensor) -> BatchDetections:
    with torch.inference_mode():
        found: BatchDetections = load_inference(load_checkpoint(trained.best), trained.best)(images)
    return found


def graph_of(result: ExportResult) -> bytes:
    return result.output.read_bytes()


def test_openvino_files(
    onnx_export: ExportResult, trained: Any, images: Tensor, expected: BatchDetections, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    from foveal.export.openvino_file import openvino_model, write_openvino

    header = open_model(onnx_export.output).header
    for half, score in ((False, 1e-5), (True, 0.02)):
        path = tmp_path / f"m{half}.xml"
        write_openvino(openvino_model(graph_of(onnx_export)), header, path, half)
        found = open_model(path).start()(images)
        torch.testing.assert_close(found.scores[:, :3], expected.scores[:, :3], rtol=0, atol=score)
        if not half:
            torch.testing.assert_close(found.boxes[:, :2], expected.boxes[:, :2], rtol=0, atol=2e-3)
        assert str(trained.folder).encode() not in path.read_bytes()
    whole, half_size = ((tmp_path / f"m{half}.bin").stat().st_size for half in (False, True))
    assert half_size < 0.6 * whole


def test_onnx_weights_in_half_the_bytes(
    onnx_export: ExportResult, images: Tensor, expected: BatchDetections, tmp_path: Path
) -> None:
    header = open_model(onnx_export.output).header
    path = tmp_path / "half.onnx"
    path.write_bytes(onnx_file(graph_of(onnx_export), header, fp16=True))
    assert path.stat().st_size < 0.75 * onnx_export.output.stat().st_size
    found = open_model(path).start()(images)
    torch.testing.assert_close(found.scores[:, :3], expected.scores[:, :3], rtol=0, atol=0.02)
    assert not torch.equal(found.scores, expected.scores)


@pytest.mark.slow
def test_bytes_but_for_the_last_convolutions(onnx_export: ExportResult, images: Tensor) -> None:
    import onnx

    from foveal.export.quantised import LAST, quantise_onnx

    model = onnx.ModelProto.FromString(quantise_onnx(graph_of(onnx_export), list(images.split(1))))
    makers = {name: node for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    quantised = [
        node
        for node in convolutions
        if node.input[0] in makers and makers[node.input[0]].op_type == "DequantizeLinear"
    ]
    last = [node for node in convolutions if any(name.endswith(LAST) for name in node.input)]
    assert len(last) == 6  # two subnets on three levels
    assert not [node for node in quantised if node in last]
    assert len(quantised) > 0.7 * len(convolutions) > 30  # all but those of one pixel, which scale channels


def test_triton_understands_the_configuration(onnx_export: ExportResult) -> None:
    pytest.importorskip("tritonclient")
    text_format = pytest.importorskip("google.protobuf.text_format")
    found = importlib.util.find_spec("tritonclient")
    assert found is not None
    assert found.origin is not None
    place = Path(found.origin).parent / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", place)
    assert spec is not None
    assert spec.loader is not None
    messages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(messages)
    header = open_model(onnx_export.output).header
    for most in (100, None):
        config = text_format.Parse(triton_config(header, most), messages.ModelConfig())
        assert not config.name  # so that the folder may be renamed
        assert config.max_batch_size == 8
        assert config.HasField("dynamic_batching")
        assert list(config.input[0].dims) == [3, -1, -1]
        assert [(row.name, list(row.dims)) for row in config.output] == [
            ("boxes", [most or -1, 4]), ("scores", [most or -1]), ("labels", [most or -1]), ("count", [1]),
        ]  # fmt: skip
        about = json.loads(config.parameters["foveal"].string_value)
        assert about["classes"]["names"] == list(header.classes.names)


def test_files_of_a_triton_model(tmp_path: Path) -> None:
    names = [str(p.relative_to(tmp_path)) for p in files_of(Form("triton"), tmp_path / "cells")]
    assert names == ["cells/1/model.onnx", "cells/config.pbtxt"]


ALONE = """
import json, sys
import torch, torchvision
extra = {"foveal.json": "", "names.json": ""}
module = torch.export.load(sys.argv[1], extra_files=extra).module()
outputs = module(torch.load(sys.argv[2]))
torch.save(outputs, sys.argv[3])
assert not any(name.startswith("foveal") for name in sys.modules)
print(json.loads(extra["foveal.json"])["classes"]["names"], json.loads(extra["names.json"])["outputs"])
"""


@pytest.mark.slow
def test_a_torch_file_needs_torch_and_torchvision_alone(
    onnx_export: ExportResult,
    trained: Any,
    images: Tensor,
    expected: BatchDetections,
    same_detections: Callable[..., None],
    tmp_path: Path,
) -> None:
    model = load_inference(load_checkpoint(trained.best), trained.best)
    graph = TorchvisionGraph(model)
    content = torch_file(graph, open_model(onnx_export.output).header)
    assert str(Path(verb.__file__).parents[1]).encode() not in content
    for size in ((1, 3, 64, 96), (3, 3, 64, 64), (2, 3, 160, 96)):
        pictures = torch.randint(0, 256, size, dtype=torch.uint8)
        with torch.inference_mode():
            for found, wanted in zip(load_torch_file(content)(pictures), graph(pictures), strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    path, given, taken = (tmp_path / name for name in ("m.pt2", "in.pt", "out.pt"))
    path.write_bytes(content)
    torch.save(images, given)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE, str(path), str(given), str(taken)],
        capture_output=True, text=True, check=False, timeout=200, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    assert "'boxes', 'scores', 'labels', 'count'" in done.stdout
    assert int(expected.count.min()) > 2
    same_detections(BatchDetections(*torch.load(taken)), expected, 2e-3, 1e-5)
