"""What a journal does before its writer, the same for each: senders encode drafts, which wait in a bounded queue."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

from touchbook.errors import JournalUnavailable, Overloaded
from touchbook.schemas.touchpoint import Identifier, Record, Touchpoint
from touchbook.sealing import decode_body, encode_body, unseal
from touchbook.streams.journal import Answer, Appended, Told, pending, settle
from touchbook.streams.keyring import Keyring

log = logging.getLogger(__name__)

MAX_TIME = 2**63 - 1
ERASURE = "customer_erased"
"""The type in the header of an erasure, whose source is OURS."""

Clock = Callable[[], int]
"""Milliseconds UTC."""
ObserveAppend = Callable[[float, int], None]
"""Told of each batch once it is durable: seconds since `append`, number of touchpoints. Must not raise."""


class Draft(NamedTuple):
    """A touchpoint on its way into the journal: encoded by the sender's thread, so that the writer's has less
    to do and a touchpoint that cannot be encoded fails its own sender alone."""

    key: str
    source: str
    type: str
    version: int
    channel: str
    subject: str
    occurred_at: int
    digest: str
    body: bytes


class Batch(NamedTuple):
    drafts: list[Draft]
    told: Told
    since: float


class Alone(NamedTuple):
    """Work between two commits, while nothing is recorded."""

    work: Callable[[], Any]
    told: Callable[[Any], None]


Job = Batch | Alone


class Queue:
    """What waits for the writer, in order, measured in touchpoints."""

    def __init__(self, size: int, most: int) -> None:
        self._size = size
        self._most = most
        self._jobs: deque[tuple[Job, int]] = deque()
        self._waiting = 0
        self._due = False
        self._closed: str | None = None
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def room(self) -> int:
        """How many touchpoints `put` would take now; the look at one number needs no lock."""
        self._check_open()
        return max(0, self._size - self._waiting)

    def check(self, touchpoints: int) -> None:
        """Raises what `put` would raise now."""
        if touchpoints > self.room() and self._waiting:
            raise Overloaded

    def put(self, job: Job, touchpoints: int = 0, wake: bool = True) -> None:
        """`wake=False`: the job may wait for the next one that is put, or for `wake`."""
        with self._lock:
            self.check(touchpoints)
            self._jobs.append((job, touchpoints))
            self._waiting += touchpoints
            if wake:
                self._wake()

    def wake(self) -> None:
        """What waits is to be taken."""
        with self._lock:
            self._wake()

    def _wake(self) -> None:
        self._due = True
        self._changed.notify()

    def take(self) -> deque[Job]:
        """The oldest batches that fit into one commit, or work that is to be alone. Waits; empty when closed."""
        with self._changed:
            self._changed.wait_for(lambda: (self._jobs and self._due) or self._closed)
            jobs: deque[Job] = deque()
            taken = 0
            while self._jobs:
                job, touchpoints = self._jobs[0]
                if jobs and (isinstance(job, Alone) or taken + touchpoints > self._most):
                    break
                self._jobs.popleft()
                jobs.append(job)
                taken += touchpoints
                if isinstance(job, Alone):
                    break
            self._waiting -= taken
            self._due = bool(self._jobs)
            return jobs

    def close(self, why: str) -> None:
        """Nothing more can be put; what waits can still be taken."""
        with self._changed:
            self._closed = self._closed or why
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise JournalUnavailable(self._closed)


class Drafting(ABC):
    """The half of a journal that takes what is appended and opens what is read. See `Journal`."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._identity_key = keyring.identity_key

    @property
    @abstractmethod
    def _queue(self) -> Queue:
        """Where a writer takes from. Raises JournalUnavailable in a journal that was opened to be read only."""

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]:
        future = pending()
        self.hand_in(touchpoints, partial(settle, future))
        return future

    def hand_in(self, touchpoints: Sequence[Touchpoint], told: Told, wake: bool = True) -> None:
        queue = self._queue
        queue.check(len(touchpoints))  # before the work of encoding
        drafts = [self._draft(touchpoint) for touchpoint in touchpoints]
        if drafts:
            queue.put(Batch(drafts, told, time.perf_counter()), len(drafts), wake)
        else:
            told([])

    def _draft(self, touchpoint: Touchpoint) -> Draft:
        """Raises ValueError for what no store, or this one, could keep."""
        return draft_of(touchpoint, self.id_of(touchpoint.subject))

    def wake(self) -> None:
        self._queue.wake()

    def room(self) -> int:
        return self._queue.room()

    def erase(self, owners: Sequence[str]) -> Future[list[str]]:
        return self.alone(partial(self._keyring.destroy, list(owners)))

    def alone(self, work: Callable[[], Answer]) -> Future[Answer]:
        future = pending()
        self._queue.put(Alone(work, partial(settle, future)))
        return future

    def heed_erasures(self) -> None:
        self._keyring.heed()

    def open(self, record: Record) -> Touchpoint:
        _, key, source, type_, version, channel, _, key_id, occurred_at, recorded_at, sealed = record
        return decode_body(
            unseal(sealed, self._keyring.key(key_id), key.encode()),
            key=key,
            source=source,
            type=type_,
            version=version,
            channel=channel,
            occurred_at=occurred_at,
            recorded_at=recorded_at,
        )

    def id_of(self, identifier: Identifier) -> str:
        return self._identity_key.id_of(identifier)


def draft_of(touchpoint: Touchpoint, subject: str) -> Draft:
    source, type_, channel = touchpoint.source, touchpoint.type, touchpoint.channel
    try:
        f"{source}{type_}{channel}".encode()
    except UnicodeEncodeError:
        raise ValueError("source, type and channel must be text that UTF-8 can express") from None
    if abs(touchpoint.occurred_at) > MAX_TIME:
        raise ValueError("occurred_at must be milliseconds within 64 bits")
    return Draft(
        touchpoint.key, source, type_, touchpoint.version, channel, subject,
        touchpoint.occurred_at, touchpoint.digest, encode_body(touchpoint),
    )  # fmt: skip


def fail(jobs: deque[Job], why: str, error: Exception | None = None) -> None:
    while jobs:
        failure = JournalUnavailable(why)
        failure.__cause__ = error
        tell(jobs.popleft(), failure)


def tell(job: Job, end: Any) -> None:
    """Whoever cannot be told must not keep the others from it."""
    try:
        job.told(end)
    except Exception as error:
        log.error("somebody could not be told what became of a batch: %s", type(error).__name__)
