"""What the worker reads and commits while partitions change hands: with Faust's consumer and aiokafka's own state of
partitions, on a broker that is only remembered, so that everything can happen at any moment."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import GroupLoadInProgressError, IllegalGenerationError, RebalanceInProgressError
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from touchbook.streams import faust_transport
from touchbook.streams.faust_transport import Pack, Transport
from touchbook.streams.worker_reading import LOST_SECONDS, Reading

TOPIC = "journal"
PARTS = [TP(TOPIC, part) for part in range(3)]
KAFKA = {tp: TopicPartition(*tp) for tp in PARTS}


class Clock:
    """Goes on when a test says so."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faust_transport, "UNTIL_OURS_SECONDS", 0)
    monkeypatch.setattr(faust_transport, "time", CLOCK)


class Broker:
    """What is written, and what the group has committed."""

    def __init__(self) -> None:
        self.written = dict.fromkeys(PARTS, 0)
        self.committed: dict[TP, int] = {}
        self.folded: dict[TP, set[int]] = {tp: set() for tp in PARTS}
        self.meanwhile: deque[Callable[[], None]] = deque()
        """What happens while it is asked, an answer after another."""

    async def answer(self) -> None:
        await asyncio.sleep(0)
        if self.meanwhile:
            self.meanwhile.popleft()()

    def holds_true(self) -> None:
        for tp, offset in self.committed.items():
            missing = set(range(offset)) - self.folded[tp]
            assert not missing, f"{tp}: {offset} is committed, and nobody folded {sorted(missing)}"


class Client:
    """aiokafka's consumer: its own state of partitions and its own way to seek, and a fetcher without a network."""

    seek_to_committed = AIOKafkaConsumer.seek_to_committed
    _max_poll_records, _closed = None, False

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._subscription = self._subscriptions = SubscriptionState()
        self._subscription.subscribe({TOPIC})
        self._coordinator = self._fetcher = self
        self._commit_lock = asyncio.Lock()
        self.refuses: Exception | None = None
        self.generation = 0
        self.most = 1_000
        self.while_it_fetches: Callable[[], None] | None = None

    def begin(self) -> None:
        self._subscription.begin_reassignment()

    def assign(self, parts: Sequence[TP]) -> None:
        self._subscription.assign_from_subscribed({KAFKA[tp] for tp in parts})
        self.generation += 1
        for tp in parts:
            state = self._subscription.subscription.assignment.state_value(KAFKA[tp])
            state.seek(self._broker.committed.get(tp, 0))

    def assignment(self) -> set[TopicPartition]:
        return set(self._subscription.assigned_partitions())

    async def committed(self, tp: TopicPartition) -> int | None:
        await self._broker.answer()
        return self._broker.committed.get(TP(*tp))

    async def fetch_committed_offsets(self, asked: Sequence[TopicPartition]) -> dict[TopicPartition, Any]:
        await self._broker.answer()
        known = {tp: self._broker.committed.get(TP(*tp)) for tp in asked}
        return {tp: SimpleNamespace(offset=offset) for tp, offset in known.items() if offset is not None}

    async def beginning_offsets(self, asked: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        await self._broker.answer()
        return dict.fromkeys(asked, 0)

    def seek_to(self, tp: TopicPartition, offset: int) -> None:
        self._subscription.seek(tp, offset)

    async def fetched_records(self, parts: Any, timeout: float = 0, max_records: int | None = None) -> Any:
        await self._broker.answer()
        found = {}
        if not self._subscription.reassignment_in_progress:
            for tp in self._subscription.assigned_partitions():
                state = self._subscription.subscription.assignment.state_value(tp)
                end = min(self._broker.written[TP(*tp)], state.position + self.most)
                if state.position < end:
                    found[tp] = [record(tp, offset) for offset in range(state.position, end)]
                    state.consumed_to(end)
        happens, self.while_it_fetches = self.while_it_fetches, None
        if happens is not None:
            happens()
        return found

    def highwater(self, tp: Any) -> int:
        return self._broker.written[TP(*tp)]

    async def _do_commit_offsets(self, assignment: Any, offsets: Any) -> None:
        generation = self.generation
        await self._broker.answer()
        refused, self.refuses = self.refuses, None
        if generation != self.generation:
            raise IllegalGenerationError
        if not isinstance(refused, RebalanceInProgressError):  # else the answer was lost, not the commit
            for tp, said in offsets.items():
                assert said.offset >= self._broker.committed.get(TP(*tp), 0), "what is committed went back"
                self._broker.committed[TP(*tp)] = said.offset
        if refused is not None:
            raise refused

    def _is_commit_retriable(self, error: Exception) -> bool:
        return True


def record(tp: TopicPartition, offset: int) -> Any:
    more = dict.fromkeys(("headers", "key", "value", "checksum"), None)
    return SimpleNamespace(
        topic=tp.topic, partition=tp.partition, offset=offset, timestamp=0, timestamp_type=0,
        serialized_key_size=0, serialized_value_size=0, **more,
    )  # fmt: skip


class Consuming:
    """Faust's consumer, as our transport makes it, with this client under it."""

    def __init__(self, broker: Broker) -> None:
        urls = [URL("packs://nowhere")]
        app = faust.App("reading", broker=urls, store="memory://", web_enabled=False, autodiscover=False)
        transport = Transport(urls, app)

        async def heard(*_: object) -> None:
            await broker.answer()

        self.consumer = transport.create_consumer(
            callback=heard, on_partitions_revoked=heard, on_partitions_assigned=heard
        )
        self.client = self.consumer._thread._consumer = Client(broker)
        self.consumer._thread.call_thread = lambda work, *args, **named: work(*args, **named)
        self.consumer.app._consumer = self.consumer
        self.consumer.sleep = lambda seconds: asyncio.sleep(0)

    async def told(self) -> None:
        """Everybody hears of what was assigned."""
        await self.consumer.on_partitions_assigned({TP(*tp) for tp in self.client.assignment()}, 1)

    async def packs(self) -> list[Any]:
        return [message.value async for _, message in self.consumer.getmany(1.0)]


def run(story: Callable[[Broker, Consuming], Any]) -> None:
    async def tell() -> None:
        broker = Broker()
        await story(broker, Consuming(broker))

    asyncio.run(tell())


def offsets(packs: Sequence[Pack]) -> list[int]:
    return [one.offset for pack in packs for one in pack.records]


def test_a_rebalance_while_it_asks_where_to_begin_ends_nothing_and_it_begins_where_it_is_then() -> None:
    async def story(broker: Broker, consuming: Consuming) -> None:
        broker.written |= {PARTS[0]: 9, PARTS[1]: 5}
        broker.committed = {PARTS[0]: 4, PARTS[1]: 2}
        consuming.client.assign(PARTS[:2])
        await consuming.told()

        def over() -> None:
            consuming.client.begin()
            consuming.client.assign(PARTS[1:2])

        broker.meanwhile.append(over)
        assert await consuming.packs() == []
        assert await consuming.packs() == []  # nobody was told yet
        await consuming.told()
        packs = await consuming.packs()
        assert offsets(packs) == [2, 3, 4]
        assert all(pack.arrives() for pack in packs)

    run(story)


def test_a_rebalance_that_begins_while_it_fetches_and_ends_at_once_ends_nothing() -> None:
    async def story(broker: Broker, consuming: Consuming) -> None:
        broker.written |= dict.fromkeys(PARTS, 5)
        broker.committed = dict.fromkeys(PARTS, 2)
        consuming.client.assign(PARTS)
        await consuming.told()

        def over() -> None:
            consuming.client.begin()
            consuming.client.assign(PARTS[1:2])

        def stops() -> None:
            consuming.consumer.stop_flow()
            broker.meanwhile.append(over)

        consuming.client.while_it_fetches = stops
        await consuming.packs()
        consuming.consumer.resume_flow()
        broker.meanwhile.clear()
        over()
        await consuming.told()
        assert offsets(await consuming.packs()) == [2, 3, 4]

    run(story)


def test_a_fetch_that_a_rebalance_overtakes_takes_nothing_from_the_next_assignment() -> None:
    async def story(broker: Broker, consuming: Consuming) -> None:
        broker.written[PARTS[0]] = 5
        consuming.client.assign(PARTS[:1])
        await consuming.told()

        def over() -> None:
            consuming.client.begin()
            consuming.client.assign(PARTS[:1])

        broker.meanwhile.extend([lambda: None, lambda: None, over])  # committed, beginning, the fetch
        assert await consuming.packs() == []
        await consuming.told()
        assert offsets(await consuming.packs()) == [0, 1, 2, 3, 4]

    run(story)


def test_what_is_missing_is_read_again_at_once_and_what_nothing_follows_a_little_later() -> None:
    async def story(broker: Broker, consuming: Consuming) -> None:
        broker.written[PARTS[0]], consuming.client.most = 4, 1
        consuming.client.assign(PARTS[:1])
        await consuming.told()
        lost, later, last = [(await consuming.packs())[0] for _ in range(3)]
        assert not later.arrives()
        again, *_ = await consuming.packs()
        assert offsets([again]) == offsets([lost]) == [0]
        assert [pack.arrives() for pack in (lost, last, again, again)] == [False, False, True, False]
        while await consuming.packs():
            pass
        CLOCK.now += LOST_SECONDS - 1
        assert await consuming.packs() == []
        CLOCK.now += 1
        assert offsets(await consuming.packs()) == [1]

    run(story)


def test_what_always_stands_behind_much_else_is_taken_in_the_end() -> None:
    async def story(broker: Broker, consuming: Consuming) -> None:
        broker.written[PARTS[0]] = 4
        consuming.client.assign(PARTS[:1])
        await consuming.told()
        queue: deque[tuple[float, Pack]] = deque()
        for _ in range(100):
            queue += [(CLOCK.now + 2 * LOST_SECONDS, pack) for pack in await consuming.packs()]
            while queue and queue[0][0] <= CLOCK.now:
                if queue.popleft()[1].arrives():
                    return
            CLOCK.now += LOST_SECONDS / 2
        raise AssertionError("it was read again each time before it came")

    run(story)


def test_what_is_committed_is_not_committed_again() -> None:
    async def story(broker: Broker, consuming: Consuming) -> None:
        broker.written[PARTS[0]] = 4
        consuming.client.assign(PARTS)
        await consuming.told()
        for pack in await consuming.packs():
            assert pack.arrives()
            pack.keep()
        assert [await consuming.consumer.commit() for _ in range(2)] == [True, False]
        assert broker.committed == {PARTS[0]: 4}

    run(story)


STEPS = {
    "write": 3, "fetch": 6, "lose": 1, "take": 5, "keep": 4, "fail": 0.5, "commit": 2, "refused": 0.5, "rebalance": 0.4,
    "begin": 0.3, "assign": 1, "told": 1, "other": 1, "look": 1,
}  # fmt: skip
MEANWHILE = ("begin", "assign", "over", "over", "write", "take", "keep", "look", "lose", "other")


@given(st.integers(0, 2**32), st.integers(1, 120))
def test_whatever_happens_nothing_is_committed_that_was_not_kept_and_all_of_it_is_kept(
    seed: int, steps: int
) -> None:
    """In any order, and any two of them at once."""

    async def story(broker: Broker, consuming: Consuming) -> None:
        rnd = random.Random(seed)
        told = Told(broker, consuming, rnd)
        await told.rebalance()
        for step in rnd.choices([*STEPS], [*STEPS.values()], k=steps):
            if rnd.random() < 0.2:
                broker.meanwhile.append(getattr(told, rnd.choice(MEANWHILE)))
            done = getattr(told, step)()
            if asyncio.iscoroutine(done):
                await done
            broker.holds_true()
        broker.meanwhile.clear()
        await told.to_the_end()

    run(story)


class Told:
    """Everything that may happen, and what has to be true of it."""

    def __init__(self, broker: Broker, consuming: Consuming, rnd: random.Random) -> None:
        self.broker, self.consuming, self.client, self.rnd = broker, consuming, consuming.client, rnd
        self.on_the_way: deque[Pack] = deque()
        self.taken: deque[Pack] = deque()
        self.next: dict[tuple[Reading, Any], int] = {}

    def write(self) -> None:
        self.broker.written[self.rnd.choice(PARTS)] += self.rnd.randint(1, 6)

    async def fetch(self) -> None:
        self.client.most = self.rnd.randint(1, 5)
        self.on_the_way += await self.consuming.packs()

    def lose(self) -> None:
        """Faust empties its queues."""
        self.on_the_way = deque(one for one in self.on_the_way if self.rnd.random() < 0.5)

    def take(self) -> None:
        for _ in range(min(self.rnd.randint(1, 3), len(self.on_the_way))):
            pack = self.on_the_way.popleft()
            if pack.arrives():
                assert pack.reading.is_ours()
                name = pack.reading, pack.place
                assert pack.start == self.next.get(name, pack.reading.starts[pack.place])
                assert offsets([pack]) == list(range(pack.start, pack.end))
                self.next[name] = pack.end
                self.taken.append(pack)

    def keep(self) -> None:
        """In order, also what was taken of an assignment that holds no longer."""
        if self.taken:
            pack = self.taken.popleft()
            self.broker.folded[TP(*pack.place)] |= set(offsets([pack]))
            pack.keep()

    def fail(self) -> None:
        """What is taken is never kept, as when an agent ends."""
        if self.taken:
            self.taken.popleft()

    def over(self) -> None:
        """A rebalance of which nobody was told yet."""
        self.begin()
        self.assign()

    async def rebalance(self) -> None:
        self.over()
        await self.told()

    async def commit(self) -> None:
        await self.consuming.consumer.commit()

    async def refused(self) -> None:
        self.client.refuses = self.rnd.choice([RebalanceInProgressError(), GroupLoadInProgressError()])
        await self.commit()
        self.client.refuses = None

    def begin(self) -> None:
        self.client.begin()

    def assign(self) -> None:
        if self.client._subscription.reassignment_in_progress:
            self.client.assign([tp for tp in PARTS if self.rnd.random() < 0.6])

    async def told(self) -> None:
        if not self.client._subscription.reassignment_in_progress:
            await self.consuming.told()

    def other(self) -> None:
        """Another worker folds what is not ours."""
        for tp in PARTS:
            if TopicPartition(*tp) not in self.client.assignment() and self.broker.written[tp]:
                done = self.rnd.randint(self.broker.committed.get(tp, 0), self.broker.written[tp])
                self.broker.folded[tp] |= set(range(done))
                self.broker.committed[tp] = done

    def look(self) -> None:
        CLOCK.now += LOST_SECONDS / 3

    async def to_the_end(self) -> None:
        self.client.begin()
        self.client.assign(PARTS)
        await self.consuming.told()
        self.taken.clear()
        self.on_the_way.clear()
        await self.fetch()
        self.lose()
        for _ in range(200):
            await self.fetch()
            self.take()
            self.look()
            self.keep()
            await self.commit()
            self.broker.holds_true()
            if self.broker.committed == {tp: end for tp, end in self.broker.written.items() if end}:
                return
        raise AssertionError(f"committed {self.broker.committed} of {self.broker.written}")
