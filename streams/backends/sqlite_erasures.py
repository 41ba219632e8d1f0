"""Erasures asked for and done, in an SQLite file of their own: what each destroyed, and how far it came."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from pathlib import Path
from typing import Self

from touchbook.errors import ErasureUnknown, Refused
from touchbook.streams.backends.sqlite import connect, create_tables, statement, transaction
from touchbook.streams.receipts import Receipt

FILE = "erasures.sqlite"


class SqliteReceipts:
    """See `Receipts`."""

    @classmethod
    def at(cls, directory: Path) -> Self:
        """Opens DIR/erasures.sqlite, and makes it if it is not there."""
        db = connect(directory / FILE)
        create_tables(db, "erasures_schema")
        return cls(db)

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._lock = threading.Lock()

    def begin(self, receipt: Receipt) -> None:
        with self._lock, transaction(self._db):
            self._db.execute(statement("erasures_add"), (receipt["erasure"], json.dumps(receipt)))
            members = [(member, receipt["erasure"]) for member in receipt["members"]]
            self._db.executemany(statement("erasures_add_member"), members)

    def change(self, receipt: Receipt) -> None:
        done = receipt["state"] == "done"
        with self._lock, transaction(self._db):
            self._db.execute(statement("erasures_change"), (done, json.dumps(receipt), receipt["erasure"]))

    def get(self, id: str) -> Receipt:
        found = self._read("erasures_get", id)
        if not found:
            raise ErasureUnknown
        return found[0]

    def last_of(self, member: str) -> Receipt | None:
        found = self._read("erasures_last_of", member)
        return found[0] if found else None

    def open(self) -> list[Receipt]:
        return self._read("erasures_open")

    def page(self, limit: int, cursor: str | None) -> tuple[list[Receipt], str | None]:
        if cursor is not None and not re.fullmatch("[0-9]{1,18}", cursor):
            raise Refused(400, "cursor_invalid", "cursor: expected the `next` of the page before")
        before = 2**63 - 1 if cursor is None else int(cursor)
        with self._lock:
            rows = self._db.execute(statement("erasures_list"), (before, limit + 1)).fetchall()
        more = str(rows[limit - 1][0]) if len(rows) > limit else None
        return [json.loads(said) for _, said in rows[:limit]], more

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _read(self, name: str, *given: object) -> list[Receipt]:
        with self._lock:
            return [json.loads(said) for (said,) in self._db.execute(statement(name), given)]
