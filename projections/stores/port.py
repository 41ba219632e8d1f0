"""The port: where projections are kept, in our words. The SQLite store is the first and the easiest to read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from touchbook.contacts import ContactRow
from touchbook.ledger import Ledger, LedgerRows
from touchbook.projections.changes import Changes, Stamp
from touchbook.projections.context import Head
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


@dataclass(frozen=True, slots=True)
class Match:
    """Something that was looked for and found. `kind`: a name, an identifier, a case or an order; of an identifier
    `type` says which. `shown` is the whole of it, as it was said. `exact`: nothing of it is missing in what was asked.
    """

    subject: str
    kind: Literal["name", "identifier", "case", "order"]
    shown: str
    exact: bool
    type: str | None = None


class Waiting(NamedTuple):
    """What a customer said by one channel in a thread since we last answered him there. `since` and `touchpoint` are of
    the first of it all in the thread, which is `first` where it was said by this channel, and had this `purpose` then;
    `last` is when he said the last by it."""

    thread: str
    since: int
    touchpoint: str
    channel: str
    messages: int
    last: int
    first: bool
    purpose: str | None


Places = Mapping[int, int]
"""Part of the journal → a position in it. On one machine there is part 0 alone."""

Again = Callable[[Sequence[str]], Iterable[Changes]]
"""The touchpoints with these keys, folded again."""


class Reader(Protocol):
    """One consistent look at the projections: nothing changes while it is open."""

    def version(self) -> str:
        """The version that made what is looked at, and the last erasure in it: the same journal may mean something else
        in another."""

    def made_by(self) -> str:
        """The version without erasures: while it stays, positions grow."""

    def erased(self, ids: Collection[str]) -> list[tuple[str, int]]:
        """Of these identifiers, those that were ever erased, by name, and the positions of their last erasures."""

    def all_erased(self) -> list[str]:
        """All identifiers that were ever erased."""

    def keys_of(self, subjects: Collection[str]) -> list[str]:
        """The keys of all touchpoints recorded under these subjects, erased ones among them."""

    def rows_of(self, ids: Collection[str]) -> dict[str, int]:
        """How many rows of each table hold something of these identifiers."""

    def position(self) -> int:
        """How far it is folded: grows with every change. On one machine the last position of the journal."""

    def folded(self, subjects: Collection[str]) -> Places:
        """Up to where the entries of these subjects are here, for each part of the journal that they lie in."""

    def part_of(self, position: int) -> int:
        """The part of the journal that an entry's position is in."""

    def known(self, ids: Collection[str]) -> list[Known]:
        """The identifiers with these permanent ids; unknown ids are left out."""

    def group_of(self, id: str) -> list[Known]:
        """All members of the identifier's group, itself among them; empty if it was never seen."""

    def groups_of(self, ids: Collection[str]) -> list[Known]:
        """All members of the groups of these identifiers, each once."""

    def groups_after(self, group: str, limit: int) -> list[Known]:
        """All members of the next `limit` groups beyond this one, group by group; "" comes before every group."""

    def changed(self, ids: Collection[str]) -> dict[str, int]:
        """For each of these identifiers the last position that touched anybody of its group; unknown ids are left out.
        While that and `version` stay, so does everything that can be told of it."""

    def claims(self, ids: Collection[str], limit: int | None = None) -> tuple[list[Claim], set[Identifier]]:
        """The claims touching any of these identifiers that resolving needs (see `changes.ClaimRow`), and which
        identifiers on either side are shared by too many to link anybody."""

    def touched(self, group: str, after: int, limit: int) -> list[str]:
        """The identifiers of a group that were touched after a position, at most `limit`."""

    def touched_after(self, position: int, limit: int) -> set[str] | None:
        """All identifiers that were touched after a position; None where they are more than `limit`. Looks at every
        identifier there is: for who finds that `touched_since` does not know."""

    def claims_since(self, ids: Collection[str], after: int) -> tuple[list[Claim], set[Identifier]]:
        """As `claims`, but only those of which the other side was touched after a position: where these identifiers
        were touched too, all claims that were made or changed since are among them."""

    def entries(
        self, subjects: Sequence[str], filters: TimelineFilters, before: Stamp | None
    ) -> Iterator[Entry]:
        """Entries below `before` in (occurred_at, key), newest first, read as they are taken. What `timeline.passes`
        looks at is left to the caller."""

    def entries_above(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Stamp, limit: int
    ) -> list[Entry]:
        """The first `limit` entries above `after` in (occurred_at, key), oldest first; filters as above."""

    def count_entries(self, subjects: Sequence[str], filters: TimelineFilters) -> int:
        """How many entries there are below and above any place; filters as above."""

    def heads(self, subjects: Collection[str]) -> Iterator[Head]:
        """Of the newest entries that the customer may see, newest first: as many as `context.topics_of` looks at."""

    def entries_since(
        self, subjects: Sequence[str], filters: TimelineFilters, after: Places, limit: int
    ) -> list[Entry]:
        """The first `limit` entries recorded after these places; of a part without one there are none. Those of a part
        come in order of position; filters as above."""

    def deeds(self, subjects: Sequence[str], to_at: int, from_at: int = -(2**62)) -> list[Deed]:
        """What the touchpoints of these subjects from `from_at` to before `to_at` counted, newest first."""

    def ledgers(self, subjects: Collection[str]) -> dict[str, Ledger]:
        """The ledger of each subject; those without rows are left out."""

    def ledger_rows(self, subjects: Collection[str]) -> list[tuple[str, LedgerRows]]:
        """The same as rows, for those who only walk over them."""

    def ledger_of(
        self, subjects: Collection[str], signals: Collection[str], beginning: str | None = None
    ) -> list[LedgerRows]:
        """The rows of these signals alone, and of all that begin so, subject by subject: for who is counted much."""

    def ledgers_of(self, subjects: Collection[str], signals: Collection[str]) -> dict[str, LedgerRows]:
        """The rows of these signals alone, of each subject that has any: for who looks at many at once."""

    def ledger_sums(self, subject: str) -> dict[str, int]:
        """Signal → how often it was ever counted. While `version` stays none of them falls, and where one stays no row
        of its signal changed."""

    def registers(self, subjects: Collection[str], but: Collection[str] = ()) -> list[Setting]:
        """The latest value of every register, members combined; those of the kinds in `but` are left out."""

    def settings_of(self, subjects: Collection[str], kinds: Collection[str]) -> dict[str, list[Setting]]:
        """The registers of these kinds alone, of each subject that has any: for who looks at many at once."""

    def messages(
        self, subjects: Collection[str], threads: Collection[str] | None = None
    ) -> list[ThreadMessage]:
        """The messages of all threads, or of these, by thread and then in order of time."""

    def latest_messages(self, subjects: Collection[str]) -> list[ThreadMessage]:
        """The same from the last public word of ours in each thread on: all that `open_requests` looks at."""

    def count_messages(self, subjects: Collection[str]) -> int:
        """How many there are. While `version` stays it never falls, and while it stays so do the messages."""

    def waiting(self, subjects: Collection[str]) -> tuple[list[Waiting], list[ThreadMessage]]:
        """What waits for an answer, counted, of the threads in which one of the subjects alone spoke; and all messages
        of those in which others of them spoke too, in which somebody may wait."""

    def contacts(self, subjects: Collection[str], since: int) -> list[ContactRow]:
        """Their contacts from `since` on, in order of (occurred_at, key)."""

    def found(self, words: Sequence[str], beginnings: Sequence[str], limit: int) -> list[Match]:
        """Whose names have for each of the words (see `finding.words_of`) one that begins so, or holds it where it has
        at least `finding.SHORTEST_PART` letters, and whose identifiers, cases or orders begin in one of these ways,
        small and capital letters alike. Exact ones first, parts within words last; at most `limit` of each kind for
        each beginning."""

    def minutes(self, since: int) -> list[tuple[int, str, int]]:
        """(minutes since 1970, channel, touchpoints recorded) from that minute on, without those that the server made
        itself; what is older than two days may be gone."""

    def causes(self, from_at: int, to_at: int) -> list[tuple[str | None, int]]:
        """Why customers complained in that time, and how often; None where they did not say."""

    def held_back(self, from_at: int, to_at: int) -> list[tuple[str, str, int]]:
        """(type, reason, how many) of the decisions in that time to put a message off or not to send it; one that was
        taken for several reasons counts for each. The most frequent first."""

    def unanswered(self, after: Stamp, limit: int) -> list[ThreadMessage]:
        """The customer's first message since a public word of ours, of each thread of a subject, the oldest first in
        (occurred_at, key) and above `after`. Another member of the customer may have been answered in the same thread:
        whether it is open is for `open_requests` to say."""


class ReadProjections(Protocol):
    """What was folded from the journal, as those who read it need it."""

    def version(self) -> str:
        """The version that made what serves now; it may be older than the code's."""

    def reading(self) -> AbstractContextManager[Reader]:
        """A consistent look, for this thread."""

    def touched_since(self, position: int, decisions: bool = True) -> tuple[set[str] | None, int]:
        """The identifiers that were touched after a position, and the position up to which they are told: looks that
        begin after this see that far at least. Without `decisions` those may be left out whom nothing touched but
        decisions about contacting them, see `touched.decided_alone`. None where this process does not know: it did not
        see all of it happen, or it is too long ago, or somebody was erased meanwhile. Then `Reader.touched_after` does,
        unless the version changed: in another everybody may be different."""

    def digest(self) -> dict[str, str]:
        """SHA-256 in hex of the content of entries, ledger, registers and claims: the same for the same touchpoints,
        whatever the order, the batching, the store or the installation."""

    def close(self) -> None: ...


class Projections(ReadProjections, Protocol):
    """What is folded from the journal. Everything here can be thrown away and made again."""

    def write(self, changes: Changes, after: int, position: int) -> None:
        """Adds the changes of the records beyond `after` up to `position` and moves the position, both or neither.

        Raises `PositionMoved`, and adds nothing, unless exactly `after` was folded before: so no batch counts twice,
        whoever else writes and whatever was swapped meanwhile.
        """

    def erase(self, members: Collection[str], again: Again, after: int, position: int) -> None:
        """Takes away every row that holds something of the members, then makes anew what the journal still says of them
        and of their group, which `again` folds; and moves the position, all or nothing. Raises as `write` does.

        Afterwards everything is as if the journal had been folded without what can no longer be opened.
        """
