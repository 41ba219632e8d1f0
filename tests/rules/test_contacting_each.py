"""Channels that no rule tells apart are decided once, and each is told what it would be told by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.test_contacting import NOON, ZONES, caps, facts, policy, purposes, some
from tests.thorough import examples
from touchbook.contact import CHANNELS, contact
from touchbook.contacting import Candidate, Facts, decide, decide_each
from touchbook.ledger import Day
from touchbook.policy import DAY, Cadence, Cap

channels = st.sampled_from(["email", "sms", "phone", "store"])
scoped = st.builds(
    Cap,
    name=st.sampled_from(["here", "there"]),
    most=st.integers(0, 2),
    window=st.sampled_from([DAY, 3 * DAY]),
    channels=some("email", "sms"),
    soft=st.booleans(),
)
limits = st.builds(
    policy,
    caps=st.lists(caps | scoped, max_size=2).map(tuple),
    cadence=st.lists(
        st.builds(Cadence, st.just("due"), st.just(DAY), some("email", "phone")), max_size=1
    ).map(tuple),
    fatigue=st.fixed_dictionaries(
        {}, optional={"tired": st.lists(scoped, max_size=2).map(tuple), "exhausted": st.just("deny")}
    ),
)
candidates = st.lists(
    st.builds(
        lambda id, channel, purpose, tags, language, deadline: Candidate(
            id, channel, purpose, tags=tags, language=language, not_after=deadline
        ),
        st.uuids().map(str),
        channels,
        purposes,
        some("spring", "sale"),
        st.sampled_from([None, "de"]),
        st.none() | st.just(NOON + DAY),
    ),
    max_size=8,
)


@settings(max_examples=examples(200), deadline=None)
@given(st.data(), limits, candidates, st.sampled_from([(), ("email",), ("sms", "phone")]))
def test_many_are_decided_as_each_by_itself(
    data: Any, limits: Any, candidates: list[Candidate], wished: tuple[str, ...]
) -> None:
    known = data.draw(facts(NOON))
    known = replace(known, language="fi", preferences={**known.preferences, "channels": list(wished)})
    assert decide_each(candidates, known, limits, NOON) == [
        decide(one, known, limits, NOON) for one in candidates
    ]


def test_however_many_channels_are_alike_his_tiers_are_looked_at_as_for_one() -> None:
    asked: list[Day] = []

    def tired(day: Day) -> str:
        asked.append(day)
        return "exhausted"

    known, limits = Facts(fatigue=tired, zone=ZONES[0]), policy(fatigue={"exhausted": "deny"})
    decide(Candidate("", "email", "support"), known, limits, NOON)
    for_one = len(asked)
    asked.clear()
    told = contact("support", known, ["store", "kiosk", "ar"], limits, NOON)
    assert len(told) == len(CHANNELS) + 3
    assert len(asked) == for_one
