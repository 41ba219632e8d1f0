"""What is handed to Kafka while brokers refuse, move, go or answer late: written once and in order, or not known."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.servers.mock_kafka import DISCONNECT, INIT_PRODUCER_ID, PRODUCE, MockKafka, kept
from tests.thorough import examples
from touchbook.errors import BrokerUnavailable
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_producer import Producer, Row

PARTS = 3
SOON, PATIENT = 1.0, 60.0
"""Delivery seconds of a test that waits for them, and of one in which all is well in time."""
HASTY_MS = 200
"""How long a request may take where answers come late."""
TOLD_SECONDS = 0.02
"""Within which all who wait are told of a failure."""

PASSING = {
    "unknown topic or partition": 3,
    "leader not available": 5,
    "not leader or follower": 6,
    "request timed out": 7,
    "not enough replicas": 19,
    "not enough replicas after append": 20,
    "storage error": 56,
    "disconnected": DISCONNECT,
}
REPEATED = 46
REFUSALS = {
    "message size too large": 10,
    "topic authorization failed": 29,
    "out of order sequence number": 45,
    "producer fenced": 47,
    "unknown producer id": 59,
    "unknown": -1,
}
BEGINNINGS = {
    "request timed out": 7,
    "coordinator load in progress": 14,
    "coordinator not available": 15,
    "not coordinator": 16,
    "not enough replicas": 19,
    "cluster authorization failed": 31,
    "concurrent transactions": 51,
    "unknown": -1,
    "disconnected": DISCONNECT,
}
"""What may be answered to who asks for the number that it is to write under."""


@pytest.fixture(scope="module")
def brokers() -> Iterator[MockKafka]:
    with MockKafka() as brokers:
        yield brokers


@dataclass
class Sent:
    part: int
    values: list[bytes]
    future: Future[list[int]]
    at: float
    failed_at: float | None = None

    def ended(self, future: Future[list[int]]) -> None:
        self.failed_at = time.monotonic() if future.exception() else None

    def known_to(self, later: Sent) -> bool:
        """Whether this had failed when that was sent."""
        return self.failed_at is not None and self.failed_at < later.at + TOLD_SECONDS


@dataclass
class Story:
    """All that was sent to one topic of some brokers."""

    brokers: MockKafka
    topic: str
    producer: Producer
    sent: list[Sent] = field(default_factory=list)

    def send(self, part: int = 0, rows: int = 3) -> Future[list[int]]:
        values = [f"{len(self.sent)}-{n}".encode() for n in range(rows)]
        future = self.producer.send([Row(self.topic, part, b"key", value) for value in values])
        self.sent.append(Sent(part, values, future, time.monotonic()))
        future.add_done_callback(self.sent[-1].ended)
        return future

    def holds(self) -> list[bytes]:
        """What stands in all parts, of which everything acknowledged is a part, once and in the order it was sent; and
        nothing stands there without what was sent before it, unless that was known to have failed."""
        stands: list[bytes] = []
        for part in range(PARTS):
            found = kept(self.brokers.written(self.topic, part))
            mine = [one for one in self.sent if one.part == part]
            assert found == [value for one in mine for value in one.values if value in found]
            missing: list[Sent] = []
            for one in mine:
                assert isinstance(one.future.exception(0), BrokerUnavailable | None)
                if {*one.values} <= {*found}:
                    assert all(earlier.known_to(one) for earlier in missing)
                else:
                    assert one.future.exception() is not None
                    missing.append(one)
            stands += found
        return stands

    def all_written(self) -> bool:
        """What was sent is there, all of it acknowledged, at the offsets that were told."""
        for one in self.sent:
            one.future.result(PATIENT)
        written = {part: self._values(part) for part in range(PARTS)}
        return len(self.holds()) == sum(len(one.values) for one in self.sent) and all(
            [written[one.part][offset] for offset in one.future.result()] == one.values for one in self.sent
        )

    def numbers(self) -> set[int]:
        """Under how many numbers of a producer it is written."""
        return {one.producer for part in range(PARTS) for one in self.brokers.written(self.topic, part)}

    def _values(self, part: int) -> list[bytes]:
        return [value for one in self.brokers.written(self.topic, part) for value in one.values]


@contextmanager
def a_story(brokers: MockKafka, seconds: float = PATIENT) -> Iterator[Story]:
    """With a topic of its own, and brokers that are well."""
    brokers.recover()
    topic = f"t{secrets.token_hex(4)}"
    brokers.make(topic, PARTS)
    place = KafkaPlace(bootstrap=tuple(brokers.bootstrap.split(",")))
    with closing(Producer(place, seconds)) as producer:
        yield Story(brokers, topic, producer)
        brokers.recover()


@pytest.mark.parametrize("error", PASSING)
def test_what_passes_is_not_noticed(brokers: MockKafka, error: str) -> None:
    with a_story(brokers) as story:
        story.send().result(PATIENT)
        brokers.answer(PRODUCE, PASSING[error], PASSING[error])
        for _ in range(10):
            story.send(0)
            story.send(1)
        assert story.all_written()
        assert len(story.numbers()) == 1
        assert story.producer.failing_because is None


@pytest.mark.parametrize("error", ["not enough replicas", "unknown topic or partition"])
def test_what_does_not_pass_in_time_is_told_and_what_was_in_hand_is_written_before_the_rest(
    brokers: MockKafka, error: str
) -> None:
    with a_story(brokers, SOON) as story:
        story.send().result(PATIENT)
        brokers.answer(PRODUCE, *[PASSING[error]] * 1_000)
        lost = [story.send(), story.send()]
        for future in lost:
            with pytest.raises(BrokerUnavailable, match="not acknowledged within 1 seconds"):
                future.result(PATIENT)
        brokers.recover()
        while story.send().exception(PATIENT):
            pass
        assert story.holds()[:6] == [value for one in story.sent[:2] for value in one.values]
        assert len(story.numbers()) == 1


@pytest.mark.parametrize("error", REFUSALS)
def test_a_refusal_is_told_and_what_comes_later_is_written_under_another_number(
    brokers: MockKafka, error: str
) -> None:
    with a_story(brokers) as story:
        story.send().result(PATIENT)
        brokers.answer(PRODUCE, REFUSALS[error])
        with pytest.raises(BrokerUnavailable, match=error):
            story.send().result(PATIENT)
        for part in (0, 1, 0):
            story.send(part).result(PATIENT)
        assert len(story.holds()) == 4 * 3
        assert len(story.numbers()) == 2


def test_what_waits_behind_a_refusal_is_not_written_either(brokers: MockKafka) -> None:
    with a_story(brokers) as story:
        story.send().result(PATIENT)
        brokers.stop(1)
        waiting = []
        for _ in range(3):
            waiting.append(story.send())
            time.sleep(2 * TOLD_SECONDS)
        brokers.answer(PRODUCE, REFUSALS["message size too large"])
        brokers.start(1)
        for future in waiting:
            with pytest.raises(BrokerUnavailable, match="message size too large"):
                future.result(PATIENT)
        story.send().result(PATIENT)
        assert len(story.holds()) == 2 * 3


def test_a_repeat_that_no_broker_can_place_any_more_is_not_acknowledged(brokers: MockKafka) -> None:
    """It is written, but where nobody knows."""
    with a_story(brokers) as story:
        brokers.answer(PRODUCE, REPEATED)
        with pytest.raises(BrokerUnavailable, match="no longer known where"):
            story.send().result(PATIENT)
        story.send().result(PATIENT)
        assert len(story.holds()) == 3


@pytest.mark.parametrize("error", BEGINNINGS)
def test_who_gets_no_number_to_write_under_asks_again(brokers: MockKafka, error: str) -> None:
    with a_story(brokers) as story:
        brokers.answer(INIT_PRODUCER_ID, BEGINNINGS[error], BEGINNINGS[error])
        story.send(0)
        story.send(1)
        assert story.all_written()


def test_who_gets_no_number_in_time_is_told_why(brokers: MockKafka) -> None:
    with a_story(brokers, SOON) as story:
        brokers.answer(INIT_PRODUCER_ID, *[31] * 1_000)
        with pytest.raises(BrokerUnavailable, match="cluster authorization failed, not acknowledged within"):
            story.send().result(PATIENT)
        brokers.recover()
        while story.send().exception(PATIENT):
            pass
        assert story.holds()


def test_a_leader_that_moves_is_followed(brokers: MockKafka) -> None:
    with a_story(brokers) as story:
        for node in (2, 3, 1, 3):
            story.send()
            brokers.lead(story.topic, 0, node)
            story.send()
        assert story.all_written()
        assert len(story.numbers()) == 1


def test_a_leader_that_goes_away_is_waited_for(brokers: MockKafka) -> None:
    with a_story(brokers) as story:
        story.send().result(PATIENT)
        brokers.stop(1)
        story.send(0)
        story.send(1).result(PATIENT)
        time.sleep(0.3)
        brokers.start(1)
        assert story.all_written()
        assert len(story.numbers()) == 1


def test_a_leader_that_goes_away_is_not_waited_for_where_another_leads(brokers: MockKafka) -> None:
    with a_story(brokers) as story:
        story.send().result(PATIENT)
        brokers.stop(1)
        story.send()
        brokers.lead(story.topic, 0, 2)
        assert story.all_written()
        assert len(story.numbers()) == 1


def test_what_was_written_and_not_answered_is_asked_again_as_a_repeat(
    brokers: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("touchbook.streams.backends.kafka.REQUEST_MS", HASTY_MS)
    with a_story(brokers) as story:
        story.send().result(PATIENT)
        brokers.answer_late(1, PRODUCE, 10 * HASTY_MS / 1_000)
        for _ in range(3):
            story.send().result(PATIENT)
        written = brokers.written(story.topic, 0)
        assert len(written) == 5
        assert written[1] == written[2]
        assert len(story.holds()) == 4 * 3


def test_a_partition_that_nobody_leads_is_told_of_and_goes_on(
    brokers: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is not known whether the last that was sent is written."""
    monkeypatch.setattr("touchbook.streams.backends.kafka.REQUEST_MS", HASTY_MS)
    with a_story(brokers, SOON) as story:
        story.send().result(PATIENT)
        brokers.answer_late(1, PRODUCE, 10.0)
        lost = story.send()
        brokers.lead(story.topic, 0, None)
        story.send(1).result(PATIENT)
        with pytest.raises(BrokerUnavailable, match="leader not available"):
            lost.result(PATIENT)
        brokers.lead(story.topic, 0, 2)
        while story.send().exception(PATIENT):
            pass
        assert len(story.numbers()) == 2
        assert story.holds()


parts = st.integers(0, PARTS - 1)
nodes = st.integers(1, PARTS)
times = st.integers(1, 2)
deeds = st.one_of(
    st.tuples(st.just("send"), parts, st.integers(1, 4)),
    st.tuples(st.just("send"), st.just(0), times),
    st.tuples(st.just("answer"), st.sampled_from([*PASSING.values(), *REFUSALS.values(), REPEATED]), times),
    st.tuples(st.just("begin"), st.sampled_from([*BEGINNINGS.values()]), times),
    st.tuples(st.just("late"), nodes, times),
    st.tuples(st.just("lead"), parts, st.none() | nodes),
    st.tuples(st.just("stop"), nodes, times),
    st.tuples(st.just("start"), nodes, times),
    st.tuples(st.just("wait"), st.sampled_from([20, 100, 2 * HASTY_MS]), times),
)


@settings(
    max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(deeds, min_size=5, max_size=40))
def test_whatever_brokers_do_nothing_is_lost_twice_or_out_of_order(
    brokers: MockKafka, monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, int, int | None]]
) -> None:
    monkeypatch.setattr("touchbook.streams.backends.kafka.REQUEST_MS", HASTY_MS)
    with a_story(brokers, SOON) as story:
        for deed in told:
            match deed:
                case "send", part, int(rows):
                    story.send(part, rows)
                case "answer", error, int(times):
                    brokers.answer(PRODUCE, *[error] * times)
                case "begin", error, int(times):
                    brokers.answer(INIT_PRODUCER_ID, *[error] * times)
                case "late", node, int(times):
                    brokers.answer_late(node, PRODUCE, *[2 * HASTY_MS / 1_000] * times)
                case "lead", part, node:
                    brokers.lead(story.topic, part, node)
                case "stop", node, _:
                    brokers.stop(node)
                case "start", node, _:
                    brokers.start(node)
                case "wait", milliseconds, _:
                    time.sleep(milliseconds / 1_000)
        brokers.recover()
        for part in range(PARTS):
            brokers.lead(story.topic, part, 1 + part)
            while story.send(part).exception(PATIENT):
                pass
        assert story.holds()
