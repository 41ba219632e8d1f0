"""Whether, when and why he may be contacted: the rules against a reference that asks every minute by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import examples
from touchbook.contacting import (
    Candidate,
    Contacted,
    Decision,
    Facts,
    Quiet,
    contacted,
    decide,
    decide_all,
    held,
    period_end,
)
from touchbook.contacts import ContactRow
from touchbook.policy import DAY, HOUR, MINUTE, Cadence, Cap, Contacts, Policy
from touchbook.policy import Quiet as Hours
from touchbook.schemas.times import milliseconds

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "America/Santiago")
SPRING, AUTUMN = (milliseconds(day, "day") for day in ("2026-03-28T00:00:00Z", "2026-10-24T00:00:00Z"))
NOON = milliseconds("2026-03-02T12:00:00Z", "now")
MAIL = Candidate("m", "email", "support")

moments = st.one_of(st.integers(0, 4 * 24 * 60), st.integers(0, 60 * 24 * 60)).map(
    lambda minute: minute * MINUTE
)
starts = st.sampled_from([SPRING, AUTUMN, NOON, milliseconds("2026-04-04T00:00:00Z", "day")])
minutes = st.integers(0, 24 * 60 - 1)
channels = st.sampled_from(["email", "sms"])
purposes = st.sampled_from(["support", "offer", "service"])


def policy(**contact: Any) -> Policy:
    return Policy("tests-1", 0, contact=replace(Contacts(consent={}), **contact))


def some(*options: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.sampled_from([(), *[(one,) for one in options], options])


caps = st.builds(
    Cap,
    name=st.sampled_from(["one", "two"]),
    most=st.integers(0, 3),
    window=st.sampled_from([HOUR, DAY, 3 * DAY]),
    channels=some("email", "sms"),
    purposes=some("support", "offer"),
    tags=some("spring", "sale"),
    soft=st.booleans(),
) | st.builds(
    Cap, name=st.just("calendar"), most=st.integers(1, 2), per=st.sampled_from(["day", "week", "month"])
)
rules = st.builds(
    policy,
    caps=st.lists(caps, max_size=3).map(tuple),
    quiet=st.none() | st.builds(Hours, minutes, minutes),
    frequency=st.just({"daily": DAY, "weekly": 7 * DAY}),
    cadence=st.lists(st.builds(Cadence, st.just("due"), st.sampled_from([DAY, 2 * DAY])), max_size=1).map(
        tuple
    ),
    fatigue=st.sampled_from(
        [{}, {"exhausted": "deny"}, {"tired": (Cap("tired", 1, DAY),), "exhausted": "deny"}]
    ),
)
hours = st.builds(
    lambda start, end, zone: {"from": _clock(start), "to": _clock(end), "zone": zone},
    minutes, minutes, st.sampled_from(ZONES),
)  # fmt: skip
wishes = st.fixed_dictionaries(
    {}, optional={"frequency": st.sampled_from(["daily", "weekly"]), "hours": hours}
)
candidates = st.builds(
    lambda channel, purpose, tags: Candidate("m", channel, purpose, tags=tags),
    channels, purposes, some("spring", "sale"),
)  # fmt: skip
rivals = st.builds(
    lambda id, priority, deadline: Candidate(str(id), "email", "support", priority=priority, not_after=deadline),
    st.uuids(), st.integers(0, 3), st.none() | st.just(NOON + HOUR),
)  # fmt: skip


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def facts(draw: Any, now: int) -> Facts:
    ago = draw(
        st.lists(st.tuples(channels, purposes, some("spring", "sale"), moments, st.booleans()), max_size=5)
    )
    tiers = draw(st.lists(st.sampled_from([None, "tired", "exhausted"]), min_size=3, max_size=3))
    first = now // DAY
    return Facts(
        preferences=draw(wishes),
        zone=draw(st.sampled_from(ZONES)),
        fatigue=lambda day: tiers[day - first] if 0 <= day - first < len(tiers) else None,
        contacts=[
            Contacted(channel, purpose, tags, -(2**62), now + 15 * MINUTE)
            if is_held
            else Contacted(channel, purpose, tags, now - back, None)
            for channel, purpose, tags, back, is_held in ago
        ],
    )


# The reference: does it pass at this very moment?


def passes(candidate: Candidate, facts: Facts, policy: Policy, at: int) -> bool:
    rules = policy.contact
    if rules.bypasses(candidate.purpose, "caps"):
        return True
    zone = ZoneInfo(facts.zone or "UTC")
    due = any(_is_due(one, candidate, facts, at) for one in rules.cadence)
    if rules.quiet and _quiet(rules.quiet.start, rules.quiet.end, zone, at):
        return False
    if wished := facts.preferences.get("hours"):
        start, end = (int(wished[name][:2]) * 60 + int(wished[name][3:]) for name in ("from", "to"))
        if _quiet(start, end, ZoneInfo(wished["zone"]), at):
            return False
    span = rules.frequency.get(facts.preferences.get("frequency", ""))
    if span and _full(Cap("wish", 1, span), facts, zone, at):
        return False
    limit = rules.fatigue.get(facts.fatigue(at // DAY) or "")
    if limit and not due and (limit == "deny" or any(_full(cap, facts, zone, at) for cap in limit)):
        return False
    return not any(
        cap.covers(candidate.channel, candidate.purpose, candidate.tags)
        and not (cap.soft and cap.most and due)
        and _full(cap, facts, zone, at)
        for cap in rules.caps
    )


def _full(cap: Cap, facts: Facts, zone: ZoneInfo, at: int) -> bool:
    counted = 0
    for one in facts.contacts:
        if not cap.covers(one.channel, one.purpose, one.tags):
            continue
        if one.until is not None:
            counted += at < one.until
        elif cap.window is not None:
            counted += one.at > at - cap.window
        else:
            counted += _period(cap.per, one.at, zone) >= _period(cap.per, at, zone)
    return counted >= cap.most


def _period(per: str | None, at: int, zone: ZoneInfo) -> tuple[int, ...]:
    day = datetime.fromtimestamp(at / 1000, zone).date()
    return {"day": (day.toordinal(),), "week": day.isocalendar()[:2], "month": (day.year, day.month)}[
        per or "day"
    ]


def _is_due(cadence: Cadence, candidate: Candidate, facts: Facts, at: int) -> bool:
    return cadence.covers(candidate.channel, candidate.purpose) and not any(
        (at < one.until if one.until is not None else one.at > at - cadence.every)
        for one in facts.contacts
        if cadence.covers(one.channel, one.purpose)
    )


def _quiet(start: int, end: int, zone: ZoneInfo, at: int) -> bool:
    local = datetime.fromtimestamp(at / 1000, zone)
    minute = local.hour * 60 + local.minute
    return start <= minute < end if start <= end else minute >= start or minute < end


@settings(max_examples=examples(40), deadline=None)
@given(st.data(), starts, st.integers(0, 3 * 24 * 60), rules, candidates)
def test_what_is_put_off_passes_first_at_the_moment_that_is_named(
    data: Any, start: int, minute: int, policy: Policy, candidate: Candidate
) -> None:
    now = start + minute * MINUTE
    known = data.draw(facts(now))
    decision = decide(candidate, known, policy, now)
    assert (decision.kind == "reserved") is passes(candidate, known, policy, now)
    horizon = min(
        decision.until if decision.kind == "deferred" and decision.until else now + 2 * DAY, now + 2 * DAY
    )
    assert not any(
        passes(candidate, known, policy, at)
        for at in range(now, horizon, MINUTE)
        if decision.kind != "reserved"
    )
    if decision.kind == "deferred":
        assert decision.until is not None
        assert decision.until > now
        assert passes(candidate, known, policy, decision.until)
        assert not passes(candidate, known, policy, decision.until - 1)


@settings(max_examples=examples(100), deadline=None)
@given(st.data(), rules, candidates)
def test_what_a_customer_wishes_can_only_tighten(data: Any, policy: Policy, candidate: Candidate) -> None:
    known = data.draw(facts(NOON))
    without = decide(candidate, replace(known, preferences={}), policy, NOON)
    if decide(candidate, known, policy, NOON).kind == "reserved":
        assert without.kind == "reserved"


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 12 * 60), candidates, st.sampled_from(["confirm", "release", "expire"])),
        max_size=30,
    ),
    rules,
)
def test_no_interleaving_exceeds_a_cap(steps: Sequence[tuple[int, Candidate, str]], policy: Policy) -> None:
    """Whatever is reserved, confirmed late, released or left to run out: looking back, no window held too many that
    were sent."""
    now, sent, holding = NOON, list[Contacted](), list[tuple[int, str, Contacted]]()
    for wait, candidate, end in steps:
        now += wait * MINUTE
        for until, how, one in [one for one in holding if one[0] <= now]:
            holding.remove((until, how, one))
            if how == "confirm":
                sent.append(one._replace(at=until - 1, until=None))
        known = Facts(zone="Europe/Berlin", contacts=[*sent, *(one for *_, one in holding)])
        decision = decide(candidate, known, policy, now)
        if decision.kind == "reserved" and decision.counts:
            assert decision.until is not None
            holding.append((decision.until if end != "release" else now, end, held(candidate, decision)))
    zone = ZoneInfo("Europe/Berlin")
    for cap in policy.contact.caps:
        if cap.soft:
            continue
        of_cap = [one for one in sent if cap.covers(one.channel, one.purpose, one.tags)]
        for one in of_cap:
            if cap.window is not None:
                within = [other for other in of_cap if one.at - cap.window < other.at <= one.at]
            else:
                within = [
                    other
                    for other in of_cap
                    if _period(cap.per, other.at, zone) == _period(cap.per, one.at, zone)
                ]
            assert len(within) <= cap.most


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(rivals, max_size=8, unique_by=lambda one: one.id), st.integers(1, 3))
def test_several_go_by_priority_then_deadline_then_id_and_the_others_learn_why(
    candidates: list[Candidate], most: int
) -> None:
    decided = decide_all(candidates, Facts(), policy(caps=(Cap("few", most, DAY),)), NOON)
    order = sorted(candidates, key=lambda one: (-one.priority, one.not_after or 2**62, one.id))
    won = {one.id for one in order[:most]}
    for candidate, decision in zip(candidates, decided, strict=True):
        assert (decision.kind == "reserved") is (candidate.id in won)
        if candidate.id not in won:
            assert {one.detail for one in decision.reasons if one.code == "outranked"} == won


def test_a_cap_of_zero_is_never_and_an_absent_one_is_none() -> None:
    assert decide(MAIL, Facts(), policy(caps=(Cap("never", 0, DAY),)), NOON).kind == "suppressed"
    assert decide(MAIL, Facts(), policy(), NOON).kind == "reserved"


def test_what_comes_too_late_is_not_put_off() -> None:
    full = Facts(contacts=[Contacted("email", "support", (), NOON - HOUR, None)])
    once = policy(caps=(Cap("one", 1, DAY),))
    in_time = decide(MAIL._replace(not_after=NOON + 23 * HOUR), full, once, NOON)
    assert (in_time.kind, in_time.until) == ("deferred", NOON + 23 * HOUR)
    late = decide(MAIL._replace(not_after=NOON + 23 * HOUR - 1), full, once, NOON)
    assert (late.kind, [one.code for one in late.reasons]) == ("suppressed", ["cap", "too_late"])
    assert decide(MAIL._replace(not_after=NOON - 1), Facts(), policy(), NOON).kind == "suppressed"


def test_service_bypasses_and_does_not_count_as_both_flags_say() -> None:
    full = policy(caps=(Cap("one", 1, DAY),))
    service = MAIL._replace(purpose="service")
    known = Facts(contacts=[Contacted("email", "support", (), NOON - HOUR, None)])
    assert (decide(service, known, full, NOON).kind, decide(service, known, full, NOON).counts) == (
        "reserved",
        False,
    )
    bound = policy(caps=full.contact.caps, bypass={}, counts={})
    assert (decide(service, known, bound, NOON).kind, decide(service, known, bound, NOON).counts) == (
        "deferred",
        True,
    )


def test_who_was_forgotten_for_so_long_is_spoken_to_though_he_is_tired() -> None:
    remind = policy(fatigue={"exhausted": "deny"}, cadence=(Cadence("not forgotten", 30 * DAY),))
    tired = Facts(
        fatigue=lambda day: "exhausted", contacts=[Contacted("email", "offer", (), NOON - 29 * DAY, None)]
    )
    put_off = decide(MAIL, tired, remind, NOON)
    assert (put_off.kind, put_off.until) == ("deferred", NOON + DAY)
    later = decide(MAIL, tired, remind, NOON + DAY)
    assert (later.kind, later.due) == ("reserved", ("not forgotten",))


def row(kind: str, minute: int, reservation: str | None = "r", **more: Any) -> ContactRow:
    said = {"channel": "email", **more}
    return ContactRow("s", NOON + minute * MINUTE, f"{kind}{minute}", kind, reservation, **said)


def test_purpose_and_tags_stay_as_they_were_decided() -> None:
    rows = [
        row("reserved", 0, purpose="offer", tags=("spring",), counts=True, until=NOON + 15 * MINUTE),
        row("sent", 5, purpose="service", tags=("other",), counts=None),
    ]
    found = contacted(rows, policy().contact)
    assert found == [Contacted("email", "offer", ("spring",), NOON + 5 * MINUTE, None, None)]


@pytest.mark.parametrize(
    ("later", "counts"),
    [
        ([], True),
        ([row("released", 3)], False),
        ([row("confirmed", 3)], True),
        ([row("released", 3), row("sent", 4)], True),
    ],
)
def test_what_is_held_confirmed_or_sent_counts_and_what_was_released_does_not(
    later: list[ContactRow], counts: bool
) -> None:
    reserved = row("reserved", 0, purpose="offer", counts=True, until=NOON + 15 * MINUTE)
    assert len(contacted([reserved, *later], policy().contact)) == counts


@pytest.mark.parametrize(
    ("zone", "moment", "until"),
    [
        (
            "Europe/Berlin",
            "2026-03-29T00:30:00Z",
            "2026-03-29T01:00:00Z",
        ),  # 02:30 is left out: it is 03:00 then
        ("Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z"),  # 02:30 comes twice
        ("Europe/Berlin", "2026-10-25T01:10:00Z", "2026-10-25T01:30:00Z"),
    ],
)
def test_quiet_hours_end_by_his_clock_when_it_is_changed(zone: str, moment: str, until: str) -> None:
    quiet = Quiet(60 * MINUTE, 150 * MINUTE, ZoneInfo(zone))
    at = milliseconds(moment, "moment")
    assert quiet.at(at)
    assert quiet.until(at) == milliseconds(until, "until")


@given(st.integers(0, 3_000_000), st.sampled_from(ZONES), st.sampled_from(["day", "week", "month"]))
def test_a_calendar_period_ends_with_the_first_moment_of_another(minute: int, zone: str, per: str) -> None:
    at = NOON + minute * MINUTE
    end = period_end(at, per, ZoneInfo(zone))
    assert end > at
    assert _period(per, end - 1, ZoneInfo(zone)) == _period(per, at, ZoneInfo(zone))
    assert _period(per, end, ZoneInfo(zone)) != _period(per, at, ZoneInfo(zone))
    assert timedelta(milliseconds=end - at) <= timedelta(days=32)


def test_the_same_facts_decide_the_same() -> None:
    known = Facts(contacts=[Contacted("email", "support", (), NOON - HOUR, None)])
    one, other = (decide(MAIL, known, policy(caps=(Cap("one", 1, DAY),)), NOON) for _ in range(2))
    assert one == other == Decision("deferred", NOON + 23 * HOUR, one.reasons, True, "tests-1", ())
    assert datetime.fromtimestamp(NOON / 1000, UTC).hour == 12
