"""Brokers that do not have as many copies as they must, and partitions that go over to another leader."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaError

from tests.servers.kafka import Another, Kafka
from tests.streams.test_worker_on_servers import (
    BENCH,
    PARTS,
    a_history,
    caught_up,
    digest,
    lag,
    on_one_machine,
    tell,
)
from tests.streams.touchpoints import Clock, many
from tests.streams.working import Plan, make_topics, opened, working
from touchbook.errors import JournalUnavailable
from touchbook.identity import IdentityRules
from touchbook.streams.admission import Item
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_producer import Producer
from touchbook.streams.backends.kafka_tails import KafkaTails
from touchbook.streams.backends.kafka_topics import Identity, ensure, ensure_build
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.journal import Journal
from touchbook.wiring import now

pytestmark = pytest.mark.server


IDENTITY = Identity("key", b"wrapped")


def keys_in(journal: Journal) -> list[str]:
    return [record.key for part in range(journal.parts) for record in journal.read(part=part)]


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.05)


@dataclass(frozen=True)
class Pair:
    first: Kafka
    other: Another

    def place(self, prefix: str) -> KafkaPlace:
        return KafkaPlace(bootstrap=(self.first.bootstrap, self.other.bootstrap), prefix=prefix)


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two; what groups have acknowledged is with the first alone."""
    with Kafka(tmp_path_factory.mktemp("first")) as first:
        nobody = KafkaPlace(bootstrap=(first.bootstrap,), prefix="nobody")
        ensure(nobody, rules=IdentityRules(), identity=lambda: IDENTITY, parts=1)
        with KafkaTails(nobody, "nobody") as tails:
            tails.lag([(nobody.topic("journal"), 0)])
        with Another(first, tmp_path_factory.mktemp("other")) as other:
            yield Pair(first, other)


@pytest.fixture
def pair(brokers: Pair) -> Pair:
    brokers.first.start()
    brokers.other.start()
    return brokers


def planned(pair: Pair, store: str, folder: Path, journal: int, published: int) -> Plan:
    """Topics with two replicas, of which so many must have a record."""
    prefix = f"t{secrets.token_hex(4)}"
    plan = Plan(data=str(folder), bootstrap=pair.first.bootstrap, prefix=prefix, store=store)
    place = pair.place(prefix)
    ensure(
        place, rules=IdentityRules(), identity=lambda: IDENTITY, parts=PARTS, replicas=2, min_insync=journal
    )
    ensure_build(place, plan.build, replicas=2, min_insync=published)
    make_topics(plan, PARTS)
    return plan


def test_what_too_few_replicas_have_is_not_known_and_counts_once_when_it_is_sent_again(
    pair: Pair, clickhouse: str, tmp_path: Path
) -> None:
    history = a_history(300, seed=3)
    expected, _ = on_one_machine(history)
    plan = planned(pair, clickhouse, tmp_path, journal=2, published=1)
    with opened(plan, delivery_seconds=2) as door, working(plan) as worker:
        tell(door, history[:100])
        caught_up(plan, worker)
        before, counted = len(keys_in(door.journal)), worker.total("records_total")
        pair.other.kill()
        wait_until(lambda: in_sync(plan.place) == {pair.first.node})
        items = [Item("cloudevents", one, {}) for one in history[100:]]
        asked = [door.admission.admit(items[start : start + 50], BENCH, now()) for start in (0, 50, 100)]
        for told in asked:
            with pytest.raises(JournalUnavailable, match="not acknowledged within 2 seconds"):
                told.result(60)
        assert door.journal.failing() is not None  # though every partition has a leader
        assert (len(keys_in(door.journal)), worker.total("records_total")) == (before, counted)

        pair.other.start()
        wait_until(lambda: len(in_sync(plan.place)) == 2)
        tell(door, history[100:])
        caught_up(plan, worker)
        assert door.journal.failing() is None
        assert worker.end() == 0
    assert digest(plan) == expected


@pytest.mark.thorough
def test_a_worker_acknowledges_nothing_that_too_few_replicas_were_told(
    pair: Pair, clickhouse: str, tmp_path: Path
) -> None:
    history = a_history(300, seed=4)
    expected, _ = on_one_machine(history)
    plan = planned(pair, clickhouse, tmp_path, journal=1, published=2)
    with opened(plan) as door, working(replace(plan, settings={"session_seconds": 6.0})) as worker:
        tell(door, history[:100])
        caught_up(plan, worker)
        pair.other.kill()
        wait_until(lambda: in_sync(plan.place) == {pair.first.node})
        behind = len(keys_in(door.journal))
        tell(door, history[100:])
        behind = len(keys_in(door.journal)) - behind
        worker.until(lambda: "not acknowledged" in worker.ask("/readyz")[1], 90)
        assert lag(plan) == behind
        pair.other.start()
        caught_up(plan, worker)
        worker.until(lambda: worker.ask("/readyz")[0] == 200)
        assert worker.end() == 0
    assert digest(plan) == expected


@pytest.mark.thorough
def test_a_partition_that_goes_over_to_another_leader_loses_nothing_that_was_answered(
    pair: Pair, tmp_path: Path
) -> None:
    place = pair.place("led")
    ensure(place, rules=IdentityRules(), identity=lambda: IDENTITY, parts=PARTS, replicas=2, min_insync=1)
    with (
        closing(SqliteKeyring.at(tmp_path)) as keyring,
        closing(Producer(place, 20)) as producer,
        closing(KafkaJournal.at(place, keyring, Clock(), producer)) as journal,
    ):
        answered: dict[int, str] = {}

        def append(since: int) -> None:
            sent = many(40, since=since)
            told = journal.append(sent).result(60)
            answered.update(zip((one.position for one in told), (one.key for one in sent), strict=True))

        append(0)
        assert leaders(place) == {pair.first.node, pair.other.node}
        pair.other.kill()
        for number in range(1, 6):  # some are under way while the first takes over
            append(100 * number)
        assert leaders(place) == {pair.first.node}
        pair.other.start()
        wait_until(lambda: len(in_sync(place)) == 2)
        append(1_000)
        there = {record.position: record.key for part in range(PARTS) for record in journal.read(part=part)}
        assert {position: there.get(position) for position in answered} == answered


def partitions(place: KafkaPlace) -> list[dict[str, Any]]:
    """As brokers describe them; asked again where it was one that is away."""
    deadline = time.monotonic() + 30
    while True:
        with suppress(KafkaError), closing(place.admin()) as admin:
            [topic] = admin.describe_topics([place.topic("journal")])
            return list(topic["partitions"])
        assert time.monotonic() < deadline, "nobody describes it"


def leaders(place: KafkaPlace) -> set[int]:
    return {part["leader_id"] for part in partitions(place)}


def in_sync(place: KafkaPlace) -> set[int]:
    """Who has a copy of every partition."""
    return set.intersection(*(set(part["isr_nodes"]) for part in partitions(place)))
