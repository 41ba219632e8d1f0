"""A running server as the tests of the HTTP API talk to it, and one-line helpers for what they send."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from touchbook.wiring import Book

WHEN = "2026-03-02T09:15:00.000Z"
_numbers = itertools.count(1)


@dataclass
class Server:
    """One running server. Keys are made on first use, one for each role."""

    book: Book
    http: httpx.Client
    keys: dict[str, str] = field(default_factory=dict)

    def key(self, role: str = "publish", source: str = "", **more: Any) -> str:
        source = source or ("shop-page" if more.get("origins") else "web-shop")
        name = f"{role} {source} {more}"
        if name not in self.keys:
            channel = "web" if role in ("publish", "channel") else None
            self.keys[name] = self.book.control.create_key(role, source, channel, **more)[1]
        return self.keys[name]

    def as_(self, role: str, **more: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key(role, **more)}"}

    def get(self, path: str, role: str = "agent", **more: Any) -> httpx.Response:
        headers = {**self.as_(role), **more.pop("headers", {})}
        return self.http.get(path, headers=headers, **more)

    def publish(self, *calls: dict[str, Any], role: str = "publish", **more: Any) -> httpx.Response:
        """Segment calls, published and visible."""
        headers = {**self.as_(role), **more.pop("headers", {})}
        answer = self.http.post("/v1/batch", json={"batch": list(calls)}, headers=headers, **more)
        self.settle()
        return answer

    def event(self, event: dict[str, Any], role: str = "publish", **headers: str) -> httpx.Response:
        """One CloudEvent in structured mode, published and visible."""
        headers = {**self.as_(role), "Content-Type": "application/cloudevents+json", **headers}
        answer = self.http.post("/v1/events", json=event, headers=headers)
        self.settle()
        return answer

    def settle(self) -> None:
        assert self.book.follower.wait(self.book.journal.head(), 20)

    def total(self, name: str) -> int:
        return self.book.metrics.total(name)


def track(event: str = "Order Completed", **more: Any) -> dict[str, Any]:
    number = next(_numbers)
    call = {"type": "track", "userId": "42", "event": event, "messageId": f"m-{number}", "timestamp": WHEN}
    if event == "Order Completed":
        call["properties"] = {"order_id": f"o-{number}", "total": 12.5, "currency": "EUR"}
    return {**call, **more}


def chat(**more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"chat-{next(_numbers)}",
        "source": "web-shop",
        "type": "chat_message_sent",
        "time": WHEN,
        "data": {"identifiers": {"user_id": "42"}, "thread": "t-1", "text": "Where is my order?"},
        **more,
    }


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The app on a free port of the loopback, until the block ends."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


def problem_of(answer: httpx.Response) -> dict[str, Any]:
    """The problem in an answer, after checking that it has every part that a problem has."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"urn:touchbook:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"] == problem["message"] != ""
    assert ("retry-after" in answer.headers) == (answer.status_code in (429, 503))
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    return problem
