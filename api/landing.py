"""Where what other threads settle lands on the event loop: what is settled together wakes it once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class _Place:
    """Where one end is told. It forgets its waiter then: the end may be a future, which keeps whom it called back, and
    the waiter keeps its end."""

    __slots__ = ("_land", "_waiter")

    def __init__(self, land: Callable[[asyncio.Future[Any], Any], None], waiter: asyncio.Future[Any]) -> None:
        self._land = land
        self._waiter: asyncio.Future[Any] | None = waiter

    def __call__(self, end: Any) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._land(waiter, end)


class Landing:
    """Waits on one event loop for what other threads tell, as `asyncio.wrap_future` would for futures; but that calls
    into the loop once for each, and this once for a whole group commit.

    A waiter that is cancelled leaves alone what it waited for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._settled: deque[tuple[asyncio.Future[Any], Any]] = deque()
        self._called = False

    def place(self) -> tuple[asyncio.Future[Any], Callable[[Any], None]]:
        """A waiter, and what any thread tells its end to: a result, or an exception to be raised."""
        waiter = self.loop.create_future()
        return waiter, _Place(self._land, waiter)

    async def of(self, future: Future[_Result]) -> _Result:
        """What the future ends with: its result, or its exception raised."""
        waiter, told = self.place()
        future.add_done_callback(told)
        settled: Future[_Result] = await waiter
        return settled.result()

    def _land(self, waiter: asyncio.Future[Any], end: Any) -> None:
        """From any thread. Who finds the loop called already may rely on that call: it takes all that is there after
        it has said that it came."""
        self._settled.append((waiter, end))
        if not self._called and not self.loop.is_closed():
            self._called = True
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._called = False
        while self._settled:
            waiter, end = self._settled.popleft()
            if waiter.done():
                continue
            if isinstance(end, Exception):
                waiter.set_exception(end)
            else:
                waiter.set_result(end)
