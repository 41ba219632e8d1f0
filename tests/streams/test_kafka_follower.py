"""What a follower of topics promises its store, on a real broker."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.servers.kafka import Kafka
from tests.streams.kept import Kept, count_of, follow_until_killed
from touchbook.errors import FormatUnknown
from touchbook.identity import IdentityRules
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import AWAY_MS, Read, TopicFollower, until_one_ends
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_topics import Identity, drop_build, ensure, ensure_build

pytestmark = pytest.mark.server

LEDGERS, CLAIMS = "ledgers.b1", "claims.b1"
PARTS = 4
PATIENCE = 60.0
spawned = multiprocessing.get_context("spawn")


@pytest.fixture
def topics(kafka: KafkaPlace) -> list[str]:
    ensure(kafka, rules=IdentityRules(), identity=lambda: Identity("key", b"wrapped"), parts=PARTS)
    ensure_build(kafka, "b1")
    return [LEDGERS, CLAIMS]


@pytest.fixture
def producer(kafka: KafkaPlace) -> Iterator[Producer]:
    with closing(Producer(kafka)) as producer:
        yield producer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Kept]:
    with closing(Kept(tmp_path)) as store:
        yield store


@pytest.fixture
def follow(kafka: KafkaPlace, topics: list[str], store: Kept) -> Iterator[Callable[[], TopicFollower]]:
    begun: list[TopicFollower] = []

    def follow() -> TopicFollower:
        begun.append(TopicFollower(kafka, topics, store, "kept", ask_seconds=0.1))
        begun[-1].start()
        return begun[-1]

    yield follow
    for follower in begun:
        follower.stop()


def put(producer: Producer, place: KafkaPlace, *said: tuple[str, bytes | None], topic: str = LEDGERS) -> None:
    """Each key has its partition, told by its first letter."""
    rows = [Row(place.topic(topic), ord(key[0]) % PARTS, key.encode(), value) for key, value in said]
    producer.send(rows).result(PATIENCE)


@pytest.mark.thorough
def test_the_latest_of_every_key_is_kept_however_often_who_follows_is_killed(
    kafka: KafkaPlace, topics: list[str], producer: Producer, tmp_path: Path
) -> None:
    randomly = random.Random(7)
    latest: dict[str, dict[str, bytes | None]] = {LEDGERS: {}, CLAIMS: {}}
    for start in range(0, 100_000, 10_000):
        for topic in topics:
            said = [
                (f"{randomly.randrange(16):x}{randomly.randrange(2_000)}", randomly.choice([None, b"%d" % n]))
                for n in range(start, start + 5_000)
            ]
            put(producer, kafka, *said, topic=topic)
            latest[topic].update(said)

    reached = 0
    for _ in range(4):
        process = spawned.Process(target=follow_until_killed, args=(kafka, topics, tmp_path))
        process.start()
        assert process.pid is not None
        while count_of(tmp_path) <= min(reached + 5_000, 99_999):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        reached = count_of(tmp_path)

    with closing(Kept(tmp_path)) as store:
        follower = TopicFollower(kafka, topics, store, "kept")
        follower.start()
        assert follower.caught_up(PATIENCE)
        follower.stop()

        assert reached > 20_000
        assert follower.lag() == 0
        assert sum(store.offsets().values()) == 100_000
        for topic in topics:
            assert store.rows(topic) == {
                key: value for key, value in latest[topic].items() if value is not None
            }


def test_what_was_acknowledged_before_the_call_is_there_when_it_has_caught_up(
    kafka: KafkaPlace, producer: Producer, store: Kept, follow: Callable[[], TopicFollower]
) -> None:
    follower = follow()
    for n in range(30):
        put(producer, kafka, ("a", b"%d" % n))
        assert follower.caught_up(PATIENCE)
        assert store.rows(LEDGERS) == {"a": b"%d" % n}


def test_what_a_store_could_not_take_it_is_given_again(
    kafka: KafkaPlace, producer: Producer, store: Kept, follow: Callable[[], TopicFollower]
) -> None:
    store.fails = [sqlite3.OperationalError("disk full"), OSError("gone for a moment")]
    put(producer, kafka, ("a", b"1"), ("b", b"2"))

    follower = follow()

    assert follower.caught_up(PATIENCE)
    assert store.rows(LEDGERS) == {"a": b"1", "b": b"2"}
    assert (store.fails, follower.failing_because) == ([], None)


def test_what_no_version_of_ours_wrote_ends_the_following_and_whoever_waits_is_told(
    kafka: KafkaPlace, producer: Producer, store: Kept, follow: Callable[[], TopicFollower]
) -> None:
    store.fails = [FormatUnknown("a topic", "9", "1")]
    put(producer, kafka, ("a", b"1"))

    follower = follow()

    assert not follower.caught_up(PATIENCE)
    assert not follower.alive
    assert "format 9" in (follower.stopped_because or "")


def test_what_another_process_has_read_into_the_file_already_takes_nothing_back(
    kafka: KafkaPlace, producer: Producer, tmp_path: Path, store: Kept, follow: Callable[[], TopicFollower]
) -> None:
    follower = follow()
    put(producer, kafka, ("a", b"old"))
    put(producer, kafka, ("a", b"new"))
    assert follower.caught_up(PATIENCE)
    at = (LEDGERS, ord("a") % PARTS)

    with closing(Kept(tmp_path)) as slower:
        slower.apply([Read(*at, 0, b"a", b"old", (), 0)], {at: 1})

    assert store.rows(LEDGERS) == {"a": b"new"}
    assert store.offsets()[at] == 2


def test_a_store_that_was_away_for_longer_than_brokers_tell_what_is_gone_begins_anew(
    kafka: KafkaPlace, producer: Producer, store: Kept, follow: Callable[[], TopicFollower]
) -> None:
    put(producer, kafka, ("a", b"1"))
    follower = follow()
    assert follower.caught_up(PATIENCE)
    follower.stop()
    store.db.execute("INSERT INTO kept VALUES (?, 'gone meanwhile', '2')", (LEDGERS,))
    store.db.execute("UPDATE followed_at SET in_step = in_step - ?", (AWAY_MS + 60_000,))

    assert follow().caught_up(PATIENCE)

    assert store.forgotten == 1
    assert store.rows(LEDGERS) == {"a": b"1"}
    assert abs(store.in_step_at() - time.time() * 1000) < AWAY_MS


def test_a_store_of_topics_that_were_made_anew_begins_anew(
    kafka: KafkaPlace, producer: Producer, store: Kept, follow: Callable[[], TopicFollower]
) -> None:
    put(producer, kafka, *((f"{n:x}", b"old") for n in range(16)))
    follower = follow()
    assert follower.caught_up(PATIENCE)
    follower.stop()
    drop_build(kafka, "b1")
    ensure_build(kafka, "b1")
    with closing(Producer(kafka)) as anew:
        put(anew, kafka, ("a", b"new"))

    assert follow().caught_up(PATIENCE)

    assert store.rows(LEDGERS) == {"a": b"new"}


@pytest.mark.thorough
def test_while_the_broker_is_away_it_is_not_in_step_and_then_goes_on(
    kafka: KafkaPlace,
    kafka_server: Kafka,
    producer: Producer,
    store: Kept,
    follow: Callable[[], TopicFollower],
) -> None:
    follower = follow()
    assert follower.caught_up(PATIENCE)
    kafka_server.kill()
    assert not follower.caught_up(0.5)
    in_step = follower.in_step

    kafka_server.start()
    put(producer, kafka, ("a", b"1"))

    assert follower.caught_up(PATIENCE)
    assert follower.in_step > in_step
    assert store.rows(LEDGERS) == {"a": b"1"}
    assert follower.failing_because is None


def test_it_ends_at_once_whatever_it_is_doing(kafka_server: Kafka, kafka: KafkaPlace, store: Kept) -> None:
    missing = TopicFollower(kafka, ["nothing-like-it"], store, "kept")
    missing.start()
    assert not missing.caught_up(1.0)
    assert "topics ensure" in (missing.failing_because or "")
    kafka_server.kill()
    away = TopicFollower(kafka, [LEDGERS], store, "kept")
    away.start()
    for follower in (missing, away, away):
        follower.stop()
        assert not follower.alive
    kafka_server.start()


def test_it_ends_though_somebody_has_just_asked_it_something(follow: Callable[[], TopicFollower]) -> None:
    """Asked to look and to end at the same moment, it must not take the one for the other."""
    for _ in range(3):
        follower = follow()
        assert follower.caught_up(PATIENCE)
        time.sleep(0.05)
        follower.caught_up(0)
        ending = threading.Thread(target=follower.stop, daemon=True)
        ending.start()
        ending.join(PATIENCE / 6)
        assert not follower.alive


def test_a_task_that_passes_over_the_first_word_is_told_again() -> None:
    async def deaf() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)
        await asyncio.sleep(PATIENCE)

    async def brief() -> None:
        await asyncio.sleep(0)

    async def both() -> None:
        async with asyncio.timeout(PATIENCE / 6):
            await until_one_ends(deaf(), brief())

    asyncio.run(both())
