"""Touchpoints in one line: everything a test is not about has a value already."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

from touchbook.schemas.touchpoint import Identifier, Touchpoint
from touchbook.sealing import digest_of


def key_of(id: str, source: str = "shop") -> str:
    return hashlib.sha256(f"{source}\0{id}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def touchpoint(id: str = "1", *, customer: str = "ann", source: str = "shop", **fields: Any) -> Touchpoint:
    """A message by `ann` in the shop's web chat; another `data` is another payload under the same id."""
    subject = fields.pop("subject", Identifier("user_id", customer))
    data = fields.pop("data", {"text": f"message {id}"})
    digest = fields.pop("digest", None) or digest_of(data)
    made: dict[str, Any] = {
        "key": key_of(id, source),
        "id": id,
        "source": source,
        "type": "chat_message",
        "version": 1,
        "channel": "web_chat",
        "subject": subject,
        "identifiers": (subject,),
        "occurred_at": 1_760_000_000_000,
        "received_at": 1_760_000_000_500,
        "data": data,
        "digest": digest,
    }
    return Touchpoint(**(made | fields))


def many(count: int, *, since: int = 0, customers: int = 100) -> list[Touchpoint]:
    return [touchpoint(str(n), customer=f"c{n % customers}") for n in range(since, since + count)]


class Clock:
    """Milliseconds that a test sets; it can also hold whoever asks it, which stops the journal's writer."""

    def __init__(self, now: int = 1_760_000_001_000) -> None:
        self.now = now
        self._free = Event()
        self._free.set()
        self._asked = Event()

    def __call__(self) -> int:
        self._asked.set()
        self._free.wait()
        return self.now

    @contextmanager
    def held(self, start: Callable[[], object]) -> Iterator[None]:
        """`start` makes someone ask; the block runs while he waits for the answer."""
        self._asked.clear()
        self._free.clear()
        try:
            start()
            assert self._asked.wait(10)
            yield
        finally:
            self._free.set()
