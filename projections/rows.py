"""Rows as they stand after a stretch of the journal: absolute values, which may be written again and again.

`Changes` say what to add; where a stretch may be folded twice that is not enough. Every row here belongs to one
subject, hence to one part of the journal, hence to one writer, and carries the position it stands at: the greatest
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from touchbook.contacts import ContactRow
from touchbook.ledger import Day
from touchbook.projections.changes import Changes, ClaimKey, ClaimRow, EntryRow, IdentifierRow, RegisterRow
from touchbook.registers import ThreadMessage

LedgerDay = tuple[str, Day]
"""(subject, day)."""
RegisterKey = tuple[str, str, str]
"""(subject, kind, key)."""
IdentifierKey = tuple[str, str]
"""(subject, id): an identifier as the touchpoints of one subject carry it."""
MessageKey = tuple[str, str, int, str]
"""(subject, thread, occurred_at, touchpoint key)."""
ContactKey = tuple[str, int, str]
"""(subject, occurred_at, touchpoint key)."""
HeadKey = tuple[str, int, str]
"""(subject, occurred_at, touchpoint key): an entry that the customer may see."""


class Stretch(NamedTuple):
    """What the records of one part beyond `after` up to `position` change; `recorded_at` is that of the last.

    `digests` are those of the canonical payloads, by touchpoint key: what a later touchpoint with the same key is
    compared with. Keys of touchpoints that could not be opened stand there with "".
    """

    changes: Changes
    after: int
    position: int
    recorded_at: int
    digests: Mapping[str, str] = {}


class PartlyWritten(Exception):
    """A row stands at `position`, within a stretch of its part that was to be written as one: nothing was written.
    Stretches that end there, and begin there, can be."""

    def __init__(self, position: int) -> None:
        super().__init__(f"a row stands at position {position}, within a stretch to be written")
        self.position = position


@dataclass(slots=True)
class Gone:
    """Keys of rows that are no more, after an erasure."""

    ledger: list[LedgerDay] = field(default_factory=list)
    registers: list[RegisterKey] = field(default_factory=list)
    messages: list[MessageKey] = field(default_factory=list)
    contacts: list[ContactKey] = field(default_factory=list)
    heads: list[HeadKey] = field(default_factory=list)
    claims: list[ClaimKey] = field(default_factory=list)
    identifiers: list[IdentifierKey] = field(default_factory=list)


@dataclass(slots=True)
class Rows:
    """How a stretch of one part left each row that it touched.

    `position`     the last of the stretch: the version of all these rows
    `recorded_at`  of its last record, milliseconds UTC
    `ledger`       of each day touched every signal, touched or not: signal → (count, total)
    `erased`       subjects whose rows are all gone
    """

    position: int
    recorded_at: int
    entries: list[EntryRow] = field(default_factory=list)
    ledger: dict[LedgerDay, dict[str, tuple[int, int]]] = field(default_factory=dict)
    registers: dict[RegisterKey, RegisterRow] = field(default_factory=dict)
    messages: list[ThreadMessage] = field(default_factory=list)
    contacts: list[ContactRow] = field(default_factory=list)
    claims: dict[ClaimKey, ClaimRow] = field(default_factory=dict)
    identifiers: dict[IdentifierKey, IdentifierRow] = field(default_factory=dict)
    erased: list[str] = field(default_factory=list)
    gone: Gone = field(default_factory=Gone)
