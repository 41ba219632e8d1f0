"""`python -m tests.cluster.faults --faults N [--seed S] [--away SECONDS]`: many machines under load that fail, one
after another and several at once: workers, replicas, the broker, ClickHouse, killed and held still.

Every `--round` faults the load rests, everything is healed, and all that was acknowledged is compared with one machine
that was told the same. Prints a line for each round and one for all; the exit code is 1 if anything was lost, doubled
or otherwise wrong. A run repeats with its seed as far as the machine's timing allows.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.check import Traced, build_of, compared, drained
from tests.cluster.load import (
    ERASING_SECONDS,
    KIOSK,
    PEOPLE,
    SHOP,
    AtADoor,
    AtATopic,
    Told,
    erase_what_waits,
    load,
    send_what_waits,
)
from tests.cluster.load import SECONDS as ANSWER_SECONDS
from tests.cluster.machines import SECONDS, SESSION_SECONDS, Machines, Process, Serving, Working
from tests.faults.check import Findings
from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka
from tests.servers.process import Server

PARTS = 4
PAUSE = 0.08
"""Seconds between two steps of a service: the load is steady, not as much as fits."""
AWAY = 3.0
"""Seconds that ClickHouse is away, unless more are asked for."""
MOST_ERASED = 6
"""Customers in each round."""
ENDED_BY_ITSELF_MOST = 30


@dataclass
class Faults:
    """One installation under load, and what befalls it."""

    machines: Machines
    kafka: Kafka
    clickhouse: ClickHouse
    seed: int = 0
    away: float = AWAY
    sent: Told = field(default_factory=Told)
    found: Findings = field(default_factory=Findings)
    happened: Counter[str] = field(default_factory=Counter)
    ended: list[str] = field(default_factory=list)
    """Processes that ended though nobody asked them to, as while the broker was away; they were started again."""
    draining: list[float] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    """Where what is lost was lost."""

    def __post_init__(self) -> None:
        self.rnd = random.Random(self.seed)
        self.key = self.machines.key("publish", SHOP.source, "--channel", str(SHOP.channel))
        self.agent = self.machines.key("agent", "desk")
        self.admin = self.machines.key("admin", "office")
        self.workers = [self.machines.worker().start() for _ in range(2)]
        self.replicas = [self.machines.replica().start() for _ in range(2)]
        for process in (*self.workers, *self.replicas):
            process.joined() if isinstance(process, Working) else process.opened()
        urls = [replica.url for replica in self.replicas]
        self.doors = [AtADoor(urls, self.key, self.sent, self.rnd.randrange(2**32)) for _ in range(3)]
        self.topic = AtATopic(self.machines.place, PARTS, self.sent, self.rnd.randrange(2**32))
        self._later: list[tuple[float, str, Callable[[], object]]] = []
        self._deck: list[Callable[[], None]] = []

    # What may befall it. Each begins a fault, and says when it will be over.

    def worker_is_killed(self) -> None:
        worker = self._one_of(self.workers)
        worker.kill()
        self._after(self.rnd.uniform(0, 3), worker.name, worker.start)

    def worker_is_held_still_beyond_its_session(self) -> None:
        worker = self._one_of(self.workers)
        worker.pause()
        self._after(SESSION_SECONDS + self.rnd.uniform(1.5, 4), worker.name, worker.resume)

    def worker_is_held_still_for_a_moment(self) -> None:
        worker = self._one_of(self.workers)
        worker.pause()
        self._after(self.rnd.uniform(0.2, SESSION_SECONDS / 2), worker.name, worker.resume)

    def worker_is_stopped(self) -> None:
        worker = self._one_of(self.workers)
        self._end(worker)
        self._after(self.rnd.uniform(0, 2), worker.name, worker.start)

    def worker_joins_and_leaves(self) -> None:
        worker = self.machines.worker().start()
        self._after(self.rnd.uniform(2, 9), worker.name, lambda: self._end(worker))

    def worker_joins_and_dies(self) -> None:
        worker = self.machines.worker().start()
        self._after(self.rnd.uniform(2, 9), worker.name, worker.kill)

    def broker_is_killed(self) -> None:
        self.kafka.kill()
        self._after(self.rnd.uniform(0, 2), "kafka", self.kafka.start)

    def broker_is_held_still(self) -> None:
        self.kafka.pause()
        self._after(self.rnd.uniform(1, 4), "kafka", self.kafka.resume)

    def clickhouse_is_killed_in_an_insert(self) -> None:
        self._wait_for_an_insert()
        self.clickhouse.kill()
        self._after(self.away, "clickhouse", self.clickhouse.start)

    def clickhouse_is_held_still(self) -> None:
        self.clickhouse.pause()
        self._after(self.rnd.uniform(1, 4), "clickhouse", self.clickhouse.resume)

    def replica_is_killed(self) -> None:
        replica = self._one_of(self.replicas)
        replica.kill()
        self._after(self.rnd.uniform(0, 1), replica.name, replica.start)

    def replica_is_held_still(self) -> None:
        replica = self._one_of(self.replicas)
        replica.pause()
        self._after(self.rnd.uniform(1, 8), replica.name, replica.resume)

    def replica_loses_its_own_store(self) -> None:
        replica = self._one_of(self.replicas)
        replica.kill()
        self.machines.fresh(replica)
        replica.start()

    def litter_on_the_journal(self) -> None:
        self.topic.litter()

    # How it goes on

    def round(self, faults: int) -> Findings:
        """So many faults under load; then all is healed and compared."""
        steps = [*(door.step for door in self.doors[:3]), self.topic.step, self._eraser(), self._reader()]
        with load(steps, PAUSE):
            self._look_after(2)
            for _ in range(faults):
                self._next()
                self._look_after(self.rnd.choice([0.3, 1, 2, 4]))
            while self._later:
                self._look_after(0.2)
            self._look_after(1)
        self.heal()
        wrong = self.compare()
        self.found.add(wrong)
        self.traces += wrong.traces
        return wrong

    def heal(self) -> None:
        """Everything runs, everything is acknowledged, nothing is behind."""
        for replica in self.replicas:
            replica.ready()
        send_what_waits(self.doors[0], self.topic, self.sent)
        erase_what_waits(self._visitor(ERASING_SECONDS), self.sent, self.admin)
        for worker in self.workers:
            worker.joined()
        self.draining.append(drained(self.machines, build_of(self.machines)))
        for replica in self.replicas:
            replica.ready()

    def compare(self) -> Traced:
        fresh = self.machines.replica()
        self.machines.fresh(fresh)
        try:
            return compared(self.machines, self.sent, [*self.replicas, fresh.ready()], self.agent, self.admin)
        finally:
            fresh.kill()

    def told(self) -> str:
        """One line of figures; and where what is lost was lost, if anything is."""
        sent = self.sent
        aside = len(sent.rejected) + len(sent.reused) + sum(sent.poison.values())
        return (
            f"faults {sum(self.happened.values())}, sent {len(sent.items)}, acknowledged {len(sent.acknowledged)}, "
            f"set aside {aside}, erased {len(sent.erased)}, refused {sent.refused}, unanswered {sent.unanswered}, "
            f"garbage on the journal {sent.garbage}, lost {len(self.found.lost)}, doubled {len(self.found.doubled)}, "
            f"otherwise wrong {len(self.found.other)}, ended by themselves {len(self.ended)}, "
            f"lag gone after {max(self.draining, default=0):.1f} s"
            + "".join(f"\n{line}" for line in (*self.traces, *(self.ended if self.traces else ())))
        )

    def close(self) -> None:
        for door in self.doors:
            door.close()
        self.topic.close()
        self.machines.close()

    def _next(self) -> None:
        """Every kind once before any comes again; one whose victim is down already waits for its turn."""
        if not self._deck:
            self._deck = [getattr(self, name) for name in KINDS]
            self.rnd.shuffle(self._deck)
        deadline = time.monotonic() + SECONDS
        while True:
            for place, fault in enumerate(self._deck):
                if self._possible(fault.__name__):
                    del self._deck[place]
                    self.happened[fault.__name__] += 1
                    fault()
                    return
            self._look_after(0.2)
            assert time.monotonic() < deadline, "nothing heals"

    def _possible(self, name: str) -> bool:
        victim = name.split("_")[0]
        if victim == "broker":
            return self._well(self.kafka)
        if victim == "clickhouse":
            return self._well(self.clickhouse)
        if "joins" in name or victim == "litter":
            return self._well(self.kafka)
        return any(map(self._fit, self.workers if victim == "worker" else self.replicas))

    def _fit(self, process: Process) -> bool:
        return (
            process.running and not process.paused and all(name != process.name for _, name, _ in self._later)
        )

    def _well(self, server: Server) -> bool:
        return server.running and all(name != server.name for _, name, _ in self._later)

    def _one_of(self, processes: list[Working] | list[Serving]) -> Process:  # type: ignore[return]
        return self.rnd.choice([one for one in processes if self._fit(one)])

    def _after(self, seconds: float, name: str, action: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + seconds, name, action))

    def _look_after(self, seconds: float) -> None:
        """Ends the faults whose time has come, and starts what ended by itself, as whatever runs it would."""
        deadline = time.monotonic() + seconds
        while True:
            for due in [one for one in self._later if one[0] <= time.monotonic()]:
                self._later.remove(due)
                due[2]()
            for process in (*self.workers, *self.replicas):
                if not process.running and all(name != process.name for _, name, _ in self._later):
                    self._ended(process)
            if time.monotonic() >= deadline:
                return
            time.sleep(0.02)

    def _ended(self, process: Process) -> None:
        last = (process.said().strip() or "nothing").splitlines()[-1]
        self.ended.append(f"{process.name} ({process.code}): {last}")
        assert len(self.ended) <= ENDED_BY_ITSELF_MOST, "\n".join(self.ended)
        self._after(0.5, process.name, process.start)

    def _end(self, worker: Process) -> None:
        began = time.monotonic()
        code = worker.end()
        took = time.monotonic() - began
        if took > 12 or code not in (0, 1, -15):
            self.sent.surprises.append(f"{worker.name} took {took:.1f} s to stop, with {code}")

    def _wait_for_an_insert(self, seconds: float = 2.0) -> None:
        """Returns in the middle of one, or after these seconds."""
        deadline = time.monotonic() + seconds
        with suppress(Exception):  # it may be gone already
            while time.monotonic() < deadline:
                if self.clickhouse.execute(
                    "SELECT 1 FROM system.processes WHERE query LIKE 'INSERT%' LIMIT 1"
                ):
                    return

    def _eraser(self) -> Callable[[], None]:
        door = self._visitor(ERASING_SECONDS)

        def erase() -> None:
            if len(self.sent.erased) < MOST_ERASED * (len(self.draining) + 1):
                door.publish_for_erasure(self.admin)
            time.sleep(1)

        return erase

    def _reader(self) -> Callable[[], None]:
        door, rnd = self._visitor(), random.Random(self.seed)

        def read() -> None:
            what = rnd.choice(["timeline", "scores", "context"])
            status = door.read(f"/v1/customers/user_id:p{rnd.randrange(PEOPLE)}/{what}", self.agent)
            if status not in (0, 200, 404, 503):
                self.sent.surprises.append(f"{status} to a reader of {what}: {door.last}")

        return read

    def _visitor(self, seconds: float = ANSWER_SECONDS) -> AtADoor:
        urls = [replica.url for replica in self.replicas]
        self.doors.append(AtADoor(urls, self.key, self.sent, self.rnd.randrange(2**32), seconds))
        return self.doors[-1]


KINDS = [
    "worker_is_killed",
    "worker_is_held_still_beyond_its_session",
    "worker_is_held_still_for_a_moment",
    "worker_is_stopped",
    "worker_joins_and_leaves",
    "worker_joins_and_dies",
    "broker_is_killed",
    "broker_is_held_still",
    "clickhouse_is_killed_in_an_insert",
    "clickhouse_is_held_still",
    "replica_is_killed",
    "replica_is_held_still",
    "replica_loses_its_own_store",
    "litter_on_the_journal",
]


@contextmanager
def faults(
    kafka: Kafka, clickhouse: ClickHouse, folder: Path, seed: int, away: float = AWAY
) -> Iterator[Faults]:
    """A new installation on these servers."""
    name = f"faults{secrets.token_hex(3)}"
    clickhouse.start().execute(f"CREATE DATABASE {name}")
    kafka.start()
    machines = Machines(
        kafka.bootstrap, name, clickhouse.url(name), folder, parts=PARTS, ingress=(KIOSK.source,)
    )
    try:
        made = Faults(machines, kafka, clickhouse, seed, away)
        try:
            yield made
        finally:
            made.close()
    finally:
        machines.close()
        kafka.start()
        clickhouse.start()
        with suppress(Exception):  # it may be deleting rows still, and goes with its server anyway
            clickhouse.execute(f"DROP DATABASE {name}")


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.cluster.faults", description=__doc__)
    asked.add_argument("--faults", type=int, default=20, help="how many in all (20)")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--round", type=int, default=20, help="faults between two comparisons (20)")
    asked.add_argument("--away", type=float, default=AWAY, help=f"seconds that ClickHouse is away ({AWAY:g})")
    asked.add_argument("--folder", type=Path, help="where logs are left; forgotten at the end if not given")
    given = asked.parse_args()
    os.environ.setdefault("TOUCHBOOK_CLOCK", "false")  # as in the tests: it would add what it notices
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="touchbook-cluster-") as made:
        folder = given.folder or Path(made)
        with (
            Kafka(folder / "kafka") as kafka,
            ClickHouse(folder / "clickhouse") as clickhouse,
            faults(kafka, clickhouse, folder / "machines", given.seed, given.away) as run,
        ):
            left = given.faults
            while left > 0:
                wrong = run.round(min(left, given.round))
                left -= given.round
                print(f"{time.monotonic() - began:6.0f} s {run.told()}", flush=True)
                if wrong:
                    print(wrong, flush=True)
            print(f"all    {dict(sorted(run.happened.items()))}, {time.monotonic() - began:.0f} s")
            for one in run.ended:
                print(f"ended by itself: {one}", file=sys.stderr)
            return bool(run.found)


if __name__ == "__main__":
    raise SystemExit(main())
