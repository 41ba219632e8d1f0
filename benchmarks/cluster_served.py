"""What a replica of the API answers, beside one machine with the same, and how soon it shows what is new."""

from __future__ import annotations

import json
import os
import random
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import NamedTuple

from benchmarks.cluster_worked import OURS, joined, work
from benchmarks.clusters import Cluster, running, touchbook, until
from benchmarks.events import stream
from benchmarks.load import Answered, load, request
from benchmarks.measure import SERVERS_CORE, Served, a_book, a_server
from benchmarks.stored import customers_of
from benchmarks.visible import read_back
from touchbook.schemas.cloudevents import BATCHED, STRUCTURED
from touchbook.wiring_tools import shared_control

CONNECTIONS = 32
BATCH = 10
PUBLISHING, SINGLY = 128, 1_500
"""Connections of those who publish and wait to see it, batches and singles."""


class Reads(NamedTuple):
    """`first`: the context of each customer, of whom nothing was asked before. `scores`: warm, of some at random."""

    first: Answered
    scores: Answered


def read(cluster: Cluster, count: int) -> tuple[Reads, Reads]:
    """So many reads of a replica, and on one machine."""
    with a_replica(cluster, [SERVERS_CORE]) as (served, secret):
        replica = _read(cluster, served, secret, count)
    with a_book(cluster.alone) as book:
        secret = book.control.create_key("agent", "bench", None)[1]
    with a_server(cluster.alone, SERVERS_CORE) as served:
        return replica, _read(cluster, served, secret, count)


def _read(cluster: Cluster, served: Served, secret: str, count: int) -> Reads:
    people = range(min(customers_of(cluster.records), count))
    chance = random.Random(count)

    def asked(what: str, some: Iterable[int], connections: int) -> Answered:
        requests = [request("GET", f"/v1/customers/user_id:u{person}/{what}", secret) for person in some]
        return load(served, requests, connections=connections, besides=SERVERS_CORE)

    first = asked("context", people, 1)
    asked("scores", people, CONNECTIONS)
    return Reads(first, asked("scores", [chance.choice(people) for _ in range(count)], CONNECTIONS))


class Fresh(NamedTuple):
    batches: Answered
    singles: Answered


def fresh(cluster: Cluster, rate: int, seconds: int) -> Fresh:
    """So many touchpoints a second published to a replica, in small batches and then one by one, each request followed
    by a read there that waits until it shows."""
    events = stream(8, customers_of(cluster.records), uneven=True)
    cores = sorted(
        os.sched_getaffinity(0)
    )  # it shares them with the broker, ClickHouse, the worker and the load
    with running(work(cluster)) as worker, a_replica(cluster, cores) as (served, _):
        joined(cluster, worker)
        publish, secret = keys_of(cluster)
        batches = [
            request("POST", "/v1/events", publish, json.dumps(list(islice(events, BATCH))).encode(), BATCHED)
            for _ in range(rate * seconds // BATCH)
        ]
        singles = [
            request("POST", "/v1/events", publish, json.dumps(one).encode(), STRUCTURED)
            for one in islice(events, rate * seconds // 2)
        ]
        return Fresh(
            _seen(served, batches, rate // BATCH, PUBLISHING, secret),
            _seen(served, singles, rate, SINGLY, secret),
        )


def _seen(served: Served, asked: list[bytes], rate: int, connections: int, secret: str) -> Answered:
    """So many requests a second, after a second of warming up."""
    then = partial(read_back, secret=secret)
    load(served, asked[:rate], connections=connections, rate=rate, then=then)
    return load(served, asked[rate:], connections=connections, rate=rate, then=then)


@contextmanager
def a_replica(cluster: Cluster, cores: Sequence[int]) -> Iterator[tuple[Served, str]]:
    """A replica on these cores that has read all there is, and a key that reads there."""
    secret = keys_of(cluster)[1]
    command = touchbook("serve", "--config", cluster.config("replica", OURS), "--port", 0, "--json")
    with running(command, cores) as process:
        assert process.stdout is not None
        host, _, port = json.loads(process.stdout.readline())["url"].removeprefix("http://").rpartition(":")
        served = Served(host, int(port), process.pid, 0.0)
        until(process, lambda: _is_ready(served), 120)
        yield served, secret


def _is_ready(served: Served) -> bool:
    try:
        with urllib.request.urlopen(f"{served.url}/readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def keys_of(cluster: Cluster) -> tuple[str, str]:
    """Keys that publish and read."""
    with shared_control(cluster.settings(OURS)) as control:
        publish, read = (
            control.create_key("publish", "bench", "web"),
            control.create_key("agent", "bench", None),
        )
        return publish[1], read[1]
