"""Bytes to and from a running server, in one's own time."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchbook.cli.serve import running
from touchbook.settings import settings_from
from touchbook.wiring import Book

GUARD = 120
"""Seconds; a guard against hanging."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of the problem that it is."""
        problem = json.loads(self.body)
        assert self.headers["content-type"] == "application/problem+json"
        assert problem["status"] == self.status
        return str(problem["code"])


class Line:
    """One connection of a client."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=GUARD)
        self._rest = b""

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, sent: bytes) -> None:
        self._socket.sendall(sent)

    def answer(self, *, content: bool = True) -> Answer | None:
        """The next one; None where the server hangs up instead. Without `content`: an answer to HEAD."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0)) if content else 0
        while len(self._rest) < length:
            assert self._more(), "the server hung up in the middle of an answer"
        body, self._rest = self._rest[:length], self._rest[length:]
        return Answer(int(first.split()[1]), headers, body)

    def heard(self) -> bool:
        """Whether the server has said something, or hung up."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def closed(self) -> bool:
        """Waits until the server hangs up; whether it said nothing more before."""
        try:
            return self._rest == b"" and self._socket.recv(65536) == b""
        except ConnectionResetError:
            return True

    def read_slowly(self) -> int:
        """Reads what there is until the server hangs up; how many bytes that was."""
        read = 0
        try:
            while part := self._socket.recv(65536):
                read += len(part)
        except ConnectionResetError:
            pass
        return read

    def _more(self) -> bool:
        try:
            part = self._socket.recv(65536)
        except ConnectionResetError:
            part = b""
        self._rest += part
        return part != b""


@dataclass
class Server:
    """`touchbook serve`, in a thread of the test."""

    book: Book
    host: str
    port: int
    keys: dict[tuple[str, str], str] = field(default_factory=dict)

    def line(self) -> Line:
        return Line(self.host, self.port)

    def key(self, role: str = "publish", source: str = "shop") -> str:
        if (role, source) not in self.keys:
            channel = "web" if role == "publish" else None
            self.keys[role, source] = self.book.control.create_key(role, source, channel)[1]
        return self.keys[role, source]

    def ask(self, request: bytes) -> Answer:
        with self.line() as line:
            line.send(request)
            answer = line.answer()
            assert answer is not None
            return answer

    def publish(self, *ids: str, source: str = "shop") -> Answer:
        return self.ask(batch(*ids, key=self.key(source=source)))

    def level(self, name: str) -> float:
        for metric in self.book.metrics.collect():
            for sample in metric.samples:
                if sample.name == f"touchbook_{name}":
                    return float(sample.value)
        raise LookupError(name)


@contextmanager
def serving(data: Path, **settings: Any) -> Iterator[Server]:
    """At the end everything that came is accounted for, and nothing is held for it any more."""
    with running(settings_from(data=data, port=0, **settings)) as served:
        host, _, port = served.url.removeprefix("http://").rpartition(":")
        server = Server(served.book, host, int(port))
        yield server
        wait_until(lambda: server.level("in_flight") == 0 and server.level("receiving_bytes") == 0)
        total = served.book.metrics.total
        became = ("accepted", "duplicates", "rejected", "refused")
        wait_until(lambda: total("received") == sum(map(total, became)))


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GUARD
    while not holds():
        assert time.monotonic() < deadline, "it never held"
        time.sleep(0.01)


def track(id: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "userId": "42",
        "event": "Looked",
        "messageId": id,
        "timestamp": "2026-03-02",
        **more,
    }


def batch(*ids: str, key: str) -> bytes:
    body = json.dumps({"batch": [track(id, timestamp="2026-03-02T09:15:00Z") for id in ids]}).encode()
    return post("/v1/batch", body, key=key)


def post(
    path: str, body: bytes, *, key: str | None = None, length: int | None = None, **headers: str
) -> bytes:
    """A request; with `length` greater than the body's it is still to come to its end."""
    return head("POST", path, key, **{"Content-Length": str(length or len(body)), **headers}) + b"\r\n" + body


def get(path: str, *, key: str | None = None, **headers: str) -> bytes:
    return head("GET", path, key, **headers) + b"\r\n"


def head(method: str, path: str, key: str | None = None, **headers: str) -> bytes:
    """All but the empty line that ends it."""
    known = {"Host": "shop.example.test", **({"Authorization": f"Bearer {key}"} if key else {}), **headers}
    return f"{method} {path} HTTP/1.1\r\n".encode() + b"".join(
        f"{name.replace('_', '-')}: {value}\r\n".encode() for name, value in known.items()
    )
