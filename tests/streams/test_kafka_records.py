"""The journal's records in Kafka's terms: nothing is lost in either direction, and Kafka agrees where they belong."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner import DefaultPartitioner

from touchbook.errors import BodyUnreadable
from touchbook.positions import MOST_PARTS, position_in
from touchbook.schemas.touchpoint import Record
from touchbook.streams.backends.kafka_records import headers_of, part_for, record_of

HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
TEXT = st.text(max_size=30)  # without half surrogate pairs, which the journal refuses
TIME = st.integers(-(2**63), 2**63 - 1)


@given(
    st.builds(
        Record,
        position=st.builds(position_in, st.integers(0, MOST_PARTS - 1), st.integers(0, 2**52)),
        key=HEX, source=TEXT, type=TEXT, version=st.integers(0, 2**31), channel=TEXT, subject=HEX,
        key_id=st.one_of(HEX, st.just("")), occurred_at=TIME, recorded_at=st.integers(0, 2**62), body=st.binary(),
    )
)  # fmt: skip
def test_a_record_comes_back_as_it_was_given(record: Record) -> None:
    headers = headers_of(
        record.key,
        record.source,
        record.type,
        record.version,
        record.channel,
        record.key_id,
        record.occurred_at,
    )
    part, offset = record.position % MOST_PARTS, record.position // MOST_PARTS - 1

    stored = (part, offset, record.recorded_at, record.subject.encode(), record.body)

    assert record_of(*stored, headers) == record
    assert record_of(*stored, [*headers[::-1], ("traceparent", b"00-1")]) == record


def test_the_header_is_that_of_a_cloud_event() -> None:
    headers = dict(headers_of("k" * 32, "shop", "chat_message", 2, "web_chat", "i" * 32, -5))

    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"k" * 32,
        "ce_source": b"shop",
        "ce_type": b"chat_message",
        "ce_channel": b"web_chat",
        "ce_dataversion": b"2",
        "ce_keyid": b"i" * 32,
        "ce_occurredat": b"-5",
    }


@pytest.mark.parametrize(
    "headers",
    [[], [("ce_id", b"1")], [*headers_of("k", "s", "t", 1, "c", "i", 5)[:-1], ("ce_occurredat", b"soon")]],
)
def test_what_somebody_else_wrote_is_told_from_ours(headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(BodyUnreadable, match="partition 3 of the journal holds no record at offset 7"):
        record_of(3, 7, 0, b"key", b"value", headers)


@given(st.text(), st.integers(1, MOST_PARTS))
def test_the_part_is_the_one_that_kafka_s_own_clients_choose(subject: str, parts: int) -> None:
    cluster = SimpleNamespace(
        topics=lambda: {"journal"},
        partitions_for_topic=lambda _: set(range(parts)),
        available_partitions_for_topic=lambda _: set(range(parts)),
    )
    key = subject.encode()

    assert part_for(subject, parts) == DefaultPartitioner().partition(
        "journal", subject, key, None, None, cluster
    )
