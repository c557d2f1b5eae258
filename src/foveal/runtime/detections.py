"""What was found in one picture: boxes, scores, classes, and the ways to look at them and hand them on."""

from __future__ import annotations

import html
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foveal.runtime.draw import Picture, as_picture, draw_on
from foveal.runtime.palette import class_colour

if TYPE_CHECKING:
    import pandas
    import supervision

SHOWN_SIDE = 1600
"""Longer side of the picture that a notebook shows: a page holds all that it shows, and screens are no larger."""
_SHOWN = 20
"""Detections that the text and the table in a notebook list before they say how many more there are."""


class Detection(NamedTuple):
    """One detection."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the original picture."""
    score: float
    label: int
    name: str


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """Detections of one picture, best first, in the pixels of the original picture as a person sees it.

    ``len``, iteration and ``d[3]`` give single ``Detection``s; a slice, a mask or a list of places gives
    ``Detections``. ValueError where the columns differ in length.
    """

    boxes: Tensor
    """[D, 4] float32 xyxy."""
    scores: Tensor
    """[D] float32."""
    labels: Tensor
    """[D] int64 class indices."""
    names: tuple[str, ...]
    """D class names, one per detection."""
    height: int
    width: int
    picture: Picture | None = None
    """The picture itself, where it was kept."""

    def __post_init__(self) -> None:
        lengths = (len(self.boxes), len(self.scores), len(self.labels), len(self.names))
        if len(set(lengths)) != 1 or self.boxes.shape[1:] != (4,):
            shape = list(self.boxes.shape)
            raise ValueError(f"boxes {shape}, {lengths[1]} scores, {lengths[2]} labels, {lengths[3]} names")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Detection]:
        columns = (self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), self.names)
        for box, score, label, name in zip(*columns, strict=True):
            yield Detection((box[0], box[1], box[2], box[3]), score, label, name)

    @overload
    def __getitem__(self, key: int) -> Detection: ...

    @overload
    def __getitem__(
        self, key: slice | Sequence[int] | Sequence[bool] | Tensor | np.ndarray
    ) -> Detections: ...

    def __getitem__(self, key: Any) -> Detection | Detections:
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            place = range(len(self))[int(key)]
            return next(iter(self[place : place + 1]))
        places = torch.arange(len(self))[_as_index(key)]
        return Detections(
            self.boxes[places],
            self.scores[places],
            self.labels[places],
            tuple(self.names[place] for place in places.tolist()),
            self.height,
            self.width,
            self.picture,
        )

    def above(self, threshold: float | Mapping[str, float], default: float = 0.0) -> Detections:
        """Detections whose score is above the threshold: one number, or one per class name.

        default: threshold of the names that a mapping does not hold.
        """
        if isinstance(threshold, Mapping):
            limits = torch.tensor([threshold.get(name, default) for name in self.names], dtype=torch.float64)
        else:
            limits = torch.full((len(self),), float(threshold), dtype=torch.float64)
        return self[self.scores.cpu() > limits.to(self.scores.dtype)]

    def draw(self, picture: Picture | None = None) -> Image.Image:
        """The picture with the boxes on it; a class has the same colour in every picture.

        picture: where it is not the one that was kept. ValueError where there is none, or of another size.
        """
        picture = self.picture if picture is None else picture
        if picture is None:
            raise ValueError("these detections came without their picture: draw(picture)")
        canvas = as_picture(picture)
        if canvas.size != (self.width, self.height):
            sizes = f"{canvas.width} x {canvas.height} pixels, not {self.width} x {self.height}"
            raise ValueError(f"this is another picture: it is {sizes}")
        return self.draw_on(canvas)

    def draw_on(self, canvas: Image.Image) -> Image.Image:
        """Draw on an RGB picture itself, which shows the same in any size; the picture."""
        colours = [class_colour(label) for label in self.labels.tolist()]
        factors = torch.tensor([canvas.width / self.width, canvas.height / self.height] * 2)
        draw_on(canvas, self.boxes.cpu() * factors, self.names, self.scores, colours)
        return canvas

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON; boxes are xyxy."""
        rows = [{"box": list(d.box), "score": d.score, "label": d.label, "name": d.name} for d in self]
        return {"height": self.height, "width": self.width, "detections": rows}

    def to_coco(self, image_id: int | str, class_ids: Sequence[int]) -> list[dict[str, Any]]:
        """COCO results: boxes are x, y, width, height; class_ids[label] is the id in the data set's files."""
        boxes = self.boxes.cpu().to(torch.float64)
        xywh = torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], dim=1).tolist()
        columns = zip(xywh, self.scores.tolist(), self.labels.tolist(), strict=True)
        return [
            {"image_id": image_id, "category_id": class_ids[label], "bbox": box, "score": score}
            for box, score, label in columns
        ]

    def to_supervision(self) -> supervision.Detections:
        """The same as ``supervision.Detections``. ImportError where supervision is not installed."""
        try:
            import supervision
        except ImportError:
            raise ImportError("to_supervision() needs supervision: pip install supervision") from None
        return supervision.Detections(
            xyxy=self.boxes.cpu().numpy(),
            confidence=self.scores.cpu().numpy(),
            class_id=self.labels.cpu().numpy(),
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def to_pandas(self) -> pandas.DataFrame:
        """A table with name, score, x1, y1, x2, y2, label. ImportError where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from None
        rows = [(d.name, d.score, *d.box, d.label) for d in self]
        return pandas.DataFrame(rows, columns=["name", "score", "x1", "y1", "x2", "y2", "label"])

    def __repr__(self) -> str:
        lines = [f"Detections: {self._summary()} in {self.width} x {self.height} pixels"]
        column = max((len(name) for name in self.names[:_SHOWN]), default=0)
        for detection in self[:_SHOWN]:
            box = "  ".join(f"{side:7.1f}" for side in detection.box)
            lines.append(f"  {detection.name:<{column}}  {detection.score:.3f}  {box}")
        if len(self) > _SHOWN:
            lines.append(f"  and {len(self) - _SHOWN} more")
        return "\n".join(lines)

    def _repr_png_(self) -> bytes | None:
        """A notebook shows the picture where there is one, and else the table below."""
        if self.picture is None:
            return None
        picture = as_picture(self.picture)
        picture.thumbnail((SHOWN_SIDE, SHOWN_SIDE))  # drawn on after shrinking, so that names can be read
        file = io.BytesIO()
        self.draw_on(picture).save(file, "PNG")
        return file.getvalue()

    def _repr_html_(self) -> str | None:
        if self.picture is not None:
            return None
        titles = "".join(f"<th>{title}</th>" for title in ("name", "score", "x1", "y1", "x2", "y2"))
        rows = [
            f"<tr><td>{html.escape(d.name)}</td><td>{d.score:.3f}</td>"
            + "".join(f"<td>{side:.1f}</td>" for side in d.box)
            + "</tr>"
            for d in self[:_SHOWN]
        ]
        more = f"<p>and {len(self) - _SHOWN} more</p>" if len(self) > _SHOWN else ""
        table = f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        return f"<p>{html.escape(self._summary())}</p>{table}{more}"

    def _summary(self) -> str:
        if not len(self):
            return "nothing"
        return ", ".join(f"{count} {name}" for name, count in Counter(self.names).most_common())


def _as_index(key: Any) -> slice | Tensor:
    """A slice, or a tensor of places or of truth values."""
    if isinstance(key, slice):
        return key
    index = torch.as_tensor(key).cpu()
    return index if index.dtype == torch.bool else index.to(torch.int64)
