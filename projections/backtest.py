"""The back-test: a scorecard that is not in use yet, over the whole customer base, without replaying anything.

A score is a function of ledgers, so a candidate needs no more than they hold. Customers are taken page by page out of
one consistent look, so memory does not grow with their number; the ten that move most are asked for their reasons last.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Any, Protocol

from touchbook.identity import resolve, shown_member
from touchbook.ledger import Day, Ledger, merged
from touchbook.projections.stores.port import Known, Reader
from touchbook.schemas.times import day_text
from touchbook.schemas.touchpoint import Identifier
from touchbook.scorecard import Scorecard
from touchbook.scoring import Score, explain, score

PAGE = 500
"""Groups of identifiers read at once."""
SHOWN = 10
"""Winners, and losers, that are shown with their reasons."""
QUANTILES = (5, 25, 50, 75, 95)
DECADES = (*((low, low + 9) for low in range(0, 90, 10)), (90, 100))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one customer stands: `customer` is his permanent id, `before` None where nothing is compared."""

    customer: str
    subjects: tuple[str, ...]
    before: Score | None
    after: Score

    @property
    def gain(self) -> tuple[int, int]:
        """Points of value, then milli-points; nothing where there is no value to compare."""
        if self.before is None or self.before.value is None or self.after.value is None:
            return 0, 0
        return self.after.value - self.before.value, self.after.milli_points - self.before.milli_points

    def to_json(self) -> dict[str, Any]:
        return {
            "customer": self.customer,
            "before": None if self.before is None else self.before.to_json(),
            "after": self.after.to_json(),
        }


People = Sequence[tuple[str, tuple[str, ...]]]
"""(customer, his subjects)."""


class Scoring(Protocol):
    """Scores many customers, as `FromLedgers` does, to the last integer."""

    page: int
    """How many groups of identifiers are scored at once."""

    def standings(self, people: People) -> list[Standing]:
        """Where each of them stands, in their order."""

    def counted(self, people: People, signals: Collection[str]) -> set[str]:
        """Those of these signals that any of them was ever given."""


class FromLedgers:
    """Scores out of what the look at the projections tells of ledgers."""

    page = PAGE

    def __init__(self, reader: Reader, candidate: Scorecard, live: Scorecard | None, on: Day) -> None:
        self._reader = reader
        self._candidate, self._live, self._on = candidate, live, on
        self._ledgers: dict[str, Ledger] = {}

    def standings(self, people: People) -> list[Standing]:
        self._ledgers = self._reader.ledgers({subject for _, subjects in people for subject in subjects})
        return [self._standing(*one) for one in people]

    def counted(self, people: People, signals: Collection[str]) -> set[str]:
        """Of those whom `standings` was last asked of."""
        given = {signal for ledger in self._ledgers.values() for signal, _ in ledger}
        return given.intersection(signals)

    def _standing(self, customer: str, subjects: tuple[str, ...]) -> Standing:
        ledger = _ledger_of(subjects, self._ledgers)
        before = None if self._live is None else score(ledger, self._live, self._on)
        return Standing(customer, subjects, before, score(ledger, self._candidate, self._on))


def back_test(
    reader: Reader,
    candidate: Scorecard,
    live: Scorecard | None,
    on: Day,
    each: Callable[[Standing], None] = lambda standing: None,
    progress: Callable[[int], None] = lambda customers: None,
    scoring: Scoring | None = None,
) -> dict[str, Any]:
    """What the candidate makes of every customer on a day, beside the live scorecard where there is one; JSON-ready.

    Customers are named by their permanent ids alone. `each` is told every standing, `progress` how many there were.
    `scoring` is the way to score these on that day, where there is a better one than out of their ledgers.
    """
    totals = _Totals(candidate, live)
    scoring = scoring or FromLedgers(reader, candidate, live, on)
    for page in everybody(reader, scoring.page):
        standings = scoring.standings(page)
        for standing in standings:
            each(standing)
        totals.add(standings)
        if totals.silent:
            totals.silent -= scoring.counted(page, totals.silent)
        progress(totals.customers)
    return {"at": day_text(on), **totals.to_json(reader, on)}


def everybody(reader: Reader, page: int = PAGE) -> Iterator[list[tuple[str, tuple[str, ...]]]]:
    """Every customer under whom anything was recorded, as (permanent id, subjects), page by page: the same whom
    `Customers.find` finds."""
    members = reader.groups_after("", page)
    while members:
        yield [one for one in customers_in(reader, members) if one[1]]
        members = reader.groups_after(members[-1].group, page)


def customers_in(reader: Reader, members: Sequence[Known]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each customer among the members of whole groups, and his subjects."""
    for customer, together in people_in(reader, members):
        yield customer, tuple(one.id for one in together if one.touchpoints)


def people_in(reader: Reader, members: Sequence[Known]) -> Iterator[tuple[str, list[Known]]]:
    """Each customer among the members of whole groups, and all that are his. Claims that touch are in one group, so
    those of many groups can be resolved at once. What is barred links nobody, so its own claims, which may be many,
    need not be read."""
    sizes = Counter(member.group for member in members)
    claims, shared = reader.claims([one.id for one in members if sizes[one.group] > 1 and not one.barred])
    links = resolve(claims, shared)
    people: dict[frozenset[Identifier], list[Known]] = defaultdict(list)
    for one in members:
        people[links.of(one.identifier)].append(one)
    for together in people.values():
        shown = shown_member({one.identifier: one.first_seen for one in together})
        yield next(one.id for one in together if one.identifier == shown), together


def _ledger_of(subjects: Sequence[str], ledgers: dict[str, Ledger]) -> Ledger:
    """Not to be changed: where one member alone has rows it is his."""
    found = [ledgers[subject] for subject in subjects if subject in ledgers]
    return found[0] if len(found) == 1 else merged(found)


@dataclass(slots=True)
class _Spread:
    """How the values of all customers lie: a count for each value from 0 to 100, and of those without one."""

    counts: list[int] = field(default_factory=lambda: [0] * 101)
    unknown: int = 0
    tiers: Counter[str | None] = field(default_factory=Counter)

    def add(self, found: Score) -> None:
        self.tiers[found.tier] += 1
        if found.value is None:
            self.unknown += 1
        else:
            self.counts[found.value] += 1

    def to_json(self, card: Scorecard) -> dict[str, Any]:
        known = sum(self.counts)
        return {
            "known": known,
            "unknown": self.unknown,
            "mean": round(sum(v * n for v, n in enumerate(self.counts)) / known, 2) if known else None,
            "quantiles": {f"p{share}": self._quantile(share, known) for share in QUANTILES},
            "histogram": [
                {"from": low, "to": high, "customers": sum(self.counts[low : high + 1])}
                for low, high in DECADES
            ],
            "tiers": {tier: self.tiers[tier] for tier, _ in card.tiers},
        }

    def _quantile(self, share: int, known: int) -> int | None:
        """The least value that so many percent of the customers do not exceed."""
        reached = 0
        for value, count in enumerate(self.counts):
            reached += count
            if count and reached * 100 >= known * share:
                return value
        return None


class _Totals:
    def __init__(self, candidate: Scorecard, live: Scorecard | None) -> None:
        self.candidate, self.live = candidate, live
        self.customers = self.values_changed = 0
        self.before, self.after = _Spread(), _Spread()
        self.moves: Counter[tuple[str | None, str | None]] = Counter()
        self.winners: list[Standing] = []
        self.losers: list[Standing] = []
        self.silent = set(candidate.signals)

    def add(self, standings: Sequence[Standing]) -> None:
        self.customers += len(standings)
        for one in standings:
            self.after.add(one.after)
            if one.before is not None:
                self.before.add(one.before)
                self.moves[one.before.tier, one.after.tier] += 1
                self.values_changed += one.before.value != one.after.value
        moved = [one for one in standings if one.gain != (0, 0)]
        self.winners = nlargest(
            SHOWN, [*self.winners, *(one for one in moved if one.gain > (0, 0))], key=_most_gained
        )
        self.losers = nlargest(
            SHOWN, [*self.losers, *(one for one in moved if one.gain < (0, 0))], key=_most_lost
        )

    def to_json(self, reader: Reader, on: Day) -> dict[str, Any]:
        live, candidate = self.live, self.candidate
        alone = {
            "score": candidate.name,
            "candidate": {"version": candidate.version, "fingerprint": candidate.fingerprint},
            "live": None,
            "customers": self.customers,
            "signals_never_counted": sorted(self.silent),
            "after": self.after.to_json(candidate),
        }
        if live is None:
            return alone
        ledgers = reader.ledgers(
            {subject for one in (*self.winners, *self.losers) for subject in one.subjects}
        )
        return {
            **alone,
            "live": {"score": live.name, "version": live.version, "fingerprint": live.fingerprint},
            "before": self.before.to_json(live),
            "changed": {
                "values": self.values_changed,
                "tiers": sum(n for (old, new), n in self.moves.items() if old != new),
            },
            "moves": [
                {"from": old, "to": new, "customers": self.moves[old, new]}
                for old in (*_names(live), None)
                for new in (*_names(candidate), None)
                if self.moves[old, new]
            ],
            "winners": [self._told(one, ledgers, on) for one in self.winners],
            "losers": [self._told(one, ledgers, on) for one in self.losers],
        }

    def _told(self, one: Standing, ledgers: dict[str, Ledger], on: Day) -> dict[str, Any]:
        assert self.live is not None
        ledger = _ledger_of(one.subjects, ledgers)
        reasons = reasons_of(ledger, self.live, self.candidate, on)
        return {**one.to_json(), "value": one.gain[0], "milli_points": one.gain[1], "reasons": reasons}


def reasons_of(ledger: Ledger, live: Scorecard, candidate: Scorecard, on: Day) -> list[dict[str, Any]]:
    """What each component gives in the one and in the other where that differs, the largest difference first; the
    differences add up to that of the milli-points."""
    told: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for place, card in enumerate((live, candidate)):
        for line in explain(ledger, card, on)[1]:
            told[line.part, line.component][place] += line.milli_points
    reasons = [
        {"part": part, "component": component, "before": old, "after": new, "milli_points": new - old}
        for (part, component), (old, new) in told.items()
        if old != new
    ]
    return sorted(
        reasons, key=lambda one: (-abs(int(one["milli_points"])), str(one["part"]), str(one["component"]))
    )


def _names(card: Scorecard) -> list[str]:
    return [tier for tier, _ in card.tiers]


def _most_gained(one: Standing) -> tuple[int, int, str]:
    return *one.gain, one.customer


def _most_lost(one: Standing) -> tuple[int, int, str]:
    value, points = one.gain
    return -value, -points, one.customer
