"""A policy tried on what happened: which of the messages of some days would have been sent, put off or kept back, and
which requests would have been in target, late or ignored, beside the policy that was in force.

Nothing is recorded. Each customer's messages are decided one after the other, so what one policy lets through counts
for the next message under that policy alone. The policy that was in force decides what it decided. Two things are taken
as they stand today, since nobody keeps them for past days: consents and preferences; and a customer is as tired as the
messages made him that were really sent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

from touchbook.contacting import EVER, Candidate, Contacted, Decision, contacted, decide, reach
from touchbook.contacts import ContactRow
from touchbook.ledger import Day
from touchbook.policy import Policies
from touchbook.projections.backtest import PAGE, people_in
from touchbook.projections.contact_facts import Fatigue, facts_of
from touchbook.projections.stores.port import Known, Reader
from touchbook.schemas.details import Purpose
from touchbook.schemas.times import milliseconds, rfc3339
from touchbook.scorecard import Scorecard, ScorecardSet
from touchbook.scoring import score_stored
from touchbook.timeline import Entry, TimelineFilters
from touchbook.turns import Turn, turns_of
from touchbook.verdicts import verdict_on

DECISIONS = ("contact_reserved", "contact_deferred", "contact_suppressed")
PURPOSES = frozenset(get_args(Purpose))
SHOWN = 10
"""Customers that are shown, of whom the two policies would have made the most different things."""

Side = Literal["candidate", "live"]
SIDES: tuple[Side, Side] = ("candidate", "live")


class Wanted(NamedTuple):
    """A message that somebody sent, or asked to send at `at`.

    `sent_at`     when it went out
    `held_until`  of a reservation that came to nothing, when it was released or ran out
    `deferred`    it was put off, so whoever wanted it still asked again
    """

    at: int
    candidate: Candidate
    sent_at: int | None = None
    held_until: int | None = None
    deferred: bool = False


@dataclass(slots=True)
class Tally:
    """What became of messages and requests under one policy."""

    messages: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(what was decided, code) → how often."""
    requests: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        return {
            "messages": {kind: self.messages[kind] for kind in ("reserved", "deferred", "suppressed")},
            "reasons": [
                {"decision": kind, "code": code, "messages": n}
                for (kind, code), n in sorted(self.reasons.items(), key=lambda one: (-one[1], one[0]))
            ],
            "requests": {state: self.requests[state] for state in ("answered", "late", "ignored", "open")},
        }


@dataclass(slots=True)
class _Tier:
    customers: int = 0
    sides: dict[Side, Tally] = field(default_factory=lambda: {side: Tally() for side in SIDES})


class _Someone(NamedTuple):
    ids: list[str]
    subjects: list[str]


def simulate(
    reader: Reader,
    candidate: Policies,
    live: Policies,
    cards: ScorecardSet,
    by: Scorecard,
    days: tuple[int, int],
    today: Day,
    now: int,
    progress: Callable[[int], None] = lambda customers: None,
) -> dict[str, Any]:
    """What both policies make of every message and request from the one moment to before the other, JSON-ready, by the
    tier of one score as it is today. Customers are named by their permanent ids alone."""
    policies: Mapping[Side, Policies] = {"candidate": candidate, "live": live}
    all_of_them, tiers = _Tier(), defaultdict[str | None, _Tier](_Tier)
    moved: list[tuple[int, str, int, int]] = []
    skipped = 0
    for customer, members in _everybody(reader):
        who = _Someone([one.id for one in members], [one.id for one in members if one.touchpoints])
        if not who.subjects:
            continue
        ledgers = [rows for _, rows in reader.ledger_rows(who.subjects)]
        tier = score_stored(ledgers, ScorecardSet({by.name: by}), today)[by.name].tier
        wanted, without = _wanted(reader, who, days)
        skipped += without
        turns = [one for one in turns_of(reader.messages(who.subjects)) if days[0] <= one.opened_at < days[1]]
        sent: dict[Side, int] = {}
        for group in (all_of_them, tiers[tier]):
            group.customers += 1
        for side in SIDES:
            decided = list(_decided(reader, who, wanted, policies[side], cards)) if wanted else []
            states = [_state(turn, policies[side], now) for turn in turns]
            for group in (all_of_them, tiers[tier]):
                _count(group.sides[side], decided, states)
            sent[side] = sum(one.kind == "reserved" for one in decided)
        if sent["candidate"] != sent["live"]:
            moved.append((abs(sent["candidate"] - sent["live"]), customer, sent["live"], sent["candidate"]))
            moved = sorted(moved, key=lambda one: (-one[0], one[1]))[:SHOWN]
        progress(all_of_them.customers)
    known = {tier: place for place, (tier, _) in enumerate(by.tiers)}
    return {
        "from": rfc3339(days[0]),
        "to": rfc3339(days[1]),
        "policies": {side: [policy.version for policy in policies[side].versions] for side in SIDES},
        "customers": all_of_them.customers,
        "without_purpose": skipped,
        **_sides(all_of_them),
        "by": by.name,
        "tiers": [
            {"tier": tier, "customers": group.customers, **_sides(group)}
            for tier, group in sorted(tiers.items(), key=lambda one: known.get(one[0] or "", -1))
        ],
        "most_changed": [
            {"customer": customer, "live": before, "candidate": after} for _, customer, before, after in moved
        ],
    }


def _everybody(reader: Reader) -> Iterator[tuple[str, list[Known]]]:
    members = reader.groups_after("", PAGE)
    while members:
        yield from people_in(reader, members)
        members = reader.groups_after(members[-1].group, PAGE)


def _wanted(reader: Reader, who: _Someone, days: tuple[int, int]) -> tuple[list[Wanted], int]:
    """What was asked for, and what was sent without asking; and how many messages said no purpose, so that nobody can
    decide about them."""
    rows = reader.contacts(who.subjects, days[0])
    asked = {row.reservation for row in rows if row.kind == "reserved"}
    sent = [
        row
        for row in rows
        if row.kind == "sent" and row.reservation not in asked and days[0] <= row.occurred_at < days[1]
    ]
    wanted = [
        Wanted(row.occurred_at, _candidate_of(row), row.occurred_at)
        for row in sent
        if row.purpose in PURPOSES
    ]
    filters = TimelineFilters(types=DECISIONS, from_at=days[0], to_at=days[1])
    entries = reader.entries(who.subjects, filters, None)
    wanted += _asked(entries, rows)
    without = sum(row.purpose not in PURPOSES for row in sent)
    return sorted(wanted, key=lambda one: (one.at, one.candidate.id)), without


def _candidate_of(row: ContactRow) -> Candidate:
    assert row.purpose is not None
    return Candidate(row.key, row.channel, row.purpose, row.campaign, tags=row.tags)


def _asked(entries: Iterable[Entry], rows: Sequence[ContactRow]) -> Iterator[Wanted]:
    """What was decided, and what became of it."""
    went, released = dict[str | None, int](), dict[str | None, int]()
    for row in rows:  # in order
        if row.kind == "released":
            released[row.reservation] = row.occurred_at
        elif row.kind in ("confirmed", "sent"):
            went[row.reservation] = row.occurred_at
    for entry in entries:
        said, at = entry.body["data"], entry.occurred_at
        candidate = Candidate(
            id=entry.key,
            channel=said["for_channel"],
            purpose=said["purpose"],
            campaign=said.get("campaign"),
            content=said.get("content"),
            tags=tuple(said.get("tags") or ()),
            language=said.get("language"),
            not_after=_moment(said.get("not_after")),
        )
        if entry.type != "contact_reserved":
            yield Wanted(at, candidate, deferred=entry.type == "contact_deferred")
            continue
        name, until = said["reservation"], _moment(said["holds_until"])
        sent_at = went.get(name)
        yield Wanted(at, candidate, sent_at, released.get(name, until) if sent_at is None else None)


def _moment(said: str | None) -> int | None:
    return None if said is None else milliseconds(said, "time")


def _decided(
    reader: Reader, who: _Someone, wanted: Sequence[Wanted], policies: Policies, cards: ScorecardSet
) -> Iterator[Decision]:
    """One decision for each, in their order; but what was put off, and goes here, was not asked for again."""
    first = wanted[0].at
    policy = policies.at(first)
    facts = facts_of(reader, who, policy, first, Fatigue(reader, who.subjects, cards))
    before = reader.contacts(who.subjects, first - max(reach(one.contact) for one in policies.versions))
    contacts: list[Contacted] = contacted(
        [row for row in before if row.occurred_at < first or row.kind in ("confirmed", "released")],
        policy.contact,
    )
    gone: set[Candidate] = set()
    for one in wanted:
        asked = one.candidate._replace(id="")
        if asked in gone:
            if not one.deferred:
                gone.discard(asked)
            continue
        decision = decide(one.candidate, replace(facts, contacts=contacts), policies.at(one.at), one.at)
        if decision.kind == "reserved" and one.deferred:
            gone.add(asked)
        if decision.counts and (counts := _counting(one, decision)) is not None:
            contacts = [*contacts, counts]
        yield decision


def _counting(one: Wanted, decision: Decision) -> Contacted | None:
    """How it counts from then on. What goes here and was not sent goes at once, but for a reservation that came to
    nothing; what was sent and is put off here goes then; of the rest nothing goes."""
    sent = one.candidate
    made = partial(Contacted, sent.channel, sent.purpose, sent.tags, name=sent.campaign)
    if decision.kind == "reserved":
        if one.held_until is not None:
            return made(at=EVER, until=one.held_until)
        return made(at=one.at if one.sent_at is None else one.sent_at, until=None)
    if decision.until is not None and one.sent_at is not None:
        return made(at=decision.until, until=None)
    return None


def _state(turn: Turn, policies: Policies, now: int) -> str:
    verdict = verdict_on(turn, policies.at(turn.opened_at), now)
    return "open" if verdict is None else verdict.removeprefix("request_")


def _count(tally: Tally, decided: Iterable[Decision], states: Iterable[str]) -> None:
    for one in decided:
        tally.messages[one.kind] += 1
        if one.kind != "reserved":
            tally.reasons.update({(one.kind, reason.code) for reason in one.reasons})
    tally.requests.update(states)


def _sides(group: _Tier) -> dict[str, Any]:
    return {side: tally.to_json() for side, tally in group.sides.items()}
