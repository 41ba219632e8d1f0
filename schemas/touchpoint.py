"""What a touchpoint is, once it has been parsed, validated and identified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

CARRIED, IDENTIFIED, AGENT = 1, 2, 3
"""Strengths of claims: carried together, said by an identify or alias, decided by an agent."""

UNVERIFIED, UNREAD_TRAITS = "unverified", "unread_traits"
"""What we add to a touchpoint's `extra`: what a public key said of who it is, and which of its traits e-mail and phone
could not be read as one. A sender's own fields of these names are kept under `sent_<name>`."""

OURS = "touchbook"
"""The source of what this server records itself. Nobody else may have it: whoever knew how its ids are made could take
them first."""
NO_CHANNEL = "unknown"
"""The channel of a touchpoint that names none, published with a key that has none: no way to reach anybody."""


class Identifier(NamedTuple):
    """A typed name for a person, normalised: `Identifier("email", "ann@example.test")`.

    Order and equality are those of (type, value), so that "least identifier" means the same everywhere.
    """

    type: str
    value: str

    def __str__(self) -> str:
        return f"{self.type}:{self.value}"


@dataclass(frozen=True, slots=True)
class Claim:
    """An assertion that two identifiers are one person, or (`apart`) an agent's word that they are not.

    `lesser` < `greater`. `strength`: AGENT, IDENTIFIED or CARRIED.
    """

    lesser: Identifier
    greater: Identifier
    strength: int
    apart: bool
    occurred_at: int
    touchpoint: str
    source: str


class Touchpoint(NamedTuple):
    """One thing that happened between a customer and a channel. All times are milliseconds UTC.

    `key`         first 128 bits of SHA-256(source, NUL, id) in hex: what everything inside calls it
    `type`        the source's own word; the catalogue or a mapping says what it means (see `schemas.catalogue`)
    `version`     of the type's fields, as sent
    `subject`     the identifier it is recorded under
    `identifiers` all it carries, the subject among them, normalised, without repeats
    `occurred_at` when it happened, corrected for the client's clock
    `recorded_at` when the journal took it; 0 until then
    `received_at` when the door saw it
    `said_at`     the client's own timestamp, uncorrected; None where it gave none
    `sent_at`     when the client sent it, by its own clock; None where it did not say
    `data`        the type's fields, unknown ones included, as sent
    `strength`    of its claims: IDENTIFIED or CARRIED; an agent's are told by the type
    `digest`      SHA-256 hex of the canonical payload: what tells an honest retry from a reused id
    `extra`       what came along: Segment's context and integrations, CloudEvents' extensions
    """

    key: str
    id: str
    source: str
    type: str
    version: int
    channel: str
    subject: Identifier
    identifiers: tuple[Identifier, ...]
    occurred_at: int
    received_at: int
    data: dict[str, Any]
    digest: str
    strength: int = CARRIED
    said_at: int | None = None
    sent_at: int | None = None
    recorded_at: int = 0
    extra: dict[str, Any] = {}  # noqa: RUF012 a field like the others, and as they are never changed in place


class Record(NamedTuple):
    """A touchpoint as the journal keeps it: a clear header and a sealed body.

    `position` is where in the journal; `subject` the permanent id of the identifier it is recorded under (a keyed
    hash, never the clear value); `key_id` names the data key that seals `body`; times are milliseconds UTC.
    """

    position: int
    key: str
    source: str
    type: str
    version: int
    channel: str
    subject: str
    key_id: str
    occurred_at: int
    recorded_at: int
    body: bytes
