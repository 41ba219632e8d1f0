"""How far one assignment of partitions has come, so that nothing between it and the fold can lose records unnoticed.

Fetched packs pass through an engine's tasks and queues, some of which are emptied when partitions change hands. So a
pack says from which offset on it was read and up to which, and only the next one of its partition is taken: what comes
again is left alone, and what is missing is read again. Only what was acknowledged without a gap is committed. Nothing
of one assignment counts for another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

log = logging.getLogger(__name__)

Place = tuple[str, int]
"""(topic, part)."""
LOST_SECONDS = 10.0
"""What was read so long ago and has not come since is read again: it may be lost, and nothing behind it would tell.
Twice as long each time: it may also stand behind much else, and what was read again stands behind that once more."""


class Assigned(Protocol):
    """Partitions that were given to us; see `Assignment`."""

    def holds(self) -> bool: ...
    async def commit(self, offsets: Mapping[Place, int]) -> bool: ...


@dataclass(eq=False)
class Reading:
    """One assignment. Offsets are of the record that is next: all before it is done.

    `starts`  where each partition begins: what was committed when it was assigned
    `read`    up to here it was fetched; set by whoever fetches, who asks `turn` before, and after `turned`
    `came`    up to here it arrived, without a gap
    `kept`    up to here it was acknowledged, without a gap
    `turn`    grows when what was fetched has to be fetched again, from `came` on; packs of earlier turns are refused
    """

    assignment: Assigned
    starts: Mapping[Place, int]
    read: dict[Place, int] = field(init=False)
    came: dict[Place, int] = field(init=False)
    kept: dict[Place, int] = field(init=False)
    committed: dict[Place, int] = field(init=False)
    turn: dict[Place, int] = field(init=False)
    _turned: dict[Place, int] = field(init=False)
    _waits: dict[Place, tuple[int, float, float]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.read, self.came, self.kept, self.committed = (dict(self.starts) for _ in range(4))
        self.turn = dict.fromkeys(self.starts, 0)
        self._turned = dict(self.turn)
        log.info(
            "reads %s", ", ".join(f"{topic}:{part} from {at}" for (topic, part), at in self.starts.items())
        )

    def is_ours(self) -> bool:
        """Whether the assignment holds still; for any thread. Once it does not, nothing of it counts any more."""
        return self.assignment.holds()

    # For whoever fetches

    def again(self) -> dict[Place, int]:
        """Where to fetch from instead of from where it was, in these partitions; said once."""
        back = {place: turn for place, turn in self.turn.items() if turn != self._turned[place]}
        self._turned |= back
        for place in back:
            self.read[place] = self.came[place]
        return {place: self.read[place] for place in back}

    def fetched(self, place: Place, end: int) -> tuple[int, int]:
        """Up to where it was fetched now; answers from where, and the turn."""
        start, self.read[place] = self.read[place], end
        return start, self._turned[place]

    # For whoever is given packs, and acknowledges them

    def arrives(self, place: Place, start: int, end: int, turn: int) -> bool:
        """Whether this is what comes next, and is to be taken."""
        if not self.is_ours() or turn != self.turn[place]:
            return False
        if start != self.came[place]:
            self._miss(place)
            return False
        self.came[place] = end
        return True

    def look(self, now: float) -> None:
        """To be called every few seconds, with seconds that only grow: has what did not come read again."""
        for place, came in self.came.items():
            waits = self._waits.get(place)
            if self.read[place] == came or waits is None or waits[0] != came:
                self._waits[place] = came, now, LOST_SECONDS
                continue
            _, since, patience = waits
            if now - since >= patience:
                self._waits[place] = came, now, 2 * patience
                self._miss(place)

    def keep(self, place: Place, start: int, end: int) -> None:
        """What was taken is kept for good. Nothing counts behind what was not."""
        if self.kept[place] == start:
            self.kept[place] = end

    def to_commit(self) -> dict[Place, int]:
        """Offsets beyond those that are committed."""
        return {place: kept for place, kept in self.kept.items() if kept > self.committed[place]}

    def _miss(self, place: Place) -> None:
        log.info(
            "what was fetched of %s:%d from %d on did not all arrive: it is read again",
            *place,
            self.came[place],
        )
        self.turn[place] += 1
