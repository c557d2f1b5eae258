"""``POST /v1/detect`` and ``GET /v1/model``: pictures in, detections out."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from foveal.runtime.detections import Detections
from foveal.serve.answers import DETECT_BODY, DetectAnswer, ModelAnswer, problems
from foveal.serve.bodies import Upload, read_pictures, received
from foveal.serve.gate import Gate
from foveal.serve.metrics import Metrics
from foveal.serve.refusal import Refusal
from foveal.serve.served import ServedModel
from foveal.serve.settings import Limits, ModelFacts
from foveal.serve.wanted import while_wanted


def v1_routes(
    served: ServedModel, facts: ModelFacts, gate: Gate, limits: Limits, metrics: Metrics
) -> APIRouter:
    """The routes of Foveal's own protocol."""
    router = APIRouter(prefix="/v1", tags=["pictures"])

    @router.get("/model", response_model=ModelAnswer, summary="The model's classes, thresholds and origin")
    async def model() -> JSONResponse:
        return JSONResponse(model_answer(facts))

    @router.post(
        "/detect",
        response_model=DetectAnswer,
        responses=problems(400, 408, 413, 415, 422, 503, 504),
        openapi_extra={"requestBody": DETECT_BODY},
        summary="Detect on one picture or several",
        description=(
            "Send pictures as multipart/form-data in the field `file`, once or repeated, or one picture as the "
            "whole body. JPEG, PNG, WEBP, BMP, TIFF. One picture that cannot be used is an error with its status; "
            "of several, each says its own in `error`. `all=true` gives every detection over the model's own "
            "score_thresh."
        ),
    )
    async def detect(request: Request, all: bool = False) -> JSONResponse:
        async with received(request, gate, limits) as chunks, aclosing(chunks):
            uploads = await read_pictures(request, chunks, limits.queue)
            with gate.admit(len(uploads)):
                work = _each(served, uploads, all, metrics)
                found = await while_wanted(request, work, limits.answer_seconds)
        if len(found) == 1 and isinstance(found[0], Refusal):
            raise found[0]
        pictures = [_picture(upload.name, one) for upload, one in zip(uploads, found, strict=True)]
        return JSONResponse({"model": facts.name, "pictures": pictures})

    return router


def model_answer(facts: ModelFacts) -> dict[str, Any]:
    """``ModelAnswer`` as plain values."""
    canvas = {"height": facts.canvas[0], "width": facts.canvas[1]}
    return {
        "name": facts.name,
        "classes": list(facts.classes),
        "ids": list(facts.ids),
        "thresholds": facts.thresholds,
        "score_thresh": facts.score_thresh,
        "canvas": canvas,
        "version": facts.version,
        "licence": facts.licence,
        "sha256": facts.sha256,
        "backend": facts.backend,
        "precision": facts.precision,
    }


async def _each(
    served: ServedModel, uploads: list[Upload], everything: bool, metrics: Metrics
) -> list[Detections | Refusal]:
    """Every picture's detections, or why there are none."""

    async def one(upload: Upload) -> Detections | Refusal:
        try:
            found = await served.detect(upload, everything)
        except Refusal as refusal:
            metrics.picture("refused")
            return refusal
        metrics.picture("detected")
        return found

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(upload)) for upload in uploads]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _picture(name: str, found: Detections | Refusal) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"name": name, "width": 0, "height": 0, "detections": [], "error": found.message}
    return {"name": name, "width": found.width, **found.to_dict(), "error": None}
