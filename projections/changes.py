"""What a stretch of the journal changes in the projections: the same for every store."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from touchbook.contacts import ContactRow
from touchbook.ledger import Ledger, day_of
from touchbook.registers import ThreadMessage
from touchbook.schemas.touchpoint import AGENT, Claim, Identifier
from touchbook.spelling import spelled
from touchbook.timeline import Entry

Stamp = tuple[int, str]
"""(occurred_at, touchpoint key): the order of facts about one thing, the same however they arrived."""

EntryRow = tuple[str, str, int, int, int, str, str, str, str, str, str | None, bool, str]
"""An `Entry`, field by field, its body in one spelling: as a store keeps it."""

_tags_json = json.JSONEncoder(ensure_ascii=False)

ONCE = (1, 0)
"""What most signals say: a count of one, nothing to add up. One for all of them saves making it."""


def tags_text(tags: tuple[str, ...]) -> str:
    """As stores keep them."""
    return _tags_json.encode(tags)


def entry_row(entry: Entry) -> EntryRow:
    return (*entry[:-1], spelled(entry.body))


def entry_of(row: EntryRow) -> Entry:
    """The entry again."""
    return Entry(*row[:-1], json.loads(row[-1]))


@dataclass(frozen=True, slots=True)
class RegisterRow:
    """The latest value of (kind, key) of a subject; the greatest `stamp` wins."""

    value: Any
    stamp: Stamp


@dataclass(slots=True)
class ClaimRow:
    """All claims of one kind on one pair: the earliest of them, how many there were, and when the last was made.

    A join that was refused stays refused, since customers only grow while claims are taken in order; so the earliest
    claim of a pair and strength decides, and the later ones only count. Agents' decisions are kept each by itself.
    """

    first: Claim
    times: int
    last_at: int


@dataclass(slots=True)
class IdentifierRow:
    """What is known of an identifier. `first_seen` and `last_seen` span the touchpoints that carry it; `touchpoints`
    counts those recorded under it; `changed` is the last position that touched it."""

    identifier: Identifier
    first_seen: int
    last_seen: int
    touchpoints: int
    changed: int


ClaimKey = tuple[str, str, str, int, bool, str]
"""(subject, lesser id, greater id, strength, apart, touchpoint key for agents' decisions, else "")."""


@dataclass(slots=True)
class Changes:
    """A batch, already added up. Subjects and identifiers are permanent ids; keys are touchpoint keys.

    Everything is kept by the subject whose touchpoints said it: a store of many machines has one writer for a subject.
    """

    entries: list[EntryRow] = field(default_factory=list)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    registers: dict[tuple[str, str, str], RegisterRow] = field(default_factory=dict)
    messages: list[ThreadMessage] = field(default_factory=list)
    contacts: list[ContactRow] = field(default_factory=list)
    claims: dict[ClaimKey, ClaimRow] = field(default_factory=dict)
    identifiers: dict[tuple[str, str], IdentifierRow] = field(default_factory=dict)
    """(subject, id): an identifier as the touchpoints of one subject carry it."""

    def count(self, subject: str, signal: str, occurred_at: int, total: int) -> None:
        self.count_all(subject, occurred_at, {signal: total})

    def count_all(self, subject: str, occurred_at: int, signals: Mapping[str, int]) -> None:
        """Counts each signal once, with its total."""
        ledger, day = self.ledgers.get(subject), day_of(occurred_at)
        if ledger is None:
            ledger = self.ledgers[subject] = {}
        for signal, total in signals.items():
            row = (signal, day)
            known = ledger.get(row)
            if known is not None:
                ledger[row] = (known[0] + 1, known[1] + total)
            else:
                ledger[row] = (1, total) if total else ONCE

    def register(self, subject: str, kind: str, key: str, value: Any, stamp: Stamp) -> None:
        known = self.registers.get((subject, kind, key))
        if known is None or known.stamp < stamp:
            self.registers[subject, kind, key] = RegisterRow(value, stamp)

    def claim(self, subject: str, lesser: str, greater: str, claim: Claim) -> None:
        key = claim_key(subject, lesser, greater, claim)
        known = self.claims.get(key)
        if known is None:
            self.claims[key] = ClaimRow(claim, 1, claim.occurred_at)
        else:
            known.times += 1
            known.last_at = max(known.last_at, claim.occurred_at)
            if (claim.occurred_at, claim.touchpoint) < (known.first.occurred_at, known.first.touchpoint):
                known.first = claim

    def about(self, members: Collection[str], group: Collection[str]) -> Changes:
        """What these changes hold of the members, and of who the identifiers of the group are."""
        return Changes(
            entries=[entry for entry in self.entries if entry[1] in members],
            ledgers={subject: rows for subject, rows in self.ledgers.items() if subject in members},
            registers={name: row for name, row in self.registers.items() if name[0] in members},
            messages=[one for one in self.messages if one.subject in members],
            contacts=[one for one in self.contacts if one.subject in members],
            claims={key: row for key, row in self.claims.items() if key[1] in group or key[2] in group},
            identifiers={name: row for name, row in self.identifiers.items() if name[1] in group},
        )

    def see(
        self, subject: str, id: str, identifier: Identifier, occurred_at: int, recorded: int, position: int
    ) -> None:
        known = self.identifiers.get((subject, id))
        if known is None:
            self.identifiers[subject, id] = IdentifierRow(
                identifier, occurred_at, occurred_at, recorded, position
            )
        else:
            if occurred_at < known.first_seen:
                known.first_seen = occurred_at
            elif occurred_at > known.last_seen:
                known.last_seen = occurred_at
            known.touchpoints += recorded
            if position > known.changed:
                known.changed = position


def claim_key(subject: str, lesser: str, greater: str, claim: Claim) -> ClaimKey:
    own = claim.touchpoint if claim.strength == AGENT else ""
    return subject, lesser, greater, claim.strength, claim.apart, own
