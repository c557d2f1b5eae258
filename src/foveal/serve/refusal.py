"""What a request is refused with: a status of HTTP and one line that a person understands."""

from __future__ import annotations

RETRY_SECONDS = 1
REASONS = {
    400: "request",
    404: "address",
    408: "slow",
    413: "size",
    415: "format",
    422: "damaged",
    500: "model",
    503: "busy",
    504: "late",
}
"""What a refusal is counted under, by its status, where nothing closer is said."""


class Refusal(Exception):  # noqa: N818
    """Ends a request with ``{"error": message}``."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        # One line that UTF-8 can hold, whatever a file was called.
        self.message = sendable(" ".join(message.split()))
        super().__init__(self.message)
        self.status = status
        self.reason = reason or REASONS.get(status, "other")
        """One word of few, for counting."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the status."""
        return {"Retry-After": str(RETRY_SECONDS)} if self.status == 503 else {}


def busy(what: str, reason: str) -> Refusal:
    """503, for whoever comes when there is no room. reason: one word, for counting."""
    return Refusal(503, f"{what}; try again in {RETRY_SECONDS} s", reason)


def sendable(text: str) -> str:
    """Text without halves of surrogate pairs, which JSON and file names can smuggle in and UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
