"""The simplest store that is filled from topics: what each key says last, in an SQLite file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from touchbook.streams.backends.followed import Offsets
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import At, Read, TopicFollower
from touchbook.streams.backends.sqlite import connect, transaction


class Kept:
    def __init__(self, directory: Path) -> None:
        self.db = connect(directory / "kept.sqlite")
        self.db.execute("CREATE TABLE IF NOT EXISTS kept (topic, key, value, PRIMARY KEY (topic, key))")
        self.kept = Offsets(self.db)
        self.lock = threading.Lock()
        self.forgotten = 0
        self.fails: list[Exception] = []
        """Raised once each, after the rows were written and before they are committed."""

    def offsets(self) -> Mapping[At, int]:
        with self.lock:
            return self.kept.read()

    def in_step_at(self) -> int:
        with self.lock:
            return self.kept.in_step_at()

    def in_step(self, at: int) -> None:
        with self.lock:
            self.kept.in_step(at)

    def apply(self, records: Sequence[Read], offsets: Mapping[At, int]) -> None:
        with self.lock, transaction(self.db):
            fresh = self.kept.beyond(records)
            rows = [(one.topic, one.key.decode(), one.value) for one in fresh]
            self.db.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", rows)
            self.db.execute("DELETE FROM kept WHERE value IS NULL")
            self.kept.write(offsets)
            if self.fails:
                raise self.fails.pop()

    def forget(self) -> None:
        self.forgotten += 1
        with self.lock, transaction(self.db):
            self.db.execute("DELETE FROM kept")
            self.kept.forget()

    def rows(self, topic: str) -> dict[str, bytes]:
        with self.lock:
            return dict(self.db.execute("SELECT key, value FROM kept WHERE topic = ?", (topic,)).fetchall())

    def close(self) -> None:
        self.db.close()


def follow_until_killed(place: KafkaPlace, topics: list[str], directory: Path) -> None:
    store = Kept(directory)
    TopicFollower(place, topics, store, "kept", at_once=500).start()
    time.sleep(300)


def count_of(directory: Path) -> int:
    """How many offsets were committed in the file, whoever follows into it."""
    db = sqlite3.connect(directory / "kept.sqlite")
    try:
        return int(db.execute("SELECT coalesce(sum(next), 0) FROM followed").fetchone()[0])
    except sqlite3.OperationalError:  # nobody has made it yet
        return 0
    finally:
        db.close()
