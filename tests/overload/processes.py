"""Servers in processes of their own, as a company runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.overload.raw import GUARD, Line
from touchbook.settings import settings_from
from touchbook.wiring import open_book


@dataclass(frozen=True)
class Running:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    host: str
    port: int
    publisher: str
    agent: str

    def line(self, *sent: bytes) -> Line:
        line = Line(self.host, self.port)
        for one in sent:
            line.send(one)
        return line

    def stop(self, name: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(name)

    def ended(self) -> tuple[int, str]:
        """How it ended, and what it said."""
        _, said = self.process.communicate(timeout=GUARD)
        return self.process.returncode, said


@contextmanager
def serving(data: Path, *code: str, **settings: Any) -> Iterator[Running]:
    book = open_book(settings_from(data=data))
    publisher = book.control.create_key("publish", "shop", "web")[1]
    agent = book.control.create_key("agent", "desk")[1]
    book.close()
    environment = {f"TOUCHBOOK_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, *(code or ("-m", "touchbook")), "serve", "--data", str(data), "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        host, _, port = json.loads(process.stdout.readline())["url"].removeprefix("http://").rpartition(":")
        yield Running(process, host, int(port), publisher, agent)
    finally:
        process.kill()
        process.communicate()


def status_of(line: Line) -> int:
    answer = line.answer()
    return 0 if answer is None else answer.status


def journalled(data: Path) -> int:
    book = open_book(settings_from(data=data))
    try:
        return book.journal.head()
    finally:
        book.close()
