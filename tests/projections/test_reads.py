"""Reading fast: what is remembered, gathered or left out on the way never changes an answer."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain.reads import plain_customers
from tests.books import TODAY, a_book, event, folded, publish
from tests.projections.histories import NAMED, histories
from tests.thorough import examples
from touchbook.errors import CustomerUnknown, ScorecardUnknown
from touchbook.identity import resolve
from touchbook.projections.customers import Customers
from touchbook.projections.who import Customer
from touchbook.registers import open_requests
from touchbook.wiring import Book

REFS = [ref for ref in NAMED if not ref.startswith("email")]
DAYS = [TODAY - 200, TODAY - 1, TODAY, TODAY + 30]
few = settings(max_examples=examples(12), deadline=None)


def found(customers: Customers) -> dict[str, Customer]:
    known = {}
    for ref in REFS:
        try:
            known[ref] = customers.find(ref)
        except CustomerUnknown:
            continue
    return known


def same_answers(book: Book) -> None:
    """Twice, so that what was remembered is asked too."""
    plain = plain_customers(book)
    people = found(plain)
    for _ in range(2):
        assert found(book.customers) == people
        for customer in people.values():
            for day in DAYS:
                told = plain.scores(customer, day)
                assert book.customers.scores(customer, day) == told
                assert book.customers.standing(customer, day).encoded() == as_bytes(told)
            with book.projections.reading() as reader:
                waiting = open_requests(reader.latest_messages(customer.subjects))
                assert waiting == open_requests(reader.messages(customer.subjects))
        asked = [(ref, day) for ref in [*REFS, "user_id:nobody", "no reference"] for day in DAYS]
        assert book.customers.batch(asked) == plain.batch(asked)
        assert book.customers.batch(asked, ["trust", "loyalty"]) == plain.batch(asked, ["trust", "loyalty"])


def as_bytes(told: dict[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


@few
@given(histories(), st.integers(0, 30))
def test_answers_are_those_of_plain_reading_before_and_after_more_came(
    events: list[dict[str, Any]], cut: int
) -> None:
    with a_book() as book:
        for some in (events[:cut], events[cut:]):
            publish(book, some)
            same_answers(folded(book))


@few
@given(histories(), st.sampled_from(DAYS), st.data())
def test_explanations_are_those_of_plain_reading(
    events: list[dict[str, Any]], day: int, data: st.DataObject
) -> None:
    with a_book() as book:
        publish(book, events)
        plain = plain_customers(folded(book))
        for customer in found(plain).values():
            name = data.draw(st.sampled_from(sorted(book.scorecards)))
            with book.projections.reading() as reader:
                keys = [deed.key for deed in reader.deeds(customer.subjects, 2**62)]
            without = data.draw(st.sampled_from(keys)) if keys else None
            asked = (customer, name, day, without, "purchase:1000")
            assert book.customers.explain(*asked) == plain.explain(*asked)


def test_what_is_remembered_holds_until_something_of_the_customer_changes() -> None:
    with a_book() as book:
        publish(book, [event("page_viewed", {"name": "Home"}, who=who) for who in ("ann", "bob")])
        customers, asked = folded(book).customers, [("user_id:ann", TODAY), ("user_id:bob", TODAY)]
        assert customers.remembered(asked) == [None, None]

        before = customers.standings(asked)
        assert customers.remembered(asked) == before

        publish(book, [event("complaint_raised", {"subject": "Late"}, who="bob")])
        folded(book)
        assert customers.remembered(asked) == [before[0], None]
        assert customers.standing(customers.find("user_id:bob"), TODAY) != before[1]


def test_nobody_is_remembered_under_a_reference_that_is_unknown_or_none() -> None:
    with a_book() as book:
        assert book.customers.remembered([("user_id:ann", TODAY), ("e-mail", TODAY)]) == [None, None]
        with pytest.raises(CustomerUnknown):
            book.customers.find("user_id:ann")
        with pytest.raises(ScorecardUnknown):
            book.customers.standings([], ["luck"])


@few
@given(histories(), st.integers(0, 30), st.integers(0, 30))
def test_large_groups_are_who_they_are_when_resolved_anew(
    events: list[dict[str, Any]], cut: int, more: int
) -> None:
    with patch("touchbook.projections.groups.LARGE", 1), a_book() as book:
        for some in (events[:cut], events[cut : cut + more], events[cut + more :]):
            publish(book, some)
            folded(book)
            assert found(book.customers) == found(plain_customers(book))


def test_a_large_group_is_resolved_anew_only_when_somebody_says_something_new() -> None:
    def visit(who: dict[str, str]) -> dict[str, Any]:
        return event("page_viewed", {"name": "Home"}, who=who)

    with a_book() as book:
        publish(book, [visit({"user_id": "ann", "anonymous_id": f"a{n}"}) for n in range(250)])
        customers = folded(book).customers
        assert len(customers.find("user_id:ann").refused) == 50  # 200 anonymous ids are all that one can have
        with patch("touchbook.projections.who.resolve", wraps=resolve) as resolving:
            publish(book, [visit({"user_id": "ann", "anonymous_id": "a7"}), visit({"anonymous_id": "a8"})])
            again = folded(book).customers.find("user_id:ann")
            assert (resolving.call_count, len(again.members), len(again.refused)) == (0, 201, 50)

            publish(book, [visit({"user_id": "ann", "anonymous_id": "null"})])
            assert len(folded(book).customers.find("user_id:ann").refused) == 51
            assert resolving.call_count == 1
