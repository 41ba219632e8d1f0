"""The kinds of line a scorecard can have: what each is told, and what it gives for a ledger.

Integers throughout and truncation **toward zero**, as `/` in SQLite and `intDiv` in ClickHouse do, so
that the same line is also one SQL statement. Weights and points are milli-points, half-lives and ages
are whole UTC days; an age is the day asked about minus the day of the row, and rows after that day do
not exist.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Literal

MILLION = 10**6
LARGEST = 2**62
"""No product a component can make may reach this: it must fit a signed 64-bit integer in any SQL engine."""

Aged = Mapping[str, Sequence[tuple[int, int, int]]]
"""A ledger as seen from one day: signal -> (age, count, total) of each of its rows, in no order."""

Line = tuple[str, str | None, int | None, int, int]
"""(component, signal, age, milli-points, weight as evidence in millionths); signal and age name a row."""


def quotient(number: int, divisor: int) -> int:
    """Division by a positive number, truncated toward zero."""
    return number // divisor if number >= 0 else -(-number // divisor)


@lru_cache(maxsize=1024)
def decay_table(half_life: int) -> tuple[int, ...]:
    """round(2^(-age/half_life) · 10^6) by age in days, half to even; beyond its end (21 half-lives) all is 0.

    Within the first half-life each day is a fixed part of the day before (to 50 digits), and every later
    one is halved. 40 binary places of it say on which side of a half it is, and on one it is only once, after 7
    half-lives (7812.5): everything else is irrational.
    """
    with localcontext() as context:
        context.prec = 50
        first, daily = [Decimal(MILLION)], Decimal(2) ** (Decimal(-1) / half_life)
        while len(first) < half_life:
            first.append(first[-1] * daily)
        places = [int(v * 2**40) for v in first]
    table = [(v + (1 << n + 39)) >> n + 40 for n in range(21) for v in places]
    table[7 * half_life] = 7812
    while not table[-1]:
        table.pop()
    return tuple(table)


def _at(decay: tuple[int, ...], age: int) -> int:
    return decay[age] if age < len(decay) else 0


def days_with(rows: Aged, signals: Sequence[str]) -> dict[int, str]:
    """The ages at which any of the signals was counted, each with the first of them (in the order given)."""
    found: dict[int, str] = {}
    for signal in reversed(signals):  # so that the first comes last and stays
        if signal in rows:
            for age, count, _ in rows[signal]:
                if count > 0:
                    found[age] = signal
    return found


def rows_on(rows: Aged, signals: Iterable[str], ages: Iterable[int]) -> list[tuple[str, int]]:
    """Every counted (signal, age) at these ages, newest first."""
    wanted = set(ages)
    found = {
        (age, signal)
        for signal in signals
        for age, count, _ in rows.get(signal, ())
        if count and age in wanted
    }
    return [(signal, age) for age, signal in sorted(found)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component(ABC):
    """One line of a scorecard: where its points come from, and `why` it is there.

    `lines(rows)`       its rows; the component is by definition their sum
    `most(rows, days)`  no day from the one the rows are seen from to `days` before it gives more than this
    `behind(…)`         the rows of the ledger that one of its lines speaks of
    `largest()`         the largest product its arithmetic can meet
    """

    kind: ClassVar[str]
    id: str
    why: str
    signals: tuple[str, ...] = ()

    @abstractmethod
    def lines(self, rows: Aged) -> list[Line]: ...

    @abstractmethod
    def most(self, rows: Aged, days: int) -> int: ...

    @abstractmethod
    def largest(self) -> int: ...

    def behind(self, rows: Aged, signal: str, age: int) -> list[tuple[str, int]]:
        return rows_on(rows, self.signals, [age])

    def sums(self, rows: Aged) -> tuple[int, int]:
        """What its lines add up to: milli-points, and weight as evidence."""
        lines = self.lines(rows)
        return sum([line[3] for line in lines]), sum([line[4] for line in lines])

    def describe(self) -> dict[str, Any]:
        told = {f.name.rstrip("_"): getattr(self, f.name) for f in fields(self) if f.name != "decay"}
        return {
            "id": told.pop("id"),
            "kind": self.kind,
            "why": told.pop("why"),
            **told,
            "signals": [*self.signals],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Base(Component):
    """A starting amount, the same for everybody."""

    kind: ClassVar[str] = "base"
    points: int

    def lines(self, rows: Aged) -> list[Line]:
        return [(self.id, None, None, self.points, 0)]

    def most(self, rows: Aged, days: int) -> int:
        return self.points

    def largest(self) -> int:
        return abs(self.points) * MILLION


class OfDays(Component):
    """One that looks at nothing but the days on which any of its signals was counted."""

    __slots__ = ()

    @abstractmethod
    def given(self, ages: Sequence[int]) -> int:
        """What its lines add up to; `ages` are those of `days_with`, ascending, one at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decayed(Component):
    """Points for every (signal, day): min(cap, count) · weight · decay / 10^6.

    `of` total takes total / `unit` instead of the count, capped alike on both sides of 0; rows younger than
    `min_age` days are left out (yet). The cap is per signal and day.
    """

    kind: ClassVar[str] = "decayed"
    weight: int
    half_life: int
    cap: int
    of: Literal["count", "total"] = "count"
    unit: int = 1
    min_age: int = 0
    decay: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", decay_table(self.half_life))

    def _weighted(self, rows: Aged) -> Iterator[tuple[str, int, int]]:
        weight, cap = self.weight, self.cap
        for signal in self.signals:
            if signal not in rows:
                continue
            if self.of == "count":
                for age, count, _ in rows[signal]:
                    yield signal, age, (count if count < cap else cap) * weight
            else:
                for age, _, total in rows[signal]:
                    amount = max(quotient(total, self.unit), -cap)
                    yield signal, age, (amount if amount < cap else cap) * weight

    def lines(self, rows: Aged) -> list[Line]:
        id, decay, end, youngest = self.id, self.decay, len(self.decay), self.min_age
        lines: list[Line] = []
        for signal, age, weighted in self._weighted(rows):
            if youngest <= age < end:
                grown = weighted * decay[age]
                if points := grown // MILLION if grown >= 0 else -(-grown // MILLION):
                    lines.append((id, signal, age, points, 0))
        return lines

    def given(self, found: Sequence[tuple[int, int, int]]) -> int:
        """What its lines of one signal add up to, `found` being the rows of it."""
        weight, cap, decay, youngest = self.weight, self.cap, self.decay, self.min_age
        end, points = len(decay), 0
        if self.of == "count":
            for age, count, _ in found:
                if youngest <= age < end:
                    grown = (count if count < cap else cap) * weight * decay[age]
                    points += grown // MILLION if grown >= 0 else -(-grown // MILLION)
        else:
            for _, age, weighted in self._weighted({self.signals[0]: found}):
                if youngest <= age < end:
                    points += quotient(weighted * decay[age], MILLION)
        return points

    def most(self, rows: Aged, days: int) -> int:
        """Gains at their youngest; losses at their oldest, and only if there on all of these days."""
        most = 0
        for _, age, weighted in self._weighted(rows):
            youngest = max(age - days, self.min_age)
            if weighted > 0 and youngest <= age:
                most += weighted * _at(self.decay, youngest) // MILLION
            elif weighted < 0 and age - days >= self.min_age:
                most += quotient(weighted * _at(self.decay, age), MILLION)
        return most

    def largest(self) -> int:
        return self.cap * abs(self.weight) * MILLION

    def behind(self, rows: Aged, signal: str, age: int) -> list[tuple[str, int]]:
        return [(signal, age)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One line of a balance. `sign`: good 1, bad -1, neutral 0 (weighs, but pulls to neither side)."""

    why: str
    signals: tuple[str, ...]
    sign: Literal[1, 0, -1]
    weight: int
    half_life: int
    cap: int
    decay: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", decay_table(self.half_life))

    def describe(self) -> dict[str, Any]:
        side = {1: "good", 0: "neutral", -1: "bad"}[self.sign]
        told = {"why": self.why, "signals": [*self.signals], side: self.weight}
        return told | {"half_life": self.half_life, "cap": self.cap}


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance(Component):
    """Good against bad, with a prior, as in beta reputation (Jøsang and Ismail, 2002).

    Every row gives ± min(cap, count) · weight · decay · swing / D, where D is the sum of all rows'
    weights plus `prior` (in the same small units, · 10^6). Good never lowers it and bad never raises it,
    but for a milli-point of truncation per row.
    """

    kind: ClassVar[str] = "balance"
    swing: int
    prior: int
    evidence: tuple[Evidence, ...]
    weighing: Mapping[str, Sequence[Evidence]] = field(init=False, repr=False, compare=False)
    """signal -> what weighs it."""

    def __post_init__(self) -> None:
        weighing: dict[str, list[Evidence]] = {}
        for evidence in self.evidence:
            for signal in evidence.signals:
                weighing.setdefault(signal, []).append(evidence)
        object.__setattr__(self, "signals", tuple(weighing))
        object.__setattr__(self, "weighing", weighing)

    def _terms(self, rows: Aged) -> tuple[list[tuple[str, int, int, int]], int]:
        terms, below, weighing = [], self.prior * MILLION, self.weighing
        for signal, found in rows.items():
            for evidence in weighing.get(signal, ()):
                decay, end, weight, cap = evidence.decay, len(evidence.decay), evidence.weight, evidence.cap
                for age, count, _ in found:
                    if age < end and (weighed := (count if count < cap else cap) * weight * decay[age]):
                        terms.append((signal, age, evidence.sign * weighed * self.swing, weighed))
                        below += weighed
        return terms, below

    def lines(self, rows: Aged) -> list[Line]:
        terms, below = self._terms(rows)
        return [
            (self.id, signal, age, quotient(points, below), weighed) for signal, age, points, weighed in terms
        ]

    def sums(self, rows: Aged) -> tuple[int, int]:
        terms, below = self._terms(rows)
        return sum([quotient(term[2], below) for term in terms]), below - self.prior * MILLION

    def most(self, rows: Aged, days: int) -> int:
        return self.swing

    def largest(self) -> int:
        return max(e.cap * e.weight for e in self.evidence) * self.swing * MILLION

    def behind(self, rows: Aged, signal: str, age: int) -> list[tuple[str, int]]:
        return [(signal, age)]

    def describe(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "why": self.why,
            "swing": self.swing,
            "prior": self.prior,
            "evidence": [evidence.describe() for evidence in self.evidence],
            "signals": [*self.signals],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class First(OfDays):
    """weight · decay at the earliest day any of the signals was counted."""

    kind: ClassVar[str] = "first"
    weight: int
    half_life: int
    decay: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", decay_table(self.half_life))

    def _points(self, age: int) -> int:
        return quotient(self.weight * _at(self.decay, age), MILLION)

    def lines(self, rows: Aged) -> list[Line]:
        days = days_with(rows, self.signals)
        return [(self.id, days[age], age, self._points(age), 0) for age in [max(days)]] if days else []

    def given(self, ages: Sequence[int]) -> int:
        return self._points(ages[-1])

    def most(self, rows: Aged, days: int) -> int:
        first = max(days_with(rows, self.signals), default=None)
        if first is None or (self.weight < 0 and first < days):
            return 0
        return self._points(first) if self.weight < 0 else self._points(max(first - days, 0))

    def largest(self) -> int:
        return abs(self.weight) * MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Recency(First):
    """weight · decay at the latest day any of the signals was counted."""

    kind: ClassVar[str] = "recency"

    def lines(self, rows: Aged) -> list[Line]:
        days = days_with(rows, self.signals)
        return [(self.id, days[age], age, self._points(age), 0) for age in [min(days)]] if days else []

    def given(self, ages: Sequence[int]) -> int:
        return self._points(ages[0])

    def most(self, rows: Aged, days: int) -> int:
        return max(self.weight, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveDays(OfDays):
    """weight for each distinct day younger than `window`, the newest `max_days` of them."""

    kind: ClassVar[str] = "active_days"
    weight: int
    window: int
    max_days: int

    def lines(self, rows: Aged) -> list[Line]:
        days = days_with(rows, self.signals)
        ages = sorted(age for age in days if age < self.window)[: self.max_days]
        return [(self.id, days[age], age, self.weight, 0) for age in ages]

    def given(self, ages: Sequence[int]) -> int:
        return self.weight * min(bisect_left(ages, self.window), self.max_days)

    def most(self, rows: Aged, days: int) -> int:
        ages = sum(age < self.window + days for age in days_with(rows, self.signals))
        return max(self.weight, 0) * min(ages, self.max_days)

    def largest(self) -> int:
        return abs(self.weight) * self.max_days * MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak(OfDays):
    """weight for each unbroken period after the first, at most `max_periods`, newest first.

    Periods of `period` days are counted back from the day asked about; the running one may still be empty.
    """

    kind: ClassVar[str] = "streak"
    weight: int
    period: int
    max_periods: int

    def lines(self, rows: Aged) -> list[Line]:
        days = days_with(rows, self.signals)
        newest = {age // self.period: age for age in sorted(days, reverse=True)}
        run, period = [], 0 if 0 in newest else 1
        while period in newest:
            run.append(newest[period])
            period += 1
        return [(self.id, days[age], age, self.weight, 0) for age in run[:-1][: self.max_periods]]

    def given(self, ages: Sequence[int]) -> int:
        periods = {age // self.period for age in ages}
        first = last = 0 if 0 in periods else 1
        while last in periods:
            last += 1
        return self.weight * min(max(last - first - 1, 0), self.max_periods)

    def most(self, rows: Aged, days: int) -> int:
        """Wherever the periods begin, two of them without a day break a run, and a run of n periods takes n
        days that lie more than n - 2 periods apart; it can only be one that begins near these days."""
        longest = inside = first = last = 0
        for age in sorted(days_with(rows, self.signals)):
            if not inside or age - last >= 2 * self.period:
                first, inside = age, 0
            inside, last = inside + 1, age
            if first < days + 2 * self.period:
                longest = max(longest, min(inside - 1, (age - first) // self.period + 1))
        return max(self.weight, 0) * min(longest, self.max_periods)

    def largest(self) -> int:
        return abs(self.weight) * self.max_periods * MILLION

    def behind(self, rows: Aged, signal: str, age: int) -> list[tuple[str, int]]:
        begin = age - age % self.period
        return rows_on(rows, self.signals, range(begin, begin + self.period))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(OfDays):
    """How overdue he is by his own rhythm: days since the last ÷ his usual gap, in permille.

    Nothing up to `from`, the whole weight at `full`, a straight line between. The usual gap is the lower
    median of the latest `last` gaps, `default_gap` while there are fewer than `min_gaps`, and never
    taken below `floor_gap`.
    """

    kind: ClassVar[str] = "gap"
    weight: int
    from_: int
    full: int
    last: int
    min_gaps: int
    default_gap: int
    floor_gap: int

    def _usual(self, ages: Sequence[int]) -> int:
        gaps = sorted(older - age for age, older in pairwise(ages[: self.last + 1]))
        usual = gaps[(len(gaps) - 1) // 2] if len(gaps) >= self.min_gaps else self.default_gap
        return max(usual, self.floor_gap)

    def lines(self, rows: Aged) -> list[Line]:
        days = days_with(rows, self.signals)
        if not days:
            return []
        ages = sorted(days)
        return [(self.id, days[ages[0]], ages[0], self.given(ages), 0)]

    def given(self, ages: Sequence[int]) -> int:
        span = self.full - self.from_
        late = min(max(ages[0] * 1000 // self._usual(ages) - self.from_, 0), span)
        return quotient(self.weight * late, span)

    def most(self, rows: Aged, days: int) -> int:
        return max(self.weight, 0)

    def largest(self) -> int:
        return abs(self.weight) * self.full

    def behind(self, rows: Aged, signal: str, age: int) -> list[tuple[str, int]]:
        """The last day and those the rhythm was taken from."""
        return rows_on(rows, self.signals, sorted(days_with(rows, self.signals))[: self.last + 1])
