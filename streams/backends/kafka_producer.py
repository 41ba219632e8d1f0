"""What writes to Kafka: one thread with one event loop and one idempotent client.

Rows wait in a lane for each partition, in order. A lane hands the client one batch at a time, of all that waits by
then, so that under load one acknowledgement answers for many. The client repeats a batch until a broker has it, under
numbers by which brokers know repeats: so a batch is never written twice, nor after one that came later, and a batch
that nobody answered stays where it is, in front of what came after it, however long the broker is away. Whoever waits
for it is told after a while that it is not known. Only a refusal ends a batch, or that nobody leads its partition for
REQUEST_MS: then the client begins anew under other numbers, for the old ones have a gap.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from touchbook.errors import BrokerUnavailable
from touchbook.streams.backends.kafka import KafkaPlace, told
from touchbook.streams.journal import pending

log = logging.getLogger(__name__)

DELIVERY_SECONDS = 15.0
BATCH_BYTES = 512 * 1024
"""A batch has at most this many, or one row."""
MAX_WAITING_BYTES = 256 * 1024 * 1024
"""Keys and values that may wait for brokers before more is refused."""
TICK_SECONDS = 0.1
"""How often it is seen who has waited too long."""
STOP_SECONDS = 2.0

Answer = TypeVar("Answer")


class Row(NamedTuple):
    """What is to stand in a partition. A value of None: what stood under this key is gone."""

    topic: str
    part: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = []  # noqa: RUF012 never changed in place
    timestamp: int | None = None


class _Ticket:
    """The rows of one `send`, until each has its offset."""

    __slots__ = ("due", "future", "left", "offsets", "size")

    def __init__(self, rows: Sequence[Row], seconds: float) -> None:
        self.future: Future[list[int]] = pending()
        self.offsets = [0] * len(rows)
        self.left = len(rows)
        self.size = sum(len(key or b"") + len(value or b"") for _, _, key, value, _, _ in rows)
        self.due = time.monotonic() + seconds


class _Waiting(NamedTuple):
    row: Row
    place: int
    ticket: _Ticket


_waiting = partial(tuple.__new__, _Waiting)
"""Makes one without its constructor, a Python function of its own."""


class _Lane:
    """What waits for one partition, and what was given to the client and not answered yet."""

    def __init__(self, topic: str, part: int) -> None:
        self.topic = topic
        self.part = part
        self.waiting: deque[_Waiting] = deque()
        self.given: list[_Waiting] = []
        self.busy = False

    def overdue(self) -> bool:
        """Whether the first of those who wait has waited too long; they stand in the order of being due."""
        first = self.given[0] if self.given else self.waiting[0] if self.waiting else None
        return first is not None and first.ticket.due <= time.monotonic()

    def emptied(self) -> list[_Waiting]:
        waited = [*self.given, *self.waiting]
        self.given = []
        self.waiting.clear()
        return waited


class Producer:
    """Writes rows to topics. Any thread may use it."""

    def __init__(self, place: KafkaPlace, delivery_seconds: float = DELIVERY_SECONDS) -> None:
        self._settings = place.aio(
            acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES, retry_backoff_ms=50
        )
        self._seconds = delivery_seconds
        self.failing_because: str | None = None
        """Why the last rows that were answered could not be written; None if they were."""
        self._lock = threading.Lock()
        self._closed = False
        self._handed: list[tuple[Sequence[Row], _Ticket]] = []
        self._size = 0
        # What follows belongs to the thread of the loop.
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._client: asyncio.Task[AIOKafkaProducer] | None = None
        self._users: dict[AIOKafkaProducer, int] = {}
        self._unreached: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="kafka-producer", daemon=True)
        self._thread.start()

    def send(self, rows: Sequence[Row]) -> Future[list[int]]:
        """Writes the rows and answers the offset of each, once brokers have acknowledged all. It cannot be cancelled.

        The rows of one partition keep their order, over all calls. The future fails with StoreUnavailable if a row
        was refused, or was not acknowledged within `delivery_seconds`: then it is not known which are written or will
        be. With it fails all that waits for the same partition at that moment, so that nothing is written whose
        predecessor is missing, unless it was sent by who knew. Raises StoreUnavailable at once when the producer was
        closed, or more than MAX_WAITING_BYTES would wait.
        """
        ticket = _Ticket(rows, self._seconds)
        if not rows:
            ticket.future.set_result([])
            return ticket.future
        with self._lock:
            if self._closed:
                raise BrokerUnavailable("the producer was closed")
            if self._size and self._size + ticket.size > MAX_WAITING_BYTES:
                raise BrokerUnavailable("too much waits for its brokers already")
            self._size += ticket.size
            self._handed.append((rows, ticket))
            if len(self._handed) == 1:
                self._loop.call_soon_threadsafe(self._take)
        return ticket.future

    def close(self) -> None:
        """Writes what was sent, within `delivery_seconds`, and releases everything. May be called again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # which ends what is left
            runner.run(self._until_closed())

    async def _until_closed(self) -> None:
        await self._closing.wait()
        while any(lane.given or lane.waiting for lane in self._lanes.values()):
            await asyncio.sleep(TICK_SECONDS / 10)
        for client in list(self._users):
            await _stop(client)

    def _take(self) -> None:
        with self._lock:
            handed, self._handed = self._handed, []
        for rows, ticket in handed:
            lane: _Lane | None = None
            for place, row in enumerate(rows):
                topic, part = row[0], row[1]
                if lane is None or lane.part != part or lane.topic != topic:
                    lane = self._lane(topic, part)
                lane.waiting.append(_waiting((row, place, ticket)))

    def _lane(self, topic: str, part: int) -> _Lane:
        """The lane of a partition, served from now on."""
        at = topic, part
        lane = self._lanes.get(at) or self._lanes.setdefault(at, _Lane(*at))
        if not lane.busy:
            lane.busy = True
            self._begin(self._serve(lane))
        return lane

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)  # a loop alone does not keep its tasks
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, lane: _Lane) -> None:
        """Until nothing waits in the lane."""
        while lane.waiting:
            client = await self._patiently(lane, self._started())
            if client not in self._users:  # another lane gave it up meanwhile
                continue
            self._users[client] += 1
            try:
                await self._write(lane, client)
            except Exception as error:
                self._fail(lane.emptied(), told(error))
                self._replace(client)
            finally:
                self._users[client] -= 1
                self._release(client)
        lane.busy = False

    async def _write(self, lane: _Lane, client: AIOKafkaProducer) -> None:
        """One batch of what waits, if anybody waits still."""
        if not lane.waiting:
            return
        batch = client.create_batch()
        waiting, given = lane.waiting, lane.given
        while waiting and _added(batch, waiting[0].row):
            given.append(waiting.popleft())
        answer = await self._patiently(lane, client.send_batch(batch, lane.topic, partition=lane.part))
        written = await self._patiently(lane, answer)
        if written.offset < 0:
            raise BrokerUnavailable("it is written, and no longer known where")
        self._answer(lane, written.offset)

    async def _patiently(self, lane: _Lane, work: Awaitable[Answer]) -> Answer:
        """What the work gives. Whoever waits in the lane too long is told so meanwhile."""
        task = asyncio.ensure_future(work)
        while not (await asyncio.wait({task}, timeout=TICK_SECONDS))[0]:
            if lane.overdue():
                why = f"not acknowledged within {self._seconds:g} seconds"
                self._fail(lane.emptied(), f"{self._unreached}, {why}" if self._unreached else why)
        return task.result()

    async def _started(self) -> AIOKafkaProducer:
        if self._client is None:
            self._client = self._loop.create_task(self._connected())
        return await self._client

    async def _connected(self) -> AIOKafkaProducer:
        while True:
            client = AIOKafkaProducer(**self._settings)
            try:
                await client.start()
            except Exception as error:  # whatever it is: who waits is told in time, and it may pass
                self._unreached = told(error)
                await _stop(client)
                await asyncio.sleep(TICK_SECONDS)
            else:
                self._unreached = None
                self._users[client] = 0
                return client

    def _replace(self, client: AIOKafkaProducer) -> None:
        """Batches from now on go through another client; those this one was given before are its own."""
        if self._client is not None and self._client.done() and self._client.result() is client:
            self._client = None

    def _release(self, client: AIOKafkaProducer) -> None:
        if self._client is None and not self._users[client]:
            del self._users[client]
            self._begin(_stop(client))

    def _answer(self, lane: _Lane, offset: int) -> None:
        """The batch is written. Those who were told already that this is not known stay told."""
        given, lane.given = lane.given, []
        if self.failing_because is not None:
            log.warning("Kafka takes what it is given again")
        self.failing_because = None
        for n, (_, place, ticket) in enumerate(given):
            ticket.offsets[place] = offset + n
            ticket.left -= 1
            if not ticket.left and not ticket.future.done():
                self._settle(ticket)
                ticket.future.set_result(ticket.offsets)

    def _fail(self, waited: list[_Waiting], why: str) -> None:
        if self.failing_because is None and waited:
            log.error("Kafka does not take what it is given: %s", why)
        self.failing_because = why
        for ticket in dict.fromkeys(one.ticket for one in waited):
            if not ticket.future.done():
                self._settle(ticket)
                ticket.future.set_exception(BrokerUnavailable(why))

    def _settle(self, ticket: _Ticket) -> None:
        with self._lock:
            self._size -= ticket.size


def _added(batch: BatchBuilder, row: Row) -> bool:
    """Whether the row fits in. A batch takes a first row of any size."""
    _, _, key, value, headers, timestamp = row
    return batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is not None


async def _stop(client: AIOKafkaProducer) -> None:
    """A client whose brokers are away would wait for them for ever."""
    with suppress(Exception):
        await asyncio.wait_for(client.stop(), STOP_SECONDS)
