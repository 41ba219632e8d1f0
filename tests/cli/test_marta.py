"""The customer that is told in full: what the desk shows of her can be relied on, in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.books import a_book, folded
from tests.marta import record_both
from touchbook.cli.story.marta import MARTA, VERA, both, heard_at, life_of
from touchbook.cli.story.pen import DAY, HOUR, SOURCES
from touchbook.cli.story.people import Person
from touchbook.timeline import Language, TimelineFilters
from touchbook.wiring import Book, now

A_DAY_IN_MAY = 1_778_000_000_000
WHO: list[Person] = [MARTA, VERA]
TIERS = {
    "loyalty": (40, "regular"),
    "emotional_loyalty": (18, "sympathetic"),
    "trust": (36, "doubtful"),
    "satisfaction": (26, "unhappy"),
    "engagement": (35, "active"),
    "churn_risk": (45, "elevated"),
    "fatigue": (44, "fine"),
}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    directory = tmp_path_factory.mktemp("marta") / "data"
    record_both(directory)
    with a_book(directory) as book:
        yield folded(book)


def timeline_of(book: Book, person: Person) -> list[dict[str, Any]]:
    customer = book.customers.find(f"user_id:{person.user_id}")
    language: Language = "ru" if person is VERA else "en"
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = book.customers.timeline(customer, TimelineFilters(), cursor, 100, language)
        items += page["items"]
        if (cursor := page["next"]) is None:
            return items


def context_of(book: Book, person: Person) -> dict[str, Any]:
    return book.customers.context(book.customers.find(f"user_id:{person.user_id}"), "offer", now())


@pytest.mark.parametrize("person", WHO)
def test_her_scores_are_those_that_are_drawn(book: Book, person: Person) -> None:
    told = {name: (one["value"], one["tier"]) for name, one in context_of(book, person)["scores"].items()}
    assert {name: tier for name, (_, tier) in told.items()} == {
        name: tier for name, (_, tier) in TIERS.items()
    }
    assert all(abs(told[name][0] - value) <= 2 for name, (value, _) in TIERS.items()), told


@pytest.mark.parametrize("person", WHO)
def test_she_waits_for_a_reply_in_three_threads_and_for_a_promise(book: Book, person: Person) -> None:
    matters = context_of(book, person)["open"]
    assert [(one["channel"], one["messages"]) for one in matters["requests"]] == [
        ("email", 2), ("email", 1), ("web_chat", 3),
    ]  # fmt: skip
    assert sorted(promise["state"] for promise in matters["promises"]) == ["broken", "open"]
    assert {(one["kind"], one["stage"]) for one in matters["cases"]} == {
        ("order", "shipped"), ("case", "waiting_for_carrier"),
    }  # fmt: skip


@pytest.mark.parametrize("person", WHO)
def test_that_nobody_answered_her_the_clock_says(book: Book, person: Person) -> None:
    said = [one for one in timeline_of(book, person) if one["source"] == "touchbook"]
    ignored = [one["channel"] for one in said if one["type"] == "request_ignored"]
    assert ignored == ["web", "email", "email"]
    assert not any(one["late"] or one["marks"] for one in said)


@pytest.mark.parametrize("person", WHO)
def test_every_touchpoint_is_hers_and_only_the_visit_to_the_shop_came_late(
    book: Book, person: Person
) -> None:
    items = [one for one in timeline_of(book, person) if one["source"] != "touchbook"]
    assert len(items) == len(life_of(person, now()))
    assert [one["type"] for one in items if one["late"]] == ["place_visited"]
    assert not any(one["marks"] for one in items)
    session = next(one for one in items if one["type"] == "ar_session_ended")
    card = book.customers.card(book.customers.find(f"user_id:{person.user_id}"))
    known = {one["id"]: one["type"] for one in card["identifiers"]}
    assert known[session["subject"]] == "anonymous_id"


def test_she_and_her_twin_are_two_people_who_speak_their_own_language(book: Book) -> None:
    marta, vera = (book.customers.find(f"user_id:{one.user_id}") for one in WHO)
    assert marta.id != vera.id
    texts = {one["detail"] for one in timeline_of(book, VERA) if one["type"] == "chat_message_sent"}
    assert "Вы здесь?" in texts


@pytest.mark.parametrize("of_day", [0, 60_000, 9 * HOUR, DAY - 1])
def test_at_any_hour_nothing_is_told_before_it_has_happened(of_day: int) -> None:
    at = A_DAY_IN_MAY // DAY * DAY + of_day
    told = both(at)
    assert all(one.at < at and heard_at(one) < at for one in told)
    assert len({(one.source, one.id) for one in told}) == len(told) == len(both(A_DAY_IN_MAY))
    assert {one.source for one in told} <= set(SOURCES)
    assert [heard_at(one) for one in told] == sorted(heard_at(one) for one in told)
