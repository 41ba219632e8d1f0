"""Projections in SQLite: one file for each build, and a small file that says which one serves.

A rebuild writes a new file beside the old and then replaces the pointer in one rename; readers and the follower notice
at their next look. The file may be lost at any time: it is made again from the journal.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any

from touchbook.errors import PositionMoved
from touchbook.identity import SHARED_BEYOND, is_blocked
from touchbook.ledger import Ledger
from touchbook.projections.changes import Changes, Stamp
from touchbook.projections.stores.port import Deed, Known
from touchbook.registers import Setting, ThreadMessage, latest
from touchbook.schemas.touchpoint import Claim, Identifier
from touchbook.statements import statement_of
from touchbook.timeline import Entry, TimelineFilters

POINTER = "projections.current"
LAST: Stamp = (2**62, "~")
DIGESTS = ("entries", "ledger", "registers", "claims")


BUILD_CACHE_KIBIBYTES = 65_536
"""Page cache while building, used as needed: every batch touches pages all over every table."""

sql = partial(statement_of, "touchbook.projections")
_body_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_value_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
_row_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class SqliteProjections:
    """The projections of one data directory, in the version asked for.

    Connections belong to threads. `write` is called by one thread only, the follower's.
    """

    def __init__(self, directory: Path, file: Path | None = None) -> None:
        """Opens what the pointer names; a `file` is opened as it is, pointer or not (a build not serving yet)."""
        self._directory = directory
        self._fixed = file
        self._local = threading.local()
        self._open: dict[threading.Thread, sqlite3.Connection] = {}
        self._guard = threading.Lock()

    @classmethod
    def open(cls, directory: Path, version: str) -> SqliteProjections:
        """What serves now; where nothing serves yet, an empty build of this version."""
        if serving(directory) is None:
            make_serving(directory, build(directory, version))
        return cls(directory)

    def version(self) -> str:
        """The version that made what serves now; it may be older than the code's."""
        (found,) = self._connection().execute("SELECT version FROM described").fetchone()
        return str(found)

    def close(self) -> None:
        with self._guard:
            for connection in self._open.values():
                with suppress(sqlite3.Error):
                    connection.close()
            self._open.clear()

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection, opened anew when another build began to serve, but never inside a look."""
        path = self._fixed or serving(self._directory)
        held: tuple[Path, sqlite3.Connection] | None = getattr(self._local, "held", None)
        if held is not None and (held[0] == path or held[1].in_transaction):
            return held[1]
        if path is None:
            raise FileNotFoundError(self._directory / POINTER)
        try:
            connection = _connect(path)
        except sqlite3.OperationalError:
            if path == (self._fixed or serving(self._directory)):
                raise
            return self._connection()  # swapped, and deleted, between looking and opening
        with self._guard:
            # A pool of threads ends those it does not need; what they left open would add up for ever.
            gone = [thread for thread in self._open if not thread.is_alive()]
            for thread in {*gone, threading.current_thread()} & self._open.keys():
                self._open.pop(thread).close()
            self._open[threading.current_thread()] = connection
        self._local.held = (path, connection)
        return connection

    @contextmanager
    def reading(self) -> Iterator[SqliteReader]:
        connection = self._connection()
        if connection.in_transaction:  # a look inside a look sees the same
            yield SqliteReader(connection)
            return
        connection.execute("BEGIN")
        try:
            yield SqliteReader(connection)
        finally:
            connection.execute("ROLLBACK")

    def write(self, changes: Changes, after: int, position: int) -> None:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            moved = connection.execute(sql("write_position"), {"after": after, "position": position})
            if moved.rowcount != 1:
                raise PositionMoved(after)
            _write(connection, changes)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def hurry(self) -> None:
        """Until `settle` writes without waiting for the disk and straight into the file, with no log to go back by:
        for a build that nobody reads yet, and that is thrown away if anything fails."""
        connection = self._connection()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute(f"PRAGMA cache_size = -{BUILD_CACHE_KIBIBYTES}")

    def settle(self) -> None:
        """Forces what was written to disk, as before a build begins to serve."""
        connection = self._connection()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def digest(self) -> dict[str, str]:
        with self.reading() as reader:
            return {name: reader.digest_of(name) for name in DIGESTS}


def _connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    """Makes no file, unless `mode` is rwc: one that was just swapped out must not come back empty."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA synchronous = NORMAL")  # a lost tail is folded again from the journal
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def serving(directory: Path) -> Path | None:
    """The file that serves now, or None."""
    try:
        name = (directory / POINTER).read_text("utf-8").strip()
    except FileNotFoundError:
        return None
    path = directory / name
    return path if path.exists() else None


def build(directory: Path, version: str) -> Path:
    """An empty build of this version, beside what serves."""
    path = directory / f"projections-{version}-{secrets.token_hex(4)}.sqlite"
    connection = _connect(path, "rwc")
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(sql("tables"))
        connection.execute("INSERT INTO described VALUES (?)", (version,))
    except BaseException:
        connection.close()
        discard(path)
        raise
    connection.close()
    return path


def discard(path: Path) -> None:
    """Deletes a build that never served."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink(missing_ok=True)


def make_serving(directory: Path, path: Path) -> None:
    """From now on this build serves; every other build in the directory is deleted."""
    pointer = directory / f"{POINTER}.new"
    with pointer.open("w", encoding="utf-8") as file:
        file.write(path.name)
        file.flush()
        os.fsync(file.fileno())
    pointer.replace(directory / POINTER)
    for old in directory.glob("projections-*.sqlite*"):
        if not old.name.startswith(path.name):
            old.unlink(missing_ok=True)


def _write(connection: sqlite3.Connection, changes: Changes) -> None:
    """Every table in the order of its key: rows that are neighbours are then written to one page after another."""
    many = connection.executemany
    many(sql("write_entry"), map(_entry_row, sorted(changes.entries, key=_entry_key)))
    many(sql("write_ledger"), sorted((*row, *counted) for row, counted in changes.ledger.items()))
    many(
        sql("write_register"),
        sorted((*name, _value_json.encode(row.value), *row.stamp) for name, row in changes.registers.items()),
    )
    many(
        sql("write_message"),
        sorted(
            (one.subject, one.thread, one.occurred_at, one.key, one.role, one.public, one.channel)
            for one in changes.messages
        ),
    )
    many(
        sql("write_identifier"),
        (
            {
                "id": id,
                "type": row.identifier.type,
                "value": row.identifier.value,
                "first_seen": row.first_seen,
                "last_seen": row.last_seen,
                "touchpoints": row.touchpoints,
                "changed": row.changed,
                "blocked": is_blocked(row.identifier),
            }
            for id, row in sorted(changes.identifiers.items(), key=itemgetter(0))
        ),
    )
    _write_claims(connection, changes)


def _write_claims(connection: sqlite3.Connection, changes: Changes) -> None:
    pairs = {(lesser, greater) for lesser, greater, _, apart, _ in changes.claims if not apart}
    before = connection.execute(sql("claimed_before"), (json.dumps(list(pairs)),))
    new = sorted(pairs.difference(before))
    connection.executemany(
        sql("write_claim"),
        sorted(
            (*key, row.first.occurred_at, row.first.touchpoint, row.first.source, row.times, row.last_at)
            for key, row in changes.claims.items()
        ),
    )
    for side in sorted({side for pair in new for side in pair}):
        _mark_if_shared(connection, side)
    for lesser, greater in new:
        _join(connection, lesser, greater)


def _mark_if_shared(connection: sqlite3.Connection, id: str) -> None:
    enough = SHARED_BEYOND + 1
    (user_ids,) = connection.execute(sql("user_ids_claiming"), {"id": id, "enough": enough}).fetchone()
    if user_ids >= enough:
        connection.execute(sql("mark_shared"), (id,))


def _join(connection: sqlite3.Connection, lesser: str, greater: str) -> None:
    groups = [connection.execute(sql("group_of_open"), (side,)).fetchone() for side in (lesser, greater)]
    if None in groups or groups[0] == groups[1]:  # a shared identifier joins no groups
        return
    kept, joined = sorted(group[0] for group in groups)
    connection.execute(sql("join_groups"), {"kept": kept, "joined": joined})


def _entry_key(entry: Entry) -> tuple[str, int, str]:
    return entry.subject, entry.occurred_at, entry.key


def _entry_row(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.subject,
        entry.occurred_at,
        entry.key,
        entry.position,
        entry.recorded_at,
        entry.type,
        entry.family,
        entry.channel,
        entry.source,
        entry.direction,
        entry.thread,
        entry.for_customer,
        _body_json.encode(entry.body),
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    *header, for_customer, body = row
    return Entry(*(*header, bool(for_customer), json.loads(body)))


class SqliteReader:
    """One consistent look: it lives inside a read transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._rows = connection.execute
        self._version: str | None = None

    def version(self) -> str:
        if self._version is None:
            (self._version,) = self._rows("SELECT version FROM described").fetchone()
        return self._version

    def position(self) -> int:
        (position,) = self._rows(sql("read_position")).fetchone()
        return int(position)

    def known(self, ids: Collection[str]) -> list[Known]:
        return [_known(row) for row in self._rows(sql("read_identifiers"), (_list(ids),))]

    def group_of(self, id: str) -> list[Known]:
        return [_known(row) for row in self._rows(sql("read_group"), (id,))]

    def groups_of(self, ids: Collection[str]) -> list[Known]:
        return [_known(row) for row in self._rows(sql("read_groups"), (_list(ids),))]

    def claims(self, ids: Collection[str], limit: int | None = None) -> tuple[list[Claim], set[Identifier]]:
        claims, shared = [], set()
        for row in self._rows(
            sql("read_claims"), {"ids": _list(ids), "limit": -1 if limit is None else limit}
        ):
            lesser, greater = Identifier(row[0], row[1]), Identifier(row[2], row[3])
            claims.append(Claim(lesser, greater, row[4], bool(row[5]), *row[6:9]))
            shared |= {side for side, flag in ((lesser, row[9]), (greater, row[10])) if flag}
        return claims, shared

    def entries(
        self, subjects: Sequence[str], filters: TimelineFilters, before: Stamp | None
    ) -> Iterator[Entry]:
        before_at, before_key = before or LAST
        wanted = {**_wanted(filters), "before_at": before_at, "before_key": before_key}
        runs = [self._rows(sql("read_entries"), {**wanted, "subject": subject}) for subject in subjects]
        if len(runs) == 1:
            return map(_entry, runs[0])
        return map(_entry, merge(*runs, key=lambda row: (row[2], row[0]), reverse=True))

    def entries_since(
        self, subjects: Sequence[str], filters: TimelineFilters, after: int, limit: int
    ) -> list[Entry]:
        wanted = {**_wanted(filters), "after": after, "limit": limit}
        found = [
            _entry(row)
            for subject in subjects
            for row in self._rows(sql("read_entries_since"), {**wanted, "subject": subject})
        ]
        return sorted(found, key=lambda entry: entry.position)[:limit]

    def deeds(self, subjects: Sequence[str], to_at: int) -> list[Deed]:
        rows = self._rows(sql("read_deeds"), {"subjects": _list(subjects), "to_at": to_at})
        return [Deed(key, at, dict(json.loads(signals)) if signals else {}) for key, at, signals in rows]

    def ledgers(self, subjects: Collection[str]) -> dict[str, Ledger]:
        ledgers: dict[str, Ledger] = {}
        for subject, signal, day, count, total in self._rows(sql("read_ledgers"), (_list(subjects),)):
            ledgers.setdefault(subject, {})[signal, day] = (count, total)
        return ledgers

    def registers(self, subjects: Collection[str]) -> list[Setting]:
        rows = self._rows(sql("read_registers"), (_list(subjects),))
        return latest(
            Setting(kind, key, json.loads(value), at, touchpoint) for kind, key, value, at, touchpoint in rows
        )

    def messages(self, subjects: Collection[str]) -> list[ThreadMessage]:
        rows = self._rows(sql("read_messages"), (_list(subjects),))
        return [ThreadMessage(*(*header, bool(public), channel)) for *header, public, channel in rows]

    def digest_of(self, name: str) -> str:
        digest = hashlib.sha256()
        for row in self._rows(sql(f"digest_{name}")):
            digest.update(_row_json.encode(row).encode("utf-8"))
            digest.update(b"\n")
        return digest.hexdigest()


def _known(row: tuple[Any, ...]) -> Known:
    id, type, value, *seen, barred = row
    return Known(*(id, Identifier(type, value), *seen, bool(barred)))


def _list(ids: Collection[str]) -> str:
    return json.dumps(list(ids))


def _wanted(filters: TimelineFilters) -> dict[str, Any]:
    return {
        "channel": filters.channel,
        "family": filters.family,
        "type": filters.type,
        "thread": filters.thread,
        "direction": filters.direction,
        "from_at": -(2**62) if filters.from_at is None else filters.from_at,
        "to_at": 2**62 if filters.to_at is None else filters.to_at,
        "customer_only": filters.audience == "customer",
    }
