"""What the topic of scores says in the end, whatever was killed, lost, doubled or told by two at once."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import examples
from touchbook.errors import BrokerUnavailable
from touchbook.projections.watched import Change, Matter, State, Stood
from touchbook.streams import scores_topic
from touchbook.streams.scores_topic import ScoresTopic, content_in, content_of, digest_of, value_of

KEPT = 4
"""Changes that the watch of these tests keeps."""


def state(customer: str, value: int, milli_points: int = 0, matters: Sequence[Matter] = ()) -> State:
    tier = "critical" if value > 50 else "calm"
    return State(customer, f"v{value}", 20_000, {"churn_risk": Stood(value, tier, milli_points)}, matters)


@dataclass
class Watched:
    """One process's watch, which sees what is true later than it is, and keeps few changes."""

    true: dict[str, int]
    here: dict[str, State] = field(default_factory=dict)
    log: list[Change] = field(default_factory=list)
    forgot: int = 0
    as_of: int | None = 1

    def see(self) -> None:
        for who in {*self.here, *self.true}:
            now = state(who, self.true[who]) if who in self.true else None
            if now != self.here.get(who):
                seq = len(self.log) + 1
                self.log.append(Change(seq, str(seq), 0, who, "v", {}, (), (), gone=now is None))
                self.put(who, now)

    def put(self, who: str, now: State | None) -> None:
        if now is None:
            self.here.pop(who, None)
        else:
            self.here[who] = now

    def forget(self, who: str) -> None:
        """He was erased: nothing says so."""
        if who in self.here:
            self.put(who, None)
            self.forgot += 1

    def of(self, customer: str) -> State | None:
        return self.here.get(customer)

    def states(self, after: str, limit: int) -> list[State]:
        return [self.here[one] for one in sorted(self.here) if one > after][:limit]

    def last(self) -> str:
        return str(len(self.log))

    def changes(self, token: str, limit: int) -> list[Change] | None:
        since = int(token)
        return None if since < len(self.log) - KEPT else self.log[since:][:limit]

    def listen(self, listener: Any) -> Any:
        return lambda: None


@dataclass
class Topic:
    log: list[tuple[str, bytes | None]] = field(default_factory=list)

    @property
    def said(self) -> dict[str, Any]:
        return {key: content_in(value) for key, value in dict(self.log).items() if value is not None}


@dataclass
class Told:
    """One process's reading of the topic, which comes behind."""

    topic: Topic
    digests: dict[str, bytes] = field(default_factory=dict)
    read: int = 0
    doubted: set[str] = field(default_factory=set)
    failing: str = ""
    reading: bool = False
    meanwhile: list[Any] = field(default_factory=list)
    """What happens while everybody is being compared."""

    def start(self) -> None:
        assert not self.reading
        self.reading = True

    def stop(self) -> None:
        self.reading = False

    def close(self) -> None:
        self.stop()

    def follow(self, records: int) -> None:
        for key, value in self.topic.log[self.read : self.read + records]:
            digest = None if value is None else digest_of(content_in(value))
            if self.digests.get(key) != digest:
                self.doubted.add(key)
            if digest is None:
                self.digests.pop(key, None)
            else:
                self.digests[key] = digest
            self.read += 1

    def caught_up(self, seconds: float) -> bool:
        self.follow(len(self.topic.log))
        return True

    def of(self, customers: Collection[str]) -> dict[str, bytes]:
        return {one: self.digests[one] for one in customers if one in self.digests}

    def between(self, after: str, last: str) -> dict[str, bytes]:
        while self.meanwhile:
            self.meanwhile.pop()()
        return {one: digest for one, digest in self.digests.items() if after < one <= last}

    def read_back(self) -> set[str]:
        found, self.doubted = self.doubted, set()
        return found

    def tell(self, values: Mapping[str, bytes | None]) -> None:
        if self.failing == "before":
            raise BrokerUnavailable("away")
        self.topic.log += values.items()
        if self.failing == "after":
            raise BrokerUnavailable("not acknowledged")


CUSTOMERS = [f"{n:032x}" for n in range(3)]
WHO = st.sampled_from(CUSTOMERS)
WHICH = st.integers(0, 1)
VALUE = st.sampled_from([None, 10, 90])
LOOK = st.tuples(st.just("look"), WHICH)
STEPS = st.lists(
    st.one_of(
        LOOK,
        st.tuples(st.just("follow"), WHICH, st.integers(1, 4)),
        st.tuples(st.just("set"), WHO, VALUE),
        st.tuples(st.just("set and look"), WHO, VALUE),
        st.tuples(st.just("meanwhile"), WHICH, WHO, VALUE),
        st.tuples(st.just("erase"), WHO),
        st.tuples(st.just("see"), WHICH),
        st.tuples(st.just("fail"), WHICH, st.sampled_from(["", "before", "after"])),
        st.tuples(st.just("kill"), WHICH),
        st.tuples(st.just("hold"), WHICH, st.booleans()),
    ),
    max_size=30,
)


@dataclass
class Believed:
    """A duty that this process believes to have, or not."""

    mine: bool

    def start(self) -> None: ...

    def held(self) -> bool:
        return self.mine

    def close(self) -> None: ...


class Two:
    """Two processes that may both believe that the duty is theirs, over one topic."""

    def __init__(self) -> None:
        self.true: dict[str, int] = {}
        self.topic = Topic()
        self.watches = [Watched(self.true), Watched(self.true)]
        self.told = [Told(self.topic), Told(self.topic)]
        self.duties = [Believed(False), Believed(True)]
        self.tellers = [self.made(0), self.made(1)]

    def made(self, which: int) -> ScoresTopic:
        return ScoresTopic(self.watches[which], self.told[which], self.duties[which], share=1)

    def set(self, who: str, value: int | None) -> None:
        if value is None:
            self.true.pop(who, None)
        else:
            self.true[who] = value

    def step(self, name: str, *given: Any) -> None:
        match name, given:
            case "set", (who, value):
                self.set(who, value)
            case "set and look", (who, value):
                self.set(who, value)
                self.watches[1].see()
                self.look(1)
            case "meanwhile", (which, who, value):
                self.told[which].meanwhile += [self.watches[which].see, lambda: self.set(who, value)]
            case "erase", (who,):
                self.set(who, None)
                for watch in self.watches:
                    watch.forget(who)
            case "see", (which,):
                self.watches[which].see()
            case "look", (which,):
                self.look(which)
            case "follow", (which, records):
                if self.told[which].reading:
                    self.told[which].follow(records)
            case "fail", (which, how):
                self.told[which].failing = how
            case "kill", (which,):  # the file stays, the memory goes
                self.told[which].doubted, self.told[which].reading = set(), False
                self.tellers[which] = self.made(which)
            case "hold", (which, held):
                self.duties[which].mine = held

    def look(self, which: int) -> int:
        try:
            return self.tellers[which].look()
        except BrokerUnavailable:
            self.tellers[which].lost()
            return 0

    def settle(self) -> None:
        """One of them holds the duty from now on, and nothing fails any more."""
        self.duties[0].mine, self.duties[1].mine = False, True
        self.look(0)
        self.told[1].failing = ""
        idle = 0
        for _ in range(40):
            self.watches[1].see()
            looked = self.look(1)
            self.told[1].follow(len(self.topic.log))
            idle = 0 if looked or self.told[1].doubted else idle + 1
            if idle == 2:
                return
        raise AssertionError("it never comes to rest")


@pytest.mark.parametrize("page", [2, 500])
@given(steps=STEPS)
@settings(max_examples=examples(300), deadline=None)
def test_the_topic_says_in_the_end_how_everybody_stands(page: int, steps: list[tuple[Any, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores_topic, "PAGE", page)
        two = Two()
        for name, *given_ in steps:
            two.step(name, *given_)
        two.settle()
    assert two.topic.said == {who: content_of(state(who, value)) for who, value in two.true.items()}


def test_nothing_is_told_twice_where_nothing_changed() -> None:
    two = Two()
    for who in CUSTOMERS:
        two.set(who, 90)
    two.settle()
    told = len(two.topic.log)
    two.step("kill", 1)
    two.settle()
    assert (told, len(two.topic.log)) == (len(CUSTOMERS), len(CUSTOMERS))


def test_nobody_is_taken_away_by_a_watch_that_has_not_seen_everybody() -> None:
    two = Two()
    two.set(CUSTOMERS[0], 90)
    two.settle()
    two.step("kill", 1)
    two.watches[1].here, two.watches[1].as_of = {}, None
    assert two.look(1) == 0
    assert len(two.topic.log) == 1


def test_a_value_says_how_he_stands_and_points_alone_are_no_news() -> None:
    open_since = Matter("request", "d", 1_772_442_900_000, 1_772_443_800_000)
    one = state(CUSTOMERS[0], 84, 31_500, [open_since])
    assert orjson.loads(value_of(one)) == {
        "customer": CUSTOMERS[0],
        "at": "2024-10-04",
        "version": "v84",
        "scores": {"churn_risk": {"value": 84, "tier": "critical", "milli_points": 31_500}},
        "matters": [
            {"kind": "request", "since": "2026-03-02T09:15:00.000Z", "due": "2026-03-02T09:30:00.000Z"}
        ],
    }
    assert (
        content_in(value_of(one)) == content_of(one) == content_of(state(CUSTOMERS[0], 84, 7, [open_since]))
    )
    assert content_of(one) != content_of(state(CUSTOMERS[0], 85, 31_500, [open_since]))
    assert content_of(one) != content_of(state(CUSTOMERS[0], 84, 31_500))


@pytest.mark.parametrize("value", [b"", b"null", b"[]", b'{"scores": 3, "matters": []}', b"\xff"])
def test_what_is_none_of_ours_equals_nobody(value: bytes) -> None:
    assert content_in(value) is None


def test_it_is_counted_how_often_telling_failed_and_how_many_customers_wait() -> None:
    two = Two()
    for who in CUSTOMERS:
        two.set(who, 90)
    two.watches[1].see()
    assert (two.tellers[0].waiting(), two.tellers[1].waiting()) == (0, len(CUSTOMERS))
    two.settle()
    assert two.tellers[1].waiting() == 0
    two.step("fail", 1, "before")
    two.set(CUSTOMERS[0], 10)
    two.watches[1].see()
    teller = two.tellers[1]
    teller.start()
    while teller.failed < 2:
        time.sleep(0.005)
    assert teller.waiting() == len(CUSTOMERS), "it is not known what was told last"
    two.told[1].failing = ""
    while teller.waiting():
        time.sleep(0.005)
    failed = teller.failed
    teller.close()
    assert failed == teller.failed >= 2
    assert two.topic.said[CUSTOMERS[0]] == content_of(state(CUSTOMERS[0], 10))
