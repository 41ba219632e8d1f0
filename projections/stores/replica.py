"""Projections of an API replica: a local file filled from the compacted topics, and timelines from the store of all.

The file has the tables of the one-machine shape and is read by the same code, so that who somebody is and how he stands
costs the same. What differs is how it is filled: workers tell how rows stand, not what to add, and they tell what each
subject's touchpoints said; here that is added up. Every record is taken by its version, so it may come late, again, or
in another order than others. `changed` is this file's own count of what it took: it grows with everything that anybody
can see, and means nothing elsewhere.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, starmap
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from touchbook.identity import SHARED_BEYOND, is_blocked
from touchbook.positions import part_of
from touchbook.projections.changes import Stamp
from touchbook.projections.compacted import (
    KINDS,
    Claimed,
    Contacted,
    Erased,
    Head,
    LedgerDay,
    Marker,
    Message,
    Register,
    Seen,
    decode,
)
from touchbook.projections.context import RECENT_ENTRIES
from touchbook.projections.context import Head as Shown
from touchbook.projections.stores.derived import names_in, search_again, unanswered_again
from touchbook.projections.stores.port import Deed, Places
from touchbook.projections.stores.sqlite import (
    SqliteFile,
    SqliteReader,
    build,
    connect,
    insert,
    join,
    listed,
    make_serving,
    serving,
    sql,
    tie,
    write_claims,
)
from touchbook.projections.touched import DECISIONS
from touchbook.schemas.touchpoint import Identifier
from touchbook.timeline import Entry, TimelineFilters

FORMAT = 4
"""Of the tables, see `replica_tables.sql`; a file of another is filled anew."""
NOTHING = "0"
"""The build of a replica that has read nothing yet."""
PRUNED_AT = "0"
"""How the key of a touchpoint ends, one of sixteen, with which old heads of its subject go."""


class Timelines(Protocol):
    """Entries of one build, from the store of all machines. That may be further on than what is told here: `up_to` says
    for each part how far a look goes, and entries beyond it, or of a part not named, are left out."""

    def entries(
        self, subjects: Sequence[str], filters: TimelineFilters, before: Stamp | None, *, up_to: Places
    ) -> Iterator[Entry]: ...

    def entries_above(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Stamp, limit: int, *, up_to: Places
    ) -> list[Entry]: ...

    def count_entries(self, subjects: Sequence[str], filters: TimelineFilters, *, up_to: Places) -> int: ...

    def entries_since(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Places, limit: int, *, up_to: Places
    ) -> list[Entry]: ...

    def minutes(self, since: int) -> list[tuple[int, str, int]]: ...

    def causes(self, from_at: int, to_at: int) -> list[tuple[str | None, int]]: ...

    def held_back(self, from_at: int, to_at: int) -> list[tuple[str, str, int]]: ...

    def deeds(
        self, subjects: Sequence[str], to_at: int, from_at: int = -(2**62), *, up_to: Places
    ) -> list[Deed]: ...

    def keys_of(self, subjects: Collection[str]) -> list[str]: ...

    def digest(self) -> dict[str, str]: ...


class CompactedRecord(Protocol):
    """A record of one of the topics. `topic` is its name without the prefix, `ledgers.<build>` say."""

    @property
    def topic(self) -> str: ...

    @property
    def part(self) -> int: ...

    @property
    def key(self) -> bytes: ...

    @property
    def value(self) -> bytes | None: ...


class Place(NamedTuple):
    """How far a part of the journal is told here, and when what stands there was recorded."""

    position: int
    recorded_at: int


def _format_of(file: Path) -> int:
    """0 for one that is no replica's, or is damaged."""
    with suppress(sqlite3.DatabaseError), closing(connect(file)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    return 0


def version_of(build: str) -> str:
    """The projection version of a build."""
    return build.rpartition("-")[0] or build


def topics_of(build: str) -> list[str]:
    """The topics, without the prefix, that tell all of a build."""
    return [f"{kind}.{build}" for kind in KINDS]


class ReplicaProjections(SqliteFile):
    """What serves in this directory. See `Projections`: only workers write and erase."""

    def __init__(self, directory: Path, timelines: Callable[[str], Timelines]) -> None:
        """`timelines` gives those of a build; it is asked for every look."""
        super().__init__(directory)
        self._timelines = timelines
        file = serving(directory)
        if file is None or _format_of(file) != FORMAT:
            make_serving(directory, ReplicaFile.fresh(directory, NOTHING))

    @contextmanager
    def reading(self) -> Iterator[ReplicaReader]:
        with super().reading():
            yield ReplicaReader(self._connection(), self._timelines)


class ReplicaReader(SqliteReader):
    """One consistent look at the local file, and at timelines as far as that tells."""

    def __init__(self, connection: sqlite3.Connection, timelines: Callable[[str], Timelines]) -> None:
        super().__init__(connection)
        self._timelines_of = timelines
        self._build: str | None = None
        self._told: Places | None = None

    def version(self) -> str:
        self._describe()
        return super().version()

    def made_by(self) -> str:
        return str(self._rows(sql("replica_described")).fetchone()[1])

    def _describe(self) -> str:
        if self._build is None:
            self._build, made_by, erased = self._rows(sql("replica_described")).fetchone()
            self._version = f"{made_by}.{erased}" if erased else made_by
        return self._build

    @property
    def build(self) -> str:
        return self._describe()

    @property
    def _timelines(self) -> Timelines:
        return self._timelines_of(self._describe())

    def _up_to(self) -> Places:
        if self._told is None:
            self._told = {part: place.position for part, place in folded_in(self._rows).items()}
        return self._told

    def part_of(self, position: int) -> int:
        return part_of(position)

    def folded(self, subjects: Collection[str]) -> Places:
        heard = self._rows(sql("replica_parts_of"), (listed(subjects),))
        return {
            part: self._up_to().get(part, 0) for part in sorted({part_of(position) for (position,) in heard})
        }

    def keys_of(self, subjects: Collection[str]) -> list[str]:
        return self._timelines.keys_of(subjects)

    def digest_of(self, name: str) -> str:
        return self._timelines.digest()[name] if name == "entries" else super().digest_of(name)

    def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        return {**super().rows_of(ids), "entries": len(self.keys_of(ids))}

    def entries(
        self, subjects: Sequence[str], filters: TimelineFilters, before: Stamp | None
    ) -> Iterator[Entry]:
        return self._timelines.entries(subjects, filters, before, up_to=self._up_to())

    def heads(self, subjects: Collection[str]) -> Iterator[Shown]:
        asked = {"subjects": listed(subjects), "limit": RECENT_ENTRIES}
        return starmap(Shown, self._rows(sql("replica_heads"), asked))

    def entries_since(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Places, limit: int
    ) -> list[Entry]:
        return self._timelines.entries_since(subjects, filters, after, limit, up_to=self._up_to())

    def entries_above(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Stamp, limit: int
    ) -> list[Entry]:
        return self._timelines.entries_above(subjects, filters, after, limit, up_to=self._up_to())

    def count_entries(self, subjects: Sequence[str], filters: TimelineFilters) -> int:
        return self._timelines.count_entries(subjects, filters, up_to=self._up_to())

    def minutes(self, since: int) -> list[tuple[int, str, int]]:
        return self._timelines.minutes(since)

    def causes(self, from_at: int, to_at: int) -> list[tuple[str | None, int]]:
        return self._timelines.causes(from_at, to_at)

    def held_back(self, from_at: int, to_at: int) -> list[tuple[str, str, int]]:
        return self._timelines.held_back(from_at, to_at)

    def deeds(self, subjects: Sequence[str], to_at: int, from_at: int = -(2**62)) -> list[Deed]:
        return self._timelines.deeds(subjects, to_at, from_at, up_to=self._up_to())


def folded_in(rows: Callable[..., sqlite3.Cursor]) -> dict[int, Place]:
    """Of each part how far every topic was told."""
    return {part: Place(*place) for part, *place in rows(sql("replica_folded"), {"kinds": len(KINDS)})}


class ReplicaFile(SqliteFile):
    """One build as it is filled: by whoever follows its topics, from any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent, path)
        self._own = connect(path)
        self._waiting: _Waiting | None = None
        self.broken = False
        """It failed while it was filled in a hurry, with no log to go back by: it can only be thrown away."""

    @classmethod
    def fresh(cls, directory: Path, build_name: str) -> Path:
        """An empty file for a build, beside what serves."""
        path = build(directory, version_of(build_name))
        file = cls(path)
        file._own.executescript(sql("replica_tables"))
        file._own.execute(sql("replica_describe"), (build_name, secrets.token_hex(4)))
        file.close()
        return path

    def _connection(self) -> sqlite3.Connection:
        return self._own

    def close(self) -> None:
        self._own.close()

    @property
    def build(self) -> str:
        return str(self._own.execute(sql("replica_described")).fetchone()[0])

    def folded(self) -> dict[int, Place]:
        """Of each part how far it is told here."""
        return folded_in(self._own.execute)

    def offsets(self) -> dict[tuple[str, int], int]:
        return {(topic, part): next for topic, part, next in self._own.execute(sql("replica_read_topics"))}

    def in_step_at(self) -> int:
        """Now: an erasure is told by a record that stays, so that it is not missed however long this was away."""
        return time.time_ns() // 1_000_000

    def in_step(self, at: int) -> None:
        """Need not be kept, see `in_step_at`."""

    def forget(self) -> None:
        with self._taking() as connection:
            (changed,) = connection.execute(sql("replica_move")).fetchone()
            for statement in sql("replica_forget_all").split(";"):
                connection.execute(statement)
            connection.execute(
                sql("write_erased"), ("erased", changed)
            )  # another version: nobody is as he was
        self._waiting = None
        self._touched().forget(changed)

    def apply(self, records: Sequence[CompactedRecord], offsets: Mapping[tuple[str, int], int]) -> None:
        """Takes what the records tell, and the offsets that follow them, in one transaction. What was taken before may
        come again, and what is older than what was taken changes nothing. Raises FormatUnknown."""
        told = _Told(records)
        with self._taking() as connection:
            (changed,) = connection.execute(sql("replica_move")).fetchone()
            before = self._folded_to()
            news = _take(connection, told, changed)
            insert(connection, "replica_write_marker", 4, chain.from_iterable(told.markers()))
            touched = news.subjects | news.tied
            if not self._hurrying:
                touched |= self._shown(told, news, before)
            connection.execute(sql("replica_touch"), {"ids": listed(touched), "changed": changed})
            connection.executemany(sql("replica_write_topics"), [(*at, next) for at, next in offsets.items()])
        self._remember(told, changed, touched | {one.id for one in told.of(Seen)}, news.heard)
        if told.of(Erased) and not self._hurrying:
            with suppress(sqlite3.OperationalError):  # somebody reads on and on: then with the next erasure
                self._own.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _remember(self, told: _Told, changed: int, touched: set[str], heard: set[str]) -> None:
        if told.of(Erased):
            self._touched().forget(changed)
        elif not self._hurrying:
            self._touched().add(changed - 1, changed, touched, touched - heard)

    def _folded_to(self) -> dict[int, int]:
        return {part: place.position for part, place in self.folded().items()}

    def _shown(self, told: _Told, news: _News, before: Mapping[int, int]) -> set[str]:
        """Whose timelines show more since the markers moved. They are heard of unless all that was told of them at a
        place were decisions about contacting them: by then every topic has told it."""
        folded, places = self._folded_to(), told.places()
        fresh = {at for at in places if at[1] > before.get(part_of(at[1]), 0)}
        if self._waiting is None:
            self._waiting = _Waiting(self._own.execute(sql("replica_waiting")))
        self._waiting.hear(fresh, news)
        ahead = {at for at in fresh if at[1] > folded.get(part_of(at[1]), 0)}
        insert(self._own, "replica_pending", 2, chain.from_iterable(sorted(ahead)))
        shown = set(self._own.execute(sql("replica_shown"), (json.dumps(folded),)))
        news.heard |= {subject for subject, _ in places - fresh}
        news.heard |= self._waiting.heard_at(shown | (fresh - ahead))
        return {subject for subject, _ in shown}

    def settle(self) -> None:
        if self._hurrying:
            self._own.execute(sql("replica_pending_now"), {"kinds": len(KINDS)})
        self._waiting = None
        super().settle()

    @contextmanager
    def _taking(self) -> Iterator[sqlite3.Connection]:
        if not self._hurrying:
            self._own.execute("BEGIN IMMEDIATE")
        try:
            yield self._own
            if not self._hurrying:
                self._own.execute("COMMIT")
        except BaseException:
            self.broken = self._hurrying
            with suppress(sqlite3.Error):
                self._own.execute("ROLLBACK")
            raise


@dataclass(slots=True)
class _News:
    """Of whom something else can be told since records were taken.

    `subjects`  those of rows, and `tied` all whom claims tie
    `heard`     those of whom it is more than decisions about contacting them, by what was told so far
    `more`      (subject, position) at which rows say more than such decisions, and `decided`, at which they say some
    """

    subjects: set[str]
    tied: set[str] = field(default_factory=set)
    heard: set[str] = field(default_factory=set)
    more: set[tuple[str, int]] = field(default_factory=set)
    decided: set[tuple[str, int]] = field(default_factory=set)


class _Waiting:
    """What the topics told at each (subject, position) that markers have not come to. It is not kept: whoever `waits`
    when this begins is heard of, as what was told of him is not known any more."""

    def __init__(self, waits: Iterable[tuple[str, int]]) -> None:
        self._more, self._decided = set(waits), set[tuple[str, int]]()

    def hear(self, fresh: set[tuple[str, int]], news: _News) -> None:
        self._more |= news.more & fresh
        self._decided |= news.decided & fresh

    def heard_at(self, shown: set[tuple[str, int]]) -> set[str]:
        """Those of whom more than decisions was told at these, which are forgotten."""
        found = {subject for subject, _ in shown - (self._decided & shown - self._more)}
        self._more -= shown
        self._decided -= shown
        return found


_NAMED_BY = {LedgerDay: 2, Register: 3, Message: 4, Contacted: 3, Head: 3, Seen: 2, Claimed: 6, Erased: 1}
"""How many of the first fields of each name the row."""


class _Told:
    """What some records tell: of each row the latest."""

    def __init__(self, records: Iterable[CompactedRecord]) -> None:
        self._rows: dict[type[Any], dict[tuple[Any, ...], Any]] = {kind: {} for kind in _NAMED_BY}
        self._markers: dict[tuple[int, str], Marker] = {}
        for record in records:
            kind = record.topic.partition(".")[0]
            one = decode(kind, record.key, record.value)
            if isinstance(one, Marker):
                self._latest(self._markers, (record.part, kind), one)
            elif one is not None:
                self._latest(self._rows[type(one)], one[: _NAMED_BY[type(one)]], one)

    @staticmethod
    def _latest(rows: dict[Any, Any], name: tuple[Any, ...], one: Any) -> None:
        known = rows.get(name)
        if known is None or known.position <= one.position:
            rows[name] = one

    def of(self, kind: type[Any]) -> Collection[Any]:
        return self._rows[kind].values()

    def subjects(self) -> set[str]:
        return {one.subject for rows in self._rows.values() for one in rows.values()}

    def places(self) -> set[tuple[str, int]]:
        """(subject, position) of all rows."""
        return {(one.subject, one.position) for rows in self._rows.values() for one in rows.values()}

    def drop_before(self, erased: Mapping[str, int]) -> None:
        """Rows of before the erasure of their subject: whoever told them late."""
        for kind, rows in self._rows.items():
            self._rows[kind] = {
                name: one for name, one in rows.items() if one.position >= erased.get(one.subject, 0)
            }

    def markers(self) -> list[tuple[Any, ...]]:
        return [(*at, *one) for at, one in self._markers.items()]


def _take(connection: sqlite3.Connection, told: _Told, changed: int) -> _News:
    """Takes all but markers."""
    if erased := _erased_before(connection, told):
        told.drop_before(erased)
    if new := [one for one in told.of(Erased) if one.position > erased.get(one.subject, 0)]:
        told.drop_before({one.subject: one.position for one in new})
        _erase(connection, new, changed)
    rows = LedgerDay, Register, Message, Contacted, Head
    news = _News({one.subject for kind in rows for one in told.of(kind)})
    _hear_days(connection, told.of(LedgerDay), news)
    for one in (*told.of(Register), *told.of(Message)):
        news.heard.add(one.subject)
        news.more.add((one.subject, one.position))
    news.more |= {(one.subject, one.position) for one in told.of(Head) if one.type not in DECISIONS}
    _take_rows(connection, told)
    _take_identifiers(connection, told.of(Seen), changed, news)
    news.tied |= _take_claims(connection, told.of(Claimed))
    news.heard |= news.tied
    news.more |= {(one.subject, one.position) for one in told.of(Claimed)}
    return news


def _hear_days(connection: sqlite3.Connection, told: Collection[LedgerDay], news: _News) -> None:
    """A day says no more than decisions if it counts some, and of all else what is known here already: a record stands
    for all that came before it under its key, which brokers may have dropped. Asked before the days are taken."""
    others = {
        (subject, signal, day): tuple(row)
        for subject, day, signals, _ in told
        if not DECISIONS.isdisjoint(signals)
        for signal, row in signals.items()
        if signal not in DECISIONS
    }
    known = (
        {
            (subject, signal, day): (count, total)
            for subject, signal, day, count, total in connection.execute(
                sql("replica_days"), (json.dumps(list(others)),)
            )
        }
        if others
        else {}
    )
    for subject, day, signals, position in told:
        if DECISIONS.isdisjoint(signals) or any(
            known.get(row := (subject, signal, day)) != others[row] for signal in signals.keys() - DECISIONS
        ):
            news.heard.add(subject)
            news.more.add((subject, position))
        else:
            news.decided.add((subject, position))


def _erased_before(connection: sqlite3.Connection, told: _Told) -> dict[str, int]:
    """Of these subjects, those that are known to be erased: nearly always none of anybody."""
    _, _, last_erasure = connection.execute(sql("replica_described")).fetchone()
    if not last_erasure:
        return {}
    rows = connection.execute(sql("read_erased"), (listed(told.subjects()),))
    return {name.removeprefix("erased:"): position for name, position in rows}


def _take_rows(connection: sqlite3.Connection, told: _Told) -> None:
    """By subject, so that rows which are neighbours are written together."""
    insert(
        connection,
        "replica_ledger",
        6,
        [
            value
            for subject, day, signals, position in sorted(told.of(LedgerDay), key=_first_two)
            for signal, (count, total) in signals.items()
            for value in (subject, signal, day, count, total, position)
        ],
    )
    insert(connection, "replica_register", 7, chain.from_iterable(sorted(told.of(Register))))
    search_again(connection.execute, names_in(one[:3] for one in told.of(Register)))
    insert(connection, "replica_message", 12, chain.from_iterable(sorted(told.of(Message))))
    unanswered_again(connection.execute, {one[:2] for one in told.of(Message)})
    insert(connection, "replica_contact", 12, chain.from_iterable(sorted(told.of(Contacted))))
    insert(connection, "replica_head", 6, chain.from_iterable(sorted(told.of(Head))))
    if old := {one.subject for one in told.of(Head) if one.key.endswith(PRUNED_AT)}:
        connection.execute(sql("replica_prune_heads"), {"subjects": listed(old), "kept": RECENT_ENTRIES})


_NEVER_SEEN = 0, 0, 0
"""Touchpoints, position and when he was first seen of whom nothing was told."""


def _first_two(one: tuple[Any, ...]) -> tuple[Any, ...]:
    return one[:2]


def _take_identifiers(
    connection: sqlite3.Connection, told: Collection[Seen], changed: int, news: _News
) -> None:
    """Adds what each subject says now beyond what it said. Tied are those whose groups an identifier has joined that
    claims spoke of before it came; heard is of who is new, or was seen earlier than was known."""
    asked = json.dumps([(one.subject, one.id) for one in told])
    known = {
        (subject, id): (touchpoints, position, first_seen)
        for subject, id, touchpoints, position, first_seen in connection.execute(
            sql("replica_identifier_shares"), (asked,)
        )
    }
    for one in told:
        touchpoints, _, first_seen = known.get(one[:2], _NEVER_SEEN)
        if one.subject != one.id or not touchpoints or one.first_seen < first_seen:
            news.heard.add(one.id)
            news.more.add((one.subject, one.position))
    fresh = [one for one in told if known.get(one[:2], _NEVER_SEEN)[1] <= one.position]
    unknown = [
        id for (id,) in connection.execute(sql("replica_unknown"), (listed({one.id for one in fresh}),))
    ]
    shares = sorted((one.id, one.subject, *one[4:]) for one in fresh)
    insert(connection, "replica_identifier_share", 6, chain.from_iterable(shares))
    rows = sorted(
        (
            *(one.id, one.type, one.value, one.first_seen, one.last_seen),
            *(one.touchpoints - known.get(one[:2], _NEVER_SEEN)[0], changed, one.id, False),
            is_blocked(Identifier(one.type, one.value)),
        )
        for one in fresh
    )
    insert(connection, "write_identifier", 10, chain.from_iterable(rows))
    late = connection.execute(sql("replica_pairs"), (listed(unknown),)).fetchall()
    if late:
        tie(connection, late)
    news.tied |= {side for pair in late for side in pair}


def _take_claims(connection: sqlite3.Connection, told: Collection[Claimed]) -> set[str]:
    """Adds what each subject claims now beyond what it claimed; answers both sides of each claim."""
    pairs = {one[1:3] for one in told}
    known = {
        (*name, bool(apart), own): (times, position)
        for *name, apart, own, times, position in connection.execute(
            sql("replica_claim_shares"), (json.dumps(list(pairs)),)
        )
    }
    fresh = [one for one in told if known.get(one[:6], (0, 0))[1] <= one.position]
    insert(connection, "replica_claim_share", 12, chain.from_iterable(sorted(fresh)))
    write_claims(
        connection,
        [(*one[1:9], one.times - known.get(one[:6], (0, 0))[0], one.last_at) for one in fresh],
    )
    return {side for pair in pairs for side in pair}


def _erase(connection: sqlite3.Connection, erased: Collection[Erased], changed: int) -> None:
    """Takes away what the subjects' touchpoints said. What others said of the same identifiers stands, and who is who
    among all that were tied is made anew from it."""
    rows = connection.execute
    subjects = {"subjects": listed({one.subject for one in erased})}
    names = rows(sql("replica_names_of"), subjects).fetchall()
    threads = rows(sql("replica_threads_of"), subjects).fetchall()
    pairs, ids = set[tuple[str, str]](), set[str]()
    for subject, position in erased:
        bounds = {"subject": subject, "position": position}
        for table in ("ledger", "registers", "thread_messages", "contacts", "heads"):
            rows(sql(f"replica_forget_{table}"), bounds)
        pairs.update(rows(sql("replica_forget_claims"), bounds).fetchall())
        ids.update(id for (id,) in rows(sql("replica_forget_identifiers"), bounds).fetchall())
        rows(sql("write_erased"), (f"erased:{subject}", position))
    search_again(rows, set(names))
    unanswered_again(rows, set(threads))
    rows(sql("write_erased"), ("erased", changed))
    group = SqliteReader(connection).groups_of(ids)
    asked = json.dumps(list(pairs))
    left = rows(sql("replica_claims_again"), (asked,)).fetchall()
    rows(sql("replica_drop_claims"), (asked,))
    insert(connection, "write_claim", 10, chain.from_iterable(left))
    rows(sql("replica_drop_identifiers"), (listed(ids),))
    rows(sql("replica_see_again"), (listed(ids),))
    rows(sql("leave_groups"), (listed({one.group for one in group}),))
    members = listed({one.id for one in group})
    rows(sql("replica_unmark_shared"), (members,))
    rows(sql("mark_shared"), {"ids": members, "enough": SHARED_BEYOND + 1})
    join(connection, rows(sql("replica_pairs"), (members,)).fetchall())
    rows(sql("replica_touch"), {"ids": members, "changed": changed})
