"""Reserving contacts over HTTP beside live publishing: the server on one core, both loads on another."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.doors import row
from benchmarks.events import CUSTOMERS, events
from benchmarks.load import Answered, load, request
from benchmarks.measure import SERVERS_CORE, Served, a_book, a_directory, a_server
from benchmarks.stored import fill
from benchmarks.table import Row
from touchbook.streams.follow import catch_up

TOUCHPOINTS = 40_000
ASKED = 15_000
RATE = 1_500
PUBLISHED_A_SECOND = 100
CONNECTIONS = 64
"""Half as many are a queue of the load's own at the goal's rate, once an answer takes 21 ms."""
SOME, TOGETHER = 10, 100
GOAL = "≥ 1,500/s, p99 < 20"
POLICY = """
policy: 1
versions:
- version: bench-1
  from: 1970-01-01
  contact:
    caps:
    - {name: three a day, most: 3, window: 1d}
    - {name: offers a week, most: 5, window: 7d, purposes: [offer]}
"""


def rows(quick: bool = False) -> Iterator[Row]:
    count = ASKED // 10 if quick else ASKED
    with a_directory() as directory:
        reserving, publishing = _prepared(directory / "book", 2_000 if quick else TOUCHPOINTS)
        (directory / "policy.yaml").write_text(POLICY)
        os.environ["TOUCHBOOK_POLICY"] = str(directory / "policy.yaml")
        try:
            with a_server(directory / "book", SERVERS_CORE) as served:
                alone = _reserve(served, reserving, count, None)
                beside = _beside(served, reserving, publishing, count)
                some = _beside(served, reserving, publishing, count, SOME)
                together = _reserve(served, reserving, count, None, TOGETHER)
        finally:
            del os.environ["TOUCHBOOK_POLICY"]
    yield row(f"reserve, two caps, one core, {CONNECTIONS} connections", alone, 1)
    met = beside.rate >= 0.99 * RATE and beside.share(0.99) < 20 and beside.all_answered
    yield row(f"  {RATE:,}/s beside {PUBLISHED_A_SECOND}/s published", beside, 1, "", GOAL, met)
    yield row(f"  the same, {SOME} customers a call", some, SOME)
    yield row(f"  {TOGETHER} customers a call, 4 connections", together, TOGETHER)


def _prepared(directory: Path, touchpoints: int) -> tuple[str, str]:
    """A book, folded; a key that reserves and one that publishes."""
    with a_book(directory) as book:
        fill(book, events(touchpoints))
        catch_up(book.journal, book.projections, book.folder)
        make = book.control.create_key
        return make("channel", "bench", "email")[1], make("publish", "bench-shop", "web")[1]


def _beside(served: Served, reserving: str, publishing: str, count: int, together: int = 1) -> Answered:
    """At a fixed rate, while others publish at theirs."""
    calls = [
        _published(f"{together}-{number}", number, publishing)
        for number in range(count * PUBLISHED_A_SECOND // RATE)
    ]
    other = threading.Thread(
        target=load, args=(served, calls), kwargs={"rate": PUBLISHED_A_SECOND, "besides": SERVERS_CORE}
    )
    other.start()
    answered = _reserve(served, reserving, count, RATE, together)
    other.join()
    return answered


def _reserve(served: Served, secret: str, count: int, rate: float | None, together: int = 1) -> Answered:
    rnd = random.Random(count)
    asked = [_asked(rnd.randrange(CUSTOMERS), f"{rate}-{together}-{number}") for number in range(count)]
    bodies = asked if together == 1 else _in_calls(asked, together)
    calls = [request("POST", "/v1/contact:reserve", secret, json.dumps(body).encode()) for body in bodies]
    connections = CONNECTIONS if together < TOGETHER else 4
    due = None if rate is None else rate / together
    return load(served, calls, connections=connections, rate=due, besides=SERVERS_CORE)


def _asked(person: int, id: str) -> dict[str, Any]:
    return {"ref": f"user_id:u{person}", "channel": "email", "purpose": "support", "id": id}


def _in_calls(asked: list[dict[str, Any]], together: int) -> list[dict[str, Any]]:
    return [{"items": asked[start : start + together]} for start in range(0, len(asked), together)]


def _published(name: str, number: int, secret: str) -> bytes:
    body = {
        "userId": f"u{number % CUSTOMERS}",
        "event": "Product Viewed",
        "messageId": f"live-{name}",
        "properties": {"product_id": f"p-{number % 50}"},
    }
    return request("POST", "/v1/track", secret, json.dumps(body).encode())
