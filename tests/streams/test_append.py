"""What makes appending fast changes nothing: the plain versions give the same, and those who are told are told once."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain import append as plain
from tests.streams.touchpoints import Clock, key_of, many, touchpoint
from tests.thorough import examples
from touchbook.errors import JournalUnavailable, Overloaded
from touchbook.schemas.touchpoint import Identifier, Touchpoint
from touchbook.sealing import decode_body, encode_body, new_key, seal_each, unseal
from touchbook.streams.backends.sqlite import AT_ONCE, insert_whole, statement
from touchbook.streams.backends.sqlite_journal import SqliteJournal
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.journal import Appended

TEXT = st.text() | st.text('абвгдежзиёъЯ 🙂\ud800\udc00\0"\\:NaN', max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SAID = st.builds(
    touchpoint,
    id=TEXT,
    key=st.just("k"),
    digest=st.just("d"),
    subject=st.builds(Identifier, st.just("device"), TEXT),
    data=st.dictionaries(TEXT, VALUES, max_size=4),
    extra=st.dictionaries(TEXT, VALUES, max_size=4),
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[SqliteJournal]:
    keyring = SqliteKeyring.at(tmp_path)
    opened = SqliteJournal.at(tmp_path, keyring, clock, max_queue=10)
    yield opened
    opened.close()
    keyring.close()


class Ear:
    """Hears what it is told, and can be waited for."""

    def __init__(self) -> None:
        self.heard: list[list[Appended] | Exception] = []
        self._told = threading.Event()

    def __call__(self, end: list[Appended] | Exception) -> None:
        self.heard.append(end)
        self._told.set()

    def waits(self, seconds: float = 30) -> bool:
        return self._told.wait(seconds)


def read(body: bytes, said: Touchpoint) -> Touchpoint:
    header = {name: getattr(said, name) for name in ("key", "source", "type", "version", "channel")}
    return decode_body(body, **header, occurred_at=said.occurred_at, recorded_at=0)


# The same as the plain version


@given(SAID)
def test_a_body_says_what_it_says_by_the_plain_version(said: Touchpoint) -> None:
    fast, plainly = encode_body(said), plain.encode_body(said)

    assert repr(read(fast, said)) == repr(read(plainly, said)) == repr(said)
    assert repr(json.loads(fast.decode("utf-8", "surrogatepass"))) == repr(
        json.loads(plainly.decode("utf-8", "surrogatepass"))
    )


@pytest.mark.parametrize("count", [0, 1, 5])
def test_each_body_is_sealed_as_if_it_were_alone(count: int) -> None:
    bodies = [(f"body {n}".encode(), new_key(), f"key {n}".encode()) for n in range(count)]

    for seal in (seal_each, plain.seal_each):
        sealed = seal(bodies)
        opened = [
            unseal(one, key, associated) for one, (_, key, associated) in zip(sealed, bodies, strict=True)
        ]
        assert opened == [body for body, _, _ in bodies]
        assert len({one[:12] for one in sealed}) == count, "no nonce is used twice"


def rows(count: int, since: int = 1) -> list[tuple[object, ...]]:
    return [
        (n, f"k{n}", "shop", "t", 1, "web", "s", "id", n, n, bytes([n % 256]))
        for n in range(since, since + count)
    ]


def a_table() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(statement("journal_schema"))
    return db


@given(st.integers(0, 3 * AT_ONCE))
@settings(max_examples=examples(25), deadline=None)
def test_any_number_of_rows_stands_there_as_by_the_plain_version(count: int) -> None:
    stands = []
    for insert in (insert_whole, plain.insert_whole):
        with closing(a_table()) as db:
            insert(db, "journal_append", rows(count))
            assert not db.in_transaction
            stands.append(db.execute("SELECT * FROM journal ORDER BY position").fetchall())

    assert stands[0] == stands[1] == rows(count)


@pytest.mark.parametrize("count", [3, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 7])
def test_one_row_that_cannot_stand_there_keeps_all_the_others_out(count: int) -> None:
    with closing(a_table()) as db:
        insert_whole(db, "journal_append", rows(1))

        with pytest.raises(sqlite3.IntegrityError):
            insert_whole(db, "journal_append", [*rows(count, since=2), *rows(1)])

        assert not db.in_transaction
        assert db.execute("SELECT count(*) FROM journal").fetchone() == (1,)


# Handing in


def test_who_hands_in_is_told_what_append_would_have_answered(journal: SqliteJournal) -> None:
    first, again, other = Ear(), Ear(), Ear()

    journal.hand_in(many(2), first)
    assert first.waits()
    journal.hand_in(many(3), again)
    journal.hand_in([touchpoint("0", data={"text": "another"})], other)
    assert again.waits()
    assert other.waits()

    assert first.heard == [[Appended("accepted", 1), Appended("accepted", 2)]]
    assert again.heard == [[Appended("duplicate", 1), Appended("duplicate", 2), Appended("accepted", 3)]]
    assert other.heard == [[Appended("reused", 1)]]


def test_nothing_handed_in_is_told_at_once(journal: SqliteJournal) -> None:
    ear = Ear()

    journal.hand_in([], ear)

    assert ear.heard == [[]]


def test_what_may_wait_is_recorded_together_once_it_is_due(journal: SqliteJournal) -> None:
    ears = [Ear() for _ in range(3)]
    for n, ear in enumerate(ears):
        journal.hand_in([touchpoint(str(n))], ear, wake=False)
    assert not ears[0].waits(0.05)

    journal.wake()

    assert all(ear.waits() for ear in ears)
    assert [record.key for record in journal.read()] == [key_of(str(n)) for n in range(3)]


def test_an_append_brings_along_what_waits(journal: SqliteJournal) -> None:
    ear = Ear()
    journal.hand_in([touchpoint("first")], ear, wake=False)

    assert journal.append([touchpoint("second")]).result(30) == [Appended("accepted", 2)]
    assert ear.heard == [[Appended("accepted", 1)]]


def test_what_waits_counts_as_waiting_and_is_recorded_when_the_journal_is_closed(
    journal: SqliteJournal,
) -> None:
    ear = Ear()
    journal.hand_in(many(8), ear, wake=False)
    assert journal.room() == 2
    with pytest.raises(Overloaded):
        journal.hand_in(many(3, since=8), Ear(), wake=False)

    journal.close()

    assert ear.heard == [[Appended("accepted", position) for position in range(1, 9)]]
    with pytest.raises(JournalUnavailable):
        journal.hand_in(many(1), Ear())


def test_somebody_who_fails_to_listen_keeps_nobody_else_from_hearing(
    journal: SqliteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    def deaf(end: object) -> None:
        raise LookupError("ann@example.test")

    before, after = Ear(), Ear()
    journal.hand_in([touchpoint("1")], before, wake=False)
    journal.hand_in([touchpoint("2")], deaf, wake=False)
    journal.hand_in([touchpoint("3")], after)

    assert after.waits()
    assert before.heard == [[Appended("accepted", 1)]]
    assert after.heard == [[Appended("accepted", 3)]]
    assert journal.append([touchpoint("4")]).result(30) == [Appended("accepted", 4)]
    assert "LookupError" in caplog.text
    assert "ann@example.test" not in caplog.text


def test_a_store_that_fails_is_told_once_to_each_who_handed_in(
    journal: SqliteJournal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    ears = [Ear(), Ear()]
    with monkeypatch.context() as broken:
        broken.setattr("touchbook.streams.backends.sqlite_writer.insert_whole", full)
        journal.hand_in([touchpoint("1")], ears[0], wake=False)
        journal.hand_in([touchpoint("2")], ears[1])
        assert all(ear.waits() for ear in ears)

    assert [[type(one) for one in ear.heard] for ear in ears] == [[JournalUnavailable], [JournalUnavailable]]
    assert journal.append([touchpoint("1")]).result(30) == [Appended("accepted", 1)]
