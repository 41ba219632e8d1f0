"""The terms of the clock, where many processes could be it.

What it records goes into a log of its own first, and from there into the journal: a clock that was held still while
another took over finds that nothing of what it goes on recording counts. See `kafka_decisions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from touchbook.schemas.touchpoint import Touchpoint
from touchbook.streams import duty
from touchbook.streams.backends.kafka_decisions import KafkaDecisions, Term
from touchbook.streams.contacting_many import LOOK_SECONDS, Leading

NOWHERE = ""
"""Nobody asks a clock for anything."""


@dataclass(frozen=True)
class _Begun:
    term: Term

    def restore(self, taken: Sequence[tuple[Touchpoint, int]]) -> None: ...


class ManyTerms(Leading[_Begun]):
    """See `Terms`."""

    def __init__(
        self,
        held: duty.Duty,
        verdicts: KafkaDecisions,
        *,
        max_queue: int,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`verdicts` is the log."""
        super().__init__(
            held, verdicts, _Begun, NOWHERE, name="clock", max_queue=max_queue, look_seconds=look_seconds
        )

    def term(self) -> duty.Term | None:
        begun = self._deciding
        return begun.term if begun is not None and self._duty.held() else None

    def end(self, term: duty.Term) -> None:
        if isinstance(term, Term):
            self.give_up(term)
