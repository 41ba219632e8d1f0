"""`touchbook serve` in other ways, to measure beside it.

python -m benchmarks.plain.door_server unfollowed,commit-each serve --data DIR …

unfollowed    the journal alone: nothing is folded
commit-each   every request has a commit, and an fsync, of its own
followed      as it is served
plain         the writer and the doors in their plain versions, and no waiting for who comes at the same time
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.plain import append, door
from touchbook.api import access, bodies, doors
from touchbook.api.protocol import Protocol
from touchbook.cli import main as touchbook
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.streams.backends import drafts, sqlite_journal, sqlite_writer
from touchbook.streams.backends.drafts import Queue
from touchbook.streams.backends.sqlite_journal import SqliteJournal
from touchbook.streams.follow import IDLE_SECONDS, Follower
from touchbook.streams.journal import Told


def unfollowed() -> None:
    def stand_still(follower: Any) -> None:
        follower._stop.wait(IDLE_SECONDS)

    Follower._step = stand_still  # type: ignore[method-assign]


def commit_each() -> None:
    sqlite_journal.Queue = lambda size, most: Queue(size, 1)  # type: ignore[attr-defined,assignment,misc]


def plain() -> None:
    for name in ("seal_each", "insert_whole"):
        setattr(sqlite_writer, name, getattr(append, name))
    drafts.encode_body = append.encode_body  # type: ignore[attr-defined]
    doors.published, doors.count = door.published, door.count
    for module in (access, bodies, doors):
        module.header_of = door.header_of  # type: ignore[attr-defined]
    Protocol._whole = lambda *_: False  # type: ignore[assignment,method-assign]
    eager()


def eager() -> None:
    hand_in = SqliteJournal.hand_in

    def at_once(
        journal: SqliteJournal, touchpoints: Sequence[Touchpoint], told: Told, wake: bool = True
    ) -> None:
        hand_in(journal, touchpoints, told)

    SqliteJournal.hand_in = at_once  # type: ignore[method-assign]


WAYS: Mapping[str, Callable[[], None]] = {
    "unfollowed": unfollowed,
    "commit-each": commit_each,
    "plain": plain,
    "eager": eager,
    "followed": lambda: None,
}

if __name__ == "__main__":
    for way in sys.argv[1].split(","):
        WAYS[way]()
    sys.argv = ["touchbook", *sys.argv[2:]]
    touchbook()
