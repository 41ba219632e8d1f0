"""What a scorecard would mean: the ranges that no ledger leaves, and the signals that nobody gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.rules.test_scoring import CARDS, ON, any_card_and_ledger, card_of, visits
from tests.thorough import examples
from touchbook.components import ActiveDays, Base, Streak
from touchbook.ledger import Ledger
from touchbook.schemas.catalogue import Catalogue
from touchbook.scorecard import Scorecard
from touchbook.scorecard_meaning import meaning_of, range_of
from touchbook.scoring import explain

KNOWN = Catalogue().signals


@settings(max_examples=examples(300), deadline=None)
@given(any_card_and_ledger)
def test_no_ledger_gives_more_or_less_than_the_range_of_a_line_a_part_or_the_whole(
    found: tuple[Scorecard, Ledger],
) -> None:
    card, ledger = found
    told = meaning_of(card, KNOWN)
    scored, lines = explain(ledger, card, ON)
    for part in told["parts"]:
        inside(scored.parts[part["part"]], part["milli_points"])
        for component in part["components"]:
            mine = [c for c in lines if (c.part, c.component) == (part["part"], component["id"])]
            inside(sum(line.milli_points for line in mine), component["milli_points"])
    inside(scored.milli_points, told["milli_points"])
    if scored.value is not None:
        inside(scored.value, told["values"])


def inside(points: int, range: dict[str, int]) -> None:
    assert range["least"] <= points <= range["most"]


def test_a_full_ledger_reaches_the_end_of_a_range() -> None:
    every_day: Ledger = {("visit", ON - age): (9, 0) for age in range(700)}
    for component in (
        visits(weight=700, cap=3, half_life=30),
        visits(weight=-700, cap=3, half_life=30, min_age=4),
        ActiveDays(id="d", why="w", signals=("visit",), weight=300, window=90, max_days=30),
        Streak(id="s", why="w", signals=("visit",), weight=-50, period=30, max_periods=6),
        Base(id="b", why="w", points=15),
    ):
        points = sum(line.milli_points for line in explain(every_day, card_of(component), ON)[1])
        assert points in range_of(component)
        assert points != 0


def test_a_tier_that_no_ledger_reaches_is_named() -> None:
    capped = card_of(visits(), limits=(None, 10_000), tiers=(("low", 0), ("half", 50), ("top", 51)))
    assert meaning_of(capped, KNOWN)["out_of_reach"] == ["top"]
    assert meaning_of(card_of(visits(cap=10**6)), KNOWN)["out_of_reach"] == []


@pytest.mark.parametrize("name", list(CARDS))
def test_the_shipped_scorecards_read_only_signals_that_are_given_and_reach_every_tier(name: str) -> None:
    told = meaning_of(CARDS[name], KNOWN)
    assert (told["given_by_nobody"], told["out_of_reach"]) == ([], [])


def test_signals_that_nobody_gives_are_named_and_families_are_taken_at_their_word() -> None:
    card = card_of(visits(signals=("visit", "vissit", "interest:tea", "via:store")))
    assert meaning_of(card, KNOWN)["given_by_nobody"] == ["vissit"]
