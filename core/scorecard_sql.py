"""A scorecard as one SQL statement over the ledger, equal to the fold in `scoring` to the last integer.

It reads three tables: `ledger` (subject, signal, day, count, total) as the projections keep it, `members` (customer,
subject), a row for each subject of a customer, and `decay` (half_life, age, millionths), which `decay_rows` fills. It
answers a row for each customer: `customer`, `milli_points`, `value`, `tier`, `evidence`, and a `part_<name>` each.

Plain joins, GROUP BY and subqueries only, alike in SQLite and in ClickHouse from 18.16 on: no window function, no LEFT
JOIN (what is missing is NULL in one and 0 in the other), no scalar min or max. What the two cannot say alike is in
`Dialect`. Numbers are 64 bits wide, and a value takes a hundred times the points: with more than 9 · 10^16 milli-points
SQLite turns to floating point and ClickHouse wraps, where the fold goes on; no ledger of a living customer comes near.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from textwrap import indent
from typing import Any

from touchbook.components import (
    MILLION,
    ActiveDays,
    Balance,
    Base,
    Component,
    Decayed,
    Evidence,
    First,
    Gap,
    Recency,
    Streak,
    decay_table,
)
from touchbook.ledger import Day
from touchbook.scorecard import Linear, Part, Saturating, Scorecard, Shares


@dataclass(frozen=True, slots=True)
class Dialect:
    """What SQLite and ClickHouse do not say alike: division toward zero, a backslash inside a text, numbers from 0 on,
    and where a subquery stands. SQLite's parser gives up after some ten levels of nesting, so there each has a name in
    a WITH; ClickHouse 18.16 knows no WITH for subqueries, so there each stands where it is read, as often as it is."""

    division: str
    backslash: str
    table_of_numbers: str | None
    """What gives so many from 0 on; where there is none, each is a SELECT of its own, which takes ClickHouse longer to
    plan than all the rest to do."""
    named: bool

    def quotient(self, number: str, divisor: str) -> str:
        return self.division.format(number, divisor)

    def text(self, value: str) -> str:
        return "'" + value.replace("\\", self.backslash).replace("'", "''") + "'"

    def numbers(self, count: int, name: str) -> str:
        if self.table_of_numbers:
            return f"SELECT CAST(number AS BIGINT) AS {name}\nFROM {self.table_of_numbers.format(count)}"
        return "\nUNION ALL\n".join(f"SELECT {_wide(number)} AS {name}" for number in range(count))


SQLITE = Dialect("(({}) / ({}))", "\\", None, named=True)
CLICKHOUSE = Dialect("intDiv({}, {})", "\\\\", "numbers({})", named=False)
DIALECTS = {"sqlite": SQLITE, "clickhouse": CLICKHOUSE}

ZERO = "CAST(0 AS BIGINT)"
NOTHING_YET = 10**9
"""Larger than any day or period."""


def sql_of(card: Scorecard, on: Day, dialect: Dialect = SQLITE) -> str:
    """The statement for the end of `on`."""
    return _Statement(card, on, dialect).text()


def half_lives(card: Scorecard) -> list[int]:
    """Those whose decay the statement looks up."""
    found = set()
    for part in card.parts:
        for component in part.components:
            lines = component.evidence if isinstance(component, Balance) else (component,)
            found |= {line.half_life for line in lines if isinstance(line, Decayed | First | Evidence)}
    return sorted(found)


def decay_rows(half_lives: Iterable[int]) -> Iterator[tuple[int, int, int]]:
    """(half_life, age, millionths): what the table `decay` must hold; an age without a row counts nothing."""
    for half_life in half_lives:
        for age, millionths in enumerate(decay_table(half_life)):
            yield half_life, age, millionths


def _wide(number: int) -> str:
    """A number as 64 bits with a sign: ClickHouse takes the narrowest type, and none holds that and the others."""
    return f"CAST({number} AS BIGINT)"


def _at_least(expression: str, least: str) -> str:
    return f"CASE WHEN {expression} < {least} THEN {least} ELSE {expression} END"


def _at_most(expression: str, most: str) -> str:
    return f"CASE WHEN {expression} > {most} THEN {most} ELSE {expression} END"


@dataclass(frozen=True, slots=True)
class _Statement:
    """Writes one statement, from its rows outwards. Where a tier is held, every row also says how many days `back` it
    is seen from, and the best tier of all those days is shown."""

    card: Scorecard
    on: Day
    dialect: Dialect
    _named: dict[str, str] = field(default_factory=dict)
    """Subqueries that have a name: text -> name, each after those it reads."""

    @property
    def key(self) -> str:
        return "customer, back" if self.card.hold_days else "customer"

    def text(self) -> str:
        tiers = [
            f"WHEN rank = {rank} THEN {self.dialect.text(name)}"
            for rank, (name, _) in enumerate(self.card.tiers)
        ]
        tier = f"CASE WHEN value IS NULL THEN NULL {' '.join(tiers)} END AS tier"
        shown = ["customer", "milli_points", "value", tier, "evidence", *self._parts]
        last = f"SELECT {', '.join(shown)}\nFROM {self._sub('scored', self._scored())}"
        if not self._named:
            return last
        return f"WITH {', '.join(f'{name} AS {_block(text)}' for text, name in self._named.items())}\n{last}"

    # Subqueries

    def _sub(self, name: str, text: str) -> str:
        """What stands after FROM or JOIN for this subquery."""
        if not self.dialect.named:
            return f"{_block(text)} AS {name}"  # newer servers join nothing without a name
        return self._named.setdefault(text, name)

    def _select(self, *what: str, of: str, where: str = "", by: str | None = None) -> str:
        """For each customer (and day); `by` adds them up, "" by nothing else."""
        lines = [f"SELECT {', '.join([self.key, *what])}", f"FROM {of}"]
        if where:
            lines.append(f"WHERE {where}")
        if by is not None:
            lines.append(f"GROUP BY {self.key}{by and ', '}{by}")
        return "\n".join(lines)

    def _quotient(self, number: str, divisor: str) -> str:
        return self.dialect.quotient(number, divisor)

    # From points to a tier

    @property
    def _parts(self) -> list[str]:
        return [f"part_{part.name}" for part in self.card.parts]

    def _scored(self) -> str:
        told = ["milli_points", "evidence", *self._parts]
        least = self.card.min_evidence or (1 if self.card.needs else 0)
        value = f"CASE WHEN evidence >= {least} THEN {self._value()} END AS value"
        valued = self._sub("valued", self._select(*told, value, of=self._sub("summed", self._summed())))
        ranks = [f"WHEN value >= {low} THEN {rank}" for rank, (_, low) in enumerate(self.card.tiers)]
        ranked = self._select(*told, "value", f"CASE {' '.join(reversed(ranks))} END AS rank", of=valued)
        if not self.card.hold_days:
            return ranked
        days, told = self._sub("ranked", ranked), [*told, "value"]
        today = [f"max(CASE WHEN back = 0 THEN {name} END) AS {name}_today" for name in told]
        held = f"SELECT customer, {', '.join(today)}, max(rank) AS best\nFROM {days}\nGROUP BY customer"
        again = [f"{name}_today AS {name}" for name in told]
        return f"SELECT customer, {', '.join(again)}, best AS rank\nFROM {self._sub('held', held)}"

    def _value(self) -> str:
        match self.card.value:
            case Saturating(saturation):
                return self._bounded("milli_points", saturation)
            case Linear(low, high):
                value = self._quotient(f"100 * (milli_points - {_wide(low)})", _wide(high - low))
                return (
                    f"CASE WHEN {value} < 0 THEN {ZERO} WHEN {value} > 100 THEN {_wide(100)} ELSE {value} END"
                )
            case Shares(shares):
                each = [f"{share} * ({self._bounded(f'part_{n}', k)})" for n, (share, k) in shares.items()]
                return self._quotient(" + ".join(each), "100")

    def _bounded(self, points: str, saturation: int) -> str:
        # A CASE also works out the branch that it does not take: ClickHouse ends at a division by zero there.
        whole = f"CASE WHEN {points} > 0 THEN {points} + {_wide(saturation)} ELSE {_wide(1)} END"
        value = self._quotient(f"100 * {points}", whole)
        return f"CASE WHEN {points} > 0 THEN {value} ELSE {ZERO} END"

    def _summed(self) -> str:
        """Points by part within its limits, all of them together, and the evidence."""
        kept = [f"{self._within(part)} AS part_{part.name}" for part in self.card.parts]
        parts = self._sub("kept", self._select(*kept, "evidence", of=self._sub("raw", self._raw())))
        return self._select(*self._parts, f"{' + '.join(self._parts)} AS milli_points", "evidence", of=parts)

    def _within(self, part: Part) -> str:
        kept = f"raw_{part.name}"
        if part.least is not None:
            kept = _at_least(kept, _wide(part.least))
        return kept if part.most is None else _at_most(f"({kept})", _wide(part.most))

    def _raw(self) -> str:
        raw = [
            f"sum(CASE WHEN part = {self.dialect.text(part.name)} THEN points ELSE {ZERO} END) AS raw_{part.name}"
            for part in self.card.parts
        ]
        weighs = self.card.weighs and not self.card.needs
        evidence = self._quotient("sum(weight)", _wide(MILLION)) if weighs else "sum(weight)"
        return self._select(*raw, f"{evidence} AS evidence", of=self._sub("points", self._points()), by="")

    # Rows of (part, points, weight as evidence)

    def _points(self) -> str:
        return "\nUNION ALL\n".join([self._nothing(), *self._evidence(), *self._components()])

    def _row(self, part: str, points: str, of: str, weight: str = ZERO, **more: Any) -> str:
        columns = f"{self.dialect.text(part)} AS part", f"{points} AS points", f"{weight} AS weight"
        return self._select(*columns, of=of, **more)

    def _nothing(self) -> str:
        """So that a customer without a row has a score too."""
        return self._row("", ZERO, self._everybody())

    def _evidence(self) -> list[str]:
        """Days of what is needed, or rows; what a balance weighs stands in its own row."""
        card = self.card
        if card.needs:
            days, rows = "CAST(count(DISTINCT age) AS BIGINT)", self._rows([card.needs.signal])
            return [self._row("", ZERO, rows, days, where=f"n > 0 AND age < {card.needs.within}", by="")]
        if card.weighs or not card.signals:
            return []
        rows = self._rows(sorted(card.signals))
        return [self._row("", ZERO, rows, "CAST(count(*) AS BIGINT)", where="n > 0", by="")]

    def _components(self) -> Iterator[str]:
        for part in self.card.parts:
            for component in part.components:
                yield f"-- {part.name}: {component.id}\n{self._component(part.name, component)}"

    def _component(self, part: str, component: Component) -> str:
        match component:
            case Base():
                return self._row(part, _wide(component.points), self._everybody())
            case Decayed():
                return self._decayed(part, component)
            case Balance():
                return self._balance(part, component)
            case Recency():
                return self._at(part, component, "min(age)")
            case First():
                return self._at(part, component, "max(age)")
            case ActiveDays():
                return self._active_days(part, component)
            case Streak():
                return self._streak(part, component)
            case Gap():
                return self._gap(part, component)
        raise TypeError(f"{component.kind} cannot be said in SQL")

    def _decayed(self, part: str, component: Decayed) -> str:
        cap, amount = component.cap, "n"
        if component.of == "total":
            amount = f"({_at_least(self._quotient('amount', _wide(component.unit)), _wide(-cap))})"
        counted = f"({_at_most(amount, _wide(cap))}) * {_wide(component.weight)}"
        gained = f"{self._quotient(f'{counted} * millionths', _wide(MILLION))} AS gained"
        rows = f"{self._rows(component.signals)}\nJOIN {self._decay(component.half_life)} USING (age)"
        where = f"age >= {component.min_age}" if component.min_age else ""
        lines = self._sub(f"{part}_{component.id}_lines", self._select(gained, of=rows, where=where))
        return self._row(part, "sum(gained)", lines, by="")

    def _balance(self, part: str, component: Balance) -> str:
        name = f"{part}_{component.id}"
        weighed = "\nUNION ALL\n".join(self._weighed(evidence) for evidence in component.evidence)
        terms = self._sub(f"{name}_terms", weighed)
        total = f"sum(weighed) + {_wide(component.prior * MILLION)} AS whole"
        whole = self._sub(f"{name}_whole", self._select(total, of=terms, by=""))
        share = self._quotient(f"side * weighed * {_wide(component.swing)}", "whole")
        both = f"{terms}\nJOIN {whole} USING ({self.key})"
        lines = self._sub(f"{name}_lines", self._select("weighed", f"{share} AS gained", of=both))
        weight = ZERO if self.card.needs else "sum(weighed)"
        return self._row(part, "sum(gained)", lines, weight, by="")

    def _weighed(self, evidence: Evidence) -> str:
        weighed = f"({_at_most('n', _wide(evidence.cap))}) * {_wide(evidence.weight)} * millionths AS weighed"
        rows = f"{self._rows(evidence.signals)}\nJOIN {self._decay(evidence.half_life)} USING (age)"
        return self._select(f"{_wide(evidence.sign)} AS side", weighed, of=rows)

    def _at(self, part: str, component: First, age: str) -> str:
        rows = self._rows(component.signals)
        day = self._sub(
            f"{part}_{component.id}_day", self._select(f"{age} AS that", of=rows, where="n > 0", by="")
        )
        points = self._quotient(f"{_wide(component.weight)} * millionths", _wide(MILLION))
        found = f"{day}\nJOIN {self._decay(component.half_life, 'that')} USING (that)"
        return self._row(part, points, found)

    def _active_days(self, part: str, component: ActiveDays) -> str:
        days = self._select(
            "CAST(count(DISTINCT age) AS BIGINT) AS days",
            of=self._rows(component.signals),
            where=f"n > 0 AND age < {component.window}",
            by="",
        )
        counted = f"({_at_most('days', _wide(component.max_days))}) * {_wide(component.weight)}"
        return self._row(part, counted, self._sub(f"{part}_{component.id}_days", days))

    def _streak(self, part: str, component: Streak) -> str:
        """Every period is written down twice, as itself and as what comes after the one before it: a run stops at the
        first that nothing comes after. It counts if it begins in the running period or the one before."""
        name, rows = f"{part}_{component.id}", self._rows(component.signals)
        number = f"{self._quotient('age', _wide(component.period))} AS period"
        periods = self._sub(f"{name}_periods", self._select(number, of=rows, where="n > 0"))
        twice = "\nUNION ALL\n".join([
            self._select("period", f"{_wide(1)} AS here", f"{ZERO} AS followed", of=periods),
            self._select("period - 1 AS period", f"{ZERO} AS here", f"{_wide(1)} AS followed", of=periods),
        ])  # fmt: skip
        marks = ("period", "max(here) AS is_here", "max(followed) AS is_followed")
        marked = self._sub(
            f"{name}_marked", self._select(*marks, of=self._sub(f"{name}_twice", twice), by="period")
        )
        stop = f"min(CASE WHEN is_followed = 0 THEN period ELSE {_wide(NOTHING_YET)} END) AS stop"
        run = self._select("min(period) AS begin", stop, of=marked, where="is_here = 1", by="")
        length = f"({_at_most('(stop - begin)', _wide(component.max_periods))})"
        points = f"{length} * {_wide(component.weight)}"
        return self._row(part, points, self._sub(f"{name}_run", run), where="begin <= 1")

    def _gap(self, part: str, component: Gap) -> str:
        """The dear one: without window functions a customer's days are compared with each other. The place of a day is
        how many are younger; the lower median is the gap with at most half of the others below it."""
        name = f"{part}_{component.id}"
        rows = self._rows(component.signals)
        days = self._sub(f"{name}_days", self._select("age", of=rows, where="n > 0", by="age"))
        usual = self._rhythm(name, component, days)
        newest = self._select("min(age) AS newest", f"{ZERO} AS usual", of=days, by="")
        both = self._sub(f"{name}_both", f"{newest}\nUNION ALL\n{usual}")
        known = self._sub(
            f"{name}_known", self._select("max(newest) AS silent", "max(usual) AS rhythm", of=both, by="")
        )
        rhythm = f"(CASE WHEN rhythm = 0 THEN {_wide(component.default_gap)} ELSE rhythm END)"
        floor = _at_least(rhythm, _wide(component.floor_gap))
        begin, span = _wide(component.from_), _wide(component.full - component.from_)
        permille = f"({self._quotient('silent * 1000', floor)} - {begin})"
        late = self._sub(f"{name}_late", self._select(f"{permille} AS late", of=known))
        not_early = f"({_at_least('late', ZERO)})"
        capped = f"({_at_most(not_early, span)})"
        return self._row(part, self._quotient(f"{_wide(component.weight)} * {capped}", span), late)

    def _rhythm(self, name: str, component: Gap, days: str) -> str:
        """The lower median of the latest gaps, of customers who have enough of them."""
        others = self._sub(f"{name}_others", self._select("age AS other", of=days))
        older = f"min(CASE WHEN other > age THEN other ELSE {_wide(NOTHING_YET)} END) AS older"
        younger = f"sum(CASE WHEN other < age THEN {_wide(1)} ELSE {ZERO} END) AS place"
        pairs = f"{days}\nJOIN {others} USING ({self.key})"
        placed = self._sub(f"{name}_placed", self._select("age", older, younger, of=pairs, by="age"))
        latest = f"place < {component.last} AND older < {NOTHING_YET}"
        gaps = self._sub(f"{name}_gaps", self._select("age", "older - age AS gap", of=placed, where=latest))
        against = self._sub(f"{name}_against", self._select("gap AS other_gap", of=gaps))
        counts = [
            f"sum(CASE WHEN {condition} THEN {_wide(1)} ELSE {ZERO} END) AS {count}"
            for condition, count in (
                ("1 = 1", "gaps"),
                ("other_gap < gap", "below"),
                ("other_gap <= gap", "up_to"),
            )
        ]
        pairs = f"{gaps}\nJOIN {against} USING ({self.key})"
        ranked = self._sub(f"{name}_ranked", self._select("age", "gap", *counts, of=pairs, by="age, gap"))
        middle = self._quotient("gaps - 1", _wide(2))
        median = f"gaps >= {component.min_gaps} AND below <= {middle} AND up_to > {middle}"
        return self._select(f"{ZERO} AS newest", "max(gap) AS usual", of=ranked, where=median, by="")

    # Where rows come from

    def _rows(self, signals: Iterable[str]) -> str:
        """The ledger of each customer, his members' added row by row, as seen from the day asked about. It is added up
        before it is looked at from each of the days that a tier is held."""
        wanted = ", ".join(self.dialect.text(signal) for signal in signals)
        place = len(self._named)
        counted = "SELECT subject, signal, day, count, total\nFROM ledger"
        some = f"{counted}\nWHERE signal IN ({wanted}) AND day <= {self.on}"
        both = f"{self._sub(f'some_{place}', some)}\nJOIN {self._who('subject')} USING (subject)"
        summed = "SELECT customer, signal, day, sum(count) AS n, sum(total) AS amount"
        days = self._sub(f"days_{place}", f"{summed}\nFROM {both}\nGROUP BY customer, signal, day")
        age = f"{self.on} - day"
        if self.card.hold_days:
            days, age = f"{days}\nCROSS JOIN {self._back()}", f"{age} - back"
        rows = self._select("signal", f"{age} AS age", "n", "amount", of=days, where=f"{age} >= 0")
        return self._sub(f"rows_{place}", rows)

    def _who(self, *more: str) -> str:
        """Every customer once, or with each of his subjects."""
        named = ", ".join(["customer", *more])
        return self._sub("_".join(["who", *more]), f"SELECT DISTINCT {named}\nFROM members")

    def _everybody(self) -> str:
        """Every customer once, on each of the days that a tier is held."""
        if not self.card.hold_days:
            return self._who()
        both = f"{self._who()}\nCROSS JOIN {self._back()}"
        return self._sub("everybody", f"SELECT customer, back\nFROM {both}")

    def _back(self) -> str:
        return self._sub("days_back", self.dialect.numbers(self.card.hold_days + 1, "back"))

    def _decay(self, half_life: int, name: str = "age") -> str:
        told = "age" if name == "age" else f"age AS {name}"
        text = f"SELECT {told}, millionths\nFROM decay\nWHERE half_life = {half_life}"
        return self._sub(f"decay_{half_life}_{name}", text)


def _block(text: str) -> str:
    return f"(\n{indent(text, '  ')}\n)"
