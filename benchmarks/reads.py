"""Reads with very many touchpoints stored: customers at random, none of whom is remembered, and one very large one.

Routes are called in this process, as the server calls them, so that the figures are the server's own and no wire's.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from functools import partial

import uvloop
from starlette.types import ASGIApp, Message, Scope

from benchmarks.events import LARGE, large_customer, large_group
from benchmarks.measure import a_book, each_timed, quantile
from benchmarks.stored import FEWER, MANY, a_stored_book, customers_of, fill
from benchmarks.table import Row
from touchbook.api.app import create_app
from touchbook.ledger import day_of
from touchbook.streams.follow import catch_up
from touchbook.wiring import Book, now

READS = 2_000
CUSTOMER = "/v1/customers/user_id%3Au{person}"
GOAL_MS = 5


def rows(quick: bool = False) -> Iterator[Row]:
    touchpoints, reads = (FEWER, READS // 20) if quick else (MANY, READS)
    with a_stored_book(touchpoints) as book:
        people = random.Random(5).sample(range(customers_of(touchpoints)), reads * 3)
        stored = f"with {touchpoints:,} stored"
        calls = Calls(book)
        for what, path, goal in (
            ("a timeline page of 50", f"{CUSTOMER}/timeline", GOAL_MS),
            ("seven scores, cold", f"{CUSTOMER}/scores", GOAL_MS),
            ("an explanation", f"{CUSTOMER}/scores/loyalty/explain", None),
        ):
            asked, people = people[:reads], people[reads:]
            took = calls.timed([path.format(person=person) for person in asked])
            yield _row(f"{what}, {stored}, in the server", took, goal)
    yield from _of_the_large(quick)


def _of_the_large(quick: bool) -> Iterator[Row]:
    """Somebody with tens of thousands of touchpoints, and somebody of very many identifiers."""
    touchpoints, identifiers = (2_000, 500) if quick else (LARGE, 8_000)
    with a_book() as book:
        fill(book, large_customer(touchpoints))
        fill(book, large_group(identifiers))
        catch_up(book.journal, book.projections, book.folder)
        calls, path = Calls(book), CUSTOMER.format(person="large")
        for what, asked in (
            ("an explanation", f"{path}/scores/engagement/explain"),
            ("context", f"{path}/context"),
            ("a text that is nowhere", f"{path}/timeline?text=nowhere"),
            ("a timeline page of 50", f"{path}/timeline"),
        ):
            took = calls.timed([asked] * 5)
            yield _row(f"{what}, a customer of {touchpoints:,} touchpoints", took)
        yield _after_each(book, identifiers)


def _after_each(book: Book, identifiers: int) -> Row:
    """Scores of somebody in a large group, each after one more touchpoint of his."""
    wall, used = list[float](), list[float]()
    for n in range(6):
        fill(book, large_group(identifiers, again=n + 1))
        catch_up(book.journal, book.projections, book.folder)
        read = partial(_standing, book, "user_id:umany")
        took, cpu = each_timed([read])
        if n:  # the first resolves the group, the others are what every touchpoint costs
            wall += took
            used.append(cpu / 1000)
    return _row(f"scores after each touchpoint, {identifiers:,} identifiers in the group", (wall, used))


def _standing(book: Book, ref: str) -> bytes:
    return book.customers.standing(book.customers.find(ref), day_of(now())).encoded()


def _row(what: str, took: Took, goal: float | None = None) -> Row:
    """The slowest hundredth in CPU is told too: on a busy machine a read waits for a core longer than it works."""
    wall, cpu = took
    half, most, worked = quantile(wall, 0.5), quantile(wall, 0.99), quantile(cpu, 0.99)
    met, told = (None, "") if goal is None else (most < goal, f"p99 < {goal} ms in the server")
    each = sum(cpu) / len(cpu) * 1000
    return Row(what, 1000 / half, each, "", most, half, told, met, f"p99 CPU {worked:.1f} ms")


Took = tuple[list[float], list[float]]
"""Milliseconds of each, of wall time and of CPU."""


class Calls:
    """The application of a book, asked without a wire."""

    def __init__(self, book: Book) -> None:
        self._app = create_app(book)
        self._secret = book.control.create_key("agent", "bench", None)[1]
        self._loop = uvloop.new_event_loop()

    def timed(self, targets: Sequence[str]) -> Took:
        """Of these, asked one after another, after the first was asked once for what a server does only once.
        AssertionError for every answer but 200."""
        return self._loop.run_until_complete(self._timed(targets))

    async def _timed(self, targets: Sequence[str]) -> Took:
        """All in one task: the threads that work for a task, and their connections, end with it."""
        took, used = [], []
        await self._get(targets[0])
        for target in targets:
            began, cpu = time.perf_counter(), time.process_time()
            await self._get(target)
            took.append((time.perf_counter() - began) * 1000)
            used.append((time.process_time() - cpu) * 1000)
        return took, used

    async def _get(self, target: str) -> None:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"host", b"bench"), (b"authorization", f"Bearer {self._secret}".encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        assert await _status_of(self._app, scope) == 200, target


async def _status_of(app: ASGIApp, scope: Scope) -> int:
    statuses = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(int(message["status"]))

    await app(scope, receive, send)
    return statuses[0]
