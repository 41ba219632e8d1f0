"""What is true of decisions in their log on a broker, until they are in the journal, whoever decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.streams.deciding import now
from tests.streams.sharing import Shared
from tests.streams.touchpoints import touchpoint
from touchbook.errors import JournalUnavailable, KeyDestroyed, NoDecider
from touchbook.schemas.touchpoint import Identifier, Record, Touchpoint
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_decisions import KafkaDecisions, Term
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.backends.kafka_topics import DECISIONS, read_topic
from touchbook.streams.contacting_many import Leading

pytestmark = pytest.mark.server

PATIENCE = 30.0
HERE = "here"
ADDRESS = "ann.larsen@example.test"


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.01)


def decision(id: str, customer: str = ADDRESS) -> Touchpoint:
    data = {
        "reservation": id,
        "for_channel": "email",
        "purpose": "offer",
        "campaign": "Autumn for Ann Larsen",
    }
    return touchpoint(
        id, source="touchbook", type="contact_reserved", subject=Identifier("email", customer), data=data
    )


class OneDuty:
    def __init__(self, held: bool = True) -> None:
        self.has = held

    def start(self) -> None: ...

    def held(self) -> bool:
        return self.has

    def close(self) -> None:
        self.has = False


class Taken:
    """Decides nothing: what it knows is what it was given."""

    def __init__(self, term: Term) -> None:
        self.term = term
        self.known: list[str] = []

    def restore(self, taken: Any) -> None:
        self.known = [one.id for one, _ in taken]

    def decide(self, one: Touchpoint) -> int:
        [told] = self.term.append([one]).result(PATIENCE)
        return told.position


class Process:
    """A replica's part in deciding, without the rest of it."""

    def __init__(self, shared: Shared, name: str, duty: bool = True) -> None:
        self.keyring: KafkaKeyring = shared.keyring(name)
        self.journal = KafkaJournal.at(shared.place, self.keyring, now, shared.producer)
        self.duty = OneDuty(duty)
        self.seen = False
        self.log = KafkaDecisions(
            shared.place, self.journal.parts, self.keyring, shared.producer, now, lambda position: self.seen
        )
        self.leading: Leading[Taken] = Leading(
            self.duty, self.log, Taken, f"http://{name}", look_seconds=0.02, again_seconds=60.0
        )
        self.leading.start()

    def where(self) -> str | None:
        """Where it is decided, as far as it knows."""
        with suppress(NoDecider):
            return self.leading.elsewhere() or HERE
        return None

    def here(self) -> Taken:
        eventually(lambda: self.where() == HERE)
        return self.leading.here

    def recorded(self) -> list[Record]:
        return [record for part in range(self.journal.parts) for record in self.journal.read(part=part)]

    def close(self) -> None:
        self.leading.close()
        self.journal.close()


@pytest.fixture
def shared(kafka: KafkaPlace, tmp_path: Path) -> Iterator[Shared]:
    with closing(Shared(kafka, tmp_path)) as shared:
        yield shared


@pytest.fixture
def process(shared: Shared) -> Iterator[Callable[..., Process]]:
    opened: list[Process] = []

    def process(name: str, duty: bool = True) -> Process:
        opened.append(Process(shared, name, duty))
        return opened[-1]

    yield process
    for one in opened:
        one.close()


def test_a_decision_is_answered_once_it_is_in_the_log_and_is_then_in_the_journal_as_it_was_sealed(
    shared: Shared, process: Callable[..., Process]
) -> None:
    one = process("one")
    deciding = one.here()
    position = deciding.decide(decision("first"))
    assert not deciding.term.shows(position)
    eventually(lambda: len(one.recorded()) == 1)
    [record] = one.recorded()
    assert one.journal.open(record)._replace(recorded_at=0) == decision("first")._replace(recorded_at=0)
    logged = [row for row in read_topic(shared.place, DECISIONS) if row.key == record.subject.encode()]
    assert [row.value for row in logged] == [record.body]
    one.seen = True
    eventually(lambda: deciding.term.shows(position) and one.log.unseen() == 0)


def test_whoever_takes_over_knows_what_readers_do_not_see_yet_and_copies_it_again(
    process: Callable[..., Process],
) -> None:
    one, other = process("one"), process("other", duty=False)
    for number in range(5):
        one.here().decide(decision(f"decision {number}"))
    eventually(lambda: len(one.recorded()) == 5)
    other.duty.has = True
    assert other.here().known == [f"decision {number}" for number in range(5)]
    eventually(lambda: len(other.recorded()) == 10)
    assert len({record.key for record in other.recorded()}) == 5
    eventually(lambda: one.where() == "http://other")


def test_a_process_that_goes_on_deciding_after_another_began_is_told_that_it_does_not_count(
    process: Callable[..., Process],
) -> None:
    one, other = process("one"), process("other", duty=False)
    held_still = one.here()
    held_still.decide(decision("in time"))
    with closing(begun(other)) as term:
        # The latter where it has noticed by itself by now.
        with pytest.raises((NoDecider, JournalUnavailable)):
            held_still.decide(decision("too late"))
        assert [one.id for one, _ in term.taken_over()] == ["in time"]
        term.append([decision("by the other")]).result(PATIENCE)
        other.log.tend()
        eventually(lambda: ids(other) == {"in time", "by the other"})


def ids(process: Process) -> set[str]:
    return {process.journal.open(record).id for record in process.recorded()}


def test_what_is_handed_in_while_another_takes_over_counts_or_is_refused_and_never_both(
    process: Callable[..., Process],
) -> None:
    one, other = process("one", duty=False), process("other", duty=False)
    with closing(begun(one)) as term:
        asked = [term.append([decision(str(n))]) for n in range(300)]
        asked[0].result(PATIENCE)
        with closing(begun(other)):
            asked += [term.append([decision(str(n))]) for n in range(300, 400)]
            told = [future.exception(PATIENCE) for future in asked]
            assert all(isinstance(error, NoDecider) for error in told if error is not None)
            reserved = {str(n) for n, error in enumerate(told) if error is None}
            assert "0" in reserved
            assert reserved <= {str(n) for n in range(300)}
            other.log.tend()
            eventually(lambda: ids(other) >= reserved)
    assert ids(other) == reserved


def begun(process: Process) -> Term:
    eventually(lambda: process.log.ready)
    epoch = process.log.begin(f"http://{id(process)}")
    assert epoch is not None
    return Term(process.log, epoch, 1_000)


def test_of_an_erased_customer_the_log_holds_nothing_that_can_be_read(
    shared: Shared, process: Callable[..., Process]
) -> None:
    one = process("one")
    one.here().decide(decision("of Ann"))
    one.here().decide(decision("of Ben", "ben@example.test"))
    rows = list(read_topic(shared.place, DECISIONS))
    everything = b"\n".join(
        bytes(part) for row in rows for part in (row.key, row.value, *(value for _, value in row.headers))
    )
    for clear in (b"ann", b"Ann", b"example.test", b"Autumn", b"offer", b"email"):
        assert clear not in everything

    subject = one.journal.id_of(Identifier("email", ADDRESS))
    assert {record.subject for record, _ in one.log.held()} >= {subject}
    one.keyring.destroy([subject])
    for record, _ in one.log.held():
        if record.subject == subject:
            with pytest.raises(KeyDestroyed):
                one.journal.open(record)
    other = process("other")
    assert other.here().known == ["of Ben"]


def test_without_a_url_a_process_offers_itself_to_nobody(
    shared: Shared, process: Callable[..., Process]
) -> None:
    one = process("one")
    one.here()
    silent: Leading[Taken] = Leading(OneDuty(held=False), one.log, Taken, None)
    assert silent.elsewhere() == "http://one"
    with pytest.raises(NoDecider, match="send again with the same ids"):
        _ = silent.here
