"""The one thread that writes the SQLite journal."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Any

from touchbook.errors import BodyUnreadable, KeyDestroyed
from touchbook.schemas.touchpoint import NO_CHANNEL
from touchbook.sealing import digest_in, encode_erasure, seal_each, unseal
from touchbook.streams.backends.drafts import (
    ERASURE,
    Alone,
    Batch,
    Clock,
    Draft,
    Job,
    ObserveAppend,
    Queue,
    fail,
    tell,
)
from touchbook.streams.backends.sqlite import connect, insert_whole, probe, statement
from touchbook.streams.control import OURS
from touchbook.streams.journal import Appended
from touchbook.streams.keyring import DataKey, Keyring

log = logging.getLogger(__name__)


class Writer:
    """The one thread that writes. A store that fails costs the batches at hand, never the thread."""

    def __init__(
        self, file: Path, keyring: Keyring, clock: Clock, queue: Queue, observe_append: ObserveAppend | None
    ) -> None:
        self.queue = queue
        self.head = 0
        self._recorded_at = 0
        self._file = file
        self._keyring = keyring
        self._clock = clock
        self._observe_append = observe_append
        self.failing_because: str | None = None
        """Why the store took nothing when it was last asked to; None if it took what it was given."""
        self._grown = threading.Condition()
        self._told = 0
        self._db: sqlite3.Connection | None = self._connect()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.queue.close("it was closed")
        self._thread.join()

    def wait_beyond(self, position: int, timeout: float) -> bool:
        with self._grown:
            told = self._told
            self._grown.wait_for(lambda: self.head > position or self._told > told, timeout)
            return self.head > position

    def wait_no_more(self) -> None:
        with self._grown:
            self._told += 1
            self._grown.notify_all()

    def mark_erased(self, key: str, subject: str, members: Sequence[str]) -> int:
        """See `Journal`. Only for work in this thread."""
        self._db = db = self._db or self._connect()
        for position, *_ in db.execute(statement("journal_find"), (json.dumps([key]),)).fetchall():
            return int(position)
        at = max(self._recorded_at, self._clock())
        body = encode_erasure(members)
        row = (self.head + 1, key, OURS, ERASURE, 1, NO_CHANNEL, subject, "", at, at, body)
        insert_whole(db, "journal_append", [row])
        self._recorded_at = at
        with self._grown:
            self.head += 1
            self._grown.notify_all()
        return self.head

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
            self._disconnect()

    def _do(self, jobs: deque[Job]) -> None:
        try:
            ends = self._ends_of(jobs)
        except Exception as error:
            self._disconnect()  # rolls back; the next jobs find a fresh connection
            if self.failing_because is None:  # what fails afterwards says less than the first
                self.failing_because = _reason(error)
                log.error("the journal takes nothing: %s", self.failing_because)
            fail(jobs, _reason(error), error)
        else:
            now = time.perf_counter()
            for end in ends:
                tell(job := jobs.popleft(), end)
                if self._observe_append and isinstance(job, Batch):
                    self._observe_append(now - job.since, len(job.drafts))

    def _ends_of(self, jobs: deque[Job]) -> list[Any]:
        """What became of each job."""
        if isinstance(jobs[0], Alone):
            return [jobs[0].work()]
        batches = [job for job in jobs if isinstance(job, Batch)]
        appended = iter(self._append(list(chain.from_iterable(batch.drafts for batch in batches))))
        return [list(islice(appended, len(batch.drafts))) for batch in batches]

    def _append(self, drafts: list[Draft]) -> list[Appended]:
        self._db = db = self._db or self._connect()
        appended, fresh = _told_apart(drafts, self._recorded(db, drafts), self.head)
        if fresh:
            recorded_at = max(self._recorded_at, self._clock())
            insert_whole(db, "journal_append", self._sealed(fresh, recorded_at))
            self._took()
            self._recorded_at = recorded_at
            with self._grown:
                self.head += len(fresh)
                self._grown.notify_all()
        return appended

    def probe(self) -> None:
        """Raises what the journal or the keyring raises while it takes nothing. Only for work in this thread."""
        self._db = self._db or self._connect()
        probe(self._db)
        self._keyring.probe()
        self._took()

    def _took(self) -> None:
        if self.failing_because is not None:
            log.warning("the journal takes touchpoints again")
        self.failing_because = None

    def _recorded(self, db: sqlite3.Connection, drafts: list[Draft]) -> dict[str, tuple[int, str | None]]:
        """Position and digest of those that the journal holds already; no digest where it cannot be read."""
        keys = json.dumps([draft.key for draft in drafts])
        return {
            key: (position, self._digest(key, key_id, body))
            for key, position, key_id, body in db.execute(statement("journal_known"), (keys,))
        }

    def _digest(self, key: str, key_id: str, body: bytes) -> str | None:
        try:
            return digest_in(unseal(body, self._keyring.key(key_id), key.encode()))
        except (KeyDestroyed, BodyUnreadable):
            return None

    def _sealed(self, fresh: list[Draft], recorded_at: int) -> list[tuple[object, ...]]:
        data_keys = self._keyring.data_keys([draft.subject for draft in fresh])  # durable before one is used
        bodies = seal_each([
            (draft.body, data_key.key, draft.key.encode())
            for draft, data_key in zip(fresh, data_keys, strict=True)
        ])  # fmt: skip
        return list(map(_row, count(self.head + 1), fresh, data_keys, repeat(recorded_at), bodies))

    def _connect(self) -> sqlite3.Connection:
        db = connect(self._file)
        self.head, self._recorded_at = last_record(db)
        return db

    def _disconnect(self) -> None:
        if self._db:
            self._db.close()
            self._db = None


def _told_apart(
    drafts: Iterable[Draft], known: dict[str, tuple[int, str | None]], head: int
) -> tuple[list[Appended], list[Draft]]:
    """What becomes of each draft, and those to be recorded. `known` learns them, for repeats."""
    appended: list[Appended] = []
    fresh: list[Draft] = []
    for draft in drafts:
        if (first := known.get(draft.key)) is None:
            fresh.append(draft)
            position = head + len(fresh)
            known[draft.key] = position, draft.digest
            appended.append(Appended("accepted", position))
        else:
            position, digest = first
            same = digest is None or digest == draft.digest
            appended.append(Appended("duplicate" if same else "reused", position))
    return appended, fresh


def _row(
    position: int, draft: Draft, data_key: DataKey, recorded_at: int, sealed: bytes
) -> tuple[object, ...]:
    key, source, type_, version, channel, subject, occurred_at, _, _ = draft
    key_id = data_key.key_id
    return position, key, source, type_, version, channel, subject, key_id, occurred_at, recorded_at, sealed


def _reason(error: Exception) -> str:
    """SQLite's own words name tables and conditions, never values; of anything else only the kind is told."""
    return str(error) if isinstance(error, sqlite3.Error) else type(error).__name__


def last_record(db: sqlite3.Connection) -> tuple[int, int]:
    """Position and recorded_at of the last record; 0, 0 when there is none."""
    position, recorded_at = db.execute(statement("journal_head")).fetchone() or (0, 0)
    return position, recorded_at
