"""How a customer stands, for a page about him: what `context` tells and the times behind it, in one remembered read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from touchbook.habits import interests
from touchbook.ledger import Day, Ledger, LedgerRows, add
from touchbook.projections.customers import Customer, Customers
from touchbook.registers import OpenRequest, Setting, ThreadMessage, open_requests, values_of
from touchbook.schemas.details import VIA
from touchbook.scoring import score_stored

SIGNALS = frozenset({
    "complaint", "complaint_resolved", "survey_answer", "suggestion", "feedback_acknowledged", "feedback_acted",
})  # fmt: skip
"""What tells whether a word of his still waits to be heard."""
DONE = {"case": "closed", "promise_outcome": "kept"}
"""The registers that end a case or a promise, and how; all of its other registers begin with the same word."""


@dataclass(frozen=True, slots=True)
class Situation:
    """`settings` are his registers, of cases and promises those that are not done with; `requests` his words
    that nobody answered yet, the longest waiting first, and `wrote` channel → when he last wrote there among them;
    `scores` as `GET …/scores` tells them; `channels` those he came by, the most used first;
    `counts` how often each of SIGNALS was ever counted up to the day, and when last."""

    settings: Sequence[Setting]
    requests: Sequence[OpenRequest]
    wrote: Mapping[str, int]
    scores: Mapping[str, dict[str, Any]]
    channels: Sequence[str]
    counts: Mapping[str, tuple[int, Day]]

    def values(self, kind: str) -> dict[str, Any]:
        """key → value of the registers of a kind."""
        return values_of(self.settings, kind)

    def count(self, signal: str) -> int:
        return self.counts.get(signal, (0, 0))[0]


def situation_of(customers: Customers, customer: Customer, at: Day) -> Situation:
    """Remembered while nothing of him changes; what time alone changes is for the caller to compute."""

    def look() -> Situation:
        with customers.reading() as reader:
            ledgers = [rows for _, rows in reader.ledger_rows(customer.subjects)]
            settings = reader.registers(customer.ids)
            messages = reader.latest_messages(customer.subjects)
        scores = score_stored(ledgers, customers.scorecards, at)
        counts, visits = _tallied(ledgers, at)
        requests = open_requests(messages)
        return Situation(
            _not_done(settings),
            requests,
            _wrote(messages, {one.thread for one in requests}),
            {name: score.to_json() for name, score in scores.items()},
            [row["channel"] for row in interests(visits, at)["channels"]],
            counts,
        )

    return customers.recalled("situation", customer, at, look)


def _wrote(messages: Iterable[ThreadMessage], waiting: Collection[str]) -> dict[str, int]:
    wrote: dict[str, int] = {}
    for one in messages:
        if one.role == "customer" and one.thread in waiting:
            wrote[one.channel] = max(wrote.get(one.channel, 0), one.occurred_at)
    return wrote


def _tallied(ledgers: Iterable[LedgerRows], at: Day) -> tuple[dict[str, tuple[int, Day]], Ledger]:
    """How often and when last each of SIGNALS was counted, and the rows that say by which channel he came."""
    counts: dict[str, tuple[int, Day]] = {}
    visits: Ledger = {}
    for signal, day, count, total in chain.from_iterable(ledgers):
        if day > at:
            continue
        if signal in SIGNALS:
            so_far, last = counts.get(signal, (0, day))
            counts[signal] = so_far + count, max(last, day)
        elif signal.startswith(VIA):
            add(visits, signal, day, count, total)
    return counts, visits


def _not_done(settings: Sequence[Setting]) -> list[Setting]:
    """Years of orders that arrived and promises that were kept need not be walked over for every page."""
    done = {
        (one.kind.partition("_")[0], one.key)
        for one in settings
        if one.kind in DONE and one.value.get("state") == DONE[one.kind]
    }
    return [one for one in settings if (one.kind.partition("_")[0], one.key) not in done]
