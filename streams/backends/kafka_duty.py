"""A duty among processes that share brokers: it falls to whom a consumer group gives the one partition of a topic that
nobody writes to.

The broker alone decides who that is, and takes it from a member it has not heard of for a session. So that a process
which was held still, or cut off, does not go on believing, it believes for less than a session after the last time the
broker took a commit from it, counted from when that was sent; the broker refuses the commit of who is no member of the
group as it is now.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata

from touchbook.errors import TopicsMissing
from touchbook.streams.backends.kafka import CLIENT_ERRORS, KafkaPlace, told
from touchbook.streams.backends.kafka_follower import seconds
from touchbook.streams.backends.kafka_topics import DUTY
from touchbook.streams.follow import LONGEST_PAUSE

log = logging.getLogger(__name__)

HEARD = 0.2
"""Of a session: how often the broker hears of a member, and gives proof of its duty."""
BELIEVED = 0.7
"""Of a session: how long a proof lasts. The broker counts from the last heartbeat, at most `HEARD` before the proof."""
FIRST_PAUSE = 0.1
_HOLDS, _WAITS = b"0", b"1"


class KafkaDuty:
    """See `Duty`. While the brokers cannot be reached nobody has it, and they are tried again for as long as it takes;
    `failing_because` says why."""

    def __init__(self, place: KafkaPlace, name: str, session_seconds: float) -> None:
        self._place = place
        self._name = name
        self._session = session_seconds
        self._topic = place.topic(DUTY)
        self._turn = 0  # another with each assignment: a proof is good for the one it was asked for alone
        self._assigned = False
        self._until = 0.0
        self._guard = threading.Lock()
        self._closing = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name=f"duty {name}", daemon=True)
        self.failing_because: str | None = None

    def start(self) -> None:
        self._thread.start()

    def held(self) -> bool:
        with self._guard:
            return self._assigned and seconds() < self._until

    def close(self) -> None:
        with self._guard:
            self._closing.set()
            self._assigned = False
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread.is_alive():
            self._thread.join()

    # What the group tells

    def assigned(self, mine: bool) -> None:
        with self._guard:
            self._turn += 1
            self._assigned = mine and not self._closing.is_set()
            if mine:
                self._until = 0.0

    def revoked(self) -> None:
        with self._guard:
            self._turn += 1
            self._assigned = False

    def rank(self) -> bytes:
        """Who has it keeps it when others come; who lost it while it was held still does not get it back for that."""
        with self._guard:
            return _HOLDS if seconds() < self._until else _WAITS

    # The thread

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing.wait(pause):
            began = seconds()
            try:
                asyncio.run(self._take_part())
            except asyncio.CancelledError:
                return
            except Exception as error:  # nothing is lost by trying again
                pause = FIRST_PAUSE if seconds() - began > LONGEST_PAUSE else min(pause * 2, LONGEST_PAUSE)
                self.failing_because = told(error) if isinstance(error, CLIENT_ERRORS) else str(error)
                log.warning(
                    "duty %s falls to nobody here for %.1f s: %s", self._name, pause, self.failing_because
                )
            finally:
                self.revoked()

    async def _take_part(self) -> None:
        ms = int(self._session * 1000)
        consumer = AIOKafkaConsumer(
            **self._place.aio(
                group_id=f"{self._place.prefix}-duty-{self._name}",
                enable_auto_commit=False,
                auto_offset_reset="latest",
                session_timeout_ms=ms,
                rebalance_timeout_ms=2 * ms,  # who is heard of but does not join again may believe until then
                heartbeat_interval_ms=int(ms * HEARD),
                max_poll_interval_ms=10 * ms,
                partition_assignment_strategy=(_Eldest(self),),
            )
        )
        with self._guard:
            if self._closing.is_set():
                return
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            await consumer.start()
            if self._topic not in await consumer.topics():
                raise TopicsMissing(self._place.prefix)
            consumer.subscribe([self._topic], listener=_Listener(self))
            while not self._closing.is_set():
                await consumer.getmany(timeout_ms=int(ms * HEARD))
                await self._prove(consumer)
        finally:
            with self._guard:
                self._loop = self._task = None
            await consumer.stop()

    async def _prove(self, consumer: AIOKafkaConsumer) -> None:
        turn, asked = self._turn, seconds()
        if not self._assigned:
            return
        with suppress(CommitFailedError, IllegalStateError):  # it is another's by now: the group will tell
            async with asyncio.timeout(self._session):
                await consumer.commit({TopicPartition(self._topic, 0): OffsetAndMetadata(0, "")})
            self.failing_because = None
            with self._guard:
                if self._turn == turn:
                    self._until = asked + BELIEVED * self._session


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, duty: KafkaDuty) -> None:
        self._duty = duty

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._duty.revoked()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._duty.assigned(bool(assigned))


class _Eldest:
    """The group's strategy, as aiokafka's assignors are: the partition goes to who holds it, else to any."""

    name = "touchbook-duty"

    def __init__(self, duty: KafkaDuty) -> None:
        self._duty = duty

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        return ConsumerProtocolMemberMetadata(0, list(topics), self._duty.rank())

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        chosen = min(members, key=lambda member: (members[member].user_data, member))
        topics = members[chosen].subscription
        return {
            member: ConsumerProtocolMemberAssignment(
                0, [(topic, [0]) for topic in topics] if member == chosen else [], b""
            )
            for member in members
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None: ...
