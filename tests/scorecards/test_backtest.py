"""The back-test: a scorecard over the whole customer base, held against what the reading side says of each customer."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.books import TODAY, a_book, event, folded, publish
from touchbook.components import Decayed
from touchbook.projections import backtest
from touchbook.projections.backtest import Standing, back_test, everybody
from touchbook.scorecard import Scorecard
from touchbook.scorecard_files import load_scorecards
from touchbook.wiring import Book

CARDS = load_scorecards()
DEEDS: list[tuple[str, dict[str, Any]]] = [
    ("order_placed", {"order_id": "o-1"}),
    ("page_viewed", {"name": "Home"}),
    ("chat_message_sent", {"text": "Where is it?", "thread": "t-1", "actor": {"kind": "customer"}}),
    ("survey_answered", {"nps": 10, "csat": 5}),
    ("survey_answered", {"nps": 2, "csat": 1}),
    ("promise_broken", {"promise_id": "p-1"}),
    ("message_sent", {"purpose": "offer"}),
    ("complaint_raised", {"text": "It never came.", "reason": "delivery"}),
    ("something_nobody_knows", {}),
]
SHARED = {"device": "kiosk-1"}


def random_events(seed: int, people: int, most: int = 12, today: int = TODAY) -> list[dict[str, Any]]:
    """Everybody did something; some under two identifiers, and many at one shared device."""
    draw = random.Random(seed)
    events = []
    for person in range(people):
        names: list[dict[str, str]] = [{"user_id": f"u-{person}"}, {"anonymous_id": f"a-{person}"}]
        names += [{**names[0], **names[1]}, {**names[0], **SHARED}, SHARED]
        for _ in range(draw.randint(1, most)):
            type, data = draw.choice(DEEDS)
            who, days = draw.choice(names), draw.choice([draw.randint(0, 40), draw.randint(0, 700)])
            events.append(event(type, data, who=who, days_ago=days + TODAY - today, id=f"e-{len(events)}"))
    return events


def standings(book: Book, candidate: Scorecard, live: Scorecard | None = None) -> dict[str, Standing]:
    found: list[Standing] = []
    with book.projections.reading() as reader:
        back_test(reader, candidate, live, TODAY, each=found.append)
    assert len({one.customer for one in found}) == len(found)
    return {one.customer: one for one in found}


def back_tested(book: Book, candidate: Scorecard, live: Scorecard | None = None) -> dict[str, Any]:
    with book.projections.reading() as reader:
        return back_test(reader, candidate, live, TODAY)


def customers_found(book: Book) -> set[str]:
    """By asking for every identifier there is, one by one."""
    with book.projections.reading() as reader:
        ids = [known.id for known in reader.groups_after("", 10**6)]
    found = [book.customers.find(id) for id in ids]
    return {customer.id for customer in found if customer.subjects}


def heavier(card: Scorecard, component: str, by: int) -> Scorecard:
    """The scorecard with one weight changed."""
    parts = tuple(
        dataclasses.replace(
            part,
            components=tuple(
                dataclasses.replace(one, weight=one.weight + by)
                if isinstance(one, Decayed) and one.id == component
                else one
                for one in part.components
            ),
        )
        for part in card.parts
    )
    return dataclasses.replace(card, parts=parts, version=card.version + 1)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 25), st.sampled_from([1, 3, 500]))
def test_the_live_scorecards_give_every_customer_the_score_that_reading_gives(
    seed: int, people: int, page: int
) -> None:
    with a_book() as book, pytest.MonkeyPatch.context() as patch:
        publish(book, random_events(seed, people))
        folded(book)
        patch.setattr(backtest.everybody, "__defaults__", (page,))
        told = {
            customer: book.customers.scores(book.customers.find(customer), TODAY)["scores"]
            for customer in customers_found(book)
        }
        for name, card in CARDS.items():
            found = standings(book, card, card)
            assert {customer: one.after.to_json() for customer, one in found.items()} == {
                customer: scores[name] for customer, scores in told.items()
            }
            assert all(one.before == one.after for one in found.values())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with a_book(tmp_path_factory.mktemp("base")) as book:
        publish(book, random_events(7, 60))
        yield folded(book)


def test_the_live_scorecard_against_itself_moves_nobody(base: Book) -> None:
    found = back_tested(base, CARDS["loyalty"], CARDS["loyalty"])
    assert found["changed"] == {"values": 0, "tiers": 0}
    assert (found["winners"], found["losers"]) == ([], [])
    assert found["before"] == found["after"]
    assert all(move["from"] == move["to"] for move in found["moves"])


def test_moves_spreads_and_counts_are_those_of_the_standings(base: Book) -> None:
    live, candidate = CARDS["loyalty"], heavier(CARDS["loyalty"], "purchases", 20_000)
    found, each = back_tested(base, candidate, live), standings(base, candidate, live)
    moves = Counter((one.before.tier, one.after.tier) for one in each.values() if one.before)
    assert {(m["from"], m["to"]): m["customers"] for m in found["moves"]} == dict(moves)
    assert found["customers"] == len(each) == sum(moves.values())
    assert found["changed"]["tiers"] == sum(n for (old, new), n in moves.items() if old != new) > 0
    for side in ("before", "after"):
        values = sorted(
            score.value for one in each.values() if (score := getattr(one, side)).value is not None
        )
        told = found[side]
        assert (told["known"], told["unknown"]) == (len(values), len(each) - len(values))
        assert told["mean"] == round(sum(values) / len(values), 2)
        assert sum(bar["customers"] for bar in told["histogram"]) == len(values)
        assert all(
            bar["customers"] == sum(bar["from"] <= value <= bar["to"] for value in values)
            for bar in told["histogram"]
        )
        for share in (5, 50, 95):
            least = told["quantiles"][f"p{share}"]
            assert sum(value <= least for value in values) * 100 >= share * len(values)
            assert sum(value < least for value in values) * 100 < share * len(values)


def test_the_ten_who_gain_most_are_named_with_reasons_that_add_up(base: Book) -> None:
    live, candidate = CARDS["loyalty"], heavier(CARDS["loyalty"], "purchases", 20_000)
    found, each = back_tested(base, candidate, live), standings(base, candidate, live)
    gains = sorted((one.gain for one in each.values() if one.gain > (0, 0)), reverse=True)
    assert [(one["value"], one["milli_points"]) for one in found["winners"]] == gains[:10]
    assert len(gains) > 10
    assert found["losers"] == []
    for one in found["winners"]:
        assert each[one["customer"]].to_json() == {
            name: one[name] for name in ("customer", "before", "after")
        }
        assert sum(why["milli_points"] for why in one["reasons"]) == one["milli_points"]
        assert {why["component"] for why in one["reasons"]} == {"purchases"}


def test_the_ten_who_lose_most_are_named_the_one_who_loses_most_first(base: Book) -> None:
    found = back_tested(base, heavier(CARDS["trust"], "x", 0), CARDS["trust"])
    assert found["losers"] == []
    found = back_tested(base, heavier(CARDS["loyalty"], "purchases", -9_000), CARDS["loyalty"])
    lost = [(one["value"], one["milli_points"]) for one in found["losers"]]
    assert lost == sorted(lost)
    assert len(lost) == 10
    assert lost[0] < (0, 0)


def test_who_has_no_value_on_either_side_neither_wins_nor_loses(base: Book) -> None:
    live = CARDS["satisfaction"]
    found = back_tested(base, dataclasses.replace(live, min_evidence=10**6), live)
    assert (found["winners"], found["losers"]) == ([], [])
    assert found["after"]["known"] == 0
    assert found["after"]["mean"] is found["after"]["quantiles"]["p50"] is None
    assert {move["to"] for move in found["moves"]} == {None}


def test_a_new_score_is_shown_alone(base: Book) -> None:
    found = back_tested(base, dataclasses.replace(CARDS["loyalty"], name="affection"))
    assert found["live"] is None
    assert not {"before", "moves", "winners", "losers", "changed"} & found.keys()
    assert found["after"]["known"] == found["customers"]


def test_signals_that_nobody_was_given_yet_are_named(base: Book) -> None:
    never = back_tested(base, CARDS["loyalty"])["signals_never_counted"]
    assert "referral_made" in never
    assert "purchase" not in never


def test_customers_are_named_by_their_permanent_ids_alone(tmp_path: Path) -> None:
    with a_book(tmp_path / "book") as book:
        who = {"email": "vera@shop.example.test", "phone": "+49 30 1234567"}
        publish(book, [event("order_placed", {"order_id": "o-1"}, who=who, id="one")])
        text = repr(
            back_tested(folded(book), heavier(CARDS["loyalty"], "purchases", 9_000), CARDS["loyalty"])
        )
    assert "vera" not in text
    assert "1234567" not in text
    assert "winners" in text


def test_pages_hold_no_more_than_they_were_asked_for(base: Book) -> None:
    """So memory does not grow with the number of customers: a page is let go before the next is read."""
    with base.projections.reading() as reader:
        pages = list(everybody(reader, 7))
    assert len(pages) > 5
    assert all(
        len(page) <= 14 for page in pages
    )  # a group is one customer here, or a shared device beside him
