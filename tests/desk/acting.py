"""Who is signed in and acts: his requests bring the session's token, and ask for parts of pages as its scripts do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import httpx

from tests.api.serving import Server
from tests.desk.signed import signed_in, token_of
from touchbook.schemas.times import rfc3339
from touchbook.wiring import now

DAY = 86_400_000


@contextmanager
def acting(
    server: Server, role: str = "agent", *, fragments: bool = True, **headers: str
) -> Iterator[httpx.Client]:
    client = signed_in(server, role, **headers)
    client.headers["X-CSRF-Token"] = token_of(client)
    if fragments:
        client.headers["HX-Request"] = "true"
    try:
        yield client
    finally:
        client.close()


def happened(type: str, who: dict[str, Any] | str, days_ago: float = 0, **data: Any) -> dict[str, Any]:
    """A CloudEvent of so many days ago; `who` is a user_id or a dict of identifiers."""
    channel = data.pop("channel", None)
    identifiers = {"user_id": who} if isinstance(who, str) else who
    made = {
        "specversion": "1.0",
        "source": "web-shop",
        "id": f"{type}-{identifiers}-{days_ago}-{data}",
        "type": type,
        "time": rfc3339(now() - int(days_ago * DAY)),
        "data": {**data, "identifiers": identifiers},
    }
    return {**made, "channel": channel} if channel else made


def recorded(server: Server, *events: dict[str, Any]) -> None:
    for one in events:
        answer = server.event(one)
        assert answer.json().get("accepted") == 1, (one, answer.text)


def words_of(html: str) -> str:
    """What is to be read of a piece of a page, with single blanks."""
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())
