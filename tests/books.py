"""A real Touchbook in a folder of its own, and one-line ways to put something into it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.schemas.times import day_number, rfc3339
from touchbook.settings import settings_from
from touchbook.streams.admission import Item, Outcome, Publisher
from touchbook.streams.follow import catch_up
from touchbook.wiring import Book, open_book

TODAY = day_number("2026-06-01")
NOON = TODAY * MILLISECONDS_A_DAY + MILLISECONDS_A_DAY // 2
SHOP = Publisher(source="shop", channel="web_chat")


@contextmanager
def a_book(directory: Path | None = None, **settings: Any) -> Iterator[Book]:
    """A book that nobody follows yet: `folded` does it when the test says so."""
    made = None if directory else Path(tempfile.mkdtemp(prefix="touchbook-test-"))
    book = open_book(settings_from(data=directory or made, **settings))
    try:
        yield book
    finally:
        book.close()
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def event(
    type: str,
    data: dict[str, Any] | None = None,
    *,
    who: dict[str, Any] | str = "ann",
    days_ago: float = 0,
    id: str | None = None,
    source: str = "shop",
    **attributes: Any,
) -> dict[str, Any]:
    """A CloudEvent; `who` is a user_id or a dict of identifiers."""
    at = NOON - int(days_ago * MILLISECONDS_A_DAY)
    identifiers = {"user_id": who} if isinstance(who, str) else who
    made = {
        "specversion": "1.0",
        "source": source,
        "type": type,
        "time": rfc3339(at),
        "data": {**(data or {}), "identifiers": identifiers},
        **attributes,
    }
    return made if id is None else {**made, "id": id}


def publish(
    book: Book, events: Sequence[dict[str, Any]], publisher: Publisher = SHOP, received_at: int = NOON
) -> list[Outcome]:
    items = [Item("cloudevents", one, {}) for one in events]
    return book.admission.admit(items, publisher, received_at).result(30)


def folded(book: Book, batch: int = 2_000) -> Book:
    """The book with everything in its journal visible."""
    catch_up(book.journal, book.projections, book.folder, batch)
    return book
