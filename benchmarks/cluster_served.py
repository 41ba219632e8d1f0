"""What a replica of the API answers, beside one machine with the same, and how soon it shows what is new."""

from __future__ import annotations

import json
import os
import random
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice

from benchmarks.cluster_worked import OURS, joined, work
from benchmarks.clusters import Cluster, running, touchbook, until
from benchmarks.events import stream
from benchmarks.load import Answered, load, request
from benchmarks.measure import SERVERS_CORE, Served, a_book, a_server
from benchmarks.stored import customers_of
from benchmarks.visible import read_back
from touchbook.schemas.cloudevents import BATCHED
from touchbook.wiring_tools import shared_control

CONNECTIONS = 32
BATCH = 10
PUBLISHING = 128
"""Connections of those who publish and wait to see it."""


def read(cluster: Cluster, count: int) -> tuple[Answered, Answered]:
    """So many warm reads of the scores of customers at random: of a replica, and on one machine."""
    with a_replica(cluster, [SERVERS_CORE]) as (served, secret):
        replica = _read(cluster, served, secret, count)
    with a_book(cluster.alone) as book:
        secret = book.control.create_key("read-scores", "bench", None)[1]
    with a_server(cluster.alone, SERVERS_CORE) as served:
        return replica, _read(cluster, served, secret, count)


def _read(cluster: Cluster, served: Served, secret: str, count: int) -> Answered:
    people = range(min(customers_of(cluster.records), count))
    chance = random.Random(count)
    for some in (people, [chance.choice(people) for _ in range(count)]):
        asked = [request("GET", f"/v1/customers/user_id:u{person}/scores", secret) for person in some]
        answered = load(served, asked, connections=CONNECTIONS, besides=SERVERS_CORE)
    return answered


def fresh(cluster: Cluster, rate: int, seconds: int) -> Answered:
    """Small batches published to a replica, so many touchpoints a second, each batch followed by a read there that
    waits until it shows."""
    events = stream(8, customers_of(cluster.records), uneven=True)
    cores = sorted(
        os.sched_getaffinity(0)
    )  # it shares them with the broker, ClickHouse, the worker and the load
    with running(work(cluster)) as worker, a_replica(cluster, cores) as (served, _):
        joined(cluster, worker)
        publish, secret = keys_of(cluster)
        asked = [
            request("POST", "/v1/events", publish, json.dumps(list(islice(events, BATCH))).encode(), BATCHED)
            for _ in range(rate * seconds // BATCH)
        ]
        then, every = partial(read_back, secret=secret), rate / BATCH
        load(served, asked[: round(every)], connections=PUBLISHING, rate=every, then=then)
        return load(served, asked[round(every) :], connections=PUBLISHING, rate=every, then=then)


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
