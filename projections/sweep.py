"""What the watch keeps of customers, computed out of one look at the projections.

A row follows from a customer's touchpoints, the scorecards, the policies and the day. What scorecards read of his
ledgers is kept with it, so that for a new day nothing is read but the row, and nothing computed but that day's scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from touchbook.ledger import Day
from touchbook.projections.backtest import people_in
from touchbook.projections.stores.port import Known, Reader
from touchbook.projections.stores.watch_file import (
    Added,
    Batch,
    Eve,
    Facts,
    Kept,
    Moved,
    Page,
    Standing,
    TierRow,
    encoded_json,
    moves,
)
from touchbook.projections.who import Customer
from touchbook.registers import OpenRequest, Setting, open_cases, promises
from touchbook.scoring import Counted, Marking

Matters = list[tuple[str, str, int, int | None]]
NEVER = 2**62
"""Later than every time: at it no promise is open that has one to be kept by."""
NO_EVE = "[]"
LONG = 4_000
"""Letters of what was counted of somebody from which on his ledgers are read by signal: most of their rows are of
interests and channels, which no scorecard reads."""


class Noticed(NamedTuple):
    """What is to be followed of a customer: see `Kept.matters`, `Kept.due_at` and `Facts`, None where these are kept of
    him already."""

    matters: Matters
    due_at: int | None
    facts: Facts | None


class Notices(Protocol):
    """Looks at customers, one at a time."""

    def __call__(self, reader: Reader, customer: Customer, kept: int | None) -> Noticed:
        """`kept`: as of which change of his something is kept of these members, None where nothing is."""
        ...

    def forget(self) -> None:
        """Lets go of what is remembered of anybody."""
        ...


class Sweep:
    """Computes, and keeps nothing."""

    def __init__(
        self,
        reader: Reader,
        marking: Marking,
        notice: Notices,
        walk: int,
        days: range,
        aloud: bool,
        anew: bool,
    ) -> None:
        """`days` are those from which tiers are compared to the one that rows are made for, each with the day before;
        `aloud`: what changed is told; `anew`: what is due of an open case may be another though nothing happened."""
        self._reader, self._marking, self._notice = reader, marking, notice
        self._walk, self._days, self._aloud, self._anew = walk, days, aloud, anew
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
        touched = touched_at(customer)
        still = row is not None and (row.members, row.changed) == (customer.membership, touched)
        if row is not None and still and row.day == self._day:
            if (row.walk, row.version) != (self._walk, customer.version):
                batch.kept.append((row, row._replace(walk=self._walk, version=customer.version)))
            return
        counted = self._counted_again(customer, row, still)
        stood = self._stood(customer.id, counted, row, batch)
        head = customer.id, customer.version, customer.membership, touched, self._walk, self._day
        if row is not None and still and not self._is_due_anew(row.matters):
            after = Kept(*head, *stood, row.matters, row.due_at, row.counted)
        else:
            of_these = row is not None and row.members == customer.membership
            noticed = self._notice(self._reader, customer, row.changed if row and of_these else None)
            after = Kept(*head, *stood, noticed.matters, noticed.due_at, encoded_json(counted))
            if noticed.facts is not None:
                batch.facts[customer.id] = noticed.facts
        batch.kept.append((row, after))
        self._tell(row, after, batch)

    def _counted_again(self, customer: Customer, row: Kept | None, still: bool) -> Counted:
        if row is not None and still:
            return counted_in(row.counted)
        if row is not None and len(row.counted) > LONG:
            return self._marking.counted(self._reader.ledger_of(customer.subjects, self._marking.signals))
        return self._marking.counted([rows for _, rows in self._reader.ledger_rows(customer.subjects)])

    def _is_due_anew(self, matters: Matters) -> bool:
        return self._anew and any(kind == "case" for kind, *_ in matters)

    def _stood(self, customer: str, counted: Counted, row: Kept | None, batch: Batch) -> tuple[Standing, Eve]:
        """How he stands, and how on the eve. Days of which his row tells already are not computed again, if nothing was
        counted of them since."""
        if row is not None and (since := _differs_from(counted_in(row.counted), counted)) >= row.day:
            if row.day == self._day:
                return self._stood_again(counted, row) if since == row.day else (row.standing, row.eve)
            if self._follows(row.day) and since > row.day:
                batch.tiers += _tier_rows(customer, row.day, row.eve, row.standing)
                standing = self._marking.on(counted, self._day, row.standing)
                return standing, _eve_of(row.standing, standing)
        return self._stood_all(customer, counted, batch)

    def _stood_again(self, counted: Counted, row: Kept) -> tuple[Standing, Eve]:
        """Of the day of the row something else was counted."""
        yesterday = [*row.standing]
        for score, value, tier, points in row.eve:
            yesterday[score] = value, tier, points
        standing = self._marking.on(counted, self._day, yesterday)  # nothing but its tiers is looked at
        if all(one[1] == before[1] for one, before in zip(standing, yesterday, strict=True)):
            return standing, []
        return standing, _eve_of(self._marking.on(counted, self._day - 1), standing)

    def _stood_all(self, customer: str, counted: Counted, batch: Batch) -> tuple[Standing, Eve]:
        """Compares all the days that the walk compares."""
        before = self._marking.on(counted, self._days[0] - 1)
        standing = self._marking.on(counted, self._days[0], before)
        for day in self._days[1:]:
            batch.compared.append((customer, day - 1))
            batch.tiers += _tier_rows(customer, day - 1, _eve_of(before, standing), standing)
            before, standing = standing, self._marking.on(counted, day, standing)
        return standing, _eve_of(before, standing)

    def _follows(self, day: Day) -> bool:
        """Whether only one day has to be added to a row of that day."""
        return day == self._day - 1 and len(self._days) == 2

    def due_anew(self, page: Iterable[Page]) -> list[str]:
        """Those of whom something may be due at another time now, so that all of it has to be looked at."""
        return [
            one.customer.hex()
            for one in page
            if self._anew and one.day != self._day and self._is_due_anew(orjson.loads(one.matters))
        ]

    def add_day(self, page: Iterable[Page], batch: Batch) -> None:
        """Adds the day to the rows of customers, but for those the batch knows already. Whoever was touched since is
        looked at besides."""
        seen = {row.customer for pair in batch.kept for row in pair if row is not None}
        for one in page:
            if one.day != self._day and one.customer.hex() not in seen:
                add = self._add_one if self._follows(one.day) else self._add_days
                add(one, batch)

    def _add_one(self, one: Page, batch: Batch) -> None:
        before: Standing = orjson.loads(one.standing)
        standing = self._marking.on(counted_in(one.counted), self._day, before)
        if one.eve != NO_EVE:
            batch.tiers += _tier_rows(one.customer.hex(), one.day, orjson.loads(one.eve), before)
        moved = moves(one.customer, before, standing)
        eve = [(score, *old) for _, score, old, new in moved if old[1] != new[1]]
        self._write_day(one, moved, standing, eve, batch)

    def _add_days(self, one: Page, batch: Batch) -> None:
        standing, eve = self._stood_all(one.customer.hex(), counted_in(one.counted), batch)
        moved = moves(one.customer, orjson.loads(one.standing), standing)
        self._write_day(one, moved, standing, eve, batch)

    def _write_day(self, one: Page, moved: list[Moved], standing: Standing, eve: Eve, batch: Batch) -> None:
        batch.moved += moved
        shown = encoded_json(eve) if eve else NO_EVE
        batch.added.append(Added(one.customer, self._day, encoded_json(standing), shown))
        if moved and self._aloud:
            told = {score: [old, new] for _, score, old, new in moved}
            batch.changes.append((one.customer.hex(), {"v": one.version, "s": told}))

    def _tell(self, row: Kept | None, after: Kept, batch: Batch) -> None:
        if not self._aloud:
            return
        unknown: Standing = [(None, -1, 0)] * len(self._marking.names)
        before = unknown if row is None else row.standing
        moved = {score: [old, new] for _, score, old, new in moves(b"", before, after.standing)}
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


def touched_at(customer: Customer) -> int:
    """When a member of his was touched last; others of his group do not count."""
    return max(member.changed for member in customer.members)


def counted_in(text: str) -> Counted:
    """As it is kept."""
    found: Counted = orjson.loads(text)
    return found


def _differs_from(before: Counted, after: Counted) -> Day:
    """The first day of which something else is counted; `NEVER` where all is the same."""
    first = NEVER
    for signal in before.keys() | after.keys():
        old, new = ([(*row,) for row in rows.get(signal, ())] for rows in (before, after))
        if old != new:
            first = min(first, min(set(old).symmetric_difference(new))[0])
    return first


def _eve_of(before: Standing, after: Standing) -> Eve:
    return [
        (score, *old) for score, (old, new) in enumerate(zip(before, after, strict=True)) if old[1] != new[1]
    ]


def _tier_rows(customer: str, day: Day, eve: Eve, standing: Standing) -> list[tuple[str, TierRow]]:
    """Of a day at whose end he stood so."""
    return [
        (customer, TierRow(day, score, (value, tier, points), standing[score]))
        for score, value, tier, points in eve
    ]


def matters_of(
    customer: Customer,
    settings: Collection[Setting],
    requests: Iterable[OpenRequest],
    due: Mapping[str, int | None],
) -> Matters:
    """What is open between him and us, in a fixed order. `due` says of a request's opening touchpoint when it has to be
    answered."""
    found: Matters = [
        ("request", named(customer, one.touchpoint), one.since, due.get(one.touchpoint)) for one in requests
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
