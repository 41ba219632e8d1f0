"""From publishing to being seen: singles published at a fixed rate, each followed by a read that waits for it.

The clock runs from when a touchpoint fell due to the answer of a read that shows it, so queues on both sides count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from benchmarks.events import events
from benchmarks.load import load, request
from benchmarks.measure import a_book, a_directory, a_server
from benchmarks.table import Row

RATE = 500
SECONDS = 20
CONNECTIONS = 128
GOAL_MS = 300


def rows(quick: bool = False) -> Iterator[Row]:
    with a_directory() as directory:
        with a_book(directory) as book:
            publish = book.control.create_key("publish", "bench", "web")[1]
            read = book.control.create_key("agent", "desk", None)[1]
        published = [_single(one, publish) for one in events(RATE * (1 if quick else SECONDS))]
        with a_server(directory) as served:
            found = load(
                served, published, connections=CONNECTIONS, rate=RATE, then=partial(read_back, secret=read)
            )
    half, most = found.share(0.5), found.share(0.99)
    met = most < GOAL_MS and found.all_answered
    goal = f"p99 < {GOAL_MS} ms at {RATE}/s"
    yield Row(f"publish → visible, {RATE}/s falling due", found.rate, found.cpu, "", most, half, goal, met)


def _single(event: dict[str, object], secret: str) -> bytes:
    return request("POST", "/v1/events", secret, json.dumps(event).encode(), "application/cloudevents+json")


def read_back(answer: bytes, secret: str) -> bytes:
    """The read that waits for what this answer says was published."""
    position = json.loads(answer)["positions"][0]
    path = f"/v1/customers/user_id:u0/scores?min_position={position}"
    return request("GET", path, secret).replace(b"\r\n\r\n", b"\r\nPrefer: wait=10\r\n\r\n")
