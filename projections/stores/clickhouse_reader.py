"""The reading half of projections in ClickHouse. Right under duplicates: of each row the last counts, and none that
stands before the erasure of its subject. Every statement is a look of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from touchbook.contacts import ContactRow
from touchbook.ledger import LedgerRows
from touchbook.projections.changes import IdentifierRow, Stamp, entry_of
from touchbook.projections.stores.clickhouse import Engine
from touchbook.projections.stores.clickhouse_ddl import Build
from touchbook.projections.stores.clickhouse_store import contact_of, message_of
from touchbook.projections.stores.port import Deed, Places
from touchbook.registers import Setting, ThreadMessage, latest
from touchbook.schemas.touchpoint import Identifier
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

FIRST_PAGE, LARGEST_PAGE = 100, 2_000
"""Entries read at once: few first, as most readers look at one page of a timeline, then twice as many each time."""
ASKED_AT_ONCE = 1_000
LAST: Stamp = (2**62, "~")
DIGESTS = ("entries", "ledger", "registers", "claims")
COUNTED = ("entries", "ledger", "registers", "thread_messages", "contacts", "claims", "identifiers")
WANTED: Mapping[str, str] = {
    "channels": "channel IN %(channels)s",
    "families": "family IN %(families)s",
    "types": "type IN %(types)s",
    "thread": "thread = %(thread)s",
    "direction": "direction = %(direction)s",
    "from_at": "occurred_at >= %(from_at)s",
    "to_at": "occurred_at < %(to_at)s",
}
AFTER_ERASURES = "version >= transform(subject, %(erased)s, %(erased_at)s, toUInt64(0))"
_row_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class ClickHouseReader:
    """Reads one build. For any number of threads."""

    def __init__(self, engine: Engine, build: str) -> None:
        self._engine = engine
        self._build = Build(build)

    def positions(self) -> dict[int, tuple[int, int]]:
        """Part → how far it was written, and when the last of that was recorded."""
        return {
            part: (position, at) for part, position, at in self._engine.execute(self._sql("read_positions"))
        }

    def entries(
        self,
        subjects: Sequence[str],
        filters: TimelineFilters,
        before: Stamp | None,
        *,
        up_to: Places | None = None,
    ) -> Iterator[Entry]:
        """See `Reader.entries`; page by page, as they are taken. Of entries beyond `up_to`, or of a part that is not
        in it, there are none."""
        wanted, asked = _wanted(filters, up_to)
        at, key = before or LAST
        limit = FIRST_PAGE
        while subjects:
            place = {"before_at": at, "before_key": key, "limit": limit}
            page = self._seen("read_entries", subjects, {**asked, **place}, wanted=wanted)
            yield from map(_entry, page)
            if len(page) < limit:
                return
            key, at = page[-1][0], page[-1][2]
            limit = min(2 * limit, LARGEST_PAGE)

    def entries_above(
        self,
        subjects: Sequence[str],
        filters: TimelineFilters,
        after: Stamp,
        limit: int,
        *,
        up_to: Places | None = None,
    ) -> list[Entry]:
        """See `Reader.entries_above`."""
        if not subjects:
            return []
        wanted, asked = _wanted(filters, up_to)
        asked |= {"after_at": after[0], "after_key": after[1], "limit": limit}
        return [_entry(row) for row in self._seen("read_entries_above", subjects, asked, wanted=wanted)]

    def count_entries(
        self, subjects: Sequence[str], filters: TimelineFilters, *, up_to: Places | None = None
    ) -> int:
        """See `Reader.count_entries`."""
        if not subjects:
            return 0
        wanted, asked = _wanted(filters, up_to)
        ((number,),) = self._seen("count_entries", subjects, asked, wanted=wanted)
        return int(number)

    def minutes(self, since: int) -> list[tuple[int, str, int]]:
        """See `Reader.minutes`. Looks at two columns of the whole table."""
        return self._engine.execute(self._sql("read_minutes"), {"since": since * 60_000})

    def causes(self, from_at: int, to_at: int) -> list[tuple[str | None, int]]:
        """See `Reader.causes`. The server has no functions for JSON that every version of it understands."""
        asked = {"from_at": from_at, "to_at": to_at, "type": COMPLAINT}
        rows = self._engine.stream(self._sql("read_complaints"), asked)
        return counted_causes((reason_in(json.loads(body)), 1) for (body,) in rows)

    def held_back(self, from_at: int, to_at: int) -> list[tuple[str, str, int]]:
        """See `Reader.held_back`, and `causes`."""
        asked = {"from_at": from_at, "to_at": to_at, "types": HELD_BACK}
        rows = self._engine.stream(self._sql("read_held_back"), asked)
        return counted_reasons(
            (type, reason, 1) for type, body in rows for reason in reasons_in(json.loads(body))
        )

    def entries_since(
        self,
        subjects: Sequence[str],
        filters: TimelineFilters,
        after: Places,
        limit: int,
        *,
        up_to: Places | None = None,
    ) -> list[Entry]:
        """See `Reader.entries_since`; entries of several parts come in order of position."""
        if not subjects or not after:
            return []
        wanted, asked = _wanted(filters, up_to)
        asked |= {"after": _by_part(after), "parts": list(after), "limit": limit}
        return [_entry(row) for row in self._seen("read_entries_since", subjects, asked, wanted=wanted)]

    def deeds(
        self, subjects: Sequence[str], to_at: int, from_at: int = -(2**62), *, up_to: Places | None = None
    ) -> list[Deed]:
        """See `Reader.deeds`."""
        if not subjects:
            return []
        wanted, asked = _wanted(TimelineFilters(from_at=from_at, to_at=to_at), up_to)
        said: dict[str, Mapping[str, int]] = {"": {}}  # thousands of touchpoints count the same few things
        deeds = []
        for at, key, signals in self._seen("read_deeds", subjects, asked, wanted=wanted):
            if signals not in said:
                said[signals] = dict(json.loads(signals))
            deeds.append(Deed(key, at, said[signals]))
        return deeds

    def keys_of(self, subjects: Collection[str]) -> list[str]:
        """See `Reader.keys_of`."""
        return [key for (key,) in self._of("read_keys", subjects)]

    def ledger_rows(self, subjects: Collection[str]) -> list[tuple[str, LedgerRows]]:
        """See `Reader.ledger_rows`; a subject's rows come by signal and day."""
        return [
            (subject, sorted(_counted(rows)))
            for subject, rows in groupby(self._of("read_ledger", subjects), key=itemgetter(0))
        ]

    def registers(self, subjects: Collection[str]) -> list[Setting]:
        """See `Reader.registers`."""
        rows = self._of("read_registers", subjects)
        return latest(
            Setting(kind, key, json.loads(value), at, touchpoint) for kind, key, value, at, touchpoint in rows
        )

    def messages(self, subjects: Collection[str]) -> list[ThreadMessage]:
        """See `Reader.messages`."""
        found = [message_of(row) for row in self._of("read_messages", subjects)]
        return sorted(found, key=lambda one: (one.thread, one.occurred_at, one.key))

    def contacts(self, subjects: Collection[str], since: int) -> list[ContactRow]:
        """See `Reader.contacts`."""
        found = [
            contact_of(row)
            for some in _runs(sorted(set(subjects)))
            for row in self._seen("read_contacts", some, {"since": since})
        ]
        return sorted(found, key=lambda one: (one.occurred_at, one.key))

    def identifiers(self, ids: Collection[str]) -> dict[str, IdentifierRow]:
        """What all touchpoints say of these permanent ids. Looks at the whole table: for tools, not for requests."""
        found: dict[str, IdentifierRow] = {}
        for some in _runs(list(ids)):
            for id, type, value, *seen in self._engine.execute(self._sql("read_identifiers"), {"ids": some}):
                found[id] = IdentifierRow(Identifier(type, value), *seen)
        return found

    def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        """How many rows of each table were recorded under these identifiers and can be seen."""
        return {table: sum(n for (n,) in self._of("count_rows", ids, table)) for table in COUNTED}

    def digest(self) -> dict[str, str]:
        """See `Projections.digest`. Rows come sorted from the server and are gone once they are counted in."""
        return {name: _digest_of(self._digested(name)) for name in DIGESTS}

    def _digested(self, name: str) -> Iterable[Sequence[Any]]:
        rows = self._engine.stream(self._sql(f"digest_{name}"))
        match name:
            case "ledger":
                return _ledger_lines(rows)
            case "registers":
                others = (self._engine.stream(self._sql(f"digest_{one}")) for one in ("messages", "contacts"))
                return merge(rows, *others, key=lambda row: tuple(row[:3]))
            case "claims":
                return _claims_together(rows)
        return rows

    def _of(self, name: str, subjects: Collection[str], table: str = "") -> Iterator[tuple[Any, ...]]:
        """The rows of these subjects, each once."""
        filled = {"table": self._build.tables[table]} if table else {}
        for some in _runs(sorted(set(subjects))):
            yield from self._seen(name, some, {}, **filled)

    def _seen(
        self, name: str, subjects: Sequence[str], asked: Mapping[str, Any], **filled: str
    ) -> list[tuple[Any, ...]]:
        """What a statement answers of the rows that stand after the erasures of their subjects. Hardly ever there is
        one of any, and to ask first takes less than to have every statement look."""
        subjects = tuple(subjects)
        erased = dict(self._engine.execute(self._sql("read_erasures"), {"subjects": subjects}))
        names = {"erased": list(erased), "erased_at": list(erased.values())} if erased else {}
        statement = self._sql(name, visible=AFTER_ERASURES if erased else "1", **filled)
        return self._engine.execute(statement, {**asked, **names, "subjects": subjects})

    def _sql(self, name: str, **filled: str) -> str:
        return self._build.sql(name, **filled)


def _entry(row: tuple[Any, ...]) -> Entry:
    return entry_of((*row[:11], bool(row[11]), row[12]))


def _wanted(filters: TimelineFilters, up_to: Places | None) -> tuple[str, dict[str, Any]]:
    """The conditions that the filters make, and what these ask for."""
    asked = {name: value for name in WANTED if (value := getattr(filters, name)) not in (None, ())}
    conditions = [WANTED[name] for name in asked]
    if not filters.noise:
        conditions.append("type NOT IN %(hidden)s")
        asked["hidden"] = NOISE
    if filters.audience == "customer":
        conditions.append("for_customer")
    if up_to is not None:
        conditions.append("position <= arrayElement(%(up_to)s, toUInt32(bitAnd(position, 1023)) + 1)")
        asked["up_to"] = _by_part(up_to)
    return " AND ".join(conditions) or "1", asked


def _by_part(places: Places) -> list[int]:
    """The position for each part, in order, as an array can be asked: 0 for one without."""
    return [places.get(part, 0) for part in range(max(places, default=0) + 1)]


def _runs(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(names[start : start + ASKED_AT_ONCE]) for start in range(0, len(names), ASKED_AT_ONCE))


def _counted(days: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, int, int, int]]:
    for _, day, signals, counts, totals in days:
        for signal, count, total in zip(signals, counts, totals, strict=True):
            yield signal, day, count, total


def _ledger_lines(days: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """By identifier and then, as SQLite sorts them, by signal and day."""
    for clear, rows in groupby(days, key=itemgetter(0)):
        for row in sorted(_counted(rows)):
            yield clear, *row


def _claims_together(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """What several subjects' touchpoints say of one pair and strength, added up; the first of them is the earliest."""
    for _, same in groupby(rows, key=lambda row: tuple(row[:5])):
        first, *others = same
        times = sum(row[8] for row in chain([first], others))
        yield *first[:8], times, max(row[9] for row in chain([first], others))


def _digest_of(rows: Iterable[Sequence[Any]]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_row_json.encode(row).encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()
