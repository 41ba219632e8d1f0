"""What is true of whom to contact where the process that decides is held still, and another takes over."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.servers.process import free_port, started
from tests.streams.deciding import PATH, Plan, keys_of, now
from tests.streams.sharing import Shared
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_decisions import EPOCH, STATEMENT
from touchbook.streams.backends.kafka_journal import KafkaJournal
from touchbook.streams.backends.kafka_topics import DECISIONS, read_topic

pytestmark = pytest.mark.server

CAP = 40
SESSION_SECONDS = 4.0
SECONDS = 60.0
HTTP = httpx.Client(timeout=15, verify=False, limits=httpx.Limits(max_keepalive_connections=32))
BEGIN = """
import runpy, sys
sys.path[:] = sys.argv.pop(1).split(":")
runpy.run_module("tests.streams.deciding", run_name="__main__")
"""


class Replica:
    def __init__(self, shared: Shared, name: str) -> None:
        folder = shared.folder(name)
        shutil.copyfile(shared.master_key, folder / shared.master_key.name)
        self.plan = Plan(
            directory=str(folder),
            bootstrap=shared.place.bootstrap[0],
            prefix=shared.place.prefix,
            port=free_port(),
            cap=CAP,
            session_seconds=SESSION_SECONDS,
        )
        self.log = folder / "log"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-W", "ignore", "-c", BEGIN, ":".join(sys.path), self.plan.said()]
        self.process: subprocess.Popen[bytes] = started(command, self.log)

    def decides(self) -> bool | None:
        """None: as far as it knows nobody does."""
        with suppress(httpx.HTTPError):
            answer = HTTP.get(f"{self.plan.url}/where", timeout=2)
            return bool(answer.json()["here"]) if answer.status_code == 200 else None
        return None

    def until(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < deadline, self.log.read_text()[-4_000:]
            time.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def shared(kafka: KafkaPlace, tmp_path: Path) -> Iterator[Shared]:
    with closing(Shared(kafka, tmp_path)) as shared:
        yield shared


@pytest.fixture
def replicas(shared: Shared) -> Iterator[list[Replica]]:
    """Two: the one that decides, and one that knows it."""
    with ExitStack() as stack:
        made: list[Replica] = []
        for name in ("one", "other"):
            made.append(Replica(shared, name))
            stack.callback(made[-1].kill)
        found: list[bool | None] = []

        def settled() -> bool:
            found[:] = [one.decides() for one in made]
            return sorted(map(str, found)) == ["False", "True"]

        made[0].until(settled)
        yield sorted(made, key=lambda one: not found[made.index(one)])


@dataclass
class Told:
    """What callers were told: by id, the last word that was no 503."""

    decisions: dict[str, str] = field(default_factory=dict)

    def of(self, decision: str) -> set[str]:
        return {id for id, told in self.decisions.items() if told == decision}


def reserve_until_told(urls: Sequence[str], ids: Sequence[str], told: Told) -> None:
    """As a channel does it: what is refused or not answered is sent again, with the same id, to the next replica."""
    turn = itertools.cycle(urls)
    for id in ids:
        deadline = time.monotonic() + SECONDS
        while id not in told.decisions:
            assert time.monotonic() < deadline, "nobody decides"
            with suppress(httpx.HTTPError):
                answer = HTTP.post(next(turn) + PATH, json={"customer": "ann", "id": id})
                if answer.status_code == 200:
                    told.decisions[id] = answer.json()["decision"]
                    continue
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["retry-after"]) > 0
            time.sleep(0.2)


def recorded(shared: Shared) -> dict[str, int]:
    """How often each key stands in the journal."""
    found: dict[str, int] = {}
    keyring = shared.keyring()
    with closing(KafkaJournal.at(shared.place, keyring, now, None)) as journal:
        for part in range(journal.parts):
            for record in journal.read(part=part):
                found[record.key] = found.get(record.key, 0) + 1
    return found


def test_one_that_was_held_still_beyond_its_session_reserves_nothing_more(
    shared: Shared, replicas: list[Replica]
) -> None:
    held_still, other = replicas
    told = Told()
    reserve_until_told([other.plan.url], ["0"], told)
    HTTP.get(f"{held_still.plan.url}/believe")
    held_still.signal(signal.SIGSTOP)
    with ThreadPoolExecutor(8) as pool:
        late = [pool.submit(post, held_still.plan.url, f"late {n}") for n in range(8)]
        other.until(other.decides)
        reserve_until_told([other.plan.url], [str(n) for n in range(1, CAP + 5)], told)
        assert len(told.of("reserved")) == CAP
        held_still.signal(signal.SIGCONT)
        answers = [one.result(60) for one in late]
    said = [answer.json() for answer in answers]
    # By the time it answers, it may see in the journal what the other has decided.
    assert {one.get("decision") or one["code"] for one in said} <= {"suppressed", "no_decider"}, said
    void = written_in_vain(shared.place)
    assert 0 < len(void) == sum("by now" in one.get("message", "") for one in said), said
    assert void <= keys_of([f"late {n}" for n in range(8)])
    other.until(lambda: recorded(shared).keys() >= keys_of(sorted(told.of("reserved"))))
    assert recorded(shared).keys() == keys_of(sorted(told.of("reserved")))


def post(url: str, id: str) -> httpx.Response:
    return HTTP.post(url + PATH, json={"customer": "ann", "id": id}, timeout=60)


def written_in_vain(place: KafkaPlace) -> set[str]:
    """The keys of decisions in the log that do not count: those of an epoch after which another began."""
    in_force, void = b"", set()
    for row in read_topic(place, DECISIONS):
        if row.key == STATEMENT:
            said = json.loads(row.value[32:])
            in_force = in_force if said["again"] else said["epoch"].encode()
        elif dict(row.headers)[EPOCH] != in_force:
            void.add(dict(row.headers)["ce_id"].decode())
    return void
