"""What a rebalance does to a fetch that is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from tests.streams.working import Plan, make_topics
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.faust_transport import Consumer, seek_to_committed

FETCHED = TopicPartition("journal", 1)


class Fetching(Consumer):
    """Faust's consumer around a fetch that brings one record, at the end of which the flow is stopped or not."""

    should_stop = False

    def __init__(self, flow_after: bool) -> None:
        self.flow_active = True
        self._flow_after = flow_after
        self.app = SimpleNamespace(
            consumer_generation_id=3, monitor=SimpleNamespace(track_tp_end_offset=lambda *_: None)
        )
        self._read_offset = {}

    async def _wait_next_records(self, timeout: float) -> tuple[dict[Any, Sequence[Any]], None]:
        self.flow_active = self._flow_after
        return {FETCHED: [SimpleNamespace(offset=7)]}, None

    async def perform_seek(self) -> None:
        raise IllegalStateError(f"No current assignment for partition {FETCHED}")

    def highwater(self, tp: Any) -> int:
        return 8

    def _to_message(self, tp: Any, record: Any) -> Any:
        return SimpleNamespace(offset=record.offset)


async def handed_on(consumer: Consumer) -> list[Any]:
    return [tp async for tp, _ in consumer.getmany(1.0)]


def test_what_was_fetched_when_a_rebalance_began_is_left_to_whoever_has_the_partition_then() -> None:
    """The partition is nobody's just then: to seek in it ended the worker."""
    assert asyncio.run(handed_on(Fetching(flow_after=True))) == [FETCHED]
    assert asyncio.run(handed_on(Fetching(flow_after=False))) == []


@asynccontextmanager
async def reading(place: KafkaPlace, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=list(place.bootstrap),
        group_id=f"{place.prefix}-readers",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


@pytest.mark.server
def test_a_partition_of_which_nothing_is_committed_is_read_again_from_its_beginning(
    kafka: KafkaPlace, tmp_path: Any
) -> None:
    """Else what was fetched and not handed on would be passed over for ever, and later records be acknowledged."""
    make_topics(Plan(data=str(tmp_path), bootstrap=kafka.bootstrap[0], prefix=kafka.prefix), 2)
    topic = kafka.topic("journal")
    producer = Producer(kafka)
    producer.send([Row(topic, part, b"k", b"%d" % n) for n in range(5) for part in range(2)]).result(20)
    producer.close()

    async def read() -> None:
        async with reading(kafka, topic) as consumer:
            taken = {0: 0, 1: 0}
            while taken != {0: 5, 1: 5}:
                for tp, records in (await consumer.getmany(timeout_ms=1_000)).items():
                    taken[tp.partition] += len(records)
            some, none = TopicPartition(topic, 0), TopicPartition(topic, 1)
            await consumer.commit({some: 3})
            assert await seek_to_committed(consumer) == {some: 3, none: None}
            assert [await consumer.position(tp) for tp in (some, none)] == [3, 0]

    asyncio.run(asyncio.wait_for(read(), 60))
