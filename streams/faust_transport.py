"""Faust's transport for Kafka, changed in one thing: the records that a fetch brought from one partition are handed
over as one message, a pack.

Faust hands over each record by itself: two tasks, a queue, sensors and an acknowledgement each, 70 µs before our code
sees it, where folding it takes about as long. Of a pack all that happens once. It is chosen by the scheme of the
broker's URL (`packs://`), through the entry point group `faust.transports`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, ClassVar

from faust.transport import conductor
from faust.transport.drivers import aiokafka as base
from faust.types import TP

from touchbook.streams.backends.kafka_names import read_any_names

MAX_PACK = 2_000
"""Records in one pack at most, so that one partition that is far behind leaves room for the others."""


class Pack(bytes):
    """Empty bytes, which pass through Faust as they are, and carry the records as aiokafka gives them."""

    records: Sequence[Any] = ()


class Consumer(base.Consumer):
    """Yields packs."""

    def _new_consumer_thread(self) -> base.AIOKafkaConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        records, _ = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:  # a rebalance began while the fetch was under way: all of it comes again
            await self.perform_seek()
            return
        for tp, fetched in records.items():
            for start in range(0, len(fetched), MAX_PACK):
                # What was fetched before a rebalance may be somebody else's by now.
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                pack = Pack()
                pack.records = fetched[start : start + MAX_PACK]
                last = pack.records[-1]
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                message = self._to_message(tp, last)
                message.value = pack
                # Offsets between two packs are no gap. Faust would book each as one, at half of all the time there is.
                # Nothing is left out by it either: after a seek it names the next offset, not the last one read.
                self._read_offset[tp] = last.offset - 1
                yield tp, message

    def _new_offset(self, tp: TP) -> int | None:
        """What to commit: beyond the last pack that was acknowledged, since packs of a partition are acknowledged in
        order."""
        acknowledged = self._acked[tp]
        if not acknowledged:
            return None
        last = max(acknowledged)
        acknowledged.clear()
        self._acked_index[tp].clear()
        return last + 1


class ConsumerThread(base.AIOKafkaConsumerThread):
    """Can subscribe to all topics that a pattern names, those too that are made later, and reads records whatever the
    names of their headers."""

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
