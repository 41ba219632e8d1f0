"""On a replica every answer says how old what it read may be."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"touchbook-staleness"
READS = (b"/v1/customers", b"/v1/scores:", b"/v1/changes", b"/v1/metrics/")


class Dated:
    """Adds `Touchbook-Staleness` to answers about customers: at most how many seconds they are behind the journal."""

    def __init__(self, app: ASGIApp, staleness: Callable[[], float]) -> None:
        self._app = app
        self._staleness = staleness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get("raw_path", b"").startswith(READS):
            await self._app(scope, receive, send)
            return
        seconds = b"%.3f" % self._staleness()  # as of when it was asked: what is read is not older

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, seconds)]
            await send(message)

        await self._app(scope, receive, dated)
