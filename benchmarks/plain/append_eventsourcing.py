"""The same touchpoints in the `eventsourcing` library on SQLite, as its manual shows it: the baseline of the append.

Its connections are in WAL mode and keep SQLite's default, `synchronous = FULL`: a commit is on disk when it returns, as
ours is. Neither its cipher nor its compressor is on, and no notification is read. Two levels are measured:

    application   aggregates, an event triggered on one for each touchpoint, and `save` for every batch: the library
                  encodes the body and checks that nobody else changed the aggregate, which is about what our journal
                  does (ours also seals, and tells repeats from new ones by their id)
    recorder      bodies that are encoded already, given to its table: what lies below, of which our journal does more
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore


class Customer(Aggregate):
    """One person; his touchpoints are his events."""

    @event("Touched")
    def touch(self, touchpoint: dict[str, Any]) -> None:
        """Nothing is kept of it: what a fold would do is not measured."""


class Book(Application[Any]):
    """The library's application, with all its defaults."""


def application(directory: Path) -> Book:
    return Book(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(directory / "application.sqlite"),
        }
    )


def save_batches(book: Book, batches: Sequence[Sequence[dict[str, Any]]]) -> None:
    """One `save` for each batch. The aggregates stay at hand, so that none is ever read again."""
    customers: dict[str, Customer] = {}
    for batch in batches:
        touched: dict[str, Customer] = {}
        for body in batch:
            subject = str(body["subject"])
            customer = customers.get(subject) or customers.setdefault(subject, Customer())
            customer.touch(touchpoint=body)
            touched[subject] = customer
        book.save(*touched.values())


def recorder(directory: Path) -> SQLiteApplicationRecorder:
    made = SQLiteApplicationRecorder(SQLiteDatastore(str(directory / "recorder.sqlite")))
    made.create_table()
    return made


def stored(bodies: Sequence[tuple[str, bytes]], size: int) -> Iterator[list[StoredEvent]]:
    """(subject, body) in batches, each an event of its subject's aggregate."""
    versions: dict[str, Iterator[int]] = {}
    batch: list[StoredEvent] = []
    for subject, body in bodies:
        version = next(versions.setdefault(subject, count(1)))
        batch.append(StoredEvent(uuid5(NAMESPACE_URL, subject), version, "Touched", body))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
