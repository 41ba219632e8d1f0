"""A load generator cheap enough to share a machine with what it measures: raw HTTP/1.1 from a process of its own.

Closed loop: so many connections, each asks again as soon as it is answered. Open loop: requests fall due at a fixed
rate whether or not earlier ones were answered, and each is timed from when it fell due, so a server that stalls is
charged for everybody who would have come meanwhile (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import cast

import uvloop

from benchmarks.measure import Served, cpu_of, quantile

LONGEST_SECONDS = 120
"""Then the server is taken to have stopped answering."""
Then = Callable[[bytes], bytes | None]
"""The request that follows an answer's body on the same connection; the two are timed as one. None: none does."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask: each request once, in this order. Open loop where `rate` says how many a second fall due."""

    host: str
    port: int
    requests: Sequence[bytes]
    connections: int = 64
    rate: float | None = None
    then: Then | None = None
    cores: frozenset[int] = frozenset()


@dataclass(slots=True)
class Answered:
    """What came of it. `took` is milliseconds of each; `statuses` counts by status code."""

    took: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    server_cpu: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds

    @property
    def cpu(self) -> float:
        """Microseconds of the server's CPU for each request."""
        return self.server_cpu / len(self.took) * 1e6

    def share(self, share: float) -> float:
        return quantile(self.took, share)

    @property
    def all_answered(self) -> bool:
        return set(self.statuses) == {200}


def request(
    method: str, path: str, secret: str, body: bytes = b"", content_type: str = "application/json"
) -> bytes:
    """A whole request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {secret}\r\n"
    if body:
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def load(
    served: Served,
    requests: Sequence[bytes],
    *,
    connections: int = 64,
    rate: float | None = None,
    then: Then | None = None,
    besides: int | None = None,
) -> Answered:
    """Asks a server from another process, which keeps off the core `besides` where one is named (and others exist)."""
    cores = frozenset(os.sched_getaffinity(0)) - {besides} if besides is not None else frozenset[int]()
    asked = Load(served.host, served.port, requests, connections, rate, then, cores)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as generator:
        generator.submit(os.getpid).result()  # what its start costs is not measured
        before = cpu_of(served.pid)
        answered = generator.submit(generate, asked).result()
        answered.server_cpu = cpu_of(served.pid) - before
    return answered


def generate(asked: Load) -> Answered:
    """Runs the load in this process."""
    if asked.cores:
        os.sched_setaffinity(0, asked.cores)
    return uvloop.run(_generate(asked))


async def _generate(asked: Load) -> Answered:
    answered = Answered()
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    line = _Line(asked, answered, done)
    for _ in range(asked.connections):
        await loop.create_connection(lambda: _Connection(line), asked.host, asked.port)
    began = time.perf_counter()
    line.begin(loop, began)
    await asyncio.wait_for(done, LONGEST_SECONDS)
    answered.seconds = time.perf_counter() - began
    line.close()
    return answered


class _Line:
    """The requests that wait, and the connections that do."""

    def __init__(self, asked: Load, answered: Answered, done: asyncio.Future[None]) -> None:
        self.asked = asked
        self.answered = answered
        self.due: deque[tuple[float, bytes]] = deque()
        self.free: deque[_Connection] = deque()
        self.all: list[_Connection] = []
        self._done = done
        self._at = 0

    def begin(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        if self.asked.rate is None:
            for connection in list(self.free):
                self.next(connection)
        else:
            self._fall_due(loop, now, 1 / self.asked.rate)

    def _fall_due(self, loop: asyncio.AbstractEventLoop, began: float, every: float) -> None:
        """Every millisecond: whatever should have been asked by now."""
        now = time.perf_counter()
        while self._at < len(self.asked.requests) and began + self._at * every <= now:
            self.due.append((began + self._at * every, self.asked.requests[self._at]))
            self._at += 1
        while self.due and self.free:
            self.free.popleft().ask(*self.due.popleft())
        if self._at < len(self.asked.requests):
            loop.call_later(0.001, self._fall_due, loop, began, every)

    def next(self, connection: _Connection) -> None:
        """What a free connection does next."""
        if self.asked.rate is None and self._at < len(self.asked.requests):
            self._at += 1
            connection.ask(time.perf_counter(), self.asked.requests[self._at - 1])
        elif self.due:
            connection.ask(*self.due.popleft())
        else:
            self.free.append(connection)

    def answer(self, connection: _Connection, began: float, status: int) -> None:
        self.answered.took.append((time.perf_counter() - began) * 1000)
        self.answered.statuses[status] = self.answered.statuses.get(status, 0) + 1
        if len(self.answered.took) == len(self.asked.requests) and not self._done.done():
            self._done.set_result(None)
        else:
            self.next(connection)

    def fail(self, why: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(why)

    def close(self) -> None:
        for connection in self.all:
            connection.transport.close()


class _Connection(asyncio.Protocol):
    """One connection, one request at a time. Understands what this server answers: a Content-Length, no chunks."""

    transport: asyncio.Transport

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._received = b""
        self._began = 0.0
        self._followed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class, of another family
        self._line.all.append(self)
        self._line.free.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._line.fail(error or ConnectionError("the server closed a connection"))

    def ask(self, began: float, request: bytes) -> None:
        self._began, self._followed = began, False
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received = received = self._received + data if self._received else data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        at = received.lower().find(b"content-length: ", 0, head)
        length = int(received[at + 16 : received.index(b"\r\n", at)])
        if len(received) < head + 4 + length:
            return
        self._received = b""
        status, then = int(received[9:12]), self._line.asked.then
        if status == 200 and then is not None and not self._followed:
            following = then(received[head + 4 :])
            if following is not None:
                self._followed = True
                self.transport.write(following)
                return
        self._line.answer(self, self._began, status)
