"""Faust's transport for Kafka, changed in two things: the records that a fetch brought from one partition are handed
over as one message, a pack; and what is read, and what is committed, is for a `Reading` to say.

Faust hands over each record by itself: two tasks, a queue, sensors and an acknowledgement each, 70 µs before our code
sees it, where folding it takes about as long. Of a pack all that happens once. It is chosen by the scheme of the
broker's URL (`packs://`), through the entry point group `faust.transports`.

When partitions are given out anew, Faust seeks, stops and resumes in tasks that may be overtaken by the next time, and
empties its queues when it resumes. Here the thread that fetches begins each assignment itself, from what is committed,
and whatever gets lost between it and the agent is missed there, and read again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from faust.transport import conductor
from faust.transport.drivers import aiokafka as base
from faust.types import TP

from touchbook.streams.backends.kafka_assignment import Assignment
from touchbook.streams.backends.kafka_names import read_any_names
from touchbook.streams.worker_reading import Place, Reading

log = logging.getLogger(__name__)

MAX_PACK = 2_000
"""Records in one pack at most, so that one partition that is far behind leaves room for the others."""
UNTIL_OURS_SECONDS = 0.05
"""How often it is looked whether there is something to fetch, while partitions are given out."""


class Pack(bytes):
    """Empty bytes, which pass through Faust as they are, and carry the records as aiokafka gives them.

    They are all there is from the offset `start` to before `end`.
    """

    records: Sequence[Any]
    reading: Reading
    place: Place
    start: int
    end: int
    turn: int

    def arrives(self) -> bool:
        """To be asked once, by whoever takes it: whether he shall. Else it comes again, to him or to somebody else."""
        return self.reading.arrives(self.place, self.start, self.end, self.turn)

    def keep(self) -> None:
        """What came of it is kept: it need not come again."""
        self.reading.keep(self.place, self.start, self.end)


def packs_of(reading: Reading, place: Place, records: Sequence[Any], end: int) -> list[Pack]:
    """What was fetched up to the offset `end`."""
    start, turn = reading.fetched(place, end)
    if records[0].offset < start:
        log.error(
            "%s, partition %d: brokers have lost records, what follows begins at offset %d instead of %d",
            *place, records[0].offset, start,
        )  # fmt: skip
    packs = []
    for first in range(0, len(records), MAX_PACK):
        pack = Pack()
        pack.records = records[first : first + MAX_PACK]
        pack.reading, pack.place, pack.turn = reading, place, turn
        pack.start = start
        start = pack.end = pack.records[-1].offset + 1
        packs.append(pack)
    packs[-1].end = end
    return packs


class Consumer(base.Consumer):
    """Yields packs."""

    _thread: ConsumerThread
    given: Assignment | None = None
    """What everybody here was told of."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        given = self._thread.assignment_now()
        await super().on_partitions_assigned(assigned, generation_id)
        self.given = given

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        if (reading := self._thread.reading) is not None:
            reading.look(time.monotonic())
        fetched, _ = await self._wait_next_records(timeout)
        if fetched is None or self.should_stop:
            return
        for tp, packs in fetched.items():
            for pack in packs:
                if not self.flow_active or not pack.reading.is_ours():
                    return
                message = self._to_message(tp, pack.records[-1])
                message.value = pack
                # Else Faust would book the offsets between two packs as gaps, one by one.
                self._read_offset[tp] = None
                yield tp, message

    async def perform_seek(self) -> None:
        """Whoever fetches seeks: see `ConsumerThread`."""

    async def force_commit(self, topics: object = None, start_new_transaction: bool = True) -> bool:
        """Commits what was kept of all that is ours. Once: where that fails, it is committed with what is kept next."""
        reading = self._thread.reading
        offsets = reading.to_commit() if reading is not None else {}
        if reading is None or not offsets or not await self._thread.commit_of(reading, offsets):
            return False
        reading.committed |= offsets
        return True


class ConsumerThread(base.AIOKafkaConsumerThread):
    """Can subscribe to all topics that a pattern names, those too that are made later, and reads records whatever the
    names of their headers.

    Fetches nothing of an assignment before it has sought, in all of its partitions at once, to where it begins.
    """

    consumer: Consumer
    reading: Reading | None = None
    """Of what was assigned last, and has begun."""

    async def on_start(self) -> None:
        await super().on_start()
        read_any_names(self._ensure_consumer())

    async def subscribe(self, topics: Iterable[str]) -> None:
        patterns = [topic.pattern.pattern for topic in self.app.topics if topic.pattern]
        if not patterns:
            await super().subscribe(topics)
            return
        consumer, listener = self._ensure_consumer(), self._rebalance_listener
        await self.call_thread(consumer.subscribe, pattern="|".join(patterns), listener=listener)

    def assignment_now(self) -> Assignment | None:
        return Assignment.now(self._ensure_consumer())

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Mapping[TP, Any]:
        assignment = self.assignment_now()
        reading = None if assignment is None else await self._begun(assignment)
        if assignment is None or reading is None:
            await asyncio.sleep(UNTIL_OURS_SECONDS)
            return {}
        assignment.seek(reading.again())
        found = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        if not reading.is_ours():  # what was found may be of the next assignment, which has not begun
            return {}
        return {tp: packs_of(reading, tp, records, assignment.next(tp)) for tp, records in found.items()}

    async def _begun(self, assignment: Assignment) -> Reading | None:
        """Its reading; None before everybody was told of it, and once it holds no longer."""
        if self.reading is not None and self.reading.assignment == assignment:
            return self.reading
        if assignment != self.consumer.given:
            return None
        starts = await assignment.starts()
        if not assignment.holds() or (self.reading is not None and self.reading.assignment == assignment):
            return None
        assignment.seek(starts)
        self.reading = Reading(assignment, starts)
        return self.reading

    async def commit_of(self, reading: Reading, offsets: Mapping[Place, int]) -> bool:
        done = bool(await self.call_thread(reading.assignment.commit, offsets))
        if done:  # Faust looks after groups that do not commit
            self.tp_last_committed_at.update({TP(*place): time.monotonic() for place in offsets})
        return done


class Conductor(conductor.Conductor):
    """Delivers what comes from a topic to whom a pattern names it for. Faust keeps topics by name alone."""

    def _update_tp_index(self, assigned: set[TP]) -> None:
        super()._update_tp_index(assigned)
        for topic in self._topics:
            for tp in assigned:
                if topic.pattern and topic.pattern.match(tp.topic):
                    self._tp_index[tp].add(topic)
                    self._acking_topics.add(tp.topic)


class Transport(base.Transport):
    Consumer: ClassVar[type[Consumer]] = Consumer
    Conductor: ClassVar[type[Conductor]] = Conductor
