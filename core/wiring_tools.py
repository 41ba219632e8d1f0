"""What commands do on many machines beside serving and working: topics, keys, copies, rebuilds, digests."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from touchbook.errors import NotFolded, RebuildFailed
from touchbook.identity import IdentityRules
from touchbook.positions import position_in
from touchbook.projections.fold import projection_version
from touchbook.projections.stores.clickhouse_ddl import builds
from touchbook.projections.stores.clickhouse_reader import ClickHouseReader
from touchbook.settings import Settings
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_audit import KafkaAudit
from touchbook.streams.backends.kafka_control import KafkaControl
from touchbook.streams.backends.kafka_producer import Producer
from touchbook.streams.backends.kafka_tails import KafkaTails
from touchbook.streams.backends.kafka_topics import JOURNAL, Identity, TopicReport, described, ensure
from touchbook.streams.backends.sqlite_audit import SqliteAudit
from touchbook.streams.backends.sqlite_control import SqliteControl
from touchbook.streams.backends.sqlite_erasures import SqliteReceipts
from touchbook.streams.backends.sqlite_journal import SqliteJournal
from touchbook.streams.backends.sqlite_keyring import MASTER_KEY_FILE, SqliteKeyring, new_identity
from touchbook.streams.copying import Copied, Progress, Source, Target, copy
from touchbook.wiring import now
from touchbook.wiring_many import Joined, join, shared, work

_SPAWNED = multiprocessing.get_context("spawn")
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
"""How long workers may make no progress before nobody is thought to be folding."""


def ensure_topics(settings: Settings, ingress: Sequence[str]) -> list[TopicReport]:
    """Makes and checks the topics; see `kafka_topics.ensure`."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = KafkaPlace.of(settings)
    return ensure(
        place,
        rules=IdentityRules(default_region=settings.phone_region),
        identity=lambda: Identity(*new_identity(settings.master_key or settings.data / MASTER_KEY_FILE)),
        parts=settings.kafka_parts,
        replicas=settings.kafka_replicas,
        min_insync=settings.kafka_min_insync,
        set_aside_days=settings.set_aside_days,
        ingress=ingress,
    )


@contextmanager
def shared_control(settings: Settings) -> Iterator[KafkaControl]:
    """Access keys and the rest that all processes share, for a command."""
    with ExitStack() as ended:
        yield shared(settings, ended)[-1]


@contextmanager
def shared_audit(settings: Settings) -> Iterator[KafkaAudit]:
    """The audit trail of all processes, up to its end, for a command."""
    place = KafkaPlace.of(settings)
    with (
        closing(Producer(place, settings.delivery_seconds)) as producer,
        closing(KafkaAudit.at(settings.data, place, producer)) as audit,
    ):
        audit.catch_up()
        yield audit


def copy_journal(settings: Settings, directory: Path, progress: Progress) -> Copied:
    """Copies the data directory of one machine into Kafka; see `streams.copying`."""
    with ExitStack() as ended:
        source_keyring = SqliteKeyring.at(directory, settings.master_key, create=False)
        ended.callback(source_keyring.close)
        journal = SqliteJournal.at(directory, source_keyring, now, read_only=True)
        ended.callback(journal.close)
        control = SqliteControl.at(directory, source_keyring, now)
        ended.callback(control.close)
        receipts = SqliteReceipts.at(directory)
        ended.callback(receipts.close)
        audit = SqliteAudit.at(directory)
        ended.callback(audit.close)
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = KafkaPlace.of(settings)
        ensure(
            place,
            rules=journal.rules,
            identity=lambda: Identity(*source_keyring.wrapped_identity()),
            parts=settings.kafka_parts,
            replicas=settings.kafka_replicas,
            min_insync=settings.kafka_min_insync,
            set_aside_days=settings.set_aside_days,
        )
        place, producer, keyring, control_there = shared(settings, ended)
        return copy(
            Source(source_keyring, journal, control, receipts, audit),
            Target(place, producer, keyring, control_there, described(place).parts),
            progress,
        )


class Rebuilt(NamedTuple):
    """A build that serves from now on, of how many records, and the builds that were dropped."""

    build: str
    version: str
    records: int
    dropped: list[str]


def rebuild(settings: Settings, progress: Progress) -> Rebuilt:
    """Folds the whole journal into new tables and topics, by as many workers as there are processors, and swaps:
    workers and replicas notice by themselves. What served before stays until the next rebuild, for replicas on their
    way.

    Ended by an error it drops what it began. Raises RebuildFailed if a worker of it ended.
    """
    with ExitStack() as ended:
        joined = join(settings, ended)
        version = projection_version(joined.catalogue)
        before = joined.control.serving()
        build = f"{version}-{secrets.token_hex(2)}"
        joined.make(build)
        try:
            records = _folded_by_workers(joined, build, progress)
            joined.control.serve(build)
        except BaseException:
            joined.drop(build)
            raise
        older = [one for one in builds(joined.clickhouse) if one not in (build, before)]
        for one in older:
            joined.drop(one)
        return Rebuilt(build, version, records, older)


def _folded_by_workers(joined: Joined, build: str, progress: Progress) -> int:
    """Once workers of this build have folded all that is in the journal: how many records that were."""
    place = joined.place
    parts = [(place.topic(JOURNAL), part) for part in range(described(place).parts)]
    with (
        tempfile.TemporaryDirectory(prefix="rebuild-", dir=joined.settings.data) as folder,
        closing(KafkaTails(place, f"{place.prefix}-{build}")) as tails,
    ):
        workers = [
            _SPAWNED.Process(target=_build_worker, args=(joined.settings, Path(folder) / str(number), build))
            for number in range(min(len(parts), os.cpu_count() or 1))
        ]
        for worker in workers:
            worker.start()
        try:
            while lag := sum(tails.lag(parts).values()):
                records = sum(tails.ends(parts).values())
                progress(records - lag, records)
                if dead := next((one.exitcode for one in workers if one.exitcode is not None), None):
                    raise RebuildFailed(dead)
                time.sleep(LOOK_SECONDS)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.join()
        return sum(tails.ends(parts).values())


def _build_worker(settings: Settings, directory: Path, build: str) -> None:
    """In a process of its own."""
    master_key = settings.master_key or settings.data / MASTER_KEY_FILE
    sys.exit(
        work(
            settings.model_copy(update={"data": directory, "master_key": master_key, "worker_port": 0}), build
        )
    )


def digest(settings: Settings) -> dict[str, str]:
    """The digests of what serves, once workers have folded all that is in the journal now. Raises NotFolded where they
    make no progress."""
    with ExitStack() as ended:
        joined = join(settings, ended)
        reader = ClickHouseReader(joined.clickhouse, joined.serving())
        tails = ended.enter_context(closing(KafkaTails(joined.place)))
        topic = joined.place.topic(JOURNAL)
        ends = tails.ends([(topic, part) for part in range(described(joined.place).parts)])
        heads = {part: position_in(part, end - 1) for (_, part), end in ends.items() if end}
        seen: dict[int, int] = {}
        since = time.monotonic()
        while any(seen.get(part, 0) < head for part, head in heads.items()):
            if (found := {part: position for part, (position, _) in reader.positions().items()}) != seen:
                seen, since = found, time.monotonic()
            elif time.monotonic() - since > PATIENCE_SECONDS:
                raise NotFolded
            else:
                time.sleep(LOOK_SECONDS)
        return reader.digest()
