"""The journal: the append-only log of touchpoints that everything else is folded from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from touchbook.identity import IdentityRules
from touchbook.schemas.touchpoint import Identifier, Record, Touchpoint

Answer = TypeVar("Answer")


class Appended(NamedTuple):
    """What became of one touchpoint given to `append`.

    accepted   recorded now
    duplicate  recorded before, with the same canonical payload (or one that can no longer be compared,
               because it was erased): nothing changed
    reused     the key was recorded before with another payload: nothing changed, the caller sets it aside

    `position` is that of the first accepted touchpoint with this key.
    """

    outcome: Literal["accepted", "duplicate", "reused"]
    position: int


Told = Callable[[list[Appended] | Exception], None]
"""Is told once what became of a batch, or why that is not known. Called from any thread; it must be quick, and must
not raise."""


def pending() -> Future[Any]:
    """A future that cannot be cancelled: a sender who went away must not stop what is being recorded."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


def settle(future: Future[Any], end: object) -> None:
    """Ends a future of `pending` with what somebody was told."""
    if isinstance(end, Exception):
        future.set_exception(end)
    else:
        future.set_result(end)


class Journal(Protocol):
    """Records touchpoints for good, in an order that never changes.

    On one machine it has one part, records each key once, and positions are 1, 2, 3 … without gaps, in the order of
    acceptance. On many machines it has `parts`; all that is recorded under one subject is in one of them, positions
    ascend within each (see `positions`), and who follows tells repeats apart. A position that can be read stays
    readable, and what is read at it stays the same. Every method may be called from any thread.
    """

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]:
        """Records the touchpoints in the order given, and answers for each, once all are durable.

        The future fails with JournalUnavailable if the store did: it is then not known what was kept, and the
        same touchpoints appended again settle it. It cannot be cancelled. `recorded_at` of what is given is
        ignored.

        Raises at once, keeping nothing: Overloaded when the touchpoints do not fit in the queue (a batch
        larger than the queue fits when the queue is empty); JournalUnavailable when the journal was closed or
        opened read-only; ValueError for a touchpoint that no store could keep (NaN, a lone surrogate in a
        header field, a time beyond 64 bits).
        """
        ...

    def hand_in(self, touchpoints: Sequence[Touchpoint], told: Told, wake: bool = True) -> None:
        """`append` for who does it thousands of times a second: it promises and raises the same, and calls `told`
        instead of ending a future.

        `wake=False` is for who has more to hand in at once: nothing needs to begin before he calls `wake` (or anybody
        hands in without it), so that all of it is made durable together.
        """
        ...

    def wake(self) -> None:
        """Begins to record what was handed in with `wake=False`."""
        ...

    def room(self) -> int:
        """How many touchpoints `append` would take now. 0 means that it would raise Overloaded."""
        ...

    def erase(self, owners: Sequence[str]) -> Future[list[str]]:
        """Destroys the data keys of the owners (permanent ids) and answers the ids of the destroyed keys.

        Ordered with `append`: nothing that is appended afterwards is sealed with a destroyed key, and all
        that was appended before can no longer be opened if it belongs to an owner.
        """
        ...

    def alone(self, work: Callable[[], Answer]) -> Future[Answer]:
        """Runs `work` in turn with `append`: all that was appended before is durable, and nothing more is recorded
        until it ends. If it raises, the future fails with JournalUnavailable."""
        ...

    def mark_erased(self, key: str, subject: str, members: Sequence[str]) -> int:
        """Records that the members were erased, under a key of its own, and answers the position: once for each key,
        however often it is asked for. Only for work that `alone` runs."""
        ...

    def heed_erasures(self) -> None:
        """From now on `open` raises KeyDestroyed for all that was erased before, in other processes too. For who reads
        a record that says so."""
        ...

    def find(self, keys: Sequence[str]) -> list[Record]:
        """The records with these touchpoint keys, in order of position; unknown keys are left out."""
        ...

    @property
    def parts(self) -> int:
        """How many parts it has: numbered from 0, fixed when the journal was created."""
        ...

    @property
    def tells_repeats(self) -> bool:
        """Whether `append` itself tells what was recorded before. Else it accepts everything, and who follows sets
        aside what used an id again."""
        ...

    def read(self, after: int = 0, limit: int = 1000, part: int = 0) -> list[Record]:
        """The records of a part with positions greater than `after`, in order of position, at most `limit`.

        Only durable records are seen. Where bodies are large there may be fewer than `limit`, so that a stretch fits
        into memory; none means that there were none at that moment.
        """
        ...

    def open(self, record: Record) -> Touchpoint:
        """The touchpoint as it was appended, `recorded_at` filled in.

        Raises KeyDestroyed after an erasure, BodyUnreadable if the body is damaged or another record's.
        """
        ...

    def head(self, part: int = 0) -> int:
        """The position of the last durable record of a part; 0 when there is none."""
        ...

    def id_of(self, identifier: Identifier) -> str:
        """The permanent id of an identifier: the same for ever here, another one in another installation."""
        ...

    @property
    def rules(self) -> IdentityRules:
        """How identifiers are normalised and ordered: fixed when the journal was created."""
        ...

    def failing(self) -> str | None:
        """Why the last touchpoints could not be stored, while that is still so."""
        ...

    def wait_beyond(self, position: int, timeout: float) -> bool:
        """Sleeps until the head of the position's part is greater than `position`, at most `timeout` seconds. Says
        whether it is."""
        ...

    def wait_no_more(self) -> None:
        """Whoever sleeps in `wait_beyond` goes on."""
        ...

    def close(self) -> None:
        """Records what was appended, answers it, and releases everything. May be called again."""
        ...
