"""What a stretch of the journal changes in the projections: the same for every store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from touchbook.ledger import day_of
from touchbook.registers import ThreadMessage
from touchbook.schemas.touchpoint import AGENT, Claim, Identifier
from touchbook.timeline import Entry

Stamp = tuple[int, str]
"""(occurred_at, touchpoint key): the order of facts about one thing, the same however they arrived."""


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


ClaimKey = tuple[str, str, int, bool, str]
"""(lesser id, greater id, strength, apart, touchpoint key for agents' decisions, else "")."""


@dataclass(slots=True)
class Changes:
    """A batch, already added up. Subjects and identifiers are permanent ids; keys are touchpoint keys."""

    entries: list[Entry] = field(default_factory=list)
    ledger: dict[tuple[str, str, int], tuple[int, int]] = field(default_factory=dict)
    registers: dict[tuple[str, str, str], RegisterRow] = field(default_factory=dict)
    messages: list[ThreadMessage] = field(default_factory=list)
    claims: dict[ClaimKey, ClaimRow] = field(default_factory=dict)
    identifiers: dict[str, IdentifierRow] = field(default_factory=dict)

    def count(self, subject: str, signal: str, occurred_at: int, total: int) -> None:
        row = (subject, signal, day_of(occurred_at))
        known = self.ledger.get(row)
        self.ledger[row] = (1, total) if known is None else (known[0] + 1, known[1] + total)

    def register(self, subject: str, kind: str, key: str, value: Any, stamp: Stamp) -> None:
        known = self.registers.get((subject, kind, key))
        if known is None or known.stamp < stamp:
            self.registers[subject, kind, key] = RegisterRow(value, stamp)

    def claim(self, lesser: str, greater: str, claim: Claim) -> None:
        key = claim_key(lesser, greater, claim)
        known = self.claims.get(key)
        if known is None:
            self.claims[key] = ClaimRow(claim, 1, claim.occurred_at)
        else:
            known.times += 1
            known.last_at = max(known.last_at, claim.occurred_at)
            if (claim.occurred_at, claim.touchpoint) < (known.first.occurred_at, known.first.touchpoint):
                known.first = claim

    def see(self, id: str, identifier: Identifier, occurred_at: int, recorded: int, position: int) -> None:
        known = self.identifiers.get(id)
        if known is None:
            self.identifiers[id] = IdentifierRow(identifier, occurred_at, occurred_at, recorded, position)
        else:
            known.first_seen = min(known.first_seen, occurred_at)
            known.last_seen = max(known.last_seen, occurred_at)
            known.touchpoints += recorded
            known.changed = max(known.changed, position)


def claim_key(lesser: str, greater: str, claim: Claim) -> ClaimKey:
    own = claim.touchpoint if claim.strength == AGENT else ""
    return lesser, greater, claim.strength, claim.apart, own
