"""What the lessons share: pictures, a place for what they draw, one style, a detector that learns in seconds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from foveal.bench.growth_report import COLOURS, GRID, INK
from foveal.config import schema
from foveal.data.shapes import make_shapes
from foveal.errors import FovealError
from foveal.files import free_name
from foveal.ops.letterbox import apply_boxes, canvas_size
from foveal.runtime.pictures import load_picture, place_picture
from foveal.types import AnchorLevel, Target

# What needs torchvision or Lightning takes seconds to import: only the lessons that use it wait for it.
if TYPE_CHECKING:
    from foveal.models.detector import Detector
    from foveal.models.inference import InferenceModel

BLUE, ORANGE, GREEN, VIOLET = COLOURS
GREY = "#9b9a97"
CYCLE = (BLUE, ORANGE, GREEN, VIOLET, "#b5473c", "#2f8f9d", "#8a6d3b")
"""Colours of boxes or classes, by number."""
REPOSITORY = Path(__file__).resolve().parents[2]
IN_NOTEBOOK = "ipykernel" in sys.modules
SIDE = 512
"""Longer side of the canvas that a picture of yours is placed on."""


class Lesson(NamedTuple):
    """What the command line gave."""

    folder: Path
    picture: Path | None
    box: list[list[float]]
    checkpoint: Path | None

    def save(self, figure: Figure, name: str) -> Path:
        """Write a drawing as PNG under a name that is free; shown in place in a notebook."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = free_name(self.folder / f"{name}.png")
        figure.savefig(path)
        print(f"picture: {path}")
        if IN_NOTEBOOK:
            from IPython.display import Image, display

            display(Image(filename=str(path)))
        return path


def begin(name: str, options: tuple[str, ...] = ()) -> Lesson:
    """Read the command line. options: which of "picture", "box" and "checkpoint" this lesson takes."""
    parser = argparse.ArgumentParser(description=f"Lesson {name}")
    if "picture" in options:
        parser.add_argument(
            "picture", nargs="?", type=Path, help="a picture of yours (default: generated shapes)"
        )
    if "box" in options:
        words = ("X1", "Y1", "X2", "Y2")
        what = "an object in your picture, in its pixels; may be given more than once"
        parser.add_argument("--box", nargs=4, type=float, action="append", metavar=words, help=what)
    if "checkpoint" in options:
        parser.add_argument("--checkpoint", type=Path, help="a model that you trained, for your picture")
    default = REPOSITORY / "runs" / "lessons" / name
    parser.add_argument("--output", type=Path, default=default, help="folder for the pictures (%(default)s)")
    found = vars(parser.parse_args([] if IN_NOTEBOOK else None))
    torch.set_num_threads(1)  # the same sums on every machine
    torch.manual_seed(0)
    if "checkpoint" in found and (found["picture"] is None) != (found["checkpoint"] is None):
        parser.error(
            "your picture and the model that looks at it go together: give a picture and --checkpoint"
        )
    return Lesson(found["output"], found.get("picture"), found.get("box") or [], found.get("checkpoint"))


def picture_and_boxes(lesson: Lesson, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Canvas [3, H, W] uint8 and boxes [M, 4] on it: your picture, or a generated one of ``size`` pixels."""
    if lesson.picture is None:
        images, targets = shapes(1, size, seed)
        return images[0], targets[0].boxes
    try:
        pixels = load_picture(lesson.picture)
    except FovealError as error:
        sys.exit(str(error))
    scale = SIDE / max(pixels.shape[:2])
    canvas = canvas_size(round(pixels.shape[0] * scale), round(pixels.shape[1] * scale))
    image, letterbox = place_picture(pixels, canvas)
    boxes = torch.tensor(lesson.box, dtype=torch.float32).reshape(-1, 4)
    return image, apply_boxes(boxes, letterbox)


def your_model(lesson: Lesson) -> tuple[InferenceModel, Tensor, Sequence[str]]:
    """The model of the checkpoint, your picture on its canvas, and its class names."""
    from foveal.checkpoint.format import load_checkpoint
    from foveal.runtime.model_file import canvas_of, load_inference

    assert lesson.picture is not None
    assert lesson.checkpoint is not None
    try:
        checkpoint = load_checkpoint(lesson.checkpoint)
        model = load_inference(checkpoint, lesson.checkpoint)
        image, _ = place_picture(load_picture(lesson.picture), canvas_of(checkpoint.header))
    except FovealError as error:
        sys.exit(str(error))
    return model, image, checkpoint.header.classes.names


def shapes(pictures: int, size: int, seed: int) -> tuple[Tensor, list[Target]]:
    """Generated pictures [B, 3, size, size] uint8 and what is in them."""
    records = make_shapes(pictures, classes=3, size=size, seed=seed, empty_share=0.0)
    images = [torch.from_numpy(records.load(i)).permute(2, 0, 1) for i in range(pictures)]
    rows = [[torch.from_numpy(column) for column in records.rows(i)] for i in range(pictures)]
    return torch.stack(images), [Target(boxes.float(), labels, crowd) for boxes, labels, crowd in rows]


def anchors_of(params: schema.HeadParams, height: int, width: int) -> tuple[AnchorLevel, ...]:
    """The anchors that a head of these settings lays over a canvas, P3 first."""
    from foveal.heads.anchor_decoupled import AnchorDecoupledHead

    strides = [8 * 2**level for level in range(len(params.anchor_sizes))]
    head = AnchorDecoupledHead(1, 1, strides, params.scaled_sizes(), params.aspect_ratios, num_layers=0)
    return head.anchors([torch.empty(1, 1, -(-height // s), -(-width // s)) for s in strides])


def small_model(prior_prob: float = 0.01, norm: str = "group_norm", **losses: Any) -> schema.Model:
    """RetinaNet in small, for pictures of 96 pixels: three levels, one block in each subnet."""
    sizes = [[side * 2 ** (octave / 3) for octave in range(3)] for side in (16, 32, 64)]
    head = {"anchor_sizes": sizes, "num_layers": 1, "norm_type": norm, "prior_prob": prior_prob}
    backbone = {"name": "lcnet_050", "params": {"weights": None, "batch_norm": "trained"}}
    neck = {"params": {"out_channels": 32}}
    architecture = {"backbone": backbone, "neck": neck, "head": {"params": head}}
    return schema.Model.model_validate({"architecture": architecture, "losses": losses})


def train(
    detector: Detector,
    model: schema.Model,
    images: Tensor,
    targets: list[Target],
    steps: int,
    optimizer: torch.optim.Optimizer | None = None,
    batch: int = 8,
) -> list[float]:
    """Steps over the pictures, a batch at a time (AdamW where none is given); the class loss before each step."""
    from foveal.build import build_criterion

    criterion = build_criterion(model)
    optimizer = optimizer or torch.optim.AdamW(detector.parameters(), lr=0.005)
    history = []
    detector.train()
    for step in range(steps):
        chosen = [(step * batch + i) % len(images) for i in range(batch)]
        losses = criterion(detector(images[chosen]), [targets[i] for i in chosen]).losses
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        history.append(losses["cls"].item())
    detector.eval()
    return history


def sheet(columns: int, rows: int = 1, width: float = 4.6, height: float = 3.8) -> tuple[Figure, list[Any]]:
    """A white figure of panels, and the panels row by row; sizes of one panel in inches."""
    figure = Figure(
        figsize=(width * columns, height * rows), dpi=100, layout="constrained", facecolor="white"
    )
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def chart(panel: Any, title: str, x: str, y: str) -> None:
    """Title, axes and grid in one style."""
    panel.set_title(title, color=INK, fontsize=11, loc="left")
    panel.set_xlabel(x, color=INK)
    panel.set_ylabel(y, color=INK)
    panel.grid(color=GRID, lw=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=INK, which="both")
    panel.spines[["top", "right"]].set_visible(False)


def photo(panel: Any, image: Tensor, title: str) -> None:
    """A picture [3, H, W] as the background of a panel, a little faded so that lines stand out."""
    panel.imshow(image.permute(1, 2, 0).numpy(), alpha=0.75)
    panel.set_title(title, color=INK, fontsize=11, loc="left")
    panel.set_xlim(0, image.shape[2])
    panel.set_ylim(image.shape[1], 0)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(False)


def rectangles(panel: Any, boxes: Tensor, colour: Any, line: float = 1.2, **style: Any) -> None:
    """Boxes [n, 4] as outlines."""
    for x1, y1, x2, y2 in boxes.tolist():
        panel.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, lw=line, **style))


def tag(panel: Any, box: Tensor, text: str, colour: str) -> None:
    """Words in a box's upper left corner."""
    frame = {"fc": colour, "ec": "none", "pad": 1.5}
    panel.text(*box[:2].tolist(), text, color="white", fontsize=9, va="top", bbox=frame, clip_on=True)
