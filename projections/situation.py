"""How a customer stands, for a page about him: what `context` tells and the times behind it, in one remembered read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchbook.habits import interests
from touchbook.ledger import Day, Ledger, LedgerRows
from touchbook.projections.counted import Counted, counted
from touchbook.projections.customers import Customers
from touchbook.projections.stores.port import Reader, Waiting
from touchbook.projections.who import Customer
from touchbook.registers import (
    OpenRequest,
    Setting,
    ThreadMessage,
    by_waiting,
    open_requests,
    values_of,
    waiting_in,
)
from touchbook.schemas.details import VIA
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import score_stored

SIGNALS = frozenset({
    "complaint", "complaint_resolved", "survey_answer", "suggestion", "feedback_acknowledged", "feedback_acted",
})  # fmt: skip
"""What tells whether a word of his still waits to be heard."""
NOT_OF_MATTERS = ("verdict",)
"""Registers of which there is one for every turn of every talk, and which tell nothing of how he stands now."""
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


@dataclass(frozen=True, slots=True)
class _Known:
    """What a situation was told from, for the next one of the same members. `at`, and `cards`, the fingerprint of the
    scorecards, are what the scores hold for; `messages` is how many there were."""

    subjects: Sequence[str]
    at: Day
    cards: str
    ledger: Counted
    scores: Mapping[str, dict[str, Any]]
    messages: int
    requests: Sequence[OpenRequest]
    wrote: Mapping[str, int]


def situation_of(customers: Customers, customer: Customer, at: Day) -> Situation:
    """Remembered while nothing of him changes; then what cannot have changed is taken from the one before. What time
    alone changes is for the caller to compute."""

    def look() -> Situation:
        place, era = ("situation", customer.membership), customers.era
        with customers.reading() as reader:
            known = _read(reader, customer, customers.scorecards, at, customers.lately.get(place))
            settings = reader.registers(customer.ids, NOT_OF_MATTERS)
        customers.keep(customers.lately, place, known, era)
        counts, visits = _tallied(known.ledger.rows, at)
        return Situation(
            _not_done(settings),
            known.requests,
            known.wrote,
            known.scores,
            [row["channel"] for row in interests(visits, at)["channels"]],
            counts,
        )

    return customers.recalled("situation", customer, at, look)


def _read(reader: Reader, customer: Customer, cards: ScorecardSet, at: Day, known: _Known | None) -> _Known:
    subjects = customer.subjects
    holds = subjects, cards.fingerprint, reader.version()
    if known is not None and (known.subjects, known.cards, known.ledger.version) != holds:
        known = None
    before = known.ledger if known is not None else None
    ledger = counted(reader, subjects, cards.signals | SIGNALS, VIA, before)
    new = ledger.changed(before)
    still = {} if known is None or known.at != at else known.scores
    moved = ScorecardSet(
        {name: card for name, card in cards.items() if name not in still or not new.isdisjoint(card.signals)}
    )
    scores = score_stored(ledger.of(moved.signals), moved, at) if moved else {}
    told = {**still, **{name: score.to_json() for name, score in scores.items()}}
    messages = reader.count_messages(subjects)
    if known is not None and known.messages == messages:
        requests, wrote = known.requests, known.wrote
    else:
        waiting, shared = reader.waiting(subjects)
        requests, wrote = _requests(waiting, shared), _wrote(waiting, shared)
    return _Known(subjects, at, cards.fingerprint, ledger, told, messages, requests, wrote)


def _requests(waiting: Sequence[Waiting], shared: Iterable[ThreadMessage]) -> list[OpenRequest]:
    messages: dict[str, int] = {}
    for one in waiting:
        messages[one.thread] = messages.get(one.thread, 0) + one.messages
    alone = [
        OpenRequest(one.thread, one.channel, one.since, messages[one.thread], one.touchpoint, one.purpose)
        for one in waiting
        if one.first
    ]
    return by_waiting([*alone, *open_requests(shared)])


def _wrote(waiting: Iterable[Waiting], shared: Iterable[ThreadMessage]) -> dict[str, int]:
    said = [(one.last, one.channel) for one in waiting]
    said += [(one.occurred_at, one.channel) for those in waiting_in(shared) for one in those]
    return {channel: at for at, channel in sorted(said)}


def _tallied(ledger: Mapping[str, LedgerRows], at: Day) -> tuple[dict[str, tuple[int, Day]], Ledger]:
    """How often and when last each of SIGNALS was counted, and the rows that say by which channel he came."""
    counts: dict[str, tuple[int, Day]] = {}
    visits: Ledger = {}
    for signal, rows in ledger.items():
        if signal in SIGNALS:
            then = [row for row in rows if row[1] <= at]
            if then:
                counts[signal] = sum(row[2] for row in then), max(row[1] for row in then)
        elif signal.startswith(VIA):
            visits |= {(signal, day): (count, total) for _, day, count, total in rows if day <= at}
    return counts, visits


def _not_done(settings: Sequence[Setting]) -> list[Setting]:
    """Years of orders that arrived and promises that were kept need not be walked over for every page."""
    done = {
        (one.kind.partition("_")[0], one.key)
        for one in settings
        if one.kind in DONE and one.value.get("state") == DONE[one.kind]
    }
    return [one for one in settings if (one.kind.partition("_")[0], one.key) not in done]
