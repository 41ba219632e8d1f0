"""What the SQLite files here have in common: how they are opened, and where their statements are."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from itertools import chain
from pathlib import Path

from touchbook.errors import StoreUnavailable
from touchbook.statements import statement_of
from touchbook.streams.files import sync

BUSY_SECONDS = 10.0
"""How long a connection waits for another process that holds the write lock."""

CACHE_KIBIBYTES = 65_536
"""Page cache of a connection, used as needed: random keys touch pages all over an index."""
CHECKPOINT_PAGES = 8_000
"""Pages (32 MiB) that the write-ahead log may hold before they are copied into the file."""
AT_ONCE = 256
"""Rows in one INSERT at most. Each number of rows is a statement of its own, parsed when first met and then kept."""


statement = partial(statement_of, "touchbook.streams")


@cache
def statement_for(name: str, rows: int) -> str:
    """The statement, an INSERT whose last line is the placeholders of one row, for this many rows."""
    text = statement(name).rstrip()
    placeholders = text.rsplit("\n", 1)[1].strip()
    return text + f",\n{placeholders}" * (rows - 1)


def insert(db: sqlite3.Connection, name: str, rows: Sequence[Sequence[object]]) -> None:
    """Does what `executemany` does, as many rows in each statement as go.

    Python lets go of its interpreter lock for every statement, and beside a busy thread waits up to 5 ms to
    get it back: with a row in each, the journal took 2,000 touchpoints/s where it takes 9,000 this way.
    """
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        db.execute(statement_for(name, len(part)), list(chain.from_iterable(part)))


def insert_whole(db: sqlite3.Connection, name: str, rows: Sequence[Sequence[object]]) -> None:
    """The same in a transaction of its own: all rows, durable when it returns, or none. Rows that fit into one
    statement need no other: a statement alone is a transaction."""
    if len(rows) <= AT_ONCE:
        insert(db, name, rows)
        return
    with transaction(db):
        insert(db, name, rows)


def connect(path: Path, *, create: bool = True) -> sqlite3.Connection:
    """A connection in WAL mode whose commits are on disk when they return. Transactions are begun explicitly.

    May be handed from thread to thread; the caller sees to it that one uses it at a time. Raises
    sqlite3.OperationalError if there is no file and `create` is not set.
    """
    if create:
        _make_private(path)
    mode = "rwc" if create else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    with _told_why(path):
        db = sqlite3.connect(
            uri,
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=2 * AT_ONCE,
        )
        try:
            _turn_to_wal(db)
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
            db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            if create:
                _force_down(db)
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


def connect_still(path: Path) -> sqlite3.Connection:
    """A connection to a file that nobody has open, which leaves it and its folder as they are."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)


def quick_check(path: Path) -> list[str]:
    """What SQLite finds wrong in a file's pages; nothing where they are sound."""
    try:
        with closing(connect_reader(path)) as db:
            return [row[0] for row in db.execute("PRAGMA quick_check") if row[0] != "ok"]
    except sqlite3.DatabaseError as error:
        return [str(error)]


def copy_of(source: Path, target: Path) -> None:
    """One consistent look at a file, however many write it meanwhile, as a single file on the disk."""
    with closing(connect_reader(source)) as db:
        target.unlink(missing_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # what a backup holds needs no log beside it
    sync(target)


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


@contextmanager
def told_as_ours() -> Iterator[None]:
    """A store that fails inside raises StoreUnavailable, which says what to do, instead of SQLite's error."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(str(error)) from error
    except OSError as error:  # its words name the file
        raise StoreUnavailable(error.strerror or type(error).__name__) from error


def probe(db: sqlite3.Connection) -> None:
    """Writes, durably, something that nobody reads. Raises what the store raises while it takes nothing."""
    (mark,) = db.execute("PRAGMA application_id").fetchone()
    db.execute(f"PRAGMA application_id = {mark ^ 1}")


_SILENT = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR)


@contextmanager
def _told_why(path: Path) -> Iterator[None]:
    """SQLite says "unable to open database file" or "disk I/O error" where the system would say why."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in _SILENT:
            error.args = (str(error) + _refusal(path),)
        raise


def _refusal(path: Path) -> str:
    """Asked without opening the file: closing it would let go of the locks that this process has on it."""
    for place in (path, path.parent):
        if os.path.exists(place) and not os.access(place, os.R_OK | os.W_OK):
            read_only = os.statvfs(place).f_flag & os.ST_RDONLY
            return f": {place.name}: {os.strerror(errno.EROFS if read_only else errno.EACCES)}"
    if os.path.exists(path.parent) and not os.statvfs(path.parent).f_bavail:
        return f": {os.strerror(errno.ENOSPC)}"
    return ""


def _make_private(path: Path) -> None:
    """Its owner's only, whatever the directory and the umask are: SQLite gives its logs the rights of the file."""
    if not path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def _force_down(db: sqlite3.Connection) -> None:
    """What a killed process wrote and did not live to force to disk is found here, and would be believed: a retry is
    answered `duplicate`, a body is sealed with a key. So it is forced before anybody reads it."""
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")


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
