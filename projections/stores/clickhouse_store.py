"""The writing half of projections in ClickHouse: rows as they stand, written as often as it takes, counted once.

Every table keeps of each row the one that stands at the greatest position. Tables are written one after another, so a
crash may leave some of them behind the others: each row says for itself how far it has come, see `adding`.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from touchbook.contacts import ContactRow
from touchbook.positions import part_of
from touchbook.projections.changes import Changes, ClaimRow, EntryRow, IdentifierRow, RegisterRow, tags_text
from touchbook.projections.rows import Gone, Rows, Stretch
from touchbook.projections.stores.adding import ALWAYS, Adding, Counts, Held
from touchbook.projections.stores.clickhouse import Engine
from touchbook.projections.stores.clickhouse_ddl import Build
from touchbook.projections.stores.key_filter import KeyFilter
from touchbook.registers import ThreadMessage
from touchbook.schemas.touchpoint import Claim, Identifier

CACHED_ROWS = 500_000
FILTER_BYTES = 32 * 1024 * 1024
"""Of each part, at most: with 16 million keys in it 1 of 400 new keys is looked up for nothing."""
ASKED_AT_ONCE = 1_000
"""Names in one statement: a server parses no more than 256 KB."""
RECENT_DAYS = 14
"""A customer's days are read from the first that is needed on; this much before the last they are read by themselves,
so that one late touchpoint does not make everybody's old days be read."""
SUBJECTS_A_PURGE = 200

Columns = dict[str, Sequence[Any]]
_value_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True)


@dataclass(slots=True)
class _Part:
    """What is known of a part of the journal that is written here. `filter` is made when it is first asked."""

    erased: dict[str, int] = field(default_factory=dict)
    filter: KeyFilter | None = None


class ClickHouseStore:
    """Writes one build. One thread writes; another may meanwhile ask for `first_positions` and `positions_of`.

    Whoever loses a part of the journal to somebody else calls `forget`. Nothing else is needed of its owners: two that
    believe themselves to own a part write the same rows at the same positions. Raises StoreUnavailable; then what was
    to be written may or may not be there, and is to be written again.
    """

    def __init__(
        self, engine: Engine, build: str, cached_rows: int = CACHED_ROWS, filter_bytes: int = FILTER_BYTES
    ) -> None:
        self._engine = engine
        self._build = Build(build)
        self._cached_rows = cached_rows
        self._filter_bytes = filter_bytes
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._rows = 0
        self._parts: dict[int, _Part] = {}
        self._guard = threading.Lock()
        self.hits = self.misses = 0
        """Subjects whose rows were at hand, and those who had to be looked up."""

    def write(self, stretches: Sequence[Stretch]) -> list[Rows]:
        """How each stretch leaves the rows it touches. Stretches of one part come in order, each from where the one
        before it ends.

        Raises PartlyWritten where rows stand within a stretch; then nothing was written, and the stretches have to be
        parted there.
        """
        with self._touching(_parts_of_subjects(stretches)) as touched:
            self._look_up_more(stretches, touched)
            adding = Adding(touched)
            written = [self._added(adding, stretch) for stretch in stretches]
            self._insert("identifiers", _identifier_columns(adding.identifiers))
            self._insert("ledger", _ledger_columns(adding.days))
            self._insert("registers", _register_columns(adding.registers))
            self._insert("claims", _claim_columns(adding.claims))
            self._insert("thread_messages", _message_columns(written))
            self._insert("contacts", _contact_columns(written))
            self._insert("entries", _entry_columns(written))
            self._insert("keys", _key_columns(written, stretches))
            self._insert("positions", _position_columns(written))
            adding.keep()
        for rows in written:
            self._remember_keys(part_of(rows.position), [entry[0] for entry in rows.entries])
        return written

    def erase(self, members: Collection[str], position: int, recorded_at: int, again: Changes) -> Rows:
        """Takes away every row of these members that stands before the position, and puts what `again` holds of them
        in its place, which is what the journal still says up to there. Nobody sees the others from now on; `purge`
        deletes them.

        The same is answered when it is done again, until `purge` was called.
        """
        members, part = list(members), part_of(position)
        rows = _rows_of(again, position, recorded_at)
        rows.erased = members
        rows.gone = self._gone(members, rows)
        for member in members:
            self._drop(member)
        self._write_whole(rows)
        self._insert("erasures", {"subject": members, "position": [position] * len(members)})
        self._insert("positions", _position_columns([rows]))
        self._part(part).erased.update(dict.fromkeys(members, position))
        return rows

    def purge(self) -> int:
        """Has the server delete what nobody sees any more, and answers how many subjects have such rows still: it
        deletes by itself, in its own time. May be called at any time, and again."""
        left = set()
        for table in (
            "ledger",
            "registers",
            "claims",
            "identifiers",
            "thread_messages",
            "contacts",
            "entries",
        ):
            name = self._build.tables[table]
            unseen = self._engine.execute(self._build.sql("unseen_rows", table=name))
            left |= {subject for subject, _ in unseen}
            for some in _runs(unseen, SUBJECTS_A_PURGE):
                subjects, positions = zip(*some, strict=True)
                asked = {"among": subjects, "subjects": list(subjects), "positions": list(positions)}
                self._engine.execute(self._build.sql("purge_rows", table=name), asked)
        if self._engine.execute(self._build.sql("unseen_digests")) != [(0,)]:
            self._engine.execute(self._build.sql("purge_digests"))
        return len(left)

    def purging(self) -> bool:
        """Whether the server is at it still."""
        tables = tuple(self._build.tables.values())
        return self._engine.execute(self._build.sql("purging"), {"tables": tables}) != [(0,)]

    def standing(self, subjects: Collection[str], position: int, recorded_at: int) -> Rows:
        """Every row of these subjects as it stands, of entries those that the customer may see, and which are gone of
        those who were erased."""
        rows = Rows(position, recorded_at)
        erased = self._erased_in(part_of(position))  # asked, for others may write the part meanwhile

        def seen(name: str, **asked: Any) -> Iterator[tuple[Any, ...]]:
            found = self._rows_held(name, subjects, **asked)
            return (row[:-1] for row in found if row[-1] >= erased.get(row[0], 0))

        rows.ledger = {(row[0], row[1]): _counts(*row[2:]) for row in seen("held_ledger", since=-(2**31))}
        rows.registers = {row[:3]: _register(*row[3:]) for row in seen("held_registers")}
        rows.claims = {_claim_key(row): _claim(row) for row in seen("held_claims")}
        rows.identifiers = {row[:2]: _identifier(*row[2:]) for row in seen("held_identifiers")}
        rows.messages = [message_of(row) for row in seen("held_messages")]
        rows.contacts = [contact_of(row) for row in seen("held_contacts")]
        rows.entries = [(key, subject, *more, True, body) for subject, key, *more, body in seen("held_shown")]
        rows.erased = [subject for subject in subjects if subject in erased]
        rows.gone = self._gone(rows.erased, rows)
        return rows

    def positions_of(self, subjects: Collection[str]) -> list[int]:
        """Of all touchpoints recorded under these subjects, erased ones among them."""
        found = (
            self._engine.execute(self._build.sql("read_positions_of"), {"subjects": tuple(some)})
            for some in _runs(list(subjects), ASKED_AT_ONCE)
        )
        return [position for rows in found for (position,) in rows]

    def first_positions(self, keys: Sequence[str], part: int) -> dict[str, tuple[int, str]]:
        """Of these keys those that were written in this part of the journal: where first, and the digest that came with
        it, "" where it is unknown. Positions of different parts say nothing of one another, and a retry is in the part
        of the first: its identifiers are the same."""
        with self._guard:
            known = self._part(part)
            if known.filter is None or known.filter.crowded:
                known.filter = self._filter(part)
            asked = known.filter.perhaps(keys)
        statement = self._build.sql("first_positions")
        found = (
            self._engine.execute(statement, {"part": part, "keys": tuple(some)})
            for some in _runs(asked, ASKED_AT_ONCE)
        )
        return {key: (position, digest) for rows in found for key, position, digest in rows}

    def forget(self, part: int) -> None:
        """The part is somebody else's: what is known of it will be old when it comes back."""
        with self._guard:
            self._parts.pop(part, None)
        for subject in [subject for subject, held in self._held.items() if held.part == part]:
            self._drop(subject)

    # What is held

    def _part(self, part: int) -> _Part:
        known = self._parts.get(part)
        if known is None:
            known = self._parts.setdefault(part, _Part(self._erased_in(part)))
        return known

    def _erased_in(self, part: int) -> dict[str, int]:
        return dict(self._engine.execute(self._build.sql("erased_in_part"), {"part": part}))

    def _filter(self, part: int) -> KeyFilter:
        ((count,),) = self._engine.execute(self._build.sql("count_keys"), {"part": part})
        made = KeyFilter(count, self._filter_bytes)
        if count:
            asked = {"part": part, "mask": made.mask}
            made.fill(self._engine.stream(self._build.sql("filter_keys"), asked))
        return made

    def _remember_keys(self, part: int, keys: Sequence[str]) -> None:
        with self._guard:
            known = self._parts.get(part)
            if known is not None and known.filter is not None:
                known.filter.add(keys)

    def _look_up(self, new: Mapping[str, Held]) -> None:
        for subject, id, *row, version in self._rows_held("held_identifiers", new):
            held = new[subject]
            if version >= held.erased:
                held.identifiers[id] = version, _identifier(*row)
        for held in new.values():
            if not held.identifiers:  # they are written before anything else
                held.know_nothing_is_stored()

    def _look_up_more(self, stretches: Sequence[Stretch], touched: Mapping[str, Held]) -> None:
        """Of those who are known already what these stretches touch beyond that."""
        self._look_up_days(_days_missing(stretches, touched), touched)
        names = {key[0] for stretch in stretches for key in stretch.changes.registers}
        for subject in (missing := [one for one in names if touched[one].registers is None]):
            touched[subject].registers = {}
        for subject, kind, key, *row, version in self._rows_held("held_registers", missing):
            held = touched[subject]
            if version >= held.erased and held.registers is not None:
                held.registers[kind, key] = version, _register(*row)
        names = {key[0] for stretch in stretches for key in stretch.changes.claims}
        for subject in (missing := [one for one in names if touched[one].claims is None]):
            touched[subject].claims = {}
        for claim in self._rows_held("held_claims", missing):
            held, version = touched[claim[0]], claim[-1]
            if version >= held.erased and held.claims is not None:
                held.claims[_claim_key(claim)[1:]] = version, _claim(claim)

    def _look_up_days(self, missing: Mapping[str, int], touched: Mapping[str, Held]) -> None:
        if not missing:
            return
        recent = max(missing.values()) - RECENT_DAYS
        for late in (False, True):
            subjects = [subject for subject, day in missing.items() if (day < recent) is late]
            since = min((missing[subject] for subject in subjects), default=0)
            for subject, day, signals, counts, totals, version in self._rows_held(
                "held_ledger", subjects, since=since
            ):
                held = touched[subject]
                if version >= held.erased and day < held.since:
                    held.days[day] = version, _counts(signals, counts, totals)
            for subject in subjects:
                touched[subject].since = since

    def _rows_held(self, name: str, subjects: Collection[str], **asked: Any) -> Iterator[tuple[Any, ...]]:
        statement = self._build.sql(name)
        for some in _runs(list(subjects), ASKED_AT_ONCE):
            yield from self._engine.execute(statement, {"subjects": tuple(some), **asked})

    @contextmanager
    def _touching(self, parts: Mapping[str, int]) -> Iterator[dict[str, Held]]:
        """All these subjects, each in his part, while they are written. Whatever fails meanwhile: nobody knows how
        their rows stand by then, so they are looked up anew."""
        cache = self._held
        touched = {subject: cache.pop(subject) for subject in parts if subject in cache}
        self._rows -= sum(held.rows for held in touched.values())
        new = {
            subject: Held(part, self._part(part).erased.get(subject, 0))
            for subject, part in parts.items()
            if subject not in touched
        }
        self.hits += len(touched)
        self.misses += len(new)
        self._look_up(new)
        touched |= new
        yield touched
        cache |= touched
        self._rows += sum(held.rows for held in touched.values())
        while self._rows > self._cached_rows and cache:
            self._rows -= cache.popitem(last=False)[1].rows

    def _drop(self, subject: str) -> None:
        if (held := self._held.pop(subject, None)) is not None:
            self._rows -= held.rows

    # Writing

    def _added(self, adding: Adding, stretch: Stretch) -> Rows:
        rows = adding.add(stretch)
        erased = self._part(part_of(stretch.position)).erased
        entries = stretch.changes.entries
        rows.entries = (
            [entry for entry in entries if entry[4] > erased.get(entry[1], 0)] if erased else entries
        )
        return rows

    def _insert(self, table: str, columns: Columns) -> None:
        if len(next(iter(columns.values()))):
            self._engine.insert(self._build.tables[table], columns)

    def _write_whole(self, rows: Rows) -> None:
        """All of these rows, at their position, whatever is stored."""
        at = rows.position
        identifiers = {name: (at, row) for name, row in rows.identifiers.items()}
        claims = {(key[0], key[1:]): (at, row) for key, row in rows.claims.items()}
        self._insert("identifiers", _identifier_columns(identifiers))
        self._insert("ledger", _ledger_columns({name: (at, row) for name, row in rows.ledger.items()}))
        self._insert(
            "registers", _register_columns({name: (at, row) for name, row in rows.registers.items()})
        )
        self._insert("claims", _claim_columns(claims))
        self._insert("thread_messages", _message_columns([rows]))
        self._insert("contacts", _contact_columns([rows]))
        self._insert("entries", _entry_columns([rows]))
        self._insert("keys", _keys_without_digests(rows))

    def _gone(self, members: Sequence[str], again: Rows) -> Gone:
        """What is stored of them before this position, but what is again."""
        if not members:
            return Gone()

        def names(table: str, kept: Collection[Any]) -> list[Any]:
            asked = {"subjects": tuple(members), "position": again.position}
            return [
                row
                for row in self._engine.execute(self._build.sql(f"gone_{table}"), asked)
                if row not in kept
            ]

        claims = {_claim_key(row) for row in names("claims", ())}
        return Gone(
            ledger=names("ledger", again.ledger),
            registers=names("registers", again.registers),
            messages=names(
                "messages", {(one.subject, one.thread, one.occurred_at, one.key) for one in again.messages}
            ),
            contacts=names("contacts", {(one.subject, one.occurred_at, one.key) for one in again.contacts}),
            heads=names("heads", {(entry[1], entry[2], entry[0]) for entry in again.entries if entry[-2]}),
            claims=sorted(claims - again.claims.keys()),
            identifiers=names("identifiers", again.identifiers),
        )


def _parts_of_subjects(stretches: Sequence[Stretch]) -> dict[str, int]:
    """Of all whom the stretches touch."""
    parts: dict[str, int] = {}
    for changes, _, position, *_ in stretches:
        part = part_of(position)
        parts |= dict.fromkeys(changes.ledgers, part)
        parts |= {name[0]: part for name in changes.identifiers}
        parts |= {name[0]: part for name in changes.registers}
        parts |= {name[0]: part for name in changes.claims}
        parts |= {message.subject: part for message in changes.messages}
        parts |= {contact.subject: part for contact in changes.contacts}
    return parts


def _days_missing(stretches: Sequence[Stretch], touched: Mapping[str, Held]) -> dict[str, int]:
    """Of those whose days are not all known the first that is needed."""
    missing: dict[str, int] = {}
    for stretch in stretches:
        for subject, ledger in stretch.changes.ledgers.items():
            since = touched[subject].since
            if since != ALWAYS and (first := min(day for _, day in ledger)) < since:
                missing[subject] = min(first, missing.get(subject, first))
    return missing


def _runs(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _rows_of(changes: Changes, position: int, recorded_at: int) -> Rows:
    """Changes that are all there is."""
    rows = Rows(
        position, recorded_at, entries=changes.entries, messages=changes.messages, contacts=changes.contacts
    )
    for subject, ledger in changes.ledgers.items():
        for (signal, day), counted in ledger.items():
            rows.ledger.setdefault((subject, day), {})[signal] = counted
    rows.registers, rows.claims, rows.identifiers = changes.registers, changes.claims, changes.identifiers
    return rows


# From what is stored


def _counts(signals: Iterable[str], counts: Iterable[int], totals: Iterable[int]) -> Counts:
    return dict(zip(signals, zip(counts, totals, strict=True), strict=True))


def _register(value: str, occurred_at: int, touchpoint: str) -> RegisterRow:
    return RegisterRow(json.loads(value), (occurred_at, touchpoint))


def _identifier(
    type: str, value: str, first: int, last: int, touchpoints: int, changed: int
) -> IdentifierRow:
    return IdentifierRow(Identifier(type, value), first, last, touchpoints, changed)


def message_of(row: Sequence[Any]) -> ThreadMessage:
    *header, public, channel, agent, team, purpose, closes = row
    return ThreadMessage(*(*header, bool(public), channel, agent, team, purpose, bool(closes)))


def contact_of(row: Sequence[Any]) -> ContactRow:
    *header, tags, campaign, counts, until = row
    counted = None if counts is None else bool(counts)
    return ContactRow(*(*header, tuple(json.loads(tags)), campaign, counted, until))


def _claim_key(row: Sequence[Any]) -> tuple[str, str, str, int, bool, str]:
    return row[0], row[1], row[2], row[3], bool(row[4]), row[5]


def _claim(row: Sequence[Any]) -> ClaimRow:
    lesser, greater = Identifier(*row[6:8]), Identifier(*row[8:10])
    return ClaimRow(Claim(lesser, greater, row[3], bool(row[4]), *row[10:13]), row[13], row[14])


# To columns, as a block of the native protocol holds them


def _identifier_columns(rows: Mapping[tuple[str, str], tuple[int, IdentifierRow]]) -> Columns:
    values = [row for _, row in rows.values()]
    return {
        "subject": [name[0] for name in rows],
        "id": [name[1] for name in rows],
        "type": [row.identifier.type for row in values],
        "value": [row.identifier.value for row in values],
        "first_seen": [row.first_seen for row in values],
        "last_seen": [row.last_seen for row in values],
        "touchpoints": [row.touchpoints for row in values],
        "changed": [row.changed for row in values],
        "version": [version for version, _ in rows.values()],
    }


def _ledger_columns(days: Mapping[tuple[str, int], tuple[int, Counts]]) -> Columns:
    counted = [tuple(zip(*counts.values(), strict=True)) for _, counts in days.values()]
    return {
        "subject": [name[0] for name in days],
        "day": [name[1] for name in days],
        "signals": [list(counts) for _, counts in days.values()],
        "counts": [both[0] for both in counted],
        "totals": [both[1] for both in counted],
        "version": [version for version, _ in days.values()],
    }


def _register_columns(rows: Mapping[tuple[str, str, str], tuple[int, RegisterRow]]) -> Columns:
    values = [row for _, row in rows.values()]
    return {
        "subject": [name[0] for name in rows],
        "kind": [name[1] for name in rows],
        "key": [name[2] for name in rows],
        "value": [_value_json.encode(row.value) for row in values],
        "occurred_at": [row.stamp[0] for row in values],
        "touchpoint": [row.stamp[1] for row in values],
        "version": [version for version, _ in rows.values()],
    }


def _claim_columns(rows: Mapping[tuple[str, Any], tuple[int, ClaimRow]]) -> Columns:
    names = ("subject", "lesser", "greater", "strength", "apart", "own", "lesser_type", "lesser_value")
    more = (
        "greater_type",
        "greater_value",
        "occurred_at",
        "touchpoint",
        "source",
        "times",
        "last_at",
        "version",
    )
    return _transposed((*names, *more), [
        (subject, *name, *first.lesser, *first.greater, first.occurred_at, first.touchpoint, first.source,
         row.times, row.last_at, version)
        for (subject, name), (version, row) in rows.items()
        for first in (row.first,)
    ])  # fmt: skip


def _message_columns(written: Sequence[Rows]) -> Columns:
    names = (
        *("subject", "thread", "occurred_at", "key", "role", "public", "channel"),
        *("agent", "team", "purpose", "closes", "version"),
    )
    return _transposed(names, [
        (one.subject, one.thread, one.occurred_at, one.key, one.role, one.public, one.channel,
         one.agent, one.team, one.purpose, one.closes, rows.position)
        for rows in written
        for one in rows.messages
    ])  # fmt: skip


def _contact_columns(written: Sequence[Rows]) -> Columns:
    names = (
        *("subject", "occurred_at", "key", "kind", "reservation", "channel", "purpose"),
        *("tags", "campaign", "counts", "until", "version"),
    )
    return _transposed(names, [
        (one.subject, one.occurred_at, one.key, one.kind, one.reservation, one.channel, one.purpose,
         tags_text(one.tags), one.campaign, one.counts, one.until, rows.position)
        for rows in written
        for one in rows.contacts
    ])  # fmt: skip


ENTRY_COLUMNS = (
    *("key", "subject", "occurred_at", "recorded_at", "position", "type", "family", "channel", "source"),
    *("direction", "thread", "for_customer", "body"),
)


def _entry_columns(written: Sequence[Rows]) -> Columns:
    entries = list(chain.from_iterable(rows.entries for rows in written))
    columns = _transposed(ENTRY_COLUMNS, entries)
    versions = (([rows.position] * len(rows.entries)) for rows in written)
    columns["version"] = list(chain.from_iterable(versions))
    return columns


def _key_columns(written: Sequence[Rows], stretches: Sequence[Stretch]) -> Columns:
    said = [
        (part_of(rows.position), entry[0], entry[4], stretch.digests.get(entry[0], ""))
        for rows, stretch in zip(written, stretches, strict=True)
        for entry in rows.entries
    ]
    return _transposed(("part", "key", "position", "digest"), said)


def _keys_without_digests(rows: Rows) -> Columns:
    """A digest of what was erased could still prove a guess."""
    said = [(part_of(rows.position), entry[0], entry[4], "") for entry in rows.entries]
    return _transposed(("part", "key", "position", "digest"), said)


def _position_columns(written: Sequence[Rows]) -> Columns:
    last = {part_of(rows.position): rows for rows in written}
    return {
        "part": list(last),
        "position": [rows.position for rows in last.values()],
        "recorded_at": [rows.recorded_at for rows in last.values()],
    }


def _transposed(names: Sequence[str], rows: Sequence[Sequence[Any]] | Sequence[EntryRow]) -> Columns:
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else ([] for _ in names)
    return dict(zip(names, columns, strict=True))
