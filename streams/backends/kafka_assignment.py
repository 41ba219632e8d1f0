"""One assignment of partitions to a consumer of aiokafka's: where it begins, whether it holds still, and commits for it
alone. What is used for it and is not public is named here alone.

aiokafka's own ways ask brokers for one partition after another and act on whatever is assigned by then, and try a
commit again for as long as it takes, by when it may be about somebody else's partitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from touchbook.streams.worker_reading import Place


class Assignment:
    """For the thread that the consumer runs in; `holds` is for any."""

    def __init__(self, consumer: AIOKafkaConsumer, made: Any) -> None:
        self._consumer = consumer
        self._made = made

    @classmethod
    def now(cls, consumer: AIOKafkaConsumer) -> Self | None:
        """None while there is none, or partitions are being given out anew."""
        made = _made(consumer)
        return None if made is None else cls(consumer, made)

    def __eq__(self, other: object) -> bool:
        """Whether it is the same; that the same partitions were assigned again is another one."""
        return isinstance(other, Assignment) and self._made is other._made

    def holds(self) -> bool:
        """Whether its partitions are ours still. Once they are not, this assignment never holds again."""
        return _made(self._consumer) is self._made

    async def starts(self) -> dict[Place, int]:
        """Where its partitions begin: the next offset that is committed, or that of the first record. Waits for brokers
        that are away."""
        committed = await self._consumer._coordinator.fetch_committed_offsets(list(self._made.tps))
        new = [one for one in self._made.tps if one not in committed]
        first = await self._consumer.beginning_offsets(new) if new else {}
        starts = {one: known.offset for one, known in committed.items()} | first
        return {(one.topic, one.partition): offset for one, offset in starts.items()}

    def seek(self, offsets: Mapping[Place, int]) -> None:
        """Fetches from there in these partitions. Only while it holds."""
        for place, offset in offsets.items():
            self._consumer._fetcher.seek_to(TopicPartition(*place), offset)

    def next(self, place: Place) -> int:
        """The offset it fetches from next."""
        return int(self._made.state_value(TopicPartition(*place)).position)

    async def commit(self, offsets: Mapping[Place, int]) -> bool:
        """Whether it is done; not, where brokers do not take it now, or the assignment holds no longer. Raises
        KafkaError where they never will."""
        coordinator = self._consumer._coordinator
        said = {TopicPartition(*place): OffsetAndMetadata(offset, "") for place, offset in offsets.items()}
        async with coordinator._commit_lock:
            if not self.holds():
                return False
            try:
                await coordinator._do_commit_offsets(self._made, said)
            except KafkaError as error:
                if coordinator._is_commit_retriable(error):
                    return False
                raise
        return True


def _made(consumer: AIOKafkaConsumer) -> Any:
    """aiokafka makes another object for every assignment."""
    subscriptions = consumer._subscription
    return None if subscriptions.reassignment_in_progress else subscriptions.subscription.assignment
