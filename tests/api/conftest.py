"""A real server over a real book in a directory of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.serving import Server, serving
from touchbook.api.app import create_app
from touchbook.settings import Settings
from touchbook.wiring import open_book

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers with the settings given; at the end every counter must add up."""
    ends: list[Callable[[], Any]] = []
    servers: list[Server] = []

    def start(**settings: Any) -> Server:
        book = open_book(Settings(data=tmp_path / f"book-{len(servers)}", **settings))
        ends.append(book.close)
        book.start()
        running = serving(create_app(book))
        client = httpx.Client(base_url=running.__enter__(), timeout=30)
        ends.append(lambda: running.__exit__(None, None, None))
        ends.append(client.close)
        servers.append(Server(book, client))
        return servers[-1]

    yield start
    for end in reversed(ends):
        end()
    for one in servers:
        became = sum(one.total(name) for name in ("accepted", "duplicates", "rejected", "refused"))
        assert one.total("received") == became


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve()
