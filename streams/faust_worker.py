"""The worker under Faust: it brings packs from Kafka, keeps partitions, and acknowledges what is kept.

Two consumer groups in one process: of the journal (one group for each build of the projections) and of the ingress
topics. Whatever blocks has a thread of its own, so that heartbeats go on; whatever can fail is caught here, for Faust
passes over a record whose agent raised.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import signal
import tempfile
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import faust
from faust.types.auth import CredentialsT
from yarl import URL

from touchbook.errors import BrokerUnavailable
from touchbook.schemas.catalogue import Catalogue
from touchbook.streams.admission import Admission
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_records import part_for, record_of
from touchbook.streams.backends.kafka_tails import KafkaTails
from touchbook.streams.control import Control
from touchbook.streams.faust_transport import Pack as Fetched
from touchbook.streams.faust_transport import Transport
from touchbook.streams.ingress import Arrived, Ingress
from touchbook.streams.journal import Journal
from touchbook.streams.published import Producing, Publishing
from touchbook.streams.worker_folding import Folding, Pack, Raw, Store
from touchbook.streams.worker_gathering import FIRST_PAUSE, LONGEST_PAUSE, Gathering, Pace, Watchdog
from touchbook.streams.worker_metrics import WorkerDoor, WorkerMetrics
from touchbook.streams.worker_reading import Reading

log = logging.getLogger(__name__)

BUFFERED_PACKS = 32
NEW_TOPICS_SECONDS = 10
"""How long it may take until a new ingress topic is read."""
A_DAY = 86_400.0
LAG_SECONDS = 2.0
"""How often it is asked how far the groups have come."""
TICK_SECONDS = 0.1
SELDOM = (1_000_000, 20, 100)
"""How many more objects there are before Python looks for cycles among them: what is folded holds none, and what waits
to be saved would be looked through again and again for the few that the engine leaves."""
ENDING = (signal.SIGTERM, signal.SIGINT)
LEAVE_SECONDS = 2.0
"""What is left of the time to stop when the process is ended whatever it is at."""

# Faust tells of each rebalance in tables, and its services of every start and stop.
for _engine in ("faust", "mode", Transport.__module__):
    logging.getLogger(_engine).setLevel(logging.ERROR)


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker behaves. Seconds, unless said otherwise."""

    watchdog_seconds: float = 120.0
    """Without progress for so long while records wait, it ends."""
    stop_seconds: float = 10.0
    """Asked to stop, it has ended by then, whatever Kafka does."""
    port: int | None = None
    """Where `/healthz`, `/readyz` and `/metrics` are answered, on the loopback; 0: any that is free; None: nowhere."""
    session_seconds: float = 10.0
    """A worker that is not heard of for so long loses its partitions."""
    heartbeat_seconds: float = 3.0
    commit_seconds: float = 0.25
    """How often what was kept is committed: after a crash what was not is done again."""
    pace: Pace = field(default_factory=Pace)
    fetch_bytes: int = 1024 * 1024
    """Of one partition at once."""


@dataclass
class WorkerParts:
    """What a worker needs, opened and closed by whoever runs it. Without a `store` it does not fold, without an
    `admission` it does not take what comes by ingress topics."""

    place: KafkaPlace
    build: str
    catalogue: Catalogue
    journal: Journal
    control: Control
    producer: Producing
    clock: Callable[[], int]
    store: Store | None = None
    admission: Admission | None = None
    max_item: int = 64 * 2**10
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    tell: Callable[[Mapping[str, Any]], None] = lambda said: None
    """Is told, for whoever watches it, that it works, which build, and where it says how it is; and that it ends, and
    why, None where it was asked to."""


def run_worker(
    parts: WorkerParts, settings: WorkerSettings, until: Callable[[], bool] = lambda: False
) -> int:
    """Works until the process is asked to stop (SIGTERM, SIGINT) or `until` says so, and answers its exit code: 0 after
    that, 1 where it could not go on, which is logged. Called in the main thread, it ends the process itself where
    stopping, and what its caller closes afterwards, would take longer than it may; after `until` it leaves that to its
    caller."""
    gc.freeze()
    gc.set_threshold(*SELDOM)
    with tempfile.TemporaryDirectory(prefix="touchbook-worker-") as folder:
        return _Working(parts, settings, Path(folder), until).run()


class _Working:
    def __init__(
        self, parts: WorkerParts, settings: WorkerSettings, folder: Path, until: Callable[[], bool]
    ) -> None:
        self._settings = settings
        self._until = until
        self._metrics = parts.metrics
        self._build, self._tell = parts.build, parts.tell
        self._groups: list[_Group] = []
        if parts.store is not None:
            self._groups.append(_Folders(parts, parts.store, settings, folder))
        if parts.admission is not None:
            self._groups.append(_Doormen(parts, parts.admission, settings, folder))
        self._ended_because: str | None = None
        self._asked = asyncio.Event()
        self._owns_process = threading.current_thread() is threading.main_thread()
        self._deadline: threading.Timer | None = None
        self._door: WorkerDoor | None = None
        self._url: str | None = None

    def run(self) -> int:
        if self._owns_process:  # the loop's own handlers begin later, and end before everything is closed
            for number in ENDING:
                signal.signal(number, lambda *_: self._ask())
        self._open_door()
        self._tell({"state": "working", "build": self._build, "url": self._url})
        try:
            asyncio.run(self._work())
        finally:
            ends = self._owns_process and (self._asked.is_set() or self._ended_because is not None)
            for number in ENDING if self._owns_process else ():
                signal.signal(number, signal.SIG_IGN if ends else signal.SIG_DFL)
            if self._door is not None:
                self._door.close()
            for group in self._groups:
                group.close()
            if self._deadline is not None and not ends:
                self._deadline.cancel()
        return 0 if self._ended_because is None else 1

    async def _work(self) -> None:
        if self._owns_process:
            for number in ENDING:
                asyncio.get_running_loop().add_signal_handler(number, self._ask)
        starting = [asyncio.create_task(group.start()) for group in self._groups]
        looking = asyncio.create_task(self._look_on())
        try:
            self._ended_because = await self._why_to_end(starting, looking)
            if self._ended_because is None:
                log.info("asked to stop")
            else:
                log.critical("the worker ends: %s", self._ended_because)
            self._tell({"state": "ending", "because": self._ended_because})
        finally:
            self._see_to_the_end()
            for task in (*starting, looking):
                task.cancel()
            await asyncio.gather(*(group.stop() for group in self._groups), return_exceptions=True)

    async def _why_to_end(self, starting: list[asyncio.Task[None]], looking: asyncio.Task[str]) -> str | None:
        """Waits until the worker is to end; None: it was asked to."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), TICK_SECONDS)
                return None
            if self._until():
                return None
            for task in starting:
                if task.done() and (error := task.exception()) is not None:
                    return f"it could not start: {type(error).__name__}: {error}"
            for group in self._groups:
                if (why := group.stopped_because) is not None:
                    return why
            if looking.done():
                return looking.result()

    async def _look_on(self) -> str:
        """Looks how far the groups have come, until one of them stands still."""
        while True:
            await asyncio.sleep(LAG_SECONDS)
            for group in self._groups:
                if (why := await group.look()) is not None:
                    return why

    def _ask(self) -> None:
        self._see_to_the_end()
        self._asked.set()

    def _see_to_the_end(self) -> None:
        if self._deadline is not None:
            return
        seconds = max(self._settings.stop_seconds - LEAVE_SECONDS, 0.1)
        self._deadline = threading.Timer(seconds, self._end_now)
        self._deadline.daemon = True
        self._deadline.start()

    def _end_now(self) -> None:
        log.critical(
            "stopping took longer than %g s (stop_seconds), so the process ends as it is: Kafka does not answer, or "
            "lets nobody leave the group just now. Nothing is lost: what was not acknowledged is folded again",
            self._settings.stop_seconds,
        )
        logging.shutdown()
        os._exit(1)

    def _open_door(self) -> None:
        self._metrics.watch("lag_records", partial(self._lags, "journal"))
        self._metrics.watch("ingress_lag_records", partial(self._lags, "ingress"))
        if self._settings.port is not None:
            self._door = WorkerDoor(
                self._settings.port, self._metrics, self._why_not_alive, self._why_not_ready
            )
            self._door.start()
            self._url = f"http://127.0.0.1:{self._door.port}"
            log.info("health and metrics on %s", self._url)

    def _lags(self, name: str) -> Mapping[str, float]:
        return {part: lag for group in self._groups if group.name == name for part, lag in group.lags.items()}

    def _why_not_alive(self) -> str | None:
        return next((why for group in self._groups if (why := group.stopped_because)), None)

    def _why_not_ready(self) -> dict[str, str]:
        return {group.name: why for group in self._groups if (why := group.not_ready_because)}


class _Group(ABC):
    """One consumer group: a Faust app with one agent."""

    name: str

    def __init__(self, parts: WorkerParts, settings: WorkerSettings, group: str, folder: Path) -> None:
        self._settings = settings
        self._metrics = parts.metrics
        self._tails = KafkaTails(parts.place, group)
        self._watchdog = Watchdog(settings.watchdog_seconds)
        self._app = _app(parts.place, group, settings, folder)
        self._app.on_partitions_assigned.connect(self._assigned)
        self._app.on_partitions_revoked.connect(self._revoked)
        self._joined = False
        self._stopping = False
        self._failed_because: str | None = None
        self._unreached_because: str | None = None
        self.lags: dict[str, float] = {}
        """Records not acknowledged, as of when it was last asked."""
        self.alive_at: float = 0.0

    async def start(self) -> None:
        await self._app.start()

    async def stop(self) -> None:
        self._stopping = True
        await self._app.stop()

    def close(self) -> None:
        self._tails.close()

    @abstractmethod
    async def _take(self, fetched: Fetched) -> None:
        """Takes a pack that is the next of its partition, and sees to it that it is kept."""

    async def _take_on(self, stream: Any) -> AsyncIterator[None]:
        """Takes what comes. Where that fails, which is our bug, Faust would pass over the pack, and nothing behind it
        would ever be committed: so the worker is to end, and whoever is next reads it again."""
        async for event in stream.noack().events():
            fetched: Fetched = event.value
            if self._failed_because is not None or not fetched.arrives():
                continue
            try:
                await self._take(fetched)
            except Exception as error:
                what, where = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
                # Its own words are left out: they may hold what the records say of somebody.
                log.error(
                    "a pack of %s, partition %d, could not be taken: %s\n%s", *fetched.place, what, where
                )
                self._failed_because = f"taking what was fetched failed: {what}"
            yield None

    @property
    def stopped_because(self) -> str | None:
        if self._failed_because is not None:
            return self._failed_because
        if self._app.crashed and not self._stopping:
            error = self._app.crash_reason
            return f"Faust cannot go on: {type(error).__name__}: {error}"
        return None

    @property
    def not_ready_because(self) -> str | None:
        if self._unreached_because is not None:
            return self._unreached_because
        return None if self._joined else "it has not joined its group yet"

    async def look(self) -> str | None:
        """Asks how far the group has come in the partitions that are ours; answers why to end, if so."""
        try:
            places = [(tp.topic, tp.partition) for tp in self._app.consumer.assignment()]
            lag = await asyncio.to_thread(self._tails.lag, places)
            self.lags = {self._label(*place): records for place, records in lag.items()}
            self._unreached_because = None
        except BrokerUnavailable as error:  # what was last known stands
            self._unreached_because = str(error)
        except Exception:  # none are ours yet
            log.debug("%s: it is not known yet how far it has come", self.name)
        return self._watchdog.look(int(sum(self.lags.values())), self.alive_at)

    def _label(self, topic: str, part: int) -> str:
        return str(part)

    async def _assigned(self, *said: Any, **_: Any) -> None:
        self._joined = True
        if self.name == _Folders.name:
            self._metrics.count("rebalances")
        self._changed_hands()

    async def _revoked(self, *_: object, **__: object) -> None:
        self._changed_hands()

    def _changed_hands(self) -> None:
        """All partitions may be somebody else's."""
        self.lags = {}


class _Folders(_Group):
    """Who folds the journal."""

    name = "journal"

    def __init__(self, parts: WorkerParts, store: Store, settings: WorkerSettings, folder: Path) -> None:
        super().__init__(parts, settings, f"{parts.place.prefix}-{parts.build}", folder)
        place, build = parts.place, parts.build
        self._published = KafkaTails(place)
        self._publishing = publishing = Publishing(
            lambda kind: place.topic(f"{kind}.{build}"),
            parts.producer,
            self._published,
            store.standing,
            parts.metrics.count,
        )
        folding = Folding(
            parts.journal, store, parts.control, publishing, parts.catalogue, _record, part_for, parts.metrics
        )
        self._reading: Reading | None = None
        self._parts: set[int] = set()
        self._generation = 0
        self._gathering = Gathering(folding, settings.pace, parts.metrics, publishing.look)
        topic = self._app.topic(
            place.topic("journal"), key_type=bytes, value_type=bytes, value_serializer="raw"
        )
        self._app.agent(topic, name="fold")(self._take_on)

    async def start(self) -> None:
        self._gathering.start()
        await super().start()

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.to_thread(self._gathering.stop, self._settings.stop_seconds)
        await super().stop()

    def close(self) -> None:
        super().close()
        if self._gathering.stop(
            0
        ):  # else its thread asks brokers that do not answer, and closing would wait for them
            self._published.close()

    @property
    def stopped_because(self) -> str | None:
        return self._gathering.stopped_because or super().stopped_because

    @property
    def not_ready_because(self) -> str | None:
        return self._gathering.failing_because or super().not_ready_because

    async def look(self) -> str | None:
        self.alive_at = self._gathering.alive_at
        return await super().look()

    async def _take(self, fetched: Fetched) -> None:
        while self._gathering.full and fetched.reading.is_ours():
            await asyncio.sleep(TICK_SECONDS / 5)
        if not fetched.reading.is_ours():
            return
        if fetched.reading is not self._reading:  # what is folded together is of one
            self._gathering.drop()
            self._reading = fetched.reading
        done = partial(asyncio.get_running_loop().call_soon_threadsafe, fetched.keep)
        self._gathering.take(Pack(fetched.place[1], fetched.records, partial(_unless_closed, done)))

    async def _assigned(self, *said: Any, **_: Any) -> None:
        await super()._assigned(*said)
        parts, generation = {tp.partition for tp in said[-1]}, self._app.consumer_generation_id
        kept = parts if generation == self._generation + 1 else set()  # else somebody had them in between
        self._publishing.lose(self._parts - kept)
        self._parts, self._generation = parts, generation

    async def _revoked(self, *_: object, **__: object) -> None:
        await super()._revoked()
        self._gathering.drop()


class _Doormen(_Group):
    """Who takes in what comes by ingress topics."""

    name = "ingress"

    def __init__(
        self, parts: WorkerParts, admission: Admission, settings: WorkerSettings, folder: Path
    ) -> None:
        prefix = parts.place.prefix
        super().__init__(parts, settings, f"{prefix}-ingress", folder)
        self._ingress = Ingress(
            parts.journal, admission, parts.control, prefix, parts.clock, max_item=parts.max_item
        )
        self._failing_because: str | None = None
        pattern = rf"^{re.escape(prefix)}\.ingress\.[^.].*$"
        topic = self._app.topic(pattern=pattern, key_type=bytes, value_type=bytes, value_serializer="raw")
        self._app.agent(topic, name="ingress")(self._take_on)

    @property
    def not_ready_because(self) -> str | None:
        return self._failing_because or super().not_ready_because

    def _label(self, topic: str, part: int) -> str:
        return f"{self._ingress.source_of(topic)}:{part}"

    async def _take(self, fetched: Fetched) -> None:
        arrived = [_arrived(one) for one in fetched.records]
        pause = FIRST_PAUSE
        while fetched.reading.is_ours() and not self._stopping:
            if await self._taken(arrived):
                fetched.keep()
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _taken(self, arrived: list[Arrived]) -> bool:
        try:
            taken = await asyncio.to_thread(self._ingress.take, arrived)
        except Exception as error:
            self._failing_because = f"{type(error).__name__}: {error}"
            log.warning("nothing of the ingress topics is taken in: %s", self._failing_because)
            return False
        finally:
            self.alive_at = time.monotonic()
        self._failing_because = None
        self._metrics.count("ingress_accepted", taken.accepted)
        source = self._ingress.source_of(arrived[0].topic)
        for code, records in taken.rejected.items():
            self._metrics.rejected(source, code, records)
        return True


def _record(part: int, raw: Raw) -> Any:
    return record_of(part, raw.offset, raw.timestamp, raw.key, raw.value, raw.headers)


def _arrived(one: Any) -> Arrived:
    return Arrived(one.topic, one.partition, one.offset, one.timestamp, one.headers, one.value)


def _unless_closed(done: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop has ended: nobody is there any more to acknowledge to
        done()


def _app(place: KafkaPlace, group: str, settings: WorkerSettings, folder: Path) -> faust.App:
    urls = [URL(f"packs://{broker}") for broker in place.bootstrap]
    app = faust.App(
        group,
        broker=urls,
        broker_credentials=_credentials(place),
        broker_session_timeout=settings.session_seconds,
        broker_heartbeat_interval=settings.heartbeat_seconds,
        broker_commit_interval=settings.commit_seconds,
        broker_rebalance_timeout=settings.session_seconds,
        broker_request_timeout=4 * settings.session_seconds,
        # A store may be away for long, while nothing is fetched: that is no reason to lose the partitions.
        broker_max_poll_interval=A_DAY,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=settings.fetch_bytes,
        consumer_metadata_max_age_ms=NEW_TOPICS_SECONDS * 1000,
        stream_buffer_maxsize=BUFFERED_PACKS,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        datadir=folder / group,
        web_enabled=False,
        autodiscover=False,
    )
    app.transport = Transport(urls, app)
    app.producer_transport = app.transport
    return app


def _credentials(place: KafkaPlace) -> CredentialsT | None:
    aio = place.aio()
    if mechanism := aio.get("sasl_mechanism"):
        return faust.SASLCredentials(
            username=aio["sasl_plain_username"],
            password=aio["sasl_plain_password"],
            ssl_context=aio["ssl_context"],
            mechanism=mechanism,
        )
    return faust.SSLCredentials(aio["ssl_context"]) if aio["ssl_context"] is not None else None
