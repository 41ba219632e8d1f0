"""The fold and the rebuild on one core, against the same without what was done for their speed, and how much memory a
rebuild takes: `python -m benchmarks.fold`."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from benchmarks.events import SOURCE, stream
from benchmarks.measure import a_book, a_directory, timed
from benchmarks.plain.fold import PlainChanges, plain_fold, plain_rebuild, plain_write
from benchmarks.table import Row, cells, line
from touchbook.projections.changes import Changes
from touchbook.projections.stores.sqlite import SqliteProjections, build
from touchbook.settings import settings_from
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.rebuild import rebuild
from touchbook.wiring import Book, now, open_book

TOUCHPOINTS = 100_000
MEMORY = (100_000, 400_000)
GOAL = 30_000
LIVE = 2_000
"""Touchpoints that a follower who lags takes at once."""
TIMES = 3
"""Each is done so often, in turn with its baseline, and the best of each counts: others use the cores too."""


def rows(quick: bool = False) -> Iterator[Row]:
    size = 1 if not quick else 20
    with a_book() as book:
        filled(book, TOUCHPOINTS // size)
        yield from _steps(book)
        yield from _rebuilt(book, TOUCHPOINTS // size)
    if not quick:  # before its caches are full, a rebuild grows
        yield _memory(*MEMORY)


def filled(book: Book, touchpoints: int) -> None:
    """Appends so many believable touchpoints."""
    made, publisher = stream(), Publisher(SOURCE, "web")
    for _ in range(0, touchpoints, 1_000):
        items = [Item("cloudevents", one, {}) for one in islice(made, 1_000)]
        book.journal.append([book.admission.touchpoint_of(one, publisher, now()) for one in items]).result()


def _steps(book: Book) -> Iterator[Row]:
    """What following does, step by step, once it is under way."""
    before, records = book.journal.read(0, LIVE), book.journal.read(LIVE, LIVE)
    yield from _compared(
        f"open and fold, {LIVE:,} at once",
        lambda: timed(lambda: book.folder.fold(records), LIVE),
        lambda: timed(lambda: plain_fold(records, book), LIVE),
    )
    changes = [book.folder.fold(run) for run in (before, records)]
    plain = [plain_fold(run, book) for run in (before, records)]
    yield from _compared(
        f"write what was folded, {LIVE:,} at once",
        lambda: _write(book, *changes),
        lambda: _write_plainly(book, *plain),
    )


def _write(book: Book, before: Changes, changes: Changes) -> tuple[float, float]:
    with a_directory() as directory:
        store = SqliteProjections(directory, build(directory, book.version))
        store.write(before, 0, LIVE)
        took = timed(lambda: store.write(changes, LIVE, 2 * LIVE), LIVE)
        store.close()
    return took


def _write_plainly(book: Book, before: PlainChanges, changes: PlainChanges) -> tuple[float, float]:
    with a_directory() as directory:
        db = sqlite3.connect(build(directory, book.version), isolation_level=None)
        plain_write(db, before, LIVE)
        took = timed(lambda: plain_write(db, changes, 2 * LIVE), LIVE)
        db.close()
    return took


def _rebuilt(book: Book, touchpoints: int) -> Iterator[Row]:
    data = book.settings.data
    yield from _compared(
        "rebuild of all projections",
        lambda: timed(lambda: rebuild(data, book.journal, book.folder, book.version), touchpoints),
        lambda: timed(lambda: plain_rebuild(data, book), touchpoints),
        goal=True,
    )


Timed = Callable[[], tuple[float, float]]


def _compared(what: str, ours: Timed, plain: Timed, *, goal: bool = False) -> Iterator[Row]:
    """Per second of one core's time: of the CPU it takes, not of the clock on the wall, which others move too."""
    pairs = [(ours(), plain()) for _ in range(TIMES)]
    (rate, cpu), (plain_rate, plain_cpu) = (
        min(of, key=lambda took: took[1]) for of in zip(*pairs, strict=True)
    )
    row = Row(what, rate, cpu, f"{plain_cpu / cpu:.2f} of plain")
    if goal:
        row.goal, row.met = f">= {GOAL:,}/s of one core's CPU", 1e6 / cpu >= GOAL
        row.measured = f"{1e6 / cpu:,.0f}/s of CPU"
    yield row
    yield Row("  plain", plain_rate, plain_cpu)


def _memory(few: int, many: int) -> Row:
    """A process of its own for each, since the peak of a process never falls."""
    peaks = [_peak_of(touchpoints) for touchpoints in (few, many)]
    said = " / ".join(f"{peak / 2**20:,.0f} MiB" for peak in peaks)
    what = f"peak memory of a rebuild of {few:,} / {many:,}"
    return Row(
        what, None, None, goal="flat: at most 1.2 times", met=peaks[1] <= 1.2 * peaks[0], measured=said
    )


def _peak_of(touchpoints: int) -> int:
    with a_directory() as directory:
        for step in ("fill", "rebuild"):
            command = [sys.executable, "-m", "benchmarks.fold", step, str(directory), str(touchpoints)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


def _step(step: str, directory: Path, touchpoints: int) -> None:
    book = open_book(settings_from(data=directory), read_only=step == "rebuild")
    if step == "fill":
        filled(book, touchpoints)
    else:
        rebuild(directory, book.journal, book.folder, book.version)
        sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
    book.close()


def main() -> None:
    if len(sys.argv) == 4:
        _step(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
        return
    for row in rows(quick="--quick" in sys.argv):
        sys.stdout.write(line(cells(row)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
