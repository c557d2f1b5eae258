"""Every setting, with its default, its meaning and the values it takes (``foveal config schema``)."""

from __future__ import annotations

import json

from pydantic import Field

from foveal.config.data_settings import (
    Augment,
    CocoSource,
    Data,
    ShapesSource,
    Source,
    VocSource,
)
from foveal.config.model_settings import (
    Architecture,
    AtssAssigner,
    Backbone,
    BackboneParams,
    BoxLoss,
    FocalLoss,
    Head,
    HeadParams,
    IouAssigner,
    Losses,
    Model,
    Neck,
    NeckParams,
    NormType,
    Postprocessor,
    PostprocessorParams,
    QualityFocalLoss,
)
from foveal.config.section import Section
from foveal.config.training_settings import (
    AdamW,
    Ema,
    Schedule,
    Sgd,
    Training,
)

__all__ = [
    "AdamW",
    "Architecture",
    "AtssAssigner",
    "Augment",
    "Backbone",
    "BackboneParams",
    "BoxLoss",
    "CocoSource",
    "Config",
    "Data",
    "Ema",
    "Export",
    "FocalLoss",
    "Head",
    "HeadParams",
    "IouAssigner",
    "Losses",
    "Model",
    "Neck",
    "NeckParams",
    "NormType",
    "Postprocessor",
    "PostprocessorParams",
    "QualityFocalLoss",
    "Schedule",
    "Section",
    "Sgd",
    "ShapesSource",
    "Source",
    "Training",
    "VocSource",
    "json_schema",
]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Export(Section):
    """Settings of foveal export."""


class Config(Section):
    """One file: data, model, training, export."""

    data: Data | None = Field(
        None, description="pictures and labels; a file that only describes a model has none"
    )
    model: Model = Model()
    training: Training = Training()
    export: Export = Export()


def json_schema() -> str:
    """JSON Schema of the configuration file; editors complete and check YAML from it."""
    body = {"$schema": DIALECT, **Config.model_json_schema(), "title": "Foveal configuration"}
    return json.dumps(body, indent=2, ensure_ascii=False)
