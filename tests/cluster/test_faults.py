"""Many machines that fail under load: what was acknowledged is there once, whatever failed, and in what order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tests.cluster.check import build_of
from tests.cluster.faults import KINDS, Faults, faults
from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka
from touchbook.projections.stores.clickhouse_ddl import Build
from touchbook.projections.stores.sqlite import serving
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_tails import KafkaTails

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]
FAULTS = 20
SEED = 1


@pytest.fixture
def run(kafka_server: Kafka, clickhouse_server: ClickHouse, tmp_path: Path) -> Iterator[Faults]:
    with faults(kafka_server, clickhouse_server, tmp_path, SEED) as made:
        yield made


@pytest.mark.thorough
def test_nothing_acknowledged_is_lost_nothing_counts_twice_and_all_equals_one_machine(run: Faults) -> None:
    """And the comparison that says so bites: it tells every one of five wrongs."""
    assert not run.round(FAULTS), run.told()
    assert run.happened.keys() == set(KINDS)
    assert sum(run.happened.values()) == FAULTS
    assert len(run.sent.acknowledged) == len(run.sent.items) > 1_000
    assert run.sent.poison
    assert run.sent.erased
    assert run.sent.reused
    assert run.sent.rejected

    for worker in run.workers:
        worker.kill()  # they would put some of it right
    count_a_day_twice_in_clickhouse(run)
    count_a_signal_twice_in_a_replica(run)
    write_an_old_row_last(run)
    run.sent.acknowledged["lost"], run.sent.ways["lost"] = [""], "door"
    run.sent.poison["poison-lost"] = True
    wrong = run.compare()
    assert {"lost", "set aside: poison poison-lost"} <= set(wrong.lost)
    assert [what for what in wrong.doubled if run.replicas[0].name in what]
    assert "ClickHouse: another digest of ledger" in wrong.other
    assert f"{run.replicas[0].name}: another digest of ledger" in wrong.other
    assert [what for what in wrong.other if "an old row was written last" in what]


def count_a_day_twice_in_clickhouse(run: Faults) -> None:
    table = f"{run.machines.prefix}.{Build(build_of(run.machines)).tables['ledger']}"
    run.clickhouse.execute(
        f"INSERT INTO {table} SELECT subject, day, signals, arrayMap(one -> one + 1, counts), totals, version + 1024 "
        f"FROM {table} ORDER BY version DESC LIMIT 1"
    )


def count_a_signal_twice_in_a_replica(run: Faults) -> None:
    with closing(sqlite3.connect(serving(run.replicas[0].directory) or "")) as db, db:
        row = db.execute("SELECT subject, signal, day FROM ledger LIMIT 1").fetchone()
        db.execute("UPDATE ledger SET count = 2 * count WHERE (subject, signal, day) = (?, ?, ?)", row)


def write_an_old_row_last(run: Faults) -> None:
    topic = run.machines.place.topic(f"ledgers.{build_of(run.machines)}")
    with KafkaTails(run.machines.place) as tails:
        records = tails.read(topic, 0, 0, tails.ends([(topic, 0)])[topic, 0])
    key, value = next((key, value) for key, value in reversed(records) if value and b'"rows"' in value)
    old = orjson.loads(value)
    old = {"p": old["p"] - 1024, "rows": {name: [1, 0] for name in [*old["rows"], "old"]}}
    with closing(Producer(run.machines.place)) as producer:
        producer.send([Row(topic, 0, key, orjson.dumps(old))]).result(30)
