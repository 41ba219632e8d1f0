"""Which client writes to Kafka: records like the journal's, acknowledged by a real broker on this machine.

`python -m benchmarks.kafka_clients [--quick]`. librdkafka is a yardstick where it is installed; it is no part of the
product. The broker shares the cores, so compare the CPU of the client as much as its rate.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from importlib.util import find_spec
from typing import Any

from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from benchmarks.measure import timed
from benchmarks.table import HEAD, Row, cells, line, say
from tests.servers.kafka import Kafka
from touchbook.streams.backends import kafka_producer
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_producer import BATCH_BYTES, Producer
from touchbook.streams.backends.kafka_records import headers_of, part_for

RECORDS = 100_000
ROUNDS = 3
"""All in turn, so many times; the best of each counts, as the machine has other work."""
PARTS = 4
SENT_AT_ONCE = 200
TOPIC = "clients.journal"
AT = 1_760_000_000_000
FLYING = 20_000
"""Records that are not acknowledged yet, at most: what the journal allows itself."""

Record = kafka_producer.Row


def rows(quick: bool = False) -> Iterator[Row]:
    with Kafka() as server:
        place = KafkaPlace(bootstrap=(server.bootstrap,), prefix="clients")
        with closing(place.admin()) as admin:
            admin.create_topics(
                {TOPIC: {"num_partitions": PARTS, "replication_factor": 1}}, wait_for_metadata=True
            )
        records = made(5_000 if quick else RECORDS)
        works = [(what, work) for what, client in CLIENTS.items() if (work := client(place, records))]
        ours(place, records)()  # a broker is slow at first
        best: dict[str, tuple[float, float]] = {}
        for what, work in works * (1 if quick else ROUNDS):
            best[what] = max(best.get(what, (0.0, 0.0)), timed(work, len(records)))
        base = next(iter(best.values()))[0]
        for what, (rate, cpu) in best.items():
            yield Row(what, rate, cpu, f"{rate / base:.2f} of ours")


def made(count: int) -> list[Record]:
    """300 to 600 bytes under eight headers, 5,000 subjects."""
    draw = random.Random(1)
    subjects = [f"{draw.getrandbits(128):032x}" for _ in range(5_000)]
    return [record(draw.choice(subjects), draw.randbytes(draw.randint(300, 600))) for _ in range(count)]


def record(subject: str, body: bytes) -> Record:
    headers = headers_of(body[:16].hex(), "shop", "chat_message", 1, "web_chat", body[16:32].hex(), AT)
    return Record(TOPIC, part_for(subject, PARTS), subject.encode(), body, headers, AT)


Client = Callable[[KafkaPlace, list[Record]], Callable[[], None] | None]


def ours(place: KafkaPlace, records: list[Record]) -> Callable[[], None]:
    """`Producer`, given as many at once as a request brings, as the journal does."""

    def work() -> None:
        with closing(Producer(place)) as producer:
            sent: deque[Future[list[int]]] = deque()
            for start in range(0, len(records), SENT_AT_ONCE):
                if len(sent) * SENT_AT_ONCE >= FLYING:
                    sent.popleft().result()
                sent.append(producer.send(records[start : start + SENT_AT_ONCE]))
            for one in sent:
                one.result()

    return work


def in_batches(place: KafkaPlace, records: list[Record]) -> Callable[[], None]:
    """aiokafka with batches made by hand, nothing around it."""

    async def work(client: AIOKafkaProducer) -> None:
        async def part(number: int) -> None:
            waiting = deque(one for one in records if one.part == number)
            while waiting:
                batch = client.create_batch()
                while waiting and batch.append(
                    timestamp=AT, key=(one := waiting[0]).key, value=one.value, headers=one.headers
                ):
                    waiting.popleft()
                await (await client.send_batch(batch, TOPIC, partition=number))

        await asyncio.gather(*map(part, range(PARTS)))

    return in_loop(place, work)


def one_by_one(place: KafkaPlace, records: list[Record]) -> Callable[[], None]:
    """aiokafka as its manual shows it."""

    async def work(client: AIOKafkaProducer) -> None:
        sent: deque[Awaitable[object]] = deque()
        for topic, number, key, value, headers, at in records:
            if len(sent) >= FLYING:
                await sent.popleft()
            sent.append(
                await client.send(topic, value, key, partition=number, timestamp_ms=at, headers=headers)
            )
        for one in sent:
            await one

    return in_loop(place, work)


def in_loop(place: KafkaPlace, work: Callable[[AIOKafkaProducer], Awaitable[None]]) -> Callable[[], None]:
    async def started() -> None:
        settings = place.aio(acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES)
        async with AIOKafkaProducer(**settings) as client:
            await work(client)

    return lambda: asyncio.run(started())


def in_python(place: KafkaPlace, records: list[Record]) -> Callable[[], None]:
    """kafka-python, whose thread sends what the caller's encodes."""

    def work() -> None:
        settings = {"acks": "all", "enable_idempotence": True, "batch_size": BATCH_BYTES, "linger_ms": 5}
        with closing(KafkaProducer(bootstrap_servers=list(place.bootstrap), **settings)) as client:
            sent: deque[Any] = deque()
            for topic, number, key, value, headers, at in records:
                if len(sent) >= FLYING:
                    sent.popleft().get(60)
                sent.append(client.send(topic, value, key, headers, number, at))
            client.flush(60)
            for one in sent:
                one.get(60)

    return work


def in_c(place: KafkaPlace, records: list[Record]) -> Callable[[], None] | None:
    """librdkafka by confluent-kafka, each record's acknowledgement told to a callback."""
    if find_spec("confluent_kafka") is None:
        return None
    from confluent_kafka import Producer as Librdkafka  # type: ignore[import-untyped]

    def work() -> None:
        settings = {"enable.idempotence": True, "acks": "all", "linger.ms": 5, "batch.size": BATCH_BYTES}
        client = Librdkafka({"bootstrap.servers": ",".join(place.bootstrap), **settings})
        acknowledged = 0

        def told(error: object, _: object) -> None:
            nonlocal acknowledged
            assert error is None, error
            acknowledged += 1

        for n, (topic, number, key, value, headers, at) in enumerate(records):
            client.produce(topic, value, key, number, on_delivery=told, timestamp=at, headers=headers)
            while n - acknowledged >= FLYING:
                client.poll(0.01)
        client.flush(60)
        assert acknowledged == len(records)

    return work


CLIENTS: dict[str, Client] = {
    f"ours: {SENT_AT_ONCE} at once, batches over aiokafka": ours,
    "  aiokafka, send_batch": in_batches,
    "  aiokafka, send": one_by_one,
    "  kafka-python, send": in_python,
    "  confluent-kafka (librdkafka), produce": in_c,
}


def main(arguments: list[str]) -> None:
    say(line(HEAD))
    for row in rows("--quick" in arguments):
        say(line(cells(row)))


if __name__ == "__main__":
    main(sys.argv[1:])
