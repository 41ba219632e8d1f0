"""Scores as they were computed before the reading side was made faster: the same rules, one plain step after another.

The components' other kinds are asked as they are; only what was rewritten stands here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from touchbook.components import MILLION, Aged, Component, Decayed, Line, quotient
from touchbook.ledger import Day, Ledger
from touchbook.scorecard import Scorecard
from touchbook.scoring import LIMIT, NextTier, Score

_Rows = dict[str, list[tuple[int, int, int]]]


def score_all(ledger: Ledger, cards: Iterable[Scorecard], on: Day) -> dict[str, Score]:
    """The scores by name; the same as `score` for each, with one pass over the ledger."""
    rows = _seen_from(ledger, on)
    return {card.name: _scored(card, rows, _lines(card, rows)) for card in cards}


def _seen_from(ledger: Ledger, on: Day, signals: Collection[str] | None = None) -> _Rows:
    rows: _Rows = {}
    for (signal, day), (count, total) in ledger.items():
        if day <= on and (signals is None or signal in signals):
            rows.setdefault(signal, []).append((on - day, count, total))
    return rows


def _earlier(rows: Aged, days: int, signals: Collection[str]) -> _Rows:
    """The rows of these signals as seen from so many days before."""
    earlier: _Rows = {}
    for signal, found in rows.items():
        if signal in signals and (then := [(age - days, n, total) for age, n, total in found if age >= days]):
            earlier[signal] = then
    return earlier


def _lines(card: Scorecard, rows: Aged) -> dict[str, list[Line]]:
    lines: dict[str, list[Line]] = {part.name: [] for part in card.parts}
    for name, component in fed_by(card, rows):
        lines[name] += lines_of(component, rows)
    for part in card.parts:
        points = _sum(lines[part.name])
        if cut := part.kept_within(points) - points:
            lines[part.name].append((LIMIT, None, None, cut, 0))
    return lines


def _sum(lines: Iterable[Line]) -> int:
    return sum([line[3] for line in lines])


def _points(lines: Mapping[str, list[Line]]) -> dict[str, int]:
    return {part: _sum(found) for part, found in lines.items()}


def _scored(card: Scorecard, rows: Aged, lines: Mapping[str, list[Line]]) -> Score:
    parts = _points(lines)
    evidence = _evidence(card, rows, lines)
    value = card.value.of(parts) if _is_enough(card, evidence) else None
    rank = None if value is None else _held(card, rows, rank_of(card, value))
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


def _next_tier(card: Scorecard, rank: int, value: int) -> NextTier | None:
    if rank + 1 == len(card.tiers):
        return None
    tier, at = card.tiers[rank + 1]
    return NextTier(tier, at, at - value)


def _evidence(card: Scorecard, rows: Aged, lines: Mapping[str, list[Line]]) -> int:
    if card.needs:
        return sum(age < card.needs.within for age in days_with(rows, [card.needs.signal]))
    if card.weighs:
        return sum(line[4] for found in lines.values() for line in found) // MILLION
    return sum([n > 0 for signal, found in rows.items() if signal in card.signals for _, n, _ in found])


def _is_enough(card: Scorecard, evidence: int) -> bool:
    return evidence >= (card.min_evidence or (1 if card.needs else 0))


def _held(card: Scorecard, rows: Aged, rank: int) -> int:
    """The best rank of today and the `hold_days` before, without asking them all.

    A stretch of days in which even the most that each component could give stays within the rank found
    already is passed over whole; another is halved, down to single days, which are asked as today was.
    On the worked histories that is 30 us instead of 1000 for asking all of them.
    """
    stretches = [(1, card.hold_days)] if card.hold_days else []
    while stretches and rank + 1 < len(card.tiers):
        newest, oldest = stretches.pop()
        seen = _earlier(rows, newest, card.signals)
        if newest == oldest:
            rank = max(rank, _rank_on(card, seen))
        elif rank_of(card, card.value.of(most_points(card, seen, oldest - newest))) > rank:
            middle = (newest + oldest) // 2
            stretches += [(middle + 1, oldest), (newest, middle)]
    return rank


def _rank_on(card: Scorecard, rows: Aged) -> int:
    """-1 on a day without a value."""
    lines = _lines(card, rows)
    if not _is_enough(card, _evidence(card, rows, lines)):
        return -1
    return rank_of(card, card.value.of(_points(lines)))


def most_points(card: Scorecard, rows: Aged, days: int) -> dict[str, int]:
    """By part, no less than what it gives on the day the rows are seen from or any of the `days` before."""
    most = {part.name: 0 for part in card.parts}
    for name, component in fed_by(card, rows):
        most[name] += component.most(rows, days)
    return {part.name: part.kept_within(most[part.name]) for part in card.parts}


def days_with(rows: Aged, signals: Iterable[str]) -> dict[int, str]:
    """The ages at which any of the signals was counted, each with the first of them (in the order given)."""
    found: dict[int, str] = {}
    for signal in signals:
        if signal in rows:
            for age, count, _ in rows[signal]:
                if count > 0:
                    found.setdefault(age, signal)
    return found


def fed_by(card: Scorecard, signals: Iterable[str]) -> list[tuple[str, Component]]:
    """(part, component) of all that these signals can move, in order."""
    present = set(signals)
    return [
        (part.name, component)
        for part in card.parts
        for component in part.components
        if not component.signals or not present.isdisjoint(component.signals)
    ]


def lines_of(component: Component, rows: Aged) -> list[Line]:
    if not isinstance(component, Decayed):
        return component.lines(rows)
    return [
        (component.id, signal, age, points, 0)
        for signal in component.signals
        for age, count, total in rows.get(signal, ())
        if component.min_age <= age < len(component.decay)
        and (points := quotient(_amount(component, count, total) * component.decay[age], MILLION))
    ]


def _amount(component: Decayed, count: int, total: int) -> int:
    amount = count if component.of == "count" else max(quotient(total, component.unit), -component.cap)
    return min(amount, component.cap) * component.weight


def rank_of(card: Scorecard, value: int) -> int:
    return sum(value >= least for _, least in card.tiers) - 1
