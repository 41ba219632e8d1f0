"""The fold: what one journal record changes, for every projection at once.

Pure but for the ids, which are a keyed hash of what the record itself holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from touchbook.contacts import ContactRow
from touchbook.errors import KeyDestroyed
from touchbook.identity import claims_of
from touchbook.projections.changes import Changes, EntryRow, Stamp, entry_row
from touchbook.registers import ThreadMessage
from touchbook.schemas.catalogue import Catalogue, Reading
from touchbook.schemas.details import VIA, Contact, Details, Message, Register
from touchbook.schemas.touchpoint import UNREAD_TRAITS, UNVERIFIED, Identifier, Record, Touchpoint
from touchbook.spelling import spelled
from touchbook.timeline import ERASED, UNREADABLE, Entry

log = logging.getLogger(__name__)

PROJECTION_VERSION = 5
"""Bumped by hand whenever the fold gives other rows for the same journal, or a table changes its shape."""


def projection_version(catalogue: Catalogue) -> str:
    """Names the tables: the hand-bumped number and the fingerprint of the signal map."""
    return f"{PROJECTION_VERSION}-{catalogue.fingerprint[:12]}"


def fold_touchpoint(
    changes: Changes,
    record: Record,
    touchpoint: Touchpoint,
    catalogue: Catalogue,
    id_of: Callable[[Identifier], str],
) -> None:
    """Adds what the touchpoint says: its entry, ledger rows, registers, claims, its message in a thread, its contact.

    All that can fail is computed before anything is added, so that a failure leaves `changes` as it was.
    """
    identifiers, channel, at = touchpoint.identifiers, touchpoint.channel, touchpoint.occurred_at
    reading = catalogue.read_lenient(touchpoint.type, touchpoint.version, touchpoint.data)
    details = reading.details
    own = _own_of(type(details))
    direction = details.taken_direction()
    signals = signals_of(reading, channel, direction)
    entry = _entry(record, touchpoint, reading, direction, signals)
    registers = [*details.registers()] if own.registers else []
    if "context" in touchpoint.extra:
        registers += consents_of(touchpoint)
    message = details.message() if details.thread is not None else None
    contact = details.contact() if own.contact else None
    claims = [(id_of(claim.lesser), id_of(claim.greater), claim) for claim in claims_of(touchpoint)]
    others: dict[str, Identifier] = {}
    if claims or len(identifiers) > 1:
        others = {id_of(other): other for other in identifiers}
        for lesser, greater, claim in claims:
            others |= {lesser: claim.lesser, greater: claim.greater}
        others.pop(record.subject, None)

    subject, position = record.subject, record.position
    stamp = (at, touchpoint.key)
    changes.entries.append(entry)
    changes.count_all(subject, at, signals)
    for kind, key, value in registers:
        changes.register(subject, kind, key, value, stamp)
    if message is not None and details.thread is not None:
        changes.messages.append(_message(subject, details.thread, stamp, message, channel, details))
    if contact is not None:
        changes.contacts.append(_contact(subject, stamp, contact, channel))
    changes.see(subject, subject, touchpoint.subject, at, 1, position)
    for id, identifier in others.items():
        changes.see(subject, id, identifier, at, 0, position)
    for lesser, greater, claim in claims:
        changes.claim(subject, lesser, greater, claim)


class _Own(NamedTuple):
    """What a type declares itself; what it has from `Details` is the same for all and need not be asked."""

    registers: bool
    contact: bool
    marks: bool
    shown_to_customer: bool


@cache
def _own_of(model: type[Details]) -> _Own:
    return _Own(*(getattr(model, name) is not getattr(Details, name) for name in _Own._fields))


def signals_of(reading: Reading, channel: str, direction: str) -> dict[str, int]:
    """Every signal the touchpoint gives, each counted once: name → total. What the customer did himself also says by
    which channel he came."""
    signals: dict[str, int] = {}
    _, _, details, own_signal, extra_signals = reading
    for name, total in (*details.signals(), *extra_signals):
        signals[name] = signals[name] + total if name in signals else total
    if own_signal is not None and own_signal not in signals:
        signals[own_signal] = 0
    if direction == "in":
        signals[VIA + channel] = 0
    return signals


def _message(
    subject: str, thread: str, stamp: Stamp, message: Message, channel: str, details: Details
) -> ThreadMessage:
    role, public, closes = message
    ours = details.actor if role != "customer" else None
    agent, team = (ours.name, ours.team) if ours is not None else (None, None)
    return ThreadMessage(subject, thread, *stamp, role, public, channel, agent, team, details.purpose, closes)


def _contact(subject: str, stamp: Stamp, contact: Contact, channel: str) -> ContactRow:
    kind, reservation, named, purpose, tags, campaign, counts, until = contact
    return ContactRow(
        subject, *stamp, kind, reservation, named or channel, purpose, tags, campaign, counts, until
    )


def consents_of(touchpoint: Touchpoint) -> list[Register]:
    """Segment's `context.consent.categoryPreferences`; what comes from a public key proves nothing."""
    if UNVERIFIED in touchpoint.extra:
        return []
    said: Any = touchpoint.extra.get("context")
    for name in ("consent", "categoryPreferences"):
        said = said.get(name) if isinstance(said, dict) else None
    if not isinstance(said, dict):
        return []
    return [
        Register("consent", purpose, {"granted": granted})
        for purpose, granted in said.items()
        if isinstance(granted, bool) and 0 < len(purpose) <= 100
    ]


def _entry(
    record: Record, touchpoint: Touchpoint, reading: Reading, direction: str, signals: dict[str, int]
) -> EntryRow:
    type_, family, details, _, _ = reading
    own = _own_of(type(details))
    body: dict[str, Any] = {
        "id": touchpoint.id,
        "data": touchpoint.data,
        "signals": list(signals.items()),
    }
    if shown := _shown(details, touchpoint.data):
        body["shown"] = shown
    if details.actor is not None:
        body["actor"] = {"kind": details.actor.kind, "name": details.actor.name}
    marks = set(details.marks()) if own.marks else set()
    if UNREAD_TRAITS in touchpoint.extra:
        marks.update(f"{kind}_unreadable" for kind in touchpoint.extra[UNREAD_TRAITS])
    if marks:
        body["marks"] = sorted(marks)
    return (
        record.key,
        record.subject,
        touchpoint.occurred_at,
        record.recorded_at,
        record.position,
        type_,
        family,
        touchpoint.channel,
        touchpoint.source,
        direction,
        details.thread,
        details.shown_to_customer() if own.shown_to_customer else details.for_customer,
        spelled(body),
    )


_PLAIN = frozenset({str, int, float, bool})
"""Types whose values are their own JSON."""


def _shown(details: Details, data: dict[str, Any]) -> dict[str, Any]:
    """What the fields say beyond the data: those of `details.model_dump(mode="json", exclude_none=True)` that are not
    the same in the data, to the type: 1200.0 reads otherwise than 1200.

    Nearly every field holds nothing, or the very object that stands in the data; only what is no plain value, and does
    not, is worth a dump of all.
    """
    shown: dict[str, Any] = {}
    for fields in (details.__dict__, details.__pydantic_extra__ or {}):
        for name in fields:
            value = fields[name]
            if value is None or value is (said := data.get(name)):
                continue
            if type(value) not in _PLAIN:
                return _shown_of_all(details, data)
            if value != said or type(value) is not type(said):
                shown[name] = value
    return shown


def _shown_of_all(details: Details, data: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, value in details.model_dump(mode="json", exclude_none=True).items():
        said = data.get(name)
        if value != said or type(value) is not type(said):
            shown[name] = value
    return shown


def _placeholder(record: Record, type: str) -> Entry:
    return Entry(
        key=record.key,
        subject=record.subject,
        occurred_at=record.occurred_at,
        recorded_at=record.recorded_at,
        position=record.position,
        type=type,
        family="account" if type == ERASED else "service",
        channel=record.channel,
        source=record.source,
        direction="internal",
        thread=None,
        for_customer=False,
        body={},
    )


class Folder:
    """Folds runs of records into `Changes`. `unreadable` counts the records it could not fold."""

    def __init__(
        self, catalogue: Catalogue, open: Callable[[Record], Touchpoint], id_of: Callable[[Identifier], str]
    ) -> None:
        self._catalogue = catalogue
        self._open = open
        self._id_of = id_of
        self.unreadable = 0
        self.unreadable_in_a_row = 0

    def anew(self) -> Folder:
        """One that folds alike and has counted nothing yet."""
        return Folder(self._catalogue, self._open, self._id_of)

    def fold(self, records: list[Record]) -> Changes:
        """The changes of these records together. Never raises on what a record holds: one whose key is gone leaves an
        "erased" entry and adds nothing; one that cannot be folded leaves an "unreadable" one and is counted."""
        changes = Changes()
        id_of = cache(self._id_of)  # the same few people come again and again
        open, catalogue = self._open, self._catalogue
        for record in records:
            try:
                fold_touchpoint(changes, record, open(record), catalogue, id_of)
            except KeyDestroyed:
                if record.key_id:  # an erasure itself is no touchpoint, and has none
                    changes.entries.append(entry_row(_placeholder(record, ERASED)))
            except Exception as error:  # it was valid once, so this is our bug; the timeline must go on
                self._set_down(changes, record, error)
                continue
            self.unreadable_in_a_row = 0
        return changes

    def _set_down(self, changes: Changes, record: Record, error: Exception) -> None:
        log.error("record %s at %d cannot be folded: %s", record.key, record.position, type(error).__name__)
        changes.entries.append(entry_row(_placeholder(record, UNREADABLE)))
        self.unreadable += 1
        self.unreadable_in_a_row += 1
