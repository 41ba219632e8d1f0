"""Whatever happens to those who write it, ClickHouse holds what the plain fold gives."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.books import a_book, publish
from tests.projections.clickhouses import build, drop_build, engine, fresh_build
from tests.projections.histories import histories
from tests.projections.machines import PARTS, Breaking, Machine, ManyParts
from tests.thorough import examples
from touchbook.errors import StoreUnavailable
from touchbook.positions import position_in
from touchbook.projections.changes import Changes, entry_of
from touchbook.projections.rows import PartlyWritten, Stretch
from touchbook.projections.stores import key_filter
from touchbook.projections.stores.clickhouse import Engine
from touchbook.projections.stores.clickhouse_ddl import Build, make_build
from touchbook.projections.stores.clickhouse_reader import ClickHouseReader
from touchbook.projections.stores.clickhouse_store import ClickHouseStore
from touchbook.schemas.touchpoint import Identifier
from touchbook.timeline import TimelineFilters

__all__ = ["build", "engine"]

ANN = "a" * 32
ANN_ID = Identifier("user_id", "ann")
parts = st.integers(0, PARTS - 1)
some = st.integers(1, 12)
happenings = st.one_of(
    st.tuples(st.just("step"), parts, some),
    st.tuples(st.just("step"), parts, some),
    st.tuples(st.just("late"), parts, some),
    st.tuples(st.just("acknowledge"), parts),
    st.tuples(st.just("taken over"), parts),
    st.tuples(st.just("broken"), parts, some, st.integers(0, 8), st.booleans(), st.booleans()),
    st.just(("merged",)),
    st.just(("keys destroyed",)),
    st.just(("purged",)),
)


@settings(
    max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    history=histories(max_size=30),
    repeats=st.lists(st.integers(0, 100), max_size=4),
    erase=st.none() | st.tuples(st.integers(0, 5), st.integers(0, 12)),
    what_happens=st.lists(happenings, max_size=16),
    cached=st.sampled_from([5, 100_000]),
)
def test_whatever_happens_on_the_way_everything_is_counted_once(
    engine: Engine,
    history: list[dict[str, Any]],
    repeats: list[int],
    erase: tuple[int, int] | None,
    what_happens: list[tuple[Any, ...]],
    cached: int,
) -> None:
    with a_book() as book, a_build(engine) as build, a_directory() as directory:
        publish(book, history)
        journal = ManyParts(book, repeats, erase)
        reader = ClickHouseReader(engine, build)
        breaking = Breaking(engine)
        acknowledged = dict.fromkeys(range(PARTS), 0)
        owner = Machine(journal, lambda: ClickHouseStore(breaking, build, cached), acknowledged)
        late = Machine(journal, lambda: ClickHouseStore(engine, build, cached), dict(acknowledged))
        counted: dict[Any, int] = {}
        for happening in what_happens:
            happen(engine, build, owner, late, breaking, happening)
            counted = counts_have_not_fallen(reader, journal, counted)
        owner.restart()
        owner.finish()
        plain = journal.plain(directory)
        assert reader.digest() == plain.digest()
        plain.close()


def happen(
    engine: Engine, build: str, owner: Machine, late: Machine, breaking: Breaking, happening: tuple[Any, ...]
) -> None:
    match happening:
        case "step", part, records:
            owner.step(part, records)
        case "late", part, records:  # goes on from wherever it was when it was held still
            late.step(part, records)
        case "acknowledge", part:
            owner.acknowledge(part)
        case "taken over", part:
            owner.take_over(part)
        case "broken", part, records, inserts, took_it, dies:
            breaking.inserts_left, breaking.took_it = inserts, took_it
            with suppress(StoreUnavailable):
                owner.step(part, records)
            breaking.inserts_left = None
            if dies:
                owner.restart()
        case ("merged",):
            for table in owner.store._build.tables.values():
                engine.execute(f"OPTIMIZE TABLE {table} FINAL")
        case ("keys destroyed",):
            owner.journal.destroyed = True
        case ("purged",):
            owner.store.purge()


def counts_have_not_fallen(
    reader: ClickHouseReader, journal: ManyParts, before: dict[Any, int]
) -> dict[Any, int]:
    """But of who was erased."""
    gone = journal.erased.subjects if journal.erased else []
    subjects = {one.subject for all in journal.parts.values() for one in all if hasattr(one, "subject")} - {
        *gone
    }
    now = {
        (subject, signal, day): count
        for subject, rows in reader.ledger_rows(subjects)
        for signal, day, count, _ in rows
    }
    fallen = [row for row, count in before.items() if now.get(row, 0) < count]
    assert not fallen
    return now


@contextmanager
def a_build(engine: Engine) -> Iterator[str]:
    name = fresh_build()
    make_build(engine, name)
    try:
        yield name
    finally:
        drop_build(engine, name)


@contextmanager
def a_directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="touchbook-test-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


# One thing at a time


def at(offset: int) -> int:
    return position_in(0, offset)


def visits(*offsets: int, subject: str = ANN, day: int = 0) -> Changes:
    """One visit at each of these places of part 0, all on one day."""
    changes = Changes()
    for offset in offsets:
        changes.see(subject, subject, ANN_ID, offset, 1, at(offset))
        changes.count(subject, "visit", day * 86_400_000, 5)
        changes.register(subject, "trait", "last", offset, (offset, f"{offset:032x}"))
        header = (f"{offset:032x}", subject, offset, offset, at(offset), "visit", "f", "web", "shop", "in")
        changes.entries.append((*header, None, True, '{"id":"x","signals":[["visit",5]]}'))
    return changes


def stretch(*offsets: int, **more: Any) -> Stretch:
    """Follows whatever comes before the first of these places."""
    digests = {f"{offset:032x}": f"digest {offset}" for offset in offsets}
    return Stretch(visits(*offsets, **more), at(offsets[0] - 1), at(offsets[-1]), offsets[-1], digests)


def visits_of(engine: Engine, build: str, subject: str = ANN) -> dict[int, int]:
    rows = dict(ClickHouseReader(engine, build).ledger_rows([subject])).get(subject, [])
    return {day: count for _, day, count, _ in rows}


@pytest.mark.parametrize("took_it", [False, True])
@pytest.mark.parametrize("inserts", range(7))
def test_what_failed_is_not_taken_for_written(
    engine: Engine, build: str, inserts: int, took_it: bool
) -> None:
    breaking = Breaking(engine)
    store = ClickHouseStore(breaking, build)
    store.write([stretch(0)])
    breaking.inserts_left, breaking.took_it = inserts, took_it
    if inserts < 6:  # as many tables as this touches
        with pytest.raises(StoreUnavailable):
            store.write([stretch(1, 2)])
    (rows,) = store.write([stretch(1, 2)])
    assert rows.ledger == {(ANN, 0): {"visit": (3, 15)}}
    assert rows.identifiers[ANN, ANN].touchpoints == 3
    assert visits_of(engine, build) == {0: 3}


def test_a_stretch_that_a_row_stands_within_is_refused_and_says_where(engine: Engine, build: str) -> None:
    ClickHouseStore(engine, build).write([stretch(0, 1)])
    other = ClickHouseStore(engine, build)
    with pytest.raises(PartlyWritten) as raised:
        other.write([stretch(0, 1, 2)])
    assert raised.value.position == at(1)
    first, second, third = other.write([stretch(0), stretch(1), stretch(2)])
    counts = [rows.ledger[ANN, 0]["visit"][0] for rows in (first, second, third)]
    assert counts == [2, 2, 3]  # what was written before is told as it stands
    assert visits_of(engine, build) == {0: 3}


def test_stretches_of_one_part_in_one_call_leave_their_rows_step_by_step(engine: Engine, build: str) -> None:
    first, second = ClickHouseStore(engine, build).write([stretch(0, 1), stretch(2)])
    assert (first.ledger[ANN, 0], second.ledger[ANN, 0]) == ({"visit": (2, 10)}, {"visit": (3, 15)})
    assert (first.identifiers[ANN, ANN].touchpoints, second.identifiers[ANN, ANN].touchpoints) == (2, 3)
    assert visits_of(engine, build) == {0: 3}


def test_late_days_are_added_to_what_is_stored_though_only_newer_ones_are_known(
    engine: Engine, build: str
) -> None:
    ClickHouseStore(engine, build).write([stretch(0, day=10), stretch(1, day=500)])
    store = ClickHouseStore(engine, build)
    store.write([stretch(2, day=500)])
    store.write([stretch(3, day=10)])
    assert visits_of(engine, build) == {10: 2, 500: 2}


def test_what_is_kept_in_memory_is_bounded_in_rows(engine: Engine, build: str) -> None:
    store = ClickHouseStore(engine, build, cached_rows=10)
    people = [f"{number:032x}" for number in range(20)]
    for number, subject in enumerate(people):
        store.write([stretch(number, subject=subject)])
    assert sum(held.rows for held in store._held.values()) == store._rows <= 10
    assert people[-1] in store._held
    assert people[0] not in store._held
    store.forget(0)
    assert (store._rows, len(store._held)) == (0, 0)


def test_an_erased_customer_is_gone_for_readers_at_once_and_then_for_good(engine: Engine, build: str) -> None:
    store, reader = ClickHouseStore(engine, build), ClickHouseReader(engine, build)
    bo = "b" * 32
    store.write([stretch(0, 1), stretch(2, subject=bo)])
    rows = store.erase([ANN], at(3), 3, Changes())
    assert (rows.erased, rows.gone.ledger, rows.gone.registers) == (
        [ANN],
        [(ANN, 0)],
        [(ANN, "trait", "last")],
    )
    assert rows.gone.identifiers == [(ANN, ANN)]
    assert visits_of(engine, build) == {}
    assert visits_of(engine, build, bo) == {0: 1}
    assert set(reader.rows_of([ANN]).values()) == {0}
    again = ClickHouseStore(engine, build).erase([ANN], at(3), 3, Changes())
    assert again.gone == rows.gone  # so that what was not told yet will be
    assert store.purge() == 1
    assert not stored_of(engine, build, ANN)
    assert store.purge() == 0
    assert visits_of(engine, build, bo) == {0: 1}


def stored_of(engine: Engine, build: str, subject: str) -> bool:
    """Whether any row of his is left, seen or not, once the server is done with what it was told."""
    store = ClickHouseStore(engine, build)
    deadline = time.monotonic() + 30
    while store.purging() and time.monotonic() < deadline:
        time.sleep(0.05)
    tables = [
        table for name, table in Build(build).tables.items() if name not in ("keys", "positions", "erasures")
    ]
    counts = [
        engine.execute(f"SELECT count() FROM {table} WHERE subject = %(subject)s", {"subject": subject})
        for table in tables
    ]
    return any(count != [(0,)] for count in counts)


def test_a_returning_customer_counts_from_zero_also_for_who_comes_late(engine: Engine, build: str) -> None:
    store = ClickHouseStore(engine, build)
    late = ClickHouseStore(engine, build)
    store.write([stretch(0, 1)])
    late.write([stretch(0, 1)])
    store.erase([ANN], at(2), 2, Changes())
    (rows,) = store.write([stretch(3)])
    assert rows.ledger == {(ANN, 0): {"visit": (1, 5)}}
    late.write([Stretch(visits(1), at(0), at(1), 1)])  # woke up, and knows of no erasure
    assert visits_of(engine, build) == {0: 1}
    fresh = ClickHouseStore(engine, build)
    (old,) = fresh.write([stretch(0, 1)])
    assert not old.entries  # what stands there is from after the erasure
    assert visits_of(engine, build) == {0: 1}


def test_what_can_still_be_opened_stays_and_only_the_rest_is_gone(engine: Engine, build: str) -> None:
    store, reader = ClickHouseStore(engine, build), ClickHouseReader(engine, build)
    store.write([stretch(0, 1, 2)])
    rows = store.erase([ANN], at(3), 3, visits(1))
    assert rows.ledger == {(ANN, 0): {"visit": (1, 5)}}
    assert (rows.gone.ledger, rows.gone.identifiers) == ([], [])
    assert sorted(key for *_, key in rows.gone.heads) == [f"{0:032x}", f"{2:032x}"]
    assert [one.position for one in reader.entries([ANN], TimelineFilters(), None)] == [at(1)]
    assert visits_of(engine, build) == {0: 1}


def test_standing_tells_every_row_as_it_is(engine: Engine, build: str) -> None:
    store = ClickHouseStore(engine, build)
    bo = "b" * 32
    (written,) = store.write([stretch(0, 1)])
    store.write([stretch(2, subject=bo)])
    store.erase([bo], at(3), 3, Changes())
    rows = ClickHouseStore(engine, build).standing([ANN, bo], at(4), 4)
    assert (rows.ledger, rows.registers, rows.identifiers) == (
        written.ledger,
        written.registers,
        written.identifiers,
    )
    assert [*map(entry_of, rows.entries)] == [*map(entry_of, written.entries)]
    assert (rows.erased, rows.gone.ledger) == ([bo], [(bo, 0)])
    assert [subject for subject, *_ in rows.gone.heads] == [bo]


def test_standing_is_true_also_of_a_part_that_others_write(engine: Engine, build: str) -> None:
    ours, another = ClickHouseStore(engine, build), ClickHouseStore(engine, build)
    another.write([stretch(0, 1)])
    assert ours.standing([ANN], at(2), 2).ledger
    another.erase([ANN], at(2), 2, Changes())
    rows = ours.standing([ANN], at(3), 3)
    assert (rows.erased, rows.ledger, rows.entries) == ([ANN], {}, [])


def test_keys_are_known_where_they_first_were_and_by_what_they_said(engine: Engine, build: str) -> None:
    store = ClickHouseStore(engine, build)
    assert store.first_positions([f"{0:032x}"], 0) == {}
    store.write([stretch(0, 1)])
    expected = {f"{0:032x}": (at(0), "digest 0"), f"{1:032x}": (at(1), "digest 1")}
    asked = [f"{number:032x}" for number in range(50)]
    assert store.first_positions(asked, 0) == expected
    fresh = ClickHouseStore(engine, build)
    assert fresh.first_positions(asked, 0) == expected  # its filter comes from what is stored
    assert fresh.first_positions(asked, 1) == {}  # positions of another part say nothing here


def test_the_digest_of_what_was_erased_is_forgotten(engine: Engine, build: str) -> None:
    store = ClickHouseStore(engine, build)
    store.write([stretch(0)])
    store.erase([ANN], at(1), 1, visits(0))
    assert store.first_positions([f"{0:032x}"], 0) == {f"{0:032x}": (at(0), "")}
    store.purge()
    assert not stored_of(engine, build, "c" * 32)
    assert engine.execute(f"SELECT digest FROM {Build(build).tables['keys']}") == [("",)]


def test_keys_that_are_written_while_the_filter_grows_are_not_forgotten(
    engine: Engine, build: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_filter, "LEAST_BITS", 1 << 16)
    store = ClickHouseStore(engine, build, filter_bytes=1 << 20)
    assert store.first_positions([f"{0:032x}"], 0) == {}
    written = 0
    for _ in range(3):
        store.write([stretch(*range(written, written + 3_000))])
        written += 3_000
        found = store.first_positions([f"{number:032x}" for number in range(written)], 0)
        assert len(found) == written
