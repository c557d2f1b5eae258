"""What a request is refused with: a status of HTTP and one line that a person understands."""

from __future__ import annotations

RETRY_SECONDS = 1


class Refusal(Exception):  # noqa: N818
    """Ends a request with ``{"error": message}``."""

    def __init__(self, status: int, message: str) -> None:
        # One line, whatever a file was called.
        self.message = " ".join(message.split())
        super().__init__(self.message)
        self.status = status

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the status."""
        return {"Retry-After": str(RETRY_SECONDS)} if self.status == 503 else {}


def busy(what: str) -> Refusal:
    """503, for whoever comes when there is no room."""
    return Refusal(503, f"{what}; try again in {RETRY_SECONDS} s")
