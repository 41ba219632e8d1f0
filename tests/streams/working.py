"""Workers as processes of their own, on real servers, and a journal for them to fold.

python -m tests.streams.working '{"data": …, "bootstrap": …, "prefix": …}'
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.process import free_port, started
from tests.streams.topics import MemoryStore
from touchbook.identity import IdentityRules
from touchbook.projections.stores.clickhouse import ClickHouse
from touchbook.projections.stores.clickhouse_ddl import make_build, migrate
from touchbook.projections.stores.clickhouse_store import ClickHouseStore
from touchbook.sealing import new_key_id
from touchbook.settings import settings_from
from touchbook.streams.admission import Admission
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_producer import DELIVERY_SECONDS, Producer
from touchbook.streams.backends.kafka_topics import Identity, ensure, ensure_build
from touchbook.streams.backends.sqlite_control import SqliteControl
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.worker_gathering import Pace
from touchbook.wiring import catalogue_of, now

BUILD = "1-test-0001"
BEGIN = """
import runpy, sys
sys.path[:] = sys.argv.pop(1).split(":")
runpy.run_module("tests.streams.working", run_name="__main__")
"""


@dataclass(frozen=True)
class Plan:
    """What a worker is to be told, as JSON on its command line."""

    data: str
    bootstrap: str
    prefix: str
    store: str = "memory"
    """A ClickHouse URL; "memory"; or "stuck", which takes rows and never answers."""
    build: str = BUILD
    fold: bool = True
    ingress: bool = False
    port: int = 0
    settings: Mapping[str, Any] | None = None
    pace: tuple[int, float] | None = None
    secured: Mapping[str, str] | None = None

    @property
    def place(self) -> KafkaPlace:
        said: dict[str, Any] = dict(self.secured or {})
        said |= {name: Path(said[name]) for name in ("ca", "password_file") if name in said}
        return KafkaPlace(bootstrap=(self.bootstrap,), prefix=self.prefix, **said)


@dataclass
class Opened:
    """The parts that every process of a test opens for itself. Keys and control are files that all of them share."""

    journal: KafkaJournal
    control: SqliteControl
    producer: Producer
    admission: Admission
    keyring: SqliteKeyring


@contextmanager
def opened(plan: Plan, delivery_seconds: float = DELIVERY_SECONDS) -> Iterator[Opened]:
    keyring = SqliteKeyring.at(Path(plan.data), None)
    control = SqliteControl.at(Path(plan.data), keyring, now)
    producer = Producer(plan.place, delivery_seconds)
    journal = KafkaJournal.at(plan.place, keyring, now, producer)
    admission = Admission(
        journal, control, catalogue_of(settings_from(data=Path(plan.data))), lambda id: None
    )
    try:
        yield Opened(journal, control, producer, admission, keyring)
    finally:
        journal.close()
        producer.close()
        admission.close()
        control.close()
        keyring.close()


def make_topics(plan: Plan, parts: int = 4, ingress: tuple[str, ...] = ()) -> None:
    SqliteKeyring.at(Path(plan.data), None).close()
    identity = Identity(new_key_id(), b"not needed here")
    ensure(plan.place, rules=IdentityRules(), identity=lambda: identity, parts=parts, ingress=ingress)
    ensure_build(plan.place, plan.build)
    if plan.store.startswith("clickhouse://"):
        clickhouse = ClickHouse.of(plan.store)
        migrate(clickhouse)
        make_build(clickhouse, plan.build)
        clickhouse.close()


class Worker:
    """A worker in a process of its own."""

    def __init__(self, plan: Plan) -> None:
        self.port = plan.port or free_port()
        self.log = Path(plan.data) / f"worker-{self.port}.log"
        said = json.dumps({**plan.__dict__, "port": self.port})
        command = [sys.executable, "-W", "ignore", "-c", BEGIN, ":".join(sys.path), said]
        self.process = started(command, self.log)

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def total(self, name: str) -> float:
        """A metric without labels; 0 while it cannot be asked."""
        lines = [
            line
            for line in self.ask("/metrics")[1].splitlines()
            if line.startswith(f"touchbook_worker_{name} ")
        ]
        return float(lines[0].split()[1]) if lines else 0.0

    def until(self, true: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert self.process.poll() is None, f"it ended:\n{self.said()}"
            assert time.monotonic() < deadline, f"not in time:\n{self.said()}"
            time.sleep(0.05)

    def joined(self) -> Worker:
        self.until(lambda: self.ask("/readyz")[0] == 200)
        return self

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = 30) -> int:
        """Asks it to stop, and answers its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(10)

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-6_000:]


@contextmanager
def working(plan: Plan) -> Iterator[Worker]:
    worker = Worker(plan)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGCONT)
            worker.kill()


def run(plan: Plan) -> int:
    from touchbook.streams.faust_worker import WorkerParts, WorkerSettings, run_worker

    settings = dict(plan.settings or {})
    if plan.pace is not None:
        settings["pace"] = Pace(*plan.pace)
    catalogue = catalogue_of(settings_from(data=Path(plan.data)))
    with opened(plan) as parts:
        return run_worker(
            WorkerParts(
                place=plan.place,
                build=plan.build,
                catalogue=catalogue,
                journal=parts.journal,
                control=parts.control,
                producer=parts.producer,
                clock=now,
                store=store_of(plan) if plan.fold else None,
                admission=parts.admission if plan.ingress else None,
                tell=lambda said: print("told", json.dumps(said), flush=True),
            ),
            WorkerSettings(port=plan.port, **settings),
        )


def store_of(plan: Plan) -> Any:
    if plan.store in ("memory", "stuck"):
        store = MemoryStore()
        if plan.store == "stuck":
            store.failing = lambda: time.sleep(3_600)
        return store
    return ClickHouseStore(ClickHouse.of(plan.store), plan.build)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    code = run(Plan(**json.loads(sys.argv[1])))
    logging.shutdown()
    sys.exit(code)
