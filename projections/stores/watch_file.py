"""The file of the watch, watch.sqlite. It may be lost, or damaged, at any time: it is made again.

One process writes it, a step at a time; whoever else has it open reads.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from touchbook.errors import StoreUnavailable
from touchbook.projections.stores.sqlite import insert, sql
from touchbook.scoring import Mark

log = logging.getLogger(__name__)

FORMAT = 2
"""Of the tables, see `watch_tables.sql`."""
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
ASKED_AT_ONCE = 256
MOST_IDLE = 8
"""Connections for reading that are kept open."""

Standing = Sequence[Mark]
"""How each score stands, in order of their names."""
Eve = list[tuple[int, int | None, int, int]]
"""Score and mark of those of which the tier was another the day before."""
Moved = tuple[bytes, int, Mark, Mark]
"""Customer and score, how it stood and how it stands."""


@dataclass(slots=True)
class Described:
    """Where the watch stands, see `watch_tables.sql`."""

    made_of: str
    salt: str
    step: int
    version: str
    position: int
    as_of: int | None
    customers: int
    walk: int
    day: int
    after: str | None
    whole: bool
    again: bool
    since: int
    counted: int
    swept: int | None
    kept_from: int
    usual: str
    anew: bool


class Kept(NamedTuple):
    """What is kept of a customer, see `watch_tables.sql`; `counted` is as it is stored, `matters` as in `Matter`."""

    customer: str
    version: str
    members: str
    changed: int
    walk: int
    day: int
    standing: Standing
    eve: Eve
    matters: list[tuple[str, str, int, int | None]]
    due_at: int | None
    counted: str

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Kept:
        customer, version, members, changed, walk, day, standing, eve, matters, *others = row
        stood, before, open_ones = map(orjson.loads, (standing, eve, matters))
        return cls(customer.hex(), version, members, changed, walk, day, stood, before, open_ones, *others)

    def row(self) -> tuple[Any, ...]:
        """In the table of customers."""
        encoded = map(encoded_json, (self.standing, self.eve, self.matters))
        head = self.version, self.members, self.changed, self.walk, self.day
        return (bytes.fromhex(self.customer), *head, *encoded, self.due_at)


class Page(NamedTuple):
    """What is kept of a customer that a new day needs."""

    customer: bytes
    version: str
    day: int
    standing: str
    eve: str
    matters: str
    counted: str


class Added(NamedTuple):
    """A customer's row of a new day."""

    customer: bytes
    day: int
    standing: str
    eve: str


class TierRow(NamedTuple):
    day: int
    score: int
    before: Mark
    after: Mark


class Facts(NamedTuple):
    """What is kept of a customer beside his row: turns and stays, row by row as in their tables. All of it; or of the
    turns those that are new, in place of those `gone`, each named (opened_at, opening)."""

    turns: Sequence[tuple[Any, ...]]
    stays: Sequence[tuple[Any, ...]]
    gone: Sequence[tuple[Any, ...]] | None = None


@dataclass(slots=True)
class Batch:
    """What a step found of some customers: how they were kept and are to be kept now (None: not); to whose rows a day
    is added, and how these moved; the days of which their tiers were compared anew, and what was found; and their facts
    where these were read anew."""

    kept: list[tuple[Kept | None, Kept | None]] = field(default_factory=list)
    added: list[Added] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    compared: list[tuple[str, int]] = field(default_factory=list)
    tiers: list[tuple[str, TierRow]] = field(default_factory=list)
    facts: dict[str, Facts] = field(default_factory=dict)
    changes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


def encoded_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


class WatchFile:
    """See above. Methods may be called from any thread; `write` and what changes the file by one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: sqlite3.Connection | None = None
        self._idle: list[sqlite3.Connection] = []
        self._inode = 0
        self._guard = threading.Lock()
        self.damaged = False
        """Somebody met a damage: it has to be made anew."""
        self.steps = 0
        """Steps that were written here."""

    # As a whole

    def described(self) -> Described | None:
        """None where there is no file, or one of another format, or a damaged one."""
        if not self.path.exists():
            return None
        try:
            with self.reading() as rows:
                return self.described_in(rows)
        except StoreUnavailable:
            if self.damaged:
                return None
            raise

    def described_in(self, rows: sqlite3.Connection) -> Described | None:
        if rows.execute("PRAGMA user_version").fetchone() != (FORMAT,):
            return None
        row = rows.execute(sql("watch_described")).fetchone()
        return None if row is None else Described(*row)

    def make(self, made_of: str, version: str, position: int, day: int, now: int) -> Described:
        """An empty one, in place of whatever is there."""
        with self._guard:
            self._let_go()
            self._discard()
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            self.damaged = False
        connection = self._write_connection()
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(sql("watch_tables"))
        given = {"made_of": made_of, "salt": new_salt(), "version": version, "position": position}
        connection.execute(sql("watch_describe"), {**given, "day": day, "now": now})
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        found = self.described()
        if found is None:
            raise StoreUnavailable("watch.sqlite cannot be read back")
        return found

    def close(self) -> None:
        with self._guard:
            self._let_go()

    def discard(self) -> None:
        """Deletes it."""
        with self._guard:
            self._let_go()
            self._discard()

    def _discard(self) -> None:
        for file in (self.path, *(self.path.with_name(self.path.name + end) for end in ("-wal", "-shm"))):
            file.unlink(missing_ok=True)

    def _let_go(self) -> None:
        held = [*self._idle] if self._writer is None else [*self._idle, self._writer]
        self._idle, self._writer, self._inode = [], None, 0
        for connection in held:
            with suppress(sqlite3.Error):
                connection.close()

    def _look_for_it(self) -> int:
        """The file's number; connections to one that another process replaced are let go."""
        inode = os.stat(self.path).st_ino
        if inode != self._inode:
            self._let_go()
            self._inode = inode
        return inode

    # Writing

    def write(self, batch: Batch, described: Described, now: int) -> bool:
        """All of it, and where the watch stands then, or nothing. False where somebody else took a step since: the file
        stands elsewhere by now."""
        with self._writing() as connection:
            added = sum((after is not None) - (before is not None) for before, after in batch.kept)
            told = replace_count(described, added)
            if connection.execute(sql("watch_move"), asdict(told)).rowcount != 1:
                connection.execute("ROLLBACK")
                return False
            _write_kept(connection, batch)
            _write_tiers(connection, batch)
            _write_facts(connection, batch)
            insert(
                connection,
                "watch_write_change",
                4,
                chain.from_iterable(
                    (now, described.as_of or 0, bytes.fromhex(customer), encoded_json(body))
                    for customer, body in batch.changes
                ),
            )
        described.step += 1
        described.customers += added
        self.steps += 1
        return True

    def purge(self, customers: Collection[str]) -> bool:
        """Takes away every row of these customers, and what the log still holds of them; False while somebody reads
        that log on and on."""
        named = [bytes.fromhex(one) for one in customers]
        with self._writing() as connection:
            gone: list[tuple[Kept | None, Kept | None]] = [
                (one, None) for one in kept_in(connection, customers)
            ]
            _write_kept(connection, Batch(kept=gone))
            for table in ("all_tier_changes", "changes", "turns", "stays"):
                insert(connection, f"watch_drop_{table}", 1, named)
            connection.execute(
                "UPDATE described SET step = step + 1, customers = customers - ?", (len(gone),)
            )
        return self.truncated()

    def truncated(self) -> bool:
        busy, _, _ = self._write_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def prune(self, changes_before: int, days_before: int) -> None:
        """Forgets what is too old to be told."""
        with self._writing() as connection:
            connection.execute(sql("watch_prune_changes"), (changes_before,))
            connection.execute(sql("watch_prune_tier_changes"), (days_before,))

    def put_off(self, customer: str, mark: int, at: int, until: int | None) -> None:
        with self._writing() as connection:
            asked = {"customer": bytes.fromhex(customer), "mark": mark, "at": at, "until": until}
            connection.execute(sql("watch_put_off"), asked)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._told_as_ours():
            connection = self._write_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                if connection.in_transaction:
                    connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def _write_connection(self) -> sqlite3.Connection:
        with self._guard:
            self._look_for_it()
            if self._writer is None:
                self._writer = self._connect()
            return self._writer

    # Reading

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent look. Raises StoreUnavailable where there is nothing to look at."""
        with self._told_as_ours():
            with self._guard:
                inode = self._look_for_it()
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._connect()
                connection.execute("PRAGMA query_only = ON")
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                with self._guard:
                    if keep := inode == self._inode and len(self._idle) < MOST_IDLE:
                        self._idle.append(connection)
                if not keep:
                    connection.close()

    def kept(self, customers: Collection[str]) -> dict[str, Kept]:
        """The rows of those of these customers who have one."""
        with self.reading() as rows:
            return {one.customer: one for one in kept_in(rows, customers)}

    def page(self, after: str, limit: int) -> list[Page]:
        """The next customers beyond one, in order of id."""
        with self.reading() as rows:
            return [Page(*row) for row in rows.execute(sql("watch_page"), (bytes.fromhex(after), limit))]

    def left(self, walk: int, limit: int) -> list[Kept]:
        """Those whom a walk did not meet."""
        with self.reading() as rows:
            return [Kept.of(row) for row in rows.execute(sql("watch_left"), (walk, limit))]

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    @contextmanager
    def _told_as_ours(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in DAMAGED:
                self.damaged = True
            raise StoreUnavailable(str(error)) from error
        except FileNotFoundError as error:
            raise StoreUnavailable("the watch has not looked yet") from error


def new_salt() -> str:
    """Names what is told by one file, until it is made anew."""
    return secrets.token_hex(6)


def replace_count(described: Described, added: int) -> Described:
    return Described(**{**asdict(described), "customers": described.customers + added})


def kept_in(rows: sqlite3.Connection, customers: Collection[str]) -> Iterator[Kept]:
    """Asked with few different numbers of them, so that the parsed statements are used again."""
    named = [bytes.fromhex(one) for one in customers]
    for start in range(0, len(named), ASKED_AT_ONCE):
        part = named[start : start + ASKED_AT_ONCE]
        size = 1 << (len(part) - 1).bit_length()
        statement = sql("watch_rows").replace("(?)", ", ".join(["(?)"] * size))
        yield from map(Kept.of, rows.execute(statement, part + [part[0]] * (size - len(part))).fetchall())


def moves(customer: bytes, before: Standing, after: Standing) -> list[Moved]:
    """The scores of which value or tier became another."""
    return [
        (customer, score, old, new)
        for score, (old, new) in enumerate(zip(before, after, strict=True))
        if old[0] != new[0] or old[1] != new[1]
    ]


def _moves_of(
    before: Kept | None, after: Kept | None
) -> Sequence[tuple[bytes, int, Mark | None, Mark | None]]:
    """The same of rows; None where he is no customer."""
    if before is not None and after is not None:
        return moves(bytes.fromhex(after.customer), before.standing, after.standing)
    found = list[tuple[bytes, int, Mark | None, Mark | None]]()
    for kept, is_there in ((before, False), (after, True)):
        if kept is not None:
            name = bytes.fromhex(kept.customer)
            for score, mark in enumerate(kept.standing):
                found.append((name, score, None, mark) if is_there else (name, score, mark, None))
    return found


def _write_kept(connection: sqlite3.Connection, batch: Batch) -> None:
    tally = Counter[tuple[int, int]]()
    left, taken = list[tuple[int, int, int, bytes]](), list[tuple[int, int, int, bytes]]()
    for name, score, old, new in chain(batch.moved, *(_moves_of(*pair) for pair in batch.kept)):
        for mark, places, sign in ((old, left, -1), (new, taken, 1)):
            if mark is not None:
                tally[score, mark[1]] += sign
                if mark[0] is not None:
                    places.append((score, mark[1], mark[0], name))
    gone = _gone(batch)
    connection.executemany(sql("watch_drop_ranked"), sorted(left))  # row by row it finds them by their key
    insert(connection, "watch_write_ranked", 4, chain.from_iterable(sorted(taken)))
    insert(connection, "watch_drop_customers", 1, gone)
    insert(connection, "watch_drop_counted", 1, gone)
    rows = (after.row() for _, after in batch.kept if after is not None)
    insert(connection, "watch_write_customer", 10, chain.from_iterable(rows))
    counted = (
        (bytes.fromhex(after.customer), after.counted)
        for before, after in batch.kept
        if after is not None and (before is None or before.counted != after.counted)
    )
    insert(connection, "watch_write_counted", 2, chain.from_iterable(counted))
    insert(connection, "watch_add_day", 4, chain.from_iterable(batch.added))
    moved = [(*place, number) for place, number in tally.items() if number]
    insert(connection, "watch_tally", 3, chain.from_iterable(moved))


def _gone(batch: Batch) -> list[bytes]:
    return [bytes.fromhex(before.customer) for before, after in batch.kept if before and after is None]


def _write_tiers(connection: sqlite3.Connection, batch: Batch) -> None:
    gone = _gone(batch)
    compared = [(bytes.fromhex(customer), day) for customer, day in batch.compared]
    rows = [
        (bytes.fromhex(customer), day, score, after[1], encoded_json(before), encoded_json(after))
        for customer, (day, score, before, after) in batch.tiers
    ]
    insert(connection, "watch_drop_all_tier_changes", 1, gone)
    connection.executemany(sql("watch_drop_tier_changes"), compared)
    insert(connection, "watch_write_tier_change", 6, chain.from_iterable(rows))


def _write_facts(connection: sqlite3.Connection, batch: Batch) -> None:
    gone = _gone(batch)
    whole = (bytes.fromhex(customer) for customer, facts in batch.facts.items() if facts.gone is None)
    insert(connection, "watch_drop_turns", 1, [*gone, *whole])
    left = [
        (bytes.fromhex(customer), *one) for customer, facts in batch.facts.items() for one in facts.gone or ()
    ]
    connection.executemany(sql("watch_drop_turn"), left)  # row by row it finds them by their key
    insert(connection, "watch_drop_stays", 1, [*gone, *map(bytes.fromhex, batch.facts)])
    insert(connection, "watch_write_turn", 22, _rows_of(batch, "turns"))
    insert(connection, "watch_write_stay", 4, _rows_of(batch, "stays"))


def _rows_of(batch: Batch, table: str) -> Iterable[Any]:
    for customer, facts in batch.facts.items():
        for row in getattr(facts, table):
            yield from (bytes.fromhex(customer), *row)
