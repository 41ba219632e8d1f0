"""The named points of append, fold, rebuild and key creation at which a process is killed, and the killing.

A point is a function of the product, which knows nothing of it: it is wrapped from outside. Or it is an operation on a
file, which the preloaded shim counts: `sync journal.sqlite-wal`.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Any, Literal, NamedTuple

from tests.faults.shim import KILL_AFTER, KILL_BEFORE, OPEN, RENAME, SYNC, TRUNCATE, UNLINK, WRITE, Faults

OPERATIONS = {
    "write": WRITE, "sync": SYNC, "open": OPEN, "rename": RENAME, "truncate": TRUNCATE, "unlink": UNLINK,
}  # fmt: skip

Scenario = Literal["first start", "keys create", "publish", "rebuild", "new version"]


class Point(NamedTuple):
    """Where a process is killed: before or after the `hit`-th time that `where` runs in this scenario."""

    scenario: Scenario
    when: Literal["before", "after"]
    where: str
    why: str
    hit: int = 1

    @property
    def of_a_file(self) -> bool:
        return ":" not in self.where

    def __str__(self) -> str:
        return f"{self.scenario}: {self.when} {self.where.rsplit('.', 1)[-1]} ({self.hit})"


WRITER = "touchbook.streams.backends.sqlite_writer"
JOURNAL = "touchbook.streams.backends.sqlite_journal"
KEYRING = "touchbook.streams.backends.sqlite_keyring"
CONTROL = "touchbook.streams.backends.sqlite_control"
STORE = "touchbook.projections.stores.sqlite"
REBUILD = "touchbook.streams.rebuild"
FOLLOW = "touchbook.streams.follow"

POINTS = (
    # ---- the first start: nothing is there yet
    Point("first start", "after", f"{KEYRING}:connect", "an empty keyring file"),
    Point("first start", "after", f"{KEYRING}:create_tables", "a keyring with tables and no identity"),
    Point("first start", "before", f"{KEYRING}:write_once", "the master key drawn, no file of it"),
    Point(
        "first start", "before", "rename master.key", "the master key's draft written and not yet its name"
    ),
    Point("first start", "after", "rename master.key", "the master key's file and still its draft"),
    Point("first start", "after", f"{KEYRING}:write_once", "a master key that wraps nothing yet"),
    Point(
        "first start", "before", "sync keyring.sqlite-wal", "an identity key written, not forced to disk", 2
    ),
    Point("first start", "after", f"{KEYRING}:_opened", "both keys made, no journal"),
    Point("first start", "after", f"{JOURNAL}:_locked", "the lock taken, no journal behind it"),
    Point(
        "first start", "after", f"{JOURNAL}:create_tables", "a journal with tables and no rules of identity"
    ),
    Point("first start", "before", "sync journal.sqlite-wal", "a journal's rules written, not forced", 2),
    Point("first start", "after", f"{JOURNAL}:_create", "a journal nobody writes"),
    Point("first start", "after", f"{CONTROL}:create_tables", "no projections at all"),
    Point("first start", "after", f"{STORE}:build", "a build that nothing points to"),
    Point("first start", "before", "rename projections.current", "the pointer's draft"),
    Point("first start", "after", "rename projections.current", "the pointer, its directory not forced"),
    Point("first start", "after", f"{STORE}:make_serving", "everything there, nobody served"),
    # ---- access keys
    Point("keys create", "before", f"{CONTROL}:SqliteControl.create_key", "nothing but opened"),
    Point("keys create", "after", f"{CONTROL}:transaction", "a key drawn, not written"),
    Point("keys create", "before", "sync control.sqlite-wal", "a key written, not forced to disk"),
    Point(
        "keys create", "after", f"{CONTROL}:SqliteControl.create_key", "a key made that nobody was told of"
    ),
    # ---- append: the writer, the data keys, what is set aside
    Point("publish", "before", f"{WRITER}:Writer._do", "a batch taken from the queue", 9),
    Point("publish", "before", f"{KEYRING}:SqliteKeyring._made", "about to draw customers' keys", 2),
    Point("publish", "before", f"{KEYRING}:insert", "in the midst of writing customers' keys", 3),
    Point("publish", "after", f"{KEYRING}:insert", "keys written, not committed"),
    Point("publish", "before", "sync keyring.sqlite-wal", "keys committed, not forced to disk", 2),
    Point(
        "publish", "after", f"{KEYRING}:SqliteKeyring._made", "keys durable that nothing is sealed with", 2
    ),
    Point("publish", "after", f"{WRITER}:Writer._sealed", "bodies sealed, not written", 5),
    Point("publish", "before", f"{WRITER}:insert_whole", "sealed, no transaction begun", 12),
    Point("publish", "before", "write journal.sqlite-wal", "in the midst of the journal's pages", 30),
    Point("publish", "after", f"{WRITER}:insert_whole", "committed, the head not moved", 7),
    Point("publish", "before", "sync journal.sqlite-wal", "touchpoints committed, not forced to disk", 10),
    Point("publish", "after", "sync journal.sqlite-wal", "touchpoints durable, nobody told", 8),
    Point("publish", "after", f"{WRITER}:Writer._append", "durable, no sender answered", 11),
    Point("publish", "after", f"{WRITER}:Writer._do", "a batch answered, the next waiting", 6),
    Point("publish", "before", f"{CONTROL}:SqliteControl.set_aside", "rejected, not set aside", 2),
    Point("publish", "after", f"{CONTROL}:SqliteControl.set_aside", "set aside, the sender not told"),
    # ---- fold
    Point("publish", "before", f"{STORE}:SqliteProjections.write", "records read and folded, not saved", 3),
    Point("publish", "before", f"{STORE}:write_changes", "the position moved, the rows not yet", 4),
    Point("publish", "before", f"{STORE}:write_claims", "half of the tables written", 2),
    Point("publish", "after", f"{STORE}:write_changes", "all rows written, not committed", 5),
    Point("publish", "after", f"{STORE}:SqliteProjections.write", "a batch folded, nobody told", 2),
    # ---- rebuild
    Point("rebuild", "before", f"{REBUILD}:build", "alone, and nothing begun"),
    Point("rebuild", "after", f"{REBUILD}:build", "an empty build"),
    Point("rebuild", "after", f"{STORE}:SqliteFile.hurry", "a build without a log to go back by"),
    Point("rebuild", "before", f"{STORE}:write_changes", "rows written straight into the file"),
    Point("rebuild", "before", f"{STORE}:SqliteFile.settle", "all folded, nothing forced to disk"),
    Point("rebuild", "after", f"{STORE}:SqliteFile.settle", "complete, and not serving"),
    Point("rebuild", "before", f"{REBUILD}:make_serving", "closed, and not serving"),
    Point("rebuild", "before", "rename projections.current", "the pointer's draft beside the pointer"),
    Point("rebuild", "after", "rename projections.current", "the new one serves, the old one is still there"),
    Point("rebuild", "after", "unlink projections-", "the old one half deleted"),
    # ---- a version of the projections that a server builds by itself
    Point("new version", "after", f"{REBUILD}:build", "an empty build beside what serves"),
    Point("new version", "after", f"{STORE}:SqliteFile.settle", "complete, and the old one serves"),
    Point("new version", "after", "rename projections.current", "the new one serves, the old one is there"),
)


def points_of(scenario: Scenario) -> list[Point]:
    return [point for point in POINTS if point.scenario == scenario]


def arm(point: Point, faults: Faults | None) -> None:
    """From now on this process, or whoever has these faults mapped, does not live beyond the point."""
    if not point.of_a_file:
        wrap(point.where, point.when, point.hit)
        return
    assert faults is not None
    operation, name = point.where.split()
    action = KILL_BEFORE if point.when == "before" else KILL_AFTER
    faults.set(action, OPERATIONS[operation], skip=point.hit - 1, times=1, name=name)


def place_of(where: str) -> tuple[Any, str]:
    """What holds the function `module:Class.function`, and its name there. Raises LookupError if it does not."""
    module, _, path = where.partition(":")
    *owners, name = path.split(".")
    place: Any = importlib.import_module(module)
    for owner in owners:
        place = getattr(place, owner, None)
    if name not in vars(place or object()):
        raise LookupError(f"{where}: there is no such function any more; name another point in its place")
    return place, name


def wrap(where: str, when: str, hit: int) -> None:
    """Kills this process before or after the `hit`-th call."""
    place, name = place_of(where)
    calls = count(1)
    held = vars(place)[name]
    inner: Callable[..., Any] = held.__func__ if isinstance(held, classmethod | staticmethod) else held

    @functools.wraps(inner)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        last = next(calls) == hit
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = inner(*arguments, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(place, name, type(held)(wrapped) if held is not inner else wrapped)
