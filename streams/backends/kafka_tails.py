"""The ends of topics, and how far a group has come: what a worker looks at beside the records it is given."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from touchbook.errors import BrokerUnavailable
from touchbook.streams.backends.kafka import KafkaPlace, reaching

READ_SECONDS = 10.0


class Standing(NamedTuple):
    """How far a group has come in a part of a topic, which has records from the offset `first` to before `end`.
    `committed` is the offset it goes on from; None while it has acknowledged nothing."""

    first: int
    committed: int | None
    end: int

    @property
    def lag(self) -> int:
        """How many records it has not acknowledged."""
        return max(self.end - (self.first if self.committed is None else self.committed), 0)


class KafkaTails:
    """See `published.Tails`. Any thread may use it, one at a time."""

    def __init__(self, place: KafkaPlace, group: str | None = None) -> None:
        self._place = place
        self._group = group
        self._lock = threading.Lock()
        self._client: KafkaConsumer | None = None

    def ends(self, places: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
        asked = [TopicPartition(*place) for place in places]
        if not asked:
            return {}
        with self._using() as client:
            found = client.end_offsets(asked)
        return {(one.topic, one.partition): end for one, end in found.items()}

    def lag(self, places: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        """How many records of each (topic, part) the group has not acknowledged."""
        return {place: one.lag for place, one in self.standing(places).items()}

    def standing(self, places: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], Standing]:
        asked = [TopicPartition(*place) for place in places]
        if not asked:
            return {}
        with self._using() as client:
            done = {one: client.committed(one) for one in asked}
            ends = client.end_offsets(asked)
            firsts = client.beginning_offsets(asked)
        return {(one.topic, one.partition): Standing(firsts[one], done[one], ends[one]) for one in asked}

    def read(self, topic: str, part: int, start: int, end: int) -> Sequence[tuple[bytes, bytes | None]]:
        """Keys and values of what is there from one offset to before another; what was compacted away is missing."""
        return [(record.key or b"", record.value) for record in self.records(topic, part, start, end)]

    def records(self, topic: str, part: int, start: int, end: int) -> list[Any]:
        """The same as Kafka's client gives it."""
        there = TopicPartition(topic, part)
        found: list[Any] = []
        with self._using() as client:
            client.assign([there])
            client.seek(there, max(start, client.beginning_offsets([there])[there]))
            deadline = time.monotonic() + READ_SECONDS
            while client.position(there) < end:
                polled = client.poll(timeout_ms=500).get(there, ())
                found += [record for record in polled if record.offset < end]
                if time.monotonic() > deadline:
                    raise BrokerUnavailable("brokers give nothing of what they say is there")
            client.unsubscribe()
        return found

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _using(self) -> Iterator[KafkaConsumer]:
        """A client, given up where it fails: it may go on asking for minutes who leads a partition no longer."""
        with self._lock, reaching():
            client = self._client = self._client or self._place.consumer(group_id=self._group)
            try:
                yield client
            except BaseException:
                self._client = None
                with suppress(KafkaError):
                    client.close()
                raise
