"""Projections of many machines in one process: what a worker writes, told as it is on the topics, taken by a replica.

`Workers` stand for the worker and its store, the plainest way: every row in a dictionary. The real store is held
against the same tests.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from touchbook.positions import part_of
from touchbook.projections.changes import Changes, ClaimRow, EntryRow, IdentifierRow, Stamp, entry_of
from touchbook.projections.compacted import encode, marker
from touchbook.projections.rows import Gone, Rows, Stretch
from touchbook.projections.stores.clickhouse import Engine
from touchbook.projections.stores.clickhouse_reader import ClickHouseReader
from touchbook.projections.stores.clickhouse_store import ClickHouseStore
from touchbook.projections.stores.port import Again, Deed, Places
from touchbook.projections.stores.replica import ReplicaFile, ReplicaProjections, ReplicaReader, Timelines
from touchbook.projections.stores.sqlite import make_serving, serving
from touchbook.timeline import (
    COMPLAINT,
    HELD_BACK,
    NOISE,
    Entry,
    TimelineFilters,
    counted_causes,
    counted_reasons,
    reason_in,
    reasons_in,
)

BUILD = "1-test-0000"


class Record(NamedTuple):
    topic: str
    part: int
    offset: int
    key: bytes
    value: bytes | None


class Store(Protocol):
    """What the worker writes to, and what replicas read timelines from."""

    @property
    def timelines(self) -> Timelines: ...

    def write(self, stretches: Sequence[Stretch]) -> list[Rows]: ...

    def erase(
        self, subjects: Collection[str], position: int, recorded_at: int, placeholders: Changes
    ) -> Rows: ...


@dataclass
class OnClickHouse:
    """The real one, over an engine where the build was made."""

    engine: Engine
    build: str = BUILD

    def __post_init__(self) -> None:
        self.timelines: Timelines = ClickHouseReader(self.engine, self.build)
        store = ClickHouseStore(self.engine, self.build)
        self.write, self.erase = store.write, store.erase


@dataclass
class Workers:
    """Every row in a dictionary."""

    entries_by_key: dict[tuple[str, str], EntryRow] = field(default_factory=dict)
    ledger: dict[tuple[str, int], dict[str, tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    registers: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    messages: dict[tuple[str, str, int, str], Any] = field(default_factory=dict)
    contacts: dict[tuple[str, int, str], Any] = field(default_factory=dict)
    claims: dict[Any, ClaimRow] = field(default_factory=dict)
    identifiers: dict[tuple[str, str], IdentifierRow] = field(default_factory=dict)

    @property
    def timelines(self) -> Timelines:
        return self

    def write(self, stretches: Sequence[Stretch]) -> list[Rows]:
        return [self._added(one.changes, one.position, one.recorded_at) for one in stretches]

    def erase(
        self, subjects: Collection[str], position: int, recorded_at: int, placeholders: Changes
    ) -> Rows:
        gone = Gone(
            ledger=_take(self.ledger, subjects),
            registers=_take(self.registers, subjects),
            messages=_take(self.messages, subjects),
            contacts=_take(self.contacts, subjects),
            claims=_take(self.claims, subjects),
            identifiers=_take(self.identifiers, subjects),
        )
        gone.heads = [
            (one[1], one[2], one[0]) for one in self.entries_by_key.values() if one[1] in subjects and one[-2]
        ]
        _take(self.entries_by_key, subjects)
        rows = self._added(placeholders, position, recorded_at)
        rows.erased, rows.gone = list(subjects), gone
        return rows

    def _added(self, changes: Changes, position: int, recorded_at: int) -> Rows:
        rows = Rows(position, recorded_at, entries=changes.entries, messages=changes.messages)
        rows.contacts = changes.contacts
        for entry in changes.entries:
            self.entries_by_key[entry[1], entry[0]] = entry
        for subject, ledger in changes.ledgers.items():
            for (signal, day), (count, total) in ledger.items():
                known = self.ledger[subject, day].get(signal, (0, 0))
                self.ledger[subject, day][signal] = known[0] + count, known[1] + total
                rows.ledger[subject, day] = dict(self.ledger[subject, day])
        for name, row in changes.registers.items():
            if name not in self.registers or self.registers[name].stamp < row.stamp:
                self.registers[name] = row
            rows.registers[name] = self.registers[name]
        for one in changes.messages:
            self.messages[one.subject, one.thread, one.occurred_at, one.key] = one
        for contact in changes.contacts:
            self.contacts[contact.subject, contact.occurred_at, contact.key] = contact
        for key, claim in changes.claims.items():
            rows.claims[key] = self.claims[key] = _both(self.claims.get(key), claim)
        for name, seen in changes.identifiers.items():
            rows.identifiers[name] = self.identifiers[name] = _seen(self.identifiers.get(name), seen)
        return rows

    def entries(
        self, subjects: Sequence[str], filters: TimelineFilters, before: Stamp | None, *, up_to: Places
    ) -> Iterator[Entry]:
        found = [one for one in self._entries(subjects, up_to) if _passes(one, filters)]
        found = [one for one in found if before is None or (one.occurred_at, one.key) < before]
        return iter(sorted(found, key=lambda one: (one.occurred_at, one.key), reverse=True))

    def entries_above(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Stamp, limit: int, *, up_to: Places
    ) -> list[Entry]:
        found = list(self.entries(subjects, filters, None, up_to=up_to))
        return [one for one in reversed(found) if (one.occurred_at, one.key) > after][:limit]

    def count_entries(self, subjects: Sequence[str], filters: TimelineFilters, *, up_to: Places) -> int:
        return sum(1 for _ in self.entries(subjects, filters, None, up_to=up_to))

    def minutes(self, since: int) -> list[tuple[int, str, int]]:
        counted = Counter(
            (row[3] // 60_000, row[7]) for row in self.entries_by_key.values() if row[8] != "touchbook"
        )
        return sorted((*name, number) for name, number in counted.items() if name[0] >= since)

    def causes(self, from_at: int, to_at: int) -> list[tuple[str | None, int]]:
        complaints = [row for row in self.entries_by_key.values() if row[5] == COMPLAINT]
        said = Counter(reason_in(json.loads(row[-1])) for row in complaints if from_at <= row[2] < to_at)
        return counted_causes(said.items())

    def held_back(self, from_at: int, to_at: int) -> list[tuple[str, str, int]]:
        return counted_reasons(
            (row[5], reason, 1)
            for row in self.entries_by_key.values()
            if row[5] in HELD_BACK and from_at <= row[2] < to_at
            for reason in reasons_in(json.loads(row[-1]))
        )

    def entries_since(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Places, limit: int, *, up_to: Places
    ) -> list[Entry]:
        found = [
            one
            for one in self._entries(subjects, up_to)
            if _passes(one, filters) and one.position > after.get(part_of(one.position), 2**63)
        ]
        return sorted(found, key=lambda one: one.position)[:limit]

    def deeds(
        self, subjects: Sequence[str], to_at: int, from_at: int = -(2**62), *, up_to: Places
    ) -> list[Deed]:
        return [
            Deed(one.key, one.occurred_at, dict(one.body.get("signals", ())))
            for one in self.entries(
                subjects, TimelineFilters(from_at=from_at, to_at=to_at), None, up_to=up_to
            )
        ]

    def keys_of(self, subjects: Collection[str]) -> list[str]:
        return [key for subject, key in self.entries_by_key if subject in subjects]

    def digest(self) -> dict[str, str]:
        clear = {id: ":".join(row.identifier) for (_, id), row in self.identifiers.items()}
        rows = sorted(
            [clear.get(one[1], ""), one[2], one[0], *one[5:11], int(one[11]), one[12]]
            for one in self.entries_by_key.values()
        )
        lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
        return {"entries": hashlib.sha256("".join(lines).encode()).hexdigest()}

    def _entries(self, subjects: Collection[str], up_to: Places) -> Iterator[Entry]:
        entries = (entry_of(row) for (subject, _), row in self.entries_by_key.items() if subject in subjects)
        return (one for one in entries if one.position <= up_to.get(part_of(one.position), 0))


def _take(rows: dict[Any, Any], subjects: Collection[str]) -> list[Any]:
    """Takes away the rows of these subjects and answers their names."""
    names = [name for name in rows if name[0] in subjects]
    for name in names:
        del rows[name]
    return names


def _both(known: ClaimRow | None, new: ClaimRow) -> ClaimRow:
    if known is None:
        return ClaimRow(new.first, new.times, new.last_at)
    first = min(known.first, new.first, key=lambda one: (one.occurred_at, one.touchpoint))
    return ClaimRow(first, known.times + new.times, max(known.last_at, new.last_at))


def _seen(known: IdentifierRow | None, new: IdentifierRow) -> IdentifierRow:
    if known is None:
        return IdentifierRow(new.identifier, new.first_seen, new.last_seen, new.touchpoints, new.changed)
    return IdentifierRow(
        new.identifier,
        min(known.first_seen, new.first_seen),
        max(known.last_seen, new.last_seen),
        known.touchpoints + new.touchpoints,
        max(known.changed, new.changed),
    )


def _passes(entry: Entry, wanted: TimelineFilters) -> bool:
    several = (wanted.channels, entry.channel), (wanted.families, entry.family), (wanted.types, entry.type)
    return (
        all(not names or said in names for names, said in several)
        and (wanted.noise or entry.type not in NOISE)
        and all(getattr(wanted, name) in (None, getattr(entry, name)) for name in ("thread", "direction"))
        and (wanted.from_at is None or entry.occurred_at >= wanted.from_at)
        and (wanted.to_at is None or entry.occurred_at < wanted.to_at)
        and (wanted.audience == "agent" or entry.for_customer)
    )


class Topics:
    """The three topics of a build: what was told, each part in its order."""

    def __init__(self, build: str = BUILD) -> None:
        self.build = build
        self.records: dict[tuple[str, int], list[Record]] = defaultdict(list)

    def tell(self, rows: Rows) -> None:
        """As the worker does: the rows, and then into each topic how far that was."""
        part = part_of(rows.position)
        for kind, told in encode(rows).items():
            for key, value in (*told, marker(rows.position, rows.recorded_at)):
                self.add(f"{kind}.{self.build}", part, key, value)

    def add(self, topic: str, part: int, key: bytes, value: bytes | None) -> None:
        records = self.records[topic, part]
        records.append(Record(topic, part, len(records), key, value))

    def compacted(self) -> list[Record]:
        """What a broker keeps of each part: of every key the last record."""
        return [
            one
            for records in self.records.values()
            for one in sorted({one.key: one for one in records}.values(), key=lambda one: one.offset)
        ]

    def ends(self) -> dict[tuple[str, int], int]:
        return {at: len(records) for at, records in self.records.items()}


class Replica:
    """A replica that takes what it is given."""

    def __init__(self, directory: Path, timelines: Timelines, build: str = BUILD) -> None:
        if serving(directory) is None:
            make_serving(directory, ReplicaFile.fresh(directory, build))
        self.projections = ReplicaProjections(directory, lambda build: timelines)
        self.file = ReplicaFile(self.projections.file)

    def take(self, records: Sequence[Record], offsets: Mapping[tuple[str, int], int] | None = None) -> None:
        reached = {(one.topic, one.part): one.offset + 1 for one in records}
        self.file.apply(records, reached if offsets is None else offsets)

    def restart(self) -> None:
        path = self.projections.file
        self.file.close()
        self.file = ReplicaFile(path)

    def follow(self, topics: Topics) -> None:
        """Everything that it has not taken yet."""
        offsets = self.file.offsets()
        self.take([one for at, told in topics.records.items() for one in told[offsets.get(at, 0) :]])

    def close(self) -> None:
        self.projections.close()
        self.file.close()


class ClusterProjections:
    """Workers, topics and a replica as one store."""

    def __init__(self, directory: Path, store: Store) -> None:
        self._store = store
        self.topics = Topics()
        self.replica = Replica(directory, store.timelines)

    def write(self, changes: Changes, after: int, position: int) -> None:
        for rows in self._store.write([Stretch(changes, after, position, position)]):
            self.topics.tell(rows)
        self.replica.follow(self.topics)

    def erase(self, members: Collection[str], again: Again, after: int, position: int) -> None:
        left = _of_subjects(again(self._store.timelines.keys_of(members)), members)
        self.topics.tell(self._store.erase(members, position, position, left))
        self.replica.follow(self.topics)

    def reading(self) -> AbstractContextManager[ReplicaReader]:
        return self.replica.projections.reading()

    def version(self) -> str:
        return self.replica.projections.version()

    def touched_since(self, position: int, decisions: bool = True) -> tuple[set[str] | None, int]:
        return self.replica.projections.touched_since(position, decisions)

    def digest(self) -> dict[str, str]:
        return self.replica.projections.digest()

    def close(self) -> None:
        self.replica.close()


def _of_subjects(found: Iterable[Changes], subjects: Collection[str]) -> Changes:
    """What the touchpoints of these subjects still say."""
    left = Changes()
    for changes in found:
        mine = changes.about(subjects, ())
        left.entries += mine.entries
        left.messages += mine.messages
        left.contacts += mine.contacts
        left.ledgers.update(mine.ledgers)
        left.registers.update(mine.registers)
        left.claims.update((key, row) for key, row in changes.claims.items() if key[0] in subjects)
        left.identifiers.update((key, row) for key, row in changes.identifiers.items() if key[0] in subjects)
    return left
