"""The watch of a replica: topics reach it in any order, and who was only decided about is not looked at."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.books import a_book, event, folded, publish
from tests.projections.cluster import Record, Replica, Topics, Workers
from tests.projections.histories import histories
from tests.projections.test_replica import Cluster, a_replica, by_name, customers_of, erase
from tests.projections.test_watch import (
    DAY,
    Decide,
    Watched,
    decisions,
    every_state,
    same_as_asking_each,
    small_pages,
    watched_anew,
)
from tests.thorough import examples
from touchbook.projections.sweep import Sweep

CUSTOMERS = tuple(f"customer-{number}" for number in range(8))


class Many:
    """A book whose journal workers tell on topics, and a watch over a replica that takes these."""

    def __init__(self, book: Any, replica: Replica, batch: int, chance: random.Random) -> None:
        self.one, self.replica, self.chance = Watched(book), replica, chance
        store = Workers()
        replica.projections._timelines = lambda build: store
        self.cluster = Cluster(book, store, batch)
        customers = customers_of(book, replica.projections)
        self.there = Watched(replace(book, projections=replica.projections, customers=customers))

    def tell(self) -> None:
        folded(self.one.book)
        self.cluster.follow()

    def take_some(self) -> None:
        """Of each part of each topic a little, as brokers keep it: of rows that were told again the last."""
        offsets = self.replica.file.offsets()
        places = list(self.cluster.topics.records.items())
        self.chance.shuffle(places)
        for at, told in places:
            start = offsets.get(at, 0)
            run = kept(told[start : start + self.chance.randint(0, 12)])
            while run:
                size = self.chance.randint(1, 6)
                self.replica.take(run[:size])
                run = run[size:]

    def take_all(self) -> None:
        while self.replica.file.offsets() != self.cluster.topics.ends():
            self.take_some()


def kept(records: list[Record]) -> list[Record]:
    last = {one.key: one.offset for one in records}
    return [one for one in records if last[one.key] == one.offset]


@contextmanager
def many(batch: int, chance: random.Random) -> Iterator[Many]:
    with a_book() as book, a_replica(Workers()) as replica:
        found = Many(book, replica, batch, chance)
        try:
            yield found
        finally:
            found.one.watch.close()
            found.there.watch.close()


def happens(those: Many, events: list[dict[str, Any]], said: list[Decide]) -> None:
    """Something of all that can, once."""
    match those.chance.randrange(9):
        case 0 | 1:
            publish(those.one.book, [events.pop() for _ in range(min(3, len(events)))])
            those.tell()
        case 2 | 3 if said:
            said.pop().do(those.one, events)
            those.tell()
        case 4 | 5:
            those.take_some()
        case 6:
            those.there.told()
        case 7:
            those.replica.restart()
        case 8:
            those.there.clock.now += DAY


@settings(max_examples=examples(15), deadline=None)
@given(
    histories(24), st.lists(decisions, max_size=10), st.booleans(), st.integers(1, 5), st.integers(0, 2**32)
)
def test_however_topics_arrive_a_replicas_watch_tells_what_asking_each_customer_tells(
    events: list[dict[str, Any]], said: list[Decide], erases: bool, batch: int, seed: int
) -> None:
    """Where nothing was decided, the same versions too."""
    decided, chance = bool(said), random.Random(seed)
    with many(batch, chance) as those, small_pages():
        for step in range(25):
            happens(those, events, said)
            if step == 20 and erases and (names := by_name(those.one.book)):
                erase(those.one.book, chance.choice(names))
                those.tell()
        for _ in range(2):
            those.take_all()
            those.there.told()
            same_as_asking_each(those.there, versions=not decided)
            assert {
                state.customer: replace(state, version="") for state in every_state(those.there.watch)
            } == watched_anew(those.there)
            happens(those, events, said)


@settings(max_examples=examples(40), deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(0, 2**32))
def test_of_few_customers_and_days_of_whom_much_is_decided_the_same(
    data: st.DataObject, batch: int, seed: int
) -> None:
    """Decisions stand beside other touchpoints in a day's record, in a stretch, or before everything else."""
    chance = random.Random(seed)
    with many(batch, chance) as those:
        say(those, 0, (FEW[0], "order_placed", 1))
        those.take_all()
        those.there.told()
        for number, some in enumerate(data.draw(st.lists(st.lists(sayings, max_size=4), max_size=8)), 1):
            for place, one in enumerate(some):
                say(those, 10 * number + place, one, told=False)
            those.tell()
            those.take_some()
            if chance.random() < 0.1:
                those.replica.restart()
            if chance.random() < 0.5:
                those.there.told()
        those.take_all()
        those.there.told()
        same_as_asking_each(those.there, versions=False)
        assert {
            state.customer: replace(state, version="") for state in every_state(those.there.watch)
        } == watched_anew(those.there)


FEW = CUSTOMERS[:2]
FELT = {"emotion": "anger", "valence": "negative", "source": "agent"}
"""Of this nothing is told but the ledger: it is no message, sets nothing, and is not for the customer."""
sayings = st.tuples(
    st.sampled_from(FEW),
    st.sampled_from(["decided", "decided", "order_placed", "emotion_observed", "emotion_observed"]),
    st.integers(0, 2),
)


def say(those: Many, number: int, one: tuple[str, str, int], *, told: bool = True) -> None:
    who, type, days_ago = one
    if type == "decided":
        decide(those, who, days_ago)
    else:
        said = {"order_id": f"o{number}", "amount": 9, "currency": "EUR"} | FELT
        publish(those.one.book, [event(type, said, who=who, id=f"e{number}", days_ago=days_ago)])
    if told:
        those.tell()


def looked_at(those: Many) -> int:
    """Customers that the watch looks at now."""
    looks, see = 0, Sweep._see

    def counted(*given: Any) -> None:
        nonlocal looks
        looks += 1
        see(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Sweep, "_see", counted)
        those.there.told()
    return looks


@pytest.mark.parametrize("seed", range(6))
def test_a_decision_costs_a_replicas_watch_no_look_and_anything_else_costs_one(seed: int) -> None:
    chance = random.Random(seed)
    with many(3, chance) as those:
        publish(those.one.book, [event("page_viewed", who=who, id=who, days_ago=1) for who in CUSTOMERS])
        those.tell()
        those.take_all()
        assert looked_at(those) == len(CUSTOMERS)
        bought = CUSTOMERS[: chance.randrange(3)]
        for who in CUSTOMERS:
            decide(those, who)
        publish(
            those.one.book,
            [
                event(
                    "order_placed", {"order_id": who, "amount": 9, "currency": "EUR"}, who=who, id=f"o{who}"
                )
                for who in bought
            ],
        )
        those.tell()
        those.take_all()
        assert looked_at(those) == len(bought)
        for who in CUSTOMERS:
            decide(those, who)
        those.tell()
        while those.replica.file.offsets() != those.cluster.topics.ends():
            those.take_some()
            assert looked_at(those) == 0
        same_as_asking_each(those.there, versions=False)


def decide(those: Many, who: str, days_ago: float = 0) -> None:
    data = {
        "reservation": f"r-{those.chance.random()}",
        "for_channel": "email",
        "purpose": "offer",
        "holds_until": "2026-06-01T13:00:00Z",
    }
    Decide("contact_reserved", data, {"user_id": who}, days_ago).do(those.one, [])


def test_what_waited_for_its_markers_when_a_replica_was_started_anew_is_looked_at() -> None:
    with many(9, random.Random(1)) as those:
        publish(those.one.book, [event("page_viewed", who="ann", id="a", days_ago=5)])
        those.tell()
        those.take_all()
        those.there.told()
        publish(those.one.book, [event("emotion_observed", FELT, who="ann", id="b", days_ago=4)])
        decide(those, "ann")
        those.tell()
        left = all_left(those.replica, those.cluster.topics)
        days = [one for one in left if one.topic.startswith("ledgers") and one.key != b"position"]
        those.replica.take(days[:1])
        those.replica.restart()
        those.there.told()
        those.take_all()
        those.there.told()
        same_as_asking_each(those.there)


def all_left(replica: Replica, topics: Topics) -> list[Record]:
    offsets = replica.file.offsets()
    return [one for at, told in topics.records.items() for one in told[offsets.get(at, 0) :]]
