"""Reading customers as it was done before it was made faster: nothing kept but links, everything asked for anew."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.plain.reads_scoring import score_all
from touchbook.components import Component
from touchbook.errors import CustomerUnknown, Refused, TouchpointUnknown
from touchbook.ledger import MILLISECONDS_A_DAY, Day, Ledger, day_of, merged
from touchbook.projections.customers import Customers, _contribution, _score
from touchbook.projections.stores.port import Deed, Reader
from touchbook.projections.who import Customer
from touchbook.schemas.times import day_text
from touchbook.scorecard import Scorecard
from touchbook.scoring import Contribution, explain, score
from touchbook.wiring import Book

LEDGERS = (
    "SELECT subject, signal, day, count, total FROM ledger WHERE subject IN (SELECT value FROM json_each(?))"
)
DEEDS = """SELECT key, occurred_at, json_extract(body, '$.signals') FROM entries
WHERE subject IN (SELECT value FROM json_each(?)) AND occurred_at < ? ORDER BY occurred_at DESC, key DESC"""


def plain_customers(book: Book) -> PlainCustomers:
    """The same customers of a book, read plainly."""
    return PlainCustomers(
        book.projections, book.scorecards, book.journal.rules, book.journal.id_of, book.catalogue.gives
    )


class PlainCustomers(Customers):
    """Answers as `Customers` does, to the last byte."""

    def _resolved(self, reader: Reader, id: str) -> Customer:
        group = reader.group_of(id)
        if not group:
            raise CustomerUnknown
        return self._customer_in(reader, group, id)

    def scores(self, customer: Customer, at: Day, names: Sequence[str] | None = None) -> dict[str, Any]:
        for name in names or ():
            self.scorecards.named(name)
        with self._projections.reading() as reader:
            scores = score_all(self._ledger(reader, customer), self.scorecards.values(), at)
        told = {name: one.to_json() for name, one in scores.items()}
        return {
            "customer": customer.id,
            "at": day_text(at),
            "version": customer.version,
            "scores": told if names is None else {name: told[name] for name in names},
        }

    def batch(
        self, refs: Sequence[tuple[str, Day]], names: Sequence[str] | None = None
    ) -> tuple[list[dict[str, Any]], list[str]]:
        items, unknown = [], []
        for ref, at in refs:
            try:
                told = self.scores(self.find(ref), at, names)
            except (CustomerUnknown, Refused):
                unknown.append(ref)
                continue
            items.append({"ref": ref, **{name: told[name] for name in ("customer", "at", "scores")}})
        return items, unknown

    def explain(
        self, customer: Customer, name: str, at: Day, without: str | None = None, with_: str | None = None
    ) -> dict[str, Any]:
        card = self.scorecards.named(name)
        with self._projections.reading() as reader:
            ledger = self._ledger(reader, customer)
            deeds = _deeds(reader, customer.subjects, (at + 1) * MILLISECONDS_A_DAY)
            if without is not None and not any(deed.key == without for deed in deeds):
                deeds_of_any_day = _deeds(reader, customer.subjects, 2**62)
                if not any(deed.key == without for deed in deeds_of_any_day):
                    raise TouchpointUnknown
        found, lines = explain(ledger, card, at)
        behind = _keys_by_row(deeds)

        def touchpoints(line: Contribution) -> list[str]:
            rows = rows_behind(line, card, ledger, at)
            return list(dict.fromkeys(key for row in rows for key in behind.get(row, ())))

        return {
            "customer": customer.id,
            "at": day_text(at),
            "version": customer.version,
            "score": _score(found),
            "contributions": [_contribution(line, touchpoints(line)) for line in lines],
            "without": None if without is None else {
                "key": without, "score": _score(score(_without(ledger, deeds, without), card, at))
            },
            "with": None if with_ is None else {
                "signal": with_, "score": _score(score(self._with(ledger, with_, at), card, at))
            },
        }  # fmt: skip

    def _ledger(self, reader: Reader, customer: Customer) -> Ledger:
        ledgers: dict[str, Ledger] = {}
        for subject, signal, day, count, total in _rows(reader, LEDGERS, json.dumps(customer.subjects)):
            ledgers.setdefault(subject, {})[signal, day] = (count, total)
        return merged(ledgers.values())


def _rows(reader: Reader, statement: str, *parameters: object) -> Any:
    return reader._rows(statement, parameters)  # type: ignore[attr-defined]


def _deeds(reader: Reader, subjects: Sequence[str], to_at: int) -> list[Deed]:
    found = _rows(reader, DEEDS, json.dumps(subjects), to_at)
    return [Deed(key, at, dict(json.loads(signals)) if signals else {}) for key, at, signals in found]


def rows_behind(
    contribution: Contribution, card: Scorecard, ledger: Ledger, on: Day
) -> list[tuple[str, Day]]:
    """The rows behind one line, with a pass over the ledger for each."""
    if contribution.signal is None or contribution.day is None:
        return []
    component: Component = card.component(contribution.part, contribution.component)
    rows: dict[str, list[tuple[int, int, int]]] = {}
    for (signal, day), (count, total) in ledger.items():
        if day <= on and signal in component.signals:
            rows.setdefault(signal, []).append((on - day, count, total))
    found = component.behind(rows, contribution.signal, on - contribution.day)
    return [(signal, on - age) for signal, age in found]


def _keys_by_row(deeds: Iterable[Deed]) -> dict[tuple[str, Day], list[str]]:
    rows: dict[tuple[str, Day], list[str]] = {}
    for deed in deeds:
        for signal in deed.signals:
            rows.setdefault((signal, day_of(deed.occurred_at)), []).append(deed.key)
    return rows


def _without(ledger: Ledger, deeds: Iterable[Deed], key: str) -> Ledger:
    """The ledger as if this touchpoint had given no signals; its claims and registers stand."""
    changed = dict(ledger)
    for deed in deeds:
        if deed.key == key:
            for signal, total in deed.signals.items():
                row = (signal, day_of(deed.occurred_at))
                count, so_far = changed[row]
                changed[row] = (count - 1, so_far - total)
                if count == 1:
                    del changed[row]
    return changed
