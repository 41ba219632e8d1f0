"""A book with very many touchpoints stored. It takes minutes to make, so it is kept between runs, elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import events as made
from touchbook.projections.stores.sqlite import sql
from touchbook.settings import settings_from
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.rebuild import rebuild
from touchbook.wiring import Book, now, open_book

MANY, FEWER = 1_000_000, 100_000
TOUCHPOINTS_A_CUSTOMER = 20
BENCH = Publisher(made.SOURCE, "web")
AT_ONCE = 2_000
TOO_OLD_DAYS = 14
"""Scores fall with time: a book of last month would be measured with fewer rows that count."""


def customers_of(touchpoints: int) -> int:
    return touchpoints // TOUCHPOINTS_A_CUSTOMER


def cache() -> Path:
    """Where it is kept: `TOUCHBOOK_BENCH_CACHE`, or the user's cache directory."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TOUCHBOOK_BENCH_CACHE") or Path(home) / "touchbook-benchmarks")


def directory_of(touchpoints: int) -> Path:
    """The data directory with so many touchpoints, journalled and folded by this code; made where there is none. Its
    name holds a digest of what it was made from; projections of another version are built anew."""
    directory = cache() / f"{touchpoints}-{_digest(touchpoints)}"
    mark = directory / "made.json"
    if not mark.exists() or time.time() - mark.stat().st_mtime > TOO_OLD_DAYS * 86_400:
        shutil.rmtree(directory, ignore_errors=True)
        _fill(directory, touchpoints)
        mark.write_text("{}")
    _fold(directory, mark)
    return directory


def _source(touchpoints: int) -> Iterator[dict[str, Any]]:
    return made.stream(7, customers_of(touchpoints), uneven=True)


def _digest(touchpoints: int) -> str:
    """Over the first of them, without their times, which follow today."""
    told = [{**one, "time": ""} for one in islice(_source(touchpoints), 1_000)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


def _fill(directory: Path, touchpoints: int) -> None:
    book = open_book(settings_from(data=directory))
    try:
        fill(book, islice(_source(touchpoints), touchpoints))
    finally:
        book.close()


def fill(book: Book, events: Iterable[dict[str, Any]]) -> None:
    """Journals these CloudEvents as a door would."""
    source, admitted = iter(events), book.admission.touchpoint_of
    while some := [admitted(Item("cloudevents", one, {}), BENCH, now()) for one in islice(source, AT_ONCE)]:
        book.journal.append(some).result()


def _fold(directory: Path, mark: Path) -> None:
    """Projections of this version and shape, built unless they are there."""
    book = open_book(settings_from(data=directory))
    try:
        shape = [book.version, hashlib.sha256(sql("tables").encode()).hexdigest()]
        if json.loads(mark.read_text()).get("shape") == shape:
            return
        rebuild(directory, book.journal, book.folder, book.version)
    finally:
        book.close()
    kept = mark.stat().st_mtime
    mark.write_text(json.dumps({"shape": shape}))
    os.utime(mark, (kept, kept))


@contextmanager
def a_stored_book(touchpoints: int) -> Iterator[Book]:
    """The book with so many touchpoints, open; nobody follows it."""
    book = open_book(settings_from(data=directory_of(touchpoints)))
    try:
        yield book
    finally:
        book.close()
