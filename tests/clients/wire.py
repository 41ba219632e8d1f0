"""The wire between an SDK and the server: it keeps what passes, byte for byte, and can fail as networks do."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from touchbook.api.problems import problem


@dataclass(slots=True)
class Passed:
    """One request as the SDK sent it. `status` is what it was answered, None where its answer was lost; `reached`
    says whether the server saw it."""

    method: str
    path: str
    headers: Message
    body: bytes
    at: float
    status: int | None = None
    reached: bool = False

    @property
    def content(self) -> Any:
        packed = self.headers.get("Content-Encoding") == "gzip"
        return json.loads(gzip.decompress(self.body) if packed else self.body)

    @property
    def ids(self) -> list[str]:
        return [item["messageId"] for item in self.content.get("batch", [self.content])]


Answer = tuple[int, list[tuple[str, str]], bytes]
Fault = Callable[["Wire", Passed], Answer | None]
"""What happens to one request instead of passing; None: the connection is cut without an answer."""


def rate_limited(wire: Wire, request: Passed) -> Answer:
    """Turned away as this server words it, by whoever limits the rate before it."""
    answer = problem(
        429, "rate_limited", "expected fewer requests; come back after the seconds in Retry-After"
    )
    return 429, [(name.decode(), value.decode()) for name, value in answer.raw_headers], bytes(answer.body)


def cut_short(wire: Wire, request: Passed) -> Answer:
    """The end of the body is lost; the server answers what is left."""
    return wire.forward(request, request.body[:-20])


def answer_lost(wire: Wire, request: Passed) -> None:
    """The server takes it, and the client never hears."""
    wire.forward(request, request.body)


@dataclass
class Wire:
    """A proxy on the loopback. The requests that publish meet the `faults`, one each, until none is left."""

    upstream: str
    faults: deque[Fault] = field(default_factory=deque)
    passed: list[Passed] = field(default_factory=list)
    url: str = ""

    @property
    def sent(self) -> list[Passed]:
        """The requests that publish."""
        return [request for request in self.passed if request.method == "POST"]

    def take(self, request: Passed) -> Answer | None:
        self.passed.append(request)
        if request.method == "POST" and self.faults:
            answer = self.faults.popleft()(self, request)
        else:
            answer = self.forward(request, request.body)
        request.status = answer[0] if answer else None
        return answer

    def forward(self, request: Passed, body: bytes) -> Answer:
        request.reached = True
        connection = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=60)
        try:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                connection.putheader(name, str(len(body)) if name.lower() == "content-length" else value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


@contextmanager
def wired(upstream: str, *faults: Fault) -> Iterator[Wire]:
    """A wire to the server for as long as the block runs."""
    wire = Wire(upstream, deque(faults))
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(wire))
    wire.url = f"http://127.0.0.1:{proxy.server_address[1]}"
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield wire
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def _handler_of(wire: Wire) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def pass_on(self) -> None:
            at = time.monotonic()
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            answer = wire.take(Passed(self.command, self.path, self.headers, body, at))
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, headers, content = answer
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_OPTIONS = pass_on  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing: the wire keeps everything that passes anyway."""

    return Handler
