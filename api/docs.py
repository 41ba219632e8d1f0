"""The interactive page of the API: Swagger UI from files that lie here, so that it works with the network blocked."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from touchbook.api.answers import json_answer

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI writes style attributes and keeps its icons in data: addresses; nothing of another host is loaded."""

VENDORED = "vendor/swagger-ui"
FILES = {
    "swagger-ui.css": (VENDORED, "text/css"),
    "swagger-ui-bundle.js": (VENDORED, "text/javascript"),
    "favicon-32x32.png": (VENDORED, "image/png"),
    "docs.js": ("", "text/javascript"),
}
HEADERS = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}
CACHED = {"Cache-Control": "public, max-age=3600"}


async def page(request: Request) -> Response:
    return Response(_read("", "docs.html"), headers=HEADERS, media_type="text/html; charset=utf-8")


async def file(request: Request) -> Response:
    name = request.path_params["file"]
    if name not in FILES:
        raise HTTPException(404)
    folder, media_type = FILES[name]
    return Response(_read(folder, name), headers=CACHED, media_type=media_type)


async def description(request: Request) -> Response:
    whole: dict[str, Any] = request.app.openapi()
    return json_answer(whole, headers={"Cache-Control": "no-cache"})


def routes() -> list[Route]:
    return [
        Route("/openapi.json", description, methods=["GET"]),
        Route("/docs", page, methods=["GET"]),
        Route("/docs/{file}", file, methods=["GET"]),
    ]


@cache
def _read(folder: str, name: str) -> bytes:
    return (files("touchbook.api") / "static" / folder / name).read_bytes()
