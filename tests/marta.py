"""Marta and Vera in a data directory, everything of theirs recorded when it was heard of."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from tests.clocks import Time
from touchbook.cli.story import POLICY, SOURCES, Told, cloudevent
from touchbook.cli.story.marta import both, heard_at
from touchbook.cli.story.pen import BY_AGENTS, HOUR
from touchbook.projections.watch import Watch
from touchbook.settings import settings_from
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.clock import Clock
from touchbook.streams.duty import AloneTerms
from touchbook.streams.follow import catch_up
from touchbook.streams.metrics import Metrics
from touchbook.wiring import now, open_book

WAITED_FOR = ("promise_made", "chat_message_sent", "complaint_raised", "case_opened")
"""Before the first of these there is nothing to judge."""


def record_both(directory: Path, until: int | None = None) -> list[Told]:
    """What happened to both until now, or another time (milliseconds UTC), recorded in a new data directory, each at
    the hour it was heard of: so what was late is marked as late, and nothing else. Open or serve it afterwards."""
    told = both(now() if until is None else until)
    record(directory, told)
    return told


def record(directory: Path, story: Iterable[Told]) -> None:
    """The same of a story told in the order in which it was heard of; what the clock says of it is recorded when it
    would have been, but for tiers that changed overnight."""
    time = Time(0)
    book = open_book(settings_from(data=directory, policy=POLICY, sweep_share=1.0), clock=time)
    clock = Clock(
        book.admission, book.customers, cast(Watch, _Verdicts(book.watch)), book.policies,
        AloneTerms(book.journal, lambda position: True), Metrics(), time, time,
    )  # fmt: skip

    def judged(until: int) -> None:
        catch_up(book.journal, book.projections, book.folder)
        book.watch.look()
        while due := book.watch.due(until - 1, 1):  # what is heard of at the same moment is heard of first
            time.at = max(due[0].at, time.at)
            clock.look()
            catch_up(book.journal, book.projections, book.folder)
            book.watch.look()
        time.at = until

    waits = False
    try:
        for (_, source), those in groupby(story, key=lambda told: (heard_at(told) // HOUR, told.source)):
            part = list(those)
            if waits := waits or any(told.type in WAITED_FOR for told in part):
                judged(heard_at(part[0]))
            time.at = heard_at(part[-1])
            publisher = Publisher(source, SOURCES[source], "agent" if source in BY_AGENTS else "publish")
            items = [Item("cloudevents", cloudevent(told), {}) for told in part]
            outcomes = book.admission.admit(items, publisher, time.at).result(30)
            assert {one.outcome for one in outcomes} == {"accepted"}, outcomes
        judged(time.at)
    finally:
        book.close()


class _Verdicts:
    """The watch as it is before the first midnight."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return (lambda: ()) if name == "tier_days" else getattr(self._watch, name)
