"""Row: a JPEG file -> a picture on the network's canvas, what a loader's worker does, on one thread.

Ours gives bytes, which the model normalises a batch at a time; a picture's last case counts that in, too.
The other side decodes with Pillow as well, and does the rest in float, as everybody's training script does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import functional as transforms

from foveal.bench.case import Absent, Case, Setup
from foveal.data.decode import read_picture
from foveal.data.shapes import make_shapes
from foveal.models.detector import Detector
from foveal.ops.letterbox import apply_letterbox, canvas_size, fit_letterbox, scaled_size
from foveal.types import Letterbox

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
QUALITY, SUBSAMPLING, GRAIN = 90, "4:4:4", 8.0
"""With this grain 640 x 480 take 190 KB, 4.9 bits a pixel, coded as COCO's photos are (4.8 in the mean of 38)."""

PICTURES = 8
"""Pictures of a lap."""

Size = tuple[int, int]
Load = Callable[[], Tensor]


class Work(NamedTuple):
    """A picture's size as stored, and the size that it is to be fitted into: height and width."""

    stored: Size
    wanted: Size


WORKS = (Work((480, 640), (800, 1067)), Work((768, 1024), (800, 1067)), Work((1371, 2048), (320, 480)))
QUICK_WORKS = (Work((48, 64), (80, 107)), Work((137, 205), (32, 48)))
TARGET = 4.5


def cases(setup: Setup) -> Iterator[Case | Absent]:
    """COCO's usual picture, a larger one, and one that shrinks."""
    if setup.device != "cpu":
        yield Absent("JPEG -> network input", "the loader works on the CPU: run the row with --device cpu")
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        with TemporaryDirectory() as folder:
            for work in QUICK_WORKS if setup.quick else WORKS:
                file = write_photo(Path(folder) / "photo.jpg", work.stored)
                yield from _cases_of(file, work)
    finally:
        torch.set_num_threads(threads)


def write_photo(file: Path, size: Size, seed: int = 0) -> Path:
    """Generate a JPEG of (height, width) that costs as much to decode as a photo: shapes under film grain."""
    height, width = size
    picture = make_shapes(1, 6, max(size), seed, empty_share=0.0).load(0)[:height, :width]
    grain = np.random.default_rng(seed).normal(0, GRAIN, picture.shape)
    photo = Image.fromarray((picture + grain).clip(0, 255).astype(np.uint8))
    photo.save(file, quality=QUALITY, subsampling=SUBSAMPLING)
    return file


def _cases_of(file: Path, work: Work) -> Iterator[Case]:
    letterbox, canvas = fit_letterbox(*work.stored, work.wanted), canvas_size(*work.wanted)
    (height, width), (to_height, to_width) = work
    name = f"JPEG {width} x {height}, {file.stat().st_size / 1000:.0f} kB -> {to_width} x {to_height}"
    ours = _in_a_row(partial(on_canvas, file, letterbox, canvas))
    compare = partial(difference, letterbox)
    for baseline_name, load in _baselines(file, letterbox, canvas):
        baseline = _in_a_row(load)
        yield Case(name, baseline_name, ours, baseline, compare, TARGET, torch_memory=False)
    name += ", with the model's normalisation"
    ours = _in_a_row(partial(_normalised, file, letterbox, canvas))
    yield Case(name, baseline_name, ours, baseline, compare, None, torch_memory=False)


def _in_a_row(load: Load) -> Load:
    """As a worker does it, picture after picture; one alone would pay for the memory that the other side left."""

    def pictures() -> Tensor:
        for _ in range(PICTURES - 1):
            load()
        return load()

    return pictures


def on_canvas(file: Path, letterbox: Letterbox, canvas: Size) -> Tensor:
    """Ours: [3, H, W] uint8."""
    return apply_letterbox(torch.from_numpy(read_picture(file)).permute(2, 0, 1), letterbox, canvas)


def _normalised(file: Path, letterbox: Letterbox, canvas: Size) -> Tensor:
    """Ours, and then what the model does first: [3, H, W] float32."""
    part = nn.Identity()
    return Detector(part, part, part, (), MEAN, STD).normalise(on_canvas(file, letterbox, canvas)[None])[0]


def _baselines(file: Path, letterbox: Letterbox, canvas: Size) -> Iterator[tuple[str, Load]]:
    """torchvision's own transform where it gives the same pixels, and the float path with antialiasing."""
    size = scaled_size(letterbox)
    if letterbox.scale_x >= 1:  # torchvision's RetinaNet shrinks without antialiasing
        transform = GeneralizedRCNNTransform(min(size), max(size), [*MEAN], [*STD], fixed_size=size[::-1])
        yield "torchvision", partial(_torchvision, file, transform.eval())
    yield "PIL + float", partial(_float, file, size, canvas)


def _as_float(file: Path) -> Tensor:
    """As torchvision's reference scripts for detection: [3, H, W] float32 in 0..1."""
    picture = Image.open(file).convert("RGB")
    image: Tensor = transforms.convert_image_dtype(transforms.pil_to_tensor(picture), torch.float32)
    return image


def _torchvision(file: Path, transform: GeneralizedRCNNTransform) -> Tensor:
    """As torchvision's RetinaNet receives a picture: [3, H, W] float32."""
    image: Tensor = transform([_as_float(file)])[0].tensors[0]
    return image


def _float(file: Path, size: Size, canvas: Size) -> Tensor:
    """The same by hand, with antialiasing: [3, H, W] float32."""
    picture = transforms.normalize(_as_float(file), [*MEAN], [*STD])[None]
    scaled = F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)
    return F.pad(scaled, (0, canvas[1] - size[1], 0, canvas[0] - size[0]))[0]


def difference(letterbox: Letterbox, ours: Tensor, baseline: Tensor) -> str:
    """Largest and mean difference of the scaled pictures in levels of 0..255; the padding is left out."""
    height, width = scaled_size(letterbox)
    levels = [_levels(side[:, :height, :width]) for side in (ours, baseline)]
    if not levels[0].numel() or levels[0].shape != levels[1].shape:
        raise ValueError(f"nothing to compare: {list(levels[0].shape)} and {list(levels[1].shape)}")
    apart = (levels[0] - levels[1]).abs()
    return (
        f"{float(apart.max()):.2f} of 255 levels at most, {float(apart.mean()):.2f} in the mean: "
        f"rounding to bytes, {apart.numel():,} values"
    )


def _levels(picture: Tensor) -> Tensor:
    """[3, H, W] bytes, or normalised numbers -> levels of 0..255, float32."""
    if picture.dtype == torch.uint8:
        return picture.float()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (picture * std + mean) * 255
