"""What a server costs that does nothing: its start, its memory, and the disk that stored touchpoints take."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.measure import a_directory, a_server, memory_of, quantile
from benchmarks.stored import FEWER, MANY, directory_of
from benchmarks.table import Row
from touchbook.projections.stores.sqlite import serving

STARTS = 7
LEAST_BYTES = 0.5
IDLE_SECONDS = 10
GOAL_SECONDS, GOAL_MIB = 1.5, 150


def rows(quick: bool = False) -> Iterator[Row]:
    touchpoints = FEWER if quick else MANY
    stored = directory_of(touchpoints)
    with a_directory() as empty:
        yield from _started("an empty directory", empty, quick)
    yield from _started(f"{touchpoints:,} stored", stored, quick)
    yield from _disk(stored, touchpoints)


def _started(what: str, directory: Path, quick: bool) -> Iterator[Row]:
    took = []
    for _ in range(1 if quick else STARTS):
        with a_server(directory) as served:
            took.append(served.ready_after)
            begun = memory_of(served.pid)
            time.sleep(0 if quick else IDLE_SECONDS / STARTS)
    with a_server(directory) as served:
        time.sleep(1 if quick else IDLE_SECONDS)
        idle = memory_of(served.pid)
    half = quantile(took, 0.5)
    goal = f"< {GOAL_SECONDS} s"
    yield Row(f"start to the first /readyz, {what}", None, None, "", None, None, goal, half < GOAL_SECONDS,
              f"{half:.2f} s (worst {max(took):.2f})")  # fmt: skip
    size = idle / 2**20
    yield Row(f"  memory after {IDLE_SECONDS} s of nothing", None, None, "", None, None, f"< {GOAL_MIB} MiB",
              size < GOAL_MIB, f"{size:.0f} MiB ({begun / 2**20:.0f} at once)")  # fmt: skip


def _disk(directory: Path, touchpoints: int) -> Iterator[Row]:
    """Bytes for each touchpoint: by file, and within the projections by table and index."""
    projections = serving(directory)
    assert projections is not None
    files = {name: _size(directory / name) for name in ("journal.sqlite", "keyring.sqlite", projections.name)}
    for name, size in files.items():
        shown = "projections" if name == projections.name else name.removesuffix(".sqlite")
        yield _stored(f"disk for each touchpoint: {shown}", size / touchpoints)
    with closing(sqlite3.connect(projections)) as db:
        tables = db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC").fetchall()
    for name, size in tables:
        if size / touchpoints >= LEAST_BYTES:
            yield _stored(f"  {name}", size / touchpoints)


def _stored(what: str, bytes_each: float) -> Row:
    return Row(what, None, None, measured=f"{bytes_each:,.1f} bytes")


def _size(path: Path) -> int:
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.name}*"))
