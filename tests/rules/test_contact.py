"""May a channel speak to him now: each ground that denies, and what it leaves open."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchbook.contact import CHANNELS, contact
from touchbook.contacting import Facts, quiet_at
from touchbook.policy import Policies
from touchbook.schemas.times import milliseconds

POLICY = Policies.standard().at(0)
NEEDS_CONSENT = ("offer", "survey", "teach")
PURPOSES = ("welcome", "teach", "support", "offer", "service", "survey")
PRESSING = [purpose for purpose in PURPOSES if purpose != "service"]
NOON = milliseconds("2026-03-02T12:00:00Z", "now")
GRANTED = {purpose: {"granted": True} for purpose in PURPOSES}
WITHDRAWN = {purpose: {"granted": False} for purpose in PURPOSES}
NOON_IS_QUIET = {"from": "11:00", "to": "13:00", "zone": "UTC"}

purposes = st.sampled_from(PURPOSES)
consents = st.dictionaries(purposes, st.builds(dict, granted=st.booleans()))
tiers = st.sampled_from([None, "fresh", "tired", "exhausted"])


def reasons(purpose: str, channel: str = "email", used: Any = (), **known: Any) -> tuple[bool, list[str]]:
    """What is answered for one channel, nothing being known but what is given."""
    tier = known.get("fatigue")
    facts = Facts(known.get("preferences", {}), known.get("consents", {}), fatigue=lambda day: tier)
    answers = contact(purpose, facts, used, POLICY, known.get("now", NOON))
    return answers[channel]["allowed"], answers[channel]["reasons"]


@pytest.mark.parametrize("purpose", PURPOSES)
def test_who_said_nothing_may_be_spoken_to_but_for_what_needs_consent(purpose: str) -> None:
    expected = (False, ["consent_missing"]) if purpose in NEEDS_CONSENT else (True, ["no_objection"])
    assert reasons(purpose) == expected


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_granted_consent_allows(purpose: str) -> None:
    allowed, _ = reasons(purpose, consents=GRANTED)
    assert allowed


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_consent_withdrawn_denies_all_but_service(purpose: str) -> None:
    expected = (True, ["no_objection"]) if purpose == "service" else (False, ["consent_withdrawn"])
    assert reasons(purpose, consents=WITHDRAWN) == expected


@pytest.mark.parametrize("purpose", PRESSING)
def test_a_consent_for_something_else_says_nothing(purpose: str) -> None:
    other = next(one for one in PRESSING if one != purpose)
    assert reasons(purpose, consents={other: {"granted": False}}) == reasons(purpose)


@given(purpose=purposes, consents=consents, fatigue=tiers)
def test_do_not_contact_denies_everything(purpose: str, consents: Any, fatigue: Any) -> None:
    wish = {"do_not_contact": True, "channels": ["email"]}
    answers = contact(purpose, Facts(wish, consents, fatigue=lambda day: fatigue), ["store"], POLICY, NOON)
    assert {*CHANNELS, "store"} <= set(answers)
    assert not any(answer["allowed"] for answer in answers.values())


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"preferences": {"hours": NOON_IS_QUIET}}, "quiet_hours"),
        ({"fatigue": "exhausted"}, "fatigue_exhausted"),
    ],
)
def test_quiet_hours_and_exhaustion_deny_all_but_service(
    purpose: str, known: dict[str, Any], reason: str
) -> None:
    allowed, why = reasons(purpose, consents=GRANTED, **known)
    assert allowed is (purpose == "service")
    assert (reason in why) is (purpose != "service")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_who_wants_to_hear_nothing_hears_of_service_alone(purpose: str) -> None:
    told = reasons(purpose, preferences={"frequency": "never"}, consents=GRANTED)
    expected = (True, ["no_objection"]) if purpose == "service" else (False, ["frequency_never"])
    assert told == expected


def test_every_ground_that_denies_is_named() -> None:
    known = {"preferences": {"hours": NOON_IS_QUIET, "channels": ["phone"]}, "fatigue": "exhausted"}
    _, why = reasons("offer", **known)
    assert set(why) == {"consent_missing", "quiet_hours", "fatigue_exhausted", "not_a_preferred_channel"}


def test_the_channels_he_likes_exclude_the_others_for_all_but_service() -> None:
    likes = {"channels": ["messenger"]}
    assert reasons("support", "messenger", preferences=likes) == (True, ["no_objection"])
    assert reasons("support", "email", preferences=likes) == (False, ["not_a_preferred_channel"])
    assert reasons("service", "email", preferences=likes) == (True, ["no_objection"])


def test_the_channels_he_uses_are_answered_for_too() -> None:
    assert reasons("service", "store", used=["store"]) == (True, ["no_objection"])


@pytest.mark.parametrize(
    ("hours", "moment", "quiet"),
    [
        ({"from": "22:00", "to": "08:00", "zone": "UTC"}, "2026-03-02T23:00:00Z", True),
        ({"from": "22:00", "to": "08:00", "zone": "UTC"}, "2026-03-02T07:59:59Z", True),
        ({"from": "22:00", "to": "08:00", "zone": "UTC"}, "2026-03-02T08:00:00Z", False),
        ({"from": "22:00", "to": "08:00", "zone": "UTC"}, "2026-03-02T21:59:59Z", False),
        ({"from": "12:00", "to": "14:00", "zone": "Asia/Tokyo"}, "2026-03-02T04:00:00Z", True),
        ({"from": "12:00", "to": "14:00", "zone": "Asia/Tokyo"}, "2026-03-02T12:00:00Z", False),
        ({"from": "09:00", "to": "10:00", "zone": "Europe/Berlin"}, "2026-07-01T07:30:00Z", True),
        ({"from": "09:00", "to": "10:00", "zone": "Europe/Berlin"}, "2026-01-01T07:30:00Z", False),
        ({"from": "12:00", "to": "14:00"}, "2026-03-02T13:00:00Z", True),
        ({"from": "12:00", "to": "12:00", "zone": "UTC"}, "2026-03-02T12:00:00Z", False),
        ({"from": "noon", "to": "14:00", "zone": "UTC"}, "2026-03-02T13:00:00Z", False),
        ({"from": "12:00", "to": "14:00", "zone": "Mars/Olympus"}, "2026-03-02T13:00:00Z", False),
        (None, "2026-03-02T13:00:00Z", False),
    ],
)
def test_quiet_hours_are_those_of_his_own_clock(hours: Any, moment: str, quiet: bool) -> None:
    assert quiet_at(hours, milliseconds(moment, "now")) is quiet


@given(st.times(), st.times(), st.integers(0, 4_000_000_000_000))
def test_hours_and_their_opposite_cover_the_day_once(starts: Any, ends: Any, now: int) -> None:
    first, second = f"{starts:%H:%M}", f"{ends:%H:%M}"
    one = quiet_at({"from": first, "to": second, "zone": "UTC"}, now)
    other = quiet_at({"from": second, "to": first, "zone": "UTC"}, now)
    assert one + other == (first != second), datetime.fromtimestamp(now / 1000, UTC)
