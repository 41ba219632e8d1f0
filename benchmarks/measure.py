"""Clocks, and the books and servers that are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from touchbook.settings import settings_from
from touchbook.wiring import Book, open_book

REST_SECONDS = 300
RESTING_SHARE = 0.03
"""Of a core, below which a server is at rest; an idle one uses less than one hundredth."""
SERVERS_CORE = 0
"""The core that a server is bound to where one core is what is measured; the load runs on the others."""


def timed(work: Callable[[], object], count: int) -> tuple[float, float]:
    """(per second, CPU microseconds each) of work that does `count` of something."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - wall), (time.process_time() - cpu) / count * 1e6


def each_timed(calls: Iterable[Callable[[], object]]) -> tuple[list[float], float]:
    """(milliseconds of each, CPU microseconds of one) of calls made one after another."""
    took, cpu = [], time.process_time()
    for call in calls:
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return took, (time.process_time() - cpu) / max(len(took), 1) * 1e6


def quantile(values: Iterable[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


@contextmanager
def a_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="touchbook-bench-") as directory:
        yield Path(directory)


@contextmanager
def a_book(directory: Path | None = None) -> Iterator[Book]:
    """A book in a folder of its own that is gone afterwards, or in the one given; nobody follows it."""
    with a_directory() as made:
        book = open_book(settings_from(data=directory or made))
        try:
            yield book
        finally:
            book.close()


@dataclass(frozen=True, slots=True)
class Served:
    """A running server process. `ready_after` is the seconds from its start to its first answer on /readyz."""

    host: str
    port: int
    pid: int
    ready_after: float

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@contextmanager
def a_server(directory: Path, core: int | None = None) -> Iterator[Served]:
    """`touchbook serve` in a process of its own, bound to `core` where one is named."""
    os.sync()  # what was written to prepare it is not forced to disk while it is measured
    command = [sys.executable, "-m", "touchbook", "serve", "--data", str(directory), "--port", "0", "--json"]
    with process(command, core) as served:
        yield served


@contextmanager
def process(command: list[str], core: int | None = None) -> Iterator[Served]:
    """A server that writes {"url": …} when it listens and answers GET /readyz; ended with the block."""
    began = time.perf_counter()
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        if not said:
            raise RuntimeError(f"{' '.join(command)} ended with {server.wait()} before it listened")
        host, _, port = json.loads(said)["url"].removeprefix("http://").rpartition(":")
        with urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=60) as answer:
            answer.read()
        yield Served(host, int(port), server.pid, time.perf_counter() - began)
    finally:
        server.terminate()
        server.wait(30)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used (Linux)."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


def at_rest(server: Served) -> None:
    """Waits until a server that was started has done what it does by itself, such as looking at all customers once."""
    deadline = time.monotonic() + REST_SECONDS
    while time.monotonic() < deadline:
        used = cpu_of(server.pid)
        time.sleep(1.0)
        if cpu_of(server.pid) - used < RESTING_SHARE:
            return
    raise RuntimeError(
        f"the server still worked by itself after {REST_SECONDS} s; try again on a quieter machine"
    )


def memory_of(pid: int) -> int:
    """Bytes of memory that a process holds now (Linux)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
