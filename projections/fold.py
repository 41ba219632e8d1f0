"""The fold: what one journal record changes, for every projection at once.

Pure but for the ids, which are a keyed hash of what the record itself holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from touchbook.errors import KeyDestroyed
from touchbook.identity import claims_of
from touchbook.projections.changes import Changes
from touchbook.registers import ThreadMessage
from touchbook.schemas.catalogue import Catalogue, Reading
from touchbook.schemas.details import VIA, Register
from touchbook.schemas.touchpoint import UNREAD_TRAITS, UNVERIFIED, Identifier, Record, Touchpoint
from touchbook.timeline import ERASED, UNREADABLE, Entry

log = logging.getLogger(__name__)

PROJECTION_VERSION = 1
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
    """Adds what the touchpoint says: its entry, ledger rows, registers, claims, its message in a thread.

    All that can fail is computed before anything is added, so that a failure leaves `changes` as it was.
    """
    reading = catalogue.read_lenient(touchpoint.type, touchpoint.version, touchpoint.data)
    details = reading.details
    direction = details.taken_direction()
    signals = signals_of(reading, touchpoint.channel, direction)
    entry = _entry(record, touchpoint, reading, direction, signals)
    registers = [*details.registers(), *consents_of(touchpoint)]
    message = details.message() if details.thread is not None else None
    claims = [(id_of(claim.lesser), id_of(claim.greater), claim) for claim in claims_of(touchpoint)]
    others = {id_of(other): other for other in touchpoint.identifiers if other != touchpoint.subject}
    for lesser, greater, claim in claims:
        others |= {lesser: claim.lesser, greater: claim.greater}
    others.pop(record.subject, None)

    subject, at, position = record.subject, touchpoint.occurred_at, record.position
    stamp = (at, touchpoint.key)
    changes.entries.append(entry)
    for name, total in signals.items():
        changes.count(subject, name, at, total)
    for kind, key, value in registers:
        changes.register(subject, kind, key, value, stamp)
    if message is not None and details.thread is not None:
        role, public = message
        changes.messages.append(
            ThreadMessage(subject, details.thread, *stamp, role, public, touchpoint.channel)
        )
    changes.see(subject, touchpoint.subject, at, 1, position)
    for id, identifier in others.items():
        changes.see(id, identifier, at, 0, position)
    for lesser, greater, claim in claims:
        changes.claim(lesser, greater, claim)


def signals_of(reading: Reading, channel: str, direction: str) -> dict[str, int]:
    """Every signal the touchpoint gives, each counted once: name → total. What the customer did himself also says by
    which channel he came."""
    signals: dict[str, int] = {}
    for name, total in (*reading.details.signals(), *reading.extra_signals):
        signals[name] = signals.get(name, 0) + total
    if reading.own_signal is not None:
        signals.setdefault(reading.own_signal, 0)
    if direction == "in":
        signals[VIA + channel] = 0
    return signals


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
) -> Entry:
    details = reading.details
    fields = details.model_dump(mode="json", exclude_none=True)
    body: dict[str, Any] = {
        "id": touchpoint.id,
        "data": touchpoint.data,
        "signals": list(signals.items()),
    }
    if shown := {name: value for name, value in fields.items() if touchpoint.data.get(name) != value}:
        body["shown"] = shown
    if details.actor is not None:
        body["actor"] = {"kind": details.actor.kind, "name": details.actor.name}
    unread = (f"{kind}_unreadable" for kind in touchpoint.extra.get(UNREAD_TRAITS, ()))
    if marks := sorted({*details.marks(), *unread}):
        body["marks"] = marks
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
        direction=direction,
        thread=details.thread,
        for_customer=details.shown_to_customer(),
        body=body,
    )


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

    def fold(self, records: list[Record]) -> Changes:
        """The changes of these records together. Never raises on what a record holds: one whose key is gone leaves an
        "erased" entry and adds nothing; one that cannot be folded leaves an "unreadable" one and is counted."""
        changes = Changes()
        id_of = cache(self._id_of)  # the same few people come again and again
        for record in records:
            self._fold_one(changes, record, id_of)
        return changes

    def _fold_one(self, changes: Changes, record: Record, id_of: Callable[[Identifier], str]) -> None:
        try:
            fold_touchpoint(changes, record, self._open(record), self._catalogue, id_of)
        except KeyDestroyed:
            changes.entries.append(_placeholder(record, ERASED))
        except Exception as error:  # valid when it was accepted, so this is our bug; the timeline must go on
            log.error(
                "record %s at %d cannot be folded: %s", record.key, record.position, type(error).__name__
            )
            changes.entries.append(_placeholder(record, UNREADABLE))
            self.unreadable += 1
            self.unreadable_in_a_row += 1
            return
        self.unreadable_in_a_row = 0
