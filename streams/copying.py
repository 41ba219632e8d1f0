"""Moving up: the journal of one machine, copied into Kafka record by record.

Every record keeps its key, its times, its sealed body and the data key that opens it, and every identifier its
permanent id; so what is folded from the copy is what was folded from the original. Only positions are others: tokens of
the one journal mean nothing in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from touchbook.errors import CopyElsewhere
from touchbook.schemas.touchpoint import Record
from touchbook.sealing import encode_erasure, erased_in
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_audit import copied as audit_copied
from touchbook.streams.backends.kafka_audit import row_of
from touchbook.streams.backends.kafka_control import ACCESS, COPIED, KafkaControl
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_records import headers_of, part_for
from touchbook.streams.backends.kafka_topics import JOURNAL
from touchbook.streams.backends.sqlite_audit import SqliteAudit
from touchbook.streams.backends.sqlite_control import SqliteControl
from touchbook.streams.backends.sqlite_journal import SqliteJournal
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.receipts import Receipts

BATCH = 2_000
KEYS_AT_ONCE = 5_000
PAGE = 500

Progress = Callable[[int, int], None]
"""Told (copied so far, source's head) after every batch."""


class Source(NamedTuple):
    """The parts of a data directory."""

    keyring: SqliteKeyring
    journal: SqliteJournal
    control: SqliteControl
    receipts: Receipts
    audit: SqliteAudit


class Target(NamedTuple):
    """Where it is copied to: topics that were made with the source's identity key and rules."""

    place: KafkaPlace
    producer: Producer
    keyring: KafkaKeyring
    control: KafkaControl
    parts: int


class Copied(NamedTuple):
    """What one call copied, and where it ended in the source."""

    records: int
    keys: int
    access_keys: int
    set_aside: int
    receipts: int
    audit: int
    position: int


def copy(source: Source, target: Target, progress: Progress = lambda done, head: None) -> Copied:
    """Copies what the target does not have yet, up to the end of the source as it is by then.

    How far it came is kept in the target, so a copy that was cut short goes on where it was; what was under way then
    may be there twice, which the worker tells as duplicates. Repeated, it brings what was recorded in between. Raises
    CopyElsewhere where the target was made for another journal.
    """
    if source.keyring.identity_key.secret != target.keyring.identity_key.secret:
        raise CopyElsewhere(target.place.prefix)
    records, keys, position = _copy_records(source, target, progress)
    _destroy_what_is_gone(source, target)
    return Copied(
        records,
        keys,
        _copy_access(source, target),
        _copy_aside(source, target),
        _copy_receipts(source, target),
        _copy_audit(source, target),
        position,
    )


def _copy_keys(source: Source, target: Target) -> int:
    """Those that were made since; before the records that they open."""
    name = f"{COPIED}-keys:{source.journal.id}"
    after, copied = target.control.number(name), 0
    while True:
        after, keys = source.keyring.wrapped_keys(after, KEYS_AT_ONCE)
        if not keys:
            return copied
        target.keyring.take(keys)
        target.control.publish([(name, {"number": after})])
        copied += len(keys)


def _destroy_what_is_gone(source: Source, target: Target) -> None:
    """Keys of who was erased in the source after an earlier call had copied them; before the record that says so."""
    gone = set(source.keyring.destroyed()).difference(target.keyring.destroyed())
    if gone:
        target.keyring.destroy_keys(sorted(gone))


def _copy_records(source: Source, target: Target, progress: Progress) -> tuple[int, int, int]:
    name = f"{COPIED}:{source.journal.id}"
    position, copied, keys = target.control.number(name), 0, 0
    topic = target.place.topic(JOURNAL)
    while records := source.journal.read(position, BATCH):
        keys += _copy_keys(source, target)
        _destroy_what_is_gone(source, target)
        rows = [row for record in records for row in _rows_of(record, topic, target.parts)]
        target.producer.send(rows).result()
        position, copied = records[-1].position, copied + len(records)
        target.control.publish([(name, {"number": position})])
        progress(copied, source.journal.head())
    return copied, keys, position


def _rows_of(record: Record, topic: str, parts: int) -> Iterator[Row]:
    """An erasure stands in the part of each member, everything else in that of its subject."""
    members = erased_in(record.key_id, record.body)
    bodies: Sequence[tuple[str, bytes]] = (
        [(record.subject, record.body)]
        if members is None
        else [(member, encode_erasure([member])) for member in members]
    )
    headers = headers_of(
        record.key,
        record.source,
        record.type,
        record.version,
        record.channel,
        record.key_id,
        record.occurred_at,
    )
    for subject, body in bodies:
        yield Row(topic, part_for(subject, parts), subject.encode(), body, headers, record.recorded_at)


def _copy_access(source: Source, target: Target) -> int:
    there = {key.id for key in target.control.list_keys()}
    rows = [
        (
            ACCESS + key.id,
            {
                "secret_hash": secret_hash,
                "role": key.role,
                "source": key.source,
                "channel": key.channel,
                "origins": list(key.origins),
                "created_at": key.created_at,
                "name": key.name,
                "revoked_at": key.revoked_at,
            },
        )
        for secret_hash, key in source.control.keys_by_hash().items()
        if key.id not in there
    ]
    target.control.publish(rows)
    return len(rows)


def _copy_aside(source: Source, target: Target) -> int:
    copied, cursor = 0, None
    while True:
        items, cursor = source.control.list_set_aside(None, PAGE, cursor)
        target.control.set_aside(items)
        copied += len(items)
        if cursor is None:
            return copied


def _copy_receipts(source: Source, target: Target) -> int:
    copied, cursor = 0, None
    while True:
        receipts, cursor = source.receipts.page(PAGE, cursor)
        for receipt in receipts:
            target.control.receipts.change(receipt)
        copied += len(receipts)
        if cursor is None:
            return copied


def _copy_audit(source: Source, target: Target) -> int:
    """The one chain of the source, as it is: a head told there holds here, where the copy came before everything
    else."""
    before = after = audit_copied(target.place)
    while part := source.audit.written(after, BATCH):
        target.producer.send([row_of(target.place, one) for one in part]).result()
        after = part[-1].position
    return after - before
