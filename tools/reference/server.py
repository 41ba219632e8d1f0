"""An application over an empty data directory, to be asked what it offers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from touchbook.api.app import create_app
from touchbook.settings import settings_from
from touchbook.wiring import Book, open_book


@contextmanager
def an_application() -> Iterator[tuple[Book, dict[str, object]]]:
    """The book, and the description of its API."""
    with tempfile.TemporaryDirectory(prefix="touchbook-reference-") as directory:
        book = open_book(settings_from(data=Path(directory)))
        try:
            yield book, create_app(book).openapi()
        finally:
            book.close()
