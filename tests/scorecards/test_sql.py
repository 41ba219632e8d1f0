"""A scorecard as one SQL statement gives what the fold gives, to the last integer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.test_scoring import (
    CARDS,
    FEW,
    ON,
    WORKED,
    any_card_and_ledger,
    card_of,
    cards,
    dense,
    ledgers,
    visits,
    worked,
)
from tests.scorecards.ledger_tables import answered, folded
from tests.thorough import examples
from touchbook.components import Base, Gap, Streak
from touchbook.ledger import Ledger, merged
from touchbook.scorecard import Linear, Scorecard
from touchbook.scorecard_sql import CLICKHOUSE, SQLITE, decay_rows, sql_of

NAMES = list(CARDS)


@pytest.mark.parametrize("name", NAMES)
def test_the_worked_histories_give_their_numbers(name: str) -> None:
    customers = {history: [worked(history)] for history in WORKED["expected"]}
    told = {history: list(row[:3]) for history, row in answered(CARDS[name], customers, ON).items()}
    assert told == {history: expected[name] for history, expected in WORKED["expected"].items()}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_the_shipped_scorecards_agree_with_the_fold_on_customers_of_several_members(
    name: str, data: st.DataObject
) -> None:
    card = CARDS[name]
    members = st.lists(dense(card), min_size=1, max_size=3)
    customers = data.draw(st.dictionaries(st.sampled_from("abcdefgh"), members, min_size=1))
    agree(card, customers, ON)


@settings(max_examples=examples(200), deadline=None)
@given(any_card_and_ledger, st.integers(ON - 50, ON + 100))
def test_any_scorecard_agrees_with_the_fold_on_any_day(found: tuple[Scorecard, Ledger], on: int) -> None:
    card, ledger = found
    agree(card, {"ann": [ledger]}, on)


@settings(max_examples=examples(25), deadline=None)
@given(cards(), st.lists(ledgers(FEW, size=12, reach=60), min_size=2, max_size=4))
def test_customers_do_not_touch_each_other(card: Scorecard, found: list[Ledger]) -> None:
    agree(card, {f"c{number}": [ledger] for number, ledger in enumerate(found)}, ON)


def agree(card: Scorecard, customers: dict[str, list[Ledger]], on: int) -> None:
    expected = {customer: folded(card, merged(members), on) for customer, members in customers.items()}
    assert answered(card, customers, on) == expected


def test_a_customer_without_a_row_has_the_score_of_a_stranger() -> None:
    card = card_of(Base(id="base", why="w", points=700), visits())
    assert answered(card, {"nobody": [{}]}, ON) == {"nobody": (700, 6, "low", 0, 700)}


def test_losses_are_truncated_toward_zero() -> None:
    card = card_of(visits(weight=-7, half_life=1), value=Linear(-10, 10))
    ledger: Ledger = {("visit", ON - 3): (1, 0)}
    assert answered(card, {"ann": [ledger]}, ON)["ann"][0] == 0  # -7/8, not -1


def test_the_largest_numbers_that_a_scorecard_may_state_fit() -> None:
    card = card_of(visits(weight=2 * 10**6, cap=2 * 10**6, half_life=1))
    ledger: Ledger = {("visit", ON): (10**12, 10**15)}
    agree(card, {"ann": [ledger]}, ON)


@pytest.mark.parametrize("runs", [[], [0], [1], [2], [0, 1, 2], [1, 2, 4], [0, 2, 3], [1, 2, 3, 4, 5, 6]])
def test_a_streak_counts_only_if_it_reaches_the_running_period_or_the_one_before(runs: list[int]) -> None:
    card = card_of(Streak(id="s", why="w", signals=("visit",), weight=100, period=7, max_periods=3))
    agree(card, {"ann": [{("visit", ON - 7 * period): (1, 0) for period in runs}]}, ON)


@pytest.mark.parametrize("ages", [[5], [5, 9], [5, 9, 30], [5, 9, 30, 31], [0, 10, 20, 30, 40, 90]])
def test_a_rhythm_is_the_lower_median_of_the_latest_gaps(ages: list[int]) -> None:
    told: dict[str, Any] = {
        "from_": 0,
        "full": 9000,
        "last": 4,
        "min_gaps": 2,
        "default_gap": 8,
        "floor_gap": 1,
    }
    card = card_of(Gap(id="g", why="w", signals=("visit",), weight=100_000, **told))
    agree(card, {"ann": [{("visit", ON - age): (1, 0) for age in ages}]}, ON)


def test_a_signal_may_hold_anything_that_a_category_can() -> None:
    signal = 'interest:O\'Hara \\ "Söhne" -- ; DROP TABLE ledger'
    card = card_of(visits(signals=(signal,)))
    agree(card, {"ann": [{(signal, ON): (2, 0)}]}, ON)
    assert "O''Hara \\\\ " in sql_of(card, ON, CLICKHOUSE)


@pytest.mark.parametrize("name", NAMES)
def test_the_text_for_clickhouse_keeps_to_what_its_oldest_server_can(name: str) -> None:
    text = sql_of(CARDS[name], ON, CLICKHOUSE)
    for unknown in ("WITH ", " OVER ", "LEFT JOIN", " / "):
        assert unknown not in text
    assert "intDiv(" in text
    assert "WITH " in sql_of(CARDS[name], ON, SQLITE)


def test_the_table_of_decay_holds_what_the_fold_multiplies_by() -> None:
    rows = {age: millionths for _, age, millionths in decay_rows([7])}
    assert (rows[0], rows[7], rows[49], rows.get(147, 0)) == (1_000_000, 500_000, 7812, 0)
