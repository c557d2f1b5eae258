"""Every setting, with its default, its meaning and the values it takes (``foveal config schema``)."""

from __future__ import annotations

import json
from typing import Self

from pydantic import Field, model_validator

from foveal.config.architecture_settings import (
    Architecture,
    Backbone,
    BackboneParams,
    CentreCoder,
    CornerCoder,
    Head,
    HeadParams,
    Neck,
    NeckParams,
    NormType,
    Pixels,
)
from foveal.config.data_settings import (
    Augment,
    CocoSource,
    CsvSource,
    Data,
    FileSource,
    ShapesSource,
    Source,
    Tiles,
    VocSource,
    YoloSource,
)
from foveal.config.loss_settings import (
    AtssAssigner,
    BoxLoss,
    CrossEntropy,
    FocalLoss,
    IouAssigner,
    Losses,
    OhemMining,
    QualityFocalLoss,
    SsdMining,
)
from foveal.config.model_settings import Model, Postprocessor, PostprocessorParams, PresetName
from foveal.config.section import Section, fail
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
    "CentreCoder",
    "CocoSource",
    "Config",
    "CornerCoder",
    "CrossEntropy",
    "CsvSource",
    "Data",
    "Ema",
    "Export",
    "FileSource",
    "FocalLoss",
    "Head",
    "HeadParams",
    "IouAssigner",
    "Losses",
    "Model",
    "Neck",
    "NeckParams",
    "NormType",
    "OhemMining",
    "Pixels",
    "Postprocessor",
    "PostprocessorParams",
    "PresetName",
    "QualityFocalLoss",
    "Schedule",
    "Section",
    "Sgd",
    "ShapesSource",
    "Source",
    "SsdMining",
    "Tiles",
    "Training",
    "VocSource",
    "YoloSource",
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

    @model_validator(mode="after")
    def _early_stopping_can_act(self) -> Self:
        if self.training.early_stopping is not None and self.data is not None and self.data.val is None:
            raise fail(
                "training.early_stopping", "goes by the AP on data.val, and there is none; add it, or null"
            )
        return self


def json_schema() -> str:
    """JSON Schema of the configuration file; editors complete and check YAML from it."""
    body = {"$schema": DIALECT, **Config.model_json_schema(), "title": "Foveal configuration"}
    return json.dumps(body, indent=2, ensure_ascii=False)
