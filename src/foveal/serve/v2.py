"""The Open Inference Protocol v2 over HTTP: health, metadata, inference; JSON and the binary tensor extension."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import numpy as np
from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from foveal.serve.answers import INFER_ANSWER, INFER_BODY, WHY, problems, shown
from foveal.serve.bodies import read_bytes, received
from foveal.serve.gate import Gate
from foveal.serve.refusal import Refusal
from foveal.serve.served import ServedModel, TensorAnswer
from foveal.serve.settings import Limits
from foveal.serve.v2_request import INPUT, OUTPUTS
from foveal.serve.wanted import while_wanted
from foveal.version import __version__

VERSION = "1"
ONE = "/models/{model}"
VERSIONED = ONE + "/versions/{version}"
HEADER_LENGTH = "Inference-Header-Content-Length"
SHAPES = {"boxes": [-1, -1, 4], "scores": [-1, -1], "labels": [-1, -1], "count": [-1]}
DTYPES = {"FP32": np.float32, "INT64": np.int64}


def v2_routes(served: ServedModel, name: str, gate: Gate, limits: Limits) -> APIRouter:
    """The routes of the protocol, for one model of version 1."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol v2"])
    # Of the protocol's own form, and not a line of error.
    not_yet: dict[int | str, dict[str, Any]] = {503: {"description": WHY[503]}}
    described = problems(404) | shown(model_metadata(name))
    place = {"model": name, "version": VERSION}
    by_name, by_version = ({"parameters": path_parameters(place, last)} for last in place)

    def check(request: Request) -> None:
        model, version = (request.path_params.get(key, own) for key, own in place.items())
        if model != name:
            raise Refusal(404, f"no model {model[:80]!r} here; it is called {name!r}")
        if version != VERSION:
            raise Refusal(404, f"model {name!r} has no version {version[:20]!r}; there is version {VERSION}")

    about = {"name": "foveal", "version": __version__, "extensions": ["binary_tensor_data"]}

    @router.get("", responses=shown(about), summary="The server")
    async def server() -> JSONResponse:
        return JSONResponse(about)

    @router.get("/health/live", responses=shown({"live": True}), summary="Whether the process answers")
    async def live() -> JSONResponse:
        return JSONResponse({"live": True})

    @router.get(
        "/health/ready",
        responses=not_yet | shown({"ready": True}),
        summary="Whether pictures are taken",
    )
    async def ready() -> JSONResponse:
        return JSONResponse({"ready": served.ready}, 200 if served.ready else 503)

    @router.get(ONE, responses=described, openapi_extra=by_name, summary="The model's inputs and outputs")
    @router.get(VERSIONED, responses=described, openapi_extra=by_version, summary="The same, by version")
    async def metadata(request: Request) -> JSONResponse:
        check(request)
        return JSONResponse(model_metadata(name))

    unready = problems(404) | not_yet | shown({"name": name, "ready": True})

    @router.get(ONE + "/ready", responses=unready, openapi_extra=by_name, summary="Whether it is ready")
    @router.get(VERSIONED + "/ready", responses=unready, openapi_extra=by_version, summary="By version")
    async def model_ready(request: Request) -> JSONResponse:
        check(request)
        return JSONResponse({"name": name, "ready": served.ready}, 200 if served.ready else 503)

    description = (
        "`images`: UINT8 [B, 3, H, W], RGB pictures already on the canvas, H and W multiples of 32. Outputs: "
        "`boxes` FP32 [B, D, 4] in those pixels, `scores` FP32 [B, D], `labels` INT64 [B, D], `count` INT64 [B]: "
        "places from `count` on are empty. No thresholds are applied but the model's own score_thresh."
    )
    body = {"requestBody": INFER_BODY}
    answers = problems(400, 404, 408, 413, 415, 422, 503, 504) | shown(INFER_ANSWER)

    @router.post(
        ONE + "/infer",
        responses=answers,
        openapi_extra=by_name | body,
        description=description,
        summary="Infer",
    )
    @router.post(
        VERSIONED + "/infer",
        responses=answers,
        openapi_extra=by_version | body,
        description=description,
        summary="Infer, by version",
    )
    async def infer(
        request: Request,
        inference_header_content_length: str | None = Header(
            None, description="length of the JSON, where binary tensors follow it"
        ),
    ) -> Response:
        check(request)
        async with received(request, gate, limits) as chunks, aclosing(chunks):
            length = _length(inference_header_content_length)
            body = await read_bytes(chunks)
            with gate.admit(1):
                answer = await while_wanted(request, served.infer(body, length), limits.answer_seconds)
        return encode(name, answer)

    return router


def path_parameters(place: dict[str, str], last: str) -> list[dict[str, Any]]:
    """For OpenAPI: the parts of an address up to ``last``, each with the one value that it has here."""
    names = list(place)[: list(place).index(last) + 1]
    schemas = {name: {"type": "string", "enum": [place[name]]} for name in names}
    return [{"name": name, "in": "path", "required": True, "schema": schemas[name]} for name in names]


def model_metadata(name: str) -> dict[str, Any]:
    """What a client of the protocol asks for before it sends anything."""
    outputs = [{"name": key, "datatype": kind, "shape": SHAPES[key]} for key, kind in OUTPUTS.items()]
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "foveal",
        "inputs": [{"name": INPUT, "datatype": "UINT8", "shape": [-1, 3, -1, -1]}],
        "outputs": outputs,
    }


def encode(name: str, answer: TensorAnswer) -> Response:
    """JSON, and after it the outputs that are wanted in binary, in order."""
    described: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for key, as_bytes in answer.asked["outputs"].items():
        values = getattr(answer.found, key).numpy().astype(DTYPES[OUTPUTS[key]], copy=False)
        output: dict[str, Any] = {"name": key, "datatype": OUTPUTS[key], "shape": list(values.shape)}
        if as_bytes:
            content = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
            output["parameters"] = {"binary_data_size": len(content)}
            binary.append(content)
        else:
            output["data"] = values.reshape(-1).tolist()
        described.append(output)
    head: dict[str, Any] = {"model_name": name, "model_version": VERSION, "outputs": described}
    if answer.asked["id"]:
        head["id"] = answer.asked["id"]
    text = json.dumps(head, allow_nan=False).encode()
    if not binary:
        return Response(text, media_type="application/json")
    headers = {HEADER_LENGTH: str(len(text))}
    return Response(b"".join([text, *binary]), media_type="application/octet-stream", headers=headers)


def _length(value: str | None) -> int | None:
    if value is None:
        return None
    if not value.isdecimal() or len(value) > 10 or int(value) == 0:
        raise Refusal(400, f"{HEADER_LENGTH} is {value[:20]!r}; expected the length of the JSON in bytes")
    return int(value)
