"""May we speak to him, when, and if not, why? Decided by plain rules out of what is known of him and what he got.

Every rule says of a moment that it passes, or from when on it will at the earliest. So the first moment at which all of
them pass is found by going from one to the next; a rule that no time will change suppresses.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from touchbook.contacts import ContactRow
from touchbook.ledger import MILLISECONDS_A_DAY, Day, day_of
from touchbook.policy import DAY, MINUTE, Cadence, Cap, Contacts, Policy, Rule

HORIZON = 90 * DAY
"""What cannot be sent within that time is not put off any more."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVER = -(2**62)
"""Earlier than anything."""
LATER = 2**62
LONGEST = {"day": 2 * DAY, "week": 9 * DAY, "month": 33 * DAY}
"""Calendar periods, with room for the change of zones."""

Kind = Literal["reserved", "deferred", "suppressed"]


class Reason(NamedTuple):
    """What decided: which kind of rule, its name in the policy where it has one, and more about it."""

    code: str
    rule: str | None = None
    detail: str | None = None

    def to_json(self) -> dict[str, str]:
        return {name: said for name, said in self._asdict().items() if said is not None}


class Candidate(NamedTuple):
    """A message that somebody would send. `id` tells it from others that are asked for together; `not_after` is the
    last moment (milliseconds UTC) at which it would still be of use."""

    id: str
    channel: str
    purpose: str
    campaign: str | None = None
    priority: int = 0
    content: str | None = None
    tags: tuple[str, ...] = ()
    language: str | None = None
    not_after: int | None = None


class Contacted(NamedTuple):
    """A contact as it counts: from `at` on, or, while it is only held, at every moment before `until`."""

    channel: str
    purpose: str | None
    tags: tuple[str, ...]
    at: int
    until: int | None
    name: str | None = None
    """What it was, for those that it goes before."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a customer. `fatigue` tells his tier on a day; `contacts` are those that may still matter."""

    preferences: Mapping[str, Any] = field(default_factory=dict)
    consents: Mapping[str, Any] = field(default_factory=dict)
    language: str | None = None
    zone: str | None = None
    fatigue: Callable[[Day], str | None] = lambda day: None
    contacts: Sequence[Contacted] = ()


class Decision(NamedTuple):
    """`until`: of a reservation how long it holds; of what was put off the earliest moment at which every rule passes.
    `counts` as the policy said at that moment; `due` are the cadences by which he was to hear from us again."""

    kind: Kind
    until: int | None
    reasons: tuple[Reason, ...]
    counts: bool
    policy: str
    due: tuple[str, ...] = ()


class _Block(NamedTuple):
    """A rule that does not pass, and from when on it does; None: it never will."""

    reason: Reason
    until: int | None


_Rule = Callable[[int], _Block | None]


def decide(candidate: Candidate, facts: Facts, policy: Policy, now: int) -> Decision:
    """What becomes of a candidate at `now` (milliseconds UTC)."""
    checks = list(_rules(candidate, facts, policy))
    blocks = _blocks(checks, now)
    reasons = [block.reason for block in blocks]
    last = now + HORIZON if candidate.not_after is None else min(now + HORIZON, candidate.not_after)
    made = partial(
        Decision,
        counts=policy.contact.counted(candidate.purpose),
        policy=policy.version,
        due=_due(candidate, facts, policy.contact, now),
    )
    if not blocks and now <= last:
        return made("reserved", now + policy.contact.hold, grounds(candidate.purpose, policy.contact))
    at = now
    while blocks and at <= last:
        if lasting := [block.reason for block in blocks if block.until is None]:
            return made("suppressed", None, _each(reasons, lasting))
        at = max(block.until for block in blocks if block.until is not None)
        blocks = _blocks(checks, at)
    if at > last:
        return made("suppressed", None, _each(reasons, [Reason("too_late")]))
    return made("deferred", at, tuple(reasons))


def decide_each(candidates: Sequence[Candidate], facts: Facts, policy: Policy, now: int) -> list[Decision]:
    """What becomes of each by itself, in their order: the same as `decide`. Those that no rule tells apart are decided
    once: mostly all channels are alike, and who is tired of us is looked at for weeks ahead."""
    known: dict[Hashable, Decision] = {}
    decided: list[Decision] = []
    for candidate in candidates:
        alike = _alike(candidate, facts, policy.contact)
        if (decision := known.get(alike)) is None:
            decision = known[alike] = decide(candidate, facts, policy, now)
        decided.append(decision)
    return decided


def _alike(candidate: Candidate, facts: Facts, rules: Contacts) -> Hashable:
    """The same for those that no rule tells apart: whose channels the same limits cover, and he wished or did not."""
    channel, purpose, tags = candidate.channel, candidate.purpose, candidate.tags
    tired = (cap for limit in rules.fatigue.values() if limit != "deny" for cap in limit)
    return (
        candidate._replace(id="", channel=""),
        channel in wished_channels(facts.preferences),
        *(cap.covers(channel, purpose, tags) for cap in (*rules.caps, *tired)),
        *(one.covers(channel, purpose) for one in rules.cadence),
    )


def decide_all(candidates: Sequence[Candidate], facts: Facts, policy: Policy, now: int) -> list[Decision]:
    """What becomes of several candidates for one customer, in their order: who has the greater priority goes first,
    then whose time runs out earlier, then the lesser id. Who would have gone but for one of them is told by which."""
    if len(candidates) == 1:
        return [decide(candidates[0], facts, policy, now)]
    order = sorted(
        range(len(candidates)),
        key=lambda place: (
            -candidates[place].priority,
            LATER if candidates[place].not_after is None else candidates[place].not_after,
            candidates[place].id,
        ),
    )
    decided: dict[int, Decision] = {}
    ahead: list[Contacted] = []
    for place in order:
        candidate = candidates[place]
        known = replace(facts, contacts=[*facts.contacts, *ahead]) if ahead else facts
        decision = decide(candidate, known, policy, now)
        if decision.kind == "reserved":
            if decision.counts:
                ahead.append(held(candidate, decision))
        elif ahead and decide(candidate, facts, policy, now).kind == "reserved":
            decision = decision._replace(reasons=(*_outranked(ahead), *decision.reasons))
        decided[place] = decision
    return [decided[place] for place in range(len(candidates))]


def held(candidate: Candidate, decision: Decision) -> Contacted:
    """What was reserved, as it counts from then on."""
    name = candidate.campaign or candidate.id
    return Contacted(candidate.channel, candidate.purpose, candidate.tags, EVER, decision.until, name)


def _outranked(ahead: Sequence[Contacted]) -> list[Reason]:
    return [Reason("outranked", None, one.name) for one in ahead]


def grounds(purpose: str, rules: Contacts) -> tuple[Reason, ...]:
    """Why it may be sent."""
    if rules.bypass.get(purpose):
        return (Reason("bypassed"),)
    if rules.needs_consent(purpose):
        return (Reason("consent_granted"),)
    return (Reason("no_objection"),)


def contacted(rows: Iterable[ContactRow], rules: Contacts) -> list[Contacted]:
    """What counts of these contacts: what was sent, from when it was; what was reserved, while it is held; not what was
    released. What a reservation said of purpose and tags stands, whatever the message says later."""
    reserved: dict[str, ContactRow] = {}
    passed: dict[str, int] = {}
    released: set[str] = set()
    found: list[Contacted] = []
    sent: list[ContactRow] = []
    for row in rows:
        kind, name = row.kind, row.reservation
        if kind == "sent":
            sent.append(row)
        if name is None:
            continue
        if kind == "reserved":
            reserved[name] = row
        elif kind == "released":
            released.add(name)
        else:  # confirmed, or sent
            passed[name] = max(row.occurred_at, passed.get(name, EVER))
    for name, row in reserved.items():
        if row.counts is False or (name in released and name not in passed):
            continue
        at = passed.get(name)
        found.append(
            Contacted(row.channel, row.purpose, row.tags, at, None, row.campaign)
            if at is not None
            else Contacted(row.channel, row.purpose, row.tags, EVER, row.until, row.campaign)
        )
    for row in sent:
        counts = rules.counted(row.purpose) if row.counts is None else row.counts
        if counts and row.reservation not in reserved:
            found.append(Contacted(row.channel, row.purpose, row.tags, row.occurred_at, None, row.campaign))
    return found


def reach(rules: Contacts) -> int:
    """For how many milliseconds a contact may matter."""
    tired = [cap for limit in rules.fatigue.values() if limit != "deny" for cap in limit]
    spans = [
        cap.window if cap.window is not None else LONGEST[cap.per or "day"] for cap in (*rules.caps, *tired)
    ]
    wishes = [span for span in rules.frequency.values() if span is not None]
    return max([*spans, *wishes, *(one.every for one in rules.cadence)], default=0) + rules.hold + DAY


# The rules, in the order in which they are told


def _rules(candidate: Candidate, facts: Facts, policy: Policy) -> Iterator[_Rule]:
    rules, wishes = policy.contact, facts.preferences
    zone = zone_of(facts.zone) or zone_of(policy.calendar.zone) or UTC
    spared = rules.spared(candidate.purpose)

    def binds(rule: Rule) -> bool:
        return rule not in spared

    if binds("do_not_contact") and wishes.get("do_not_contact") is True:
        yield _never(Reason("do_not_contact"))
        return
    frequency = wishes.get("frequency")
    span = rules.frequency.get(frequency, 0) if isinstance(frequency, str) and binds("frequency") else 0
    if span is None:
        yield _never(Reason("frequency_never"))
    if binds("consent") and (reason := _consent(candidate.purpose, facts.consents, rules)):
        yield _never(reason)
    if binds("hours"):
        yield from _quiet_hours(facts, rules, zone)
    due_from = _due_from(candidate, facts, rules)
    if binds("fatigue") and rules.fatigue:
        yield _fatigue(candidate, facts, rules, zone, due_from)
    if binds("channels") and (wished := wished_channels(wishes)) and candidate.channel not in wished:
        yield _never(Reason("not_a_preferred_channel"))
    if binds("language") and rules.languages and _not_understood(candidate.language, facts.language):
        yield _never(Reason("language"))
    if span:
        yield _capped(Cap(str(frequency), 1, span), facts, zone, None, "frequency")
    if binds("caps"):
        for cap in rules.caps:
            if cap.covers(candidate.channel, candidate.purpose, candidate.tags):
                yield _capped(cap, facts, zone, due_from if cap.soft and cap.most else None)


def _blocks(checks: Iterable[_Rule], at: int) -> list[_Block]:
    return [block for check in checks if (block := check(at)) is not None]


def _each(*reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    return tuple(dict.fromkeys(one for several in reasons for one in several))


def _never(reason: Reason) -> _Rule:
    block = _Block(reason, None)
    return lambda at: block


def _consent(purpose: str, consents: Mapping[str, Any], rules: Contacts) -> Reason | None:
    said = consents.get(purpose)
    if isinstance(said, Mapping):
        return None if said.get("granted") else Reason("consent_withdrawn")
    return Reason("consent_missing") if rules.needs_consent(purpose) else None


def wished_channels(preferences: Mapping[str, Any]) -> list[str]:
    """The channels that he asked to be reached by; those that nobody can read are none."""
    named = preferences.get("channels")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list | tuple) else []


def _not_understood(language: str | None, understood: str | None) -> bool:
    return language is not None and understood is not None and _tongue(language) != _tongue(understood)


def _tongue(language: str) -> str:
    return language.replace("_", "-").partition("-")[0].lower()


def _fatigue(
    candidate: Candidate, facts: Facts, rules: Contacts, zone: tzinfo, due_from: int | None
) -> _Rule:
    """He is more or less tired from day to day: each day its tier denies, or has caps of its own. Where a cadence is
    due it does not bind."""
    limits = {
        tier: None
        if limit == "deny"
        else [
            (cap, _leaving(cap, facts.contacts, zone))
            for cap in limit
            if cap.covers(candidate.channel, candidate.purpose, candidate.tags)
        ]
        for tier, limit in rules.fatigue.items()
    }

    def free_on(day: Day, at: int) -> tuple[int, Reason | None]:
        """From when on it passes, from a moment of the day, if he were as tired ever after; and what does not."""
        tier = facts.fatigue(day)
        if tier is None or tier not in limits:
            return at, None
        limit = limits[tier]
        if limit is None:
            return LATER, Reason("fatigue_exhausted") if tier == "exhausted" else Reason("fatigue", tier)
        free = [(_free(cap, at, left), cap.name) for cap, left in limit]
        last, name = max(free, default=(at, ""))
        return last, Reason("fatigue", name)

    def check(at: int) -> _Block | None:
        if due_from is not None and due_from <= at:
            return None
        free, reason = free_on(day_of(at), at)
        if free <= at or reason is None:
            return None
        until = _first_free(free_on, free, at)
        if due_from is not None:
            until = due_from if until is None else min(due_from, until)
        return _Block(reason, until)

    return check


def _first_free(free_on: Callable[[Day, int], tuple[int, Reason | None]], free: int, at: int) -> int | None:
    """The first moment, day by day, at which that day's limits pass."""
    for day in range(day_of(at), day_of(at + HORIZON) + 2):
        begins = max(at, day * MILLISECONDS_A_DAY)
        if begins > at:
            free, _ = free_on(day, begins)
        if free < (day + 1) * MILLISECONDS_A_DAY:
            return free
    return None


# Caps


def _capped(cap: Cap, facts: Facts, zone: tzinfo, due_from: int | None, code: str = "cap") -> _Rule:
    left = _leaving(cap, facts.contacts, zone)
    reason = Reason(code, cap.name)

    def check(at: int) -> _Block | None:
        free = _free(cap, at, left)
        if due_from is not None:
            free = min(free, due_from)
        return None if free <= at else _Block(reason, None if free == LATER else free)

    return check


def _free(cap: Cap, at: int, left: Sequence[int]) -> int:
    """The earliest moment from `at` on at which one more fits: once fewer than `most` of them still count."""
    if cap.most == 0:
        return LATER
    return at if len(left) < cap.most else max(at, left[cap.most - 1])


def _leaving(cap: Cap, contacts: Iterable[Contacted], zone: tzinfo) -> list[int]:
    """From when on each contact of the cap's scope does not count any more, the last first."""
    return sorted(
        (
            one.until if one.until is not None else _leaves(cap, one.at, zone)
            for one in contacts
            if cap.covers(one.channel, one.purpose, one.tags)
        ),
        reverse=True,
    )


def _leaves(cap: Cap, at: int, zone: tzinfo) -> int:
    return at + cap.window if cap.window is not None else period_end(at, cap.per or "day", zone)


def period_end(at: int, per: str, zone: tzinfo) -> int:
    """When the calendar day, week or month of this moment ends in the zone: the first moment of the next one."""
    day = _local(zone, at).date()
    match per:
        case "day":
            after = day + timedelta(days=1)
        case "week":
            after = day + timedelta(days=7 - day.weekday())
        case _:
            after = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return _begins(after.year, after.month, after.day, zone)


@lru_cache(maxsize=4096)
def _begins(year: int, month: int, day: int, zone: tzinfo) -> int:
    """The first moment of a day in a zone, from which on it stays that day. Where its midnight is left out, that is
    when the clocks are put on."""
    midnight = datetime(year, month, day, fold=1, tzinfo=zone)
    begins = _moment(midnight)
    if _local(zone, begins).replace(tzinfo=None, fold=0) == midnight.replace(tzinfo=None, fold=0):
        return begins
    late = _moment(midnight.replace(fold=0))
    return _change(zone, late - DAY, late)


def _moment(local: datetime) -> int:
    return (local.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)


def _change(zone: tzinfo, before: int, after: int) -> int:
    """When the zone's clocks are changed, of two moments on either side of one change."""
    first = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == first:
            before = middle
        else:
            after = middle
    return after


@lru_cache(maxsize=1024)
def zone_of(name: str | None) -> tzinfo | None:
    """The zone of this name, None where it is none."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


# Not forgotten


def _due_from(candidate: Candidate, facts: Facts, rules: Contacts) -> int | None:
    """From when on some cadence of the candidate's is due; None where it has none."""
    moments = [_cadence_due(one, facts) for one in _cadences(candidate, rules)]
    return min(moments, default=None)


def _due(candidate: Candidate, facts: Facts, rules: Contacts, now: int) -> tuple[str, ...]:
    cadences = _cadences(candidate, rules)
    return tuple(one.name for one in cadences if _cadence_due(one, facts) <= now)


def _cadences(candidate: Candidate, rules: Contacts) -> list[Cadence]:
    return [one for one in rules.cadence if one.covers(candidate.channel, candidate.purpose)]


def _cadence_due(cadence: Cadence, facts: Facts) -> int:
    return max(
        (
            one.until if one.until is not None else one.at + cadence.every
            for one in facts.contacts
            if cadence.covers(one.channel, one.purpose)
        ),
        default=EVER,
    )


# Quiet hours


def _quiet_hours(facts: Facts, rules: Contacts, zone: tzinfo) -> Iterator[_Rule]:
    """The company's by his clocks, and his own."""
    if rules.quiet is not None:
        yield _quiet(Quiet(rules.quiet.start * MINUTE, rules.quiet.end * MINUTE, zone), "company")
    wished = quiet_hours(facts.preferences.get("hours"))
    if wished is not None:
        yield _quiet(wished)


def _quiet(hours: Quiet, name: str | None = None) -> _Rule:
    reason = Reason("quiet_hours", name)
    return lambda at: _Block(reason, hours.until(at)) if hours.at(at) else None


def quiet_hours(hours: Any) -> Quiet | None:
    """His quiet hours {"from": "22:00", "to": "08:00", "zone": "Europe/Riga"}; the zone is UTC where he named none.
    Hours that cannot be read are none."""
    if not isinstance(hours, Mapping):
        return None
    try:
        start, end = (time.fromisoformat(hours[name]) for name in ("from", "to"))
        zone = ZoneInfo(hours.get("zone") or "UTC")
    except (KeyError, TypeError, ValueError, OSError):
        return None
    return Quiet(_of_day(start), _of_day(end), zone)


def quiet_at(hours: Any, now: int) -> bool:
    """Whether `now` (milliseconds UTC) lies in his quiet hours; see `quiet_hours`."""
    quiet = quiet_hours(hours)
    return quiet is not None and quiet.at(now)


class Quiet(NamedTuple):
    """From one time of day on until before another, in milliseconds since midnight by a zone's clocks; over midnight
    where the end is the earlier one."""

    start: int
    end: int
    zone: tzinfo

    def at(self, at: int) -> bool:
        local = _of_day(_local(self.zone, at).time())
        if self.start <= self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def until(self, at: int) -> int:
        """The first moment after a quiet one that is not quiet. Where the clocks are changed before the hours would
        end, it is asked again from then on."""
        while True:
            end = at + (self.end - _of_day(_local(self.zone, at).time())) % DAY
            if _offset(self.zone, at) == _offset(self.zone, end):
                return end
            at = _change(self.zone, at, end)
            if not self.at(at):
                return at


def _of_day(at: time) -> int:
    return ((at.hour * 60 + at.minute) * 60 + at.second) * 1000 + at.microsecond // 1000


def _local(zone: tzinfo, at: int) -> datetime:
    return (EPOCH + timedelta(milliseconds=at)).astimezone(zone)


def _offset(zone: tzinfo, at: int) -> timedelta:
    return _local(zone, at).utcoffset() or timedelta()
