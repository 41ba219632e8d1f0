"""What becomes of requests when ten times more come than the server holds: `python -m benchmarks.overload`.

A server process with its default settings, the load in another process on the same cores. The load is an open loop:
requests fall due at a fixed rate whether or not earlier ones were answered, as long as one of many connections is free;
how many times what the server holds were really offered is said beside. Each is timed from when it was sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.measure import cpu_of, memory_of, quantile
from touchbook.settings import settings_from
from touchbook.wiring import open_book

TIMES = 10
SLOW_CLIENTS = 500
CONNECTIONS = 1_500
CALM = 0.5
"""Share of what it holds that the server is asked for when it is to be well."""
MOST_AT_ONCE = 64
"""Connections that are looked at before more is sent."""
NUMBER = b"0123456789"
"""Stands in the ids of a request until it is sent, when it becomes a number."""


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    pid: int
    secret: str
    agent: str


@dataclass(slots=True)
class Heard:
    """Milliseconds until each answer, by status; 0 stands for none. `seconds` it went on."""

    took: dict[int, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    def rate(self, *statuses: int) -> float:
        return sum(len(self.took.get(status, ())) for status in statuses or self.took) / self.seconds

    def best(self, other: Heard) -> None:
        """Becomes the other where that was quicker."""
        if not self.took or other.share(200, 0.99) < self.share(200, 0.99):
            self.took, self.seconds = other.took, other.seconds

    def share(self, status: int, share: float) -> float:
        return quantile(self.took.get(status) or [0.0], share)


def batch(size: int, secret: str) -> bytes:
    """A request of so many CloudEvents, its number still to be set."""
    events = [
        {
            "specversion": "1.0", "id": f"{NUMBER.decode()}-{n}", "source": "bench", "type": "page_viewed",
            "time": "2026-01-05T09:15:00.000Z",
            "data": {"name": "Home", "category": "tea", "identifiers": {"user_id": f"u{n}"}},
        }
        for n in range(size)
    ]  # fmt: skip
    return post("/v1/events", secret, json.dumps(events).encode(), "application/cloudevents-batch+json")


def post(path: str, secret: str, body: bytes, content_type: str = "application/json") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {secret}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def get(path: str, secret: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {secret}\r\n\r\n".encode()


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n"


class Line:
    """One connection, one request at a time. `sent` is when that was sent, until it is answered."""

    __slots__ = ("received", "sent", "socket", "unsent")

    def __init__(self, target: Target) -> None:
        self.socket = socket.create_connection((target.host, target.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.sent: float | None = None
        self.received = self.unsent = b""

    def status(self) -> int | None:
        """Of the answer, once it is there to its end."""
        head = self.received.find(b"\r\n\r\n")
        if head < 0:
            return None
        at = self.received.lower().find(b"content-length: ", 0, head) + len(b"content-length: ")
        length = int(self.received[at : self.received.index(b"\r\n", at)])
        return int(self.received[9:12]) if len(self.received) >= head + 4 + length else None


class Load:
    """An open loop on so many connections, opened again where the server closes them. It does without an event loop of
    Python's, which took more of the processor than the server needs to say no."""

    def __init__(self, target: Target, requests: Sequence[bytes], rate: float, connections: int) -> None:
        self._target = target
        self._requests = requests
        self._rate = rate
        self._first = time.time_ns() // 1_000_000 % 10**5 * 10**5
        self._asked = 0
        self._heard = Heard()
        self._poll = select.epoll()
        self._lines: dict[int, Line] = {}
        self._free: deque[Line] = deque()
        for _ in range(connections):
            self._open()

    def run(self, seconds: float) -> Heard:
        self._be_taken_in()
        now = began = time.perf_counter()
        while now < began + seconds:
            self._ask_until(int((now - began) * self._rate))
            now = self._hear()
        self._heard.seconds = now - began
        self._hear_all()
        for line in self._lines.values():
            line.socket.close()
        self._poll.close()
        return self._heard

    def _be_taken_in(self) -> None:
        """A server takes in connections a few at a time; what is measured is how it answers those that it has."""
        for _ in self._lines:
            self._ask(HEALTH)
        self._hear_all()
        self._heard = Heard()

    def _ask_until(self, due: int) -> None:
        while self._asked < due and self._free:
            number = b"%010d" % (self._first + self._asked)
            self._ask(self._requests[self._asked % len(self._requests)].replace(NUMBER, number))
            self._asked += 1

    def _ask(self, request: bytes) -> None:
        line = self._free.popleft()
        line.unsent += request
        line.sent = time.perf_counter()
        self._send(line)

    def _hear_all(self) -> None:
        until = time.perf_counter() + 30
        while len(self._free) < len(self._lines) and self._hear() < until:
            pass

    def _hear(self) -> float:
        """Takes what came, all of which was there at the time that is returned."""
        events = self._poll.poll(0.001, MOST_AT_ONCE)
        now = time.perf_counter()
        for number, event in events:
            line = self._lines[number]
            if event & select.EPOLLOUT:
                self._send(line, waited=True)
            if event & ~select.EPOLLOUT:
                self._receive(line, now)
        return now

    def _send(self, line: Line, *, waited: bool = False) -> None:
        with suppress(OSError):  # no room for it yet; or closed, which will be heard
            line.unsent = line.unsent[line.socket.send(line.unsent) :]
        if line.unsent or waited:
            self._poll.modify(line.socket, select.EPOLLIN | (select.EPOLLOUT if line.unsent else 0))

    def _receive(self, line: Line, now: float) -> None:
        try:
            received = line.socket.recv(2**16)
        except ConnectionError:
            received = b""
        line.received += received
        status = line.status() if received else 0
        if status is None:
            return
        if line.sent is not None:
            self._heard.took.setdefault(status, []).append((now - line.sent) * 1000)
            line.sent, line.received = None, b""
            self._free.append(line)
        if not received:
            del self._lines[line.socket.fileno()]
            self._free.remove(line)
            line.socket.close()
            self._open()

    def _open(self) -> None:
        line = Line(self._target)
        self._lines[line.socket.fileno()] = line
        self._poll.register(line.socket, select.EPOLLIN)
        self._free.append(line)


def load(target: Target, requests: Sequence[bytes], rate: float, seconds: float, connections: int) -> Heard:
    return Load(target, requests, rate, connections).run(seconds)


@contextmanager
def a_server(directory: str, **settings: object) -> Iterator[tuple[Target, subprocess.Popen[bytes]]]:
    book = open_book(settings_from(data=Path(directory)))
    secret = book.control.create_key("publish", "bench", "web")[1]
    agent = book.control.create_key("agent", "desk")[1]
    book.close()
    given = {f"TOUCHBOOK_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "touchbook", "serve", "--data", directory, "--port", "0", "--json"]
    server = subprocess.Popen(
        [*command, "--log-level", "error"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, **given},
    )  # fmt: skip
    try:
        assert server.stdout is not None
        host, _, port = json.loads(server.stdout.readline())["url"].removeprefix("http://").rpartition(":")
        yield Target(host, int(port), server.pid, secret, agent), server
    finally:
        server.kill()
        server.wait()


def elsewhere(pool: ProcessPoolExecutor, *given: Any) -> Heard:
    return pool.submit(load, *given).result()


@contextmanager
def slow_clients(target: Target, count: int) -> Iterator[None]:
    """So many that send a byte of a head or of a body every now and then, and come back when they are cut off."""
    dripping = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.overload", "--drip", f"{target.host}:{target.port}:{count}"]
    )
    time.sleep(2)
    try:
        yield
    finally:
        dripping.kill()
        dripping.wait()


async def drip(host: str, port: int, count: int) -> None:
    async def client(number: int) -> None:
        half = b"POST /v1/batch HTTP/1.1\r\nHost: bench\r\nContent-Length: 100000\r\n"
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(half + (b"\r\n{" if number % 2 else b"X-Slow: "))
                while not reader.at_eof():
                    await asyncio.sleep(1)
                    writer.write(b" ")
                    await writer.drain()
                    if reader._buffer:  # type: ignore[attr-defined]
                        break
                writer.close()
            except OSError:
                await asyncio.sleep(1)

    await asyncio.gather(*(client(number) for number in range(count)))


def most_memory(pid: int) -> int:
    """Bytes of memory that a process held at its most (Linux)."""
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def metric(target: Target, name: str) -> float:
    with urllib.request.urlopen(f"http://{target.host}:{target.port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition("{")[0].split()[0] == name)


def seconds_to_recover(target: Target, request: bytes, calm: float) -> float:
    """From now until the slowest of a second of single requests takes at most twice `calm` milliseconds, and all that
    was accepted can be read."""
    began = time.perf_counter()
    while True:
        at = time.perf_counter()
        took = load(target, [request], 20, 1.0, 4)
        well = took.share(200, 1.0) <= 2 * max(calm, 5) and set(took.took) == {200}
        if well and metric(target, "touchbook_lag_touchpoints") == 0:
            return at - began


def seconds_to_stop(target: Target, server: subprocess.Popen[bytes]) -> float:
    """With uploads that hang, heads that hang, streams that go on and readers that do not read."""
    stuck = []
    for sent in (
        b"POST /v1/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{",
        b"POST /v1/batch HTTP/1.1\r\nHost: a\r\n",
        get("/v1/customers/user_id:u1/timeline/stream", target.agent),
        get("/v1/customers/user_id:u1/timeline?limit=500", target.agent) * 30,
    ):
        for _ in range(20):
            stuck.append(socket.create_connection((target.host, target.port), timeout=60))
            stuck[-1].sendall(sent)
    time.sleep(1)
    began = time.perf_counter()
    server.send_signal(signal.SIGTERM)
    code = server.wait(60)
    took = time.perf_counter() - began
    for one in stuck:
        one.close()
    if code:
        say(f"it ended with {code}")
    return took


def measured(size: int, seconds: float) -> Iterator[tuple[str, str]]:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="touchbook-bench-"))
        pool = stack.enter_context(ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")))
        target, server = stack.enter_context(a_server(directory))
        many, one = [batch(size, target.secret)], batch(1, target.secret)
        scores = [get(f"/v1/customers/user_id:u{n}/scores", target.agent) for n in range(size)]
        elsewhere(pool, target, many, 20, 1.0, 8)  # warm
        idle = memory_of(target.pid)
        holds = max(elsewhere(pool, target, many, 10_000, 3.0, lines).rate(200) for lines in (16, 64))
        time.sleep(2)
        yield f"it holds, batches of {size}", f"{holds:,.0f} requests/s"
        calm, slowed = Heard(), Heard()
        for _ in range(3):  # by turns, since others may use the machine too
            calm.best(elsewhere(pool, target, many, CALM * holds, seconds / 3, 64))
            with slow_clients(target, SLOW_CLIENTS):
                before = cpu_of(target.pid)
                time.sleep(2)
                idling = (cpu_of(target.pid) - before) / 2
                slowed.best(elsewhere(pool, target, many, CALM * holds, seconds / 3, 64))
        yield "  at half of that: p50, p99", f"{calm.share(200, 0.5):.1f} ms, {calm.share(200, 0.99):.1f} ms"
        factor = (
            slowed.share(200, 0.5) / calm.share(200, 0.5),
            slowed.share(200, 0.99) / calm.share(200, 0.99),
        )
        yield (
            f"  with {SLOW_CLIENTS} slow clients",
            f"{slowed.share(200, 0.5):.1f} ms, {slowed.share(200, 0.99):.1f} ms: "
            f"{factor[0]:.1f} and {factor[1]:.1f} times; others than 200: {others(slowed)}; "
            f"by themselves they cost {idling:.1%} of a core",
        )
        reading = pool.submit(load, target, scores, 50, seconds, 64)
        over = elsewhere(pool, target, many, TIMES * holds, seconds, CONNECTIONS)
        recovered = seconds_to_recover(target, one, calm.share(200, 0.99))
        read = reading.result()
        yield "offered", f"{over.rate():,.0f} requests/s, {over.rate() / holds:.1f} times what it holds"
        yield "  accepted", f"{over.rate(200):,.0f}/s, {over.rate(200) / holds:.2f} of what it holds"
        yield "  accepted: p50, p99", f"{over.share(200, 0.5):.0f} ms, {over.share(200, 0.99):.0f} ms"
        yield "  503: p50, p99", f"{over.share(503, 0.5):.0f} ms, {over.share(503, 0.99):.0f} ms"
        yield "  others than 200 and 503", others(over, 503)
        yield (
            "  scores read meanwhile: p50, p99",
            f"{read.share(200, 0.5):.0f} ms, {read.share(200, 0.99):.0f} ms; others than 200: {others(read)}",
        )
        yield "seconds to be as before", f"{recovered:.1f}"
        yield "memory idle, most", f"{idle / 2**20:.0f} MiB, {most_memory(target.pid) / 2**20:.0f} MiB"
        yield "seconds from SIGTERM to its end", f"{seconds_to_stop(target, server):.1f}"


def others(heard: Heard, *known: int) -> str:
    return str(
        {status: len(took) for status, took in heard.took.items() if status not in (200, *known)} or "none"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=100, help="events in a request")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--drip", metavar="HOST:PORT:COUNT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.drip:
        host, port, count = given.drip.split(":")
        uvloop.run(drip(host, int(port), int(count)))
    for what, figure in measured(given.size, given.seconds):
        say(f"{what:36} {figure}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
