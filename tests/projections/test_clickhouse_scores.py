"""A scorecard over the ledgers in ClickHouse gives what the fold gives, to the last integer, however often a day was
written."""

from __future__ import annotations

import dataclasses
import secrets

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.books import TODAY, a_book, publish
from tests.books import folded as folded_book
from tests.projections.clickhouses import build, engine
from tests.rules.test_scoring import CARDS, ON, WORKED, any_card_and_ledger, card_of, visits, worked
from tests.scorecards.ledger_tables import folded
from tests.scorecards.test_backtest import random_events
from tests.servers.process import free_port
from tests.thorough import examples
from touchbook.errors import StoreUnavailable
from touchbook.ledger import Ledger, merged
from touchbook.positions import position_in
from touchbook.projections.backtest import Standing, back_test
from touchbook.projections.changes import Changes
from touchbook.projections.rows import Stretch
from touchbook.projections.stores.clickhouse import ClickHouse, Engine
from touchbook.projections.stores.clickhouse_scores import ClickHouseScoring, scores
from touchbook.projections.stores.clickhouse_store import ClickHouseStore
from touchbook.scorecard import Saturating, Scorecard

__all__ = ["build", "engine"]

NAMES = list(CARDS)


class Ledgers:
    """Puts ledgers of new people into a build, each day in two steps: so that it is there twice until it is merged."""

    def __init__(self, engine: Engine, build: str) -> None:
        self._store = ClickHouseStore(engine, build)
        self._offset = 0

    def put(self, ledger: Ledger) -> str:
        subject = secrets.token_hex(16)
        first = {row: (counted[0] // 2, counted[1]) for row, counted in ledger.items()}
        rest = {row: (counted[0] - first[row][0], 0) for row, counted in ledger.items()}
        for half in (first, rest):
            self._write(Changes(ledgers={subject: half}))
        return subject

    def erase(self, subject: str) -> None:
        self._offset += 1
        self._store.erase([subject], position_in(0, self._offset), 0, Changes())

    def _write(self, changes: Changes) -> None:
        before, self._offset = self._offset, self._offset + 1
        self._store.write([Stretch(changes, position_in(0, before), position_in(0, self._offset), 0)])


@settings(
    max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.lists(any_card_and_ledger, min_size=1, max_size=2), min_size=1, max_size=3),
    st.integers(0, 40),
)
def test_any_scorecard_agrees_with_the_fold(
    engine: Engine, build: str, found: list[list[tuple[Scorecard, Ledger]]], days: int
) -> None:
    ledgers, card = Ledgers(engine, build), found[0][0][0]
    members = {f"c{place}": [ledger for _, ledger in one] for place, one in enumerate(found)}
    customers = [(name, [ledgers.put(ledger) for ledger in held]) for name, held in members.items()]
    told = {row[0]: row[1:] for _, row in scores(engine, build, [card], ON + days, customers, at_once=2)}
    assert told == {name: folded(card, merged(held), ON + days) for name, held in members.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_scorecards_give_the_worked_histories_their_numbers(
    engine: Engine, build: str, name: str
) -> None:
    ledgers = Ledgers(engine, build)
    customers = [(history, [ledgers.put(worked(history))]) for history in WORKED["expected"]]
    told = {row[0]: [*row[1:4]] for _, row in scores(engine, build, [CARDS[name]], ON, customers)}
    assert told == {history: expected[name] for history, expected in WORKED["expected"].items()}


def test_who_was_erased_or_never_seen_has_the_score_of_a_stranger(engine: Engine, build: str) -> None:
    ledgers, card = Ledgers(engine, build), CARDS[NAMES[0]]
    ledger = worked(next(iter(WORKED["expected"])))
    stays, goes = ledgers.put(ledger), ledgers.put(ledger)
    ledgers.erase(goes)
    told = {
        row[0]: row[1:]
        for _, row in scores(engine, build, [card], ON, [("a", [stays]), ("b", [goes]), ("c", [])])
    }
    assert told == {"a": folded(card, ledger, ON), "b": folded(card, {}, ON), "c": folded(card, {}, ON)}


def test_points_that_lie_as_far_below_zero_as_the_saturation_above_are_worth_nothing(
    engine: Engine, build: str
) -> None:
    card = card_of(visits(weight=-1_000), value=Saturating(1_000))
    ledger: Ledger = {("visit", ON): (1, 0)}
    ((_, (_, *told)),) = scores(engine, build, [card], ON, [("ann", [Ledgers(engine, build).put(ledger)])])
    assert tuple(told) == folded(card, ledger, ON)
    assert told[:2] == [-1_000, 0]


@pytest.mark.parametrize("name", ["loyalty", "churn_risk", "satisfaction"])
def test_a_back_test_by_sql_tells_what_the_fold_tells(engine: Engine, build: str, name: str) -> None:
    """Of people whose touchpoints are spread over several identifiers, on a day after which more happened."""
    live = CARDS[name]
    candidate = dataclasses.replace(live, version=live.version + 1, min_evidence=live.min_evidence + 1)
    with a_book() as book:
        publish(book, random_events(seed=len(name), people=60))
        folded_book(book)
        records = book.journal.read(0, 10_000)
        last = position_in(0, len(records))
        changes = book.folder.fold(records)
        ClickHouseStore(engine, build).write([Stretch(changes, 0, last, 0)])
        for on, against in ((TODAY - 60, live), (TODAY, None)):
            by_sql = ClickHouseScoring(engine, build, candidate, against, on)
            by_sql.page = 50
            told: list[list[Standing]] = [[], []]
            with book.projections.reading() as reader:
                expected = back_test(reader, candidate, against, on, told[0].append)
                found = back_test(reader, candidate, against, on, told[1].append, scoring=by_sql)
            assert found == expected
            assert sorted(told[1], key=customer_of) == sorted(told[0], key=customer_of)
            assert found["customers"] > 50


def test_a_back_test_without_clickhouse_says_what_to_look_at() -> None:
    away = ClickHouse.of(f"clickhouse://default@127.0.0.1:{free_port()}/away")
    with a_book() as book:
        publish(book, random_events(seed=1, people=2))
        folded_book(book)
        by_sql = ClickHouseScoring(away, "1-test-0000", CARDS["trust"], None, TODAY)
        with (
            book.projections.reading() as reader,
            pytest.raises(StoreUnavailable, match=r"cannot be reached at .*look at its server"),
        ):
            back_test(reader, CARDS["trust"], None, TODAY, scoring=by_sql)


def customer_of(one: Standing) -> str:
    return one.customer
