"""The ledger of a customer as pages need it: only signals that were counted since it was last read are read again.

A touchpoint counts each of its signals once more and takes nothing back, so a signal whose counts still add up to the
same has the same rows. An erasure does take back; it makes another version, and then nothing known holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from touchbook.ledger import LedgerRows, merged_rows
from touchbook.projections.stores.port import Reader


@dataclass(frozen=True, slots=True)
class Counted:
    """By signal how often it was counted in all, and its rows, members combined. Who was read anew from what is known
    holds the very same rows wherever they stand as they stood."""

    version: str
    sums: Mapping[str, int]
    rows: Mapping[str, LedgerRows]

    def of(self, signals: Collection[str]) -> list[LedgerRows]:
        """The rows of these signals as one ledger, as `score_stored` takes them."""
        return [[row for signal, rows in self.rows.items() if signal in signals for row in rows]]

    def changed(self, known: Counted | None) -> set[str]:
        """The signals whose rows were read anew."""
        if known is None:
            return set(self.rows)
        return {signal for signal, rows in self.rows.items() if rows is not known.rows.get(signal)}


def counted(
    reader: Reader,
    subjects: Sequence[str],
    signals: Collection[str],
    beginning: str | None = None,
    known: Counted | None = None,
) -> Counted:
    """What was counted of these signals, and of all that begin so. `known` is of the same subjects and signals."""
    version = reader.version()
    sums = Counter[str]()
    for subject in subjects:
        sums.update(reader.ledger_sums(subject))
    if known is None or known.version != version:
        return Counted(version, sums, _by_signal(reader.ledger_of(subjects, signals, beginning)))
    new = [
        signal
        for signal, times in sums.items()
        if known.sums.get(signal) != times
        and (signal in signals or (beginning is not None and signal.startswith(beginning)))
    ]
    rows = _by_signal(reader.ledger_of(subjects, new)) if new else {}
    return Counted(version, sums, {**known.rows, **rows})


def _by_signal(stored: Sequence[LedgerRows]) -> dict[str, LedgerRows]:
    if len(stored) != 1:
        stored = [[(*row, *counted) for row, counted in merged_rows(stored).items()]]
    rows: dict[str, list[tuple[str, int, int, int]]] = {}
    for row in stored[0]:
        rows.setdefault(row[0], []).append(row)
    return dict(rows)
