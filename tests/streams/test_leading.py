"""When a process begins to decide whom to contact, and when it stops, without a broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

import touchbook.streams.contacting_many as contacting_many
from touchbook.errors import BrokerUnavailable, NoDecider
from touchbook.settings import settings_from
from touchbook.streams.contacting_many import Leading, reached_at

ME = "http://me:8750"


class Duty:
    def __init__(self) -> None:
        self.has = False
        self.started = False

    def start(self) -> None:
        self.started = True

    def held(self) -> bool:
        return self.has

    def close(self) -> None:
        self.has = False


class Log:
    """A log of decisions in which others begin when the test says so."""

    def __init__(self) -> None:
        self.ready = self.sees_all = True
        self.stated: Any = None
        self.begun = 0
        self.failing: Callable[[], None] = lambda: None

    def start(self) -> None: ...

    def close(self) -> None: ...

    def tend(self) -> None:
        self.failing()

    def caught_up(self) -> bool:
        return self.sees_all

    def in_force(self, epoch: str) -> bool:
        return self.stated is not None and self.stated.epoch == epoch

    def state(self, url: str) -> str:
        self.begun += 1
        self.stated = SimpleNamespace(epoch=f"epoch {self.begun}", url=url)
        return f"epoch {self.begun}"

    def begin(self, url: str) -> str:
        return self.state(url)


class Term:
    def __init__(self, decisions: Log, epoch: str, max_queue: int) -> None:
        self.epoch, self.closed = epoch, False

    def taken_over(self) -> list[Any]:
        return []

    def close(self) -> None:
        self.closed = True


class Deciding:
    def __init__(self, term: Any) -> None:
        self.term = term

    def restore(self, taken: Any) -> None:
        assert taken == []


@pytest.fixture(autouse=True)
def terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacting_many, "Term", Term)


@contextmanager
def leading(url: str | None = ME, **settings: Any) -> Iterator[tuple[Any, Duty, Log]]:
    duty, log = Duty(), Log()
    anything: Any = log
    made = Leading(duty, anything, Deciding, url, look_seconds=0.005, **{"again_seconds": 0.05, **settings})
    with closing(made):
        made.start()
        yield made, duty, log


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.002)


def where(process: Any) -> str | None:
    try:
        return process.elsewhere() or "here"
    except NoDecider:
        return None


def test_it_decides_while_it_has_the_duty_and_no_longer() -> None:
    with leading() as (process, duty, _):
        assert where(process) is None
        with pytest.raises(NoDecider):
            _ = process.here
        duty.has = True
        eventually(lambda: where(process) == "here")
        term = process.here.term
        duty.has = False
        eventually(lambda: where(process) is None)
        assert term.closed


def test_it_does_not_decide_before_readers_here_see_what_was_decided_before() -> None:
    with leading() as (process, duty, log):
        log.sees_all = False
        duty.has = True
        eventually(lambda: log.begun == 1)
        assert where(process) is None
        log.sees_all = True
        eventually(lambda: where(process) == "here")
        assert log.begun == 1


def test_when_another_begins_though_it_has_the_duty_it_leaves_it_to_him_for_a_while() -> None:
    with leading(again_seconds=3_600.0) as (process, duty, log):
        duty.has = True
        eventually(lambda: where(process) == "here")
        log.state("http://other:8750")
        eventually(lambda: where(process) == "http://other:8750")
        time.sleep(0.05)
        assert log.begun == 2


def test_when_another_began_and_is_gone_it_begins_again() -> None:
    with leading() as (process, duty, log):
        duty.has = True
        eventually(lambda: where(process) == "here")
        log.state("http://other:8750")
        eventually(lambda: log.begun == 3)
        eventually(lambda: where(process) == "here")


def test_whatever_fails_it_stops_deciding_and_tries_again() -> None:
    with leading() as (process, duty, log):
        duty.has = True
        eventually(lambda: where(process) == "here")
        term = process.here.term

        def fails() -> None:
            raise BrokerUnavailable("away")

        log.failing = fails
        eventually(lambda: where(process) is None)
        assert term.closed
        log.failing = lambda: None
        eventually(lambda: where(process) == "here")


def test_a_process_that_nobody_can_reach_offers_itself_to_nobody() -> None:
    with leading(url=None) as (process, duty, log):
        log.state("http://other:8750")
        assert (where(process), duty.started) == ("http://other:8750", False)


def test_a_process_that_knows_of_nobody_but_its_former_self_says_that_nobody_decides() -> None:
    with leading() as (process, _, log):
        log.state(ME)
        assert where(process) is None


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8750"),
        ({"host": "10.0.0.7", "port": 80}, "http://10.0.0.7:80"),
        ({"host": "fd00::7"}, "http://[fd00::7]:8750"),
        ({"host": "0.0.0.0"}, "http://this-machine:8750"),
        ({"host": "::"}, "http://this-machine:8750"),
        ({"port": 0}, None),
        ({"port": 0, "advertise": "https://one.example.test"}, "https://one.example.test"),
        ({"host": "0.0.0.0", "advertise": "http://10.0.0.7:8750"}, "http://10.0.0.7:8750"),
    ],
)
def test_other_replicas_reach_it_where_it_says_or_listens(
    settings: dict[str, Any], url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "this-machine")
    assert reached_at(settings_from(**settings)) == url
