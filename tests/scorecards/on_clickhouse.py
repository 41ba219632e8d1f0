"""The same on a ClickHouse from 18.16 on that somebody started, at the HTTP address TOUCHBOOK_TEST_CLICKHOUSE.

Run by hand, naming this file: `pytest tests/scorecards/on_clickhouse.py`.
"""

from __future__ import annotations

import os

from hypothesis import given, settings

from tests.rules.test_scoring import CARDS, ON, WORKED, any_card_and_ledger, worked
from tests.scorecards.ledger_tables import answered_by_clickhouse, folded
from touchbook.ledger import Ledger
from touchbook.scorecard import Scorecard

URL = os.environ["TOUCHBOOK_TEST_CLICKHOUSE"]


@settings(max_examples=60, deadline=None)
@given(any_card_and_ledger)
def test_a_clickhouse_server_agrees_with_the_fold(found: tuple[Scorecard, Ledger]) -> None:
    card, ledger = found
    assert answered_by_clickhouse(URL, card, ledger, ON) == folded(card, ledger, ON)


def test_a_clickhouse_server_gives_the_numbers_of_the_worked_histories() -> None:
    for history, expected in WORKED["expected"].items():
        for card in CARDS.values():
            told = answered_by_clickhouse(URL, card, worked(history), ON)
            assert list(told[:3]) == expected[card.name], (history, card.name)
