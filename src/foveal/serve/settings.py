"""What a server allows: every limit in one place."""

from __future__ import annotations

from dataclasses import dataclass

from foveal.ops.tiles import Tiling


@dataclass(frozen=True)
class Limits:
    """Limits of a server; the defaults suit a laptop."""

    batch: int = 4
    """Pictures that go through the network together, at most."""
    wait_ms: float = 0.0
    """How long a picture waits for others to share its pass, in milliseconds."""
    queue: int = 32
    """Pictures that are decoded, wait or are in the network at one time; what comes then is refused with 503."""
    decoders: int = 2
    """Processes that decode pictures."""
    body_bytes: int = 20_000_000
    """Of one request."""
    buffered_bytes: int = 128_000_000
    """Of all requests together."""
    max_pixels: int = 50_000_000
    """Of one picture, by its header."""
    body_seconds: float = 15.0
    """From a request's head to the end of its body; also for the head itself, and for taking the answer."""
    answer_seconds: float = 60.0
    """From the end of a request's body to its answer; 504 after that."""
    decode_seconds: float = 10.0
    """For decoding one picture; its process is ended after that."""
    stop_seconds: float = 8.0
    """For the requests at hand once the server is told to stop."""
    connections: int = 800
    """Open at one time; the process's own limit on files lowers it."""


@dataclass(frozen=True)
class DecodingRules:
    """What the decoding processes must know."""

    canvas: tuple[int, int]
    tiling: Tiling | None
    max_pixels: int
    seconds: float
    tensor_pixels: int
    """B x H x W of a tensor that is given instead of pictures, at most."""


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str = "127.0.0.1"
    port: int = 8000


@dataclass(frozen=True)
class ModelFacts:
    """What ``GET /v1/model`` says."""

    name: str
    classes: tuple[str, ...]
    ids: tuple[int, ...]
    thresholds: dict[str, float]
    score_thresh: float
    canvas: tuple[int, int]
    version: str
    licence: str | None
    sha256: str
    backend: str
    precision: str
