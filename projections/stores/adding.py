"""The rule of exactly-once, row by row: what a stretch adds to rows that hold absolute values.

A row that stands at a position holds all that the records of its part up to there say of it, and nothing else. So a
stretch beyond `after` adds all it has to a row that stands at or before `after`, and leaves alone one that stands at
its own end or beyond. One that stands in between was written by somebody whose stretches ended elsewhere: only records
after that position may be added, so the stretch has to be parted there. Registers need no such care: the latest value
wins, however often it is told.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from touchbook.ledger import Day, Ledger
from touchbook.projections.changes import Changes, ClaimRow, IdentifierRow, RegisterRow
from touchbook.projections.rows import LedgerDay, PartlyWritten, RegisterKey, Rows, Stretch

Counts = dict[str, tuple[int, int]]
"""Signal → (count, total) of one day."""
ClaimName = tuple[str, str, int, bool, str]
"""A `ClaimKey` without its subject."""
Key = TypeVar("Key")
Row = TypeVar("Row")

NEVER, ALWAYS = sys.maxsize, -sys.maxsize
_NO_COUNTS: Counts = {}


@dataclass(slots=True)
class Held:
    """What is known of the rows of one subject, each with the position it stands at. What is not there is not stored.

    `part`    of the journal that he is in
    `erased`  the position of his last erasure, or 0: where he has no row it stands there, and is empty
    `since`   from this day on every day that is stored is in `days`
    None stands for what was not looked at yet.
    """

    part: int
    erased: int = 0
    since: Day = NEVER
    days: dict[Day, tuple[int, Counts]] = field(default_factory=dict)
    registers: dict[tuple[str, str], tuple[int, RegisterRow]] | None = None
    claims: dict[ClaimName, tuple[int, ClaimRow]] | None = None
    identifiers: dict[str, tuple[int, IdentifierRow]] = field(default_factory=dict)

    def know_nothing_is_stored(self) -> None:
        self.since, self.registers, self.claims = ALWAYS, {}, {}

    @property
    def rows(self) -> int:
        registers, claims = self.registers or (), self.claims or ()
        return 1 + len(self.days) + len(self.identifiers) + len(registers) + len(claims)


class Adding:
    """Adds stretches, in order, to what is held, which it leaves as it is until `keep`. Rows that have to be written
    stand in `days`, `registers`, `claims` and `identifiers`, each with its position."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        """`held` has every subject of the stretches, with all that they touch."""
        self._held = held
        self.days: dict[LedgerDay, tuple[int, Counts]] = {}
        self.registers: dict[RegisterKey, tuple[int, RegisterRow]] = {}
        self.claims: dict[tuple[str, ClaimName], tuple[int, ClaimRow]] = {}
        self.identifiers: dict[tuple[str, str], tuple[int, IdentifierRow]] = {}

    def add(self, stretch: Stretch) -> Rows:
        """How the stretch leaves every row it touches, changed or not. Raises PartlyWritten, and then nothing of this
        object may be used."""
        changes, after, position, recorded_at, _ = stretch
        rows = Rows(position, recorded_at)
        self._add_days(rows.ledger, changes.ledgers, after, position)
        self._add_registers(rows.registers, changes, position)
        rows.claims = {
            (subject, *name): row
            for subject, name, row in self._sum(
                ((key[0], key[1:], row) for key, row in changes.claims.items()),
                self.claims, _claims_of, claims_together, after, position,
            )
        }  # fmt: skip
        rows.identifiers = {
            (subject, id): row
            for subject, id, row in self._sum(
                ((subject, id, row) for (subject, id), row in changes.identifiers.items()),
                self.identifiers, _identifiers_of, seen_together, after, position,
            )
        }  # fmt: skip
        held = self._held
        rows.messages = [one for one in changes.messages if held[one.subject].erased <= after]
        rows.contacts = [one for one in changes.contacts if held[one.subject].erased <= after]
        return rows

    def keep(self) -> None:
        """Everything was written: what is held stands there from now on."""
        held = self._held
        for (subject, day), counts in self.days.items():
            held[subject].days[day] = counts
        for (subject, kind, key), register in self.registers.items():
            if (registers := held[subject].registers) is not None:
                registers[kind, key] = register
        for (subject, name), claim in self.claims.items():
            if (claims := held[subject].claims) is not None:
                claims[name] = claim
        for (subject, id), identifier in self.identifiers.items():
            held[subject].identifiers[id] = identifier

    def _add_days(
        self, told: dict[LedgerDay, Counts], ledgers: Mapping[str, Ledger], after: int, position: int
    ) -> None:
        for subject, ledger in ledgers.items():
            held = self._held[subject]
            adding: dict[Day, Counts | None] = {}
            for (signal, day), more in ledger.items():
                if day in adding:
                    counts = adding[day]
                else:
                    name = subject, day
                    stands, stored = self.days.get(name) or held.days.get(day) or (held.erased, _NO_COUNTS)
                    if stands <= after:
                        counts = adding[day] = told[name] = {**stored}
                        self.days[name] = position, counts
                    elif stands < position:
                        raise PartlyWritten(stands)
                    else:
                        counts = adding[day] = None
                        if stored:
                            told[name] = stored
                if counts is not None:
                    known = counts.get(signal)
                    counts[signal] = more if known is None else (known[0] + more[0], known[1] + more[1])

    def _add_registers(self, told: dict[RegisterKey, RegisterRow], changes: Changes, position: int) -> None:
        for name, row in changes.registers.items():
            subject, kind, key = name
            held = self._held[subject]
            known = self.registers.get(name) or (held.registers or {}).get((kind, key))
            if known is not None and (known[0] >= position or known[1].stamp >= row.stamp):
                told[name] = known[1]
            elif held.erased < position:
                self.registers[name] = position, row
                told[name] = row

    def _sum(
        self,
        more: Iterable[tuple[str, Key, Row]],
        written: dict[tuple[str, Key], tuple[int, Row]],
        of: Callable[[Held], Mapping[Key, tuple[int, Row]]],
        together: Callable[[Row, Row], Row],
        after: int,
        position: int,
    ) -> Iterable[tuple[str, Key, Row]]:
        for subject, key, row in more:
            held = self._held[subject]
            known = written.get((subject, key)) or of(held).get(key)
            stands = held.erased if known is None else known[0]
            if stands <= after:
                made = row if known is None else together(known[1], row)
                written[subject, key] = position, made
                yield subject, key, made
            elif stands < position:
                raise PartlyWritten(stands)
            elif known is not None:
                yield subject, key, known[1]


def _claims_of(held: Held) -> Mapping[ClaimName, tuple[int, ClaimRow]]:
    return held.claims or {}


def _identifiers_of(held: Held) -> Mapping[str, tuple[int, IdentifierRow]]:
    return held.identifiers


def claims_together(one: ClaimRow, other: ClaimRow) -> ClaimRow:
    """Both, as if they had been told at once."""
    first = min(one.first, other.first, key=lambda claim: (claim.occurred_at, claim.touchpoint))
    return ClaimRow(first, one.times + other.times, max(one.last_at, other.last_at))


def seen_together(one: IdentifierRow, other: IdentifierRow) -> IdentifierRow:
    """Both, as if they had been told at once."""
    return IdentifierRow(
        one.identifier,
        min(one.first_seen, other.first_seen),
        max(one.last_seen, other.last_seen),
        one.touchpoints + other.touchpoints,
        max(one.changed, other.changed),
    )
