"""How soon we answered: exact, of turns one by one."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable

from touchbook.projections.watched import By, Response, TurnState, Waited, WatchedTurn


def response_of(turns: Iterable[WatchedTurn], by: By, now: int) -> list[Response]:
    """Of each channel, team or agent, those with the most turns first; see `Response`."""
    every, first = defaultdict[str | None, _Tally](_Tally), defaultdict[str | None, _Tally](_Tally)
    for turn in turns:
        of = named_by(turn, by)
        every[of].add(turn, now)
        if turn.first:
            first[of].add(turn, now)
    found = [Response(of, tally.told(), first[of].told()) for of, tally in every.items()]
    return sorted(found, key=lambda one: (-one.turns.n, one.of or ""))


def named_by(turn: WatchedTurn, by: By) -> str | None:
    named: str | None = getattr(turn, by)
    return named


class _Tally:
    """Counts, and the waits as eight bytes each."""

    def __init__(self) -> None:
        self._n = 0
        self._states = Counter[TurnState]()
        self._waits: list[array[int]] = [array("q") for _ in range(4)]

    def add(self, turn: WatchedTurn, now: int) -> None:
        self._n += 1
        self._states.update(turn.states(now))
        by_bot, by_human = (
            None if at is None else at - turn.opened_at for at in (turn.bot_at, turn.human_at)
        )
        for waits, waited in zip(
            self._waits, (turn.waited, turn.waited_working, by_bot, by_human), strict=True
        ):
            if waited is not None:
                waits.append(waited)

    def told(self) -> Waited:
        ranks = [rank(sorted(waits), percent) for waits in self._waits for percent in (50, 90)]
        states = self._states
        return Waited(
            self._n, states["answered"], states["ignored"], states["open"], states["by_bot"], states["by_human"],
            states["in_target"], states["late"], *ranks,
        )  # fmt: skip


def rank(ordered: list[int], percent: int) -> int | None:
    """The nearest rank: the least of them that so many percent do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None
