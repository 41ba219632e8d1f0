"""Components as one SQL statement each over a ledger table, in SQLite."""

from __future__ import annotations

import sqlite3

from touchbook.components import ActiveDays, Balance, Decayed, Evidence, decay_table
from touchbook.ledger import Day, Ledger


def points_in_sql(component: Decayed | Balance | ActiveDays, ledger: Ledger, on: Day) -> int:
    database = sqlite3.connect(":memory:")
    database.execute("create table ledger (signal text, day integer, count integer, total integer)")
    database.executemany("insert into ledger values (?, ?, ?, ?)", [(*r, *a) for r, a in ledger.items()])
    database.create_function("decay", 2, decay_of, deterministic=True)
    statement = {Decayed: decayed, Balance: balance, ActiveDays: active_days}[type(component)](component)  # type: ignore[operator]
    return int(database.execute(statement, {"on": on}).fetchone()[0])


def decay_of(age: int, half_life: int) -> int:
    table = decay_table(half_life)
    return table[age] if age < len(table) else 0


def rows_of(signals: tuple[str, ...]) -> str:
    return f"from ledger where day <= :on and signal in ({', '.join(repr(signal) for signal in signals)})"


def decayed(component: Decayed) -> str:
    c = component
    amount = "count" if c.of == "count" else f"max(total / {c.unit}, -{c.cap})"
    points = f"min({amount}, {c.cap}) * {c.weight} * decay(:on - day, {c.half_life}) / 1000000"
    return f"select coalesce(sum({points}), 0) {rows_of(c.signals)} and :on - day >= {c.min_age}"


def active_days(component: ActiveDays) -> str:
    return f"""
        select min(count(distinct day), {component.max_days}) * {component.weight}
        {rows_of(component.signals)} and count > 0 and :on - day < {component.window}"""


def balance(component: Balance) -> str:
    lines, swing, prior = component.evidence, component.swing, component.prior
    sums = [f"(select coalesce(sum({weight(e)}), 0) {rows_of(e.signals)})" for e in lines]
    whole = f"({' + '.join(sums)} + {prior} * 1000000)"
    shares = [
        f"select {e.sign} * {weight(e)} * {swing} / {whole} as points {rows_of(e.signals)}" for e in lines
    ]
    return f"select coalesce(sum(points), 0) from ({' union all '.join(shares)})"


def weight(evidence: Evidence) -> str:
    return f"min(count, {evidence.cap}) * {evidence.weight} * decay(:on - day, {evidence.half_life})"
