"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """One registry per server: two in one process do not meet."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "foveal_requests", "Requests answered.", ["method", "path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "foveal_request_seconds",
            "Head of a request to its answer.",
            ["path"],
            buckets=SECONDS,
            registry=registry,
        )
        self._pictures = Counter(
            "foveal_pictures", "Pictures by what became of them.", ["result"], registry=registry
        )
        self._refused = Counter(
            "foveal_refused", "Requests and connections refused, by why.", ["reason"], registry=registry
        )
        self._batch = Histogram(
            "foveal_batch_pictures", "Pictures in a pass of the network.", buckets=BATCHES, registry=registry
        )
        self._passes = Histogram(
            "foveal_pass_seconds", "A pass of the network.", buckets=SECONDS, registry=registry
        )
        self._deaths = Counter(
            "foveal_decoder_deaths", "Decoding processes that ended and were replaced.", registry=registry
        )

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure that is looked up when somebody asks."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """A request. path: of the route, not of the request, which could be anything."""
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def picture(self, result: str) -> None:
        """A picture: ``detected`` or ``refused``."""
        self._pictures.labels(result).inc()

    def refused(self, reason: str) -> None:
        """A request or a connection. reason: as ``Refusal`` has it."""
        self._refused.labels(reason).inc()

    def passed(self, pictures: int, seconds: float) -> None:
        """A pass of the network."""
        self._batch.observe(pictures)
        self._passes.observe(seconds)

    def decoder_died(self) -> None:
        """A decoding process was replaced."""
        self._deaths.inc()

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
