"""Score reads over HTTP: the server on one core, the load on another."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.events import CUSTOMERS, events
from benchmarks.load import Answered, load, request
from benchmarks.measure import SERVERS_CORE, Served, a_book, a_directory, a_server, at_rest, process
from benchmarks.stored import fill
from benchmarks.table import Row
from touchbook.streams.follow import catch_up

TOUCHPOINTS = 40_000
READS = 20_000
CONNECTIONS = 32
MANY = 500
CUSTOMERS_PATH, MEMORY_PATH = "/v1/customers", "/memory"


def rows(quick: bool = False) -> Iterator[Row]:
    reads = READS // 20 if quick else READS
    with a_directory() as directory:
        secret = _prepared(directory, 2_000 if quick else TOUCHPOINTS)
        plain_app = [sys.executable, "-m", "benchmarks.plain.scores_app", str(directory)]
        with process(plain_app, SERVERS_CORE) as served:
            plain = _read(served, CUSTOMERS_PATH, secret, reads // 2)
            memory = _read(served, MEMORY_PATH, secret, reads // 2)
        with a_server(directory, SERVERS_CORE) as served:
            at_rest(served)  # the baselines have no customers to look at
            ours = _read(served, CUSTOMERS_PATH, secret, reads)
        yield from _compared(ours, plain, memory)
        yield from _batches(directory, secret)


def _compared(ours: Answered, plain: Answered, memory: Answered) -> Iterator[Row]:
    times = ours.rate / plain.rate
    met = ours.rate >= 5_000 and ours.share(0.99) < 10 and times >= 2.5 and ours.all_answered
    against = f"{times:.1f} of FastAPI (CPU {plain.cpu / ours.cpu:.1f})"
    yield _row(f"HTTP, seven scores, warm, one core, {CONNECTIONS} connections", ours, against, met)
    yield _row("  FastAPI, response model, same book", plain)
    yield _row("  FastAPI, response model, answers in memory, no keys", memory)


def _row(what: str, answered: Answered, against: str = "", met: bool | None = None) -> Row:
    goal = "" if met is None else "≥ 5,000/s, p99 < 10, ≥ 2.5 x"
    return Row(
        what, answered.rate, answered.cpu, against, answered.share(0.99), answered.share(0.5), goal, met
    )


def _prepared(directory: Path, touchpoints: int) -> str:
    """A book of `CUSTOMERS` customers at most, folded; a key that reads their scores."""
    with a_book(directory) as book:
        fill(book, events(touchpoints))
        catch_up(book.journal, book.projections, book.folder)
        return book.control.create_key("read-scores", "bench", None)[1]


def _ref(person: int) -> str:
    return f"user_id:u{person}"


def _read(served: Served, path: str, secret: str, count: int) -> Answered:
    """So many reads of customers who come up at random, each read once before."""
    rnd = random.Random(count)
    people = [*range(CUSTOMERS), *(rnd.randrange(CUSTOMERS) for _ in range(count))]
    asked = [request("GET", f"{path}/{_ref(person)}/scores", secret) for person in people]
    load(served, asked[:CUSTOMERS], connections=CONNECTIONS, besides=SERVERS_CORE)
    return load(served, asked[CUSTOMERS:], connections=CONNECTIONS, besides=SERVERS_CORE)


def _batches(directory: Path, secret: str) -> Iterator[Row]:
    """One batch after another: cold ones of customers whom a new server never met, then warm ones."""
    groups = [range(n, n + MANY) for n in range(0, CUSTOMERS, MANY)]
    asked = [_batch([_ref(person) for person in group], secret) for group in groups]
    with a_server(directory, SERVERS_CORE) as served:
        for what, goal, times in (("cold", 200, 1), ("warm", 30, 20)):
            found = load(served, asked * times, connections=1, besides=SERVERS_CORE)
            half, most = found.share(0.5), found.share(0.99)
            met = most < goal and found.all_answered
            rate, cpu = found.rate * MANY, found.cpu / MANY
            yield Row(f"HTTP, batchGet of {MANY}, {what}", rate, cpu, "", most, half, f"p99 < {goal} ms", met)


def _batch(refs: list[str], secret: str) -> bytes:
    return request("POST", "/v1/scores:batchGet", secret, json.dumps({"customers": refs}).encode())
