"""The desk over HTTP as a browser uses it: with its cookies, and saying where a request comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.api.serving import Server, serving
from tests.marta import record_both
from touchbook.api.app import create_app
from touchbook.api.desk.session import COOKIE, Session, Sessions
from touchbook.settings import Settings
from touchbook.wiring import now, open_book


@contextmanager
def a_server(directory: Path, **settings: Any) -> Iterator[Server]:
    """One for all tests of a module: they look, and leave nothing behind that others would see."""
    book = open_book(Settings(data=directory, **settings))
    try:
        book.start()
        with serving(create_app(book)) as url, httpx.Client(base_url=url, timeout=30) as client:
            yield Server(book, client)
    finally:
        book.close()


@contextmanager
def with_marta(directory: Path, **settings: Any) -> Iterator[Server]:
    """The same, and everything of Marta's and Vera's is told there."""
    record_both(directory)
    with a_server(directory, **settings) as running:
        running.settle()
        running.book.watch.look()  # how long stages usually last is counted over everybody
        yield running


TOKEN = re.compile(r'"X-CSRF-Token": "([^"]+)"')


def visitor(server: Server, **headers: str) -> httpx.Client:
    """A browser that nobody has signed in with."""
    url = str(server.http.base_url).rstrip("/")
    return httpx.Client(base_url=url, headers={"Origin": url, **headers}, timeout=30)


def signed_in(server: Server, role: str = "agent", **headers: str) -> httpx.Client:
    """A browser whose agent came in by the door."""
    client = visitor(server, **headers)
    answer = client.post("/desk/sign-in", data={"key": server.key(role)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk/overview"), answer.text
    return client


def token_of(client: httpx.Client) -> str:
    """The session's token, as every page holds it."""
    found = TOKEN.search(client.get("/desk/no-such-page").text)
    assert found is not None
    return found[1]


def with_session(server: Server, session: Session, **headers: str) -> httpx.Client:
    """A browser that brings this session."""
    client = visitor(server, **headers)
    client.cookies.set(COOKIE, sealer(server).seal(session), path="/desk")
    return client


def sealer(server: Server) -> Sessions:
    return Sessions(server.book.keyring.identity_key, server.book.control)


def a_session(server: Server, hours_ago: float = 0, **fields: Any) -> Session:
    server.key("agent")
    key = next(key for key in server.book.control.list_keys() if key.role == "agent")
    given: dict[str, Any] = {"key_id": key.id, "issued": now() - int(hours_ago * 3_600_000), "csrf": "t" * 32}
    return Session(**{**given, **fields})
