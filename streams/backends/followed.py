"""How far topics were read, kept in the SQLite file that is filled from them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence

from touchbook.streams.backends.kafka_follower import At, Read
from touchbook.streams.backends.sqlite import create_tables, statement


class Offsets:
    """Of one file; the caller sees to it that one thread uses it at a time, and to transactions."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        create_tables(db, "followed_schema")

    def read(self) -> dict[At, int]:
        return {(topic, part): place for topic, part, place in self._db.execute(statement("followed_read"))}

    def beyond(self, records: Sequence[Read]) -> list[Read]:
        """Those that the file has not taken: another process that follows into it may have been faster."""
        kept = self.read()
        return [record for record in records if record.offset >= kept.get(record[:2], 0)]

    def write(self, offsets: Mapping[At, int]) -> None:
        rows = [(*at, place) for at, place in offsets.items()]
        self._db.executemany(statement("followed_write"), rows)

    def in_step_at(self) -> int:
        row = self._db.execute(statement("followed_at_read")).fetchone()
        return int(row[0]) if row else 0

    def in_step(self, at: int) -> None:
        self._db.execute(statement("followed_at_write"), (at,))

    def forget(self) -> None:
        self._db.execute(statement("followed_forget"))


class FollowedFile:
    """What a follower asks of every file that is filled from topics, under the file's own lock: see
    `kafka_follower.Followed`. What it does with the records is each file's own."""

    _lock: threading.Lock
    _offsets: Offsets

    def offsets(self) -> Mapping[At, int]:
        with self._lock:
            return self._offsets.read()

    def in_step_at(self) -> int:
        with self._lock:
            return self._offsets.in_step_at()

    def in_step(self, at: int) -> None:
        with self._lock:
            self._offsets.in_step(at)
