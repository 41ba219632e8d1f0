"""Children that run the `touchbook` command without importing everything first: forked from a process that has.

Half of a server's start is imports; a test that starts a hundred of them would do little else. What the child runs is
the command itself, `touchbook.cli:main`, with its own arguments, environment and files.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tests.faults.points import wrap

ROOT = Path(__file__).parents[2]
IMPORTED = (
    "uvicorn",
    "uvloop",
    "touchbook.api.app",
    "touchbook.cli.app",
    "touchbook.cli.upkeep",
    "touchbook.wiring",
)
Point = tuple[str, str, int]
"""`module:function`, before or after, and which call of it."""


class Nursery:
    """Forks children on demand, one request after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(
        self,
        arguments: Sequence[object],
        out: Path,
        err: Path,
        environment: Mapping[str, str],
        point: Point | None = None,
        loose: bool = False,
    ) -> int:
        """The child's process id. `point`: where it kills itself. `loose`: it runs with PRAGMA synchronous = OFF."""
        out.touch()
        return int(
            self._ask(
                arguments=list(map(str, arguments)),
                out=str(out),
                err=str(err),
                environment=dict(environment),
                point=point,
                loose=loose,
            )
        )

    def wait(self, pid: int) -> int:
        """The exit code of the child, once it ended; negative for a signal."""
        return int(self._ask(wait=pid))

    def _ask(self, **wanted: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the nursery ended"
        return json.loads(line)


@contextmanager
def nursery(environment: Mapping[str, str]) -> Iterator[Nursery]:
    """`environment` is that of the children, but for what each is given: LD_PRELOAD must be here."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.nursery"],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Nursery(process)
    finally:
        process.communicate()


def main() -> None:
    """Imports, then forks a child for each line."""
    for module in IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    alive: set[int] = set()
    for line in sys.stdin:
        wanted = json.loads(line)
        if (pid := wanted.get("wait")) is not None:
            answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            alive.discard(pid)
        else:
            answer = os.fork()
            if answer == 0:
                child(wanted)
            alive.add(answer)
        print(json.dumps(answer), flush=True)
    for pid in alive:  # what a test that failed did not end
        os.kill(pid, signal.SIGKILL)


def child(wanted: dict[str, Any]) -> NoReturn:
    """Runs the command, and ends with its exit code."""
    code = 70
    try:
        _redirect(wanted)
        os.environ.update(wanted["environment"])
        if "LD_PRELOAD" in os.environ:
            ctypes.CDLL(None).faults_begin()
        if wanted["loose"]:
            sqlite3.connect = _loosened(sqlite3.connect)
        if wanted["point"]:
            wrap(*wanted["point"])
        sys.argv = ["touchbook", *wanted["arguments"]]
        code = _run()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run() -> int:
    from touchbook.cli import main as touchbook

    try:
        touchbook()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 71
    return 0


def _redirect(wanted: dict[str, Any]) -> None:
    for descriptor, path, mode in (
        (0, os.devnull, "r"), (1, wanted["out"], "w"), (2, wanted["err"], "a"),
    ):  # fmt: skip
        with open(path, mode) as file:
            os.dup2(file.fileno(), descriptor)


class _Loose(sqlite3.Connection):
    def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
        if statement.startswith("PRAGMA synchronous"):
            statement = "PRAGMA synchronous = OFF"
        return super().execute(statement, *arguments)


def _loosened(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    """What the product opens does not wait for the disk, whatever it asks for."""
    return lambda *arguments, **named: connect(*arguments, factory=_Loose, **named)


if __name__ == "__main__":
    main()
