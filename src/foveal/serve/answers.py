"""The forms of answers, for the OpenAPI document, and examples of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Answer):
    """What went wrong, in one line."""

    error: str = Field(examples=["cat.txt: not a picture that can be read (JPEG, PNG, WEBP, BMP, TIFF)"])


class FoundObject(_Answer):
    """One detection."""

    box: tuple[float, float, float, float] = Field(
        description="x1, y1, x2, y2 in the picture's own pixels", examples=[[12.5, 30.0, 80.25, 96.0]]
    )
    score: float = Field(ge=0, le=1, examples=[0.93])
    label: int = Field(ge=0, description="place of the class in the model's list", examples=[0])
    name: str = Field(description="the class", examples=["cat"])


class PictureAnswer(_Answer):
    """What was found in one picture."""

    name: str = Field(description="as it was sent", examples=["street.jpg"])
    width: int = Field(ge=0, description="of the upright picture, in pixels", examples=[640])
    height: int = Field(ge=0, examples=[480])
    detections: list[FoundObject] = Field(description="best first")
    error: str | None = Field(
        description="why there are none, where the picture cannot be used", examples=[None]
    )


class DetectAnswer(_Answer):
    """Pictures in the order in which they were sent."""

    model: str = Field(examples=["bccd"])
    pictures: list[PictureAnswer]


class Canvas(_Answer):
    """What the network sees, in pixels."""

    height: int = Field(examples=[320])
    width: int = Field(examples=[416])


class ModelAnswer(_Answer):
    """The model that is served."""

    name: str = Field(examples=["bccd"])
    classes: list[str] = Field(examples=[["Platelets", "RBC", "WBC"]])
    ids: list[int] = Field(
        description="of the classes in the label file, as COCO results need them", examples=[[1, 2, 3]]
    )
    thresholds: dict[str, float] = Field(
        description="score by class name over which a detection is given", examples=[{"RBC": 0.4}]
    )
    score_thresh: float = Field(description="the model's own: nothing is scored lower", examples=[0.05])
    canvas: Canvas
    version: str = Field(description="the Foveal that wrote the file", examples=["0.6.0"])
    licence: str | None = Field(examples=[None])
    sha256: str = Field(description="of the file", examples=["9f86d081884c7d65..."])
    backend: str = Field(examples=["onnxruntime"])
    precision: str = Field(examples=["fp32"])


class HealthAnswer(_Answer):
    """The server's state."""

    status: str = Field(examples=["ready"])


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries of OpenAPI's ``responses`` for statuses that come with one line."""
    return {status: {"model": Problem, "description": WHY[status]} for status in statuses}


def shown(answer: Any) -> dict[int | str, dict[str, Any]]:
    """Entry of OpenAPI's ``responses`` for an answer whose form the protocol itself describes: an example."""
    return {200: {"content": {"application/json": {"example": answer}}}}


WHY = {
    400: "the request cannot be understood; the line says what was expected",
    404: "no such address or model",
    408: "the body did not come in time",
    413: "too many bytes, pixels or pictures",
    415: "of no format that is taken",
    421: "a name that is not this server's, asked for on this machine; see --allow-host",
    422: "a damaged picture, or a parameter with a value that cannot be",
    500: "a bug of Foveal's",
    503: "no room; Retry-After says when to come again",
    504: "no answer in time",
}

PICTURE = {"type": "string", "format": "binary"}
DETECT_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "array", "minItems": 1, "items": PICTURE}},
            },
            "encoding": {"file": {"contentType": "image/*"}},
        },
        "image/jpeg": {"schema": PICTURE},
        "image/png": {"schema": PICTURE},
        "image/webp": {"schema": PICTURE},
        "image/bmp": {"schema": PICTURE},
        "image/tiff": {"schema": PICTURE},
        "application/octet-stream": {"schema": PICTURE},
    },
}

INFER_ANSWER = {
    "model_name": "bccd",
    "model_version": "1",
    "outputs": [
        {"name": "boxes", "datatype": "FP32", "shape": [1, 1, 4], "data": [12.5, 30.0, 80.25, 96.0]},
        {"name": "scores", "datatype": "FP32", "shape": [1, 1], "data": [0.93]},
        {"name": "labels", "datatype": "INT64", "shape": [1, 1], "data": [1]},
        {"name": "count", "datatype": "INT64", "shape": [1], "data": [1]},
    ],
}
SIDE = {"type": "integer", "minimum": 32, "multipleOf": 32}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"const": "images"},
        "datatype": {"const": "UINT8"},
        "shape": {
            "description": "B, 3, H, W",
            "type": "array",
            "minItems": 4,
            "maxItems": 4,
            "prefixItems": [{"type": "integer", "minimum": 1}, {"const": 3}, SIDE, SIDE],
        },
        "data": {"description": "0..255, nested as the shape is, or flat", "type": "array"},
        "parameters": {
            "type": "object",
            "properties": {"binary_data_size": {"type": "integer", "minimum": 0}},
        },
    },
}
INFER_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "id": {"type": "string"},
                    "parameters": {
                        "type": "object",
                        "properties": {"binary_data_output": {"type": "boolean"}},
                    },
                    "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": TENSOR},
                    "outputs": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "name": {"enum": ["boxes", "scores", "labels", "count"]},
                                "parameters": {
                                    "type": "object",
                                    "properties": {"binary_data": {"type": "boolean"}},
                                },
                            },
                        },
                    },
                },
            },
            "example": {
                "inputs": [
                    {"name": "images", "datatype": "UINT8", "shape": [1, 3, 32, 32], "data": [114] * 3072}
                ]
            },
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
