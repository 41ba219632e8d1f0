"""The outermost layer: the headers every answer carries, cross-origin answers, and one log line for each request."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from touchbook.api.seen import Seen, header_of, seen_of
from touchbook.streams.control import AccessKey

logger = logging.getLogger("touchbook.access")

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
"""What every answer carries unless its route says otherwise: answers hold personal data, so nothing may keep them."""

_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


def log_no_paths() -> None:
    """Silences the access log of uvicorn, whoever starts it and however: it holds paths and queries."""
    logging.getLogger("uvicorn.access").addFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


class Edge:
    """Dresses every answer and logs every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        seen = seen_of(scope)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                _dress(message, scope, seen)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            if logger.isEnabledFor(logging.INFO):
                took = (time.perf_counter() - began) * 1000
                logger.info(
                    "%s %s %d %.1f ms %s", scope["method"], seen.route, seen.status, took, seen.source
                )


def _dress(message: Message, scope: Scope, seen: Seen) -> None:
    headers = list(message.get("headers", ()))
    said = {name for name, _ in headers}
    headers += [header for header in _RAW_HEADERS if header[0] not in said]
    message["headers"] = headers
    if seen.cross_origin:
        _let_origin_read(MutableHeaders(scope=message), header_of(scope, b"origin"), seen.key)


def _let_origin_read(headers: MutableHeaders, origin: str | None, key: AccessKey | None) -> None:
    """Pages of the key's own origins may read the answer, and no others."""
    headers.add_vary_header("Origin")
    if key is not None and origin in key.origins:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = "Retry-After"
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
