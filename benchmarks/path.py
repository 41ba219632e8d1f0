"""How fast the path is, from a door to a score, on this machine: `make bench`.

Everything is measured in one run beside a plain baseline, so that the ratios hold where the absolute figures drift.
Rates are per second of wall time; CPU is microseconds of all threads of the process per touchpoint or read.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from touchbook.ledger import day_of
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.times import rfc3339
from touchbook.settings import settings_from
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.rebuild import rebuild
from touchbook.wiring import Book, now, open_book

TOUCHPOINTS = 20_000
CUSTOMERS = 2_000
CONNECTIONS = 64
SHOP = Publisher("bench", "web")


@dataclass
class Row:
    """One line of the table. `ratio` compares with the baseline named in it, measured in the same run."""

    what: str
    rate: float
    cpu: float
    ratio: str = ""
    p99: float | None = None


def events(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Believable touchpoints of a year: mostly pages, some messages, orders and answers."""
    rnd, today = random.Random(seed), now()
    kinds: list[tuple[str, dict[str, Any], int]] = [
        ("page_viewed", {"name": "Home", "category": "tea"}, 50),
        ("product_viewed", {"product_id": "p-1", "category": "tea"}, 20),
        ("chat_message_sent", {"thread": "t-1", "text": "Where is my order? " * 4}, 10),
        ("message_sent", {"purpose": "offer", "subject": "Spring"}, 10),
        ("order_placed", {"order_id": "o-1", "amount": 1250, "currency": "EUR"}, 5),
        ("survey_answered", {"csat": 5, "comment": "Quick and kind."}, 5),
    ]
    assert all(type in CATALOGUE for type, _, _ in kinds)
    made = []
    for n in range(count):
        type, data, _ = rnd.choices(kinds, [weight for *_, weight in kinds])[0]
        person = n % CUSTOMERS
        who = {"user_id": f"u{person}"} | ({"anonymous_id": f"a{person}"} if n // CUSTOMERS % 10 == 0 else {})
        at = rfc3339(today - rnd.randrange(365 * 86_400_000))
        made.append(
            {"specversion": "1.0", "id": f"{seed}-{n}", "source": "bench", "type": type, "time": at}
            | {"data": {**data, "identifiers": who}}
        )
    return made


@contextmanager
def a_book() -> Iterator[Book]:
    with tempfile.TemporaryDirectory(prefix="touchbook-bench-") as directory:
        book = open_book(settings_from(data=Path(directory)))
        try:
            yield book
        finally:
            book.close()


def timed(work: Callable[[], object], count: int) -> tuple[float, float]:
    """(per second, CPU microseconds each)."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - wall), (time.process_time() - cpu) / count * 1e6


def journal_and_reads() -> Iterator[Row]:
    made = events(TOUCHPOINTS)
    with a_book() as book:
        items = [Item("cloudevents", one, {}) for one in made]
        touchpoints = [book.admission.touchpoint_of(item, SHOP, now()) for item in items]
        yield Row("admit: parse, validate, identify", *timed(lambda: admit_all(book, items), len(items)))

        def append() -> None:
            for start in range(0, len(touchpoints), 200):
                book.journal.append(touchpoints[start : start + 200]).result()

        plain = timed(lambda: plain_append(made), len(made))
        rate, cpu = timed(append, len(touchpoints))
        yield Row(
            "append, batches of 200, sealed and fsynced", rate, cpu, f"{rate / plain[0]:.2f} of plain SQLite"
        )
        yield Row("  plain SQLite, one table, a commit per 200", *plain)
        data = book.settings.data
        rate, cpu = timed(lambda: rebuild(data, book.journal, book.folder, book.version), len(made))
        yield Row("rebuild of all projections", rate, cpu)
        customers, today = book.customers, day_of(now())

        def read_scores() -> None:
            for n in range(CUSTOMERS):
                customers.scores(customers.find(f"user_id:u{n}"), today)

        cold = timed(read_scores, CUSTOMERS)
        warm = timed(read_scores, CUSTOMERS)
        yield Row("seven scores of a customer, warm", *warm, f"{warm[0] / cold[0]:.1f} of cold")
        yield Row("  cold", *cold)
        refs = [(f"user_id:u{n}", today) for n in range(500)]
        yield Row("batchGet of 500, warm", *timed(lambda: customers.batch(refs), 500))


def admit_all(book: Book, items: list[Item]) -> None:
    for item in items:
        book.admission.touchpoint_of(item, SHOP, 2**41)


def plain_append(made: list[dict[str, Any]]) -> None:
    """What a journal costs that neither knows repeats nor seals: the baseline."""
    with tempfile.TemporaryDirectory() as directory:
        db = sqlite3.connect(Path(directory) / "plain.sqlite", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE journal (position INTEGER PRIMARY KEY, id TEXT UNIQUE, body TEXT)")
        for start in range(0, len(made), 200):
            rows = [(one["id"], json.dumps(one)) for one in made[start : start + 200]]
            db.execute("BEGIN")
            db.executemany("INSERT INTO journal (id, body) VALUES (?, ?)", rows)
            db.execute("COMMIT")
        db.close()


def over_http() -> Iterator[Row]:
    """A real server process, followed, and the load beside it on the same cores; the CPU is the server's alone."""
    with (
        tempfile.TemporaryDirectory(prefix="touchbook-bench-") as directory,
        a_server(directory) as (url, pid),
    ):
        book = open_book(settings_from(data=Path(directory)), read_only=True)
        _, secret = book.control.create_key("publish", "bench", "web")
        book.close()
        for what, size, count in (("single events", 1, 10_000), ("batches of 100", 100, 40_000)):
            made = events(count, seed=size + 1)
            bodies = [json.dumps(made[n : n + size]).encode() for n in range(0, count, size)]
            took: list[float] = []
            before = cpu_of(pid)
            rate, _ = timed(partial(asyncio.run, load(url, secret, bodies, took)), count)
            p99 = statistics.quantiles(took, n=100)[98] * 1000
            cpu = (cpu_of(pid) - before) / count * 1e6
            yield Row(f"HTTP, {what}, {CONNECTIONS} connections, followed", rate, cpu, p99=p99)


@contextmanager
def a_server(directory: str) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "touchbook", "serve", "--data", directory, "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"], server.pid
    finally:
        server.terminate()
        server.wait()


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used (Linux)."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


async def load(url: str, secret: str, bodies: list[bytes], took: list[float]) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    left = iter(bodies)

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for body in left:
            began = time.perf_counter()
            head = (
                f"POST /v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {secret}\r\n"
                f"Content-Type: application/cloudevents-batch+json\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert " 200 " in answer.partition("\r\n")[0], answer
            await reader.readexactly(int(answer.partition("content-length: ")[2].partition("\r\n")[0]))
            took.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))


def main() -> None:
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    say(f"{machine}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
    say(f"{'':52} {'per second':>10} {'CPU us':>8} {'p99 ms':>8}")
    for row in chain(journal_and_reads(), over_http()):
        p99 = "" if row.p99 is None else f"{row.p99:.1f}"
        say(f"{row.what:52} {row.rate:10,.0f} {row.cpu:8.1f} {p99:>8}  {row.ratio}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
