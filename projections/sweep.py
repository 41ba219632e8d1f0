"""What the watch keeps of customers, computed out of one look at the projections.

A row follows from a customer's touchpoints, the scorecards, the policies and the day. Where he was not touched since it
was made, of a new day nothing but that day's scores have to be computed: what he was yesterday is in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from touchbook.ledger import Day, LedgerRows
from touchbook.projections.backtest import people_in
from touchbook.projections.customers import Customer
from touchbook.projections.stores.port import Known, Reader
from touchbook.projections.stores.watch_file import Batch, Facts, Kept, Standing, TierRow
from touchbook.registers import Setting, ThreadMessage, open_cases, open_requests, promises
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import stood_on

Matters = list[tuple[str, str, int, int | None]]
NEVER = 2**62
"""Later than every time: at it no promise is open that has one to be kept by."""


class Noticed(NamedTuple):
    """What is to be followed of a customer: see `Kept.matters`, `Kept.due_at` and `Facts`."""

    matters: Matters
    due_at: int | None
    facts: Facts


class Sweep:
    """Computes, and keeps nothing."""

    def __init__(
        self,
        reader: Reader,
        cards: ScorecardSet,
        notice: Callable[[Reader, Customer], Noticed],
        walk: int,
        days: range,
        aloud: bool,
        anew: bool,
    ) -> None:
        """`days` are those from which tiers are compared to the one that rows are made for, each with the day before;
        `aloud`: what changed is told; `anew`: what is due of an open case may be another though nothing happened."""
        self._reader, self._cards, self._notice = reader, cards, notice
        self._walk, self._days, self._aloud, self._anew = walk, days, aloud, anew
        self._names = sorted(cards)
        self._ranks = {
            name: {tier: rank for rank, (tier, _) in enumerate(cards[name].tiers)} for name in self._names
        }
        self._made_by = reader.version()

    @property
    def _day(self) -> Day:
        return self._days[-1]

    def look(
        self, members: Sequence[Known], kept: Callable[[Collection[str]], dict[str, Kept]], batch: Batch
    ) -> int:
        """Looks at all customers among the members of whole groups, adds what is to be written, and answers how many
        they are."""
        rows = kept([one.id for one in members])
        changed = dict[str, int]()
        for one in members:
            changed[one.group] = max(changed.get(one.group, 0), one.changed)
        erased = set(self._reader.erased([one.id for one in members]))
        customers = 0
        for id, together in people_in(self._reader, members):
            if any(one.touchpoints for one in together):
                customers += 1
                own = {one.id for one in together}
                ordered = sorted(together, key=lambda one: (one.first_seen, one.identifier))
                back = tuple(one for one in sorted(erased) if one[0] in own)
                at = max(changed[one.group] for one in together)
                customer = Customer(id, tuple(ordered), (), at, self._made_by, back)
                self._see(customer, rows.pop(id, None), batch)
        for left in rows.values():
            self._gone(left, batch)
        return customers

    def leave(self, rows: Iterable[Kept], batch: Batch) -> None:
        """These are customers no longer."""
        for row in rows:
            self._gone(row, batch)

    def _gone(self, row: Kept, batch: Batch) -> None:
        batch.kept.append((row, None))
        if self._aloud:
            batch.changes.append((row.customer, {"v": row.version, "g": 1}))

    def _see(self, customer: Customer, row: Kept | None, batch: Batch) -> None:
        touched = max(member.changed for member in customer.members)
        head = customer.id, customer.version, customer.membership, touched, self._walk, self._day
        still = row is not None and (row.members, row.changed) == (customer.membership, touched)
        if row is not None and still and row.day == self._day:
            if (row.walk, row.version) != (self._walk, customer.version):
                batch.kept.append((row, row._replace(walk=self._walk, version=customer.version)))
            return
        if row is not None and still and self._follows(row):
            self._add_day(customer, row, batch)
            return
        stood = self._stood(customer, [self._days[0] - 1, *self._days])
        noticed = self._notice(self._reader, customer)
        after = Kept(*head, stood[-1], stood[-2], noticed.matters, noticed.due_at)
        batch.kept.append((row, after))
        batch.facts[customer.id] = noticed.facts
        for day, before, now in zip(self._days[:-1], stood, stood[1:], strict=False):
            self._compare(customer.id, day, before, now, batch)
        self._tell(row, after, batch)

    def _follows(self, row: Kept) -> bool:
        """Whether nothing but the next day has to be added to the row of somebody who was not touched."""
        return row.day == self._day - 1 and len(self._days) == 2

    def _add_day(self, customer: Customer, row: Kept, batch: Batch) -> None:
        """He was not touched since his row was made the day before."""
        [standing] = self._stood(customer, [self._day])
        after = row._replace(
            version=customer.version, walk=self._walk, day=self._day, standing=standing, eve=row.standing
        )
        if self._anew and any(kind == "case" for kind, *_ in row.matters):
            after = after._replace(due_at=self._notice(self._reader, customer).due_at)
        batch.kept.append((row, after))
        self._compare(customer.id, row.day, row.eve, row.standing, batch)
        self._tell(row, after, batch)

    def _stood(self, customer: Customer, days: Sequence[Day]) -> list[Standing]:
        ledgers: list[LedgerRows] = [rows for _, rows in self._reader.ledger_rows(customer.subjects)]
        return [
            [self._mark(name, *then[name]) for name in self._names]
            for then in stood_on(ledgers, self._cards, days)
        ]

    def _mark(self, name: str, value: int | None, tier: str | None, points: int) -> Any:
        return [value, -1 if tier is None else self._ranks[name][tier], points]

    def _compare(self, customer: str, day: Day, before: Standing, after: Standing, batch: Batch) -> None:
        batch.compared.append((customer, day))
        for score, (old, new) in enumerate(zip(before, after, strict=True)):
            if old[1] != new[1]:
                batch.tiers.append((customer, TierRow(day, score, old, new)))

    def _tell(self, row: Kept | None, after: Kept, batch: Batch) -> None:
        if not self._aloud:
            return
        unknown: Standing = [(None, -1, 0)] * len(self._names)
        before = unknown if row is None else row.standing
        moved = {
            score: [old, new]
            for score, (old, new) in enumerate(zip(before, after.standing, strict=True))
            if tuple(old[:2]) != tuple(new[:2])
        }
        known = {} if row is None else {one[1]: one[0] for one in row.matters}
        open_now = {one[1]: one[0] for one in after.matters}
        body: dict[str, Any] = {
            "s": moved,
            "o": sorted(kind for digest, kind in open_now.items() if digest not in known),
            "c": sorted(kind for digest, kind in known.items() if digest not in open_now),
        }
        told = {name: one for name, one in body.items() if one}
        if told or row is None:
            batch.changes.append((after.customer, {"v": after.version, **told}))


def matters_of(
    customer: Customer,
    settings: Collection[Setting],
    messages: Iterable[ThreadMessage],
    due: Mapping[str, int | None],
) -> Matters:
    """What is open between him and us, in a fixed order. `due` says of a request's opening touchpoint when it has to be
    answered."""
    found: Matters = [
        ("request", named(customer, one.touchpoint), one.since, due.get(one.touchpoint))
        for one in open_requests(messages)
    ]
    found += [
        ("case", named(customer, f"{one.kind}:{one.id}"), one.opened_at or one.changed_at, None)
        for one in open_cases(settings)
    ]
    made = {one.key: one.occurred_at for one in settings if one.kind == "promise"}
    found += [
        ("promise", named(customer, one.id), made.get(one.id, 0), one.due)
        for one in promises(settings, -NEVER)
        if one.state in ("open", "overdue")
    ]
    return sorted(found, key=lambda one: (one[0], one[2], one[1]))


def named(customer: Customer, text: str) -> str:
    """The same for the same thing of a customer, and says nothing of it."""
    return hashlib.sha256(f"{customer.id} {text}".encode()).hexdigest()[:16]
