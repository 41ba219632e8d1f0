"""Where what other threads settle lands on the event loop: what is settled together wakes it once."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import TypeVar

_Result = TypeVar("_Result")


class Landing:
    """Waits on one event loop for the futures of other threads, as `asyncio.wrap_future` would; but that calls into the
    loop once for each future, and this once for a whole group commit.

    A waiter that is cancelled leaves its future alone."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._settled: deque[asyncio.Future[None]] = deque()
        self._called = False

    async def of(self, future: Future[_Result]) -> _Result:
        """What the future ends with: its result, or its exception raised."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        future.add_done_callback(lambda _: self._land(waiter))
        await waiter
        return future.result()

    def _land(self, waiter: asyncio.Future[None]) -> None:
        """From any thread. Who finds the loop called already may rely on that call: it takes all that is there after
        it has said that it came."""
        self._settled.append(waiter)
        if not self._called and not self.loop.is_closed():
            self._called = True
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._called = False
        while self._settled:
            waiter = self._settled.popleft()
            if not waiter.done():
                waiter.set_result(None)
