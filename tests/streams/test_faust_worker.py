"""The worker as a process of its own, on a real broker: how it joins, takes in what comes, and ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.books import event
from tests.servers.kafka import Kafka
from tests.streams.names import POISON, produce
from tests.streams.topics import MemoryStore
from tests.streams.working import Opened, Plan, Worker, make_topics, opened, working
from touchbook.settings import settings_from
from touchbook.streams import faust_transport, faust_worker, worker_reading
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_tails import KafkaTails
from touchbook.streams.control import SetAside
from touchbook.streams.faust_worker import WorkerParts, WorkerSettings, _Working
from touchbook.wiring import catalogue_of, now

pytestmark = pytest.mark.server
SHOP = Publisher("shop", "web_chat")
PARTS = 4


@pytest.fixture
def plan(kafka: KafkaPlace, tmp_path: Path) -> Plan:
    made = Plan(data=str(tmp_path), bootstrap=kafka.bootstrap[0], prefix=kafka.prefix)
    make_topics(made, PARTS)
    return made


@pytest.fixture
def door(plan: Plan) -> Iterator[Opened]:
    with opened(plan) as parts:
        yield parts


def tell(door: Opened, count: int, start: int = 0) -> None:
    items = [
        Item("cloudevents", event("visited", id=f"v{n}", who=f"person-{n % 40}"), {})
        for n in range(start, start + count)
    ]
    door.admission.admit(items, SHOP, now()).result(30)


def lag(plan: Plan) -> int:
    with KafkaTails(plan.place, f"{plan.prefix}-{plan.build}") as tails:
        return sum(tails.lag([(plan.place.topic("journal"), part) for part in range(PARTS)]).values())


# Folding


def test_it_folds_what_is_there_and_what_comes_and_acknowledges_all_of_it(plan: Plan, door: Opened) -> None:
    tell(door, 500)
    with working(plan) as worker:
        worker.until(lambda: worker.total("records_total") == 500)
        tell(door, 300, 500)
        worker.until(lambda: worker.total("records_total") == 800)
        status, said = worker.ask("/readyz")
        assert (status, json.loads(said)) == (200, {"status": "ok"})
        assert worker.ask("/healthz")[0] == 200
        assert worker.ask("/elsewhere")[0] == 404
        worker.until(lambda: 'touchbook_worker_lag_records{part="3"} 0.0' in worker.ask("/metrics")[1])
        assert worker.end() == 0
    assert lag(plan) == 0
    with working(plan) as worker:  # goes on where the other stopped
        tell(door, 10, 800)
        worker.until(lambda: worker.total("records_total") == 10)


def test_two_workers_share_the_parts_and_one_that_is_killed_is_taken_over_from(
    plan: Plan, door: Opened
) -> None:
    tell(door, 100)
    with working(plan) as first, working(plan) as second:
        first.until(lambda: first.total("records_total") + second.total("records_total") >= 100)
        first.joined()
        second.joined()
        second.until(
            lambda: parts_of(first) and parts_of(second) and len(parts_of(first) | parts_of(second)) == 4
        )
        first.kill()
        tell(door, 100, 100)
        second.until(lambda: len(parts_of(second)) == 4)
        second.until(lambda: lag(plan) == 0)


def parts_of(worker: Any) -> set[str]:
    lines = worker.ask("/metrics")[1].splitlines()
    return {line.split('"')[1] for line in lines if line.startswith("touchbook_worker_lag_records{")}


def test_what_is_lost_between_the_broker_and_the_fold_is_read_again(
    plan: Plan, door: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when Faust empties its queues, which it does whenever partitions were given out."""
    turns, rnd = itertools.count(), random.Random(7)
    whole = faust_transport.Conductor._compile_message_handler

    def with_holes(conductor: faust_transport.Conductor) -> Callable[[Any], Any]:
        deliver = whole(conductor)

        async def on_message(message: Any) -> None:
            if not next(turns) or rnd.random() < 0.75:
                await deliver(message)

        return on_message

    monkeypatch.setattr(faust_transport.Conductor, "_compile_message_handler", with_holes)
    monkeypatch.setattr(faust_transport, "MAX_PACK", 10)
    monkeypatch.setattr(worker_reading, "LOST_SECONDS", 0.5)
    store, ended = MemoryStore(), threading.Event()
    parts = WorkerParts(
        place=plan.place, build=plan.build, catalogue=catalogue_of(settings_from(data=Path(plan.data))),
        journal=door.journal, control=door.control, producer=door.producer, clock=now, store=store,
    )  # fmt: skip
    settings = WorkerSettings(commit_seconds=0.2)
    before = asking_brokers()
    thread = threading.Thread(target=lambda: _Working(parts, settings, tmp_path, ended.is_set).run())
    thread.start()
    try:
        tell(door, 300)
        deadline = time.monotonic() + 60
        while lag(plan) and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        ended.set()
        thread.join()
    assert asking_brokers() <= before, "a client that it left open goes on for as long as the process"
    assert next(turns) > 30
    assert (lag(plan), len(store.entries)) == (0, 300)


def asking_brokers() -> set[threading.Thread]:
    """Those of clients of kafka-python's."""
    return {one for one in threading.enumerate() if one.name.startswith("kafka-io")}


@pytest.mark.parametrize("folds", [True, False], ids=["the journal", "ingress topics"])
def test_what_cannot_be_taken_ends_it_and_is_read_again_by_the_next(
    plan: Plan,
    door: Opened,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    folds: bool,
) -> None:
    """Faust passes over it, and then nothing behind it would ever be committed."""
    fails, wrote = iter([False, True]), "hello from ann@example.test"
    of, name = (faust_worker.Gathering, "take") if folds else (faust_worker._Doormen, "_taken")
    whole = getattr(of, name)

    def failing_once(self: Any, taken: Any) -> Any:
        if next(fails, False):
            raise ZeroDivisionError(wrote)
        return whole(self, taken)

    monkeypatch.setattr(of, name, failing_once)
    monkeypatch.setattr(faust_transport, "MAX_PACK", 10)
    store = MemoryStore() if folds else None
    parts = WorkerParts(
        place=plan.place, build=plan.build, catalogue=catalogue_of(settings_from(data=Path(plan.data))),
        journal=door.journal, control=door.control, producer=door.producer, clock=now, store=store,
        admission=None if folds else door.admission,
    )  # fmt: skip
    if folds:
        tell(door, 100)
    else:
        make_topics(plan, PARTS, ("shop",))
        said = [json.dumps(event("visited", id=f"i{n}")).encode() for n in range(100)]
        door.producer.send([ingress_row(plan, "shop", one) for one in said]).result(30)

    def behind() -> int:
        return lag(plan) if folds else ingress_lag(plan, "shop")

    def work() -> int:
        deadline = time.monotonic() + 60

        def done() -> bool:
            return not behind() or time.monotonic() > deadline

        with ThreadPoolExecutor() as pool:
            return pool.submit(lambda: _Working(parts, WorkerSettings(), tmp_path, done).run()).result()

    assert work() == 1
    assert "could not be taken: ZeroDivisionError" in caplog.text
    assert "ann@" not in caplog.text
    assert behind() > 0
    assert work() == 0
    assert behind() == 0
    assert store is None or len(store.entries) == 100


# Ending


def test_asked_to_stop_with_nothing_in_its_way_it_ends_well(plan: Plan) -> None:
    with working(plan) as worker:
        worker.joined()
        assert worker.end() == 0
        assert "stop_seconds" not in worker.said()
        assert told(worker) == [
            {"state": "working", "build": plan.build, "url": f"http://127.0.0.1:{worker.port}"},
            {"state": "ending", "because": None},
        ]


def told(worker: Worker) -> list[dict[str, Any]]:
    """What it tells programs of itself."""
    lines = worker.log.read_text().splitlines()
    return [json.loads(line.removeprefix("told ")) for line in lines if line.startswith("told ")]


@pytest.mark.thorough
def test_asked_to_stop_while_it_waits_for_a_dead_member_it_ends_in_time(plan: Plan) -> None:
    with working(plan) as dead:
        dead.joined()
        dead.kill()
        with working(plan) as joining:
            joining.until(lambda: joining.ask("/healthz")[0] == 200)
            time.sleep(1.5)
            assert joining.ask("/readyz")[0] == 503
            code = joining.end()
            assert code == 0 or "stop_seconds" in joining.said()


@pytest.mark.thorough
def test_asked_to_stop_when_the_broker_is_gone_it_ends_in_time_and_says_why(
    plan: Plan, door: Opened, kafka_server: Kafka
) -> None:
    with working(plan) as worker:
        worker.joined()
        tell(door, 10)
        worker.until(lambda: worker.total("records_total") == 10)
        kafka_server.kill()
        try:
            time.sleep(2)
            code = worker.end()
            assert (code, "stop_seconds" in worker.said()) in [(0, False), (1, True)]
        finally:
            kafka_server.start()


@pytest.mark.thorough
def test_it_goes_on_when_the_broker_comes_back(plan: Plan, door: Opened, kafka_server: Kafka) -> None:
    with working(plan) as worker:
        worker.joined()
        kafka_server.kill()
        time.sleep(2)
        kafka_server.start()
        tell(door, 50)
        worker.until(lambda: worker.total("records_total") == 50)
        worker.until(lambda: lag(plan) == 0)


@pytest.mark.thorough
def test_what_stands_still_for_no_known_reason_is_ended(plan: Plan, door: Opened) -> None:
    tell(door, 10)
    with working(Plan(**{**plan.__dict__, "store": "stuck", "settings": {"watchdog_seconds": 4}})) as worker:
        assert worker.process.wait(60) == 1
        assert "no progress for" in worker.said()
        assert "no progress for" in told(worker)[-1]["because"]
    assert lag(plan) == 10


def test_a_journal_that_this_version_cannot_read_ends_it_and_is_not_drained(plan: Plan) -> None:
    with closing(Producer(plan.place)) as producer:
        producer.send([Row(plan.place.topic("journal"), 1, b"x", b"y") for _ in range(20)]).result(60)
    with working(plan) as worker:
        assert worker.process.wait(60) == 1
        assert "Install a version that can" in worker.said()
    assert lag(plan) == 20


# Security


def test_it_reaches_brokers_with_tls_and_a_password(plan: Plan, door: Opened, kafka_server: Kafka) -> None:
    secret = Path(plan.data) / "password"
    secret.write_text(kafka_server.password)
    secured = {
        "tls": True, "ca": str(kafka_server.ca_file), "sasl": "SCRAM-SHA-512", "username": kafka_server.username,
        "password_file": str(secret),
    }  # fmt: skip
    tell(door, 20)
    with working(
        Plan(**{**plan.__dict__, "bootstrap": kafka_server.secure_bootstrap, "secured": secured})
    ) as worker:
        worker.until(lambda: worker.total("records_total") == 20)
        assert worker.end() == 0
        assert kafka_server.password not in worker.log.read_text()


# Ingress


def ingress_row(
    plan: Plan, source: str, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
) -> Row:
    structured = [("content-type", b"application/cloudevents+json")]
    return Row(
        plan.place.topic(f"ingress.{source}"),
        0,
        None,
        value,
        structured if headers is None else headers,
        now(),
    )


def test_ingress_topics_are_read_those_too_that_are_made_later(plan: Plan, door: Opened) -> None:
    make_topics(plan, PARTS, ("shop",))
    with (
        closing(Producer(plan.place)) as producer,
        working(Plan(**{**plan.__dict__, "fold": False, "ingress": True})) as worker,
    ):
        worker.joined()
        good = [json.dumps(event("visited", id=f"i{n}")).encode() for n in range(50)]
        poison: list[bytes | None] = [b"{", None, b"\xff", b'{"n": NaN}', b"[]", b"x" * 2_000_000]
        mixed = [value for n, one in enumerate(good) for value in (one, *poison[n : n + 1])]
        producer.send([ingress_row(plan, "shop", value) for value in mixed]).result(30)
        worker.until(lambda: worker.total("ingress_accepted_total") == 50)
        worker.until(lambda: ingress_lag(plan, "shop") == 0)
        assert len(set_aside(door)) == len(poison)

        make_topics(plan, PARTS, ("kiosk",))
        late = json.dumps(event("visited", id="late", source="kiosk")).encode()
        producer.send([ingress_row(plan, "kiosk", late)]).result(30)
        worker.until(lambda: worker.total("ingress_accepted_total") == 51)
        assert worker.end() == 0
    recorded = [door.journal.open(one) for part in range(PARTS) for one in door.journal.read(0, 1_000, part)]
    assert {one.id for one in recorded} == {*(f"i{n}" for n in range(50)), "late"}
    assert {(one.source, one.id) for one in recorded if one.id == "late"} == {("kiosk", "late")}


def test_a_header_whose_name_is_no_text_costs_no_other_record_its_place(plan: Plan, door: Opened) -> None:
    make_topics(plan, PARTS, ("shop",))
    good = iter([json.dumps(event("visited", id=f"n{n}")).encode() for n in range(20)])
    bad = iter([None] * 10)
    kinds = [[bad, good, good], [good, bad, good], [good, good, bad], [bad], [good, bad, bad, good]]
    sent: list[bytes | None] = []
    for compression in (None, "gzip"):
        batches = [[next(kind) for kind in batch] for batch in kinds[:4]]
        produce(plan.place, "ingress.shop", batches, compression)
        sent += [value for batch in batches for value in batch]
    with working(Plan(**{**plan.__dict__, "fold": False, "ingress": True})) as worker:
        worker.until(lambda: ingress_lag(plan, "shop") == 0)
        batches = [[next(kind) for kind in kinds[4]]]  # and while it works
        produce(plan.place, "ingress.shop", batches)
        sent += batches[0]
        worker.until(lambda: ingress_lag(plan, "shop") == 0 and len(set_aside(door)) == sent.count(None))
        assert worker.end() == 0
    recorded = [door.journal.open(one) for part in range(PARTS) for one in door.journal.read(0, 1_000, part)]
    assert sorted(one.id for one in recorded) == sorted(json.loads(value)["id"] for value in sent if value)
    kept = set_aside(door)
    assert {(one.code, one.raw) for one in kept} == {("header_invalid", POISON)}
    topic = plan.place.topic("ingress.shop")
    assert sorted(
        (came["topic"], came["partition"], came["offset"])
        for one in kept
        for came in [one.inherited["kafka"]]
    ) == [(topic, 0, offset) for offset, value in enumerate(sent) if value is None]


def test_what_a_sender_compresses_is_read_however_he_does(plan: Plan, door: Opened) -> None:
    make_topics(plan, PARTS, ("shop",))
    ways = ("gzip", "snappy", "lz4", "zstd")

    async def send() -> None:
        for way in ways:
            async with AIOKafkaProducer(
                bootstrap_servers=list(plan.place.bootstrap), compression_type=way
            ) as producer:
                value = json.dumps(event("visited", id=way, note="again and again " * 40)).encode()
                headers = [("content-type", b"application/cloudevents+json")]
                await producer.send_and_wait(plan.place.topic("ingress.shop"), value, headers=headers)

    asyncio.run(send())
    with working(Plan(**{**plan.__dict__, "fold": False, "ingress": True})) as worker:
        worker.until(lambda: worker.total("ingress_accepted_total") == len(ways))
        worker.until(lambda: ingress_lag(plan, "shop") == 0)
        assert worker.end() == 0
    recorded = [door.journal.open(one) for part in range(PARTS) for one in door.journal.read(0, 1_000, part)]
    assert {one.id for one in recorded} == set(ways)


def test_poison_delivered_again_is_set_aside_once(plan: Plan, door: Opened) -> None:
    make_topics(plan, PARTS, ("shop",))
    with closing(Producer(plan.place)) as producer:
        producer.send([ingress_row(plan, "shop", value) for value in (b"{", b"}", None)]).result(60)
    unacknowledged = Plan(
        **{**plan.__dict__, "fold": False, "ingress": True, "settings": {"commit_seconds": 600.0}}
    )
    with working(unacknowledged) as worker:
        worker.until(lambda: len(set_aside(door)) == 3)
        worker.kill()
    with working(Plan(**{**plan.__dict__, "fold": False, "ingress": True})) as worker:
        worker.until(lambda: ingress_lag(plan, "shop") == 0)
        assert worker.end() == 0
    assert len(set_aside(door)) == 3


def ingress_lag(plan: Plan, source: str) -> int:
    with KafkaTails(plan.place, f"{plan.prefix}-ingress") as tails:
        return sum(tails.lag([(plan.place.topic(f"ingress.{source}"), 0)]).values())


def set_aside(door: Opened) -> list[SetAside]:
    return door.control.list_set_aside(limit=500)[0]


def test_asked_to_stop_before_it_listens_or_after_it_left_it_still_ends_as_asked() -> None:
    at_both_ends = """
import signal
from touchbook.streams import faust_worker
from touchbook.streams.faust_worker import WorkerParts, WorkerSettings, run_worker
class Working(faust_worker._Working):
    def _open_door(self):
        self._door = self
        signal.raise_signal(signal.SIGTERM)
    def close(self):
        signal.raise_signal(signal.SIGTERM)
faust_worker._Working = Working
parts = WorkerParts(None, "build", None, None, None, None, None)
raise SystemExit(run_worker(parts, WorkerSettings()))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", at_both_ends], timeout=60).returncode == 0
