"""Paths as they were sent. Routes are found in the undecoded path, and each segment is decoded once, by its reader.

Servers hand over a decoded path; splitting that would read `user_id:a%2Ftimeline` as somebody else's timeline.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from touchbook.api.problems import problem

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class UndecodedPaths:
    """Makes routing see the path as sent; answers 400 to one that cannot be decoded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = _undecoded(scope["raw_path"])
            if path is None:
                await problem(
                    400,
                    "path_invalid",
                    "expected a path of percent-encoded UTF-8 (RFC 3986), as user_id:a%2Fb",
                )(scope, receive, send)
                return
            scope["path"] = path
        await self._app(scope, receive, send)


def decoded(segment: str) -> str:
    """A segment of an undecoded path, decoded: once, and only here."""
    return unquote_to_bytes(segment).decode()


def _undecoded(raw: bytes) -> str | None:
    try:
        path = raw.decode("ascii")
        if "%" in path:
            if _BAD_ESCAPE.search(path):
                return None
            unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return None
    return path
