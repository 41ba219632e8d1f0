"""The journal in one SQLite file, written by one thread of one process.

Senders leave batches in a bounded queue; the writer takes what is there and commits it at once (group commit:
many requests share one fsync), then answers them all.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Self

from touchbook.errors import FormatUnknown, JournalLocked, JournalUnavailable, NotATouchbook
from touchbook.identity import STRENGTH_ORDER, IdentityRules
from touchbook.schemas.touchpoint import Record
from touchbook.sealing import new_key_id
from touchbook.streams.backends.drafts import Clock, Drafting, ObserveAppend, Queue
from touchbook.streams.backends.sqlite import (
    connect,
    connect_reader,
    connect_still,
    create_tables,
    statement,
    transaction,
)
from touchbook.streams.backends.sqlite_writer import Writer, last_record
from touchbook.streams.files import make_directory
from touchbook.streams.keyring import Keyring

FILE = "journal.sqlite"
LOCK_FILE = "journal.lock"
FORMAT = "1"
MAX_QUEUE = 20_000
"""Touchpoints that may wait for the writer."""
MAX_DRAIN = 5_000
"""Touchpoints committed at once, unless one batch alone is larger."""
MAX_READ_BYTES = 32 * 1024 * 1024
"""Sealed bodies read at once add up to this and one more body at most: opened and folded they take several times it."""
PROBE_SECONDS = 2.0
READERS_CACHE_KIBIBYTES = 4_096
"""Page cache of a connection for reading: it goes through the journal from front to end."""
_record = partial(tuple.__new__, Record)
POLL_SECONDS = 0.1
"""How often a process that is not the writer looks for new records while it waits."""


class SqliteJournal(Drafting):
    """See `Journal`. One process writes, which a lock file sees to; any number read."""

    @classmethod
    def at(
        cls,
        directory: Path,
        keyring: Keyring,
        clock: Clock,
        *,
        read_only: bool = False,
        rules: IdentityRules | None = None,
        max_queue: int = MAX_QUEUE,
        max_drain: int = MAX_DRAIN,
        observe_append: ObserveAppend | None = None,
    ) -> Self:
        """Opens DIR/journal.sqlite; makes it first if it is to be written and is not there.

        `rules` are written into a new journal; an old one keeps those it was made with. Raises JournalLocked
        if another process writes it, NotATouchbook if there is none to read, FormatUnknown if it is not of
        FORMAT.
        """
        file = directory / FILE
        if read_only:
            return cls(file, keyring)
        make_directory(directory)
        lock = _locked(directory)
        try:
            _create(file, rules or IdentityRules(order=STRENGTH_ORDER, default_region=None))
            journal = cls(file, keyring, lock)
            journal._writer = Writer(file, keyring, clock, Queue(max_queue, max_drain), observe_append)
        except BaseException:
            os.close(lock)
            raise
        journal._writer.start()
        return journal

    def __init__(self, file: Path, keyring: Keyring, lock: int | None = None) -> None:
        super().__init__(keyring)
        self._id, self._rules = _meta(file)
        self._readers = _Readers(file)
        self._writer: Writer | None = None
        self._told = 0
        self._lock = lock

    @property
    def id(self) -> str:
        """128 random bits in hex, drawn at creation: tells this journal from every other."""
        return self._id

    @property
    def rules(self) -> IdentityRules:
        return self._rules

    def mark_erased(self, key: str, subject: str, members: Sequence[str]) -> int:
        if self._writer is None:
            raise JournalUnavailable("it was opened to be read only")
        return self._writer.mark_erased(key, subject, members)

    def find(self, keys: Sequence[str]) -> list[Record]:
        with self._readers.one() as db:
            return [Record(*row) for row in db.execute(statement("journal_find"), (json.dumps(list(keys)),))]

    @property
    def parts(self) -> int:
        return 1

    @property
    def tells_repeats(self) -> bool:
        return True

    def read(self, after: int = 0, limit: int = 1000, part: int = 0) -> list[Record]:
        records: list[Record] = []
        size = 0
        with (
            self._readers.one() as db,
            closing(db.execute(statement("journal_read"), (after, limit))) as rows,
        ):
            for record in map(_record, rows):
                records.append(record)
                size += len(record.body)
                if size >= MAX_READ_BYTES:
                    break
        return records

    def failing(self) -> str | None:
        """Why the last touchpoints could not be stored, while that is still so: it is tried before it is said."""
        writer = self._writer
        if writer is None or writer.failing_because is None:
            return None
        with suppress(Exception):
            self.alone(writer.probe).result(PROBE_SECONDS)
        return writer.failing_because

    def head(self, part: int = 0) -> int:
        if self._writer:
            return self._writer.head
        with self._readers.one() as db:
            return last_record(db)[0]

    def wait_beyond(self, position: int, timeout: float) -> bool:
        if self._writer:
            return self._writer.wait_beyond(position, timeout)
        deadline, told = time.monotonic() + timeout, self._told
        while self.head() <= position:
            if (left := deadline - time.monotonic()) <= 0 or self._told > told:
                return False
            time.sleep(min(left, POLL_SECONDS))
        return True

    def wait_no_more(self) -> None:
        self._told += 1
        if self._writer:
            self._writer.wait_no_more()

    def close(self) -> None:
        if self._writer:
            self._writer.stop()
        self._readers.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _queue(self) -> Queue:
        if self._writer is None:
            raise JournalUnavailable("it was opened to be read only")
        return self._writer.queue


def described(file: Path) -> tuple[str, int]:
    """The id of the journal in a file that nobody writes, and the position of its last record. Leaves it as it is."""
    with closing(connect_still(file)) as db:
        return dict(db.execute(statement("journal_meta_read")).fetchall())["id"], last_record(db)[0]


class _Readers:
    """Connections for reading, each used by one thread at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @contextmanager
    def one(self) -> Iterator[sqlite3.Connection]:
        try:
            db = self._idle.pop()
        except IndexError:
            db = connect_reader(self._file)
            db.execute(f"PRAGMA cache_size = -{READERS_CACHE_KIBIBYTES}")
        try:
            yield db
        finally:
            self._idle.append(db)
            if self._closed:
                self.close()

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()


def _locked(directory: Path) -> int:
    """An open file that holds the lock until it or the process ends. Raises JournalLocked."""
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalLocked(str(directory)) from None
    return descriptor


def _create(file: Path, rules: IdentityRules) -> None:
    """Makes what is not there yet; picks up where an interrupted creation stopped."""
    with closing(connect(file)) as db:
        create_tables(db, "journal_schema")
        if not db.execute(statement("journal_meta_read")).fetchall():
            meta = {"format": FORMAT, "id": new_key_id(), "identity_rules": json.dumps(rules.to_json())}
            with transaction(db):
                db.executemany(statement("journal_meta_write"), meta.items())


def _meta(file: Path) -> tuple[str, IdentityRules]:
    try:
        with closing(connect_reader(file)) as db:
            meta = dict(db.execute(statement("journal_meta_read")).fetchall())
    except sqlite3.OperationalError as error:
        if file.exists() and error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise  # a failing disk may well hold one
        meta = {}
    if not meta:
        raise NotATouchbook(str(file.parent))
    if meta["format"] != FORMAT:
        raise FormatUnknown(str(file), meta["format"], FORMAT)
    rules = json.loads(meta["identity_rules"])
    if rules["version"] != IdentityRules.version:
        raise FormatUnknown(str(file), f"identity rules {rules['version']}", str(IdentityRules.version))
    return meta["id"], IdentityRules.from_json(rules)
