"""What is handed to Kafka: in order, acknowledged or not known, whatever its brokers do meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest
from aiokafka import AIOKafkaProducer
from kafka import TopicPartition

from tests.servers.kafka import Kafka
from touchbook.errors import StoreUnavailable
from touchbook.streams.backends import kafka_producer
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_producer import BATCH_BYTES, Producer, Row
from touchbook.streams.backends.kafka_topics import READY_MS, all_in

pytestmark = pytest.mark.server

SOON = 1.0
"""Delivery seconds of a test that waits for them."""

PATIENT = 120.0
"""Delivery seconds of a test in which a killed broker comes back in time, also where much else is going on."""


@pytest.fixture
def topic(kafka: KafkaPlace) -> str:
    """One with three partitions, which takes batches as large as ours and no larger."""
    topic = kafka.topic("any")
    config = {"max.message.bytes": str(2 * BATCH_BYTES)}
    with closing(kafka.admin()) as admin:
        made = {"num_partitions": 3, "replication_factor": 1, "configs": config}
        admin.create_topics({topic: made})
        admin.wait_for_topics([topic], timeout_ms=READY_MS)
    return topic


@pytest.fixture
def producer(kafka: KafkaPlace) -> Iterator[Producer]:
    with closing(Producer(kafka)) as producer:
        yield producer


@pytest.fixture
def hasty(kafka: KafkaPlace) -> Iterator[Producer]:
    """Gives up soon."""
    with closing(Producer(kafka, delivery_seconds=SOON)) as producer:
        yield producer


def row(topic: str, part: int, value: object) -> Row:
    return Row(topic, part, b"key", str(value).encode())


def values(place: KafkaPlace, topic: str, part: int) -> list[str]:
    with closing(place.consumer()) as consumer:
        return [one.value.decode() for one in all_in(consumer, TopicPartition(topic, part))]


def test_a_row_is_written_with_all_it_has(producer: Producer, kafka: KafkaPlace, topic: str) -> None:
    rows = [Row(topic, 1, b"k", b"v", [("h", b"1"), ("h", b"2")], 77), Row(topic, 1, b"k", None)]

    assert producer.send(rows).result(30) == [0, 1]

    with closing(kafka.consumer()) as consumer:
        first, gone = all_in(consumer, TopicPartition(topic, 1))
    assert (first.key, first.value, first.timestamp) == (b"k", b"v", 77)
    assert list(first.headers) == [("h", b"1"), ("h", b"2")]
    assert (gone.key, gone.value) == (b"k", None)


def test_nothing_sent_is_answered_at_once(producer: Producer) -> None:
    assert producer.send([]).result(0) == []


def test_each_row_is_answered_with_where_it_stands(producer: Producer, kafka: KafkaPlace, topic: str) -> None:
    """From many threads, small and large, over all partitions."""

    def send(thread: int) -> list[tuple[int, int, str]]:
        found = []
        for n in range(20):
            rows = [
                row(topic, (thread + m) % 3, f"{thread}-{n}-{m}-" + "x" * (thread * 1_000)) for m in range(n)
            ]
            offsets = producer.send(rows).result(60)
            found += [
                (one.part, at, (one.value or b"").decode()) for one, at in zip(rows, offsets, strict=True)
            ]
        return found

    with ThreadPoolExecutor(8) as threads:
        answered = [one for some in threads.map(send, range(8)) for one in some]

    written = {(part, at): value for part in range(3) for at, value in enumerate(values(kafka, topic, part))}
    assert {(part, at): value for part, at, value in answered} == written
    assert len(answered) == len(written)


def test_rows_of_a_partition_stand_in_the_order_they_were_sent(
    producer: Producer, kafka: KafkaPlace, topic: str
) -> None:
    futures = [producer.send([row(topic, 0, n), row(topic, 1, n)]) for n in range(3_000)]
    for future in futures:
        future.result(60)

    assert values(kafka, topic, 0) == values(kafka, topic, 1) == [str(n) for n in range(3_000)]


def test_what_kafka_refuses_fails_and_what_comes_later_is_written(
    producer: Producer, kafka: KafkaPlace, topic: str
) -> None:
    producer.send([row(topic, 0, "before")]).result(30)
    with pytest.raises(StoreUnavailable, match="too large"):
        producer.send([row(topic, 0, "x" * 3 * BATCH_BYTES)]).result(30)
    assert producer.failing_because == "message size too large"

    assert [producer.send([row(topic, part, "later")]).result(30) for part in range(3)] == [[1], [0], [0]]
    assert producer.failing_because is None
    assert values(kafka, topic, 0) == ["before", "later"]


def test_a_topic_that_is_not_there_fails_its_rows_and_no_others(hasty: Producer, topic: str) -> None:
    lost = hasty.send([row(f"{topic}-not-there", 0, "lost")])

    assert hasty.send([row(topic, 0, "there")]).result(30) == [0]
    with pytest.raises(StoreUnavailable):
        lost.result(30)


def test_an_answer_cannot_be_cancelled(producer: Producer, topic: str) -> None:
    future = producer.send([row(topic, 0, "sent")])

    assert not future.cancel()
    assert future.result(30) == [0]


def test_nothing_is_written_whose_predecessor_failed_before_anybody_knew(
    hasty: Producer, kafka: KafkaPlace, kafka_server: Kafka, topic: str
) -> None:
    """So a marker "everything before me is there" never lies."""
    assert hasty.send([row(topic, 0, "before")]).result(30) == [0]
    kafka_server.kill()
    futures: list[Future[list[int]]] = []
    while not futures or not futures[0].done():
        futures.append(hasty.send([row(topic, 0, len(futures))]))
        time.sleep(SOON / 20)
    known = len(futures)
    failed = [future.exception(30) for future in futures]
    kafka_server.start()

    assert all(isinstance(one, StoreUnavailable) for one in failed)
    while hasty.send([row(topic, 0, "after")]).exception(30):  # a broker that has just come back is slow
        pass
    written = values(kafka, topic, 0)
    # What the client had in hand may be written still: a beginning of what was sent.
    in_between = [value for value in written[1:] if value != "after"]
    assert (written[0], written[-1]) == ("before", "after")
    assert in_between == [str(n) for n in range(len(in_between))]
    assert len(in_between) < known


@pytest.mark.parametrize("request_ms", [200, 5_000])
def test_what_a_broker_kept_in_hand_is_written_once_and_before_what_came_later(
    kafka: KafkaPlace, kafka_server: Kafka, topic: str, monkeypatch: pytest.MonkeyPatch, request_ms: int
) -> None:
    """Also when it was asked again on other connections meanwhile."""
    monkeypatch.setattr("touchbook.streams.backends.kafka.REQUEST_MS", request_ms)
    with closing(Producer(kafka, delivery_seconds=SOON)) as hasty:
        hasty.send([row(topic, 0, "before")]).result(30)
        kafka_server.pause()
        try:
            with pytest.raises(StoreUnavailable, match=r"not acknowledged within 1 seconds"):
                hasty.send([row(topic, 0, "in hand")]).result(30)
        finally:
            kafka_server.resume()
        while hasty.send([row(topic, 0, "sent again")]).exception(30):
            pass
        hasty.send([row(topic, 0, "after")]).result(30)

    monkeypatch.undo()
    kafka_server.start()
    before, in_hand, *again, after = values(kafka, topic, 0)
    assert (before, in_hand, after) == ("before", "in hand", "after")
    assert set(again) == {"sent again"}


@pytest.mark.thorough
def test_a_broker_that_comes_back_in_time_is_not_noticed(
    kafka: KafkaPlace, kafka_server: Kafka, topic: str
) -> None:
    with closing(Producer(kafka, delivery_seconds=PATIENT)) as producer:
        producer.send([row(topic, 0, "before")]).result(30)
        kafka_server.kill()
        futures = [producer.send([row(topic, n % 3, n)]) for n in range(300)]
        kafka_server.start()

        for future in futures:
            future.result(PATIENT)
    assert values(kafka, topic, 1) == [str(n) for n in range(1, 300, 3)]


@pytest.mark.thorough
def test_a_broker_may_be_away_from_the_start(kafka_server: Kafka, kafka: KafkaPlace, topic: str) -> None:
    kafka_server.kill()
    with closing(Producer(kafka, delivery_seconds=SOON)) as producer:
        with pytest.raises(StoreUnavailable):
            producer.send([row(topic, 0, "lost")]).result(30)
        kafka_server.start()
        while (later := producer.send([row(topic, 0, "later")])).exception(30):
            pass

        assert later.result()


def test_a_client_that_cannot_be_started_is_started_anew(
    kafka: KafkaPlace, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([ValueError("an answer nobody understands")] * 3)

    class Broken(AIOKafkaProducer):  # type: ignore[misc]
        async def start(self) -> None:
            for failure in failures:
                raise failure
            await super().start()

    monkeypatch.setattr(kafka_producer, "AIOKafkaProducer", Broken)
    with closing(Producer(kafka)) as producer:
        assert producer.send([row(topic, 0, "in the end")]).result(30) == [0]


def test_no_more_waits_than_fits_into_memory(
    kafka_server: Kafka, kafka: KafkaPlace, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_producer, "MAX_WAITING_BYTES", 100_000)
    with closing(Producer(kafka, delivery_seconds=SOON)) as producer:
        kafka_server.pause()
        try:
            waiting = [producer.send([row(topic, 0, "x" * 10_000)]) for _ in range(9)]
            with pytest.raises(StoreUnavailable, match="too much waits"):
                producer.send([row(topic, 0, "x" * 10_000)])
            for future in waiting:
                assert future.exception(30)
        finally:
            kafka_server.resume()

        assert producer.send([row(topic, 0, "x" * 99_000)]).result(30)


def test_closing_writes_what_was_sent(kafka: KafkaPlace, topic: str) -> None:
    producer = Producer(kafka)
    futures = [producer.send([row(topic, 0, n)]) for n in range(500)]

    producer.close()
    producer.close()

    assert [future.result(0) for future in futures] == [[n] for n in range(500)]
    with pytest.raises(StoreUnavailable):
        producer.send([row(topic, 0, "late")])


def test_closing_ends_though_no_broker_answers(kafka_server: Kafka, kafka: KafkaPlace, topic: str) -> None:
    producer = Producer(kafka, delivery_seconds=SOON)
    producer.send([row(topic, 0, "before")]).result(30)
    kafka_server.pause()
    try:
        unknown = producer.send([row(topic, 0, "unknown")])
        closing_ = threading.Thread(target=producer.close)
        closing_.start()
        closing_.join(30)
        assert not closing_.is_alive()
        assert isinstance(unknown.exception(0), StoreUnavailable)
    finally:
        kafka_server.resume()
