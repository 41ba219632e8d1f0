"""Scores: the worked histories to the last integer, and what must hold for any history and any scorecard."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.rules.ledger_sql import points_in_sql
from tests.rules.reference_scoring import decay, reference_score
from tests.thorough import examples
from touchbook.components import (
    ActiveDays,
    Balance,
    Base,
    Component,
    Decayed,
    Evidence,
    First,
    Gap,
    Recency,
    Streak,
    decay_table,
)
from touchbook.ledger import Ledger, LedgerRows, add, merged
from touchbook.scorecard import Linear, Needs, Part, Saturating, Scorecard, ScorecardSet, Shares
from touchbook.scorecard_files import load_scorecards
from touchbook.scoring import Mark, Marking, Score, explain, most_points, rows_behind, score, score_all

CARDS = load_scorecards()
WORKED: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "scorecard_histories.yaml").read_text("utf-8")
)
ON = 20_000
SIGNALS = sorted({signal for card in CARDS.values() for signal in card.signals})


# Given ------------------------------------------------------------------------------------------------------


def ledger_of(history: dict[str, Any], on: int = ON) -> Ledger:
    """A ledger from lines like `purchase: "355..25/30,3x2=600"`, ages in days before `on`."""
    ledger: Ledger = {}
    for signal, text in history.items():
        for item in str(text).split(","):
            found = re.fullmatch(r"\s*(\d+)(?:\.\.(\d+)/(\d+))?(?:x(\d+))?(?:=(-?\d+))?\s*", item)
            assert found, item
            oldest, newest, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
            for age in range(oldest, newest - 1, -step):
                add(ledger, signal, on - age, int(found[4] or 1), int(found[5] or 0))
    return ledger


@cache
def worked(history: str) -> Ledger:
    return ledger_of(WORKED["histories"][history])


def numbers(found: Score) -> list[Any]:
    return [found.milli_points, found.value, found.tier]


def card_of(*components: Component, **told: Any) -> Scorecard:
    """A scorecard of these components in one part, half of its scale reached at 10 points."""
    part = Part("all", components, *told.pop("limits", (None, None)))
    defaults: dict[str, Any] = {
        "name": "trial",
        "version": 1,
        "title": {"en": "Trial", "ru": "Проба"},
        "description": {"en": "A trial.", "ru": "Проба."},
        "value": Saturating(10_000),
        "tiers": (("low", 0), ("high", 50), ("top", 80)),
        "parts": (part,),
    }
    return Scorecard(**defaults | told)


def visits(weight: int = 1000, half_life: int = 30, cap: int = 3, **told: Any) -> Decayed:
    told = {"id": "visits", "why": "w", "signals": ("visit",)} | told
    return Decayed(weight=weight, half_life=half_life, cap=cap, **told)


def ledgers(signals: list[str], size: int = 40, reach: int = 900) -> st.SearchStrategy[Ledger]:
    row = st.tuples(st.sampled_from(signals), st.integers(ON - reach, ON + 3))
    return st.dictionaries(row, st.tuples(st.integers(0, 12), st.integers(-9000, 9000)), max_size=size)


def dense(card: Scorecard) -> st.SearchStrategy[Ledger]:
    return st.one_of(ledgers(sorted(card.signals), reach=60), ledgers(sorted(card.signals)))


every_card = st.sampled_from(list(CARDS.values()))
card_and_ledger = every_card.flatmap(lambda card: st.tuples(st.just(card), dense(card)))

FEW = ["visit", "purchase", "complaint", "csat_good"]
weight = st.integers(-9000, 9000).filter(bool)
small = st.integers(1, 40)
chosen = st.lists(st.sampled_from(FEW), min_size=1, max_size=3, unique=True).map(tuple)
named = {"why": st.just("w"), "signals": chosen}
evidence = st.builds(
    Evidence, **named, sign=st.sampled_from([1, 0, -1]), weight=small, half_life=small, cap=st.integers(1, 4)
)
a_component: st.SearchStrategy[Component] = st.one_of(
    st.builds(
        Decayed,
        id=st.just("decayed"),
        **named,
        weight=weight,
        half_life=small,
        cap=st.integers(1, 4),
        of=st.sampled_from(["count", "total"]),
        unit=st.integers(1, 3000),
        min_age=st.integers(0, 20),
    ),
    st.builds(
        Balance,
        id=st.just("balance"),
        why=st.just("w"),
        swing=st.integers(1, 50_000),
        prior=small,
        evidence=st.lists(evidence, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Base, id=st.just("base"), why=st.just("w"), points=st.integers(-9000, 9000)),
    st.builds(First, id=st.just("first"), **named, weight=weight, half_life=small),
    st.builds(Recency, id=st.just("recency"), **named, weight=weight, half_life=small),
    st.builds(ActiveDays, id=st.just("days"), **named, weight=weight, window=small, max_days=small),
    st.builds(Streak, id=st.just("streak"), **named, weight=weight, period=small, max_periods=small),
    st.builds(
        Gap,
        id=st.just("gap"),
        **named,
        weight=weight,
        from_=st.integers(0, 1500),
        full=st.integers(1501, 5000),
        last=st.integers(3, 5),
        min_gaps=st.integers(1, 3),
        default_gap=small,
        floor_gap=small,
    ),
)
some_components = st.lists(a_component, min_size=1, max_size=4, unique_by=lambda component: component.id).map(
    tuple
)
some_limits = st.sampled_from([(None, None), (0, None), (None, 4000), (-2000, 6000)])


@st.composite
def cards(draw: st.DrawFn) -> Scorecard:
    """Any scorecard: every kind of component, value, limit and condition."""
    parts = tuple(
        Part(name, draw(some_components), *draw(some_limits)) for name in draw(st.sampled_from(["a", "ab"]))
    )
    share = 100 // len(parts)
    values = [
        Saturating(8000),
        Linear(-5000, 20_000),
        Shares({part.name: (share, 5000 * at) for at, part in enumerate(parts, 1)}),
    ]
    return card_of(
        parts=parts,
        value=draw(st.sampled_from(values)),
        tiers=(("none", 0), ("some", 10), ("much", 30), ("most", 55)),
        hold_days=draw(st.sampled_from([0, 1, 7, 30])),
        needs=draw(st.sampled_from([None, Needs("visit", 45)])),
        min_evidence=draw(st.sampled_from([0, 2])),
    )


few = st.integers(1, 6)
visited = {"why": st.just("w"), "signals": st.just(("visit",)), "weight": st.sampled_from([-700, 700])}
about_days: st.SearchStrategy[Component] = st.one_of(
    st.builds(First, id=st.just("first"), **visited, half_life=small),
    st.builds(ActiveDays, id=st.just("days"), **visited, window=small, max_days=few),
    st.builds(Streak, id=st.just("streak"), **visited, period=few, max_periods=few),
    st.builds(
        Gap,
        id=st.just("gap"),
        **visited,
        from_=st.just(0),
        full=st.just(5000),
        last=st.just(3),
        min_gaps=few.filter(lambda gaps: gaps <= 3),
        default_gap=small,
        floor_gap=st.just(1),
    ),
)
days_visited = st.sets(st.integers(0, 40), max_size=12).map(
    lambda ages: {("visit", ON - age): (1, 0) for age in ages}
)
any_card_and_ledger = st.one_of(
    st.tuples(cards(), ledgers(FEW, size=30, reach=150)), st.tuples(about_days.map(card_of), days_visited)
)


# The worked histories ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(CARDS))
@pytest.mark.parametrize("history", WORKED["expected"])
def test_a_worked_history_gives_its_points_value_and_tier(history: str, name: str) -> None:
    assert numbers(score(worked(history), CARDS[name], ON)) == WORKED["expected"][history][name]


def test_the_worked_table_leaves_no_history_and_no_score_out() -> None:
    assert set(WORKED["expected"]) == set(WORKED["histories"])
    assert all(set(row) == set(CARDS) for row in WORKED["expected"].values())


@pytest.mark.parametrize("history", WORKED["fading"]["histories"])
def test_scores_fade_by_themselves_as_worked_out(history: str) -> None:
    fading = WORKED["fading"]
    for name, expected in zip(fading["scores"], fading["histories"][history], strict=True):
        assert [
            score(worked(history), CARDS[name], ON + days).value for days in fading["days"]
        ] == expected, name


@pytest.mark.parametrize(("history", "today", "name", "before", "after"), WORKED["steps"])
def test_one_more_touchpoint_moves_the_value_as_worked_out(
    history: str, today: dict[str, Any], name: str, before: int | None, after: int
) -> None:
    then = merged([worked(history), ledger_of(today)])
    assert [score(ledger, CARDS[name], ON).value for ledger in (worked(history), then)] == [before, after]


def test_a_tier_is_held_for_thirty_days_after_the_value_fell() -> None:
    held = WORKED["hold_example"]
    on = ON + held["days"]
    shown = score(worked(held["history"]), CARDS["loyalty"], on)
    assert shown.value is not None
    by_value = CARDS["loyalty"].tiers[CARDS["loyalty"].rank_of(shown.value)][0]
    assert [by_value, shown.tier] == held["tiers"]


@pytest.mark.parametrize("name", WORKED["directions"])
@given(data=st.data())
@settings(max_examples=examples(40), deadline=None)
def test_what_is_good_never_lowers_a_score_and_what_is_bad_never_raises_it(
    name: str, data: st.DataObject
) -> None:
    card, (up, down) = CARDS[name], WORKED["directions"][name]
    ledger = data.draw(dense(card))
    grain = len(ledger) + 1 if card.weighs else 0  # a balance truncates a milli-point per row
    before = score(ledger, card, ON).milli_points
    day = data.draw(st.integers(ON - 60, ON - 4))
    for signals, sign in ((up, 1), (down, -1)):
        for signal in (signals or "").split():
            after = score(merged([ledger, {(signal, day): (1, 0)}]), card, ON).milli_points
            assert (after - before) * sign >= -grain, signal


# Any history, any scorecard ---------------------------------------------------------------------------------


@given(card_and_ledger, st.randoms())
@settings(deadline=None)
def test_the_order_of_arrival_changes_nothing(found: tuple[Scorecard, Ledger], random: Any) -> None:
    card, ledger = found
    rows = list(ledger.items())
    random.shuffle(rows)
    assert explain(dict(rows), card, ON) == explain(ledger, card, ON)


def marks_of(ledger: Ledger, cards: ScorecardSet, on: int) -> list[Mark]:
    found = {
        card.name: (score(ledger, card, on), [tier for tier, _ in card.tiers]) for card in cards.values()
    }
    return [
        (one.value, -1 if one.tier is None else tiers.index(one.tier), one.milli_points)
        for _, (one, tiers) in sorted(found.items())
    ]


def rows_of(ledger: Ledger) -> LedgerRows:
    return [(signal, day, count, total) for (signal, day), (count, total) in sorted(ledger.items())]


shipped = st.tuples(
    st.just(CARDS), st.lists(st.one_of(ledgers(SIGNALS, 60), ledgers(SIGNALS, 60, 60)), max_size=3)
)
made_up = st.tuples(
    st.lists(cards(), min_size=1, max_size=3).map(
        lambda found: ScorecardSet(
            (f"card{at}", replace(card, name=f"card{at}")) for at, card in enumerate(found)
        )
    ),
    st.lists(ledgers([*FEW, "nobody_reads_this"], size=30, reach=150), max_size=3),
)


@given(st.one_of(shipped, made_up), st.integers(ON - 100, ON + 100))
@settings(max_examples=examples(60), deadline=None)
def test_all_scores_marked_together_are_those_of_each_alone_on_any_day_after_any_other(
    found: tuple[ScorecardSet, list[Ledger]], first: int
) -> None:
    cards, members = found
    marking, ledger = Marking(cards), merged(members)
    counted = marking.counted([rows_of(one) for one in members])
    before = None
    for day in range(first, first + 5):
        expected = marks_of(ledger, cards, day)
        assert marking.on(counted, day) == expected
        assert marking.on(counted, day, before) == expected
        before = expected


@given(card_and_ledger, st.integers(ON - 1000, ON + 400))
@settings(deadline=None)
def test_an_explanation_adds_up_to_the_score_on_any_day(found: tuple[Scorecard, Ledger], on: int) -> None:
    card, ledger = found
    shown, lines = explain(ledger, card, on)
    assert shown == score(ledger, card, on)
    assert sum(line.milli_points for line in lines) == shown.milli_points
    for part, points in shown.parts.items():
        assert sum(line.milli_points for line in lines if line.part == part) == points


def until(ledger: Ledger, day: int) -> Ledger:
    """The ledger as it stood at the end of a day."""
    return {row: amount for row, amount in ledger.items() if row[1] <= day}


@given(card_and_ledger, st.integers(ON - 700, ON))
@settings(deadline=None)
def test_a_past_day_is_the_fold_of_what_had_happened_by_then(
    found: tuple[Scorecard, Ledger], on: int
) -> None:
    card, ledger = found
    assert explain(ledger, card, on) == explain(until(ledger, on), card, on)


@given(st.lists(ledgers(SIGNALS, size=25), max_size=4))
@settings(deadline=None)
def test_a_customer_scores_as_his_members_touchpoints_under_one_name_would(members: list[Ledger]) -> None:
    touchpoints = [(row, amount) for member in members for row, amount in member.items()]
    one: Ledger = {}
    for (signal, day), (count, total) in touchpoints:
        add(one, signal, day, count, total)
    together = score_all(merged(members), CARDS.values(), ON)
    assert together == {name: score(one, card, ON) for name, card in CARDS.items()}


@given(card_and_ledger, st.integers(ON - 100, ON + 100))
@settings(max_examples=examples(60), deadline=None)
def test_the_shipped_scorecards_agree_with_the_plain_reference(
    found: tuple[Scorecard, Ledger], on: int
) -> None:
    agrees_with_the_reference(*found, on)


@given(any_card_and_ledger, st.integers(ON - 50, ON + 100))
@settings(max_examples=examples(500), deadline=None)
def test_any_scorecard_agrees_with_the_plain_reference(found: tuple[Scorecard, Ledger], on: int) -> None:
    agrees_with_the_reference(*found, on)


def agrees_with_the_reference(card: Scorecard, ledger: Ledger, on: int) -> None:
    expected, expected_lines = reference_score(card.describe(), ledger, on)
    shown, lines = explain(ledger, card, on)
    assert shown.to_json() == expected
    told = [(c.part, c.component, c.signal, c.day, c.milli_points) for c in lines]
    assert sorted(map(repr, filter(_gives, told))) == sorted(map(repr, filter(_gives, expected_lines)))


def _gives(line: tuple[Any, ...]) -> bool:
    return bool(line[-1])


@given(any_card_and_ledger, st.integers(0, 30))
@settings(max_examples=examples(500), deadline=None)
def test_no_day_of_a_stretch_gives_more_than_the_most_it_could(
    found: tuple[Scorecard, Ledger], days: int
) -> None:
    card, ledger = found

    def rows(on: int) -> dict[str, list[tuple[int, int, int]]]:
        found: dict[str, list[tuple[int, int, int]]] = {}
        for (signal, day), (count, total) in until(ledger, on).items():
            found.setdefault(signal, []).append((on - day, count, total))
        return found

    most = most_points(card, rows(ON), days)
    for on in range(ON - days, ON + 1):
        assert all(points <= most[part] for part, points in score(ledger, card, on).parts.items()), on


@given(card_and_ledger)
@settings(max_examples=examples(60), deadline=None)
def test_a_component_is_also_one_sql_statement_over_the_ledger(found: tuple[Scorecard, Ledger]) -> None:
    card, ledger = found
    _, lines = explain(ledger, card, ON)
    for part in card.parts:
        for component in part.components:
            if isinstance(component, Decayed | Balance | ActiveDays):
                told = [c for c in lines if (c.part, c.component) == (part.name, component.id)]
                assert points_in_sql(component, ledger, ON) == sum(c.milli_points for c in told), component.id


# Explanations -----------------------------------------------------------------------------------------------


@given(cards(), ledgers(FEW, size=30, reach=150))
@settings(max_examples=examples(200), deadline=None)
def test_every_line_with_a_day_names_rows_of_the_ledger(card: Scorecard, ledger: Ledger) -> None:
    for line in explain(ledger, card, ON)[1]:
        behind = rows_behind(line, card, ledger, ON)
        if line.signal is None or line.day is None:
            assert (line.signal, line.day, line.count, line.total, behind) == (None, None, 0, 0, [])
        else:
            assert (line.count, line.total) == ledger[line.signal, line.day]
            assert (line.signal, line.day) in behind
            assert len(set(behind)) == len(behind)
            assert all(row in ledger and row[1] <= ON for row in behind)


@given(ledgers(["visit"], size=30, reach=150))
@settings(deadline=None)
def test_without_a_row_a_decayed_score_falls_by_exactly_its_line(ledger: Ledger) -> None:
    card = card_of(visits())
    whole, lines = explain(ledger, card, ON)
    for line in lines:
        rest = {row: amount for row, amount in ledger.items() if row != (line.signal, line.day)}
        assert score(rest, card, ON).milli_points == whole.milli_points - line.milli_points


def test_a_streak_names_all_that_happened_in_each_of_its_periods() -> None:
    card = card_of(
        Streak(id="streak", why="w", signals=("visit", "purchase"), period=30, weight=500, max_periods=6)
    )
    ledger = ledger_of({"visit": "5,12,50", "purchase": "12,70"})
    _, lines = explain(ledger, card, ON)
    assert [(line.signal, ON - (line.day or 0)) for line in lines] == [("visit", 5), ("visit", 50)]
    assert [(s, ON - day) for s, day in rows_behind(lines[0], card, ledger, ON)] == [
        ("visit", 5), ("purchase", 12), ("visit", 12),
    ]  # fmt: skip


def test_silence_names_the_days_that_the_rhythm_was_taken_from() -> None:
    card = CARDS["churn_risk"]
    ledger = ledger_of({"purchase": "120..60/30"})
    overdue = next(line for line in explain(ledger, card, ON)[1] if line.component == "overdue")
    assert overdue.day == ON - 60
    assert rows_behind(overdue, card, ledger, ON) == [("purchase", ON - age) for age in (60, 90, 120)]


def test_a_limit_is_a_line_of_its_own() -> None:
    card = card_of(visits(weight=5000), limits=(None, 4000))
    shown, lines = explain(ledger_of({"visit": 0}), card, ON)
    assert [(line.component, line.milli_points) for line in lines] == [("visits", 5000), ("limit", -1000)]
    assert shown.parts == {"all": 4000}


def test_neutral_answers_are_shown_though_they_give_no_points() -> None:
    shown, lines = explain(ledger_of({"csat_mid": 1}), CARDS["satisfaction"], ON)
    assert ("csat_mid", 0) in [(line.signal, line.milli_points) for line in lines]
    assert (shown.value, shown.evidence) == (50, 3)


# Small facts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half_life", [1, 2, 7, 14, 30, 180, 365, 1095])
def test_decay_is_rounded_as_defined_and_ends_in_nothing(half_life: int) -> None:
    table = decay_table(half_life)
    assert list(table) == [decay(age, half_life) for age in range(len(table))]
    assert table[-1] > 0 == decay(len(table), half_life)


@pytest.mark.parametrize("half_life", [1, 30, 365])
def test_the_tie_after_seven_half_lives_goes_to_the_even_side(half_life: int) -> None:
    assert decay_table(half_life)[7 * half_life] == 7812


def test_a_visit_is_worth_half_after_one_half_life() -> None:
    visited = ledger_of({"visit": 0})
    assert (
        score(visited, card_of(visits()), ON + 30).milli_points * 2
        == score(visited, card_of(visits()), ON).milli_points
    )


@given(st.integers(1, 12), st.integers(0, 400))
@settings(deadline=None)
def test_losses_are_truncated_toward_zero_as_gains_are(count: int, age: int) -> None:
    ledger = {("visit", ON - age): (count, 0)}
    gain, loss = (score(ledger, card_of(visits(weight=w)), ON).milli_points for w in (777, -777))
    assert loss == -gain


def test_a_day_counts_up_to_its_cap() -> None:
    assert score(ledger_of({"visit": "0x50"}), card_of(visits(cap=3)), ON).milli_points == 3000


@pytest.mark.parametrize(
    ("total", "points"), [(59, 0), (60, 1000), (-59, 0), (-60, -1000), (9999, 3000), (-9999, -3000)]
)
def test_totals_count_in_whole_units_and_are_capped_on_both_sides(total: int, points: int) -> None:
    card = card_of(visits(of="total", unit=60))
    assert score({("visit", ON): (1, total)}, card, ON).milli_points == points


def test_a_row_younger_than_the_least_age_waits() -> None:
    card = card_of(visits(min_age=3))
    assert [bool(score(ledger_of({"visit": age}), card, ON).milli_points) for age in (2, 3)] == [False, True]


def test_what_happens_after_the_day_asked_about_does_not_exist() -> None:
    tomorrow = {("purchase", ON + 1): (1, 0), ("complaint", ON + 1): (1, 0)}
    assert score_all(tomorrow, CARDS.values(), ON) == score_all({}, CARDS.values(), ON)


def test_silence_is_not_distrust() -> None:
    trust = score({}, CARDS["trust"], ON)
    assert (trust.value, trust.tier, trust.next_tier, trust.evidence, trust.milli_points) == (
        None,
        None,
        None,
        0,
        50_000,
    )


def test_the_next_tier_says_where_it_begins_and_how_much_is_missing() -> None:
    shown = score(worked("steady"), CARDS["loyalty"], ON).to_json()
    assert (shown["value"], shown["next_tier"]) == (43, {"tier": "loyal", "at": 50, "needs": 7})


def test_above_the_highest_tier_there_is_none() -> None:
    assert score(worked("devoted"), CARDS["loyalty"], ON).next_tier is None


@example(30)
@example(31)
@given(st.integers(0, 40))
@settings(deadline=None)
def test_a_tier_rises_at_once_and_falls_only_after_the_days_it_is_held(days: int) -> None:
    card = card_of(visits(weight=15_000, half_life=1), hold_days=30)
    assert score(ledger_of({"visit": 0}), card, ON + days).tier == ("high" if days <= 30 else "low")


def test_a_row_that_was_taken_back_to_nothing_is_as_if_it_never_was() -> None:
    nothing = {(signal, ON - 1): (0, 0) for signal in SIGNALS}
    assert score_all(nothing, CARDS.values(), ON) == score_all({}, CARDS.values(), ON)
