"""`touchbook rebuild` and `touchbook digest`: what is folded from the journal, made anew and compared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from touchbook.cli.options import AsJson, Config, Data, settings_of
from touchbook.cli.output import progress, say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.settings import Settings
    from touchbook.wiring import Book

PATIENCE_SECONDS = 2.0
"""How long another process may take for its next step before nobody is thought to be folding."""


def rebuild(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """Make the projections anew from the journal, beside those that serve, and then swap.

    Works beside a running server, which notices the swap by itself.
    """
    from touchbook.streams.rebuild import rebuild as make_anew

    with reading(settings_of(config, data=data)) as book, progress("rebuilding", "touchpoints") as tell:
        began = time.monotonic()
        folded = make_anew(
            book.settings.data,
            book.journal,
            book.folder,
            book.version,
            lambda done, head: tell(done, head, done),
        )
        made = {
            "touchpoints": folded,
            "version": book.version,
            "unreadable": book.folder.unreadable,
            "seconds": round(time.monotonic() - began, 3),
        }
    if as_json:
        show_json(made)
        return
    show_rows(("what", "value"), made.items())


def digest(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """Print one digest per projection, of everything in the journal.

    Over content only: the same for the same touchpoints, whatever the order, the batching or the installation.
    """
    with reading(settings_of(config, data=data)) as book:
        caught_up(book)
        digests = book.projections.digest()
    if as_json:
        show_json(digests)
        return
    show_rows(("projection", "digest"), digests.items())


@contextmanager
def reading(settings: Settings) -> Iterator[Book]:
    """The book of an existing data directory, to read and rebuild, whether or not a server runs on it.

    Raises `NotATouchbook` and makes nothing where there is none.
    """
    from touchbook.errors import NotATouchbook
    from touchbook.streams.backends.sqlite_journal import FILE
    from touchbook.wiring import open_book

    if not (settings.data / FILE).is_file():
        raise NotATouchbook(str(settings.data))
    book = open_book(settings, read_only=True)
    try:
        yield book
    finally:
        book.close()


def caught_up(book: Book) -> None:
    """Returns once everything that is in the journal now is folded: by the server that runs, or, where nobody moves
    any more, by this process."""
    head = book.journal.head()
    position = _position(book)
    moved = time.monotonic()
    while position < head:
        if time.monotonic() - moved > PATIENCE_SECONDS:
            _fold(book)
        else:
            time.sleep(0.02)
        if (found := _position(book)) != position:
            position, moved = found, time.monotonic()


def _fold(book: Book) -> None:
    from touchbook.errors import PositionMoved
    from touchbook.streams.follow import catch_up

    say("folding what no server has folded yet")
    try:
        catch_up(book.journal, book.projections, book.folder, book.settings.fold_batch)
    except PositionMoved:  # a server has just started: it goes on from here
        return


def _position(book: Book) -> int:
    with book.projections.reading() as reader:
        return reader.position()
