"""The numbers that decide who is let in, without a server."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import examples
from touchbook.api.limits import (
    MOST_WORK,
    PLACES,
    PLACES_WITH_BROKERS,
    REQUEST,
    Place,
    Rates,
    Room,
    places_of,
)
from touchbook.errors import Overloaded, Refused
from touchbook.settings import settings_from
from touchbook.streams.control import AccessKey

DELAY = 0.5


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def key(source: str = "shop") -> AccessKey:
    return AccessKey(f"id-of-{source}", "publish", source, None, (), 0)


@given(st.lists(st.booleans()), st.integers(0, 5))
def test_no_more_are_let_in_than_there_are_places_however_they_come_and_go(
    comes: list[bool], places: int
) -> None:
    room, inside = Room(places, DELAY), list[Place]()
    for one_comes in comes:
        if one_comes and len(inside) < places:
            inside.append(room.take(100))
        elif one_comes:
            with pytest.raises(Overloaded):
                room.take(100)
        elif inside:
            place = inside.pop()
            place.leave()
            place.leave()
        assert room.taken == len(inside)
        assert room.work == len(inside) * (REQUEST + 100)


@settings(max_examples=examples(10), deadline=None)
@given(st.integers(1_000_000, 20_000_000), st.integers(2_000, 100_000))
def test_whatever_a_server_can_do_those_let_in_wait_about_the_delay_and_it_is_never_idle(
    speed: int, size: int
) -> None:
    """A server that does `speed` of work a second, one request after another, and is offered ten times that."""
    clock, waits = Clock(), list[float]()
    room, queue = Room(10**9, DELAY, clock=clock), deque[Place]()
    takes = (REQUEST + size) / speed
    idle = 0.0
    free_at = 0.0
    for _ in range(20_000):
        clock.now += takes / 10
        while queue and free_at + takes <= clock.now:
            place = queue.popleft()
            began, now = max(free_at, place.since), clock.now
            free_at = clock.now = began + takes
            waits.append(clock.now - place.since)
            place.leave()
            clock.now = now
        if not queue:
            idle += takes / 10
        if not room.full():
            queue.append(room.take(size))
    settled = waits[len(waits) * 2 // 3 :]
    assert max(settled) <= 2 * max(DELAY, 2 * takes)
    assert idle <= 0.2 * clock.now + takes
    assert room.most <= MOST_WORK


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(150, 480), st.integers(100, 400), st.randoms(use_true_random=False))
def test_brokers_that_stall_and_then_answer_all_who_came_turn_nobody_away_at_a_thousand_a_second(
    longest: int, size: int, chance: Random
) -> None:
    """Stalls of up to so many milliseconds, less than the delay, one after another."""
    assert _turned_away(PLACES_WITH_BROKERS, lambda: chance.randint(longest // 3, longest), size) == 0


def test_a_long_wait_behind_little_halves_what_is_let_in_and_a_shorter_one_changes_nothing() -> None:
    clock = Clock()
    room = Room(10, DELAY, clock=clock)
    before = room.most
    for waits, most in ((0.9 * DELAY, before), (10 * DELAY, before // 2), (0.9 * DELAY, before // 2)):
        place = room.take(100)
        clock.now += waits
        place.leave()
        assert room.most == most


def _turned_away(places: int, stall: Callable[[], int], size: int) -> int:
    """Singles, one a millisecond for five seconds; after each stall all that are in the room are answered."""
    room, inside, refused, answered_at = (
        Room(places, DELAY, clock=(clock := Clock())),
        list[Place](),
        0,
        stall(),
    )
    for now in range(5_000):
        clock.now = now / 1_000
        if now == answered_at:
            answered_at = now + stall()
            while inside:
                inside.pop(0).leave()
        if room.full():
            refused += 1
        else:
            inside.append(room.take(size))
    return refused


def test_a_replica_lets_more_publish_at_a_time_unless_settings_say_otherwise() -> None:
    cluster = {"journal": "kafka://127.0.0.1:9092", "projections": "clickhouse://127.0.0.1/touchbook"}
    assert places_of(settings_from()) == PLACES
    assert places_of(settings_from(**cluster)) == PLACES_WITH_BROKERS
    assert {places_of(settings_from(**more, max_in_flight=0)) for more in ({}, cluster)} == {0}


def test_one_that_waits_on_purpose_says_nothing_about_the_delay() -> None:
    clock = Clock()
    room = Room(10, DELAY, clock=clock)
    before, place = room.most, room.take(0, timed=False)
    clock.now = 30
    place.leave()
    assert room.most == before


def test_a_room_is_full_while_what_is_behind_it_is_closed() -> None:
    closed = True
    room = Room(10, DELAY, lambda: closed)
    assert room.full()
    closed = False
    assert not room.full()


@given(
    st.integers(1, 1_000),
    st.integers(1, 1_000),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 500)), max_size=60),
)
def test_no_key_sends_more_than_its_burst_its_rate_and_one_batch(
    rate: int, burst: int, sent: list[tuple[float, int]]
) -> None:
    clock = Clock()
    rates, passed, largest = Rates(rate, {}, burst, clock), 0, 0
    for pause, touchpoints in sent:
        clock.now += pause
        try:
            rates.pass_one(key())
        except Refused:
            continue
        rates.spend(key(), touchpoints)
        passed, largest = passed + touchpoints, max(largest, touchpoints)
    assert passed <= burst + rate * clock.now + largest


@given(st.integers(1, 1_000), st.integers(1, 100), st.integers(1, 5_000))
def test_who_comes_back_after_the_seconds_he_was_told_is_let_in_and_not_much_sooner(
    rate: int, burst: int, touchpoints: int
) -> None:
    clock = Clock()
    rates = Rates(rate, {}, burst, clock)
    rates.pass_one(key())
    rates.spend(key(), burst + touchpoints)
    with pytest.raises(Refused) as told:
        rates.pass_one(key())
    seconds = told.value.retry_after
    assert seconds is not None
    if seconds > 1:
        clock.now = seconds - 1.01
        with pytest.raises(Refused):
            rates.pass_one(key())
    clock.now = seconds + 0.001
    rates.pass_one(key())


def test_each_key_has_its_own_bucket_and_a_source_may_have_its_own_rate() -> None:
    rates = Rates(0, {"page": 1, "desk": 5}, 2, Clock())
    for _ in range(100):
        rates.pass_one(key("shop"))
    for source in ("page", "desk"):
        rates.pass_one(key(source))
        rates.pass_one(key(source))
        with pytest.raises(Refused, match="2 at once"):
            rates.pass_one(key(source))
