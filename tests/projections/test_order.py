"""Order: whatever the order, the batching, the repeats and the installation, the same customers come out."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.books import NOON, SHOP, TODAY, a_book, folded, publish
from tests.projections.histories import histories
from tests.projections.reference_fold import Reference
from tests.rules.reference_scoring import reference_score
from tests.thorough import examples
from touchbook.projections.who import Customer
from touchbook.schemas.times import day_text
from touchbook.schemas.touchpoint import Identifier, Touchpoint
from touchbook.streams.admission import Item
from touchbook.streams.follow import catch_up
from touchbook.timeline import TimelineFilters
from touchbook.wiring import Book

pytestmark = pytest.mark.timeout(600)  # a failure is worth the time it takes to make it small
few = settings(max_examples=examples(20), deadline=None)


def touchpoints_of(book: Book, events: list[dict[str, Any]]) -> list[Touchpoint]:
    return [book.admission.touchpoint_of(Item("cloudevents", one, {}), SHOP, NOON) for one in events]


def find(book: Book, identifier: Identifier) -> Customer:
    return book.customers.lookup(identifier.type, identifier.value)


def identifiers_of(customer: Customer) -> frozenset[Identifier]:
    return frozenset(member.identifier for member in customer.members)


def timeline_keys(book: Book, customer: Customer) -> list[str]:
    keys, cursor = [], None
    while True:
        page = book.customers.timeline(customer, TimelineFilters(), cursor, 7, "en")
        keys += [item["key"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            return keys


def same(told: dict[str, Any], reference: dict[str, Any]) -> None:
    for name in ("milli_points", "value", "tier", "parts", "evidence"):
        assert told[name] == reference[name], name


@few
@given(histories(), st.randoms(use_true_random=False), st.integers(1, 9))
def test_any_order_any_batching_and_repeats_give_the_same_digests(
    events: list[dict[str, Any]], rnd: random.Random, batch: int
) -> None:
    shuffled = [*events, *rnd.sample(events, len(events) // 2)]
    rnd.shuffle(shuffled)
    with a_book() as one, a_book() as other:  # two installations: other keys, so other permanent ids
        publish(one, events)
        for start in range(0, len(shuffled), batch):
            publish(other, shuffled[start : start + batch])
            if rnd.random() < 0.5:
                catch_up(other.journal, other.projections, other.folder, batch)
        assert folded(one).projections.digest() == folded(other, batch).projections.digest()
        assert one.folder.unreadable == other.folder.unreadable == 0


@few
@given(histories())
def test_everything_equals_the_slow_and_obvious_fold(events: list[dict[str, Any]]) -> None:
    with a_book() as book:
        assert {outcome.outcome for outcome in publish(book, events)} == {"accepted"}
        folded(book, batch=5)
        reference = Reference(touchpoints_of(book, events), book.catalogue)
        for expected in reference.customers():
            customer = find(book, min(expected))
            assert identifiers_of(customer) == expected
            assert timeline_keys(book, customer) == [one.key for one in reference.timeline(expected)]
            with book.projections.reading() as reader:
                ledgers = reader.ledgers(customer.ids)
                registers = {(one.kind, one.key): one.value for one in reader.registers(customer.ids)}
            ledger: dict[tuple[str, int], tuple[int, int]] = {}
            for one in ledgers.values():
                for row, (count, total) in one.items():
                    so_far = ledger.get(row, (0, 0))
                    ledger[row] = (so_far[0] + count, so_far[1] + total)
            assert ledger == reference.ledger(expected)
            assert registers == reference.registers(expected)
            waiting = book.customers.context(customer, "service", NOON)["open"]["requests"]
            assert {one["thread"] for one in waiting} == set(reference.waiting(expected))


@few
@given(histories(), st.integers(0, 400))
def test_scores_of_any_day_equal_the_reference_over_what_had_occurred(
    events: list[dict[str, Any]], ago: int
) -> None:
    with a_book() as book:
        publish(book, events)
        folded(book)
        reference = Reference(touchpoints_of(book, events), book.catalogue)
        at = TODAY - ago
        for expected in reference.customers():
            customer = find(book, min(expected))
            ledger = {row: amount for row, amount in reference.ledger(expected).items() if row[1] <= at}
            told = book.customers.scores(customer, at)
            assert told["at"] == day_text(at)
            for card in book.scorecards.describe():
                score, _ = reference_score(card, ledger, at)
                same(told["scores"][card["name"]], score)


@few
@given(histories(), st.data())
def test_the_sum_of_an_explanation_is_the_score_and_without_is_refolding_without(
    events: list[dict[str, Any]], data: st.DataObject
) -> None:
    with a_book() as book:
        publish(book, events)
        folded(book)
        reference = Reference(touchpoints_of(book, events), book.catalogue)
        expected = data.draw(st.sampled_from(sorted(reference.customers(), key=sorted)))
        customer = find(book, min(expected))
        timeline = reference.timeline(expected)
        key = data.draw(st.sampled_from(timeline)).key if timeline else None
        for card in book.scorecards.describe():
            told = book.customers.explain(customer, card["name"], TODAY, without=key, with_="complaint")
            assert (
                sum(line["milli_points"] for line in told["contributions"]) == told["score"]["milli_points"]
            )
            assert all(
                set(line["touchpoints"]) <= {one.key for one in timeline} for line in told["contributions"]
            )
            assert all(line["touchpoints"] for line in told["contributions"] if line["signal"] is not None)
            if key is not None:
                refolded, _ = reference_score(card, reference.ledger(expected, without=key), TODAY)
                same(told["without"]["score"], refolded)
            mended = reference.ledger(expected)
            count, total = mended.get(("complaint", TODAY), (0, 0))
            refolded, _ = reference_score(card, {**mended, ("complaint", TODAY): (count + 1, total)}, TODAY)
            same(told["with"]["score"], refolded)
