"""Commands as their users run them, and servers that answer what a test wants to hear."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from touchbook.cli.app import app

TOUCHBOOK = (sys.executable, "-m", "touchbook")


def run(
    *arguments: object, input: str | bytes | None = None, env: Mapping[str, str | None] | None = None
) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, [str(one) for one in arguments], input=input, env=env)


def answer(*arguments: object, exit: int = 0, **more: Any) -> Any:
    """What the command says with --json: the one object on its stdout, which holds nothing else."""
    result = run(*arguments, "--json", **more)
    assert result.exit_code == exit, (result.stdout, result.stderr, result.exception)
    assert result.stdout.count("\n") == 1, result.stdout
    return json.loads(result.stdout)


def lines(*arguments: object) -> list[list[str]]:
    """The cells of a command's plain lines."""
    result = run(*arguments)
    assert result.exit_code == 0, (result.stdout, result.stderr, result.exception)
    return [line.split("\t") for line in result.stdout.splitlines()]


def started(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """The command in a process of its own, with text pipes. Ctrl-C ends it also where a shell, as it starts the tests
    in the background, had them ignore it: what is ignored children ignore too, and what is handled they do not."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOUCHBOOK_")}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [*TOUCHBOOK, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def listening(process: subprocess.Popen[str]) -> str:
    """The address of a `serve --json` once it says that it listens."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return str(json.loads(line)["url"])


def key_for(data: Path, role: str, source: str = "shop", channel: str | None = None) -> str:
    more = () if channel is None else ("--channel", channel)
    return str(answer("keys", "create", "--data", data, "--role", role, "--source", source, *more)["key"])


def call(id: str, user: str = "42", event: str = "Taken a walk", **more: Any) -> dict[str, Any]:
    """A Segment call of a type that nobody knows, so that every property will do."""
    return {
        "type": "track",
        "event": event,
        "userId": user,
        "messageId": id,
        "timestamp": "2026-05-01T10:00:00Z",
        **more,
    }


def event(id: str, user: str = "42", source: str = "shop", **data: Any) -> dict[str, Any]:
    """A CloudEvent of a type that nobody knows."""
    return {
        "specversion": "1.0",
        "id": id,
        "source": source,
        "type": "walk_taken",
        "time": "2026-05-02T10:00:00Z",
        "data": {"identifiers": {"user_id": user}, **data},
    }


BROKEN = {"type": "no_such_call", "userId": "42", "messageId": "broken"}
"""What every door rejects, and sets aside."""


def json_file(path: Path, items: Sequence[object]) -> Path:
    """JSON lines; texts are written as they are."""
    path.write_text(
        "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in items), "utf-8"
    )
    return path


@dataclass
class Scripted:
    """A server that gives its answers one after the other, the last one for ever, and keeps what it was sent."""

    url: str
    answers: list[tuple[int, dict[str, str], object]]
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextmanager
def scripted(
    *answers: tuple[int, dict[str, str], object], certificate: Path | None = None
) -> Iterator[Scripted]:
    """Each answer is (status, headers, JSON content or bytes). With a certificate it speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            script.bodies.append(self.rfile.read(int(self.headers.get("content-length", 0))))
            script.headers.append({name.lower(): value for name, value in self.headers.items()})
            script.paths.append(self.path)
            status, headers, content = (
                script.answers[0] if len(script.answers) == 1 else script.answers.pop(0)
            )
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    script = Scripted(f"{scheme}://127.0.0.1:{server.server_port}", list(answers))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()


def problem(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], object]:
    return (
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        {"code": code, "message": "no"},
    )


def took(accepted: int) -> tuple[int, dict[str, str], object]:
    return 200, {}, {"success": True, "accepted": accepted, "duplicates": 0, "rejected": [], "positions": []}
