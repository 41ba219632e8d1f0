"""What is true of the audit trail where several processes share it through a broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.streams.sharing import Shared
from touchbook.errors import BrokerUnavailable
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_audit import KafkaAudit
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_topics import AUDIT
from touchbook.streams.journal import pending

pytestmark = pytest.mark.server

PATIENCE = 30.0
Open = Callable[..., KafkaAudit]


@pytest.fixture
def shared(kafka: KafkaPlace, tmp_path: Path) -> Iterator[Shared]:
    with closing(Shared(kafka, tmp_path)) as shared:
        yield shared


@pytest.fixture
def open_audit(shared: Shared) -> Iterator[Open]:
    opened: list[KafkaAudit] = []

    def open_audit(process: str, producer: Any = None) -> KafkaAudit:
        opened.append(KafkaAudit.at(shared.folder(process), shared.place, producer or shared.producer))
        return opened[-1]

    yield open_audit
    for audit in opened:
        audit.close()


def append(audit: KafkaAudit, at: int) -> None:
    audit.append("key-1", "Ines Costa", "viewed", None, {}, at)


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Unsure:
    """A producer that may write what it is given and then not know it, as when a broker dies before it answers."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self.writes = True
        self.knows = True

    def send(self, rows: list[Row]) -> Future[list[int]]:
        sent = self._producer.send(rows) if self.writes else pending()
        if self.knows:
            return sent
        if self.writes:
            sent.result()
        unknown: Future[list[int]] = pending()
        unknown.set_exception(BrokerUnavailable("not acknowledged"))
        return unknown


@pytest.mark.parametrize("writes", [True, False])
def test_after_an_entry_that_may_be_written_or_not_a_new_chain_begins_and_the_trail_is_whole(
    shared: Shared, open_audit: Open, writes: bool
) -> None:
    producer = Unsure(shared.producer)
    audit = open_audit("one", producer)
    append(audit, 1)
    producer.knows, producer.writes = False, writes
    for at in (2, 3):
        with pytest.raises(BrokerUnavailable):
            append(audit, at)
    producer.knows = producer.writes = True
    append(audit, 4)
    append(audit, 5)

    audit.catch_up()
    expected = [1, 2, 3, 4, 5] if writes else [1, 4, 5]
    assert [one.at for one in audit.read()] == expected
    assert audit.read()[-1].number == 2
    verdict = audit.verify()
    assert (verdict.entries, verdict.why) == (len(expected), None)


def test_every_process_writes_a_chain_of_its_own_behind_what_was_there(open_audit: Open) -> None:
    one = open_audit("one")
    append(one, 1)
    one.catch_up()
    other = open_audit("other")
    for at, audit in ((2, other), (3, one), (4, other)):
        append(audit, at)
    again = open_audit("one")
    append(again, 5)

    again.catch_up()
    chains = [(entry.chain, entry.number) for entry in again.read()]
    assert [number for _, number in chains] == [1, 1, 2, 2, 1]
    assert len({chain for chain, _ in chains}) == 3
    assert again.verify().why is None


def test_what_others_write_into_the_topic_is_found_and_holds_up_nobody(
    shared: Shared, open_audit: Open
) -> None:
    audit = open_audit("one")
    append(audit, 1)
    topic = shared.place.topic(AUDIT)
    strange = [
        Row(topic, 0, b"\xff", b"\xfe{"),
        Row(topic, 0, None, None),
        Row(topic, 0, b"key", b"[" * 5_000),
    ]
    shared.producer.send(strange).result()
    append(audit, 2)

    audit.catch_up()
    assert [one.at for one in audit.read()] == [one.at for one in reversed(audit.latest())] == [1, 2]
    assert audit.verify().broken_at == 2


def test_a_process_that_starts_anew_reads_what_all_had_appended(shared: Shared, open_audit: Open) -> None:
    audit = open_audit("one")
    for at in range(20):
        append(audit, at)
    fresh = open_audit("fresh")
    assert eventually(lambda: len(fresh.read()) == 20)
    assert [one.at for one in fresh.latest(3)] == [19, 18, 17]


def test_without_its_topic_it_does_not_open_and_says_what_to_do(kafka: KafkaPlace, tmp_path: Path) -> None:
    with (
        closing(Producer(kafka)) as producer,
        pytest.raises(BrokerUnavailable, match="topics ensure"),
    ):
        KafkaAudit.at(tmp_path, kafka, producer, patience=1.0)
