"""Many machines on this one: a broker, a ClickHouse, and every `touchbook` command as a process of its own, started as
an operator starts it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka
from tests.servers.process import free_port, started
from touchbook.streams.backends.kafka import KafkaPlace

TOUCHBOOK = (sys.executable, "-W", "ignore", "-m", "touchbook")
SECONDS = 150.0
"""A guard: what takes longer does not happen by itself."""
SESSION_SECONDS = 6.0
"""The shortest that a worker's settings allow: who is held still for longer loses its partitions."""


class Process:
    """One `touchbook` command that goes on until it is ended."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None
        self.paused = False

    def start(self) -> Self:
        if not self.running:
            self.paused = False
            self.log.touch()
            self._told = self.log.stat().st_size
            env = [f"{name}={value}" for name, value in self._environment.items()]
            self._child = started(["/usr/bin/env", *env, *self._command], self.log)
        return self

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def code(self) -> int | None:
        """What it ended with; None while it runs."""
        return None if self._child is None else self._child.poll()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait(SECONDS)
        self.paused = False

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        self._signal(signal.SIGCONT)
        self.paused = False

    def end(self) -> int:
        """Stops it as an operator does; its exit code."""
        self.resume()
        self._signal(signal.SIGTERM)
        assert self._child is not None
        return self._child.wait(SECONDS)

    def said(self) -> str:
        """What it wrote since it was started last."""
        with self.log.open(errors="replace") as file:
            file.seek(self._told)
            return file.read()

    def until(self, true: Callable[[], object], seconds: float = SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert self.running, f"{self.name} ended with {self.code}:\n{self.said()[-4_000:]}"
            assert time.monotonic() < deadline, f"{self.name}, not in time:\n{self.said()[-4_000:]}"
            time.sleep(0.05)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)  # does nothing to one whose end was seen


class Serving(Process):
    """`touchbook serve`, on the same port after every start."""

    def __init__(self, name: str, directory: Path, environment: Mapping[str, str], log: Path) -> None:
        self.directory = directory
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            *TOUCHBOOK,
            "serve",
            "--data",
            str(directory),
            "--port",
            str(port),
            "--log-level",
            "warning",
        ]
        super().__init__(name, command, environment, log)

    def answers(self, path: str = "/healthz") -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(self.url + path, timeout=5).status_code == 200
        return False

    def opened(self) -> Self:
        """Returns once it answers."""
        self.start().until(self.answers)
        return self

    def ready(self) -> Self:
        self.start().until(lambda: self.answers("/readyz"))
        return self


class Working(Process):
    """`touchbook work`."""

    def __init__(self, name: str, directory: Path, environment: Mapping[str, str], log: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        settings = {
            **environment,
            "TOUCHBOOK_WORKER_PORT": str(port),
            "TOUCHBOOK_SESSION_SECONDS": str(SESSION_SECONDS),
        }
        super().__init__(name, [*TOUCHBOOK, "work", "--data", str(directory), "--json"], settings, log)

    def joined(self) -> Self:
        """Returns once it is a member of both its groups."""
        self.start().until(self._ready)
        return self

    def _ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False


@dataclass
class Machines:
    """One installation. Its processes end with this one at the latest."""

    bootstrap: str
    prefix: str
    projections: str
    """URL of the ClickHouse database."""
    folder: Path
    parts: int = 4
    ingress: tuple[str, ...] = ()
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.place = KafkaPlace(bootstrap=(self.bootstrap,), prefix=self.prefix)
        self.environment = {
            "TOUCHBOOK_JOURNAL": f"kafka://{self.bootstrap}",
            "TOUCHBOOK_PROJECTIONS": self.projections,
            "TOUCHBOOK_TOPIC_PREFIX": self.prefix,
            "TOUCHBOOK_MASTER_KEY": str(self.folder / "master.key"),
            "TOUCHBOOK_DELIVERY_SECONDS": "5",
        }
        sources = [word for source in self.ingress for word in ("--ingress", source)]
        self.run("topics", "ensure", "--partitions", str(self.parts), *sources)

    def run(self, *words: str) -> dict[str, Any]:
        """A command that ends by itself, in a directory of its own; what it said with --json."""
        return said(list(words), self.folder / "commands", self.environment)

    def worker(self) -> Working:
        name = f"worker-{len(self.processes)}"
        made = Working(name, self.folder / name, self.environment, self.folder / f"{name}.log")
        self.processes.append(made)
        return made

    def replica(self) -> Serving:
        name = f"replica-{len(self.processes)}"
        made = Serving(name, self.folder / name, self.environment, self.folder / f"{name}.log")
        self.processes.append(made)
        return made

    def fresh(self, replica: Serving) -> None:
        """Takes a replica, which must not run, its own store."""
        shutil.rmtree(replica.directory, ignore_errors=True)

    def key(self, role: str, source: str, *more: str) -> str:
        return str(self.run("keys", "create", "--role", role, "--source", source, *more)["key"])

    def digest(self) -> dict[str, str]:
        return self.run("digest")

    def close(self) -> None:
        for process in self.processes:
            process.kill()


@contextmanager
def installed(
    kafka: Kafka,
    clickhouse: ClickHouse,
    folder: Path,
    *,
    parts: int = 4,
    ingress: tuple[str, ...] = (),
    policy: str = "",
    **environment: str,
) -> Iterator[Machines]:
    """A new installation on these servers, with this text as its policy and these settings of every process."""
    name = f"t{secrets.token_hex(4)}"
    kafka.start()
    clickhouse.start().execute(f"CREATE DATABASE {name}")
    machines = Machines(kafka.bootstrap, name, clickhouse.url(name), folder, parts=parts, ingress=ingress)
    if policy:
        (file := folder / "policy.yaml").write_text(policy)
        machines.environment["TOUCHBOOK_POLICY"] = str(file)
    machines.environment |= environment
    try:
        yield machines
    finally:
        machines.close()
        clickhouse.start().execute(f"DROP DATABASE {name}")


def said(words: list[str], directory: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [*TOUCHBOOK, *words, "--data", str(directory), "--json"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
