"""Requests that one of many processes answers for all: any replica takes them, and hands them to that one.

A request is handed on as it came, with the caller's own key, and the process that answers asks that key the same as if
the caller had come to it: the gate, the limits and the log here and there see one and the same caller. So nobody gains
anything by the header that marks a request as handed on: all it does is that it is not handed on once more.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

import httpx
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from touchbook.api.bodies import read_body
from touchbook.api.seen import header_of
from touchbook.errors import NoDecider
from touchbook.settings import Settings

logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every request

HANDED_ON = "touchbook-forwarded"
PASSED_ON = (b"authorization", b"content-type")
PASSED_BACK = ("content-type", "retry-after", "www-authenticate", "accept-encoding")
CONNECT_SECONDS = 2.0
READ_BACK_SECONDS = 12.0
"""Added to how long brokers may take to acknowledge: until then the other process answers."""
LIMITS = httpx.Limits(max_connections=128, max_keepalive_connections=64, keepalive_expiry=30)
"""Idle connections end before the server's own patience does."""


class HandedOn:
    """Stands between the gate and a route."""

    def __init__(
        self,
        app: ASGIApp,
        elsewhere: Callable[[], str | None],
        settings: Settings,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`elsewhere` tells where it is answered, None for here; it raises `NoDecider` if nobody knows."""
        self._app = app
        self._elsewhere = elsewhere
        self._transport = transport
        self._max_request = settings.max_request
        self._timeout = httpx.Timeout(settings.delivery_seconds + READ_BACK_SECONDS, connect=CONNECT_SECONDS)
        self._client: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        url = self._elsewhere()
        if url is None:
            await self._app(scope, receive, send)
            return
        if header_of(scope, HANDED_ON.encode()) is not None:
            raise NoDecider("the process that was asked for it does not decide about contacts any more")
        body = await read_body(scope, receive, self._max_request)
        query = scope["query_string"].decode("latin-1")
        answer = await self._asked(
            f"{url}{scope['path']}?{query}" if query else url + scope["path"], scope, body
        )
        headers = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
        await Response(answer.content, answer.status_code, headers)(scope, receive, send)

    async def aclose(self) -> None:
        """Ends the connections to the process that answers. May be called again."""
        client, self._client = self._client, None
        if client is not None and client[0] is asyncio.get_running_loop():
            await client[1].aclose()

    async def _asked(self, url: str, scope: Scope, body: bytes) -> httpx.Response:
        headers = [(name, value) for name, value in scope["headers"] if name in PASSED_ON]
        try:
            return await self._client_here().post(
                url, content=body, headers=[*headers, (HANDED_ON.encode(), b"1")]
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise NoDecider("the process that decides about contacts cannot be reached") from None
        except httpx.HTTPError:
            raise NoDecider(
                "the process that decides about contacts did not answer, so it is not known what it decided"
            ) from None

    def _client_here(self) -> httpx.AsyncClient:
        """Nothing of the surroundings decides where requests go, or with which credentials: no proxies, no netrc."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._client[0] is not loop:
            self._client = (
                loop,
                httpx.AsyncClient(
                    verify=ssl.create_default_context(),
                    timeout=self._timeout,
                    limits=LIMITS,
                    trust_env=False,
                    transport=self._transport,
                ),
            )
        return self._client[1]
