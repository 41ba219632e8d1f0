"""What only the journal on Kafka can get wrong: parts, several writers, brokers that die and come back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers.kafka import Kafka
from tests.streams.touchpoints import Clock, key_of, many, touchpoint
from tests.thorough import examples
from touchbook.errors import (
    BodyUnreadable,
    JournalUnavailable,
    NotPossible,
    Overloaded,
    StoreUnavailable,
    TopicsMissing,
)
from touchbook.identity import IdentityRules
from touchbook.positions import part_of
from touchbook.schemas.touchpoint import Identifier, Record, Touchpoint
from touchbook.sealing import erased_in
from touchbook.streams.backends import kafka as kafka_backend
from touchbook.streams.backends import kafka_journal
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_records import part_for
from touchbook.streams.backends.kafka_topics import MAX_ROW_BYTES, Identity, ensure
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.journal import Appended

pytestmark = pytest.mark.server

PARTS = 4
Open = Callable[..., KafkaJournal]

Answer = TypeVar("Answer")


@pytest.fixture
def open_journal(kafka: KafkaPlace, tmp_path: Path) -> Iterator[Open]:
    """Each with a producer of its own, as if it were another process with the same keyring."""
    once_it_answers(
        lambda: ensure(
            kafka, rules=IdentityRules(), identity=lambda: Identity("key", b"wrapped"), parts=PARTS
        )
    )
    opened: list[Any] = []

    def open_journal(
        *, delivery_seconds: float = 15, read_only: bool = False, **settings: Any
    ) -> KafkaJournal:
        keyring = SqliteKeyring.at(tmp_path)
        producer = None if read_only else Producer(kafka, delivery_seconds)
        journal = KafkaJournal.at(kafka, keyring, Clock(), producer, **settings)
        opened.extend(one for one in (keyring, producer, journal) if one)
        return journal

    yield open_journal
    for one in reversed(opened):
        one.close()


@pytest.fixture
def journal(open_journal: Open) -> KafkaJournal:
    return open_journal()


def append(journal: KafkaJournal, *touchpoints: Touchpoint) -> list[Appended]:
    return journal.append(touchpoints).result(60)


def part(journal: KafkaJournal, number: int, limit: int = 1_000) -> list[Record]:
    records: list[Record] = []
    while page := journal.read(records[-1].position if records else 0, limit, number):
        records += page
    return records


def everything(journal: KafkaJournal) -> list[Record]:
    return [record for number in range(journal.parts) for record in part(journal, number)]


# Parts


def test_all_of_a_subject_is_in_the_part_that_his_id_names(journal: KafkaJournal) -> None:
    given = many(200, customers=20)
    answers = append(journal, *given)

    for one, answer in zip(given, answers, strict=True):
        assert part_of(answer.position) == part_for(journal.id_of(one.subject), PARTS)
    for number in range(PARTS):
        own = [
            one.key for one, answer in zip(given, answers, strict=True) if part_of(answer.position) == number
        ]
        records = part(journal, number, limit=7)
        assert [record.key for record in records] == own
        assert journal.head(number) == (records[-1].position if records else 0)


def test_a_part_without_records_begins_at_0(journal: KafkaJournal) -> None:
    assert [journal.head(number) for number in range(PARTS)] == [0] * PARTS
    assert [journal.read(part=number) for number in range(PARTS)] == [[]] * PARTS


def test_a_position_of_another_part_is_not_taken_for_one_of_this(journal: KafkaJournal) -> None:
    [answer] = append(journal, touchpoint())

    with pytest.raises(ValueError, match="a position in part"):
        journal.read(after=answer.position, part=(part_of(answer.position) + 1) % PARTS)


def test_whoever_waits_is_woken_by_his_part_and_no_other(open_journal: Open) -> None:
    journal, elsewhere = open_journal(), open_journal(read_only=True)
    ann, other = (
        next(one for one in many(100) if part_for(journal.id_of(one.subject), PARTS) == number)
        for number in (0, 1)
    )
    append(journal, ann)
    append(journal, other)

    for one in (journal, elsewhere):
        assert not one.wait_beyond(one.head(0), 0.3)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(one.wait_beyond, one.head(0), 30)
            append(journal, ann)
            assert waiting.result(30) is True


def test_an_erasure_stands_in_the_part_of_each_member(journal: KafkaJournal) -> None:
    members = [journal.id_of(Identifier("user_id", f"c{n}")) for n in range(50)]
    assert {part_for(one, PARTS) for one in members} == set(range(PARTS))

    position = journal.alone(lambda: journal.mark_erased("e" * 32, members[0], members)).result(30)

    for number in range(PARTS):
        own = [one for one in members if part_for(one, PARTS) == number]
        records = part(journal, number)
        assert [record.subject for record in records] == own
        assert [erased_in(record.key_id, record.body) for record in records] == [members] * len(own)
    assert position in {record.position for record in everything(journal) if record.subject == members[0]}


# Many senders, many processes


def test_each_touchpoint_is_there_once_for_each_answer_and_each_subject_s_in_order(
    open_journal: Open,
) -> None:
    journals = [open_journal(), open_journal()]

    def send(thread: int) -> list[Appended]:
        own = [touchpoint(f"{thread}-{n}", customer=f"c{thread}-{n % 5}") for n in range(300)]
        sizes = [1, 1, 48, 50, 200]
        return [
            answer
            for start, size in zip([sum(sizes[:n]) for n in range(5)], sizes, strict=True)
            for answer in append(journals[thread % 2], *own[start : start + size])
        ]

    with ThreadPoolExecutor(8) as threads:
        answers = [answer for some in threads.map(send, range(8)) for answer in some]

    records = everything(journals[0])
    assert sorted(answer.position for answer in answers) == sorted(record.position for record in records)
    assert {answer.outcome for answer in answers} == {"accepted"}
    sent = {key_of(f"{thread}-{n}"): n for thread in range(8) for n in range(300)}
    assert Counter(record.key for record in records) == Counter(sent.keys())
    for subject in {record.subject for record in records}:
        numbers = [sent[record.key] for record in records if record.subject == subject]
        assert numbers == sorted(numbers)


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
TIME = st.integers(-(2**63) + 1, 2**63 - 1)


@given(
    st.lists(
        st.builds(
            touchpoint,
            st.uuids().map(str), customer=TEXT, source=TEXT, type=TEXT, channel=TEXT, version=st.integers(0, 2**31),
            data=st.dictionaries(TEXT, JSON, max_size=3), occurred_at=TIME, received_at=TIME, sent_at=st.none() | TIME,
        ),
        min_size=1,
        max_size=20,
    )
)  # fmt: skip
@settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_touchpoint_is_read_back_as_it_was(journal: KafkaJournal, touchpoints: list[Touchpoint]) -> None:
    answers = append(journal, *touchpoints)

    for said, (_, position) in zip(touchpoints, answers, strict=True):
        before = (position - 1 - part_of(position)) & ~1_023 | part_of(position)
        [record] = journal.read(before if before > 1_023 else 0, 1, part_of(position))
        assert journal.open(record) == said._replace(recorded_at=record.recorded_at)


def test_a_touchpoint_that_no_broker_would_take_fails_its_sender_alone(journal: KafkaJournal) -> None:
    largest = MAX_ROW_BYTES
    with pytest.raises(ValueError, match="must not be larger"):
        journal.append([touchpoint("fine"), touchpoint("huge", data={"text": "x" * largest})])

    assert len(append(journal, touchpoint("large", data={"text": "x" * (largest - 1_000)}))) == 1
    assert [record.key for record in everything(journal)] == [key_of("large")]


def test_large_bodies_are_read_in_stretches_that_fit_into_memory(
    journal: KafkaJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_journal, "MAX_READ_BYTES", 100_000)
    append(journal, *(touchpoint(str(n), data={"text": "x" * 60_000}) for n in range(200)))

    stretch = journal.read(limit=200, part=part_for(journal.id_of(touchpoint().subject), PARTS))

    assert 2 <= len(stretch) < 200
    assert len(everything(journal)) == 200


# Brokers that die


@pytest.mark.thorough
def test_every_answered_touchpoint_is_there_though_the_broker_is_killed_again_and_again(
    open_journal: Open, kafka_server: Kafka
) -> None:
    journal = open_journal(delivery_seconds=1)
    answered: list[tuple[str, int]] = []
    sent = 0
    stop = threading.Event()

    def send(thread: int) -> None:
        nonlocal sent
        while not stop.is_set():
            batch = [
                touchpoint(f"{thread}-{time.perf_counter_ns()}", customer=f"c{thread}") for _ in range(20)
            ]
            try:
                positions = [answer.position for answer in append(journal, *batch)]
            except JournalUnavailable:
                continue
            answered.extend(zip((one.key for one in batch), positions, strict=True))

    with ThreadPoolExecutor(4) as threads:
        senders = [threads.submit(send, n) for n in range(4)]
        for away in (0.2, 2.5):
            before = len(answered)
            while len(answered) < before + 200:
                time.sleep(0.01)
            kafka_server.kill()
            time.sleep(away)
            kafka_server.start()
        before = len(answered)
        while len(answered) < before + 200:
            time.sleep(0.01)
        stop.set()
        for sender in senders:
            sender.result(60)

    there = {record.position: record.key for record in everything(journal)}
    assert {position: there.get(position) for _, position in answered} == {at: key for key, at in answered}


@pytest.mark.thorough
def test_while_brokers_are_away_it_says_so_and_takes_no_more_than_fits(
    open_journal: Open, kafka_server: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_journal, "MAX_FLYING", 20)
    journal = open_journal(delivery_seconds=2, max_queue=50, max_drain=10)
    append(journal, touchpoint("before"))
    assert journal.failing() is None
    kafka_server.kill()

    waiting: list[Future[list[Appended]]] = []

    def append_without_end() -> None:
        for n in range(10_000):
            waiting.append(journal.append(many(10, since=10 * n)))
            time.sleep(0.01)  # the writer takes what waits, as long as it may

    with pytest.raises(Overloaded):
        append_without_end()
    assert 10 * len(waiting) <= 20 + 2 * 10 + 50
    for future in waiting:
        with pytest.raises(JournalUnavailable, match="not acknowledged within 2 seconds"):
            future.result(60)
    assert journal.failing() is not None

    kafka_server.start()
    assert journal.failing() is None
    assert len(once_it_answers(lambda: append(journal, touchpoint("after")))) == 1


def test_while_brokers_are_away_reading_fails_with_an_error_of_ours_and_closing_answers_everybody(
    open_journal: Open, kafka_server: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one journal and of another: a broker is started again for both."""
    journal, closed = open_journal(), open_journal(delivery_seconds=1)
    [answer] = append(journal, touchpoint())
    number = part_of(answer.position)
    elsewhere = next(one for one in "abcdef" if in_part(closed, one) != number)
    append(closed, touchpoint("before", customer=elsewhere))
    kafka_server.kill()

    futures = [closed.append([touchpoint(str(n), customer=elsewhere)]) for n in range(20)]
    closed.close()
    assert all(isinstance(future.exception(0), JournalUnavailable) for future in futures)

    with monkeypatch.context() as hasty:
        hasty.setitem(kafka_backend._PATIENCE, "bootstrap_timeout_ms", 500)
        for read in (lambda: journal.read(part=number), lambda: journal.head(number)):
            with pytest.raises(StoreUnavailable, match="Kafka cannot be used"):
                read()

    kafka_server.start()
    assert len(once_it_answers(lambda: journal.read(part=number))) == 1


def in_part(journal: KafkaJournal, customer: str) -> int:
    return part_for(journal.id_of(touchpoint(customer=customer).subject), PARTS)


def once_it_answers(ask: Callable[[], Answer]) -> Answer:
    """A broker that was killed may need a while, on a busy machine, until it leads its partitions again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return ask()
        except (JournalUnavailable, StoreUnavailable):
            assert time.monotonic() < deadline


# What it is not


def test_there_is_no_journal_until_its_topics_are_made(kafka: KafkaPlace, tmp_path: Path) -> None:
    with closing(SqliteKeyring.at(tmp_path)) as keyring, pytest.raises(TopicsMissing):
        KafkaJournal.at(kafka, keyring, Clock(), None)


def test_it_finds_no_record_by_its_key_and_says_who_does(journal: KafkaJournal) -> None:
    with pytest.raises(NotPossible, match="ask the projections"):
        journal.find([key_of("1")])


def test_what_somebody_else_wrote_into_its_topic_is_no_touchpoint(
    journal: KafkaJournal, kafka: KafkaPlace
) -> None:
    with closing(Producer(kafka)) as producer:
        producer.send([Row(kafka.topic("journal"), 2, b"key", b"value")]).result(30)

    with pytest.raises(BodyUnreadable, match="partition 2 of the journal holds no record at offset 0"):
        journal.read(part=2)
