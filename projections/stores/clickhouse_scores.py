"""A scorecard over the ledgers in ClickHouse: the statement of `scorecard_sql`, over so many customers at a time.

The statement reads each of its tables as often as the scorecard has components. So what it needs of the ledger is first
put into a table of its own that is gone with the connection: each day once, those of a customer's subjects added up,
under a number for each customer, which is cheaper to join and to group by than an id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from touchbook.ledger import Day
from touchbook.projections.backtest import People, Standing
from touchbook.projections.stores.clickhouse import Asking, Engine
from touchbook.projections.stores.clickhouse_ddl import Build
from touchbook.scorecard import Scorecard
from touchbook.scorecard_sql import CLICKHOUSE, decay_rows, half_lives, sql_of
from touchbook.scoring import Score, score_told

CUSTOMERS_AT_ONCE, HELD_AT_ONCE = 10_000, 2_500
"""A server that may take 1 GB for a statement has enough for these, with 50 ledger rows each; the latter where a tier
is held, so that every row is there once more for each day of that."""

Row = tuple[Any, ...]
"""customer, milli-points, value, tier, evidence, and the points of each part."""


class ClickHouseScoring:
    """Scores of one build; see `backtest.Scoring`. What is written meanwhile may count with some and not with others:
    every page is a look of its own."""

    page = CUSTOMERS_AT_ONCE

    def __init__(
        self, engine: Engine, build: str, candidate: Scorecard, live: Scorecard | None, on: Day
    ) -> None:
        self._engine = engine
        self._build = build
        self._candidate, self._live, self._on = candidate, live, on

    def standings(self, people: People) -> list[Standing]:
        cards = [self._candidate, *([] if self._live is None else [self._live])]
        found: list[dict[str, Score]] = [{} for _ in cards]
        for place, row in scores(self._engine, self._build, cards, self._on, people):
            found[place][row[0]] = _score(cards[place], row)
        after, before = found[0], found[-1] if self._live else {}
        return [
            Standing(customer, subjects, before.get(customer), after[customer])
            for customer, subjects in people
        ]

    def counted(self, people: People, signals: Collection[str]) -> set[str]:
        with self._engine.session() as session:
            _fill(session, "people", ("customer", "subject"), _numbered(people))
            asked = {"signals": tuple(signals)}
            return {name for (name,) in session.execute(Build(self._build).sql("score_signals"), asked)}


def scores(
    engine: Engine,
    build: str,
    cards: Sequence[Scorecard],
    on: Day,
    customers: Iterable[tuple[str, Sequence[str]]],
    at_once: int = CUSTOMERS_AT_ONCE,
) -> Iterator[tuple[int, Row]]:
    """How each of these customers, given with his subjects, stands at the end of a day by each of the cards, told with
    the card's place. Equal to `scoring.score` to the last integer; in no particular order."""
    statements = [sql_of(card, on, CLICKHOUSE) for card in cards]
    signals = sorted({"", *(signal for card in cards for signal in card.signals)})  # no list may be empty
    lives = sorted({days for card in cards for days in half_lives(card)})
    few = min(at_once, HELD_AT_ONCE) if any(card.hold_days for card in cards) else at_once
    customers = iter(customers)
    with engine.session() as session:
        _fill(session, "decay", ("half_life", "age", "millionths"), decay_rows(lives))
        while some := list(islice(customers, few)):
            _fill(session, "people", ("customer", "subject"), _numbered(some))
            _make(session, "members")
            session.execute(Build(build).sql("score_everybody"))
            _make(session, "ledger")
            session.execute(Build(build).sql("score_fill"), {"signals": tuple(signals), "on": on})
            for place, statement in enumerate(statements):
                for number, *told in session.execute(statement):
                    yield place, (some[number][0], *told)


def _score(card: Scorecard, row: Row) -> Score:
    _, milli_points, value, tier, evidence, *points = row
    by_part = {part.name: given for part, given in zip(card.parts, points, strict=True)}
    return score_told(card, milli_points, value, tier, evidence, by_part)


def _numbered(people: Iterable[tuple[str, Sequence[str]]]) -> Iterator[tuple[int, str]]:
    return ((number, subject) for number, (_, subjects) in enumerate(people) for subject in subjects or ("",))


def _fill(session: Asking, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    _make(session, table)
    columns = list(zip(*rows, strict=True))
    if columns:
        session.insert(table, dict(zip(names, columns, strict=True)))


def _make(session: Asking, table: str) -> None:
    """Empty, whatever it held."""
    session.execute(f"DROP TABLE IF EXISTS {table}")
    session.execute(Build("any").sql(f"score_{table}"))
