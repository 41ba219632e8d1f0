"""The topic of scores on a real broker: told once, gone on after a restart, and mended where another told otherwise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition

from tests.books import a_book, event, folded, publish
from tests.streams.sharing import Shared
from tests.streams.test_scores_topic import CUSTOMERS, Watched, state
from touchbook.errors import TopicsMissing
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_producer import Row
from touchbook.streams.backends.kafka_records import part_for
from touchbook.streams.backends.kafka_scores import KafkaScores
from touchbook.streams.backends.kafka_topics import SCORES, all_in, described
from touchbook.streams.duty import AlwaysHeld
from touchbook.streams.scores_topic import ScoresTopic, content_in, content_of

pytestmark = pytest.mark.server

PATIENCE = 30.0


@pytest.fixture
def shared(kafka: KafkaPlace, tmp_path: Path) -> Iterator[Shared]:
    with closing(Shared(kafka, tmp_path)) as shared:
        yield shared


Teller = Callable[[Any], ScoresTopic]


@pytest.fixture
def teller(shared: Shared) -> Iterator[Teller]:
    """Starts one over the file of one process; at the end all are closed."""
    ended: list[Callable[[], None]] = []
    parts = described(shared.place).parts

    def start(watch: Any) -> ScoresTopic:
        end()
        told = KafkaScores(shared.folder("one"), shared.place, shared.producer, parts)
        topic = ScoresTopic(watch, told, AlwaysHeld(), share=1)
        ended.append(topic.close)
        topic.start()
        return topic

    def end() -> None:
        while ended:
            ended.pop()()

    yield start
    end()


def records(place: KafkaPlace) -> list[tuple[str, bytes | None]]:
    topic = place.topic(SCORES)
    with closing(place.consumer()) as consumer:
        if not consumer.partitions_for_topic(topic):
            raise TopicsMissing(place.prefix)
        parts = [TopicPartition(topic, part) for part in sorted(consumer.partitions_for_topic(topic))]
        return [(one.key.decode(), one.value) for part in parts for one in all_in(consumer, part)]


def said(place: KafkaPlace) -> dict[str, Any]:
    return {who: content_in(value) for who, value in dict(records(place)).items() if value is not None}


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_topic_keeps_up_and_a_restart_tells_only_what_changed_meanwhile(
    shared: Shared, teller: Teller
) -> None:
    ann, bob, cid = CUSTOMERS
    watch = Watched({ann: 90, bob: 10})
    watch.see()
    teller(watch)
    eventually(lambda: said(shared.place).keys() == {ann, bob})

    watch.true |= {bob: 90, cid: 10}
    watch.see()
    expected = {who: content_of(state(who, value)) for who, value in watch.true.items()}
    eventually(lambda: said(shared.place) == expected)

    told = len(records(shared.place))
    del watch.true[ann]
    watch.see()  # whether or not it is told before the restart
    teller(watch)
    eventually(lambda: said(shared.place).keys() == {bob, cid})
    assert len(records(shared.place)) == told + 1
    key, value = next(one for one in records(shared.place) if one[1] is None)
    assert (key, value) == (ann, None)


def test_what_another_told_meanwhile_is_mended(shared: Shared, teller: Teller) -> None:
    ann, bob, _ = CUSTOMERS
    watch = Watched({ann: 90})
    watch.see()
    teller(watch)
    eventually(lambda: said(shared.place).keys() == {ann})
    parts = described(shared.place).parts
    topic = shared.place.topic(SCORES)
    late = [
        Row(topic, part_for(ann, parts), ann.encode(), None),
        Row(topic, part_for(bob, parts), bob.encode(), json.dumps({"scores": {}, "matters": []}).encode()),
    ]
    shared.producer.send(late).result()
    eventually(lambda: said(shared.place) == {ann: content_of(state(ann, 90))})


def test_how_a_books_customers_stand_is_told_those_who_merged_and_the_erased_are_gone(
    shared: Shared, teller: Teller
) -> None:
    with a_book() as book:
        calls = [
            event("order_placed", {"order_id": f"o-{n}"}, who=f"u-{n % 5}", id=f"e-{n}") for n in range(20)
        ]
        publish(book, [*calls, event("page_viewed", who={"anonymous_id": "a-1"}, days_ago=3, id="page")])
        folded(book).watch.look()
        teller(book.watch)
        eventually(lambda: len(said(shared.place)) == 6)

        merged = event("identified", who={"user_id": "u-1", "anonymous_id": "a-1"}, id="merged")
        publish(
            book,
            [merged, event("chat_message_sent", {"text": "Hello?", "thread": "t"}, who="u-2", id="chat")],
        )
        folded(book).watch.look()
        book.erasures.erase(book.customers.id_of("user_id:u-3"), None)
        folded(book).watch.look()

        expected = {one.customer: content_of(one) for one in book.watch.states()}
        assert len(expected) == 4
        eventually(lambda: said(shared.place) == expected)
