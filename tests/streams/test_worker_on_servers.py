"""Workers on real servers against one machine: the same touchpoints give the same projections, to the last byte."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from benchmarks.events import SOURCE, stream
from tests.books import a_book, folded
from tests.servers.clickhouse import ClickHouse as Server
from tests.streams.working import Opened, Plan, Worker, make_topics, opened, working
from touchbook.positions import position_in
from touchbook.projections.compacted import KINDS, Marker, decode, encode
from touchbook.projections.stores.clickhouse import ClickHouse
from touchbook.projections.stores.clickhouse_reader import ClickHouseReader
from touchbook.projections.stores.clickhouse_store import ClickHouseStore
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_tails import KafkaTails
from touchbook.wiring import now

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]
BENCH = Publisher(SOURCE, "web")
PARTS = 4
Event = dict[str, Any]


@pytest.fixture
def plan(kafka: KafkaPlace, clickhouse: str, tmp_path: Path) -> Plan:
    made = Plan(data=str(tmp_path), bootstrap=kafka.bootstrap[0], prefix=kafka.prefix, store=clickhouse)
    make_topics(made, PARTS)
    return made


@pytest.fixture
def door(plan: Plan) -> Iterator[Opened]:
    with opened(plan) as parts:
        yield parts


def a_history(count: int, seed: int = 5) -> list[Event]:
    """Believable touchpoints; one in twelve is sent again later, one in forty again with other content."""
    chance = random.Random(seed)
    history: list[Event] = []
    for event in islice(stream(seed, 150, uneven=True), count):
        history.append(event)
        if chance.random() < 1 / 12:
            history.append(chance.choice(history))
        if chance.random() < 1 / 40:
            history.append({**(again := chance.choice(history)), "data": {**again["data"], "note": "other"}})
    return history


def tell(door: Opened, history: Sequence[Event]) -> None:
    waiting = [
        door.admission.admit(
            [Item("cloudevents", one, {}) for one in history[start : start + 250]], BENCH, now()
        )
        for start in range(0, len(history), 250)
    ]
    for told in waiting:
        told.result(60)


def on_one_machine(history: Sequence[Event]) -> tuple[dict[str, str], set[str]]:
    """The digests, and the keys of what was set aside."""
    with a_book(max_queue=100_000) as book:
        outcomes = book.admission.admit(
            [Item("cloudevents", one, {}) for one in history], BENCH, now()
        ).result(60)
        reused = {one.key for one in outcomes if one.code == "id_reused"}
        return folded(book).projections.digest(), reused


def digest(plan: Plan) -> dict[str, str]:
    clickhouse = ClickHouse.of(plan.store)
    try:
        return ClickHouseReader(clickhouse, plan.build).digest()
    finally:
        clickhouse.close()


def lag(plan: Plan) -> int:
    with KafkaTails(plan.place, f"{plan.prefix}-{plan.build}") as tails:
        return sum(tails.lag([(plan.place.topic("journal"), part) for part in range(PARTS)]).values())


def caught_up(plan: Plan, worker: Worker) -> None:
    worker.until(lambda: lag(plan) == 0, 120)


def published(plan: Plan) -> dict[tuple[str, Any], Any]:
    """What a reader of the compacted topics knows in the end: of each row what stands at the greatest position."""
    known: dict[tuple[str, Any], Any] = {}
    with KafkaTails(plan.place) as tails:
        for kind in KINDS:
            topic = plan.place.topic(f"{kind}.{plan.build}")
            for (_, part), end in tails.ends([(topic, part) for part in range(PARTS)]).items():
                for key, value in tails.read(topic, part, 0, end):
                    told = decode(kind, key, value)
                    if told is None or isinstance(told, Marker):
                        continue
                    before = known.get((kind, key))
                    if before is None or before.position <= told.position:
                        known[kind, key] = told
    return {name: told[:-1] for name, told in known.items()}


def kept_by_brokers(plan: Plan) -> dict[tuple[str, Any], Any]:
    """What stays once brokers have compacted: of each row what was written last."""
    kept: dict[tuple[str, Any], Any] = {}
    with KafkaTails(plan.place) as tails:
        for kind in KINDS:
            topic = plan.place.topic(f"{kind}.{plan.build}")
            for (_, part), end in tails.ends([(topic, part) for part in range(PARTS)]).items():
                for key, value in tails.read(topic, part, 0, end):
                    told = decode(kind, key, value)
                    if told is not None and not isinstance(told, Marker):
                        kept[kind, key] = told[:-1]
    return kept


def test_the_same_touchpoints_give_the_same_projections_as_on_one_machine(plan: Plan, door: Opened) -> None:
    history = a_history(3_000)
    expected, reused = on_one_machine(history)
    with working(plan) as worker:
        tell(door, history[:1_500])
        worker.joined()
        tell(door, history[1_500:])
        caught_up(plan, worker)
        assert worker.end() == 0
    assert digest(plan) == expected
    aside = door.control.list_set_aside(limit=500)[0]
    assert len(aside) == len(reused) > 0
    again = [door.admission.redrive(one.key).result(30) for one in aside]
    assert {(one.outcome, one.code) for one in again} == {("rejected", "id_reused")}
    assert door.control.list_set_aside(limit=500)[0] == aside
    assert lag(plan) == 0  # and nothing of it went into the journal to be set aside once more
    assert published(plan) == kept_by_brokers(plan)
    assert published(plan) == stored(plan)


def stored(plan: Plan) -> dict[tuple[str, Any], Any]:
    """What the store says of all who were published."""
    subjects = {told[0] for told in published(plan).values()}
    clickhouse = ClickHouse.of(plan.store)
    try:
        rows = ClickHouseStore(clickhouse, plan.build).standing(subjects, position_in(0, 0), 0)
    finally:
        clickhouse.close()
    told = {(kind, key): decode(kind, key, value) for kind, all in encode(rows).items() for key, value in all}
    return {name: row[:-1] for name, row in told.items() if row is not None}


@pytest.mark.long
def test_workers_that_are_killed_and_held_still_lose_nothing_and_count_nothing_twice(
    plan: Plan, door: Opened
) -> None:
    chance = random.Random(11)
    history = a_history(6_000, seed=7)
    expected, _ = on_one_machine(history)
    quick = replace(plan, pace=(300, 0.05), settings={"fetch_bytes": 64 * 1024, "session_seconds": 6.0})
    with ExitStack() as stack:
        workers = [stack.enter_context(working(quick)) for _ in range(2)]
        for start in range(0, len(history), 1_000):
            tell(door, history[start : start + 1_000])
            time.sleep(chance.uniform(0.3, 1.5))
            victim = chance.randrange(2)
            if chance.random() < 0.6:
                workers[victim].kill()
                workers[victim] = stack.enter_context(working(quick))
            else:
                workers[victim].signal(signal.SIGSTOP)
                time.sleep(8)  # past its session
                workers[victim].signal(signal.SIGCONT)
        caught_up(plan, workers[0])
        time.sleep(11)  # each looks once, whether somebody wrote behind his back
    assert digest(plan) == expected
    assert published(plan) == kept_by_brokers(plan)


@pytest.mark.thorough
def test_while_the_store_is_away_it_keeps_its_parts_and_goes_on_when_it_is_back(
    plan: Plan, door: Opened, clickhouse_server: Server
) -> None:
    history = a_history(1_200, seed=9)
    expected, _ = on_one_machine(history)
    with working(plan) as worker:
        worker.joined()
        tell(door, history[:400])
        caught_up(plan, worker)
        clickhouse_server.kill()
        try:
            tell(door, history[400:])
            worker.until(lambda: "Unavailable" in worker.ask("/readyz")[1])
            time.sleep(12)  # longer than a session
            assert worker.ask("/healthz")[0] == 200
            assert lag(plan) == len(history) - 400
        finally:
            clickhouse_server.start()
        caught_up(plan, worker)
        assert worker.ask("/readyz")[0] == 200
        assert worker.total("rebalances_total") == 1
    assert digest(plan) == expected
