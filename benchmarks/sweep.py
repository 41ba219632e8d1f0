"""The sweep after midnight: everybody's scores of the new day, and who changed tier.

`python -m benchmarks.sweep --customers 1000000 --share 0.5` makes a base of that many (minutes, and 8 GB), and measures
a sweep of it in a running server: the time and memory it takes, and how long single posts take at the door meanwhile.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from benchmarks.events import stream
from benchmarks.load import Answered, load, request
from benchmarks.measure import SERVERS_CORE, Served, a_book, a_directory, a_server, cpu_of, memory_of, timed
from benchmarks.stored import TOUCHPOINTS_A_CUSTOMER, fill
from benchmarks.table import HEAD, Row, cells, line, say
from touchbook.ledger import MILLISECONDS_A_DAY, day_of
from touchbook.projections.stores.sqlite import BUILD_CACHE_KIBIBYTES, SqliteProjections
from touchbook.projections.stores.watch_file import WatchFile
from touchbook.projections.watch import FILE, Watch
from touchbook.schemas.cloudevents import STRUCTURED
from touchbook.streams.follow import catch_up
from touchbook.wiring import Book, now

CUSTOMERS = 100_000
TEMPLATES = 2_000
COPIED_AT_ONCE = 10_000
GOAL = 10_000
"""Customers a second on one core."""
POSTS_A_SECOND, POSTS = 100, 2_000
TOLD_EVERY_SECONDS = 10
BY_SUBJECT = {
    "ledger": "signal, day, count, total",
    "registers": "kind, key, value, occurred_at, touchpoint",
    "unanswered": "thread, occurred_at, key",
}


def rows(quick: bool = False) -> Iterator[Row]:
    customers = 2_000 if quick else CUSTOMERS
    with a_directory() as directory:
        make_base(directory, customers)
        with a_book(directory) as book:
            ago = [2]
            watch = watch_over(book, directory, ago)
            took = timed(watch.look, customers)
            yield _row(f"everybody looked at for the first time, {customers:,} customers", took)
            for day in (1, 0):  # after the first of all it is known how long stages usually last
                ago[0] = day
                took = timed(watch.look, customers)
            yield _row(f"a sweep after midnight, {customers:,} customers", took, GOAL)
            watch.close()


def watch_over(book: Book, directory: Path, ago: list[int]) -> Watch:
    """One that takes a whole core, on the day so many days ago."""

    def clock() -> int:
        return now() - ago[0] * MILLISECONDS_A_DAY

    path = directory / FILE
    return Watch(book.projections, book.customers, book.scorecards, book.policies, clock, path, 1.0)


def _row(what: str, took: tuple[float, float], goal: int | None = None) -> Row:
    rate, cpu = took
    told = "" if goal is None else f"≥ {goal:,}/s on one core"
    return Row(what, rate, cpu, goal=told, met=None if goal is None else 1e6 / cpu >= goal)


def make_base(directory: Path, customers: int) -> None:
    """Customers whose histories are copies of some that were folded; each was known by two identifiers."""
    with a_book(directory) as book:
        told = stream(9, TEMPLATES, uneven=True)
        fill(book, islice(told, TEMPLATES * TOUCHPOINTS_A_CUSTOMER))
        catch_up(book.journal, book.projections, book.folder)
        assert isinstance(book.projections, SqliteProjections)
        file = book.projections.file
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        templates = [id for (id,) in db.execute("SELECT id FROM identifiers WHERE touchpoints ORDER BY id")]
        made = sorted(hashlib.sha256(b"%d" % n).hexdigest()[:32] for n in range(customers - len(templates)))
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{BUILD_CACHE_KIBIBYTES}"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("CREATE TEMP TABLE copies (id TEXT, twin TEXT, template TEXT)")
        progress = Progress("made", customers)
        for start in range(0, len(made), COPIED_AT_ONCE):
            progress.at(start)
            part = made[start : start + COPIED_AT_ONCE]
            copies = [
                (id, f"{int(id, 16) ^ 1:032x}", templates[n % len(templates)]) for n, id in enumerate(part)
            ]
            _copy(db, copies)
        db.execute("PRAGMA journal_mode = WAL")


class Progress:
    """Says every few seconds how far something is, on stderr."""

    def __init__(self, what: str, customers: int) -> None:
        self._what, self._customers, self._began = what, customers, time.monotonic()
        self._told = self._began

    def at(self, customers: int) -> None:
        now = time.monotonic()
        if now >= self._told + TOLD_EVERY_SECONDS:
            self._told = now
            took = now - self._began
            sys.stderr.write(f"  {self._what}: {customers:,} of {self._customers:,}, {took:,.0f} s\n")


def _copy(db: sqlite3.Connection, copies: Sequence[tuple[str, str, str]]) -> None:
    db.execute("BEGIN")
    db.execute("DELETE FROM copies")
    db.executemany("INSERT INTO copies VALUES (?, ?, ?)", copies)
    for table, columns in {**BY_SUBJECT, "thread_messages": _columns_of(db, "thread_messages")}.items():
        db.execute(
            f"INSERT INTO {table} (subject, {columns}) SELECT copies.id, {columns} FROM copies "
            f"CROSS JOIN {table} AS old ON old.subject = copies.template"
        )
    for id, type, seen in (("id", "user_id", "touchpoints"), ("twin", "anonymous_id", "0")):
        db.execute(
            "INSERT INTO identifiers "
            "(id, type, value, first_seen, last_seen, touchpoints, changed, grp, shared, blocked) "
            f"SELECT copies.{id}, '{type}', copies.id, first_seen, last_seen, {seen}, changed, copies.id, 0, 0 "
            "FROM copies CROSS JOIN identifiers AS old ON old.id = copies.template"
        )
    db.execute(
        "INSERT INTO claims (lesser, greater, strength, apart, own, occurred_at, touchpoint, source, times, last_at) "
        "SELECT id, twin, 1, 0, '', 0, id, 'bench', 1, 0 FROM copies"
    )
    db.execute("COMMIT")


def _columns_of(db: sqlite3.Connection, table: str) -> str:
    names = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]
    return ", ".join(name for name in names if name != "subject")


# In a server, beside the door


def served(customers: int, share: float) -> Iterator[Row]:
    os.environ["TOUCHBOOK_CLOCK"] = "false"  # these histories would all be judged at once
    os.environ["TOUCHBOOK_SWEEP_SHARE"] = str(share)
    with a_directory() as directory:
        began = time.perf_counter()
        make_base(directory, customers)
        say(f"{customers:,} customers made in {time.perf_counter() - began:,.0f} s")
        with a_book(directory) as book:
            watch, told = watch_over(book, directory, [1]), Progress("looked at", customers)
            watch.listen(lambda: told.at(watch.counted))
            yield _row(f"everybody looked at for the first time, {customers:,}", timed(watch.look, customers))
            watch.close()
            secret = book.control.create_key("publish", "bench", "bench")[1]
        with a_server(directory, SERVERS_CORE) as server:
            yield from _beside(server, WatchFile(directory / FILE), secret, customers, share)
        size = sum(file.stat().st_size for file in directory.glob(f"{FILE}*"))
        yield Row("  the watch's file", None, None, measured=f"{size / 2**20:,.0f} MiB")


def _beside(server: Served, file: WatchFile, secret: str, customers: int, share: float) -> Iterator[Row]:
    """The server finds that the day is another, and sweeps."""
    began, spent, most, answered = time.perf_counter(), cpu_of(server.pid), 0, list[Answered]()
    told = Progress("swept", customers)
    while (found := file.described()) is None or found.swept != found.day or found.day != day_of(now()):
        told.at(0 if found is None or found.day != day_of(now()) else found.counted)
        answered.append(_posts(server, secret, len(answered)))
        most = max(most, memory_of(server.pid))
    took, spent = time.perf_counter() - began, cpu_of(server.pid) - spent
    yield Row(
        f"the same sweep in a server, {share:.0%} of a core, {customers:,} customers; CPU with the posts",
        customers / took, spent / customers * 1e6, measured=f"{took:,.0f} s, {most / 2**20:,.0f} MiB",
    )  # fmt: skip
    yield _door(f"  single posts meanwhile, {POSTS_A_SECOND}/s", answered)
    quiet = [_posts(server, secret, -n) for n in range(1, 4)]
    yield _door("  single posts when it is done", quiet)
    file.close()


def _door(what: str, answered: Sequence[Answered]) -> Row:
    together = Answered(
        [took for one in answered for took in one.took], seconds=sum(one.seconds for one in answered)
    )
    return Row(what, together.rate, None, p99=together.share(0.99), p50=together.share(0.5))


def _posts(server: Served, secret: str, run: int) -> Answered:
    told = islice(stream(run + 1_000, TEMPLATES), POSTS)
    asked = [request("POST", "/v1/events", secret, json.dumps(one).encode(), STRUCTURED) for one in told]
    return load(server, asked, rate=POSTS_A_SECOND, besides=SERVERS_CORE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--share", type=float, default=0.2, help="of a core, for the server's sweep")
    asked = parser.parse_args(sys.argv[1:])
    say(line(HEAD))
    for row in served(asked.customers, asked.share):
        say(line(cells(row)))
