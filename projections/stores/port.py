"""The port: where projections are kept, in our words. The SQLite store is the first and the easiest to read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from touchbook.ledger import Ledger
from touchbook.projections.changes import Changes, Stamp
from touchbook.registers import Setting, ThreadMessage
from touchbook.schemas.touchpoint import Claim, Identifier
from touchbook.timeline import Entry, TimelineFilters


@dataclass(frozen=True, slots=True)
class Known:
    """An identifier as the store knows it. `group` is common to all whose claims touch. One that is
    `barred` links nobody: its value names nobody, or too many people share it."""

    id: str
    identifier: Identifier
    first_seen: int
    last_seen: int
    touchpoints: int
    changed: int
    group: str
    barred: bool


@dataclass(frozen=True, slots=True)
class Deed:
    """What one touchpoint counted: its key, when, and signal → total."""

    key: str
    occurred_at: int
    signals: Mapping[str, int]


class Reader(Protocol):
    """One consistent look at the projections: nothing changes while it is open."""

    def version(self) -> str:
        """The version that made what is looked at: the same journal may mean something else in another."""

    def position(self) -> int:
        """The last position folded."""

    def known(self, ids: Collection[str]) -> list[Known]:
        """The identifiers with these permanent ids; unknown ids are left out."""

    def group_of(self, id: str) -> list[Known]:
        """All members of the identifier's group, itself among them; empty if it was never seen."""

    def groups_of(self, ids: Collection[str]) -> list[Known]:
        """All members of the groups of these identifiers, each once."""

    def claims(self, ids: Collection[str], limit: int | None = None) -> tuple[list[Claim], set[Identifier]]:
        """The claims touching any of these identifiers that resolving needs (see `changes.ClaimRow`), and which
        identifiers on either side are shared by too many to link anybody."""

    def entries(
        self, subjects: Sequence[str], filters: TimelineFilters, before: Stamp | None
    ) -> Iterator[Entry]:
        """Entries below `before` in (occurred_at, key), newest first, read as they are taken. `filters.text` is left
        to the caller, who knows the words."""

    def entries_since(
        self, subjects: Sequence[str], filters: TimelineFilters, after: int, limit: int
    ) -> list[Entry]:
        """The first `limit` entries recorded after a position, in its order; `filters.text` as above."""

    def deeds(self, subjects: Sequence[str], to_at: int) -> list[Deed]:
        """What the touchpoints of these subjects before `to_at` counted, newest first."""

    def ledgers(self, subjects: Collection[str]) -> dict[str, Ledger]:
        """The ledger of each subject; those without rows are left out."""

    def registers(self, subjects: Collection[str]) -> list[Setting]:
        """The latest value of every register, members combined."""

    def messages(self, subjects: Collection[str]) -> list[ThreadMessage]:
        """The messages of all threads, by thread and then in order of time."""


class Projections(Protocol):
    """What is folded from the journal. Everything here can be thrown away and made again."""

    def write(self, changes: Changes, after: int, position: int) -> None:
        """Adds the changes of the records beyond `after` up to `position` and moves the position, both or neither.

        Raises `PositionMoved`, and adds nothing, unless exactly `after` was folded before: so no batch counts twice,
        whoever else writes and whatever was swapped meanwhile.
        """

    def reading(self) -> AbstractContextManager[Reader]:
        """A consistent look, for this thread."""

    def digest(self) -> dict[str, str]:
        """SHA-256 in hex of the content of entries, ledger, registers and claims: the same for the same touchpoints,
        whatever the order, the batching, the store or the installation."""

    def close(self) -> None: ...
