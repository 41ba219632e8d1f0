"""A scorecard over the ledgers in ClickHouse: the statement of `scorecard_sql`, over so many customers at a time.

The statement reads each of its tables as often as the scorecard has components. So what it needs of the ledger is first
put, each day once, into a table of its own that is gone with the connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from touchbook.ledger import Day
from touchbook.projections.stores.clickhouse import Asking, Engine
from touchbook.projections.stores.clickhouse_ddl import Build
from touchbook.scorecard import Scorecard
from touchbook.scorecard_sql import CLICKHOUSE, decay_rows, half_lives, sql_of

CUSTOMERS_AT_ONCE, HELD_AT_ONCE = 5_000, 1_000
"""A server that may take 1 GB for a statement has enough for these, with 50 ledger rows each; the latter where a tier
is held, so that every row is there once more for each day of that."""

Standing = tuple[Any, ...]
"""customer, milli-points, value, tier, evidence, and the points of each part."""


def scores(
    engine: Engine,
    build: str,
    card: Scorecard,
    on: Day,
    customers: Iterable[tuple[str, Sequence[str]]],
    at_once: int = CUSTOMERS_AT_ONCE,
) -> Iterator[Standing]:
    """How each of these customers, given with his subjects, stands at the end of a day. Equal to `scoring.score` to the
    last integer; in no particular order."""
    statement = sql_of(card, on, CLICKHOUSE)
    asked = {"signals": ("", *sorted(card.signals)), "on": on}  # no list of a statement may be empty
    customers, few = iter(customers), min(at_once, HELD_AT_ONCE) if card.hold_days else at_once
    with engine.session() as session:
        _fill(session, "decay", ("half_life", "age", "millionths"), decay_rows(half_lives(card)))
        while some := list(islice(customers, few)):
            members = ((customer, subject) for customer, subjects in some for subject in subjects or ("",))
            _fill(session, "members", ("customer", "subject"), members)
            _make(session, "ledger")
            session.execute(Build(build).sql("score_fill"), asked)
            yield from session.execute(statement)


def _fill(session: Asking, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    _make(session, table)
    columns = list(zip(*rows, strict=True))
    if columns:
        session.insert(table, dict(zip(names, columns, strict=True)))


def _make(session: Asking, table: str) -> None:
    """Empty, whatever it held."""
    session.execute(f"DROP TABLE IF EXISTS {table}")
    session.execute(Build("any").sql(f"score_{table}"))
