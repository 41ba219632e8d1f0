"""The audit trail in an SQLite file of its own, audit.sqlite: what it forces to disk holds up nobody else."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Self

from touchbook.streams.audit import MAIN, START, Entry, Verdict, Written, chained, entry_of, verified
from touchbook.streams.backends.sqlite import (
    connect,
    connect_reader,
    create_tables,
    statement,
    told_as_ours,
    transaction,
)
from touchbook.streams.files import make_directory

FILE = "audit.sqlite"
NEWEST = 2**63 - 1
AT_ONCE = 10_000
"""Entries that verifying holds in memory at a time."""


class SqliteAudit:
    """See `Audit`. Any number of processes may have the file open: there is one chain, and whoever appends reads its
    end under the lock it writes under."""

    @classmethod
    def at(cls, directory: Path) -> Self:
        """Opens DIR/audit.sqlite, and makes it if it is not there."""
        make_directory(directory)
        db = connect(directory / FILE)
        create_tables(db, "audit_schema")
        return cls(db, connect_reader(directory / FILE))

    def __init__(self, db: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._reader = reader
        self._reading = threading.Lock()

    def append(
        self, who: str, name: str, act: str, customer: str | None, details: Mapping[str, str], at: int
    ) -> None:
        with told_as_ours(), self._lock, transaction(self._db):
            position, _, before = self._db.execute(statement("audit_last")).fetchone() or (0, "", START)
            text, hash = chained(MAIN, position + 1, before, who, name, act, customer, details, at)
            self._db.execute(statement("audit_add"), (position + 1, text, hash))

    def read(self, after: int = 0, limit: int = 1000) -> list[Entry]:
        return self._entries("audit_read", (after, limit))

    def latest(
        self,
        limit: int = 50,
        before: int | None = None,
        *,
        who: str | None = None,
        act: str | None = None,
        customer: str | None = None,
    ) -> list[Entry]:
        of = "_of_who" if who is not None else "_of_customer" if customer is not None else ""
        given = {
            "before": NEWEST if before is None else before,
            "limit": limit,
            "who": who,
            "act": act,
            "customer": customer,
        }
        return self._entries(f"audit_latest{of}", given)

    def written(self, after: int, limit: int = AT_ONCE) -> list[Written]:
        """Those beyond a position as they are kept, the oldest first."""
        return self._written("audit_read", (after, limit))

    def verify(self, head: str | None = None) -> Verdict:
        return verified(self._trail(), head, only=MAIN)

    def close(self) -> None:
        with self._lock, self._reading:
            self._db.close()
            self._reader.close()

    def _trail(self) -> Iterator[Written]:
        """All of it, a part at a time, so that it may be long and others go on reading."""
        after = -(2**63)
        try:
            while part := self.written(after):
                yield from part
                after = part[-1].position
        except sqlite3.DatabaseError:  # what cannot be read is not what was written
            yield Written(max(after, 0) + 1, "", "")

    def _entries(self, name: str, given: object) -> list[Entry]:
        """What somebody else put there is passed over: verifying finds it."""
        return [entry for one in self._written(name, given) if (entry := entry_of(one)) is not None]

    def _written(self, name: str, given: object) -> list[Written]:
        with told_as_ours(), self._reading, closing(self._reader.execute(statement(name), given)) as rows:  # type: ignore[arg-type]
            return [Written(*row) for row in rows]
