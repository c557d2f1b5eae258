"""The page at ``/`` and its files."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from foveal.page.files import INDEX, PageFile, page_files, security_policy


def add_page(app: FastAPI) -> None:
    """Routes for every file of the page, each by its own path; no path of a request is ever opened."""
    files = page_files("server")
    policy = security_policy("server") + "; frame-ancestors 'none'"

    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}

    def add(path: str, file: PageFile) -> None:
        async def answer() -> Response:
            return Response(file.content, media_type=file.content_type, headers=headers)

        app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)

    for path, file in {"": files[INDEX], **files}.items():
        add(f"/{path}", file)
