"""The page at ``/`` and its files."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from foveal.page.files import INDEX, page_files, security_policy


def add_page(app: FastAPI) -> None:
    """Routes for every file of the page, each by its own path; no path of a request is ever opened."""
    files = page_files("server")
    policy = security_policy("server") + "; frame-ancestors 'none'"

    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        file = files[request.url.path.removeprefix("/") or INDEX]
        return Response(file.content, media_type=file.content_type, headers=headers)

    for path in ("", *files):
        app.add_api_route(f"/{path}", answer, methods=["GET", "HEAD"], include_in_schema=False)
