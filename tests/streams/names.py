"""Records whose headers have a name that is no UTF-8, as a careless producer writes them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from kafka import KafkaProducer

from touchbook.streams.backends.kafka import KafkaPlace

NAME = "x\udcff\udcfe"
"""As it is read."""
POISON = b'{"poison": 1}'
STRUCTURED = ("content-type", b"application/cloudevents+json")


class Bad(str):
    """What a client writes as this name."""

    def encode(self, *_: Any, **__: Any) -> bytes:
        return NAME.encode(errors="surrogateescape")


def produce(
    place: KafkaPlace, topic: str, batches: Sequence[Sequence[bytes | None]], compression: str | None = None
) -> None:
    """Each batch becomes a batch of Kafka's, of partition 0; None is a record with a bad name. Keys are as values."""
    with closing(
        KafkaProducer(bootstrap_servers=place.bootstrap, compression_type=compression, linger_ms=60_000)
    ) as producer:
        for batch in batches:
            for value in batch:
                headers = [STRUCTURED, (Bad("x"), b"1")] if value is None else [STRUCTURED]
                said = value or POISON
                producer.send(place.topic(topic), said, key=said, headers=headers, partition=0)
            producer.flush()
