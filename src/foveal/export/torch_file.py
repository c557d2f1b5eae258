"""A torch.export file (``.pt2``), which torch and torchvision alone can load and run."""

from __future__ import annotations

import io
import json
import warnings

import torch
from torch import Tensor
from torchvision.ops import nms

from foveal.checkpoint.header import HEADER, CheckpointHeader, header_text
from foveal.errors import UsageError
from foveal.export.graph import DetectionGraph
from foveal.ops.nms import suppress_in_graph
from foveal.runtime.exported import INPUT
from foveal.runtime.graph import Run
from foveal.runtime.onnx_writing import EXAMPLE_PICTURES, picture_sizes

FROM_SOURCE = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")
"""What torch notes of where a step comes from: every line's file on this machine among it."""


class TorchvisionGraph(DetectionGraph):
    """The same with torchvision's own NMS inside, since an operator of ours would need Foveal to load."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """As ``DetectionGraph``."""
        model = self.model
        candidates = model.decoder(self.detector(images), (images.shape[2], images.shape[3]))
        found = suppress_in_graph(
            candidates, model.nms_thresh, model.class_agnostic, model.detections_per_img, kept_by_torchvision
        )
        return found.boxes, found.scores, found.labels, found.count


def kept_by_torchvision(boxes: Tensor, scores: Tensor, groups: Tensor, nms_thresh: float) -> Tensor:
    """``foveal.ops.nms.kept_by_nms`` as one call for the whole batch, so that a graph holds no loop over pictures.

    Every group of every picture is moved to a place of its own, in float64, where the move costs no precision.
    """
    picture = torch.arange(scores.shape[0], device=scores.device)[:, None]
    place = (groups + picture * (groups.max() + 1)).double()
    span = (boxes.max() - boxes.min()).double() + 1
    apart = (boxes.double() + (place * span)[:, :, None]).flatten(0, 1)
    # torchvision tells a graph that NMS keeps two boxes and more: two that meet no other, at the end, see to it.
    two = torch.tensor(
        [[-20.0, -20.0, -19.0, -19.0], [-10.0, -10.0, -9.0, -9.0]], device=scores.device
    ).double()
    flat = torch.cat([scores.flatten().double(), two.new_full((2,), -1.0)])
    count = scores.numel()
    rows = torch.cat([(flat > 0).nonzero().flatten(), torch.arange(2, device=scores.device) + count])
    kept = rows[nms(torch.cat([apart, two])[rows], flat[rows], nms_thresh)]
    marked = torch.zeros_like(flat, dtype=torch.bool).index_fill(0, kept, True)
    return marked[:count].view_as(scores)


def exported_program(graph: DetectionGraph) -> torch.export.ExportedProgram:
    """The graph traced, sizes left open. UsageError where torch cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts, for its authors
        try:
            program = torch.export.export(
                graph, (EXAMPLE_PICTURES,), dynamic_shapes=(picture_sizes(),), strict=False
            )
        except (RuntimeError, torch._dynamo.exc.UserError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(f"this network cannot be written as a torch.export graph ({reason})") from error
    for node in program.graph.nodes:
        for note in FROM_SOURCE:
            node.meta.pop(note, None)
    # What tracing took for granted of levels of more than one cell; they hold no less of one (a test runs both).
    getattr(program, "_guards_code", []).clear()
    return program


def torch_file(graph: DetectionGraph, header: CheckpointHeader) -> bytes:
    """The content of the file. Its extra files hold the header, and the names of input and outputs."""
    names = {"inputs": [INPUT], "outputs": graph.output_names}
    extra = {f"{HEADER}.json": header_text(header), "names.json": json.dumps(names)}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(exported_program(graph), stream, extra_files=extra)
    return stream.getvalue()


def load_torch_file(content: bytes) -> Run:
    """What runs a file that this process wrote: a file from elsewhere may hold pickled code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(io.BytesIO(content)).module()

    @torch.inference_mode()
    def run(images: Tensor) -> list[Tensor]:
        return list(module(images))

    return run
