"""What only the SQLite store has to see to: its files and its connections."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from touchbook.projections.changes import Changes
from touchbook.projections.stores.sqlite import SqliteProjections, build, make_serving
from touchbook.registers import ThreadMessage


def files_open_in(directory: Path) -> int:
    """File descriptors of this process that point into a directory."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(descriptor).startswith(str(directory))
        except FileNotFoundError:  # the one that lists them
            continue
    return found


def look_from_a_thread_that_ends(store: SqliteProjections) -> None:
    def look() -> None:
        with store.reading() as reader:
            assert reader.position() == 0

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_threads_that_came_and_went_leave_no_files_open(tmp_path: Path) -> None:
    store = SqliteProjections.open(tmp_path, "1-test")
    look_from_a_thread_that_ends(store)
    after_one = files_open_in(tmp_path)
    for _ in range(20):
        look_from_a_thread_that_ends(store)
    assert files_open_in(tmp_path) < 2 * after_one
    store.close()
    assert files_open_in(tmp_path) == 0


def test_a_look_stays_what_it_is_when_another_build_begins_to_serve_inside_it(tmp_path: Path) -> None:
    store = SqliteProjections.open(tmp_path, "1-test")
    with store.reading() as reader:
        make_serving(tmp_path, build(tmp_path, "2-test"))
        with store.reading() as inner:
            assert inner.position() == 0
        assert reader.position() == 0
    assert store.version() == "2-test"
    store.close()


def test_a_message_in_a_long_thread_costs_as_much_as_in_a_short_one(tmp_path: Path) -> None:
    def said(thread: str, numbers: range, role: str = "customer") -> Changes:
        return Changes(
            messages=[ThreadMessage("a" * 32, thread, n, f"{n:032x}", role, True, "web") for n in numbers]
        )

    with closing(SqliteProjections.open(tmp_path, "1-test")) as store:
        steps = dict.fromkeys(("short", "long", "answered"), 0)
        for position, (thread, size) in enumerate((("short", 10), ("long", 5_000), ("answered", 5_000))):
            store.write(said(thread, range(size)), position, position + 1)
        store.write(said("answered", range(2_500, 2_501), "agent"), 3, 4)
        for position, thread in enumerate(steps, 4):

            def count(thread: str = thread) -> int:
                steps[thread] += 1
                return 0

            store._connection().set_progress_handler(count, 10)  # instructions of SQLite's machine
            store.write(said(thread, range(9_000, 9_001)), position, position + 1)
        assert max(steps.values()) < 1.5 * steps["short"]
