"""How a customer's scores went over the last days: the lines beside his gauges.

A past day is asked of the ledger as it stands now, so a late touchpoint bends the line where it happened. What a day
gives depends only on rows up to it: where something new was counted, the days before it need not be asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from touchbook.ledger import Day, Ledger, merged_rows
from touchbook.projections.customers import Customers
from touchbook.projections.who import Customer
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import values_on

DAYS = 90

Values = dict[str, int | None]
"""The value of each score by name, None where there was too little evidence."""


@dataclass(frozen=True, slots=True)
class Lines:
    """`values` of each day up to `last`, the oldest first; `asked` is the ledger that gave them, and `cards` the
    fingerprint of the scorecards."""

    last: Day
    values: Sequence[Values]
    asked: Ledger
    cards: str

    @property
    def first(self) -> Day:
        return self.last - len(self.values) + 1

    def of(self, score: str) -> list[int | None]:
        return [values[score] for values in self.values]


def lines_of(customers: Customers, customer: Customer, last: Day, days: int = DAYS) -> Lines:
    """Every score of the customer on each of so many days up to `last`. Remembered while nothing of him changes;
    then only the days from the first change on are asked anew."""

    def draw() -> Lines:
        era = customers.era
        with customers.reading() as reader:
            stored = reader.ledger_of(customer.subjects, customers.scorecards.signals)
        ledger = merged_rows(stored)
        place = ("lines", customer.membership)
        drawn = lines(ledger, customers.scorecards, last, days, customers.lately.get(place))
        customers.keep(customers.lately, place, drawn, era)
        return drawn

    return customers.recalled(f"lines {days}", customer, last, draw)


def lines(
    ledger: Ledger, cards: ScorecardSet, last: Day, days: int = DAYS, known: Lines | None = None
) -> Lines:
    """The lines of a ledger. From `known`, lines drawn before, those days are taken that nothing new can bend."""
    asked = {row: counted for row, counted in ledger.items() if row[0] in cards.signals}
    still: dict[Day, Values] = {}
    if known is not None and known.cards == cards.fingerprint:
        bent = _first_difference(asked, known.asked)
        still = {day: values for day, values in enumerate(known.values, known.first) if day < bent}
    wanted = range(last - days + 1, last + 1)
    new = [day for day in wanted if day not in still]
    found = still | dict(zip(new, values_on(asked, cards, new), strict=True))
    return Lines(last, [found[day] for day in wanted], asked, cards.fingerprint)


def _first_difference(one: Ledger, other: Ledger) -> Day:
    """The first day of which they say different things; beyond all days where there is none."""
    differing = (day for _, day in dict(one.items() ^ other.items()))
    return min(differing, default=2**62)
