"""Section ``data``: where pictures and labels come from, and how they reach the network."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from foveal.config.section import Positive, Section, Share, fail

Side = Annotated[int, Field(ge=32, le=16384)]
ClassId = Annotated[int, Field(ge=0)]
Corners = Literal["one_based", "raw"]
FlagRule = Literal["keep", "ignore", "drop"]
FLAGGED = "keep: as any box; ignore: a region that training and evaluation leave alone; drop: as if not there"
CORNERS = "one_based: xmin - 1, ymin - 1, xmax, ymax; raw: the file's own numbers"
COLUMNS = (
    "file", "class", "x1", "y1", "x2", "y2", "x", "y", "w", "h", "cx", "cy", "picture_width", "picture_height",
    "difficult", "truncated", "occluded", "crowd", "split",
)  # fmt: skip


class CocoSource(Section):
    """COCO JSON."""

    format: Literal["coco"]
    annotations: str = Field(description="the JSON file")
    images: str | None = Field(None, description="folder of the pictures; default: the JSON file's folder")
    crowd: FlagRule = Field("ignore", description=f"boxes with iscrowd or ignore. {FLAGGED}")


class VocSource(Section):
    """Pascal VOC XML, one file a picture."""

    format: Literal["voc"]
    annotations: str = Field(description="folder of the XML files")
    images: str | None = Field(None, description="folder of the pictures; default: the annotations' folder")
    split: str | None = Field(None, description="text file with one stem a line; default: every picture")
    voc_corners: Corners = Field("one_based", description=CORNERS)
    difficult: FlagRule = Field("ignore", description=f"objects marked so. {FLAGGED}")
    truncated: FlagRule = Field("keep", description="objects marked so, as difficult")
    occluded: FlagRule = Field("keep", description="objects marked so, as difficult")


class YoloSource(Section):
    """YOLO txt, one file a picture: class, centre, width and height as shares of the picture."""

    format: Literal["yolo"]
    annotations: str = Field(description="the data.yaml, or a folder of label files")
    part: Literal["train", "val", "test"] | None = Field(
        None,
        description="which part of the data.yaml; needed where it has several and neither split nor images is set",
    )
    images: str | None = Field(
        None, description="folder of the pictures; default: the part's, or the one beside the label files"
    )
    split: str | None = Field(None, description="text file with one picture a line; default: every picture")
    names: list[str] | dict[ClassId, str] | None = Field(
        None,
        min_length=1,
        description="class names in order of their ids, from 0, or id: name; default: those of the data.yaml",
    )

    def class_names(self) -> dict[int, str] | None:
        """Class id -> name, in order of id; None: the labels' own."""
        if self.names is None:
            return None
        pairs = self.names.items() if isinstance(self.names, dict) else enumerate(self.names)
        return {class_id: " ".join(name.split()) or f"class {class_id}" for class_id, name in sorted(pairs)}


class CsvSource(Section):
    """One CSV file for many pictures, one box a row."""

    format: Literal["csv"]
    annotations: str = Field(description="the CSV file")
    images: str | None = Field(None, description="folder of the pictures; default: the CSV file's folder")
    split: str | None = Field(None, description="text file with one picture a line; default: all in the file")
    part: str | None = Field(None, description="value of the split column to read; default: every row")
    columns: dict[str, str | int] | None = Field(
        None,
        description="column of each role: its name in the header, or its number from 1; default: told by looking",
        json_schema_extra={"propertyNames": {"enum": list(COLUMNS)}},
    )
    corners: Corners = Field("raw", description=CORNERS)
    units: Literal["auto", "pixels", "relative"] = Field(
        "auto", description="relative: shares of the picture; auto: so where the numbers do not pass 1"
    )
    difficult: FlagRule = Field("ignore", description=f"rows marked so. {FLAGGED}")
    truncated: FlagRule = Field("keep", description="rows marked so, as difficult")
    occluded: FlagRule = Field("keep", description="rows marked so, as difficult")
    crowd: FlagRule = Field("ignore", description="rows marked as crowd or group, as difficult")

    @model_validator(mode="after")
    def _columns_are_known(self) -> Self:
        unknown = [role for role in self.columns or () if role not in COLUMNS]
        if unknown:
            raise fail("columns", f"no such column {unknown[0]!r}; known are {', '.join(COLUMNS)}")
        return self


class ShapesSource(Section):
    """Generated pictures: no files needed."""

    format: Literal["shapes"]
    pictures: int = Field(256, gt=0)
    classes: int = Field(3, gt=0, description="number of classes: combinations of shape and colour family")
    size: int = Field(160, ge=32, description="side of the square pictures, in pixels")
    seed: int = 0
    empty_share: Share = Field(0.1, description="share of pictures without any object")


FileSource = CocoSource | VocSource | YoloSource | CsvSource
"""Labels that are files."""
Source = Annotated[FileSource | ShapesSource, Field(discriminator="format")]


class Augment(Section):
    """Box-aware augmentation of the training pictures; everything off gives the pictures as they are."""

    horizontal_flip: Share = Field(0.5, description="probability")
    vertical_flip: Share = Field(0.0, description="probability")
    rotate_90: Share = Field(0.0, description="probability of a turn by a quarter (either way)")
    scale_jitter: tuple[Positive, Positive] | None = Field(
        None, description="range of the random zoom, e.g. [0.5, 1.5]"
    )
    crop: Share = Field(0.0, description="probability of a random crop that keeps a box's overlap")
    colour: Share = Field(0.0, description="strength of brightness, contrast, saturation and hue jitter")
    mosaic: Share = Field(0.0, description="probability of joining four pictures into one")
    multi_scale: list[Positive] | None = Field(
        None, description="factors on image_size, one drawn per batch, e.g. [0.75, 1.0, 1.25]"
    )
    min_visible: Share = Field(0.25, description="a box that keeps less of its area than this is dropped")

    @model_validator(mode="after")
    def _range_in_order(self) -> Self:
        if self.scale_jitter and self.scale_jitter[0] > self.scale_jitter[1]:
            raise fail("scale_jitter", f"{list(self.scale_jitter)} is upside down; write [smallest, largest]")
        return self


class Tiles(Section):
    """Large pictures are cut into overlapping tiles, each of which fills the canvas."""

    size: Side | tuple[Side, Side] = Field(
        description="side of a tile, or its [height, width], in the pictures' own pixels"
    )
    overlap: float = Field(
        0.2,
        ge=0,
        le=0.9,
        description="share of a tile that its neighbour shows, too; an object should fit in it",
    )
    min_visible: Share = Field(
        0.3, description="a box of which a tile shows less is a region that the tile ignores in training"
    )
    keep_empty: Share = Field(0.2, description="share of the tiles without any object that are trained on")


class Data(Section):
    """Where pictures and labels come from, and how they reach the network."""

    root: str | None = Field(
        None,
        description="folder that relative paths of train and val start from; default: the config file's folder",
    )
    train: Source = Field(description="what is trained on")
    val: Source | None = Field(None, description="what the AP is measured on while training")
    test: Source | None = Field(
        None, description="kept for foveal evaluate --part test; training does not look at it"
    )
    classes: list[str] | None = Field(
        None, min_length=1, description="class names in model order; default: those of the training labels"
    )
    image_size: tuple[Side, Side] = Field(
        (512, 512),
        description="[height, width] of the canvas for the letterbox; rounded up to multiples of 32",
    )
    tiles: Tiles | None = Field(
        None,
        description="cut large pictures into tiles, here and in prediction; null: pictures are seen whole",
    )
    augment: Augment = Field(Augment(), description="random changes of the training pictures")
    class_aware_sampling: bool = Field(False, description="draw pictures of rare classes more often")
    workers: int = Field(2, ge=0, description="loader processes")
    strict: bool = Field(False, description="any unreadable picture is an error instead of being counted")

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        names = self.classes or []
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise fail(
                "classes",
                f"names {', '.join(map(repr, twice))} more than once; every class needs its own name",
            )
        return self
