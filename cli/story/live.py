"""What goes on happening: a trickle of live touchpoints, a few little scenes at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

from touchbook.cli.story import episodes as he
from touchbook.cli.story import marta
from touchbook.cli.story.pen import HOUR, Pen, Told
from touchbook.cli.story.people import Person

AT_ONCE = 3
"""Scenes that go on at the same time."""


class Live:
    """An endless trickle. Every call of `next` tells one thing more that has just happened."""

    def __init__(self, cast: Sequence[Person], seed: int) -> None:
        self._cast = cast
        self._seed = seed
        self._rng = random.Random(f"live {seed}")
        self._scenes: list[Iterator[Told]] = []
        self._told = 0

    def next(self, now: int) -> Told:
        """The next touchpoint, having happened at `now` (milliseconds UTC), or hours ago where a till in a shop was
        without a connection. Its id is unlike any other's of a trickle that began at another time."""
        while True:
            if len(self._scenes) < AT_ONCE:
                self._scenes.append(self._scene(now))
            scene = self._rng.choice(self._scenes)
            step = next(scene, None)
            if step is not None:
                self._told += 1
                late = step.source == "shops" and self._rng.random() < 0.5
                return replace(
                    step, id=f"{step.id}-live-{now}-{self._told}", at=now - 3 * HOUR if late else now
                )
            self._scenes.remove(scene)

    def _scene(self, now: int) -> Iterator[Told]:
        """One episode of somebody's, told step by step; written as of yesterday so that all of it has happened. Marta
        and Vera have their share: whoever has one of them before him sees it go on."""
        if self._rng.randrange(10) == 0:
            return iter(marta.goes_on(self._rng.choice((marta.MARTA, marta.VERA)), now))
        pen = Pen(self._rng.choice(self._cast), self._rng.randrange(2**32), now)
        what = self._rng.randrange(10)
        if what < 3:
            he.browses(pen, 1, pages=1, views=3, app=what == 0)
        elif what < 6:
            he.chats(
                pen,
                1,
                ending=self._rng.choice(["solved", "handed"]),
                channel=self._rng.choice(["web_chat", "messenger"]),
            )
        else:
            _others[what - 6](pen)
        return iter(sorted(pen.told, key=lambda one: one.at))


def _visits(pen: Pen) -> None:
    he.visits_the_shop(pen, 1, kiosk=True)


def _tries(pen: Pen) -> None:
    he.tries_in_ar(pen, 1)


def _answers(pen: Pen) -> None:
    he.is_asked(pen, 1, csat=pen.rng.choice([2, 4, 5, 5]))


def _posts(pen: Pen) -> None:
    he.posts(pen, 1)


_others = (_visits, _tries, _answers, _posts)
