"""The three tables that a scorecard's statement reads, in SQLite, and what it answers over them."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Any

import httpx

from touchbook.ledger import Ledger
from touchbook.scorecard import Scorecard
from touchbook.scorecard_sql import CLICKHOUSE, decay_rows, half_lives, sql_of
from touchbook.scoring import score

TABLES = """
CREATE TABLE ledger (subject TEXT, signal TEXT, day INTEGER, count INTEGER, total INTEGER);
CREATE TABLE members (customer TEXT, subject TEXT);
CREATE TABLE decay (half_life INTEGER, age INTEGER, millionths INTEGER, PRIMARY KEY (half_life, age));
"""
Answer = dict[str, tuple[Any, ...]]


def answered(card: Scorecard, customers: Mapping[str, Sequence[Ledger]], on: int) -> Answer:
    """By customer what the statement answers: milli-points, value, tier, evidence, and the points of each part.
    `customers` are their members' ledgers."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES)
        database.executemany("INSERT INTO decay VALUES (?, ?, ?)", decay_rows(half_lives(card)))
        for customer, members in customers.items():
            for number, ledger in enumerate(members):
                subject = f"{customer}-{number}"
                database.execute("INSERT INTO members VALUES (?, ?)", (customer, subject))
                rows = [(subject, *row, *counted) for row, counted in ledger.items()]
                database.executemany("INSERT INTO ledger VALUES (?, ?, ?, ?, ?)", rows)
        return {row[0]: row[1:] for row in database.execute(sql_of(card, on))}


def folded(card: Scorecard, ledger: Ledger, on: int) -> tuple[Any, ...]:
    """The same from the fold."""
    found = score(ledger, card, on)
    return found.milli_points, found.value, found.tier, found.evidence, *found.parts.values()


CLICKHOUSE_TABLES = {
    "ledger": "subject String, signal String, day Int64, count Int64, total Int64",
    "members": "customer String, subject String",
    "decay": "half_life Int64, age Int64, millionths Int64",
}


@cache
def _http() -> httpx.Client:
    return httpx.Client(trust_env=False, verify=False, timeout=60)


def answered_by_clickhouse(url: str, card: Scorecard, ledger: Ledger, on: int) -> tuple[Any, ...]:
    """What a ClickHouse server answers for one customer, in a database of this process's own."""
    database = f"touchbook_test_{os.getpid()}"
    rows = {
        "ledger": [("ann-0", *row, *counted) for row, counted in ledger.items()],
        "members": [("ann", "ann-0")],
        "decay": list(decay_rows(half_lives(card))),
    }

    def ask(text: str, database: str = database) -> str:
        answer = _http().post(url, params={"database": database}, content=text.encode())
        assert answer.status_code == 200, answer.text
        return answer.text

    ask(f"CREATE DATABASE {database}", "default")
    try:
        for table, columns in CLICKHOUSE_TABLES.items():
            ask(f"CREATE TABLE {table} ({columns}) ENGINE = Memory")
            lines = "".join(json.dumps(row) + "\n" for row in map(dict, _named(columns, rows[table])))
            ask(f"INSERT INTO {table} FORMAT JSONEachRow\n{lines}")
        statement = sql_of(card, on, CLICKHOUSE)
        (found,) = json.loads(ask(f"{statement} FORMAT JSONCompact"))["data"]
    finally:
        ask(f"DROP DATABASE {database}", "default")
    return tuple(int(cell) if str(cell).lstrip("-").isdigit() else cell for cell in found[1:])


def _named(columns: str, rows: Sequence[tuple[Any, ...]]) -> list[list[tuple[str, Any]]]:
    names = [column.split()[0] for column in columns.split(", ")]
    return [list(zip(names, row, strict=True)) for row in rows]
