"""Publishing over HTTP: a server process, and the load beside it on the same cores.

Each way of the server is measured in the same run: the journal alone, followed by all projections, with a commit for
each request, and with the plain versions of what is shaped for speed. `python -m benchmarks.doors`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.events import SOURCE, events
from benchmarks.load import Answered, load, request
from benchmarks.measure import Served, a_book, a_directory, process
from benchmarks.table import Row, cells, line, say
from touchbook.schemas.cloudevents import BATCHED, STRUCTURED

SINGLES, BATCHES, BATCH = 20_000, 600, 100
CONNECTIONS, BATCH_CONNECTIONS = 64, 16
PATH = "/v1/events"


def rows(quick: bool = False) -> Iterator[Row]:
    part = 20 if quick else 1
    singles, batches = SINGLES // part, BATCHES // part
    durable = published(singles, 1, "unfollowed")
    each = published(singles // 4, 1, "unfollowed,commit-each")
    plain = published(singles // 4, 1, "unfollowed,plain")
    eager = published(singles // 4, 1, "unfollowed,eager")
    times = durable.rate / each.rate
    met = durable.rate >= 4_000 and durable.share(0.99) < 30 and times >= 4 and durable.all_answered
    against = (
        f"{times:.1f} of a commit each (CPU {each.cpu / durable.cpu:.1f}), "
        f"{durable.rate / plain.rate:.2f} of plain (CPU {plain.cpu / durable.cpu:.2f})"
    )
    yield row(
        f"HTTP, single events, durable, {CONNECTIONS} connections", durable, 1, against, SINGLE_GOAL, met
    )
    yield row("  the same with a commit for each request", each, 1)
    yield row("  the same, each waking the journal at once", eager, 1)
    yield row("  the same by its plain version", plain, 1)
    yield row("HTTP, single events, all projections following", published(singles, 1, "followed"), 1)
    many = published(batches, BATCH, "unfollowed")
    met = many.rate * BATCH >= 25_000 and many.all_answered
    what = f"batches of {BATCH}, {BATCH_CONNECTIONS} connections"
    yield row(f"HTTP, {what}, durable", many, BATCH, goal="≥ 25,000/s", met=met)
    followed = published(batches, BATCH, "followed")
    met = followed.rate * BATCH >= 12_000 and followed.all_answered
    yield row(f"HTTP, {what}, all projections following", followed, BATCH, goal="≥ 12,000/s", met=met)


SINGLE_GOAL = "≥ 4,000/s, p99 < 30, ≥ 4 x a commit each"


def row(
    what: str, answered: Answered, size: int, against: str = "", goal: str = "", met: bool | None = None
) -> Row:
    """Rate and CPU for each event, times for each request."""
    rate, cpu = answered.rate * size, answered.cpu / size
    return Row(what, rate, cpu, against, answered.share(0.99), answered.share(0.5), goal, met)


def published(count: int, size: int, way: str) -> Answered:
    """What came of so many requests of so many events, after some that nobody measures: a journal that has seen its
    customers before."""
    connections = CONNECTIONS if size == 1 else BATCH_CONNECTIONS
    with a_directory() as directory:
        with a_book(directory) as book:
            secret = book.control.create_key("publish", SOURCE, "web")[1]
        with a_server(directory, way) as served:
            load(served, requests(max(2_000 // size, 20), size, secret, seed=1), connections=connections)
            return load(served, requests(count, size, secret, seed=2), connections=connections)


def requests(count: int, size: int, secret: str, seed: int) -> list[bytes]:
    made = events(count * size, seed)
    if size == 1:
        return [request("POST", PATH, secret, json.dumps(one).encode(), STRUCTURED) for one in made]
    batches = [made[start : start + size] for start in range(0, len(made), size)]
    return [request("POST", PATH, secret, json.dumps(batch).encode(), BATCHED) for batch in batches]


@contextmanager
def a_server(directory: Path, way: str) -> Iterator[Served]:
    serve = ["serve", "--data", str(directory), "--port", "0", "--json"]
    with process([sys.executable, "-m", "benchmarks.plain.door_server", way, *serve]) as served:
        yield served


if __name__ == "__main__":
    for one in rows():
        say(line(cells(one)))
