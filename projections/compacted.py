"""Rows on the compacted topics, as the workers tell them and every replica of the API reads them.

Each record says how one row of one subject stands at a position of the journal: of what is told of a row the greatest
position counts, in whatever order and however often it comes. A null value is for the brokers alone, which then drop
what stood under the key; readers learn of an erasure from a record that says up to where the subject's rows are gone,
and that is never dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from touchbook.contacts import ContactRow
from touchbook.errors import FormatUnknown
from touchbook.projections.changes import ClaimKey, tags_text
from touchbook.projections.context import topic_in
from touchbook.projections.rows import Rows

LEDGERS, REGISTERS, CLAIMS = KINDS = ("ledgers", "registers", "claims")
Written = tuple[bytes, bytes | None]
"""Key and value of a record."""

MARKER = b"position"
_ERASED = b"erased"
_value_text = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode


class LedgerDay(NamedTuple):
    """A day of a subject, whole: signal → [count, total]."""

    subject: str
    day: int
    signals: dict[str, list[int]]
    position: int


class Register(NamedTuple):
    """`value` is JSON, spelled as stores keep it."""

    subject: str
    kind: str
    key: str
    value: str
    occurred_at: int
    touchpoint: str
    position: int


class Message(NamedTuple):
    subject: str
    thread: str
    occurred_at: int
    key: str
    role: str
    public: bool
    channel: str
    agent: str | None
    team: str | None
    purpose: str | None
    closes: bool
    position: int


class Contacted(NamedTuple):
    """A contact, see `ContactRow`. `tags` is JSON, spelled as stores keep it."""

    subject: str
    occurred_at: int
    key: str
    kind: str
    reservation: str | None
    channel: str
    purpose: str | None
    tags: str
    campaign: str | None
    counts: bool | None
    until: int | None
    position: int


class Head(NamedTuple):
    """What an entry that the customer may see is about; see `context.Head`."""

    subject: str
    occurred_at: int
    key: str
    type: str
    topic: str | None
    position: int


class Seen(NamedTuple):
    """An identifier as the touchpoints of one subject carry it."""

    subject: str
    id: str
    type: str
    value: str
    first_seen: int
    last_seen: int
    touchpoints: int
    position: int


class Claimed(NamedTuple):
    """The claims of one kind on a pair by the touchpoints of one subject: the earliest, how many, when the last."""

    subject: str
    lesser: str
    greater: str
    strength: int
    apart: bool
    own: str
    occurred_at: int
    touchpoint: str
    source: str
    times: int
    last_at: int
    position: int


class Erased(NamedTuple):
    """Of this subject all rows of before this position are gone, in every topic."""

    subject: str
    position: int


class Marker(NamedTuple):
    """All rows of the part up to this position were told; `recorded_at` is that of the last."""

    position: int
    recorded_at: int


Told = LedgerDay | Register | Message | Contacted | Head | Seen | Claimed | Erased | Marker


def encode(rows: Rows) -> dict[str, list[Written]]:
    """What to write into each topic, in this order: what is gone, then how rows stand; identifiers before the claims on
    them. Raises ValueError where a row is gone and its subject was not erased: readers would not learn of it."""
    told: dict[str, list[Written]] = {kind: [] for kind in KINDS}
    position = rows.position
    value = _json({"p": position})
    for subject in rows.erased:
        told[LEDGERS].append((b"%b:%b" % (subject.encode(), _ERASED), value))
        told[REGISTERS].append((_json([subject, "e"]), value))
        told[CLAIMS].append((_json([subject, "e"]), value))
    for kind, subject, key in _gone(rows):
        if subject not in rows.erased:
            raise ValueError("expected rows to be gone only of subjects that were erased")
        told[kind].append((key, None))
    told[LEDGERS] += [
        (_day_key(subject, day), _json({"p": position, "rows": signals}))
        for (subject, day), signals in rows.ledger.items()
    ]
    told[REGISTERS] += [
        (_json([subject, "r", kind, key]), _json([position, _value_text(row.value), *row.stamp]))
        for (subject, kind, key), row in rows.registers.items()
    ]
    told[REGISTERS] += [
        (
            _json([one.subject, "m", one.thread, one.occurred_at, one.key]),
            _json(
                [
                    position,
                    one.role,
                    bool(one.public),
                    one.channel,
                    one.agent,
                    one.team,
                    one.purpose,
                    one.closes,
                ]
            ),
        )
        for one in rows.messages
    ]
    told[REGISTERS] += [_contacted(one, position) for one in rows.contacts]
    told[REGISTERS] += [
        (_json([subject, "h", at, key]), _json([position, type, topic_in(orjson.loads(body))]))
        for key, subject, at, _, _, type, _, _, _, _, _, for_customer, body in rows.entries
        if for_customer
    ]
    told[CLAIMS] += [
        (
            _json([subject, "i", id]),
            _json([position, *row.identifier, row.first_seen, row.last_seen, row.touchpoints]),
        )
        for (subject, id), row in rows.identifiers.items()
    ]
    told[CLAIMS] += [
        (
            _claim_key(key),
            _json([position, first.occurred_at, first.touchpoint, first.source, row.times, row.last_at]),
        )
        for key, row in rows.claims.items()
        for first in (row.first,)
    ]
    return told


def _contacted(one: ContactRow, position: int) -> Written:
    key = [one.subject, "c", one.occurred_at, one.key]
    said = [
        *(position, one.kind, one.reservation, one.channel, one.purpose, tags_text(one.tags)),
        *(one.campaign, one.counts, one.until),
    ]
    return _json(key), _json(said)


def marker(position: int, recorded_at: int) -> Written:
    """For each of the topics, into the part of the position, after all rows up to it."""
    return MARKER, _json({"p": position, "at": recorded_at})


def decode(kind: str, key: bytes, value: bytes | None) -> Told | None:
    """What a record of a topic of this kind tells; None for a null value. Raises FormatUnknown for what no worker of
    this version writes."""
    if value is None:
        return None
    try:
        said = orjson.loads(value)
        if key == MARKER:
            return Marker(said["p"], said["at"])
        if kind == LEDGERS:
            subject, day = key.split(b":")
            if day == _ERASED:
                return Erased(subject.decode(), said["p"])
            return LedgerDay(subject.decode(), int(day), said["rows"], said["p"])
        return _decoders[kind](orjson.loads(key), said)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise FormatUnknown(
            f"a record of the topic of {kind}",
            "unknown",
            "what workers of its own version write",
            "install that version, or see who else may write this topic",
        ) from None


def _of_registers(key: list[Any], said: Any) -> Told:
    match key:
        case [subject, "r", kind, name]:
            position, value, at, touchpoint = said
            return Register(subject, kind, name, value, at, touchpoint, position)
        case [subject, "m", thread, at, touchpoint]:
            position, role, public, channel, agent, team, purpose, closes = said
            written = (agent, team, purpose, closes)
            return Message(subject, thread, at, touchpoint, role, public, channel, *written, position)
        case [subject, "c", at, touchpoint]:
            position, kind, reservation, channel, purpose, tags, campaign, counts, until = said
            about = (kind, reservation, channel, purpose, tags, campaign, counts, until)
            return Contacted(subject, at, touchpoint, *about, position)
        case [subject, "h", at, touchpoint]:
            position, type, topic = said
            return Head(subject, at, touchpoint, type, topic, position)
    return _erased(key, said)


def _claim_or_identifier(key: list[Any], said: Any) -> Told:
    match key:
        case [subject, "i", id]:
            position, type, value, first_seen, last_seen, touchpoints = said
            return Seen(subject, id, type, value, first_seen, last_seen, touchpoints, position)
        case [subject, "c", lesser, greater, strength, apart, own]:
            position, at, touchpoint, source, times, last_at = said
            claimed = (lesser, greater, strength, apart, own)
            return Claimed(subject, *claimed, at, touchpoint, source, times, last_at, position)
    return _erased(key, said)


def _erased(key: list[Any], said: Any) -> Erased:
    match key:
        case [subject, "e"]:
            return Erased(subject, said["p"])
    raise ValueError


_decoders = {REGISTERS: _of_registers, CLAIMS: _claim_or_identifier}


def _json(value: Any) -> bytes:
    """JSON in as many bytes as it has: what orjson hands out holds on to the page it was written in, and there are some
    four of these for each record of the journal, kept until brokers have them."""
    return b"".join((orjson.dumps(value), b""))


def _gone(rows: Rows) -> Iterator[tuple[str, str, bytes]]:
    """(kind of topic, subject, key) of each row that is no more."""
    gone = rows.gone
    yield from ((LEDGERS, subject, _day_key(subject, day)) for subject, day in gone.ledger)
    yield from ((REGISTERS, subject, _json([subject, "r", *name])) for subject, *name in gone.registers)
    yield from ((REGISTERS, subject, _json([subject, "m", *name])) for subject, *name in gone.messages)
    yield from ((REGISTERS, subject, _json([subject, "c", *name])) for subject, *name in gone.contacts)
    yield from ((REGISTERS, subject, _json([subject, "h", *name])) for subject, *name in gone.heads)
    yield from ((CLAIMS, subject, _json([subject, "i", id])) for subject, id in gone.identifiers)
    yield from ((CLAIMS, key[0], _claim_key(key)) for key in gone.claims)


def _day_key(subject: str, day: int) -> bytes:
    return f"{subject}:{day}".encode()


def _claim_key(key: ClaimKey) -> bytes:
    subject, lesser, greater, strength, apart, own = key
    return _json([subject, "c", lesser, greater, strength, bool(apart), own])
