"""Rebuilding: the projections made anew from the journal, beside those that serve, and then swapped."""

from __future__ import annotations

import fcntl
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from touchbook.errors import RebuildRunning
from touchbook.projections.fold import Folder
from touchbook.projections.stores.sqlite import (
    SqliteProjections,
    build,
    clear,
    copied,
    discard,
    make_serving,
    serving,
    still,
)
from touchbook.streams.follow import fold_on
from touchbook.streams.journal import Journal

Progress = Callable[[int, int], None]
"""Told (folded so far, journal's head) after every batch."""

BATCH = 20_000
"""Touchpoints folded into one write: the more there are, the more of their rows are neighbours."""
SELDOM = 50_000
"""Objects made, and not dropped, between two looks for cycles of dropped ones."""


def rebuild(
    directory: Path,
    journal: Journal,
    folder: Folder,
    version: str,
    progress: Progress = lambda done, head: None,
) -> int:
    """Folds the whole journal into a new build, lets it serve, and answers the position it reached.

    What serves meanwhile keeps serving, and a server that runs notices the swap by itself. Ended by an error, it
    leaves nothing, above all no file that keeps a full disk full; killed, a file that the next build deletes. Raises
    `RebuildRunning` if another rebuild is under way; whatever `progress` raises ends it.
    """
    with _alone(directory), _seldom_collecting():
        clear(directory)
        path = build(directory, version)
        projections = SqliteProjections(directory, path)
        try:
            projections.hurry()
            done = _fold_on(projections, journal, folder, 0, progress)
            projections.settle()
            done = _fold_on(projections, journal, folder, done, progress)  # what came in while it settled
        except BaseException:
            projections.close()
            discard(path)
            raise
        return _begin_to_serve(directory, projections, journal, folder, done)


def scrub(directory: Path, journal: Journal, folder: Folder, stop: Callable[[], bool]) -> int:
    """Replaces what serves by a copy that holds nothing which was ever deleted, and removes every other build: also one
    that a killed rebuild left. Answers the position up to which it is so clean: what was deleted further on was deleted
    in the copy. Needs as much free disk as the projections take. Raises `RebuildRunning`."""
    with _alone(directory):
        path = copied(directory, stop)
        projections = SqliteProjections(directory, path)
        try:
            projections.settle()
            with projections.reading() as reader:
                clean = reader.position()
            done = _fold_on(projections, journal, folder, clean, _untold)  # what came in meanwhile
            projections.settle()
        except BaseException:
            projections.close()
            discard(path)
            raise
        _begin_to_serve(directory, projections, journal, folder, done)
    return clean


def _fold_on(
    projections: SqliteProjections, journal: Journal, folder: Folder, done: int, progress: Progress
) -> int:
    while records := journal.read(done, BATCH):
        fold_on(journal, projections, folder, records, done)
        done = records[-1].position
        progress(done, journal.head())
    return done


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    """What folding makes and drops holds no cycles: to look for some after every 700 objects, and then ever again in
    all that was there before, took an eighth of a rebuild."""
    often, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.freeze()
    gc.set_threshold(SELDOM, *often[1:])
    try:
        yield
    finally:
        gc.set_threshold(*often)
        if not frozen:
            gc.unfreeze()


def clear_left_over(directory: Path) -> None:
    """Deletes the builds of rebuilds that were killed, unless one is under way."""
    with suppress(RebuildRunning), _alone(directory):
        clear(directory)


def _untold(done: int, head: int) -> None:
    """For a fold that tells nobody how far it is."""


def _begin_to_serve(
    directory: Path, projections: SqliteProjections, journal: Journal, folder: Folder, done: int
) -> int:
    """Swaps while nobody writes what serves, and not before the new build holds what that does: who was told that a
    position is visible sees it afterwards too."""
    path = projections.file
    try:
        with still(directory) as standing:
            if done < standing:
                done = _fold_on(projections, journal, folder, done, _untold)
            projections.close()
            make_serving(directory, path)
    except BaseException:
        projections.close()
        if serving(directory) != path:
            discard(path)
        raise
    return done


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two builds at once would delete each other's file when they begin to serve."""
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RebuildRunning(str(directory)) from None
    finally:
        os.close(lock)
