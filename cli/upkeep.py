"""`touchbook rebuild` and `touchbook digest`: what is folded from the journal, made anew and compared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from touchbook.cli.exits import Failed
from touchbook.cli.options import AsJson, Config, Data, JournalAt, ProjectionsAt, settings_of
from touchbook.cli.output import progress, say, show_json, show_rows

if TYPE_CHECKING:
    from touchbook.settings import Settings
    from touchbook.wiring import Book

PATIENCE_SECONDS = 2.0
"""How long another process may take for its next step before nobody is thought to be folding."""


def rebuild(
    data: Data = None,
    journal: JournalAt = None,
    projections: ProjectionsAt = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make the projections anew from the journal, beside those that serve, and then swap.

    Works beside a running server, which notices the swap by itself.
    """
    from touchbook.streams.rebuild import rebuild as make_anew

    settings = settings_of(config, data=data, journal=journal, projections=projections)
    if settings.journal is not None:
        _show_built(_rebuilt_many(settings), as_json)
        return
    with reading(settings) as book, progress("rebuilding", "touchpoints") as tell:
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
    _show_built(made, as_json)


def _rebuilt_many(settings: Settings) -> dict[str, object]:
    from touchbook.wiring_tools import rebuild as make_anew

    began = time.monotonic()
    with progress("rebuilding", "touchpoints") as tell:
        built = make_anew(settings, lambda done, head: tell(done, head, done))
    return {**built._asdict(), "seconds": round(time.monotonic() - began, 3)}


def _show_built(made: dict[str, object], as_json: bool) -> None:
    if as_json:
        show_json(made)
        return
    show_rows(("what", "value"), made.items())


def digest(
    data: Data = None,
    journal: JournalAt = None,
    projections: ProjectionsAt = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Print one digest per projection, of everything in the journal.

    Over content only: the same for the same touchpoints, whatever the order, the batching or the installation.
    """
    settings = settings_of(config, data=data, journal=journal, projections=projections)
    if settings.journal is not None:
        from touchbook.wiring_tools import digest as digest_many

        digests = digest_many(settings)
    else:
        with reading(settings) as book:
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

    if settings.journal is None and not (settings.data / FILE).is_file():
        raise NotATouchbook(str(settings.data))
    book = open_book(settings, read_only=True)
    try:
        if settings.journal is not None:
            book.follower.start()
        yield book
    finally:
        book.close()


def caught_up(book: Book) -> None:
    """Returns once everything that is in the journal now is folded: by the server that runs, or, where nobody moves
    any more, by this process. On many machines, once this process shows what workers have folded."""
    from touchbook.projections.stores.sqlite import SqliteProjections

    if not isinstance(book.projections, SqliteProjections):
        _shown(book)
        return
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
    from touchbook.projections.stores.sqlite import SqliteProjections
    from touchbook.streams.follow import catch_up

    say("folding what no server has folded yet")
    try:
        assert isinstance(book.projections, SqliteProjections)
        catch_up(book.journal, book.projections, book.folder, book.settings.fold_batch)
    except PositionMoved:  # a server has just started: it goes on from here
        return


def _shown(book: Book) -> None:
    heads = [head for part in range(book.journal.parts) if (head := book.journal.head(part))]
    since = time.monotonic()
    told = False
    while not all(map(book.follower.shows, heads)):
        if book.follower.stopped_because is not None:
            raise Failed(book.follower.stopped_because)
        if not told and time.monotonic() - since > PATIENCE_SECONDS:
            say("waiting for workers to fold what is in the journal; is one running? `touchbook work`")
            told = True
        time.sleep(0.05)


def _position(book: Book) -> int:
    with book.projections.reading() as reader:
        return reader.position()
