"""Duty: what one of many processes does for all of them.

Whoever has it acts as if he were alone. A process may be held still between asking whether it has the duty and acting
on the answer: what it does then has to be harmless though another does it too, or is recorded in a term, of which
nothing counts once another began.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from touchbook.schemas.touchpoint import Touchpoint
from touchbook.streams.journal import Appended, Journal, pending


class Duty(Protocol):
    """At most one of those who share a duty has it at any time; when he ends, or is not heard of for a session, another
    has it soon after. Methods may be called from any thread."""

    def start(self) -> None:
        """From now on it may fall to this process."""

    def held(self) -> bool:
        """Whether this process has it now. Answered from memory."""

    def close(self) -> None:
        """Hands it on, if it has it. May be called again."""


class Term(Protocol):
    """One time of having a duty. What is recorded in it is recorded only if no other term began since."""

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]:
        """See `Journal.append`. The future fails with NoDecider where another term began, and nothing was recorded.
        The positions mean something to `shows` alone."""

    def shows(self, position: int) -> bool:
        """Whether readers see what was recorded at a position."""

    def taken_over(self) -> Sequence[tuple[Touchpoint, int]]:
        """What terms before it recorded and readers may not see yet, with the positions."""


class Terms(Protocol):
    """The terms that this process has a duty for. Methods may be called from any thread."""

    def start(self) -> None:
        """From now on one may begin here."""

    def term(self) -> Term | None:
        """The one that goes on here; None where another process has the duty, or none. Answered from memory."""

    def end(self, term: Term) -> None:
        """It is not known what became of something that was to be recorded in it. In the next one it is."""

    def close(self) -> None:
        """Hands the duty on. May be called again."""


class AlwaysHeld:
    """See `Duty`, where one process is alone."""

    def start(self) -> None: ...

    def held(self) -> bool:
        return True

    def close(self) -> None: ...


class AloneTerms(AlwaysHeld):
    """See `Terms`, where one process is alone: each begins when what the one before was to record is settled."""

    def __init__(self, journal: Journal, visible: Callable[[int], bool]) -> None:
        self._journal, self._visible = journal, visible
        self._term = _AloneTerm(journal, visible)
        self._unsettled: Future[list[Appended]] = settled()

    def term(self) -> Term | None:
        return self._term if self._unsettled.done() else None

    def end(self, term: Term) -> None:
        if term is self._term:
            self._unsettled, self._term = self._term.last, _AloneTerm(self._journal, self._visible)


class _AloneTerm:
    def __init__(self, journal: Journal, visible: Callable[[int], bool]) -> None:
        self._journal = journal
        self.shows = visible
        self.last: Future[list[Appended]] = settled()

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]:
        self.last = self._journal.append(touchpoints)
        return self.last

    def taken_over(self) -> Sequence[tuple[Touchpoint, int]]:
        return ()


def settled() -> Future[list[Appended]]:
    """What became of nothing."""
    future: Future[list[Appended]] = pending()
    future.set_result([])
    return future
