"""How fast a worker folds a journal, and how fast the plain ones do."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from benchmarks.clusters import PARTS, PREFIX, Cluster, Process, Sums, running, touchbook, until
from benchmarks.measure import cpu_of
from benchmarks.plain.stream_job import FIRST_RECORD, build_of, command_of
from touchbook.projections.stores.clickhouse import ClickHouse
from touchbook.projections.stores.clickhouse_ddl import Build, make_build, migrate
from touchbook.streams.backends.kafka_tails import KafkaTails
from touchbook.streams.backends.kafka_topics import JOURNAL

OURS = "ours"
"""The worker's database."""


class Worked(NamedTuple):
    """What a worker took for the whole journal."""

    rate: float
    cpu: float
    """Microseconds of the process for each record."""
    memory: int
    """Bytes it held at most."""


def ours(cluster: Cluster) -> Worked:
    """`touchbook work`, from when it has joined its group until all are acknowledged."""
    with _database(cluster, OURS):
        return _worked(cluster, work(cluster), _group_of(cluster), partial(joined, cluster))


def work(cluster: Cluster) -> list[str]:
    return touchbook("work", "--config", cluster.config("worker", OURS))


def _group_of(cluster: Cluster) -> str:
    return f"{PREFIX}-{build_of(cluster.settings(OURS))}"


def plain(cluster: Cluster, name: str) -> Worked:
    """A plain worker, from its first record until all are acknowledged."""
    settings = cluster.settings(name)
    with _database(cluster, name) as url:
        tables = ClickHouse.of(url)
        migrate(tables)
        make_build(tables, build_of(settings))
        command = command_of(f"benchmarks.plain.{name}_worker", cluster.config(name, name))
        return _worked(cluster, command, f"{PREFIX}.{name}", _first_said)


@contextmanager
def _database(cluster: Cluster, name: str) -> Iterator[str]:
    """A database for one worker, which must have filled it by the end."""
    cluster.clickhouse.execute(f"CREATE DATABASE {name}")
    url = cluster.clickhouse.url(name)
    yield url
    found = _sums(ClickHouse.of(url), Build(build_of(cluster.settings(name))).tables)
    assert found == cluster.expected, f"{name} left {found}, expected {cluster.expected}"


def _sums(tables: ClickHouse, names: Mapping[str, str]) -> Sums:
    [(entries,)] = tables.execute(f"SELECT count() FROM {names['entries']} FINAL")
    asked = "sum(length(signals)), sum(arraySum(counts)), sum(arraySum(totals))"
    [(rows, counts, totals)] = tables.execute(f"SELECT {asked} FROM {names['ledger']} FINAL")
    [(registers,)] = tables.execute(f"SELECT count() FROM {names['registers']} FINAL")
    return Sums(entries, rows, counts, totals, registers)


def _worked(cluster: Cluster, command: list[str], group: str, wait: Callable[[Process], None]) -> Worked:
    """Runs a worker from what `wait` waits for until its group has acknowledged the journal."""
    places = [(cluster.place.topic(JOURNAL), part) for part in range(PARTS)]
    with running(command) as process, closing(KafkaTails(cluster.place, group)) as tails:
        wait(process)
        began, used = time.perf_counter(), cpu_of(process.pid)
        until(process, lambda: not any(tails.lag(places).values()))
        seconds, cpu = time.perf_counter() - began, cpu_of(process.pid) - used
        return Worked(cluster.records / seconds, cpu / cluster.records * 1e6, _most_memory(process.pid))


def _first_said(process: Process) -> None:
    """Waits for a plain worker's first record."""
    assert process.stdout is not None
    said: list[str] = []
    threading.Thread(target=said.extend, args=(process.stdout,), daemon=True).start()
    until(process, lambda: FIRST_RECORD in said, 60)


def joined(cluster: Cluster, process: Process) -> None:
    """Waits until our worker was given its partitions."""
    with closing(cluster.place.admin()) as admin:
        until(process, lambda: _group_of(cluster) in _stable(admin), 60)


def _stable(admin: KafkaAdminClient) -> set[str]:
    try:
        return {one["group_id"] for one in admin.list_groups(states_filter=["Stable"])}
    except KafkaError:  # there has never been a group
        return set()


def _most_memory(pid: int) -> int:
    """Bytes that a process held at most (Linux)."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024
