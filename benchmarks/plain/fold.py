"""The fold and the rebuild without what was done for their speed: the baseline that they are measured against, and what
the tests hold them to. The journal and the tables are the same; all between them is as it reads most easily."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from touchbook.errors import KeyDestroyed
from touchbook.identity import SHARED_BEYOND, claims_of, is_blocked
from touchbook.ledger import day_of
from touchbook.projections.changes import ClaimKey, ClaimRow, IdentifierRow, RegisterRow, claim_key
from touchbook.projections.finding import NAME_TRAITS, SHORTEST_PART, words_of
from touchbook.projections.fold import consents_of
from touchbook.projections.stores.sqlite import build, sql
from touchbook.registers import ThreadMessage, open_requests
from touchbook.schemas.catalogue import Reading
from touchbook.schemas.details import VIA
from touchbook.schemas.touchpoint import UNREAD_TRAITS, Claim, Identifier, Record, Touchpoint
from touchbook.streams.keyring import Keyring
from touchbook.timeline import Entry
from touchbook.wiring import Book

BATCH = 5_000
Stamp = tuple[int, str]


def plain_spelled(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def plain_opened(record: Record, keyring: Keyring) -> Touchpoint:
    opener = AESGCM(keyring.key(record.key_id))
    body = opener.decrypt(record.body[:12], record.body[12:], record.key.encode())
    return plain_decoded(body, record)


def plain_decoded(body: bytes, record: Record) -> Touchpoint:
    said = json.loads(body.decode("utf-8", "surrogatepass"))
    return Touchpoint(
        key=record.key,
        id=said["id"],
        source=record.source,
        type=record.type,
        version=record.version,
        channel=record.channel,
        subject=Identifier(*said["subject"]),
        identifiers=tuple(Identifier(*identifier) for identifier in said["identifiers"]),
        occurred_at=record.occurred_at,
        received_at=said["received_at"],
        data=said["data"],
        digest=said["digest"],
        strength=said["strength"],
        said_at=said["said_at"],
        sent_at=said["sent_at"],
        recorded_at=record.recorded_at,
        extra=said["extra"],
    )


@dataclass
class PlainChanges:
    entries: list[Entry] = field(default_factory=list)
    ledger: dict[tuple[str, str, int], tuple[int, int]] = field(default_factory=dict)
    registers: dict[tuple[str, str, str], RegisterRow] = field(default_factory=dict)
    messages: list[tuple[Any, ...]] = field(default_factory=list)
    contacts: list[tuple[Any, ...]] = field(default_factory=list)
    claims: dict[ClaimKey, ClaimRow] = field(default_factory=dict)
    identifiers: dict[tuple[str, str], IdentifierRow] = field(default_factory=dict)

    def count(self, subject: str, signal: str, occurred_at: int, total: int) -> None:
        row = (subject, signal, day_of(occurred_at))
        counted, so_far = self.ledger.get(row, (0, 0))
        self.ledger[row] = (counted + 1, so_far + total)

    def register(self, subject: str, kind: str, key: str, value: Any, stamp: Stamp) -> None:
        known = self.registers.get((subject, kind, key))
        if known is None or known.stamp < stamp:
            self.registers[subject, kind, key] = RegisterRow(value, stamp)

    def claim(self, subject: str, lesser: str, greater: str, claim: Claim) -> None:
        key = claim_key(subject, lesser, greater, claim)
        known = self.claims.setdefault(key, ClaimRow(claim, 0, claim.occurred_at))
        known.times += 1
        known.last_at = max(known.last_at, claim.occurred_at)
        known.first = min(known.first, claim, key=lambda one: (one.occurred_at, one.touchpoint))

    def see(
        self, subject: str, id: str, identifier: Identifier, at: int, recorded: int, position: int
    ) -> None:
        known = self.identifiers.setdefault((subject, id), IdentifierRow(identifier, at, at, 0, position))
        known.first_seen = min(known.first_seen, at)
        known.last_seen = max(known.last_seen, at)
        known.touchpoints += recorded
        known.changed = max(known.changed, position)


def plain_fold(records: Iterable[Record], book: Book) -> PlainChanges:
    """Of records that can be folded or whose key is gone."""
    changes = PlainChanges()
    id_of = cache(book.journal.id_of)
    for record in records:
        try:
            plain_fold_touchpoint(changes, record, plain_opened(record, book.keyring), book, id_of)
        except KeyDestroyed:
            changes.entries.append(_erased(record))
    return changes


def plain_fold_touchpoint(
    changes: PlainChanges,
    record: Record,
    touchpoint: Touchpoint,
    book: Book,
    id_of: Callable[[Identifier], str],
) -> None:
    reading = book.catalogue.read_lenient(touchpoint.type, touchpoint.version, touchpoint.data)
    details = reading.details
    signals = _signals_of(reading, touchpoint.channel)
    subject, at, position = record.subject, touchpoint.occurred_at, record.position
    changes.entries.append(_entry(record, touchpoint, reading, signals))
    for name, total in signals.items():
        changes.count(subject, name, at, total)
    for kind, key, value in (*details.registers(), *consents_of(touchpoint)):
        changes.register(subject, kind, key, value, (at, record.key))
    message = details.message()
    if message is not None and details.thread is not None:
        ours = details.actor if message.role != "customer" else None
        changes.messages.append((
            subject, details.thread, at, record.key, message.role, message.public, touchpoint.channel,
            ours and ours.name, ours and ours.team, details.purpose, message.closes,
        ))  # fmt: skip
    if (contact := details.contact()) is not None:
        tags = json.dumps(contact.tags, ensure_ascii=False)
        changes.contacts.append((
            subject, at, record.key, contact.kind, contact.reservation, contact.channel or touchpoint.channel,
            contact.purpose, tags, contact.campaign, contact.counts, contact.until,
        ))  # fmt: skip
    claims = claims_of(touchpoint)
    changes.see(subject, subject, touchpoint.subject, at, 1, position)
    others = {*touchpoint.identifiers, *(side for one in claims for side in (one.lesser, one.greater))}
    for other in others - {touchpoint.subject}:
        changes.see(subject, id_of(other), other, at, 0, position)
    for claim in claims:
        changes.claim(subject, id_of(claim.lesser), id_of(claim.greater), claim)


def _signals_of(reading: Reading, channel: str) -> dict[str, int]:
    signals: dict[str, int] = {}
    for name, total in (*reading.details.signals(), *reading.extra_signals):
        signals[name] = signals.get(name, 0) + total
    if reading.own_signal is not None:
        signals.setdefault(reading.own_signal, 0)
    if reading.details.taken_direction() == "in":
        signals[VIA + channel] = 0
    return signals


def _entry(record: Record, touchpoint: Touchpoint, reading: Reading, signals: dict[str, int]) -> Entry:
    details = reading.details
    fields = details.model_dump(mode="json", exclude_none=True)
    said = touchpoint.data
    shown = {
        name: value
        for name, value in fields.items()
        if (type(said.get(name)), said.get(name)) != (type(value), value)
    }
    actor = details.actor and {"kind": details.actor.kind, "name": details.actor.name}
    unread = (f"{kind}_unreadable" for kind in touchpoint.extra.get(UNREAD_TRAITS, ()))
    marks = sorted({*details.marks(), *unread})
    always = {"id": touchpoint.id, "data": touchpoint.data, "signals": list(signals.items())}
    sometimes = {"shown": shown, "actor": actor, "marks": marks}
    return Entry(
        key=record.key,
        subject=record.subject,
        occurred_at=touchpoint.occurred_at,
        recorded_at=record.recorded_at,
        position=record.position,
        type=reading.type,
        family=reading.family,
        channel=touchpoint.channel,
        source=touchpoint.source,
        direction=details.taken_direction(),
        thread=details.thread,
        for_customer=details.shown_to_customer(),
        body=always | {name: value for name, value in sometimes.items() if value},
    )


def _erased(record: Record) -> Entry:
    header = (record.key, record.subject, record.occurred_at, record.recorded_at, record.position)
    return Entry(
        *header,
        "erased",
        "account",
        record.channel,
        record.source,
        "internal",
        None,
        for_customer=False,
        body={},
    )


def plain_write(db: sqlite3.Connection, changes: PlainChanges, position: int) -> None:
    """A row in each statement, a statement for each question, a transaction for each batch."""
    db.execute("BEGIN")
    entries = sorted(changes.entries, key=lambda one: (one.subject, one.occurred_at, one.key))
    db.executemany(sql("write_entry"), ((*one[:-1], plain_spelled(one.body)) for one in entries))
    db.executemany(sql("write_ledger"), sorted((*row, *counted) for row, counted in changes.ledger.items()))
    registers = sorted((*name, json.dumps(row.value, ensure_ascii=False, sort_keys=True), *row.stamp)
                       for name, row in changes.registers.items())  # fmt: skip
    db.executemany(sql("write_register"), registers)
    db.executemany(sql("write_message"), sorted(changes.messages, key=lambda row: row[:4]))
    db.executemany(sql("write_contact"), sorted(changes.contacts, key=lambda row: row[:3]))
    db.executemany(
        sql("write_identifier"),
        (
            (id, *row.identifier, row.first_seen, row.last_seen, row.touchpoints, row.changed, id, 0,
             is_blocked(row.identifier))
            for (_, id), row in sorted(changes.identifiers.items())
        ),
    )  # fmt: skip
    _write_claims(db, changes)
    db.execute("UPDATE positions SET position = ? WHERE name = 'folded'", (position,))
    db.execute("COMMIT")


def _write_claims(db: sqlite3.Connection, changes: PlainChanges) -> None:
    claims = sorted((*key[1:], row.first.occurred_at, row.first.touchpoint, row.first.source, row.times, row.last_at)
                    for key, row in changes.claims.items())  # fmt: skip
    db.executemany(sql("write_claim"), claims)
    pairs = sorted({key[1:3] for key in changes.claims if not key[4]})
    for side in sorted({side for pair in pairs for side in pair}):
        asked = {"id": side, "enough": SHARED_BEYOND + 1}
        if db.execute(sql("user_ids_claiming"), asked).fetchone()[0] > SHARED_BEYOND:
            db.execute("UPDATE identifiers SET shared = 1 WHERE id = ?", (side,))
    for pair in pairs:
        open_group = "SELECT grp FROM identifiers WHERE id = ? AND NOT (shared OR blocked)"
        groups = [db.execute(open_group, (side,)).fetchone() for side in pair]
        if None not in groups and groups[0] != groups[1]:
            kept, joined = sorted(group for (group,) in groups)
            db.execute("UPDATE identifiers SET grp = ? WHERE grp = ?", (kept, joined))


def plain_derive(db: sqlite3.Connection) -> None:
    """What follows from rows that are there, once they all are."""
    names = db.execute("SELECT subject, key, value FROM registers WHERE kind = 'trait'").fetchall()
    for subject, key, value in names:
        if key in NAME_TRAITS:
            words = words_of(json.loads(value))
            db.executemany(sql("write_term"), ((subject, key, term) for term in words))
            ends = {word[at:] for word in words for at in range(1, len(word) - SHORTEST_PART + 1)}
            db.executemany(
                "INSERT OR IGNORE INTO search_ends VALUES (?, ?)", ((end, subject) for end in ends)
            )
    subjects = db.execute("SELECT DISTINCT subject FROM thread_messages ORDER BY subject").fetchall()
    for (subject,) in subjects:
        rows = db.execute("SELECT * FROM thread_messages WHERE subject = ?", (subject,))
        for one in open_requests(ThreadMessage(*row) for row in rows):
            waits = (subject, one.thread, one.since, one.touchpoint)
            db.execute("INSERT INTO unanswered VALUES (?, ?, ?, ?)", waits)


def plain_rebuild(directory: Path, book: Book, batch: int = BATCH) -> Path:
    """A build beside what serves, made of the whole journal, that nobody is told of."""
    path = build(directory, book.version)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA cache_size = -65536")
    position = 0
    while records := book.journal.read(position, batch):
        position = records[-1].position
        plain_write(db, plain_fold(records, book), position)
    plain_derive(db)
    db.execute("ANALYZE")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return path
