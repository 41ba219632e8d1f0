"""The promises of a duty, kept by every adapter."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from touchbook.identity import IdentityRules
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_duty import KafkaDuty
from touchbook.streams.backends.kafka_follower import seconds
from touchbook.streams.backends.kafka_topics import Identity, ensure
from touchbook.streams.duty import AlwaysHeld, Duty

PATIENCE = 90.0
SESSION = 6.0
"""The shortest that a broker allows."""
LOOK = 0.02
spawned = multiprocessing.get_context("spawn")
Open = Callable[[], Duty]


@pytest.fixture(params=["alone", pytest.param("kafka", marks=pytest.mark.server)])
def open_duty(request: pytest.FixtureRequest) -> Iterator[Open]:
    opened: list[Duty] = []

    def open() -> Duty:
        opened.append(AlwaysHeld() if request.param == "alone" else KafkaDuty(place, "clock", SESSION))
        return opened[-1]

    if request.param == "kafka":
        place = a_place(request)
    yield open
    for duty in opened:
        duty.close()


def a_place(request: pytest.FixtureRequest) -> KafkaPlace:
    place: KafkaPlace = request.getfixturevalue("kafka")
    ensure(place, rules=IdentityRules(), identity=lambda: Identity("key", b"wrapped"), parts=1)
    return place


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(LOOK)


def test_it_falls_to_who_is_alone_and_is_handed_on_when_closed(open_duty: Open) -> None:
    first = open_duty()
    first.start()
    until(first.held)
    first.close()
    first.close()
    second = open_duty()
    second.start()
    until(second.held)


@pytest.mark.server
def test_two_duties_of_other_names_are_held_by_one_process(request: pytest.FixtureRequest) -> None:
    place = a_place(request)
    duties = [KafkaDuty(place, name, SESSION) for name in ("clock", "contact")]
    for duty in duties:
        duty.start()
    until(lambda: all(duty.held() for duty in duties))
    for duty in duties:
        duty.close()
    assert not any(duty.held() for duty in duties)


@pytest.mark.server
@pytest.mark.timeout(300)
def test_who_is_killed_or_held_still_loses_it_and_never_two_believe_at_a_time(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Three processes; he who has it is held still, then resumed, killed, and the next one asked to end."""
    place = a_place(request)
    with watchmen(place, tmp_path, 3) as men:
        first = holder(men)
        first.signal(signal.SIGSTOP)
        second = holder(men, other_than=first)
        first.signal(signal.SIGCONT)
        looks = len(first.looks())
        until(lambda: len(first.looks()) > looks + 10)
        time.sleep(SESSION / 2)
        assert second.has_it(), "who comes back takes it from nobody"
        second.signal(signal.SIGKILL)
        third = holder(men, other_than=second)
        began = seconds()
        third.signal(signal.SIGTERM)
        holder(men, other_than=third)
        assert seconds() - began < SESSION, "who is asked to end hands it on without being waited for"
        for one, other in combinations(men, 2):
            for mine in one.believed():
                for his in other.believed():
                    assert min(mine.end, his.end) <= max(mine.begin, his.begin), (one, mine, other, his)


class Look(NamedTuple):
    """What a process was told: it began to ask, and had the answer, at these times of the machine's clock."""

    asked: float
    held: bool
    told: float


class Span(NamedTuple):
    begin: float
    end: float


class Watchman:
    """A process that asks again and again whether it has the duty, and writes down the answer."""

    def __init__(self, place: KafkaPlace, file: Path) -> None:
        self._file = file
        file.touch()
        self._process = spawned.Process(target=_watch, args=(place, file), daemon=True)
        self._process.start()

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)
        if number == signal.SIGKILL:
            self._process.join()

    def looks(self) -> list[Look]:
        lines = self._file.read_text().split("\n")[:-1]
        return [
            Look(float(asked), held == "True", float(told))
            for asked, held, told in (line.split() for line in lines)
        ]

    def has_it(self) -> bool:
        looks = self.looks()
        return bool(looks) and looks[-1].held and seconds() - looks[-1].told < 1

    def believed(self) -> list[Span]:
        """From one answer to the next, where both said so and it was not held still between them."""
        return [
            Span(one.told, other.asked)
            for one, other in pairwise(self.looks())
            if one.held and other.held and other.asked - one.told < 1
        ]

    def end(self) -> None:
        self._process.kill()
        self._process.join()


@contextmanager
def watchmen(place: KafkaPlace, folder: Path, many: int) -> Iterator[list[Watchman]]:
    men = [Watchman(place, folder / str(number)) for number in range(many)]
    try:
        until(lambda: all(len(man.looks()) for man in men))
        yield men
    finally:
        for man in men:
            man.end()


def holder(men: list[Watchman], other_than: Watchman | None = None) -> Watchman:
    found: list[Watchman] = []

    def one() -> list[Any]:
        found[:] = [man for man in men if man is not other_than and man.has_it()]
        return found

    until(one)
    return found[0]


def _watch(place: KafkaPlace, file: Path) -> None:
    duty = KafkaDuty(place, "clock", SESSION)
    going_on = True

    def end(*_: object) -> None:
        nonlocal going_on
        going_on = False

    signal.signal(signal.SIGTERM, end)
    duty.start()
    with file.open("a", buffering=1) as log:
        while going_on:
            asked, held, told = seconds(), duty.held(), seconds()
            log.write(f"{asked} {held} {told}\n")
            time.sleep(LOOK)
    duty.close()
