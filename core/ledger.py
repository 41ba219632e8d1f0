"""The ledger: what everything rests on. Per (signal, UTC day) a count and a total, plain integers, nothing else.

Integer addition commutes, so no order of arrival, no partitioning and no merge can change what is computed from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

Day = int
"""Days since 1970-01-01, UTC."""

Row = tuple[str, Day]
Ledger = dict[Row, tuple[int, int]]
"""(signal, day) -> (count, total)."""

LedgerRows = Sequence[tuple[str, Day, int, int]]
"""The ledger of one subject as it is stored: (signal, day, count, total), each (signal, day) once."""

MILLISECONDS_A_DAY = 86_400_000


def day_of(milliseconds: int) -> Day:
    """The UTC day of a time in milliseconds; right for times before 1970 too."""
    return milliseconds // MILLISECONDS_A_DAY


def add(ledger: Ledger, signal: str, day: Day, count: int = 1, total: int = 0) -> None:
    """Adds to a private working copy, in place."""
    known = ledger.get((signal, day))
    ledger[signal, day] = (count, total) if known is None else (known[0] + count, known[1] + total)


def merged(ledgers: Iterable[Ledger]) -> Ledger:
    """The ledger of a customer: his members' ledgers added row by row. The inputs are left alone."""
    out: Ledger = {}
    for ledger in ledgers:
        for (signal, day), (count, total) in ledger.items():
            add(out, signal, day, count, total)
    return out


def merged_rows(stored: Sequence[LedgerRows]) -> Ledger:
    """The same of ledgers as they are stored."""
    out: Ledger = {(signal, day): (count, total) for signal, day, count, total in stored[0]} if stored else {}
    for signal, day, count, total in chain.from_iterable(stored[1:]):
        add(out, signal, day, count, total)
    return out
