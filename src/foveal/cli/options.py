"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

AnyModel = Annotated[Path, typer.Argument(help="best.safetensors of a run, or what was exported from it")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key.sub=value, any number")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps")]
Backend = Annotated[str, typer.Option(help="torch, onnxruntime, openvino; default: the file's own")]
Precision = Annotated[str, typer.Option(help="fp32, bf16 (torch, openvino) or int8 (openvino)")]
Calibration = Annotated[
    Path | None, typer.Option(help="for int8: pictures like those to come; default: the training set")
]
Tile = Annotated[
    str | None,
    typer.Option(help="side of tiles in picture pixels, HEIGHTxWIDTH, or none; default: as in training"),
]
Overlap = Annotated[
    float | None, typer.Option(help="share that neighbouring tiles have in common; default: as in training")
]
ScoreThresh = Annotated[float | None, typer.Option(min=0, max=1, help="one threshold for all classes")]
Part = Annotated[
    Literal["train", "val", "test"] | None,
    typer.Option(help="part of that data; default: val, else what there is"),
]
LabelledSet = Annotated[
    Path | None, typer.Option(help="config, folder or label file; default: the run's own val")
]
