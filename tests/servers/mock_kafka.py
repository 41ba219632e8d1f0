"""Brokers that answer as they are told: librdkafka's mock cluster, inside this process, reached through ctypes.

It is for errors that a real broker gives seldom. It keeps no promise of a broker's: it writes what it is given in the
order in which that comes, recognises no repeat and misses nothing. What a real one would make of that `kept` tells.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections import defaultdict, deque
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.needs import needs_or_skip

PRODUCE, FETCH, METADATA, INIT_PRODUCER_ID = 0, 1, 3, 22
"""Kinds of request, by their numbers in the protocol."""
DISCONNECT = -195
"""An error of librdkafka's own: the connection is closed instead of an answer."""
_FAILED = 512
_PRODUCER = 0


class Batch(NamedTuple):
    """What was written at once. Its number is the place of its first row in all that the producer ever sent here."""

    producer: int
    epoch: int
    number: int
    values: list[bytes]


def kept(batches: Iterable[Batch]) -> list[bytes]:
    """What a real broker would have written of these: it knows the last five of a producer again, and takes no other
    than the next."""
    rows: list[bytes] = []
    recent: dict[tuple[int, int], deque[Batch]] = defaultdict(lambda: deque(maxlen=5))
    for batch in batches:
        known = recent[batch.producer, batch.epoch]
        if batch in known:
            continue
        wanted = known[-1].number + len(known[-1].values) if known else 0
        assert batch.number == wanted, f"a broker would refuse number {batch.number}, for {wanted} comes next"
        known.append(batch)
        rows += batch.values
    return rows


class MockKafka:
    """Close it once; nothing is left of it then."""

    def __init__(self, nodes: int = 3) -> None:
        self.nodes = range(1, nodes + 1)
        self._library = _library()
        why = ctypes.create_string_buffer(_FAILED)
        quiet = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        self._library.rd_kafka_conf_set(quiet, b"log_level", b"0", why, ctypes.c_size_t(_FAILED))
        self._client = ctypes.c_void_p(
            self._library.rd_kafka_new(_PRODUCER, quiet, why, ctypes.c_size_t(_FAILED))
        )
        assert self._client, why.value
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._client, nodes))
        self.bootstrap: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    def written(self, topic: str, part: int) -> list[Batch]:
        """All that stands there, in order. Whatever the brokers were told to do to a reader is done."""
        return asyncio.run(_written(self.bootstrap, topic, part))

    def make(self, topic: str, parts: int) -> None:
        """Each part is led by the node after that of the part before, the first by the first."""
        self._ask("topic_create", topic.encode(), parts, len(self.nodes))
        for part in range(parts):
            self.lead(topic, part, self.nodes[part % len(self.nodes)])

    def lead(self, topic: str, part: int, node: int | None) -> None:
        """The node leads the part from now on; None: nobody does."""
        self._ask("partition_set_leader", topic.encode(), part, -1 if node is None else node)

    def answer(self, request: int, *errors: int) -> None:
        """The next requests of this kind, at whatever node, are refused with these codes of the protocol, one each. 0:
        that one is done."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(errors)), codes
        )

    def recover(self) -> None:
        """All nodes run, and nothing that `answer` was told is to come."""
        for node in self.nodes:
            self.start(node)
        for request in (PRODUCE, FETCH, METADATA, INIT_PRODUCER_ID):
            self._library.rd_kafka_mock_clear_request_errors(self._cluster, ctypes.c_int16(request))

    def answer_late(self, node: int, request: int, *seconds: float) -> None:
        """The next requests of this kind at the node are done at once, and answered so much later."""
        late = [ctypes.c_int(number) for one in seconds for number in (0, int(one * 1_000))]
        self._ask(
            "broker_push_request_error_rtts",
            *(node, ctypes.c_int16(request), ctypes.c_size_t(len(seconds)), *late),
        )

    def stop(self, node: int) -> None:
        """Breaks its connections, and takes no others. It goes on leading what it led."""
        self._ask("broker_set_down", node)

    def start(self, node: int) -> None:
        self._ask("broker_set_up", node)

    def _ask(self, name: str, *arguments: Any) -> None:
        failed = getattr(self._library, f"rd_kafka_mock_{name}")(self._cluster, *arguments)
        assert not failed, f"{name}: {failed}"


def _library() -> Any:
    """librdkafka as its Python binding brings it, which hands its mock cluster to nobody."""
    try:
        files = metadata.files("confluent-kafka") or []
    except metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name.startswith("librdkafka")]
    if not found:
        needs_or_skip(
            "confluent-kafka is not installed, whose librdkafka has the mock cluster; it is in the extra `test`"
        )
    library = ctypes.CDLL(str(found[0]))
    for name in ("conf_new", "new", "mock_cluster_new"):
        getattr(library, f"rd_kafka_{name}").restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


async def _written(bootstrap: str, topic: str, part: int) -> list[Batch]:
    from aiokafka.client import AIOKafkaClient
    from aiokafka.protocol.fetch import FetchRequest
    from aiokafka.record.memory_records import MemoryRecords
    from aiokafka.structs import TopicPartition

    batches: list[Batch] = []
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    try:
        await client.bootstrap()
        await client.add_topic(topic)
        leader, offset = client.cluster.leader_for_partition(TopicPartition(topic, part)), 0
        while True:
            asked = [(topic, [(part, offset, 1 << 20)])]
            answer = await client.send(leader, FetchRequest(0, 1, 1 << 20, 0, asked))
            ((_, ((_, error, high, *_, rows),)),) = answer.topics
            assert not error
            if offset == high:
                return batches
            records = MemoryRecords(rows)
            while (batch := records.next_batch()) is not None:
                offset = batch.next_offset
                who = batch.producer_id, batch.producer_epoch, batch.base_sequence
                batches.append(Batch(*who, [row.value for row in batch]))
    finally:
        await client.close()
