"""The application: what answers which address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from foveal.runtime.predictor import Predictor
from foveal.serve.answers import HealthAnswer, problems
from foveal.serve.edge import NUMBER, Edge, bug_line
from foveal.serve.gate import Gate
from foveal.serve.metrics import Metrics
from foveal.serve.page import add_page
from foveal.serve.refusal import Refusal
from foveal.serve.served import ServedModel
from foveal.serve.settings import Limits, ModelFacts
from foveal.serve.v1 import v1_routes
from foveal.serve.v2 import v2_routes
from foveal.version import __version__

DESCRIPTION = (
    "A RetinaNet that Foveal trained: pictures in, boxes, names and scores out. Every error is one line."
)


class Application(Edge):
    """An ASGI application with the model it serves."""

    def __init__(
        self,
        predictor: Predictor,
        facts: ModelFacts,
        limits: Limits | None = None,
        origins: tuple[str, ...] = (),
        log: bool = False,
        known_host: Callable[[str], bool] = lambda host: True,
    ) -> None:
        """origins: of pages that may ask from elsewhere (CORS). log: a line on stderr for every request.

        known_host: whether a ``Host`` header is answered to.
        """
        self.failure: Exception | None = None
        """Why it did not start."""
        limits = limits or Limits()
        metrics = Metrics()
        self.gate = Gate(limits)
        self.served = ServedModel(predictor, limits, metrics)
        metrics.watch(
            "foveal_pictures_in_work", "Decoded, waiting, or in the network.", lambda: self.gate.pictures
        )
        metrics.watch(
            "foveal_pictures_waiting",
            "Decoded, waiting for the network.",
            lambda: self.served.batcher.waiting,
        )
        metrics.watch("foveal_body_bytes", "Of requests that are held.", lambda: self.gate.bytes)
        metrics.watch("foveal_decoders", "Decoding processes alive.", lambda: self.served.pool.alive)
        self.api = self._api(facts, limits, metrics)
        if origins:
            self.api.add_middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
            )
        super().__init__(self.api, limits, metrics, log, known_host)

    def _api(self, facts: ModelFacts, limits: Limits, metrics: Metrics) -> FastAPI:
        # The usual pages of FastAPI load their scripts from elsewhere: they are off.
        api = FastAPI(
            title=f"Foveal: {facts.name}", version=__version__, description=DESCRIPTION, lifespan=self._life,
            docs_url=None, redoc_url=None, responses=problems(421, 500), redirect_slashes=False,
            telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
        )  # fmt: skip
        add_health(api, self.served, metrics)
        api.include_router(v1_routes(self.served, facts, self.gate, limits, metrics))
        api.include_router(v2_routes(self.served, facts.name, self.gate, limits))
        add_page(api)
        add_error_lines(api, metrics)
        return api

    @asynccontextmanager
    async def _life(self, api: FastAPI) -> AsyncIterator[None]:
        try:
            await self.served.start()
            yield
        except Exception as error:
            self.failure = error
            raise
        finally:
            await self.served.stop()


def add_health(api: FastAPI, served: ServedModel, metrics: Metrics) -> None:
    """Whether the server lives, whether it takes pictures, and what it counted."""

    @api.get(
        "/health/live", response_model=HealthAnswer, tags=["health"], summary="Whether the process answers"
    )
    async def live() -> JSONResponse:
        return JSONResponse({"status": "live"})

    @api.get(
        "/health/ready", response_model=HealthAnswer, responses=problems(503), tags=["health"],
        summary="Whether pictures are taken",
    )  # fmt: skip
    async def ready() -> JSONResponse:
        if not served.ready:
            raise Refusal(503, "not ready: the model is being loaded, or the server stops")
        if not served.pool.alive:
            raise Refusal(503, "not ready: no decoding process is alive; others are being started")
        return JSONResponse({"status": "ready"})

    @api.get("/metrics", tags=["health"], response_class=Response, summary="Figures for Prometheus", responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "text format 0.0.4"}
    })  # fmt: skip
    async def figures() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")


def add_error_lines(api: FastAPI, metrics: Metrics) -> None:
    """Every error as ``{"error": one line}``."""

    @api.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> Response:
        metrics.refused(error.reason)
        return _line(error.status, error.message, error.headers)

    @api.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        return _line(500, bug_line(error, request.scope[NUMBER]))

    @api.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = first["loc"][-1]
        return _line(422, f"{place}: {first['msg'].lower()}, not {str(first.get('input'))[:50]!r}")

    @api.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        line = str(error.detail)
        if error.status_code == 404:
            line = f"no such address: {request.url.path[:200]}"
        elif error.status_code == 405:
            able = (error.headers or {}).get("Allow", "another method")
            line = f"{request.method[:20]} is not for {request.url.path[:200]}; use {able}"
        return _line(error.status_code, line, dict(error.headers or {}))


def _line(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)
