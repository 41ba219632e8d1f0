"""The journal's append in process: beside its plain version, and beside the `eventsourcing` library on SQLite.

python -m benchmarks.append
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

from benchmarks.events import SOURCE, events
from benchmarks.measure import a_book, a_directory, timed
from benchmarks.plain import append as plain
from benchmarks.plain import append_eventsourcing as library
from benchmarks.table import Row, cells, line, say
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.sealing import encode_body
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.backends import drafts, sqlite_writer
from touchbook.wiring import now

TOUCHPOINTS = 40_000
BATCH = 200
SHOP = Publisher(SOURCE, "web")
GOAL = "≥ 2 x eventsourcing"


def rows(quick: bool = False) -> Iterator[Row]:
    made = events(4_000 if quick else TOUCHPOINTS)
    with a_book() as book:
        admit = partial(book.admission.touchpoint_of, publisher=SHOP, received_at=now())
        touchpoints = [admit(Item("cloudevents", one, {})) for one in made]
        admission = timed(lambda: [admit(Item("cloudevents", one, {})) for one in made], len(made))
    bodies = [(str(one.subject), encode_body(one)) for one in touchpoints]
    ours, plainly = appended(touchpoints), appended_plainly(touchpoints)
    application, recorder = in_application(bodies), in_recorder(bodies)
    times = ours[0] / application[0]
    against = (
        f"{times:.1f} of eventsourcing (CPU {application[1] / ours[1]:.1f}), {ours[0] / recorder[0]:.2f} of its "
        f"recorder alone, {ours[0] / plainly[0]:.2f} of plain"
    )
    yield Row(
        f"append, batches of {BATCH}: encoded, sealed, fsynced", *ours, against, goal=GOAL, met=times >= 2
    )
    yield Row("  the same by its plain version", *plainly)
    yield Row("  eventsourcing, application: an aggregate's events, saved", *application)
    yield Row("  eventsourcing, recorder: bodies encoded before", *recorder)
    yield Row("admit: parse, validate, identify", *admission)


def appended(touchpoints: list[Touchpoint]) -> tuple[float, float]:
    with a_book() as book:

        def work() -> None:
            for start in range(0, len(touchpoints), BATCH):
                book.journal.append(touchpoints[start : start + BATCH]).result()

        return timed(work, len(touchpoints))


def appended_plainly(touchpoints: list[Touchpoint]) -> tuple[float, float]:
    """With the plain versions in the place of the fast ones."""
    names = ("seal_each", "insert_whole")
    with (
        patch.multiple(sqlite_writer, **{name: getattr(plain, name) for name in names}),
        patch.object(drafts, "encode_body", plain.encode_body),
    ):
        return appended(touchpoints)


def in_application(bodies: list[tuple[str, bytes]]) -> tuple[float, float]:
    batches = list(batched([json.loads(body) for _, body in bodies]))
    with a_directory() as directory:
        book = library.application(directory)
        try:
            return timed(lambda: library.save_batches(book, batches), len(bodies))
        finally:
            book.close()


def in_recorder(bodies: list[tuple[str, bytes]]) -> tuple[float, float]:
    batches = list(library.stored(bodies, BATCH))
    with a_directory() as directory:
        recorder = library.recorder(directory)
        try:
            return timed(lambda: [recorder.insert_events(batch) for batch in batches], len(bodies))
        finally:
            recorder.datastore.close()


def batched(bodies: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(bodies), BATCH):
        yield bodies[start : start + BATCH]


if __name__ == "__main__":
    for row in rows():
        say(line(cells(row)))
