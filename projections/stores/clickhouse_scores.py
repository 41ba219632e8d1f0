"""A scorecard over the ledgers in ClickHouse: the statement of `scorecard_sql`, over so many customers at a time.

The statement reads each of its tables as often as the scorecard has components. So what it needs of the ledger is first
put, each day once, into a table of its own that is gone with the connection.
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

CUSTOMERS_AT_ONCE, HELD_AT_ONCE = 5_000, 1_000
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
        before = {} if self._live is None else self._scores(self._live, people)
        after = self._scores(self._candidate, people)
        return [
            Standing(customer, subjects, before.get(customer), after[customer])
            for customer, subjects in people
        ]

    def counted(self, people: People, signals: Collection[str]) -> set[str]:
        with self._engine.session() as session:
            _fill(session, "members", ("customer", "subject"), _members(people))
            asked = {"signals": tuple(signals)}
            return {name for (name,) in session.execute(Build(self._build).sql("score_signals"), asked)}

    def _scores(self, card: Scorecard, people: People) -> dict[str, Score]:
        parts = [part.name for part in card.parts]
        rows = scores(self._engine, self._build, card, self._on, people)
        return {
            customer: score_told(
                card, milli_points, value, tier, evidence, dict(zip(parts, points, strict=True))
            )
            for customer, milli_points, value, tier, evidence, *points in rows
        }


def scores(
    engine: Engine,
    build: str,
    card: Scorecard,
    on: Day,
    customers: Iterable[tuple[str, Sequence[str]]],
    at_once: int = CUSTOMERS_AT_ONCE,
) -> Iterator[Row]:
    """How each of these customers, given with his subjects, stands at the end of a day. Equal to `scoring.score` to the
    last integer; in no particular order."""
    statement = sql_of(card, on, CLICKHOUSE)
    asked = {"signals": ("", *sorted(card.signals)), "on": on}  # no list of a statement may be empty
    customers, few = iter(customers), min(at_once, HELD_AT_ONCE) if card.hold_days else at_once
    with engine.session() as session:
        _fill(session, "decay", ("half_life", "age", "millionths"), decay_rows(half_lives(card)))
        while some := list(islice(customers, few)):
            _fill(session, "members", ("customer", "subject"), _members(some))
            _make(session, "ledger")
            session.execute(Build(build).sql("score_fill"), asked)
            yield from session.execute(statement)


def _members(people: Iterable[tuple[str, Sequence[str]]]) -> Iterator[tuple[str, str]]:
    return ((customer, subject) for customer, subjects in people for subject in subjects or ("",))


def _fill(session: Asking, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    _make(session, table)
    columns = list(zip(*rows, strict=True))
    if columns:
        session.insert(table, dict(zip(names, columns, strict=True)))


def _make(session: Asking, table: str) -> None:
    """Empty, whatever it held."""
    session.execute(f"DROP TABLE IF EXISTS {table}")
    session.execute(Build("any").sql(f"score_{table}"))
