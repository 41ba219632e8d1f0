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
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache, partial
from heapq import merge
from itertools import chain, groupby, islice, starmap
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Literal, Self

import orjson

from touchbook.contacts import ContactRow
from touchbook.errors import PositionMoved, ProjectionsOlder, StoreUnavailable
from touchbook.identity import SHARED_BEYOND, is_blocked
from touchbook.ledger import Ledger, LedgerRows
from touchbook.projections.changes import Changes, EntryRow, IdentifierRow, Stamp, tags_text
from touchbook.projections.context import RECENT_ENTRIES, Head, head_of
from touchbook.projections.finding import LONGEST_WORD, SHORTEST_PART, words_of
from touchbook.projections.stores.derived import names_in, search_again, unanswered_again
from touchbook.projections.stores.port import Again, Deed, Known, Match, Places, Waiting
from touchbook.projections.touched import Touched, decided_alone, touched_in
from touchbook.registers import Setting, ThreadMessage, latest
from touchbook.schemas.touchpoint import OURS, Claim, Identifier
from touchbook.statements import statement_of
from touchbook.timeline import (
    NOISE,
    Entry,
    TimelineFilters,
    counted_causes,
    counted_reasons,
    reason_in,
)

POINTER = "projections.current"
LAST: Stamp = (2**62, "~")
LAST_LETTER = "\U0010ffff"
"""Sorts after every other."""
DIGESTS = ("entries", "ledger", "registers", "claims")
AT_ONCE = (256, 64, 32, 16, 8, 4, 2, 1)
"""Rows in one statement: few different numbers, so that the parsed statements are used again."""
TABLES = (
    *("entries", "ledger", "registers", "search", "thread_messages", "unanswered", "contacts"),
    *("claims", "identifiers"),
)
MINUTES_KEPT = 2 * 24 * 60
CASES: tuple[Literal["case", "order"], ...] = ("case", "order")
LACKING = ("no such table", "no such column")
"""How SQLite begins to say that a build is of another shape than the code that reads it."""

STEPS_UNINTERRUPTED = 100_000
"""Instructions of SQLite's machine between two looks whether to stop: a few milliseconds."""
CHECKPOINT_PAGES = 8_000
"""Pages (32 MiB) that the log may hold before they are copied into the file: the same few are written again and again,
so that with SQLite's own 1,000 the follower spent a tenth more."""
WRITERS_CACHE_KIBIBYTES = 16_384
"""Page cache of the connection that writes, used as needed: a step touches pages all over every table, and most of them
again a moment later."""
BUILD_CACHE_KIBIBYTES = 65_536
"""Page cache while building, used as needed: every batch touches pages all over every table."""

sql = partial(statement_of, "touchbook.projections")
_value_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True)
_row_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class SqliteFile:
    """The projections of one data directory, in the version asked for: who fills them, see below, and `replica`.

    Connections belong to threads. Only one thread writes, the follower's.
    """

    def __init__(self, directory: Path, file: Path | None = None) -> None:
        """Opens what the pointer names; a `file` is opened as it is, pointer or not (a build not serving yet)."""
        self._directory = directory
        self._pointer = str(directory / POINTER)  # joined once: that takes longer than the look at it
        self._fixed = file
        self._hurrying = False
        self._local = threading.local()
        self._open: dict[threading.Thread, sqlite3.Connection] = {}
        self._guard = threading.Lock()
        self._pointed: tuple[tuple[int, int, int], Path | None] | None = None
        self._ring: tuple[Path, Touched] | None = None

    @classmethod
    def open(cls, directory: Path, version: str) -> Self:
        """What serves now; where nothing serves yet, an empty build of this version."""
        if serving(directory) is None:
            make_serving(directory, build(directory, version))
        return cls(directory)

    def restart(self, version: str) -> None:
        """From now on an empty build serves."""
        make_serving(self._directory, build(self._directory, version))

    @property
    def file(self) -> Path:
        """The build that is written and read now."""
        path = self._fixed or self._serving()
        if path is None:
            raise FileNotFoundError(self._directory / POINTER)
        return path

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
        held: tuple[Path, sqlite3.Connection] | None = getattr(self._local, "held", None)
        if held is not None and (held[1].in_transaction or held[0] == (self._fixed or self._serving())):
            return held[1]
        path = self.file
        try:
            connection = connect(path)
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

    def _serving(self) -> Path | None:
        """As `serving`, read anew only when the pointer was replaced: 2 us for each look instead of 25."""
        try:
            found = os.stat(self._pointer)
        except FileNotFoundError:
            return None
        mark, pointed = (found.st_ino, found.st_mtime_ns, found.st_size), self._pointed
        if pointed is None or pointed[0] != mark or pointed[1] is None:
            pointed = self._pointed = mark, serving(self._directory)
        return pointed[1]

    @contextmanager
    def reading(self) -> Iterator[SqliteReader]:
        try:
            with self._looking() as reader:
                yield reader
        except sqlite3.OperationalError as error:
            if str(error).startswith(LACKING):
                raise ProjectionsOlder from error
            raise StoreUnavailable(str(error)) from error

    @contextmanager
    def _looking(self) -> Iterator[SqliteReader]:
        connection = self._connection()
        if connection.in_transaction:  # a look inside a look sees the same
            yield SqliteReader(connection)
            return
        connection.execute("BEGIN")
        try:
            yield SqliteReader(connection)
        finally:
            connection.execute("ROLLBACK")

    @contextmanager
    def _moving(self, after: int, position: int) -> Iterator[sqlite3.Connection]:
        """All of the block and the position, or nothing; while hurrying a part of the one transaction of the build."""
        connection = self._connection()
        if not self._hurrying:
            self._give_room(connection)
            connection.execute("BEGIN IMMEDIATE")
        try:
            # Swapped while this waited for its turn, so that nobody would read it.
            if self._local.held[0] != self.file:
                raise PositionMoved(after)
            moved = connection.execute(sql("write_position"), {"after": after, "position": position})
            if moved.rowcount != 1:
                raise PositionMoved(after)
            yield connection
            if not self._hurrying:
                connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _give_room(self, connection: sqlite3.Connection) -> None:
        """This thread's connection turned out to be one that writes."""
        if getattr(self._local, "writing", None) is not connection:
            connection.execute(f"PRAGMA cache_size = -{WRITERS_CACHE_KIBIBYTES}")
            self._local.writing = connection

    def hurry(self) -> None:
        """Until `settle` writes without waiting for the disk and straight into the file, with no log to go back by:
        for a build that nobody reads yet, and that is thrown away if anything fails. All is one transaction, so that a
        page goes to the file when the cache is full, not once for every batch that touched it."""
        connection = self._connection()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute(f"PRAGMA cache_size = -{BUILD_CACHE_KIBIBYTES}")
        for statement in sql("drop_indexes").split(";"):
            connection.execute(statement)
        connection.execute("BEGIN IMMEDIATE")
        self._hurrying = True

    def settle(self) -> None:
        """Ends the hurry, and forces what was written to disk, as before a build begins to serve."""
        connection = self._connection()
        if self._hurrying:
            self._hurrying = False
            for statement in sql("make_indexes").split(";"):
                connection.execute(statement)
            connection.execute("COMMIT")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA analysis_limit = 1000")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def touched_since(self, position: int, decisions: bool = True) -> tuple[set[str] | None, int]:
        if (told := self._touched().since(position, decisions)) is not None:
            return told
        with self.reading() as reader:
            now = reader.position()
        return (set() if now == position else None), now

    def _touched(self) -> Touched:
        file, held = self.file, self._ring
        if held is None or held[0] != file:
            held = self._ring = file, touched_in(file)
        return held[1]

    def digest(self) -> dict[str, str]:
        with self.reading() as reader:
            return {name: reader.digest_of(name) for name in DIGESTS}


class SqliteProjections(SqliteFile):
    """Filled from changes, each added once."""

    def write(self, changes: Changes, after: int, position: int) -> None:
        with self._moving(after, position) as connection:
            decided = set[str]() if self._hurrying else _decided_alone(connection, changes)
            write_changes(connection, changes)
            _count_minutes(connection, changes.entries)
        if not self._hurrying:
            self._touched().add(after, position, {id for _, id in changes.identifiers}, decided)

    def erase(self, members: Collection[str], again: Again, after: int, position: int) -> None:
        with self._moving(after, position) as connection:
            _erase(connection, members, again)
            names = ["erased", *(f"erased:{member}" for member in members)]
            connection.executemany(sql("write_erased"), [(name, position) for name in names])
        self._touched().forget(position)


def connect(path: Path) -> sqlite3.Connection:
    """Makes no file: one that was just swapped out must not come back empty."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA synchronous = NORMAL")  # a lost tail is folded again from the journal
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
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
    _make_private(path)
    connection = connect(path)
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


def copied(directory: Path, stop: Callable[[], bool]) -> Path:
    """What serves, copied beside it without anything that was ever deleted: SQLite overwrites rows that it deletes, but
    leaves bytes of them where it once moved them between pages, and in the log. Goes on beside readers and writers, and
    ends with sqlite3.OperationalError once `stop` says so."""
    source = serving(directory)
    if source is None:
        raise FileNotFoundError(directory / POINTER)
    path = source.with_name(f"{source.stem.rpartition('-')[0]}-{secrets.token_hex(4)}.sqlite")
    _make_private(path)
    connection = connect(source)
    try:
        connection.set_progress_handler(stop, STEPS_UNINTERRUPTED)
        connection.execute("VACUUM INTO ?", (str(path),))
    except BaseException:
        connection.close()
        discard(path)
        raise
    connection.close()
    return path


@contextmanager
def still(directory: Path) -> Iterator[int]:
    """Nobody writes what serves while this lasts; the position at which it stands. One that cannot be opened or locked,
    such as a damaged file, counts as standing at 0: nobody can write it either."""
    source = serving(directory)
    with ExitStack() as stack:
        position = 0
        if source is not None:
            with suppress(sqlite3.DatabaseError):
                connection = stack.enter_context(closing(connect(source)))
                _lock(connection)
                position = SqliteReader(connection).position()
        yield position


def _lock(connection: sqlite3.Connection) -> None:
    """However long whoever writes it now may take."""
    while not connection.in_transaction:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise


def discard(path: Path) -> None:
    """Deletes a build that never served."""
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink(missing_ok=True)


def make_serving(directory: Path, path: Path) -> None:
    """From now on this build serves; every other build in the directory is deleted."""
    pointer = directory / f"{POINTER}.new"
    try:
        with pointer.open("w", encoding="utf-8") as file:
            file.write(path.name)
            file.flush()
            os.fsync(file.fileno())
        pointer.replace(directory / POINTER)
    except BaseException:
        pointer.unlink(missing_ok=True)
        raise
    with suppress(
        OSError
    ):  # a pointer that is not on the disk may go back to the old build: then that has to stay
        _sync(directory)
        clear(directory)


def clear(directory: Path) -> None:
    """Deletes every build that does not serve: the one before, and what killed rebuilds left."""
    if (current := serving(directory)) is None:
        return
    for old in directory.glob("projections-*.sqlite*"):
        if not old.name.startswith(current.name):
            with suppress(OSError):  # the next time, then
                old.unlink(missing_ok=True)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_private(path: Path) -> None:
    """Its owner's only: SQLite gives its logs the rights of the file."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def write_changes(connection: sqlite3.Connection, changes: Changes) -> None:
    """Every table by subject: rows that are neighbours are then written to one page after another."""
    entries = sorted(changes.entries, key=itemgetter(1))
    insert(connection, "write_entry", 13, chain.from_iterable(entries))
    insert(
        connection,
        "write_ledger",
        5,
        [
            value
            for subject, ledger in sorted(changes.ledgers.items(), key=itemgetter(0))
            for (signal, day), (count, total) in ledger.items()
            for value in (subject, signal, day, count, total)
        ],
    )
    registers = sorted(
        (*name, _value_json.encode(row.value), *row.stamp) for name, row in changes.registers.items()
    )
    insert(connection, "write_register", 6, chain.from_iterable(registers))
    search_again(connection.execute, names_in(changes.registers))
    messages = sorted(map(_message_row, changes.messages), key=itemgetter(0, 1, 2, 3))
    insert(connection, "write_message", 11, chain.from_iterable(messages))
    unanswered_again(connection.execute, {message[:2] for message in messages})
    contacts = sorted(map(_contact_row, changes.contacts), key=itemgetter(0, 1, 2))
    insert(connection, "write_contact", 11, chain.from_iterable(contacts))
    identifiers = sorted(starmap(_identifier_row, changes.identifiers.items()))
    insert(connection, "write_identifier", 10, chain.from_iterable(identifiers))
    if changes.claims:
        write_claims(
            connection,
            [
                (
                    *key[1:],
                    row.first.occurred_at,
                    row.first.touchpoint,
                    row.first.source,
                    row.times,
                    row.last_at,
                )
                for key, row in changes.claims.items()
            ],
        )


def _decided_alone(connection: sqlite3.Connection, changes: Changes) -> set[str]:
    """Those whom nothing touches but decisions about contacting them. Asked before the changes are written."""
    if not (decided := decided_alone(changes)):
        return set()
    known = connection.execute(sql("read_first_seen"), (listed(decided),))
    return {id for id, first_seen in known if first_seen <= decided[id]}


def _count_minutes(connection: sqlite3.Connection, entries: Sequence[EntryRow]) -> None:
    """By the minute they were recorded in; what the server says itself is none of what comes in. What is older than is
    kept is not even written: a build begins long ago."""
    counted = Counter[tuple[int, str]]()
    for (recorded_at, channel, source), number in Counter(map(itemgetter(3, 7, 8), entries)).items():
        if source != OURS:
            counted[recorded_at // 60_000, channel] += number
    if not counted:
        return
    first = max(minute for minute, _ in counted) - MINUTES_KEPT
    rows = [(*name, touchpoints) for name, touchpoints in counted.items() if name[0] >= first]
    connection.executemany(sql("write_minute"), rows)
    connection.execute(sql("drop_minutes"), (MINUTES_KEPT,))


def insert(connection: sqlite3.Connection, name: str, columns: int, values: Iterable[Any]) -> None:
    """Does what `executemany` does with rows of these values, many in each statement: Python lets go of its interpreter
    for every statement, and beside a busy thread waits for its turn to get it back."""
    left = list(values)
    start, rows = 0, len(left) // columns
    for size in AT_ONCE:
        statement = _sql_for(name, columns, size)
        while rows >= size:
            connection.execute(statement, left[start : start + size * columns])
            start, rows = start + size * columns, rows - size


@cache
def _sql_for(name: str, columns: int, rows: int) -> str:
    """The statement that inserts one row, for so many of them."""
    row = f"({', '.join('?' * columns)})"
    return sql(name).replace(row, ", ".join([row] * rows))


_message_row = attrgetter(
    *("subject", "thread", "occurred_at", "key", "role", "public", "channel"),
    *("agent", "team", "purpose", "closes"),
)


def _contact_row(one: ContactRow) -> tuple[Any, ...]:
    return (
        *(one.subject, one.occurred_at, one.key, one.kind, one.reservation, one.channel, one.purpose),
        *(tags_text(one.tags), one.campaign, one.counts, one.until),
    )


def _identifier_row(name: tuple[str, str], row: IdentifierRow) -> tuple[Any, ...]:
    _, id = name
    one, seen = row.identifier, (row.first_seen, row.last_seen, row.touchpoints, row.changed)
    return (id, *one, *seen, id, False, is_blocked(one))


def write_claims(connection: sqlite3.Connection, claims: Collection[tuple[Any, ...]]) -> None:
    """Adds rows of the table, and joins the groups of those who were not claimed to be one person before."""
    pairs = {(lesser, greater) for lesser, greater, _, apart, *_ in claims if not apart}
    before = connection.execute(sql("claimed_before"), (json.dumps(list(pairs)),))
    new = sorted(pairs.difference(before))
    insert(connection, "write_claim", 10, chain.from_iterable(sorted(claims)))
    tie(connection, new)


def tie(connection: sqlite3.Connection, pairs: Sequence[tuple[str, str]]) -> None:
    """The claims on these pairs are new: joins their groups, but for who is claimed by too many people by now."""
    sides = listed({side for pair in pairs for side in pair})
    connection.execute(sql("mark_shared"), {"ids": sides, "enough": SHARED_BEYOND + 1})
    join(connection, pairs)


def _erase(connection: sqlite3.Connection, members: Collection[str], again: Again) -> None:
    """Who is who is made anew for the whole group: what the members said may have tied, or kept apart, the others."""
    rows = connection.execute
    decided = [side for (side,) in rows(sql("erase_decided"), {"members": listed(members)})]
    found = [_known(row) for row in rows(sql("read_groups"), (listed([*members, *decided]),))]
    group = {*members, *(one.id for one in found if not one.barred)}
    beside = [side for (side,) in rows(sql("erase_beside"), {"group": listed(group)})]
    subjects = {"subjects": listed([*group, *beside]), "group": listed(group)}
    keys = [key for (key,) in rows(sql("erase_keys"), subjects)]
    rows(sql("ends_drop"), {"members": listed(members)})  # by the words, which go next
    for table in ("entries", "ledger", "registers", "search", "thread_messages", "unanswered", "contacts"):
        rows(sql(f"erase_{table}"), {"members": listed(members)})
    rows(sql("erase_claims"), {"group": listed(group)})
    rows(sql("erase_identifiers"), {"group": listed(group)})
    rows(sql("leave_groups"), (listed({one.group for one in found}),))
    for changes in again(keys):
        write_changes(connection, changes.about(members, group))
    for side in beside:
        _look_again(connection, side)


def _look_again(connection: sqlite3.Connection, id: str) -> None:
    """One outside whom fewer claims name by now: it may be shared no longer, or be named by nobody."""
    (user_ids,) = connection.execute(
        sql("user_ids_claiming"), {"id": id, "enough": SHARED_BEYOND + 1}
    ).fetchone()
    if user_ids <= SHARED_BEYOND and connection.execute(sql("unmark_shared"), (id,)).rowcount:
        join(connection, connection.execute(sql("pairs_of"), {"id": id}).fetchall())
    connection.execute(sql("erase_orphan"), {"id": id})


def join(connection: sqlite3.Connection, pairs: Sequence[tuple[str, str]]) -> None:
    """The groups of both sides become one, the least of them; a shared or blocked identifier joins none."""
    sides = listed({side for pair in pairs for side in pair})
    groups: dict[str, str] = dict(connection.execute(sql("groups_of_open"), (sides,)).fetchall())
    into: dict[str, str] = {}

    def least(group: str) -> str:
        while group in into:
            group = into[group]
        return group

    for lesser, greater in pairs:
        if lesser in groups and greater in groups:
            kept, joined = sorted((least(groups[lesser]), least(groups[greater])))
            if kept != joined:
                into[joined] = kept
    moves = [(joined, least(kept)) for joined, kept in into.items()]
    connection.execute(sql("join_groups"), (json.dumps(moves),))


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
            made_by, erased = self._rows(sql("read_version")).fetchone()
            self._version = f"{made_by}.{erased}" if erased else str(made_by)
        return self._version

    def made_by(self) -> str:
        return str(self._rows(sql("read_version")).fetchone()[0])

    def erased(self, ids: Collection[str]) -> list[tuple[str, int]]:
        return self._rows(sql("read_erased"), (listed(ids),)).fetchall()

    def all_erased(self) -> list[str]:
        return [id for (id,) in self._rows(sql("all_erased"))]

    def keys_of(self, subjects: Collection[str]) -> list[str]:
        return [key for (key,) in self._rows(sql("read_keys"), (listed(subjects),))]

    def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        counted = self._rows(sql("count_rows"), {"members": listed(ids)}).fetchone()
        return dict(zip(TABLES, counted, strict=True))

    def position(self) -> int:
        (position,) = self._rows(sql("read_position")).fetchone()
        return int(position)

    def folded(self, subjects: Collection[str]) -> Places:
        return {0: self.position()}

    def part_of(self, position: int) -> int:
        return 0

    def known(self, ids: Collection[str]) -> list[Known]:
        return [_known(row) for row in self._rows(sql("read_identifiers"), (listed(ids),))]

    def group_of(self, id: str) -> list[Known]:
        return [_known(row) for row in self._rows(sql("read_group"), (id,))]

    def groups_of(self, ids: Collection[str]) -> list[Known]:
        return [_known(row) for row in self._rows(sql("read_groups"), (listed(ids),))]

    def groups_after(self, group: str, limit: int) -> list[Known]:
        return [_known(row) for row in self._rows(sql("read_groups_after"), (group, limit))]

    def changed(self, ids: Collection[str]) -> dict[str, int]:
        return dict(self._rows(sql("read_changed"), (listed(ids),)).fetchall())

    def touched(self, group: str, after: int, limit: int) -> list[str]:
        asked = {"group": group, "after": after, "limit": limit}
        return [id for (id,) in self._rows(sql("read_touched"), asked)]

    def touched_after(self, position: int, limit: int) -> set[str] | None:
        asked = {"position": position, "limit": limit + 1}
        ids = {id for (id,) in self._rows(sql("read_touched_after"), asked)}
        return ids if len(ids) <= limit else None

    def claims(self, ids: Collection[str], limit: int | None = None) -> tuple[list[Claim], set[Identifier]]:
        return self._claims("read_claims", {"ids": listed(ids), "limit": -1 if limit is None else limit})

    def claims_since(self, ids: Collection[str], after: int) -> tuple[list[Claim], set[Identifier]]:
        return self._claims("read_claims_since", {"ids": listed(ids), "after": after})

    def _claims(self, statement: str, asked: dict[str, Any]) -> tuple[list[Claim], set[Identifier]]:
        claims, shared = [], set()
        for row in self._rows(sql(statement), asked):
            lesser, greater = Identifier(row[0], row[1]), Identifier(row[2], row[3])
            claims.append(Claim(lesser, greater, row[4], bool(row[5]), *row[6:9]))
            if row[9]:
                shared.add(lesser)
            if row[10]:
                shared.add(greater)
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

    def entries_above(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Stamp, limit: int
    ) -> list[Entry]:
        wanted = {**_wanted(filters), "after_at": after[0], "after_key": after[1], "limit": limit}
        runs = [self._rows(sql("read_entries_above"), {**wanted, "subject": subject}) for subject in subjects]
        return [_entry(row) for row in islice(merge(*runs, key=lambda row: (row[2], row[0])), limit)]

    def count_entries(self, subjects: Sequence[str], filters: TimelineFilters) -> int:
        wanted = _wanted(filters)
        counted = (
            self._rows(sql("count_entries"), {**wanted, "subject": subject}).fetchone()
            for subject in subjects
        )
        return sum(number for (number,) in counted)

    def heads(self, subjects: Collection[str]) -> Iterator[Head]:
        shown = self.entries(list(subjects), TimelineFilters(audience="customer"), None)
        return map(head_of, islice(shown, RECENT_ENTRIES))

    def entries_since(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Places, limit: int
    ) -> list[Entry]:
        wanted = {**_wanted(filters), "after": after[0], "limit": limit}
        found = [
            _entry(row)
            for subject in subjects
            for row in self._rows(sql("read_entries_since"), {**wanted, "subject": subject})
        ]
        return sorted(found, key=lambda entry: entry.position)[:limit]

    def deeds(self, subjects: Sequence[str], to_at: int, from_at: int = -(2**62)) -> list[Deed]:
        bounds = {"from_at": from_at, "to_at": to_at}
        runs = [self._rows(sql("read_deeds"), {**bounds, "subject": subject}) for subject in subjects]
        said: dict[str | None, Mapping[str, int]] = {
            None: {}
        }  # thousands of touchpoints count the same few things
        deeds = []
        for at, key, signals in merge(*runs, reverse=True) if len(runs) != 1 else runs[0]:
            if signals not in said:
                said[signals] = dict(json.loads(signals))
            deeds.append(Deed(key, at, said[signals]))
        return deeds

    def ledgers(self, subjects: Collection[str]) -> dict[str, Ledger]:
        ledgers: dict[str, Ledger] = {}
        for subject, rows in self.ledger_rows(subjects):
            ledgers[subject] = {(signal, day): (count, total) for signal, day, count, total in rows}
        return ledgers

    def ledger_rows(self, subjects: Collection[str]) -> list[tuple[str, LedgerRows]]:
        """A subject's rows stand together in the table's key, so each is read by itself: no name is repeated."""
        statement = sql("read_ledger")
        found = [(subject, self._rows(statement, (subject,)).fetchall()) for subject in subjects]
        return [one for one in found if one[1]]

    def ledger_of(
        self, subjects: Collection[str], signals: Collection[str], beginning: str | None = None
    ) -> list[LedgerRows]:
        begins = (beginning, beginning + LAST_LETTER) if beginning else ("", "")
        named = [signal for signal in signals if not begins[0] <= signal < begins[1]]
        asked = {"signals": listed(named), "beginning": begins[0], "end": begins[1]}
        found = (self._rows(sql("read_ledger_of"), {**asked, "subject": one}).fetchall() for one in subjects)
        return [rows for rows in found if rows]

    def ledgers_of(self, subjects: Collection[str], signals: Collection[str]) -> dict[str, LedgerRows]:
        asked = {"subjects": listed(subjects), "signals": listed(signals)}
        rows = self._rows(sql("read_ledgers_of"), asked)
        return {
            subject: [(signal, day, count, total) for _, signal, day, count, total in those]
            for subject, those in groupby(rows, key=itemgetter(0))
        }

    def ledger_sums(self, subject: str) -> dict[str, int]:
        return dict(self._rows(sql("read_ledger_sums"), (subject,)).fetchall())

    def registers(self, subjects: Collection[str], but: Collection[str] = ()) -> list[Setting]:
        rows = self._rows(sql("read_registers"), (listed(subjects), listed(but)))
        return latest(
            Setting(kind, key, json.loads(value), at, touchpoint) for kind, key, value, at, touchpoint in rows
        )

    def settings_of(self, subjects: Collection[str], kinds: Collection[str]) -> dict[str, list[Setting]]:
        found: dict[str, list[Setting]] = {}
        asked = {"subjects": listed(subjects), "kinds": listed(kinds)}
        for subject, kind, key, value, at, touchpoint in self._rows(sql("read_settings_of"), asked):
            found.setdefault(subject, []).append(Setting(kind, key, json.loads(value), at, touchpoint))
        return found

    def messages(
        self, subjects: Collection[str], threads: Collection[str] | None = None
    ) -> list[ThreadMessage]:
        if threads is None:
            return self._messages("read_messages", subjects)
        asked = {"subjects": listed(subjects), "threads": listed(threads)}
        return [_message(row) for row in self._rows(sql("read_messages_of"), asked)]

    def latest_messages(self, subjects: Collection[str]) -> list[ThreadMessage]:
        return self._messages("read_latest_messages", subjects)

    def count_messages(self, subjects: Collection[str]) -> int:
        (number,) = self._rows(sql("count_messages"), (listed(subjects),)).fetchone()
        return int(number)

    def waiting(self, subjects: Collection[str]) -> tuple[list[Waiting], list[ThreadMessage]]:
        shared = self._messages("read_shared_messages", subjects) if len(subjects) > 1 else []
        threads = {message.thread for message in shared}
        rows = self._rows(sql("read_waiting"), {"subjects": listed(subjects)})
        return [one for one in map(Waiting._make, rows) if one.thread not in threads], shared

    def _messages(self, statement: str, subjects: Collection[str]) -> list[ThreadMessage]:
        rows = self._rows(sql(statement), {"subjects": listed(subjects)})
        return [_message(row) for row in rows]

    def contacts(self, subjects: Collection[str], since: int) -> list[ContactRow]:
        asked = {"subjects": listed(subjects), "since": since}
        (found,) = self._rows(sql("read_contacts"), asked).fetchone()
        return [_contact(row) for row in orjson.loads(found)]

    def found(self, words: Sequence[str], beginnings: Sequence[str], limit: int) -> list[Match]:
        named = self._found_names("find_names", words, limit, LONGEST_WORD + 1) if words else []
        found = [*named]
        for begins in beginnings:
            found += self._found_identifiers(begins, limit)
            for kind in CASES:
                found += self._found_cases(kind, begins, limit)
        for statement in (
            ("find_names", "find_parts") if max(map(len, words), default=0) >= SHORTEST_PART else ()
        ):
            if len(named) < limit:
                more = self._found_names(statement, words, limit, SHORTEST_PART)
                named = list(dict.fromkeys([*named, *more]))[:limit]
        found += named
        return sorted(dict.fromkeys(found), key=lambda match: not match.exact)

    def _found_names(self, statement: str, words: Sequence[str], limit: int, shortest: int) -> list[Match]:
        """See `find_names.sql`; the longest word is its first."""
        longest, *others = sorted(words, key=len, reverse=True)
        asked = {"first": longest, "others": listed(others), "shortest": shortest}
        rows = distinct(self._rows(sql(statement), asked))  # a name may hold the same part many times
        names = [(subject, json.loads(value)) for subject, value in islice(rows, limit)]
        names.sort(key=lambda one: (words_of(one[1]), one))
        return [Match(subject, "name", name, set(words_of(name)) <= set(words)) for subject, name in names]

    def _found_identifiers(self, begins: str, limit: int) -> list[Match]:
        rows = self._rows(sql("find_identifiers"), {"begins": begins, "limit": limit})
        same = begins.casefold()
        return [Match(id, "identifier", value, value.casefold() == same, type) for id, type, value in rows]

    def _found_cases(self, kind: Literal["case", "order"], begins: str, limit: int) -> list[Match]:
        rows = self._rows(sql("find_cases"), {"begins": f"{kind}:{begins}", "limit": limit})
        numbers = [(subject, key.partition(":")[2]) for subject, key in rows]
        same = begins.casefold()
        return [Match(subject, kind, number, number.casefold() == same) for subject, number in numbers]

    def minutes(self, since: int) -> list[tuple[int, str, int]]:
        return self._rows(sql("read_minutes"), (since,)).fetchall()

    def causes(self, from_at: int, to_at: int) -> list[tuple[str | None, int]]:
        rows = self._rows(sql("read_causes"), {"from_at": from_at, "to_at": to_at})
        return counted_causes(
            (reason_in({"shown": {"reason": json.loads(shown)}, "data": {"reason": json.loads(sent)}}), n)
            for shown, sent, n in rows
        )

    def held_back(self, from_at: int, to_at: int) -> list[tuple[str, str, int]]:
        return counted_reasons(self._rows(sql("read_held_back"), {"from_at": from_at, "to_at": to_at}))

    def unanswered(self, after: Stamp, limit: int) -> list[ThreadMessage]:
        asked = {"after_at": after[0], "after_key": after[1], "limit": limit}
        return [_message(row) for row in self._rows(sql("read_unanswered"), asked)]

    def digest_of(self, name: str) -> str:
        digest = hashlib.sha256()
        for row in self._rows(sql(f"digest_{name}")):
            digest.update(_row_json.encode(row).encode("utf-8"))
            digest.update(b"\n")
        return digest.hexdigest()


def _message(row: tuple[Any, ...]) -> ThreadMessage:
    *header, public, channel, agent, team, purpose, closes = row
    return ThreadMessage(*(*header, bool(public), channel, agent, team, purpose, bool(closes)))


def _contact(row: list[Any]) -> ContactRow:
    row[7], counts = tuple(row[7]), row[9]
    if counts is not None:
        row[9] = bool(counts)
    return ContactRow._make(row)


def _known(row: tuple[Any, ...]) -> Known:
    id, type, value, *seen, barred = row
    return Known(*(id, Identifier(type, value), *seen, bool(barred)))


def distinct(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Each once, in their order, read no further than is asked for."""
    seen = set[tuple[Any, ...]]()
    for row in rows:
        if row not in seen:
            seen.add(row)
            yield row


def listed(ids: Collection[str]) -> str:
    return json.dumps(list(ids))


def _wanted(filters: TimelineFilters) -> dict[str, Any]:
    return {
        "channels": listed(filters.channels) if filters.channels else None,
        "families": listed(filters.families) if filters.families else None,
        "types": listed(filters.types) if filters.types else None,
        "hidden": None if filters.noise else listed(NOISE),
        "thread": filters.thread,
        "direction": filters.direction,
        "from_at": -(2**62) if filters.from_at is None else filters.from_at,
        "to_at": 2**62 if filters.to_at is None else filters.to_at,
        "customer_only": filters.audience == "customer",
    }
