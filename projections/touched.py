"""Who was touched lately, as whoever fills the projections in this process saw it happen: for those who look again at
everybody something new is known of, and at nobody else."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from pathlib import Path
from weakref import WeakValueDictionary

from touchbook.projections.changes import Changes

KEPT = 200_000
"""Ids that are remembered, the latest."""
DECISIONS = frozenset(
    f"contact_{word}" for word in ("reserved", "deferred", "suppressed", "confirmed", "released")
)
"""What decisions about contacting somebody, and what became of them, count: their own names and nothing else."""


def decided_alone(changes: Changes) -> dict[str, int]:
    """Of whom the changes hold nothing but such decisions, and when he was seen first in them. If he was known then,
    nothing else of him changed: not who he is, no register, no message, no other row of his ledger."""
    found = {
        subject
        for subject, ledger in changes.ledgers.items()
        if all(signal in DECISIONS for signal, _ in ledger)
    }
    if found:
        found -= {subject for subject, _, _ in changes.registers}
        found -= {one.subject for one in changes.messages}
        found -= {id for pair in changes.identifiers if pair[0] != pair[1] for id in pair}
    return {id: changes.identifiers[id, id].first_seen for id in found}


class Touched:
    """Positions and the ids that were touched at each, without a gap; any thread may add and ask."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._guard = threading.Lock()
        self._steps: deque[tuple[int, Collection[str], Collection[str]]] = deque()
        self._ids = 0
        self._since: int | None = None
        self._position = 0

    def add(self, after: int, position: int, ids: Collection[str], decided: Collection[str] = ()) -> None:
        """These were touched beyond `after` up to `position`, those `decided` by nothing but decisions about contacting
        them. Where somebody else wrote in between, what was before is of no use any more."""
        with self._guard:
            if after != self._position:
                self._forget(after)
            self._steps.append((position, ids, decided))
            self._ids += len(ids)
            self._position = position
            if self._since is None:
                self._since = after
            while self._ids > self._kept:
                self._since, gone, _ = self._steps.popleft()
                self._ids -= len(gone)

    def forget(self, position: int) -> None:
        """What changed up to here cannot be told by naming ids."""
        with self._guard:
            self._forget(position)

    def since(self, position: int, decisions: bool = True) -> tuple[set[str], int] | None:
        """Those touched after the position, and how far that is told; None where it is not known. Those who were by
        `decisions` alone are left out where these are not asked for."""
        with self._guard:
            if self._since is None or position < self._since:
                return None
            found = set[str]()
            for at, ids, decided in reversed(self._steps):
                if at <= position:
                    break
                found.update(ids if decisions or not decided else set(ids).difference(decided))
            return found, max(position, self._position)

    def _forget(self, position: int) -> None:
        self._steps.clear()
        self._ids, self._since, self._position = 0, position, position


_of_files: WeakValueDictionary[Path, Touched] = WeakValueDictionary()
_guard = threading.Lock()


def touched_in(file: Path) -> Touched:
    """Of this build: one for who fills it and who reads it."""
    with _guard:
        return _of_files.setdefault(file, Touched())
