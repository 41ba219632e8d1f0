"""The statement for ClickHouse gives what the fold gives, on a server of the oldest version that it must run on."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from tests.rules.test_scoring import CARDS, ON, WORKED, any_card_and_ledger, worked
from tests.scorecards.ledger_tables import answered_by_clickhouse, folded
from tests.servers.clickhouse import ClickHouse
from tests.thorough import examples
from touchbook.ledger import Ledger
from touchbook.scorecard import Scorecard


@settings(
    max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(any_card_and_ledger)
def test_a_clickhouse_server_agrees_with_the_fold(
    clickhouse_server: ClickHouse, found: tuple[Scorecard, Ledger]
) -> None:
    card, ledger = found
    assert answered_by_clickhouse(_url(clickhouse_server), card, ledger, ON) == folded(card, ledger, ON)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_clickhouse_server_gives_the_numbers_of_the_worked_histories(clickhouse_server: ClickHouse) -> None:
    for history, expected in WORKED["expected"].items():
        for card in CARDS.values():
            told = answered_by_clickhouse(_url(clickhouse_server), card, worked(history), ON)
            assert list(told[:3]) == expected[card.name], (history, card.name)


def _url(server: ClickHouse) -> str:
    return f"http://127.0.0.1:{server.start().http_port}"
