"""One data directory and the servers that come and go over it, as an operator would start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.faults.nursery import Nursery, Point

TOUCHBOOK = (sys.executable, "-m", "touchbook")
SECONDS = 60.0
"""A guard: a server that takes longer to open does not open by itself."""


class Child(Protocol):
    """A process of ours."""

    def wait(self) -> int:
        """Its exit code, negative for a signal, once it ended."""
        ...

    @property
    def pid(self) -> int: ...


class Run(Protocol):
    """How a `touchbook` command is started: what it says goes to `out`, messages to `err`."""

    def __call__(self, arguments: list[object], out: Path, err: Path) -> Child: ...


@dataclass(frozen=True)
class Executed:
    """In a process of its own, as from a shell."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def __call__(self, arguments: list[object], out: Path, err: Path) -> Child:
        with out.open("w") as said, err.open("a") as told:
            return subprocess.Popen(
                [*TOUCHBOOK, *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=said, stderr=told, env=dict(self.environment),
            )  # fmt: skip


@dataclass(frozen=True)
class Forked:
    """In a child of a process that has everything imported."""

    nursery: Nursery
    environment: Mapping[str, str] = field(default_factory=dict)
    point: Point | None = None
    loose: bool = False

    def __call__(self, arguments: list[object], out: Path, err: Path) -> Child:
        pid = self.nursery.start(arguments, out, err, self.environment, self.point, self.loose)
        return _Forked(pid, self.nursery)


@dataclass
class _Forked:
    pid: int
    nursery: Nursery
    code: int | None = None

    def wait(self) -> int:
        if self.code is None:
            self.code = self.nursery.wait(self.pid)
        return self.code


@dataclass
class Command:
    """One command under way."""

    child: Child
    out: Path
    err: Path

    def kill(self) -> None:
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait()

    def end(self) -> int:
        """Stops it as an operator does; its exit code."""
        os.kill(self.child.pid, signal.SIGTERM)
        return self.child.wait()

    def gone(self) -> bool:
        """Whether it ended, by itself or killed."""
        try:
            state = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        return state in "ZX"

    def url(self) -> str | None:
        """Where it listens, once it says so; None if it ended before."""
        deadline = time.monotonic() + SECONDS
        while not (said := self.out.read_text()).endswith("\n"):
            if self.gone():
                return None
            assert time.monotonic() < deadline, self.err.read_text()
            time.sleep(0.002)
        return str(json.loads(said)["url"])


class Directory:
    """A data directory at `path`; `scratch` is for what is said beside it."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self.path = path
        self._scratch = scratch
        self._commands = 0
        self.opening: list[float] = []

    def command(self, run: Run, *arguments: object) -> Command:
        self._commands += 1
        out, err = self._scratch / f"out-{self._commands}", self._scratch / "err"
        return Command(run([*arguments, "--data", self.path], out, err), out, err)

    def serve(self, run: Run, *more: object) -> Command:
        return self.command(run, "serve", "--port", 0, "--log-level", "warning", "--json", *more)

    def served(self, run: Run, *more: object) -> tuple[Command, str]:
        """A server that listens. It must open by itself; how long that took is noted in `opening`."""
        began = time.perf_counter()
        server = self.serve(run, *more)
        url = server.url()
        assert url is not None, f"it did not open: {server.err.read_text()[-2_000:]}"
        self.opening.append(time.perf_counter() - began)
        return server, url

    def key(self, run: Run, role: str, source: str, *more: object) -> str:
        made = self.command(run, "keys", "create", "--role", role, "--source", source, *more, "--json")
        assert made.child.wait() == 0, made.err.read_text()
        return str(json.loads(made.out.read_text())["key"])
