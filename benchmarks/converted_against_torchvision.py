"""torchvision's RetinaNets beside the checkpoints that ``foveal convert`` makes of them, on a hundred pictures.

    python benchmarks/converted_against_torchvision.py PICTURES [--count 100]

PICTURES: a folder; its pictures are scaled to 256 x 320 first, so that neither side resizes or pads. Random
weights, statistics calibrated on the first picture (foveal.bench.twins), torchvision's own anchors. Per model:
pictures, detections on torchvision's side (the fewest of a picture, and all), largest differences of logits and
deltas in float32, and whether the detections agree at the tolerance of foveal.bench.agreement. Ends with 1 where
they do not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.models.detection import RetinaNet, retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2

from foveal.bench.agreement import RANDOM_R50, Found, Limits, compare
from foveal.bench.twins import calibrate, to_float
from foveal.checkpoint.format import load_checkpoint
from foveal.models.inference import InferenceModel
from foveal.runtime.predictor import load_inference
from foveal.types import Array
from foveal.verbs.convert import convert

CANVAS = (256, 320)
LEAST = 100
ENDINGS = (".jpg", ".jpeg", ".png")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    files = sorted(file for file in options.pictures.rglob("*") if file.suffix.lower() in ENDINGS)
    # From all over the folder, not the first data set alone.
    files = files[:: max(1, len(files) // options.count)][: options.count]
    pictures = [load(file) for file in files]
    different = sum(
        run(name, build, pictures)
        for name, build in (("v1", retinanet_resnet50_fpn), ("v2", retinanet_resnet50_fpn_v2))
    )
    return 1 if different else 0


def load(file: Path) -> Array:
    return np.asarray(Image.open(file).convert("RGB").resize((CANVAS[1], CANVAS[0]))).copy()


@torch.no_grad()
def run(name: str, build: type[RetinaNet], pictures: list[Array]) -> int:
    """Prints one line; how many detections differ."""
    torch.manual_seed(0)
    theirs = build(
        weights=None, weights_backbone=None, num_classes=91, min_size=CANVAS[0], max_size=CANVAS[1]
    )
    calibrate(theirs, pictures[0])
    ours = converted(theirs)
    limits = Limits(theirs.score_thresh, theirs.nms_thresh, theirs.detections_per_img)
    counts, box, score, excused, different, pairs, raw = [], 0.0, 0.0, 0, 0, 0, [0.0, 0.0]
    for picture in pictures:
        image = torch.from_numpy(picture).permute(2, 0, 1)[None]
        outputs = ours.detector(image)
        pixels = theirs.transform([to_float(picture)])[0].tensors
        heads = theirs.head(list(theirs.backbone(pixels).values()))
        for i, (mine, other) in enumerate(
            ((outputs.cls_logits, heads["cls_logits"]), (outputs.bbox_deltas, heads["bbox_regression"]))
        ):
            raw[i] = max(raw[i], float((torch.cat(mine, dim=1) - other).abs().max()))
        found, other = ours.postprocess(outputs, CANVAS), theirs([to_float(picture)])[0]
        n = int(found.count[0])
        mine = Found(found.boxes[0, :n], found.scores[0, :n], found.labels[0, :n])
        agreement = compare(mine, Found(other["boxes"], other["scores"], other["labels"]), RANDOM_R50, limits)
        counts.append(len(other["scores"]))
        box, score = max(box, agreement.box), max(score, agreement.score)
        excused, different = excused + agreement.excused, different + agreement.different
        pairs += agreement.pairs
    assert min(counts) >= LEAST, f"a picture with {min(counts)} detections proves little"
    print(
        f"torchvision {name}: {len(pictures)} pictures, {sum(counts)} detections, {min(counts)} or more each; "
        f"logits {raw[0]:.1e}, deltas {raw[1]:.1e}; {pairs} pairs, box {box:.1e} of its side, score {score:.1e}; "
        f"{excused} excused, {different} different",
        flush=True,
    )
    return different


def converted(theirs: RetinaNet) -> InferenceModel:
    """Through the files, as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "theirs.pth", Path(folder) / "ours.safetensors"
        torch.save(theirs.state_dict(), source)
        convert(source, output, image_size=CANVAS, keep_unnamed=True)
        return load_inference(load_checkpoint(output), output)


if __name__ == "__main__":
    sys.exit(main())
