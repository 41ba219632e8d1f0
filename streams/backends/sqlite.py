"""What the SQLite files here have in common: how they are opened, and where their statements are."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import chain
from pathlib import Path

from touchbook.statements import statement_of

BUSY_SECONDS = 10.0
"""How long a connection waits for another process that holds the write lock."""

CACHE_KIBIBYTES = 65_536
"""Page cache of a connection, used as needed: random keys touch pages all over an index."""
CHECKPOINT_PAGES = 8_000
"""Pages (32 MiB) that the write-ahead log may hold before they are copied into the file."""
INSERT_SIZES = (256, 32, 4, 1)
"""Few different sizes, so that SQLite's parsed statements are used again."""


statement = partial(statement_of, "touchbook.streams")


@cache
def statement_for(name: str, rows: int) -> str:
    """The statement, an INSERT whose last line is the placeholders of one row, for this many rows."""
    text = statement(name).rstrip()
    placeholders = text.rsplit("\n", 1)[1].strip()
    return text + f",\n{placeholders}" * (rows - 1)


def insert(db: sqlite3.Connection, name: str, rows: Sequence[Sequence[object]]) -> None:
    """Does what `executemany` does, many rows in each statement.

    Python lets go of its interpreter lock for every statement, and beside a busy thread waits up to 5 ms to
    get it back: with a row in each, the journal took 2,000 touchpoints/s where it takes 9,000 this way.
    """
    done = 0
    for size in INSERT_SIZES:
        while len(rows) - done >= size:
            db.execute(statement_for(name, size), list(chain.from_iterable(rows[done : done + size])))
            done += size


def connect(path: Path, *, create: bool = True) -> sqlite3.Connection:
    """A connection in WAL mode whose commits are on disk when they return. Transactions are begun explicitly.

    May be handed from thread to thread; the caller sees to it that one uses it at a time. Raises
    sqlite3.OperationalError if there is no file and `create` is not set.
    """
    mode = "rwc" if create else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _turn_to_wal(db)
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    except BaseException:
        db.close()
        raise
    return db


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot change anything. Not SQLite's mode=ro: that one cannot follow a write-ahead
    log whose index no writer has open."""
    db = connect(path, create=False)
    db.execute("PRAGMA query_only = ON")
    return db


def create_tables(db: sqlite3.Connection, name: str) -> None:
    """Runs a schema file, all of it or nothing. Its statements say IF NOT EXISTS."""
    db.executescript(f"BEGIN IMMEDIATE;\n{statement(name)}\nCOMMIT;")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block, durable when it ends, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk makes SQLite roll back by itself
            db.execute("ROLLBACK")
        raise


def _turn_to_wal(db: sqlite3.Connection) -> None:
    """SQLite does not wait for the lock here when two processes create a file at once, so we do."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
