"""A Touchbook that lives by a clock of the test's: a year passes in seconds."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.schemas.times import day_number, milliseconds, rfc3339
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.settings import settings_from
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.follow import catch_up
from touchbook.wiring import Book, open_book

MINUTE, HOUR, DAY = 60_000, 3_600_000, MILLISECONDS_A_DAY
BEGIN = day_number("2026-03-02") * DAY
"""A Monday, midnight UTC."""
DESK = Publisher("desk", "web_chat")
OURS = "touchbook"
MOST_STEPS = 10_000

QUICK = """
policy: 1
versions:
- version: quick-1
  from: 1970-01-01
  grace: 5m
  reply:
    targets:
    - {channels: [web_chat], within: 15m}
    - {within: 24h}
    ignored_after: 72h
  promises: true
  cases: {silent_after: 5d}
  stages: {times: 3, least: 1d, known: 20, usual: {"order:packed": 2d}}
"""


@contextmanager
def clock_from(moment: str) -> Iterator[None]:
    """The clock of this process, which stands at this moment (RFC 3339) when the block begins and goes on from there:
    what a test says of days and hours is so whenever it runs. Other processes and monotonic clocks are as ever."""
    moved = milliseconds(moment, "moment") * 1_000_000 - time.time_ns()
    seconds, nanoseconds = time.time, time.time_ns
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "time", lambda: seconds() + moved / 1e9)
        patched.setattr(time, "time_ns", lambda: nanoseconds() + moved)
        yield


class Time:
    """Stands where it is put. Milliseconds UTC."""

    def __init__(self, at: int = BEGIN) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at


class Company:
    """A book nobody follows by himself, and its time."""

    def __init__(self, book: Book, time: Time) -> None:
        self.book = book
        self.time = time
        self._ids = count()

    def hears(
        self,
        type: str,
        data: dict[str, Any] | None = None,
        *,
        who: str = "ann",
        at: int | None = None,
        channel: str = "web_chat",
        id: str | None = None,
    ) -> str:
        """That something happened, now or `at` another time; it is recorded now. Its key."""
        event = {
            "specversion": "1.0",
            "id": id or f"said-{next(self._ids)}",
            "source": DESK.source,
            "type": type,
            "channel": channel,
            "time": rfc3339(self.time.at if at is None else at),
            "data": {**(data or {}), "identifiers": {"user_id": who}},
        }
        (outcome,) = self.book.admission.admit([Item("cloudevents", event, {})], DESK, self.time.at).result(
            30
        )
        assert outcome.outcome in ("accepted", "duplicate"), outcome
        return outcome.key

    def asked(self, thread: str = "t-1", **more: Any) -> str:
        """The customer writes."""
        return self.hears(
            "chat_message_sent", {"thread": thread, "text": "?", "actor": {"kind": "customer"}}, **more
        )

    def answered(self, thread: str = "t-1", by: str = "agent", **more: Any) -> str:
        """An agent or bot does."""
        return self.hears("chat_message_sent", {"thread": thread, "text": "!", "actor": {"kind": by}}, **more)

    def folded(self) -> None:
        catch_up(self.book.journal, self.book.projections, self.book.folder)

    def look(self) -> int:
        """What the clock records now, all of it visible afterwards."""
        self.folded()
        self.book.watch.look()
        recorded = self.book.clock.look()
        self.folded()
        self.book.watch.look()
        return recorded

    def lives(self, until: int) -> None:
        """Time goes on: the clock looks at each moment at which something may be due, and after each midnight."""
        for _ in range(MOST_STEPS):
            self.look()
            due = self.book.watch.due(2**62, 1)
            midnight = (self.time.at // DAY + 1) * DAY
            next = min(midnight, max(due[0].at, self.time.at + 1)) if due else midnight
            if next >= until:
                self.time.at = until
                self.look()
                return
            self.time.at = next
        raise AssertionError("it does not go on")

    def ours(self, *types: str) -> list[Touchpoint]:
        """What the clock recorded, of these types or of all, in order."""
        journal = self.book.journal
        records = [one for one in journal.read(limit=100_000) if one.source == OURS and one.key_id]
        return [journal.open(one) for one in records if not types or one.type in types]

    def verdicts(self) -> list[tuple[str, int]]:
        """What was said of requests, and how many minutes after the beginning that happened."""
        requests = self.ours("request_answered", "request_late", "request_ignored")
        return [(one.type.removeprefix("request_"), (one.occurred_at - BEGIN) // MINUTE) for one in requests]


@contextmanager
def a_company(
    directory: Path | None = None, *, policy: str = QUICK, at: int = BEGIN, **settings: Any
) -> Iterator[Company]:
    """In a directory of its own, or in this one again."""
    folder = directory or Path(tempfile.mkdtemp(prefix="touchbook-test-"))
    file = folder / "policy.yaml"
    folder.mkdir(exist_ok=True)
    file.write_text(policy)
    stands = Time(at)
    given = {"sweep_share": 1.0, **settings}
    book = open_book(settings_from(data=folder / "data", policy=file, **given), clock=stands)
    try:
        yield Company(book, stands)
    finally:
        book.close()
        if directory is None:
            shutil.rmtree(folder, ignore_errors=True)
