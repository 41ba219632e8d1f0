"""What is true of the log of decisions however its readers lag and whoever believes to decide, without a broker."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streams.listed import Listed
from tests.thorough import examples
from touchbook.errors import BrokerUnavailable, KeyDestroyed
from touchbook.positions import offset_of, part_of, position_in
from touchbook.sealing import IdentityKey
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_decisions import EPOCH, STATED, STATEMENT
from touchbook.streams.backends.kafka_follower import Read
from touchbook.streams.backends.kafka_producer import Row
from touchbook.streams.backends.kafka_records import headers_of
from touchbook.streams.journal import pending

PLACE = KafkaPlace(bootstrap=("127.0.0.1:1",), prefix="t")
LOG, JOURNAL = PLACE.topic("decisions"), PLACE.topic("journal")
AT = ("decisions", 0)
PARTS = 3


@dataclass
class Brokers:
    """Topics in lists, and how far those who fold have come."""

    log: list[Read] = field(default_factory=list)
    journal: list[list[Row]] = field(default_factory=lambda: [[] for _ in range(PARTS)])
    seen: list[int] = field(default_factory=lambda: [0] * PARTS)
    destroyed: set[str] = field(default_factory=set)

    def write(self, row: Row) -> int:
        if row.topic == LOG:
            assert row.key is not None
            self.log.append(Read("decisions", 0, len(self.log), row.key, row.value, row.headers, 0))
            return len(self.log) - 1
        self.journal[row.part].append(row)
        return len(self.journal[row.part]) - 1

    def keys(self) -> list[str]:
        return [dict(row.headers)["ce_id"].decode() for part in self.journal for row in part]

    def shows(self, position: int) -> bool:
        return offset_of(position) < self.seen[part_of(position)]


class Process(Listed):
    """One that reads when the test says so."""

    brokers: Brokers

    def __init__(self, brokers: Brokers, name: str) -> None:
        self.brokers, self.name = brokers, name
        self.epoch: str | None = None
        self.told: dict[str, bool | None] = {}
        self.lost: set[str] = set()
        self.reads_at_once = False
        self.refuses = False
        self.fails = False
        keyring = SimpleNamespace(identity_key=IdentityKey(b"k" * 32), key=self._key)
        anything: Any = keyring, SimpleNamespace(send=self._send)
        super().__init__(PLACE, PARTS, *anything, lambda: 0, brokers.shows, patience=0.0)
        self.offsets()

    def _key(self, key_id: str) -> bytes:
        if key_id in self.brokers.destroyed:
            raise KeyDestroyed
        return b"k" * 32

    def _send(self, rows: list[Row]) -> Future[list[int]]:
        if self.fails:
            raise BrokerUnavailable("away")
        answer: Future[list[int]] = pending()
        if self.refuses:
            answer.set_exception(BrokerUnavailable("away"))
        else:
            answer.set_result([self.brokers.write(row) for row in rows])
            if self.reads_at_once:
                self.read()
        return answer

    def read(self, most: int = 10**6) -> None:
        start = self.offsets()[AT]
        records = self.brokers.log[start : start + most]
        self.apply(records, {AT: start + len(records)})

    def take_over(self) -> None:
        self.reads_at_once = True
        with suppress(BrokerUnavailable):
            self.epoch = self.begin(f"http://{self.name}")
        self.reads_at_once = False

    def decide(self, key: str, hears_late: bool = False) -> None:
        """As a term's writer does, if it believes to lead. It may hear that it was written after it has read it."""
        if self.epoch is None:
            return
        headers = headers_of(key, "touchbook", "contact_reserved", 1, "unknown", f"of {key}", 0)
        headers += [(EPOCH, self.epoch.encode()), (STATED, b"%d" % self.stated_at)]
        offset = self.brokers.write(Row(LOG, 0, f"subject {key}".encode(), b"sealed", headers))
        if hears_late:
            self.read()
        self.tell(offset, self.epoch, lambda counts: self.told.__setitem__(key, counts))

    def counted(self) -> list[str]:
        return [record.key for record, _ in self.held()]


def counting(brokers: Brokers) -> list[str]:
    """The rule, as plain as it is: what stands behind the statement of its own epoch, and before the next one's."""
    opens = Process(Brokers(), "reads")._opened
    in_force, keys = "", []
    for record in brokers.log:
        if record.key == STATEMENT:
            statement = opens(record.value)
            assert statement is not None
            in_force = in_force if statement.again else statement.epoch
        elif dict(record.headers)[EPOCH] == in_force.encode():
            keys.append(dict(record.headers)["ce_id"].decode())
    return keys


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["take over", "decide", "decide", "decide late", "read", "read", "tend", "restate", "fold", "restart",
             "refuse", "take"]
        ),
        st.integers(0, 2),
        st.integers(1, 4),
    ),
    max_size=60,
)  # fmt: skip


@settings(max_examples=examples(300), deadline=None)
@given(steps)
def test_whoever_believes_to_decide_what_was_answered_is_in_the_journal_and_nothing_that_does_not_count(
    steps: list[tuple[str, int, int]],
) -> None:
    brokers = Brokers()
    processes = [Process(brokers, str(n)) for n in range(3)]
    told: dict[str, bool | None] = {}
    for number, (step, who, many) in enumerate(steps):
        process = processes[who]
        match step:
            case "take over":
                process.take_over()
            case "decide":
                process.decide(f"decision {number}")
            case "decide late":
                process.decide(f"decision {number}", hears_late=True)
            case "read":
                process.read(many)
            case "tend":
                process.tend()
            case "restate":
                process._seen_since = 10**6
                process.tend()
            case "fold":
                part = who % PARTS
                brokers.seen[part] = min(brokers.seen[part] + many, len(brokers.journal[part]))
            case "restart":
                told |= process.told
                processes[who] = Process(brokers, str(who))
            case "refuse":
                process.refuses = True
            case "take":
                process.refuses = False
    for process in processes:
        process.refuses = False
        process.read()
        told |= process.told
    last = Process(brokers, "last")
    last.take_over()
    assert last.caught_up()  # all share what is seen here; where they do not, see below

    valid = counting(brokers)
    assert {key for key, counts in told.items() if counts} <= set(valid)
    assert not {key for key, counts in told.items() if counts is False} & set(valid)
    # Whatever readers were told is shown up to `start` is; the rest is held by whoever takes over, in the log's order.
    shown = {
        dict(row.headers)["ce_id"].decode()
        for part, rows in enumerate(brokers.journal)
        for at, row in enumerate(rows)
        if at < brokers.seen[part]
    }
    held = last.counted()
    assert held == [key for key in valid if key in set(held)]
    assert set(valid) - set(held) <= shown
    last.tend()
    assert set(brokers.keys()) == set(valid)


def decided(brokers: Brokers, process: Process, *keys: str) -> None:
    for key in keys:
        process.decide(key)
    process.read()


def test_what_a_process_decides_after_another_took_over_does_not_count_and_it_is_told_so() -> None:
    brokers = Brokers()
    one, other = Process(brokers, "one"), Process(brokers, "other")
    one.take_over()
    decided(brokers, one, "in time")
    other.take_over()
    decided(brokers, one, "too late")
    other.read()

    assert one.told == {"in time": True, "too late": False}
    assert other.counted() == ["in time"]
    assert one.stated is not None
    assert one.stated.url == "http://other"
    assert set(brokers.keys()) == {"in time"}


def test_one_that_was_held_still_says_again_that_it_decides_and_nobody_believes_it() -> None:
    brokers = Brokers()
    one, other = Process(brokers, "one"), Process(brokers, "other")
    one.take_over()
    other.take_over()
    one._said_at = float("-inf")
    one.tend()
    one.decide("too late")
    fresh = Process(brokers, "fresh")
    for process in (one, other, fresh):
        process.read()
        assert process.in_force(other.epoch or "")
        assert process.stated is not None
        assert process.stated.url == "http://other"
    assert one.told == {"too late": False}


def test_a_process_that_starts_reads_from_where_readers_do_not_see_it_all() -> None:
    brokers = Brokers()
    one = Process(brokers, "one")
    one.take_over()
    decided(brokers, one, *(f"seen {n}" for n in range(50)))
    brokers.seen = [len(part) for part in brokers.journal]
    one._said_at = float("-inf")
    one.tend()
    one.read()
    decided(brokers, one, "not seen")

    fresh = Process(brokers, "fresh")
    assert fresh.offsets()[AT] == 51  # behind the statement and what is seen
    fresh.read()
    assert (fresh.counted(), fresh.stated and fresh.stated.url) == (["not seen"], "http://one")


def test_who_takes_over_waits_until_readers_here_see_what_the_one_before_let_go_of() -> None:
    brokers = Brokers()
    one, other = Process(brokers, "one"), Process(brokers, "other")
    one.take_over()
    decided(brokers, one, "seen there")
    brokers.seen = [len(part) for part in brokers.journal]
    one._said_at = float("-inf")
    one.tend()
    brokers.seen = [0] * PARTS  # the other's readers are not that far
    other.take_over()
    assert (other.counted(), other.caught_up()) == ([], False)


def test_who_takes_over_just_as_more_is_let_go_of_waits_for_that_too() -> None:
    brokers = Brokers()
    one, other = Process(brokers, "one"), Process(brokers, "other")
    one.take_over()
    for number in range(2):
        decided(brokers, one, *(f"{number} {n}" for n in range(20)))
        brokers.seen = [len(part) for part in brokers.journal]
        one._said_at = float("-inf")
        one.tend()
        if number == 0:
            other.read()
    before = min(len(part) for part in brokers.journal) // 2
    brokers.seen = [before + 2] * PARTS  # as far as what was said first
    other.take_over()  # says what it knows, and reads only then what was said meanwhile
    assert not other.caught_up()
    brokers.seen = [len(part) for part in brokers.journal]
    assert other.caught_up()


def test_a_decision_is_shown_once_its_copy_is() -> None:
    brokers = Brokers()
    one = Process(brokers, "one")
    one.take_over()
    decided(brokers, one, "a", "b")
    positions = [position for _, position in one.held()]
    assert positions == [position_in(0, 1), position_in(0, 2)]
    assert not any(map(one.shows, positions))
    brokers.seen = [len(part) for part in brokers.journal]
    assert all(map(one.shows, positions))
    one.tend()
    assert (one.unseen(), all(map(one.shows, positions))) == (0, True)


@pytest.mark.parametrize("how", ["refuses", "fails"])
def test_what_the_journal_does_not_take_is_copied_later(how: str) -> None:
    brokers = Brokers()
    one = Process(brokers, "one")
    one.take_over()
    one.decide("a")
    setattr(one, how, True)
    one.read()
    assert brokers.keys() == []
    setattr(one, how, False)
    one.tend()
    assert brokers.keys() == ["a"]


def test_what_is_read_twice_is_copied_once() -> None:
    brokers = Brokers()
    one = Process(brokers, "one")
    one.take_over()
    decided(brokers, one, "a", "b")
    one.apply(brokers.log, {AT: len(brokers.log)})
    assert sorted(brokers.keys()) == ["a", "b"]


def test_what_was_not_read_back_in_time_is_not_known() -> None:
    brokers = Brokers()
    one = Process(brokers, "one")
    one.take_over()
    one.decide("a")
    one.tend()  # its patience is none
    assert one.told == {"a": None}


def test_who_waits_when_it_closes_or_begins_anew_is_told_that_it_is_not_known() -> None:
    brokers = Brokers()
    one = Process(brokers, "one")
    one.take_over()
    one.decide("a")
    one.forget()
    assert (one.told, one.in_force(one.epoch or "")) == ({"a": None}, False)
    one.read()
    one.decide("b")
    one.close()
    one.decide("c")
    assert one.told == {"a": None, "b": None, "c": None}


def test_of_whom_was_erased_since_nothing_is_copied_any_more() -> None:
    brokers = Brokers()
    one, other = Process(brokers, "one"), Process(brokers, "other")
    one.take_over()
    one.decide("of an erased one")
    one.decide("of another")
    brokers.destroyed.add("of of an erased one")
    other.take_over()
    other.tend()
    assert brokers.keys() == ["of another"]
    assert other.counted() == ["of another"]


@pytest.mark.parametrize("value", [None, b"", b"x" * 40, b"\0" * 32 + b'{"epoch":"e","url":"http://evil"}'])
def test_only_who_has_the_identity_key_can_say_where_it_is_decided(value: bytes | None) -> None:
    brokers = Brokers()
    one = Process(brokers, "one")
    one.take_over()
    brokers.write(Row(LOG, 0, STATEMENT, value))
    fresh = Process(brokers, "fresh")
    for process in (one, fresh):
        process.read()
        assert process.stated is not None
        assert process.stated.url == "http://one"


def test_a_record_without_an_epoch_never_counts() -> None:
    brokers = Brokers()
    headers = headers_of("k", "touchbook", "contact_reserved", 1, "unknown", "of k", 0)
    marks: list[Mapping[str, bytes]] = [{}, {EPOCH: b""}, {EPOCH: b"another"}]
    for mark in marks:
        brokers.write(Row(LOG, 0, b"subject", b"sealed", [*headers, *mark.items(), (STATED, b"-1")]))
    one = Process.__new__(Process)
    Process.__init__(one, Brokers(), "one")
    one.brokers = brokers
    one.read()
    assert one.counted() == []
