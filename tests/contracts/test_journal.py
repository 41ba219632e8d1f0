"""The promises of the journal, kept by every adapter; one that cannot keep a promise says so (`cannot`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.streams.touchpoints import Clock, key_of, many, touchpoint
from tests.thorough import THOROUGH
from touchbook.errors import BodyUnreadable, JournalUnavailable, KeyDestroyed, Overloaded
from touchbook.identity import IdentityRules
from touchbook.positions import position_in
from touchbook.schemas.touchpoint import Identifier, Record, Touchpoint
from touchbook.sealing import erased_in
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_producer import Producer
from touchbook.streams.backends.kafka_topics import Identity, ensure
from touchbook.streams.backends.sqlite_journal import SqliteJournal
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.journal import Appended, Journal

Test = TypeVar("Test", bound=Callable[..., None])


class SqliteShelf:
    """Where the journals of a test stand. Opened again, it is the same journal."""

    rounds = 50
    """How often a test repeats what takes this adapter long."""

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        self.directory = directory
        self.clock = Clock()
        self._keyrings = [SqliteKeyring.at(directory)]
        self._opened: list[SqliteJournal] = []

    def open(self, **settings: Any) -> SqliteJournal:
        self._opened.append(SqliteJournal.at(self.directory, self._keyrings[-1], self.clock, **settings))
        return self._opened[-1]

    def open_elsewhere(self) -> SqliteJournal:
        """As another process sees it: with a keyring of its own, and to be read only."""
        self._keyrings.append(SqliteKeyring.at(self.directory))
        return self.open(read_only=True)

    def at(self, number: int) -> int:
        """The position of the first, second, third … record."""
        return number

    def close(self) -> None:
        for journal in self._opened:
            journal.close()
        for keyring in self._keyrings:
            keyring.close()


class KafkaShelf:
    """The same on a real broker. The journal has one part, as what is promised of several is promised of each."""

    rounds = 10

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        self.directory = directory
        self.clock = Clock()
        self._place = request.getfixturevalue("kafka")
        self._keyrings = [SqliteKeyring.at(directory)]
        self._producer = Producer(self._place)
        self._opened: list[KafkaJournal] = []

    def open(
        self, *, read_only: bool = False, rules: IdentityRules | None = None, **settings: Any
    ) -> KafkaJournal:
        identity = Identity("key", b"wrapped")
        ensure(self._place, rules=rules or IdentityRules(), identity=lambda: identity, parts=1)
        producer = None if read_only else self._producer
        self._opened.append(
            KafkaJournal.at(self._place, self._keyrings[-1], self.clock, producer, **settings)
        )
        return self._opened[-1]

    def open_elsewhere(self) -> KafkaJournal:
        self._keyrings.append(SqliteKeyring.at(self.directory))
        return self.open(read_only=True)

    def at(self, number: int) -> int:
        return position_in(0, number - 1)

    def close(self) -> None:
        for journal in self._opened:
            journal.close()
        self._producer.close()
        for keyring in self._keyrings:
            keyring.close()


Shelf = SqliteShelf | KafkaShelf

NO_INDEX = "Kafka finds no record by its key; who follows the journal tells repeats apart"


def cannot(adapter: type[Shelf], reason: str) -> Callable[[Test], Test]:
    """This adapter does not keep the promise: if it came to, the test would have to know."""

    def marked(test: Test) -> Test:
        test.cannot = {adapter: reason}  # type: ignore[attr-defined]
        return test

    return marked


@pytest.fixture(params=[SqliteShelf, pytest.param(KafkaShelf, marks=pytest.mark.server)])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    if reason := getattr(request.function, "cannot", {}).get(request.param):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    shelf = request.param(tmp_path, request)
    yield shelf
    shelf.close()


@pytest.fixture
def journal(shelf: Shelf) -> Journal:
    return shelf.open()


def append(journal: Journal, *touchpoints: Touchpoint) -> list[Appended]:
    return journal.append(touchpoints).result(30)


def all_of(journal: Journal) -> list[Record]:
    records: list[Record] = []
    while page := journal.read(records[-1].position if records else 0, 5_000):
        records += page
    return records


def test_what_is_appended_is_read_back_as_it_was(journal: Journal, shelf: Shelf) -> None:
    said = touchpoint(
        subject=Identifier("email", "ann@example.test"),
        identifiers=(Identifier("email", "ann@example.test"), Identifier("device", "d-1")),
        data={"text": "Здравствуйте", "n": 2**63 - 1, "x": 0.1, "none": None, "nested": [{"да": True}]},
        extra={"context": {"locale": "ru-RU"}},
        strength=2,
        said_at=5,
        sent_at=6,
    )

    append(journal, said)

    [record] = journal.read()
    assert journal.open(record) == said._replace(recorded_at=shelf.clock.now)
    assert (record.key, record.source, record.type, record.channel) == (
        said.key,
        "shop",
        "chat_message",
        "web_chat",
    )
    assert record.subject == journal.id_of(said.subject)


def test_reading_after_a_position_skips_what_came_before(journal: Journal, shelf: Shelf) -> None:
    append(journal, *many(10))

    assert [record.position for record in journal.read(after=shelf.at(7))] == [
        shelf.at(n) for n in (8, 9, 10)
    ]
    assert [one.position for one in journal.read(after=shelf.at(2), limit=3)] == [
        shelf.at(n) for n in (3, 4, 5)
    ]
    assert journal.read(after=shelf.at(10)) == []


def test_records_stand_in_the_order_they_were_appended(journal: Journal) -> None:
    futures = [journal.append(many(7, since=start)) for start in range(0, 70, 7)]
    wait(futures)

    assert [record.key for record in journal.read()] == [key_of(str(n)) for n in range(70)]


@cannot(KafkaShelf, NO_INDEX)
def test_a_touchpoint_recorded_again_changes_nothing(journal: Journal) -> None:
    append(journal, *many(3))
    before = journal.read()

    assert append(journal, *many(3)) == [Appended("duplicate", position) for position in (1, 2, 3)]
    assert journal.read() == before


@cannot(KafkaShelf, NO_INDEX)
def test_a_retry_with_other_times_is_still_the_same_touchpoint(journal: Journal) -> None:
    append(journal, touchpoint(occurred_at=1, sent_at=2))

    assert append(journal, touchpoint(occurred_at=8, sent_at=9)) == [Appended("duplicate", 1)]
    assert journal.read()[0].occurred_at == 1


@cannot(KafkaShelf, NO_INDEX)
def test_a_reused_id_is_told_apart(journal: Journal) -> None:
    append(journal, touchpoint("1"), touchpoint("2", data={"text": "first"}))

    assert append(journal, touchpoint("2", data={"text": "second"})) == [Appended("reused", 2)]
    assert journal.open(journal.read()[1]).data == {"text": "first"}


def test_the_same_id_of_two_sources_is_two_touchpoints(journal: Journal, shelf: Shelf) -> None:
    assert append(journal, touchpoint(source="shop"), touchpoint(source="bot")) == [
        Appended("accepted", shelf.at(1)),
        Appended("accepted", shelf.at(2)),
    ]


@cannot(KafkaShelf, NO_INDEX)
def test_the_same_key_twice_in_one_batch_is_recorded_once(journal: Journal) -> None:
    first, other = touchpoint("1"), touchpoint("1", data={"text": "other"})

    assert append(journal, first, touchpoint("2"), first, other) == [
        Appended("accepted", 1),
        Appended("accepted", 2),
        Appended("duplicate", 1),
        Appended("reused", 1),
    ]
    assert journal.head() == 2


@cannot(KafkaShelf, NO_INDEX)
def test_the_same_key_in_two_batches_of_one_commit_is_recorded_once(journal: Journal, shelf: Shelf) -> None:
    with shelf.clock.held(lambda: journal.append([touchpoint("before")])):
        first, second = journal.append([touchpoint("1")]), journal.append([touchpoint("1")])

    assert first.result(30) == [Appended("accepted", 2)]
    assert second.result(30) == [Appended("duplicate", 2)]


def test_nothing_appended_is_answered_at_once(journal: Journal) -> None:
    assert append(journal) == []
    assert journal.head() == 0


@cannot(KafkaShelf, NO_INDEX)
def test_positions_have_no_gaps_when_many_threads_append_the_same_and_different_things(
    journal: Journal,
) -> None:
    def send(thread: int) -> list[Appended]:
        own = [touchpoint(f"{thread}-{n}", customer=f"c{n % 5}") for n in range(200)]
        shared = many(50, customers=7)
        batches = [own[:80], shared, own[80:], shared]
        return [answer for batch in batches for answer in append(journal, *batch)]

    with ThreadPoolExecutor(8) as threads:
        answers = [answer for answers in threads.map(send, range(8)) for answer in answers]

    accepted = sorted(answer.position for answer in answers if answer.outcome == "accepted")
    assert accepted == list(range(1, 8 * 200 + 50 + 1))
    assert [record.position for record in all_of(journal)] == accepted
    assert len({record.key for record in all_of(journal)}) == len(accepted)
    assert {answer.outcome for answer in answers} == {"accepted", "duplicate"}


def test_what_was_answered_can_be_read_while_more_is_written(journal: Journal, shelf: Shelf) -> None:
    writing = threading.Event()
    writing.set()

    def keep_writing() -> None:
        start = 0
        while writing.is_set():
            append(journal, *many(50, since=start))
            start += 50

    with ThreadPoolExecutor(1) as threads:
        writer = threads.submit(keep_writing)
        try:
            for _ in range(shelf.rounds):
                head = journal.head()
                positions = [0, *(record.position for record in all_of(journal))]
                assert positions[1:] == [shelf.at(n) for n in range(1, len(positions))]
                assert positions[-1] >= head
        finally:
            writing.clear()
        writer.result(30)


def test_a_hundred_thousand_touchpoints_are_read_back_equal(journal: Journal, shelf: Shelf) -> None:
    """A fifth of them, in ten appends, unless the run is thorough."""
    given = many(100_000 if THOROUGH else 20_000, customers=5_000)

    futures: list[Future[list[Appended]]] = []
    for start in range(0, len(given), 2_000):
        while journal.room() < 2_000:
            futures[len(futures) // 2].result(60)
            time.sleep(0.001)
        futures.append(journal.append(given[start : start + 2_000]))
    wait(futures, 120)

    assert journal.head() == shelf.at(len(given))
    read = [journal.open(record) for record in all_of(journal)]
    assert [one._replace(recorded_at=0) for one in read] == given


def test_a_full_queue_refuses_at_once_and_keeps_nothing(shelf: Shelf) -> None:
    journal = shelf.open(max_queue=10)
    with shelf.clock.held(lambda: journal.append([touchpoint("being written")])):
        waiting = journal.append(many(8))
        assert journal.room() == 2
        with pytest.raises(Overloaded):
            journal.append(many(3, since=100))
        fits = journal.append(many(2, since=200))
        assert journal.room() == 0

    answers = waiting.result(30) + fits.result(30)
    assert [answer.position for answer in answers] == [shelf.at(n) for n in range(2, 12)]
    assert key_of("100") not in {record.key for record in journal.read()}
    assert append(journal, *many(3, since=100)) == [Appended("accepted", shelf.at(n)) for n in (12, 13, 14)]


def test_a_batch_larger_than_the_queue_is_taken_when_nothing_waits(shelf: Shelf) -> None:
    journal = shelf.open(max_queue=10)

    assert len(append(journal, *many(25))) == 25


def test_a_touchpoint_that_cannot_be_kept_fails_its_sender_alone(journal: Journal, shelf: Shelf) -> None:
    for unkeepable in (
        touchpoint(data={"x": float("nan")}, digest="0" * 64),
        touchpoint(type="\ud800"),
        touchpoint(occurred_at=2**63),
    ):
        with pytest.raises(ValueError, match=r".+"):
            journal.append([touchpoint("fine"), unkeepable])

    assert append(journal, touchpoint("after")) == [Appended("accepted", shelf.at(1))]


def test_text_that_utf_8_cannot_express_is_kept_in_the_body(journal: Journal) -> None:
    append(journal, touchpoint("\ud83d", data={"half an emoji": "\ud83d"}, key="0" * 32))

    opened = journal.open(journal.read()[0])
    assert (opened.id, opened.data) == ("\ud83d", {"half an emoji": "\ud83d"})


def test_an_answer_cannot_be_cancelled(journal: Journal, shelf: Shelf) -> None:
    with shelf.clock.held(lambda: journal.append([touchpoint("before")])):
        future = journal.append([touchpoint("1")])
        assert not future.cancel()

    assert future.result(30) == [Appended("accepted", shelf.at(2))]


def test_recorded_times_never_go_back(journal: Journal, shelf: Shelf) -> None:
    for second, now in enumerate([100, 300, 200, 400]):
        shelf.clock.now = now
        append(journal, touchpoint(str(second)))

    assert [record.recorded_at for record in journal.read()] == [100, 300, 300, 400]


def test_opening_again_continues_where_it_stopped(shelf: Shelf) -> None:
    journal = shelf.open()
    append(journal, *many(5))
    journal.close()

    again = shelf.open()

    assert again.head() == shelf.at(5)
    assert append(again, touchpoint("new")) == [Appended("accepted", shelf.at(6))]
    assert again.id_of(Identifier("user_id", "ann")) == journal.id_of(Identifier("user_id", "ann"))


@cannot(KafkaShelf, NO_INDEX)
def test_opened_again_it_knows_what_was_recorded_before(shelf: Shelf) -> None:
    journal = shelf.open()
    append(journal, touchpoint())
    journal.close()

    assert append(shelf.open(), touchpoint()) == [Appended("duplicate", 1)]


def test_closing_records_what_was_appended(shelf: Shelf) -> None:
    journal = shelf.open()
    futures = [journal.append(many(100, since=start)) for start in range(0, 1000, 100)]

    journal.close()

    assert all(future.done() and not future.exception() for future in futures)
    assert shelf.open().head() == shelf.at(1000)


def test_a_closed_journal_takes_nothing_more(journal: Journal) -> None:
    journal.close()
    journal.close()

    with pytest.raises(JournalUnavailable):
        journal.append([touchpoint()])
    with pytest.raises(JournalUnavailable):
        journal.room()


def test_the_rules_are_those_the_journal_was_created_with(shelf: Shelf) -> None:
    shelf.open(rules=IdentityRules(default_region="DE")).close()

    assert shelf.open(rules=IdentityRules(default_region="FR")).rules == IdentityRules(default_region="DE")


def test_a_body_cannot_be_moved_to_another_touchpoint(journal: Journal) -> None:
    append(journal, touchpoint("1"), touchpoint("2"))
    one, two = journal.read()
    assert one.key_id == two.key_id

    with pytest.raises(BodyUnreadable):
        journal.open(one._replace(body=two.body))


def test_what_was_erased_cannot_be_opened_and_what_others_said_still_can(journal: Journal) -> None:
    append(journal, touchpoint("1", customer="ann"), touchpoint("2", customer="bob"))
    hers, his = journal.read()

    assert journal.erase([hers.subject]).result(30) == [hers.key_id]

    with pytest.raises(KeyDestroyed):
        journal.open(hers)
    assert journal.open(his).id == "2"


def test_nothing_is_sealed_with_a_key_that_was_erased_before(journal: Journal, shelf: Shelf) -> None:
    with shelf.clock.held(lambda: journal.append([touchpoint("1")])):
        journal.append([touchpoint("2")])
        erased = journal.erase([journal.id_of(touchpoint().subject)])
        later = journal.append([touchpoint("3")])

    assert len(erased.result(30)) == 1
    assert later.result(30) == [Appended("accepted", shelf.at(3))]
    one, two, three = journal.read()
    assert one.key_id == two.key_id != three.key_id
    with pytest.raises(KeyDestroyed):
        journal.open(two)
    assert journal.open(three).id == "3"


@cannot(KafkaShelf, NO_INDEX)
def test_a_touchpoint_whose_key_is_gone_is_a_duplicate_whatever_it_says_now(journal: Journal) -> None:
    append(journal, touchpoint(data={"text": "first"}))
    journal.erase([journal.read()[0].subject]).result(30)

    assert append(journal, touchpoint(data={"text": "second"})) == [Appended("duplicate", 1)]
    assert journal.head() == 1


def test_waiting_ends_when_something_is_recorded(journal: Journal) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(journal.wait_beyond, 0, 30)
        append(journal, touchpoint())
        assert waiting.result(30) is True


def test_waiting_for_what_is_there_or_never_comes_ends_too(journal: Journal, shelf: Shelf) -> None:
    append(journal, touchpoint())

    assert journal.wait_beyond(0, 0) is True
    assert journal.wait_beyond(shelf.at(1), 0.01) is False


@pytest.mark.parametrize("read_only", [False, True])
def test_who_waits_can_be_told_not_to(shelf: Shelf, read_only: bool) -> None:
    journal: Journal = shelf.open()
    if read_only:
        journal = shelf.open(read_only=True)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(journal.wait_beyond, 0, 120)
        while not waiting.done():  # it may not sleep yet
            journal.wait_no_more()
            time.sleep(0.01)
        assert waiting.result(30) is False


def test_a_reader_beside_the_writer_sees_what_is_recorded_and_writes_nothing(shelf: Shelf) -> None:
    journal = shelf.open()
    reader = shelf.open(read_only=True)
    assert (reader.head(), reader.wait_beyond(0, 0.01)) == (0, False)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(reader.wait_beyond, 0, 30)
        append(journal, touchpoint())
        assert waiting.result(30) is True

    assert reader.head() == shelf.at(1)
    assert reader.read() == journal.read()
    assert reader.rules == journal.rules
    with pytest.raises(JournalUnavailable):
        reader.append([touchpoint("2")])


def test_what_is_done_alone_comes_between_what_was_appended_before_and_after(
    journal: Journal, shelf: Shelf
) -> None:
    with shelf.clock.held(lambda: journal.append([touchpoint("1")])):
        journal.append([touchpoint("2")])
        seen = journal.alone(lambda: [record.key for record in journal.read()])
        journal.append([touchpoint("3")])

    assert seen.result(30) == [key_of("1"), key_of("2")]
    assert append(journal, touchpoint("4"))[0].position == shelf.at(4)


def test_what_fails_alone_fails_for_who_asked_and_nobody_else(journal: Journal, shelf: Shelf) -> None:
    def fail() -> None:
        raise OSError("no room")

    with pytest.raises(JournalUnavailable):
        journal.alone(fail).result(30)
    assert append(journal, touchpoint()) == [Appended("accepted", shelf.at(1))]


@cannot(KafkaShelf, NO_INDEX)
def test_an_erasure_is_recorded_once_and_names_whom(journal: Journal, shelf: Shelf) -> None:
    append(journal, touchpoint("1"))
    ann = journal.id_of(touchpoint().subject)

    marks = [journal.alone(lambda: journal.mark_erased("e" * 32, ann, [ann])).result(30) for _ in range(2)]
    assert append(journal, touchpoint("2")) == [Appended("accepted", 3)]

    assert marks == [2, 2]
    assert [erased_in(one.key_id, one.body) for one in journal.read()] == [None, [ann], None]
    assert journal.head() == 3
    journal.close()
    again = shelf.open()
    assert again.alone(lambda: again.mark_erased("e" * 32, ann, [ann])).result(30) == 2


def test_an_erasure_stands_in_order_with_what_is_appended_and_names_whom(
    journal: Journal, shelf: Shelf
) -> None:
    append(journal, touchpoint("1"))
    ann = journal.id_of(touchpoint().subject)

    mark = journal.alone(lambda: journal.mark_erased("e" * 32, ann, [ann])).result(30)
    append(journal, touchpoint("2"))

    assert mark == shelf.at(2)
    records = journal.read()
    assert [erased_in(one.key_id, one.body) for one in records] == [None, [ann], None]
    assert (records[1].key, records[1].subject, records[1].source) == ("e" * 32, ann, "touchbook")


def test_an_erasure_wakes_who_waits_for_more(journal: Journal) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(journal.wait_beyond, 0, 30)
        journal.alone(lambda: journal.mark_erased("e" * 32, "a" * 32, ["a" * 32])).result(30)
        assert waiting.result(30) is True


@cannot(KafkaShelf, NO_INDEX)
def test_records_are_found_by_their_keys_in_order_of_position(journal: Journal) -> None:
    append(journal, *many(300))
    wanted = [key_of(str(n)) for n in (250, 3, 77)]

    found = journal.find([*wanted, "0" * 32, wanted[0]])

    assert [record.key for record in found] == [key_of(str(n)) for n in (3, 77, 250)]
    assert found[0] == journal.read(after=3, limit=1)[0]
    assert journal.find([]) == []


def test_a_reader_records_no_erasure_and_does_nothing_alone(journal: Journal, shelf: Shelf) -> None:
    reader = shelf.open(read_only=True)

    with pytest.raises(JournalUnavailable):
        reader.mark_erased("e" * 32, "a" * 32, ["a" * 32])
    with pytest.raises(JournalUnavailable):
        reader.alone(journal.head)
    assert journal.head() == 0


def test_another_process_that_heeds_erasures_opens_nothing_of_the_erased(shelf: Shelf) -> None:
    journal, reader = shelf.open(), shelf.open_elsewhere()
    append(journal, touchpoint("1", customer="ann"), touchpoint("2", customer="bob"))
    hers, his = reader.read()
    assert [reader.open(one).id for one in (hers, his)] == ["1", "2"]

    journal.erase([hers.subject]).result(30)
    reader.heed_erasures()

    with pytest.raises(KeyDestroyed):
        reader.open(hers)
    assert reader.open(his).id == "2"
