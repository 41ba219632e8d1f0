"""The journal on Kafka: a topic whose partitions are its parts.

Senders leave batches in the queue that every journal has; one thread seals what is there and hands it to the producer,
which answers when brokers have acknowledged it. Any number of processes may write. So nobody here can know what was
recorded before: every touchpoint is `accepted`, and who follows tells repeats apart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import AuthorizationError

from touchbook.errors import (
    BrokerUnavailable,
    JournalUnavailable,
    NotPossible,
    StoreUnavailable,
    TouchbookError,
)
from touchbook.identity import IdentityRules
from touchbook.positions import offset_of, part_of, position_in
from touchbook.schemas.touchpoint import NO_CHANNEL, Record, Touchpoint
from touchbook.sealing import encode_erasure, seal_each
from touchbook.streams.backends.drafts import (
    ERASURE,
    Alone,
    Batch,
    Clock,
    Draft,
    Drafting,
    Job,
    ObserveAppend,
    Queue,
    fail,
    tell,
)
from touchbook.streams.backends.kafka import KafkaPlace, reaching, told
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_records import headers_of, part_for, record_of
from touchbook.streams.backends.kafka_topics import JOURNAL, MAX_ROW_BYTES, Described, described
from touchbook.streams.control import OURS
from touchbook.streams.journal import Appended
from touchbook.streams.keyring import DataKey, Keyring

log = logging.getLogger(__name__)

MAX_QUEUE = 20_000
"""Touchpoints that may wait for the writer."""
MAX_DRAIN = 5_000
"""Touchpoints sealed at once, unless one batch alone is larger."""
MAX_FLYING = 20_000
"""Touchpoints handed to the producer and not answered, beyond which the writer waits."""
MAX_READ_BYTES = 32 * 1024 * 1024
"""Sealed bodies read at once add up to this and one fetch at most."""
FETCH_BYTES = 4 * 1024 * 1024
READ_SECONDS = 10.0
"""How long brokers may give nothing of what they said is there."""
POLL_SECONDS = 0.1
"""How often it is looked for records of other processes while somebody waits."""
PROBE_MS = 2_000
KEPT_READERS = 4


class KafkaJournal(Drafting):
    """See `Journal`. Any number of processes write and read.

    What only one writer could promise holds for each process: `alone` and `erase` come in turn with what this process
    appends, and `recorded_at` never goes back in what it appends. `find` is not possible.
    """

    @classmethod
    def at(
        cls,
        place: KafkaPlace,
        keyring: Keyring,
        clock: Clock,
        producer: Producer | None,
        *,
        max_queue: int = MAX_QUEUE,
        max_drain: int = MAX_DRAIN,
        observe_append: ObserveAppend | None = None,
    ) -> Self:
        """Opens the journal under the prefix of the place; without a producer, to be read only.

        The producer may serve others too, and is closed by whoever made it, after the journal. Raises TopicsMissing if
        there is none (`kafka_topics.ensure` makes it), FormatUnknown, StoreUnavailable.
        """
        journal = cls(place, keyring, described(place))
        if producer is not None:
            queue = Queue(max_queue, max_drain)
            journal._writer = Writer(place, journal.parts, keyring, clock, producer, queue, observe_append)
            journal._writer.start()
        return journal

    def __init__(self, place: KafkaPlace, keyring: Keyring, made: Described) -> None:
        super().__init__(keyring)
        self._place = place
        self._made = made
        self._readers = _Readers(place)
        self._writer: Writer | None = None
        self._told = 0
        self._probing = threading.Lock()

    @property
    def id(self) -> str:
        """128 random bits in hex, drawn at creation: tells this journal from every other."""
        return self._made.id

    @property
    def rules(self) -> IdentityRules:
        return self._made.rules

    @property
    def parts(self) -> int:
        return self._made.parts

    @property
    def tells_repeats(self) -> bool:
        return False

    def mark_erased(self, key: str, subject: str, members: Sequence[str]) -> int:
        """As `Journal` says, but for once: asked again it records the erasure again, which changes nothing. There is a
        record in the part of each member; the answer is where that of `subject` stands."""
        if self._writer is None:
            raise JournalUnavailable("it was opened to be read only")
        return self._writer.mark_erased(key, subject, members)

    def find(self, keys: Sequence[str]) -> list[Record]:
        """Raises NotPossible."""
        raise NotPossible(
            "a journal on Kafka cannot find records by their keys",
            "ask the projections, whose entries have positions",
        )

    def read(self, after: int = 0, limit: int = 1000, part: int = 0) -> list[Record]:
        if after and part_of(after) != part:
            raise ValueError(f"after: expected a position in part {part}")
        with self._readers.one(part, offset_of(after) + 1) as reader:
            return reader.read(limit)

    def head(self, part: int = 0) -> int:
        with self._readers.one() as reader:
            return reader.head(part)

    def wait_beyond(self, position: int, timeout: float) -> bool:
        """Position 0 stands before every part: what is recorded in any of them is beyond it."""
        parts = [part_of(position)] if position else range(self.parts)
        deadline, told = time.monotonic() + timeout, self._told
        while not any(self.head(part) > position for part in parts):
            if (left := deadline - time.monotonic()) <= 0 or self._told > told:
                return False
            if self._writer and self._writer.wait_beyond(position, parts, min(left, POLL_SECONDS)):
                return True
            if not self._writer:
                time.sleep(min(left, POLL_SECONDS))
        return True

    def wait_no_more(self) -> None:
        self._told += 1

    def failing(self) -> str | None:
        """Why the last touchpoints could not be stored, while that is still so: it is tried before it is said."""
        writer = self._writer
        if writer is None or writer.failing_because is None:
            return None
        if self._probing.acquire(blocking=False):  # else somebody tries it right now
            try:
                with suppress(TouchbookError):
                    self._probe()
                    writer.took()
            finally:
                self._probing.release()
        return writer.failing_because

    def close(self) -> None:
        if self._writer:
            self._writer.stop()
        self._readers.close()

    @property
    def _queue(self) -> Queue:
        if self._writer is None:
            raise JournalUnavailable("it was opened to be read only")
        return self._writer.queue

    def _draft(self, touchpoint: Touchpoint) -> Draft:
        draft = super()._draft(touchpoint)
        if len(draft.body) > MAX_ROW_BYTES:
            raise ValueError(f"a touchpoint must not be larger than {MAX_ROW_BYTES} bytes")
        return draft

    def _probe(self) -> None:
        """Raises StoreUnavailable while a partition has no leader, or fewer replicas in step than must have a record,
        or the keyring takes nothing."""
        topic = self._place.topic(JOURNAL)
        resource, configs = ConfigResource(ConfigResourceType.TOPIC, topic), {}
        with (
            closing(self._place.admin(bootstrap_timeout_ms=PROBE_MS, request_timeout_ms=PROBE_MS)) as admin,
            reaching(),
        ):
            [found] = admin.describe_topics([topic])
            with suppress(AuthorizationError):  # who may write need not be allowed to ask for settings
                configs = admin.describe_configs([resource], config_filter="all")["topic"][topic]
        if any(partition["leader_id"] < 0 for partition in found["partitions"]):
            raise BrokerUnavailable(f"partitions of {topic} have no leader")
        must = int(configs.get("min.insync.replicas", {}).get("value", 1))
        if any(len(one["isr_nodes"]) < min(must, len(one["replica_nodes"])) for one in found["partitions"]):
            raise BrokerUnavailable(
                f"partitions of {topic} have fewer replicas in step than min.insync.replicas"
            )
        self._keyring.probe()


class Writer:
    """The thread that seals. A producer or keyring that fails costs the batches at hand, never the thread."""

    name = "the journal"

    def __init__(
        self,
        place: KafkaPlace,
        parts: int,
        keyring: Keyring,
        clock: Clock,
        producer: Producer,
        queue: Queue,
        observe_append: ObserveAppend | None,
    ) -> None:
        self.queue = queue
        self.failing_because: str | None = None
        """Why what was last answered could not be stored; None if it was."""
        self._topic = place.topic(JOURNAL)
        self._parts = parts
        self._keyring = keyring
        self._clock = clock
        self._producer = producer
        self._observe_append = observe_append
        self._recorded_at = 0
        self._heads = [0] * parts
        self._flying = 0
        self._landed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.queue.close("it was closed")
        self._thread.join()

    def wait_beyond(self, position: int, parts: Sequence[int], timeout: float) -> bool:
        """Whether this process recorded something beyond."""
        with self._landed:
            return self._landed.wait_for(lambda: any(self._heads[part] > position for part in parts), timeout)

    def mark_erased(self, key: str, subject: str, members: Sequence[str]) -> int:
        """See `KafkaJournal`. Only for work in this thread."""
        at = self._now()
        headers = headers_of(key, OURS, ERASURE, 1, NO_CHANNEL, "", at)
        body = encode_erasure(members)
        owners = dict.fromkeys([subject, *members])
        rows = [
            Row(self._topic, part_for(one, self._parts), one.encode(), body, headers, at) for one in owners
        ]
        positions = self._positions(rows, self._producer.send(rows).result())
        self._grow(positions)
        return positions[0]

    def took(self) -> None:
        if self.failing_because is not None:
            log.warning("%s takes touchpoints again", self.name)
        self.failing_because = None

    def _run(self) -> None:
        jobs: deque[Job] = deque()
        try:
            while jobs := self.queue.take():
                self._do(jobs)
        finally:
            self.queue.close("its writer has stopped")
            while jobs:
                fail(jobs, "its writer has stopped")
                jobs = self.queue.take()
            self._wait_for(0)

    def _do(self, jobs: deque[Job]) -> None:
        try:
            if isinstance(jobs[0], Alone):
                self._wait_for(0)
                end = jobs[0].work()
                tell(jobs.popleft(), end)
            else:
                self._wait_for(MAX_FLYING)
                self._send([job for job in jobs if isinstance(job, Batch)])
                jobs.clear()
        except Exception as error:
            self._failed(_reason(error))
            fail(jobs, _reason(error), error)

    def _send(self, batches: list[Batch]) -> None:
        """Each batch is answered by itself: a partition that is away costs only those that need it."""
        drafts = [draft for batch in batches for draft in batch.drafts]
        rows = iter(self._sealed(drafts, self._now()))
        for batch in batches:
            own = [next(rows) for _ in batch.drafts]
            self._fly(len(own))
            try:
                self._producer.send(own).add_done_callback(partial(self._land, batch, own))
            except Exception as error:
                self._end(batch, own, error)

    def _sealed(self, drafts: list[Draft], recorded_at: int) -> list[Row]:
        data_keys = self._keyring.data_keys([draft.subject for draft in drafts])  # durable before one is used
        bodies = seal_each([
            (draft.body, data_key.key, draft.key.encode())
            for draft, data_key in zip(drafts, data_keys, strict=True)
        ])  # fmt: skip
        return [
            self._row(draft, data_key, recorded_at, body)
            for draft, data_key, body in zip(drafts, data_keys, bodies, strict=True)
        ]

    def _row(self, draft: Draft, data_key: DataKey, recorded_at: int, sealed: bytes) -> Row:
        key, source, type_, version, channel, subject, occurred_at, _, _ = draft
        headers = headers_of(key, source, type_, version, channel, data_key.key_id, occurred_at)
        return Row(
            self._topic, part_for(subject, self._parts), subject.encode(), sealed, headers, recorded_at
        )

    def _land(self, batch: Batch, rows: list[Row], future: Future[list[int]]) -> None:
        """In the producer's thread."""
        error = future.exception()
        if error is not None:
            self._end(batch, rows, error)
            return
        positions = self._positions(rows, future.result())
        self._grow(positions)
        try:
            self._keyring.confirm([dict(row.headers)["ce_keyid"].decode() for row in rows])
        except StoreUnavailable as unconfirmed:
            self._end(batch, rows, unconfirmed)
            return
        self.took()
        if self._observe_append:
            self._observe_append(time.perf_counter() - batch.since, len(rows))
        tell(batch, [Appended("accepted", position) for position in positions])
        self._fly(-len(rows))

    def _end(self, batch: Batch, rows: list[Row], error: BaseException) -> None:
        why = _reason(error)
        self._failed(why)
        failure = JournalUnavailable(why)
        failure.__cause__ = error
        tell(batch, failure)
        self._fly(-len(rows))

    def _failed(self, why: str) -> None:
        if self.failing_because is None:  # what fails afterwards says less than the first
            self.failing_because = why
            log.error("%s takes nothing: %s", self.name, why)

    def _positions(self, rows: Sequence[Row], offsets: Sequence[int]) -> list[int]:
        return [position_in(row.part, offset) for row, offset in zip(rows, offsets, strict=True)]

    def _grow(self, positions: Sequence[int]) -> None:
        with self._landed:
            for position in positions:
                part = part_of(position)
                self._heads[part] = max(self._heads[part], position)
            self._landed.notify_all()

    def _fly(self, touchpoints: int) -> None:
        with self._landed:
            self._flying += touchpoints
            self._landed.notify_all()

    def _wait_for(self, flying: int) -> None:
        """Until no more than so many are under way; the producer answers each within its time."""
        with self._landed:
            self._landed.wait_for(lambda: self._flying <= flying)

    def _now(self) -> int:
        self._recorded_at = max(self._recorded_at, self._clock())
        return self._recorded_at


class _Reader:
    """One client for reading, at the place where it stopped. For one thread at a time."""

    def __init__(self, place: KafkaPlace) -> None:
        self._topic = place.topic(JOURNAL)
        self.part, self.next = -1, 0
        self._consumer: KafkaConsumer = place.consumer(
            max_partition_fetch_bytes=FETCH_BYTES, fetch_max_bytes=FETCH_BYTES
        )

    def seek(self, part: int, offset: int) -> None:
        if (part, offset) != (self.part, self.next):
            partition = TopicPartition(self._topic, part)
            with reaching():
                self._consumer.assign([partition])
                self._consumer.seek(partition, offset)
            self.part, self.next = part, offset

    def head(self, part: int) -> int:
        end = self._end(TopicPartition(self._topic, part))
        return position_in(part, end - 1) if end else 0

    def read(self, limit: int) -> list[Record]:
        partition = TopicPartition(self._topic, self.part)
        records: list[Record] = []
        end, size = self._end(partition), 0
        deadline = time.monotonic() + READ_SECONDS
        while self.next < end and len(records) < limit and size < MAX_READ_BYTES:
            for one in self._polled(partition, limit - len(records)):
                records.append(
                    record_of(self.part, one.offset, one.timestamp, one.key, one.value, one.headers)
                )
                self.next = one.offset + 1
                size += len(one.value or b"")
                deadline = time.monotonic() + READ_SECONDS
            if time.monotonic() > deadline:
                raise BrokerUnavailable("brokers give nothing of what they say is there")
        return records

    def close(self) -> None:
        self._consumer.close()

    def _end(self, partition: TopicPartition) -> int:
        with reaching():
            end: int = self._consumer.end_offsets([partition])[partition]
        return end

    def _polled(self, partition: TopicPartition, limit: int) -> list[Any]:
        with reaching():
            polled: list[Any] = self._consumer.poll(timeout_ms=500, max_records=limit).get(partition, [])
        return polled


class _Readers:
    """Clients for reading, each used by one thread at a time. A few are kept."""

    def __init__(self, place: KafkaPlace) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._idle: list[_Reader] = []
        self._closed = False

    @contextmanager
    def one(self, part: int | None = None, offset: int = 0) -> Iterator[_Reader]:
        """One that stands at this place, if there is such; one that failed is not kept."""
        reader = self._taken(part, offset) or _Reader(self._place)
        try:
            if part is not None:
                reader.seek(part, offset)
            yield reader
        except BaseException:
            reader.close()
            raise
        with self._lock:
            if keep := not self._closed and len(self._idle) < KEPT_READERS:
                self._idle.append(reader)
        if not keep:
            reader.close()

    def _taken(self, part: int | None, offset: int) -> _Reader | None:
        with self._lock:
            if not self._idle:
                return None
            fitting = (n for n, one in enumerate(self._idle) if (one.part, one.next) == (part, offset))
            return self._idle.pop(next(fitting, 0))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()


def _reason(error: BaseException) -> str:
    """Our own words name no values; of anything else only the kind is told."""
    if isinstance(error, TouchbookError) and not isinstance(error, BrokerUnavailable):
        return str(error)
    return told(error)
