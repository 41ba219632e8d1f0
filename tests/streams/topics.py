"""The worker's surroundings without servers: a journal of parts, a store that keeps to the rules, compacted topics."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, NamedTuple

from tests.books import NOON, SHOP, event
from touchbook.positions import offset_of, part_of, position_in
from touchbook.projections.changes import Changes
from touchbook.projections.compacted import Marker, decode
from touchbook.projections.rows import PartlyWritten, Rows, Stretch
from touchbook.schemas.touchpoint import Record, Touchpoint
from touchbook.sealing import encode_body, encode_erasure, new_key_id, seal
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.backends.kafka_records import headers_of, part_for, record_of
from touchbook.wiring import Book

PARTS = 3


class Kept(NamedTuple):
    """A record of a topic, as Kafka's clients give it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def read(part: int, raw: Any) -> Record:
    return record_of(part, raw.offset, raw.timestamp, raw.key, raw.value, raw.headers)


class TopicJournal:
    """Parts in memory, sealed with a book's keys. What the worker needs of a `Journal`."""

    def __init__(self, book: Book, parts: int = PARTS) -> None:
        self.parts = parts
        self.topic: list[list[Kept]] = [[] for _ in range(parts)]
        self.open, self.id_of = book.journal.open, book.journal.id_of
        self._book = book
        self.heeded = 0

    def tell(self, *events: dict[str, Any], publisher: Publisher = SHOP) -> None:
        """Each becomes a record of its own, repeats too, as on Kafka, where the door cannot know them."""
        for said in events:
            self.keep(self._book.admission.touchpoint_of(Item("cloudevents", said, {}), publisher, NOON))

    def keep(self, touchpoint: Touchpoint) -> None:
        subject = self.id_of(touchpoint.subject)
        (data_key,) = self._book.keyring.data_keys([subject])
        body = seal(encode_body(touchpoint), data_key.key, touchpoint.key.encode())
        self.append(subject, body, touchpoint, data_key.key_id)

    def append(self, subject: str, body: bytes, touchpoint: Touchpoint, key_id: str) -> None:
        headers = headers_of(
            touchpoint.key, touchpoint.source, touchpoint.type, touchpoint.version, touchpoint.channel, key_id,
            touchpoint.occurred_at,
        )  # fmt: skip
        self.raw(part_for(subject, self.parts), subject.encode(), body, headers)

    def raw(
        self, part: int, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> None:
        kept = self.topic[part]
        kept.append(Kept(len(kept), NOON + len(kept), key, value, headers))

    def erase(self, *members: str) -> None:
        """Destroys the members' keys, and says so in the part of each."""
        self._book.keyring.destroy(list(members))
        headers = headers_of(new_key_id(), "touchbook", "customer_erased", 1, "unknown", "", NOON)
        for member in members:
            self.raw(part_for(member, self.parts), member.encode(), encode_erasure(list(members)), headers)

    def heed_erasures(self) -> None:
        self.heeded += 1
        self._book.journal.heed_erasures()

    def read(self, after: int = 0, limit: int = 1000, part: int = 0) -> list[Record]:
        start = offset_of(after) + 1 if after else 0
        return [read(part, one) for one in self.topic[part][start : start + limit]]


class MemoryStore:
    """A `worker.Store` in dicts, as plain as the rule: a stretch adds all it has to rows that stand before it, leaves
    those alone that stand at its end or beyond, and does not touch one that stands within it."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.ledger: dict[Any, tuple[int, dict[str, tuple[int, int]]]] = {}
        self.registers: dict[Any, tuple[int, Any]] = {}
        self.messages: dict[Any, tuple[int, Any]] = {}
        self.contacts: dict[Any, tuple[int, Any]] = {}
        self.claims: dict[Any, tuple[int, Any]] = {}
        self.identifiers: dict[Any, tuple[int, Any]] = {}
        self.keys: dict[tuple[int, str], tuple[int, str]] = {}
        self.purged = 0
        self.forgotten: list[int] = []
        self.writes = 0
        self.failing: Callable[[], None] = lambda: None

    def content(self) -> dict[str, Any]:
        """All of it, but for positions."""
        return {
            "entries": {key: row[:3] + row[5:] for key, row in self.entries.items()},
            "ledger": {key: rows for key, (_, rows) in self.ledger.items()},
            "registers": {key: row for key, (_, row) in self.registers.items()},
            "messages": {key: row for key, (_, row) in self.messages.items()},
            "contacts": {key: row for key, (_, row) in self.contacts.items()},
            "claims": {key: row for key, (_, row) in self.claims.items()},
            "identifiers": {key: replace(row, changed=0) for key, (_, row) in self.identifiers.items()},
        }

    def write(self, stretches: Sequence[Stretch]) -> list[Rows]:
        self.failing()
        self.writes += 1
        for stretch in stretches:
            for position in self._positions(stretch.changes):
                if stretch.after < position < stretch.position and part_of(position) == part_of(
                    stretch.position
                ):
                    raise PartlyWritten(position)
        return [self._write(stretch) for stretch in stretches]

    def _positions(self, changes: Changes) -> Iterable[int]:
        days = {(subject, day) for subject, ledger in changes.ledgers.items() for _, day in ledger}
        messages = [(one.subject, one.thread, one.occurred_at, one.key) for one in changes.messages]
        for table, touched in (
            (self.ledger, days), (self.registers, changes.registers), (self.messages, messages),
            (self.claims, changes.claims), (self.identifiers, changes.identifiers),
        ):  # fmt: skip
            yield from (table[key][0] for key in touched if key in table)

    def _write(self, stretch: Stretch) -> Rows:
        changes, after, position, recorded_at, digests = stretch
        rows = Rows(position, recorded_at, entries=list(changes.entries))
        for row in changes.entries:
            self.entries[row[0]] = row
        for key, digest in digests.items():
            at = next(row[4] for row in changes.entries if row[0] == key)
            name = part_of(position), key
            self.keys[name] = min(self.keys.get(name, (at, digest)), (at, digest))
        for subject, ledger in changes.ledgers.items():
            for day in {day for _, day in ledger}:
                stood, signals = self.ledger.get((subject, day), (0, {}))
                if stood <= after:
                    signals = dict(signals)
                    for (signal, on), (count, total) in ledger.items():
                        if on == day:
                            before = signals.get(signal, (0, 0))
                            signals[signal] = before[0] + count, before[1] + total
                    self.ledger[subject, day] = position, signals
                rows.ledger[subject, day] = self.ledger[subject, day][1]
        for name, register in changes.registers.items():
            stood, known = self.registers.get(name, (0, None))
            if stood <= after and (known is None or known.stamp < register.stamp):
                self.registers[name] = position, register
            rows.registers[name] = self.registers[name][1]
        for message in changes.messages:
            self.messages[message.subject, message.thread, message.occurred_at, message.key] = (
                position,
                message,
            )
            rows.messages.append(message)
        for contact in changes.contacts:
            self.contacts[contact.subject, contact.occurred_at, contact.key] = position, contact
            rows.contacts.append(contact)
        for key, claim in changes.claims.items():
            stood, claimed = self.claims.get(key, (0, None))
            if stood <= after:
                self.claims[key] = position, _claimed(claimed, claim)
            rows.claims[key] = self.claims[key][1]
        for who, seen in changes.identifiers.items():
            stood, was = self.identifiers.get(who, (0, None))
            if stood <= after:
                self.identifiers[who] = position, _seen(was, seen)
            rows.identifiers[who] = self.identifiers[who][1]
        return rows

    def erase(self, members: Collection[str], position: int, recorded_at: int, again: Changes) -> Rows:
        self.failing()
        rows = self.standing(members, position, recorded_at)
        gone = Rows(position, recorded_at, erased=sorted(members))
        gone.gone.ledger = list(rows.ledger)
        gone.gone.registers = list(rows.registers)
        gone.gone.contacts = [key for key in self.contacts if key[0] in members]
        gone.gone.heads = [(row[1], row[2], row[0]) for row in rows.entries]
        gone.gone.claims = list(rows.claims)
        gone.gone.identifiers = list(rows.identifiers)
        tables = self.ledger, self.registers, self.messages, self.contacts, self.claims, self.identifiers
        for table in tables:
            for key in [key for key in table if key[0] in members]:
                del table[key]
        for key in [key for key, row in self.entries.items() if row[1] in members]:
            del self.entries[key]
        return self._erased_and(gone, self._write(Stretch(again, 0, position, recorded_at)))

    @staticmethod
    def _erased_and(gone: Rows, again: Rows) -> Rows:
        again.erased, again.gone = gone.erased, gone.gone
        return again

    def standing(self, subjects: Collection[str], position: int, recorded_at: int) -> Rows:
        rows = Rows(position, recorded_at)
        rows.ledger = {key: row for key, (_, row) in self.ledger.items() if key[0] in subjects}
        rows.registers = {key: row for key, (_, row) in self.registers.items() if key[0] in subjects}
        rows.messages = [row for key, (_, row) in self.messages.items() if key[0] in subjects]
        rows.contacts = [row for key, (_, row) in self.contacts.items() if key[0] in subjects]
        rows.entries = [row for row in self.entries.values() if row[1] in subjects and row[-2]]
        rows.claims = {key: row for key, (_, row) in self.claims.items() if key[0] in subjects}
        rows.identifiers = {key: row for key, (_, row) in self.identifiers.items() if key[0] in subjects}
        return rows

    def positions_of(self, subjects: Collection[str]) -> list[int]:
        return [row[4] for row in self.entries.values() if row[1] in subjects]

    def first_positions(self, keys: Sequence[str], part: int) -> Mapping[str, tuple[int, str]]:
        return {key: self.keys[part, key] for key in keys if (part, key) in self.keys}

    def purge(self) -> None:
        self.purged += 1

    def forget(self, part: int) -> None:
        self.forgotten.append(part)


def _claimed(known: Any, new: Any) -> Any:
    if known is None:
        return copy.copy(new)
    first = min(known.first, new.first, key=lambda claim: (claim.occurred_at, claim.touchpoint))
    return replace(known, first=first, times=known.times + new.times, last_at=max(known.last_at, new.last_at))


def _seen(known: Any, new: Any) -> Any:
    if known is None:
        return copy.copy(new)
    return replace(
        known,
        first_seen=min(known.first_seen, new.first_seen),
        last_seen=max(known.last_seen, new.last_seen),
        touchpoints=known.touchpoints + new.touchpoints,
        changed=max(known.changed, new.changed),
    )


class Topics:
    """A broker in a dict: what a producer writes, and what the ends hold. `kept` is what brokers keep in the end."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, int], list[tuple[bytes, bytes | None]]] = {}

    def send(self, rows: Sequence[Any]) -> Future[list[int]]:
        answer: Future[list[int]] = Future()
        answer.set_result([self.write(row.topic, row.part, row.key, row.value) for row in rows])
        return answer

    def write(self, topic: str, part: int, key: bytes, value: bytes | None) -> int:
        log = self.logs.setdefault((topic, part), [])
        log.append((key, value))
        return len(log) - 1

    def ends(self, places: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        return {place: len(self.logs.get(place, ())) for place in places}

    def read(self, topic: str, part: int, start: int, end: int) -> Sequence[tuple[bytes, bytes | None]]:
        return self.logs.get((topic, part), [])[start:end]

    def kept(self) -> dict[tuple[str, int, bytes], bytes | None]:
        """The last value of every key, as after compaction."""
        return {(*place, key): value for place, log in self.logs.items() for key, value in log}

    def rows(self) -> dict[tuple[str, int, bytes], Any]:
        """The same without markers, tombstones and positions."""
        return {
            (topic, part, key): (type(told).__name__, *told[:-1])
            for (topic, part, key), value in self.kept().items()
            if (told := decode(topic, key, value)) is not None and not isinstance(told, Marker)
        }


__all__ = ["PARTS", "Kept", "MemoryStore", "TopicJournal", "Topics", "event", "position_in", "read"]
