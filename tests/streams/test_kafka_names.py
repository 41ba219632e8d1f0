"""Records whose headers have names that are no UTF-8: read like any other, and so is what lies around them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder

from tests.streams.kept import Kept
from tests.streams.names import NAME, POISON, Bad, produce
from touchbook.identity import IdentityRules
from touchbook.streams.backends import kafka_names
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import TopicFollower
from touchbook.streams.backends.kafka_names import read_any_names
from touchbook.streams.backends.kafka_topics import Identity, ensure, ensure_build

GZIP = 1
AT = TopicPartition("t", 0)


# In memory


class Packed(NamedTuple):
    """A batch: whether each of its records has a bad name, and how it is compressed."""

    bad: Sequence[bool]
    codec: int


def batches_of(packed: Sequence[Packed]) -> bytes:
    made, first = bytearray(), 0
    for bad, codec in packed:
        builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 20)
        for n, poison in enumerate(bad):
            name = Bad() if poison else "näme"
            assert builder.append(
                n, 1_000 + n, b"k", b"v" * 99, [("ce_a", b"1"), (name, b"2"), ("ce_b", None)]
            )
        batch = builder.build()
        batch[:8] = first.to_bytes(8, "big")
        made += batch
        first += len(bad)
    return bytes(made)


def read(batches: type[Any], records: type[Any], fetched: bytes, start: int = 0) -> list[Any]:
    return list(records(AT, batches(fetched), None, start, None, None, True, fetcher.READ_UNCOMMITTED))


def read_as_we_do(fetched: bytes, start: int = 0) -> list[Any]:
    return read(kafka_names._Fetched, kafka_names._Records, fetched, start)


def read_as_aiokafka_does(fetched: bytes, start: int = 0) -> list[Any]:
    return read(MemoryRecords, fetcher.PartitionRecords, fetched, start)


BATCHES = st.lists(
    st.builds(Packed, st.lists(st.booleans(), min_size=1, max_size=6), st.sampled_from([0, GZIP])),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(BATCHES, st.data())
def test_all_records_are_read_wherever_among_them_bad_names_are(
    packed: list[Packed], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(packed[0].bad) - 1))
    bad = [poison for batch in packed for poison in batch.bad]
    records = read_as_we_do(batches_of(packed), start)
    assert [one.headers[1][0] == NAME for one in records] == bad[start:]
    good = read_as_aiokafka_does(batches_of([Packed([False] * len(batch.bad), 0) for batch in packed]), start)
    assert [replace(one, headers=()) for one in records] == [replace(one, headers=()) for one in good]
    assert {one.headers[::2] for one in records} == {(("ce_a", b"1"), ("ce_b", None))}
    assert all(type(part) is bytes for one in records for part in (one.key, one.value, one.headers[1][1]))


def test_a_name_that_is_text_is_read_as_text_beside_one_that_is_not() -> None:
    first, second = read_as_we_do(batches_of([Packed([True, False], 0)]))
    assert (first.headers[1][0], second.headers[1][0]) == (NAME, "näme")


def test_what_is_no_text_elsewhere_ends_the_reading_as_before() -> None:
    fetched = batches_of([Packed([True, False], 0), Packed([False], 0)])
    records = kafka_names._Records(
        AT, kafka_names._Fetched(fetched), None, 0, bytes.decode, lambda value: b"\xff".decode(), True, 0
    )
    with pytest.raises(UnicodeDecodeError):
        next(records)


def test_a_batch_that_is_damaged_is_not_given_for_read() -> None:
    fetched = bytearray(batches_of([Packed([True], 0)]))
    fetched[-1] ^= 1
    with pytest.raises(fetcher.Errors.CorruptRecordException):
        read_as_we_do(bytes(fetched))


def test_aiokafka_still_has_the_places_where_this_is_put_in() -> None:
    """Fails with an aiokafka that was changed there: then see how it reads such names, and put this in anew."""
    used = set(fetcher.Fetcher._proc_fetch_request.__code__.co_names)
    assert used >= {"MemoryRecords", "PartitionRecords"}
    assert not fetcher.Fetcher._proc_fetch_request.__code__.co_freevars
    unpacking = set(fetcher.PartitionRecords._unpack_records.__code__.co_names)
    assert unpacking >= {"_records", "has_next", "next_batch", "next_fetch_offset"}
    assert "_records_iterator" in fetcher.PartitionRecords.__next__.__code__.co_names
    with pytest.raises(UnicodeDecodeError):  # else aiokafka needs no help any more
        read_as_aiokafka_does(batches_of([Packed([True], 0)]))


# On a broker


async def fetched(place: KafkaPlace, topic: str, count: int, any_names: bool) -> list[Any]:
    consumer = AIOKafkaConsumer(**place.aio(enable_auto_commit=False, auto_offset_reset="earliest"))
    await consumer.start()
    try:
        if any_names:
            read_any_names(consumer)
        consumer.assign([TopicPartition(place.topic(topic), 0)])
        records: list[Any] = []
        async with asyncio.timeout(30):
            while len(records) < count:
                for some in (await consumer.getmany(timeout_ms=500, max_records=2)).values():
                    records += some
        return records
    finally:
        await consumer.stop()


@pytest.mark.server
def test_a_consumer_that_was_told_to_reads_on_where_others_never_do(kafka: KafkaPlace) -> None:
    identity = Identity("key", b"wrapped")
    ensure(kafka, rules=IdentityRules(), identity=lambda: identity, parts=1, ingress=("shop",))
    batches = [[b"a", None, b"b"], [None, b"c"], [b"d", b"e", None], [b"f"]]
    for compression in (None, "gzip"):
        produce(kafka, "ingress.shop", batches, compression)
    values = [value for batch in 2 * batches for value in batch]

    records = asyncio.run(fetched(kafka, "ingress.shop", len(values), any_names=True))
    assert [one.offset for one in records] == list(range(len(values)))
    assert [None if one.headers[-1][0] == NAME else one.value for one in records] == values
    with pytest.raises(UnicodeDecodeError):
        asyncio.run(fetched(kafka, "ingress.shop", len(values), any_names=False))


@pytest.mark.server
def test_who_follows_topics_is_not_stopped_by_such_a_record(kafka: KafkaPlace, tmp_path: Path) -> None:
    ensure(kafka, rules=IdentityRules(), identity=lambda: Identity("key", b"wrapped"), parts=1)
    ensure_build(kafka, "b1")
    produce(kafka, "ledgers.b1", [[b"a", None, b"b"], [None], [b"c"]], "gzip")
    with closing(Kept(tmp_path)) as store:
        follower = TopicFollower(kafka, ["ledgers.b1"], store, "kept")
        follower.start()
        try:
            assert follower.caught_up(30)
        finally:
            follower.stop()
        assert store.rows("ledgers.b1").keys() == {"a", "b", "c", POISON.decode()}
