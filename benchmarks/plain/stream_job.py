"""The worker's job as it is without the worker: what a record says, added to what a stream engine keeps of its subject.

Both plain workers do this for each record. They open a body with the same keyring, fold it with the same function and
write into the same tables as the worker does, so what is compared is everything around that. They do less than the
worker: nobody looks for repeats, and messages of threads, identifiers and claims are left out.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from clickhouse_driver import Client

from touchbook.projections.changes import Changes
from touchbook.projections.fold import fold_touchpoint, projection_version
from touchbook.projections.stores.clickhouse_ddl import Build
from touchbook.schemas.touchpoint import Record
from touchbook.settings import Settings, settings_from
from touchbook.spelling import spelled
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.backends.kafka_producer import Producer
from touchbook.wiring import catalogue_of, now
from touchbook.wiring_many import FIRST as FIRST_BUILD

FIRST_RECORD = "first\n"
"""What a worker writes when its first record comes."""


class State(Protocol):
    """What the engine keeps, by key, of one subject."""

    def get(self, key: str) -> Any: ...
    def set(self, key: str, value: Any) -> None: ...


class Change(NamedTuple):
    """A row that a record changed. `told` is what is published of it under `key`; None: nothing is."""

    table: str
    key: str
    row: tuple[Any, ...]
    told: Any = None


class Job:
    """For one thread."""

    def __init__(self, settings: Settings) -> None:
        self.place = KafkaPlace.of(settings)
        self._catalogue = catalogue_of(settings)
        keyring = KafkaKeyring.at(settings.data, self.place, Producer(self.place), settings.master_key)
        self._journal = KafkaJournal.at(self.place, keyring, now, None)
        self._id_of = cache(self._journal.id_of)
        self._begun = False

    def changes_of(self, record: Record, state: State) -> list[Change]:
        """Adds the record to the state of its subject; the rows that stand anew."""
        if not self._begun:
            self._begun = True
            sys.stdout.write(FIRST_RECORD)
            sys.stdout.flush()
        changes = Changes()
        fold_touchpoint(changes, record, self._journal.open(record), self._catalogue, self._id_of)
        return [
            *(Change("entries", entry[0], (*entry, record.position)) for entry in changes.entries),
            *_days(changes, record.position, state),
            *_registers(changes, record.position, state),
        ]


def _days(changes: Changes, position: int, state: State) -> Iterable[Change]:
    for subject, ledger in changes.ledgers.items():
        for day in {day for _, day in ledger}:
            key = f"{subject}:{day}"
            signals = state.get(key) or {}
            for (signal, at), (count, total) in ledger.items():
                if at == day:
                    known = signals.get(signal, (0, 0))
                    signals[signal] = [known[0] + count, known[1] + total]
            state.set(key, signals)
            counts, totals = zip(*signals.values(), strict=True)
            row = (subject, day, [*signals], counts, totals, position)
            yield Change("ledger", key, row, {"p": position, "rows": signals})


def _registers(changes: Changes, position: int, state: State) -> Iterable[Change]:
    for name, row in changes.registers.items():
        key = ":".join(name)
        known = state.get(key)
        if known is None or (known[1], known[2]) < row.stamp:
            value = [spelled(row.value), *row.stamp]
            state.set(key, value)
            yield Change("registers", key, (*name, *value, position), {"p": position, "value": value})


class Tables:
    """The rows in ClickHouse; of a key that changed more than once in a batch the last counts."""

    def __init__(self, settings: Settings) -> None:
        self._client = Client.from_url(settings.projections)
        self._names = Build(build_of(settings)).tables

    def write(self, changes: Iterable[Change]) -> None:
        latest: dict[str, dict[str, tuple[Any, ...]]] = {}
        for table, key, row, _ in changes:
            latest.setdefault(table, {})[key] = row
        for table, rows in latest.items():
            columns = list(zip(*rows.values(), strict=True))
            self._client.execute(f"INSERT INTO {self._names[table]} VALUES", columns, columnar=True)


def build_of(settings: Settings) -> str:
    """The name of the tables that everybody writes, each in a database of his own."""
    return f"{projection_version(catalogue_of(settings))}-{FIRST_BUILD}"


def settings_of(arguments: Sequence[str]) -> Settings:
    """Those of the file that is named."""
    [file] = arguments
    return settings_from(**tomllib.loads(Path(file).read_text("utf-8")))


def command_of(module: str, file: Path) -> list[str]:
    """Runs a plain worker in a process of its own."""
    return [sys.executable, "-m", module, str(file)]
