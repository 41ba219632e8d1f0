"""A broker, a ClickHouse and a journal for all that is measured of many machines."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks.events import stream
from benchmarks.measure import a_book, a_directory
from benchmarks.stored import BENCH, customers_of
from tests.servers.clickhouse import ClickHouse as ClickHouseServer
from tests.servers.kafka import Kafka
from touchbook.projections.fold import Folder
from touchbook.schemas.touchpoint import Record
from touchbook.settings import Settings, settings_from
from touchbook.streams.admission import Item
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_keyring import KafkaKeyring
from touchbook.streams.backends.kafka_producer import Producer
from touchbook.streams.backends.sqlite_keyring import MASTER_KEY_FILE
from touchbook.streams.follow import catch_up
from touchbook.wiring import catalogue_of, now
from touchbook.wiring_tools import ensure_topics

PARTS = 4
PREFIX = "bench"
AT_ONCE = 2_000
SECONDS_TO_STOP = 15


class Sums(NamedTuple):
    """What is the same in all tables that hold the same."""

    entries: int
    ledger_rows: int
    counts: int
    totals: int
    registers: int


@dataclass(frozen=True)
class Cluster:
    """The servers, and a journal of so many records; `alone` is the data directory of one machine with the same."""

    kafka: Kafka
    clickhouse: ClickHouseServer
    directory: Path
    records: int
    expected: Sums

    @property
    def alone(self) -> Path:
        return self.directory / "alone"

    def settings(self, name: str) -> Settings:
        """Those of a process with a data directory and a database of its own; `filled` has the master key."""
        return settings_from(
            data=self.directory / name,
            journal=f"kafka://{self.kafka.bootstrap}",
            projections=self.clickhouse.url(name),
            topic_prefix=PREFIX,
            kafka_parts=PARTS,
            master_key=self.directory / MASTER_KEY_FILE,
            worker_port=0,
            log_level="warning",
        )

    def config(self, name: str, database: str) -> Path:
        """The settings as a file, of a process with a data directory of its own."""
        settings = self.settings(database).model_copy(update={"data": self.directory / name})
        said = settings.model_dump(mode="json", exclude_unset=True)
        file = self.directory / f"{name}.toml"
        lines = (f"{key} = {value if isinstance(value, int) else repr(value)}" for key, value in said.items())
        file.write_text("\n".join(lines) + "\n")
        return file

    @property
    def place(self) -> KafkaPlace:
        return KafkaPlace.of(self.settings("filling"))


@contextmanager
def a_cluster(records: int) -> Iterator[Cluster]:
    """With so many believable touchpoints in the journal."""
    with a_directory() as directory, Kafka(directory / "kafka") as kafka, ClickHouseServer() as clickhouse:
        empty = Cluster(kafka, clickhouse, directory, records, Sums(0, 0, 0, 0, 0))
        yield Cluster(kafka, clickhouse, directory, records, _filled(empty))


def _filled(cluster: Cluster) -> Sums:
    """Makes the topics and appends the touchpoints, to the journal of one machine too; what the fold gives for all."""
    settings, place = cluster.settings("filling"), cluster.place
    ensure_topics(settings, ())
    with ExitStack() as open:
        producer = open.enter_context(closing(Producer(place)))
        keyring = open.enter_context(
            closing(KafkaKeyring.at(settings.data, place, producer, settings.master_key))
        )
        journal = open.enter_context(closing(KafkaJournal.at(place, keyring, now, producer)))
        alone = open.enter_context(a_book(cluster.alone))
        events = stream(7, customers_of(cluster.records), uneven=True)
        for _ in range(0, cluster.records, AT_ONCE):
            items = [Item("cloudevents", one, {}) for one in islice(events, AT_ONCE)]
            touchpoints = [alone.admission.touchpoint_of(one, BENCH, now()) for one in items]
            both = journal.append(touchpoints), alone.journal.append(touchpoints)
            for appended in both:
                appended.result()
        catch_up(alone.journal, alone.projections, alone.folder)
        return _folded(journal, Folder(catalogue_of(settings), journal.open, journal.id_of))


def _folded(journal: KafkaJournal, folder: Folder) -> Sums:
    changes = folder.fold([record for part in range(journal.parts) for record in _all_in(journal, part)])
    rows = [row for ledger in changes.ledgers.values() for row in ledger.values()]
    counts, totals = (sum(column) for column in zip(*rows, strict=True))
    return Sums(len(changes.entries), len(rows), counts, totals, len(changes.registers))


def _all_in(journal: KafkaJournal, part: int) -> Iterator[Record]:
    after = 0
    while records := journal.read(after, AT_ONCE, part):
        after = records[-1].position
        yield from records


Process = subprocess.Popen[str]


@contextmanager
def running(command: list[str], cores: Sequence[int] = ()) -> Iterator[Process]:
    """A process for as long as the block runs, on these cores where some are named. Where the block fails it is told
    what the process wrote to stderr."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)  # before it has threads, which inherit it
            yield process
        except BaseException:
            errors.seek(0)
            sys.stderr.write(errors.read())
            raise
        finally:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(process: Process, holds: Callable[[], bool], seconds: float = 900) -> None:
    """Waits until something holds while a process runs."""
    deadline = time.perf_counter() + seconds
    while not holds():
        if process.poll() is not None or time.perf_counter() > deadline:
            raise RuntimeError(f"{process.args!r} did not get so far")
        time.sleep(0.05)


def touchbook(*said: object) -> list[str]:
    return [sys.executable, "-m", "touchbook", *map(str, said)]
