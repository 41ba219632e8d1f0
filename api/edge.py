"""The outermost layer: the headers every answer carries, cross-origin answers, and one log line for each request.

A request that published, or that reserved contacts, is told at level debug, every other at info: of those there are
thousands a second, each line takes a tenth of what the request does, and the metrics count them anyway.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from touchbook.api.answers import send_json
from touchbook.api.limits import STOPPING
from touchbook.api.problems import of_ours
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

WHOLE = "touchbook.whole"
"""Where a request's scope says who takes a whole answer at once, instead of its head and its body."""
Whole = Callable[[bytes, bytes], bool]
"""Takes the headers of a 200 but for its length, as they go out, and its body. False: it has to go the usual way."""

_LIVE = b"text/event-stream; charset=utf-8"
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
        live = False

        async def sending(message: Message) -> None:
            nonlocal live
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                _dress(message, scope, seen)
                live = (b"content-type", _LIVE) in message["headers"]
            elif not message.get("more_body", False):
                live = False
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except (
            asyncio.CancelledError
        ):  # nobody but a server that has waited long enough for this answer does so
            if not seen.status:
                await of_ours(scope, STOPPING)(scope, receive, sending)
        finally:
            if live:  # a stream that was cut short, as when the server stops, has an end all the same
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            level = logging.DEBUG if seen.counted and seen.status == 200 else logging.INFO
            if logger.isEnabledFor(level):
                took = (time.perf_counter() - began) * 1000
                logger.log(
                    level, "%s %s %d %.1f ms %s", scope["method"], seen.route, seen.status, took, seen.source
                )


async def send_published(scope: Scope, send: Send, body: bytes) -> None:
    """The answer of a door: in one piece where whoever received the request takes it so and no other origin asks."""
    if header_of(scope, b"origin") is None:
        await send_whole(scope, send, body, _PUBLISHED)
    else:
        await send_json(send, body)


async def send_whole(scope: Scope, send: Send, body: bytes, headers: bytes | None = None) -> None:
    """`send_json` in one piece, where whoever received the request takes it so. `headers` are those of the whole answer
    but for its length, as they go out; by default those that every answer carries."""
    whole: Whole | None = scope.get(WHOLE)
    if whole is not None and whole(_JSON if headers is None else headers, body):
        seen_of(scope).status = 200
    else:
        await send_json(send, body)


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


def _head(cross_origin: bool) -> bytes:
    """The headers of a JSON answer but for its length, as they go out."""
    message: Message = {"headers": [(b"content-type", b"application/json")]}
    _dress(message, {"type": "http", "headers": []}, Seen(cross_origin=cross_origin))
    return b"".join(b"%b: %b\r\n" % header for header in message["headers"])


_PUBLISHED, _JSON = _head(cross_origin=True), _head(cross_origin=False)
