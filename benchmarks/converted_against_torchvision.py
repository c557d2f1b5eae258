"""torchvision's RetinaNets beside the checkpoints that ``foveal convert`` makes of them, on a hundred pictures.

    python benchmarks/converted_against_torchvision.py PICTURES [--count 100] [--model v1 | v2]

PICTURES: a folder; its pictures are scaled to 256 x 320 first, so that neither side resizes or pads. Random
weights, calibrated anew for every ten pictures (foveal.bench.twins), torchvision's own anchors. Per model:
pictures, detections on torchvision's side (all, and the fewest of a picture), largest differences of logits and
deltas in float32 as shares of their deviation, and whether the detections agree at the tolerance of
foveal.metrics.agreement. Ends with 1 where they do not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.models.detection import RetinaNet, retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2

from foveal.bench.twins import calibrate, to_float
from foveal.checkpoint.format import load_checkpoint
from foveal.metrics.agreement import RANDOM_R50, Agreement, Found, Limits, compare
from foveal.models.inference import InferenceModel
from foveal.runtime.model_file import load_inference
from foveal.types import Array
from foveal.verbs.convert import convert

CANVAS = (256, 320)
LEAST = 100
GROUP = 10
KEYS = ("boxes", "scores", "labels")
MODELS = {"v1": retinanet_resnet50_fpn, "v2": retinanet_resnet50_fpn_v2}
ENDINGS = (".jpg", ".jpeg", ".png")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--model", choices=MODELS, action="append", help="default: both")
    options = parser.parse_args()
    files = sorted(file for file in options.pictures.rglob("*") if file.suffix.lower() in ENDINGS)
    # From all over the folder, not the first data set alone.
    files = files[:: max(1, len(files) // options.count)][: options.count]
    pictures = [load(file) for file in files]
    different = sum(run(name, MODELS[name], pictures) for name in options.model or MODELS)
    return 1 if different else 0


def load(file: Path) -> Array:
    return np.asarray(Image.open(file).convert("RGB").resize((CANVAS[1], CANVAS[0]))).copy()


class Result(NamedTuple):
    """One picture."""

    count: int
    agreement: Agreement
    logits: float
    deltas: float
    """Largest differences, as shares of the standard deviation."""


def run(name: str, build: type[RetinaNet], pictures: list[Array]) -> int:
    """Prints one line; how many detections differ."""
    groups = [pictures[start : start + GROUP] for start in range(0, len(pictures), GROUP)]
    results = [result for group in groups for result in compare_group(build, group)]
    counts = [result.count for result in results]
    found = [result.agreement for result in results]
    assert min(counts) >= LEAST, f"a picture with {min(counts)} detections proves little"
    different = sum(agreement.different for agreement in found)
    print(
        f"torchvision {name}: {len(pictures)} pictures, {sum(counts)} detections, {min(counts)} or more each; "
        f"logits {max(r.logits for r in results):.0e} and deltas {max(r.deltas for r in results):.0e} of their "
        f"deviation; {sum(a.pairs for a in found)} pairs, box {max(a.box for a in found):.0e} of its side, score "
        f"{max(a.score for a in found):.0e}; {sum(a.excused for a in found)} excused, {different} different",
        flush=True,
    )
    return different


@torch.no_grad()
def compare_group(build: type[RetinaNet], pictures: list[Array]) -> Iterator[Result]:
    """Pictures of one kind, which one calibration fits."""
    torch.manual_seed(0)
    theirs = build(
        weights=None, weights_backbone=None, num_classes=91, min_size=CANVAS[0], max_size=CANVAS[1]
    )
    calibrate(theirs, *pictures)
    ours = converted(theirs)
    raw: list[dict[str, Tensor]] = []
    theirs.head.register_forward_hook(lambda module, inputs, outputs: raw.append(outputs))
    limits = Limits(theirs.score_thresh, theirs.nms_thresh, theirs.detections_per_img)
    for picture in pictures:
        raw.clear()
        detections = theirs([to_float(picture)])[0]
        outputs = ours.detector(torch.from_numpy(picture).permute(2, 0, 1)[None])
        found = ours.postprocess(outputs, CANVAS)
        n = int(found.count[0])
        mine = Found(found.boxes[0, :n], found.scores[0, :n], found.labels[0, :n])
        agreement = compare(mine, Found(*(detections[key] for key in KEYS)), RANDOM_R50, limits)
        logits = difference(outputs.cls_logits, raw[0]["cls_logits"])
        deltas = difference(outputs.bbox_deltas, raw[0]["bbox_regression"])
        yield Result(len(detections["scores"]), agreement, logits, deltas)


def difference(ours: Sequence[Tensor], theirs: Tensor) -> float:
    """Largest, over all levels, as a share of the standard deviation."""
    return float((torch.cat(list(ours), dim=1) - theirs).abs().max() / theirs.std())


def converted(theirs: RetinaNet) -> InferenceModel:
    """Through the files, as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "theirs.pth", Path(folder) / "ours.safetensors"
        torch.save(theirs.state_dict(), source)
        convert(source, output, image_size=CANVAS, keep_unnamed=True)
        return load_inference(load_checkpoint(output), output)


if __name__ == "__main__":
    sys.exit(main())
