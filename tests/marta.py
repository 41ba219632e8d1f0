"""Marta and Vera in a data directory, everything of theirs recorded when it was heard of."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from touchbook.cli.story import SOURCES, Told, cloudevent
from touchbook.cli.story.marta import both, heard_at
from touchbook.cli.story.pen import BY_AGENTS, HOUR
from touchbook.schemas.catalogue import Catalogue
from touchbook.streams.admission import Admission, Item, Publisher
from touchbook.streams.backends.sqlite_control import SqliteControl
from touchbook.streams.backends.sqlite_journal import SqliteJournal
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.wiring import now


def record_both(directory: Path, until: int | None = None) -> list[Told]:
    """What happened to both until now, or another time (milliseconds UTC), recorded in a new data directory, each at
    the hour it was heard of: so what was late is marked as late, and nothing else. Open or serve it afterwards."""
    told = both(now() if until is None else until)
    record(directory, told)
    return told


def record(directory: Path, story: Iterable[Told]) -> None:
    """The same of a story told in the order in which it was heard of."""
    clock = Clock()
    keyring = SqliteKeyring.at(directory, None)
    journal = SqliteJournal.at(directory, keyring, clock)
    control = SqliteControl.at(directory, keyring, clock)
    admission = Admission(journal, control, Catalogue(), lambda id: None)
    try:
        for (_, source), those in groupby(story, key=lambda told: (heard_at(told) // HOUR, told.source)):
            part = list(those)
            clock.at = heard_at(part[-1])
            publisher = Publisher(source, SOURCES[source], "agent" if source in BY_AGENTS else "publish")
            items = [Item("cloudevents", cloudevent(told), {}) for told in part]
            outcomes = admission.admit(items, publisher, clock.at).result(30)
            assert {one.outcome for one in outcomes} == {"accepted"}, outcomes
    finally:
        journal.close()
        admission.close()
        control.close()
        keyring.close()


class Clock:
    """Stands where it is put. Milliseconds UTC."""

    at = 0

    def __call__(self) -> int:
        return self.at
