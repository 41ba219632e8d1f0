"""Rebuilding: the projections made anew from the journal, beside those that serve, and then swapped."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from touchbook.errors import RebuildRunning
from touchbook.projections.fold import Folder
from touchbook.projections.stores.sqlite import SqliteProjections, build, discard, make_serving
from touchbook.streams.journal import Journal

Progress = Callable[[int, int], None]
"""Told (folded so far, journal's head) after every batch."""

BATCH = 5_000


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
    with _alone(directory):
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
        projections.close()
        make_serving(directory, path)
    return done


def _fold_on(
    projections: SqliteProjections, journal: Journal, folder: Folder, done: int, progress: Progress
) -> int:
    while records := journal.read(done, BATCH):
        projections.write(folder.fold(records), done, records[-1].position)
        done = records[-1].position
        progress(done, journal.head())
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
