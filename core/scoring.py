"""Scores: pure functions of a ledger, a scorecard and a day.

Nothing is remembered between calls: what a score was on a past day is asked by giving that day. One path
computes both the score and its explanation, so that the lines of an explanation add up to the score by
construction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchbook.components import MILLION, Aged, Base, Component, Decayed, Line, OfDays, days_with
from touchbook.ledger import Day, Ledger, LedgerRows, add
from touchbook.scorecard import Part, Scorecard, ScorecardSet

LIMIT = "limit"
"""The component under which an explanation shows what a part's limits cut off or filled up."""

_Rows = dict[str, list[tuple[int, int, int]]]
_Lines = dict[str, list[Line]]


@dataclass(frozen=True, slots=True)
class NextTier:
    """The tier above the one shown: its least value, and how many points of value are missing."""

    tier: str
    at: int
    needs: int


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorecard gives on a day.

    `value` is 0 to 100, or None where there is too little evidence: then there is no tier either.
    `evidence` is what a scorecard with a balance weighs, else the days of the signal it needs, else the
    ledger rows it can see. `parts` are the milli-points of each part and add up to `milli_points`.
    """

    name: str
    scorecard_version: int
    milli_points: int
    value: int | None
    tier: str | None
    next_tier: NextTier | None
    evidence: int
    parts: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        above = self.next_tier
        return {
            "scorecard_version": self.scorecard_version,
            "milli_points": self.milli_points,
            "value": self.value,
            "tier": self.tier,
            "next_tier": {"tier": above.tier, "at": above.at, "needs": above.needs} if above else None,
            "evidence": self.evidence,
            "parts": dict(self.parts),
        }


@dataclass(frozen=True, slots=True)
class Contribution:
    """One line of an explanation.

    `signal` and `day` name a row of the ledger, `count` and `total` are that row's; for lines about a
    period or a day it is the newest such row (`rows_behind` gives all). A starting amount or a limit has
    no row.
    """

    part: str
    component: str
    signal: str | None
    day: Day | None
    count: int
    total: int
    milli_points: int


def score(ledger: Ledger, card: Scorecard, on: Day) -> Score:
    """The score at the end of `on`; rows after it do not exist."""
    rows = _seen_from(ledger, on, card.signals)
    return _scored(card, rows, *_lines(card, rows))


def score_all(ledger: Ledger, cards: Iterable[Scorecard], on: Day) -> dict[str, Score]:
    """The scores by name; the same as `score` for each, with one pass over the ledger."""
    rows = _seen_from(ledger, on)
    return {card.name: _scored(card, rows, *_lines(card, rows)) for card in cards}


def score_stored(ledgers: Sequence[LedgerRows], cards: ScorecardSet, on: Day) -> dict[str, Score]:
    """The scores of a customer from his members' ledgers as they are stored: the same as `score_all` of these merged,
    in half the time, as nothing is built of rows that no scorecard reads."""
    rows = _stored_seen_from(ledgers, on, cards.signals)
    return {card.name: _scored(card, rows, *_lines(card, rows)) for card in cards.values()}


def values_on(ledger: Ledger, cards: ScorecardSet, days: Iterable[Day]) -> list[dict[str, int | None]]:
    """The value of every score on each of these days, as `score_all` gives it: what a line is drawn from. What days
    share is done once, and no tier is sought."""
    by_signal: dict[str, list[tuple[int, int, int]]] = {}
    for (signal, day), (count, total) in ledger.items():
        if signal in cards.signals:
            by_signal.setdefault(signal, []).append((day, count, total))
    values = []
    for on in days:
        rows = {
            signal: then
            for signal, found in by_signal.items()
            if (then := [(on - day, count, total) for day, count, total in found if day <= on])
        }
        values.append({card.name: _value_on(card, rows) for card in cards.values()})
    return values


Counted = dict[str, list[tuple[Day, int, int]]]
"""signal -> (day, count, total) of each row that a scorecard reads, all of it in ascending order."""

Mark = tuple[int | None, int, int]
"""How a score stands: (value, rank of its tier or -1, milli-points)."""


class Marking:
    """How customers stand by all scorecards of a set: to the last integer what `score_all` gives, but without a line to
    show, and with one pass over the rows for all of them. Made once for a set: 25 us a customer instead of 100."""

    def __init__(self, cards: ScorecardSet) -> None:
        self.names = sorted(cards)
        self.signals = cards.signals
        self._cards = list[tuple[Scorecard, bool, list[str], int, int]]()
        self._base = list[int]()
        self._limited = list[tuple[int, Part]]()
        self._decayed: dict[str, list[tuple[int, Decayed]]] = {}
        self._of_days: dict[frozenset[str], list[tuple[int, OfDays]]] = {}
        self._others = list[tuple[int, Component, int]]()
        for place, card in enumerate(cards[name] for name in self.names):
            first = len(self._base)
            for part in card.parts:
                self._take(part, place)
            asks = card.needs is not None or card.min_evidence > 0
            self._cards.append((card, asks, [part.name for part in card.parts], first, len(self._base)))

    def _take(self, part: Part, card: int) -> None:
        slot = len(self._base)
        self._base.append(sum(one.points for one in part.components if isinstance(one, Base)))
        if (part.least, part.most) != (None, None):
            self._limited.append((slot, part))
        for one in part.components:
            if isinstance(one, Decayed):
                for signal in one.signals:
                    self._decayed.setdefault(signal, []).append((slot, one))
            elif isinstance(one, OfDays):
                self._of_days.setdefault(frozenset(one.signals), []).append((slot, one))
            elif not isinstance(one, Base):
                self._others.append((slot, one, card))

    def counted(self, ledgers: Sequence[LedgerRows]) -> Counted:
        """The rows of a customer's members together."""
        found: Counted = {}
        if len(ledgers) == 1:
            for signal, day, count, total in ledgers[0]:
                if signal in self.signals:
                    found.setdefault(signal, []).append((day, count, total))
        else:
            for (signal, day), (count, total) in _merged_of(ledgers, self.signals).items():
                found.setdefault(signal, []).append((day, count, total))
        return {signal: sorted(rows) for signal, rows in sorted(found.items())}

    def on(self, counted: Counted, day: Day, before: Sequence[Mark] | None = None) -> list[Mark]:
        """Each score at the end of `day`, in order of their names. `before`: how they stood the day before, where that
        is known of the same rows."""
        rows: _Rows = {}
        for signal, found in counted.items():
            if seen := [(day - at, count, total) for at, count, total in found if at <= day]:
                rows[signal] = seen
        slots, weighed = self._points(rows)
        marks = list[Mark]()
        for place, (card, asks, parts, first, last) in enumerate(self._cards):
            value, rank, points = None, -1, slots[first:last]
            if not asks or _is_enough(card, _counted_evidence(card, rows, weighed.get(place, 0))):
                value = card.value.of(dict(zip(parts, points, strict=True)))
                rank = card.rank_of(value)
                if card.hold_days and not (before is not None and 0 <= before[place][1] <= rank):
                    rank = _held(card, rows, rank)  # else none of the days before was better
            marks.append((value, rank, sum(points)))
        return marks

    def _points(self, rows: Aged) -> tuple[list[int], dict[int, int]]:
        """The milli-points of every part, and what the cards that weigh evidence find, in millionths."""
        slots, weighed = self._base.copy(), dict[int, int]()
        for signal, found in rows.items():
            for slot, decayed in self._decayed.get(signal, ()):
                slots[slot] += decayed.given(found)
        for signals, those in self._of_days.items():
            seen = [found for signal, found in rows.items() if signal in signals]
            if ages := sorted({age for found in seen for age, count, _ in found if count > 0}):
                for slot, of_days in those:
                    slots[slot] += of_days.given(ages)
        for slot, other, card in self._others:
            points, weight = other.sums(rows)
            slots[slot] += points
            weighed[card] = weighed.get(card, 0) + weight
        for slot, part in self._limited:
            slots[slot] = part.kept_within(slots[slot])
        return slots, weighed


def explain(ledger: Ledger, card: Scorecard, on: Day) -> tuple[Score, list[Contribution]]:
    """The score and its lines, which add up to its milli-points exactly.

    Ordered as in the scorecard, newest first within a component. Ledger rows that give no points are left
    out, except the neutral evidence of a balance: it pulls to the middle.
    """
    rows = _seen_from(ledger, on, card.signals)
    lines, points = _lines(card, rows)
    told = [
        _contribution(part.name, line, ledger, on)
        for part in card.parts
        for line in _in_order(part, lines[part.name])
    ]
    return _scored(card, rows, lines, points), told


def rows_behind(
    contribution: Contribution, card: Scorecard, ledger: Ledger, on: Day
) -> list[tuple[str, Day]]:
    """The ledger rows that a line of `explain` speaks of, newest first: where to look for its touchpoints."""
    return rows_behind_all([contribution], card, ledger, on)[0]


def rows_behind_all(
    contributions: Iterable[Contribution], card: Scorecard, ledger: Ledger, on: Day
) -> list[list[tuple[str, Day]]]:
    """`rows_behind` of each, with one pass over the ledger."""
    rows = _seen_from(ledger, on, card.signals)
    behind = []
    for line in contributions:
        found = list[tuple[str, int]]()
        if line.signal is not None and line.day is not None:
            found = card.component(line.part, line.component).behind(rows, line.signal, on - line.day)
        behind.append([(signal, on - age) for signal, age in found])
    return behind


def _seen_from(ledger: Ledger, on: Day, signals: Collection[str] | None = None) -> _Rows:
    rows: _Rows = {}
    for (signal, day), (count, total) in ledger.items():
        if day <= on and (signals is None or signal in signals):
            rows.setdefault(signal, []).append((on - day, count, total))
    return rows


def _stored_seen_from(ledgers: Sequence[LedgerRows], on: Day, signals: Collection[str]) -> _Rows:
    if len(ledgers) != 1:
        return _seen_from(_merged_of(ledgers, signals), on)
    rows: _Rows = {}
    last, ages = "", list[tuple[int, int, int]]()
    for signal, day, count, total in ledgers[0]:
        if signal in signals and day <= on:
            if signal != last:  # a signal's rows are neighbours, as they are stored
                last, ages = signal, rows.setdefault(signal, [])
            ages.append((on - day, count, total))
    return rows


def _merged_of(ledgers: Iterable[LedgerRows], signals: Collection[str]) -> Ledger:
    merged: Ledger = {}
    for ledger in ledgers:
        for signal, day, count, total in ledger:
            if signal in signals:
                add(merged, signal, day, count, total)
    return merged


def _earlier(rows: Aged, days: int, signals: Collection[str]) -> _Rows:
    """The rows of these signals as seen from so many days before."""
    earlier: _Rows = {}
    for signal, found in rows.items():
        if signal in signals and (then := [(age - days, n, total) for age, n, total in found if age >= days]):
            earlier[signal] = then
    return earlier


def _lines(card: Scorecard, rows: Aged) -> tuple[_Lines, dict[str, int]]:
    """The lines of each part, its limits among them, and what they add up to."""
    lines: _Lines = {part.name: [] for part in card.parts}
    for name, component in card.fed_by(rows):
        lines[name] += component.lines(rows)
    points = {}
    for part in card.parts:
        found = lines[part.name]
        given = sum([line[3] for line in found]) if found else 0
        kept = points[part.name] = part.kept_within(given)
        if kept != given:
            found.append((LIMIT, None, None, kept - given, 0))
    return lines, points


def _in_order(part: Part, lines: Iterable[Line]) -> list[Line]:
    places = {component.id: place for place, component in enumerate(part.components)} | {
        LIMIT: len(part.components)
    }
    return sorted(lines, key=lambda line: (places[line[0]], line[2] or 0, line[1] or ""))


def _contribution(part: str, line: Line, ledger: Ledger, on: Day) -> Contribution:
    component, signal, age, points, _ = line
    if signal is None or age is None:
        return Contribution(part, component, None, None, 0, 0, points)
    count, total = ledger[signal, on - age]
    return Contribution(part, component, signal, on - age, count, total, points)


def _scored(card: Scorecard, rows: Aged, lines: _Lines, parts: dict[str, int]) -> Score:
    evidence = _evidence(card, rows, lines)
    value = card.value.of(parts) if _is_enough(card, evidence) else None
    rank = None if value is None else _held(card, rows, card.rank_of(value))
    return Score(
        name=card.name,
        scorecard_version=card.version,
        milli_points=sum(parts.values()),
        value=value,
        tier=None if rank is None else card.tiers[rank][0],
        next_tier=None if value is None or rank is None else _next_tier(card, rank, value),
        evidence=evidence,
        parts=parts,
    )


def score_told(
    card: Scorecard,
    milli_points: int,
    value: int | None,
    tier: str | None,
    evidence: int,
    parts: Mapping[str, int],
) -> Score:
    """The score of which another way of counting told so much, such as the statement of `scorecard_sql`."""
    ranks = [name for name, _ in card.tiers]
    next_tier = None if value is None or tier is None else _next_tier(card, ranks.index(tier), value)
    return Score(card.name, card.version, milli_points, value, tier, next_tier, evidence, parts)


def _next_tier(card: Scorecard, rank: int, value: int) -> NextTier | None:
    if rank + 1 == len(card.tiers):
        return None
    tier, at = card.tiers[rank + 1]
    return NextTier(tier, at, at - value)


def _evidence(card: Scorecard, rows: Aged, lines: _Lines) -> int:
    return _counted_evidence(card, rows, sum(line[4] for found in lines.values() for line in found))


def _counted_evidence(card: Scorecard, rows: Aged, weighed: int) -> int:
    if card.needs:
        return sum(age < card.needs.within for age in days_with(rows, [card.needs.signal]))
    if card.weighs:
        return weighed // MILLION
    signals = card.signals
    return sum([n > 0 for signal, found in rows.items() if signal in signals for _, n, _ in found])


def _is_enough(card: Scorecard, evidence: int) -> bool:
    return evidence >= (card.min_evidence or (1 if card.needs else 0))


def _held(card: Scorecard, rows: Aged, rank: int) -> int:
    """The best rank of today and the `hold_days` before, without asking them all.

    A stretch of days in which even the most that each component could give stays within the rank found
    already is passed over whole; another is halved, down to single days, which are asked as today was.
    On the worked histories that is 30 us instead of 1000 for asking all of them.
    """
    if not card.hold_days or card.rank_of(card.value.of(most_points(card, rows, card.hold_days))) <= rank:
        return rank  # so it is for nearly everybody, and asked of the rows as they are it costs least
    stretches = [(1, card.hold_days)]
    while stretches and rank + 1 < len(card.tiers):
        newest, oldest = stretches.pop()
        seen = _earlier(rows, newest, card.signals)
        if newest == oldest:
            rank = max(rank, _rank_on(card, seen))
        elif card.rank_of(card.value.of(most_points(card, seen, oldest - newest))) > rank:
            middle = (newest + oldest) // 2
            stretches += [(middle + 1, oldest), (newest, middle)]
    return rank


def _rank_on(card: Scorecard, rows: Aged) -> int:
    """-1 on a day without a value."""
    lines, points = _lines(card, rows)
    if not _is_enough(card, _evidence(card, rows, lines)):
        return -1
    return card.rank_of(card.value.of(points))


def _value_on(card: Scorecard, rows: Aged) -> int | None:
    lines, points = _lines(card, rows)
    return card.value.of(points) if _is_enough(card, _evidence(card, rows, lines)) else None


def most_points(card: Scorecard, rows: Aged, days: int) -> dict[str, int]:
    """By part, no less than what it gives on the day the rows are seen from or any of the `days` before."""
    most = {part.name: 0 for part in card.parts}
    for name, component in card.fed_by(rows):
        most[name] += component.most(rows, days)
    return {part.name: part.kept_within(most[part.name]) for part in card.parts}
