"""Clients that publish and read without pause, and remember what they sent and what they were told."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.books import event
from tests.projections.histories import samples
from touchbook.streams.admission import Item

PEOPLE: list[dict[str, str]] = [
    *({"user_id": f"u{number}"} for number in range(12)),
    *({"user_id": f"u{number}", "anonymous_id": f"a{number % 5}"} for number in range(6)),
    {"user_id": "u1", "email": "bo@example.test"},
    {"loyalty_card": "c1", "anonymous_id": "a2"},
]
LONG_AGO = 1_000
"""Days: whatever the clock of this machine says, these events are of the past."""
SECONDS = 30.0
"""How long an answer may take; a guard, not a promise."""


@dataclass
class Sent:
    """Everything that was ever sent, and what the server said to it: what has to be true of the book in the end.

    `waiting` was sent and never answered: not known, to be sent again. `positions` are those answered 200. `aside`
    holds the items (as JSON) whose rejection was answered. `surprises` is what should never have been said.
    """

    items: dict[str, Item] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    positions: dict[str, str] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    refused: int = 0
    surprises: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def new(self, rnd: random.Random, who: dict[str, str] | None = None) -> str:
        """An item that nobody sent yet, of this customer or of any; its id."""
        with self.lock:
            id = f"e{len(self.items)}"
            self.items[id] = _item(rnd, id, who)
            self.waiting.add(id)
        return id

    def answered(self, ids: Sequence[str], positions: Sequence[str | None]) -> None:
        with self.lock:
            for id, position in zip(ids, positions, strict=True):
                if position is None:
                    self.surprises.append(f"{id} was rejected")
                elif self.positions.setdefault(id, position) != position:
                    self.surprises.append(f"{id} stands at two positions")
            self.waiting.difference_update(ids)

    @property
    def acknowledged(self) -> list[str]:
        with self.lock:
            return list(self.positions)


def _item(rnd: random.Random, id: str, who: dict[str, str] | None) -> Item:
    days_ago = LONG_AGO + rnd.randrange(4_000) / 10
    if who is None and rnd.random() < 0.3:
        raw = {
            "type": "track", "event": "Wheel spun", "messageId": id, "userId": f"u{rnd.randrange(12)}",
            "timestamp": event("any", days_ago=days_ago)["time"], "properties": {"note": f"колесо {id}"},
        }  # fmt: skip
        return Item("segment", raw, {})
    type, data = rnd.choice(samples())
    who = who or rnd.choice(PEOPLE)
    return Item("cloudevents", event(type, data, who=who, days_ago=days_ago, id=id), {})


class Client:
    """One connection. Every method returns the status, or 0 where there was no answer."""

    def __init__(self, url: str, key: str, agent: str, sent: Sent, seed: int) -> None:
        self._host = url.removeprefix("http://")
        self._key = key
        self._agent = agent
        self._sent = sent
        self._rnd = random.Random(seed)
        self._connection: http.client.HTTPConnection | None = None
        self.last: Any = None

    def publish(self, ids: Sequence[str]) -> int:
        """One alone through its own door, several as one batch (of CloudEvents, so the others alone)."""
        events = [id for id in ids if self._sent.items[id].route == "cloudevents"]
        statuses = [self._one(id) for id in ids if id not in events]
        if len(events) == 1:
            statuses.append(self._one(events[0]))
        elif events:
            raws = [self._sent.items[id].raw for id in events]
            status = self._post("/v1/events", raws, "application/cloudevents-batch+json")
            statuses.append(self._took(status, events))
        return next((status for status in statuses if status != 200), 200)

    def _one(self, id: str) -> int:
        item = self._sent.items[id]
        if item.route == "segment":
            return self._took(self._post("/v1/track", item.raw), [id])
        return self._took(self._post("/v1/events", item.raw, "application/cloudevents+json"), [id])

    def publish_new(self, most: int = 20) -> int:
        many = 1 if self._rnd.random() < 0.6 else self._rnd.randint(2, most)
        return self.publish([self._sent.new(self._rnd) for _ in range(many)])

    def publish_again(self) -> int:
        """What was answered already: a retry of a client that did not hear it."""
        known = self._sent.acknowledged
        return self.publish(self._rnd.sample(known, min(len(known), 5))) if known else 200

    def publish_waiting(self) -> int:
        """Some of what was never answered; another client may be sending it at this moment."""
        with self._sent.lock:
            waiting = sorted(self._sent.waiting)[:20]
        return self.publish(waiting) if waiting else 200

    def publish_broken(self) -> int:
        """What cannot be accepted, alone or (an id used before) with other content."""
        raw = event("page_viewed", {"note": str(self._rnd.random())}, who={}, id=f"b{self._rnd.random()}")
        if (known := self._sent.acknowledged) and self._rnd.random() < 0.5:
            id = self._rnd.choice(known)
            raw = event("page_viewed", {"other": self._rnd.random()}, who="u1", id=id, days_ago=LONG_AGO)
        return self.publish_rejected(raw)

    def publish_rejected(self, raw: dict[str, Any]) -> int:
        """An event that has to be rejected, and then is set aside."""
        status = self._post("/v1/events", raw, "application/cloudevents+json")
        if status == 422:
            with self._sent.lock:
                self._sent.aside.add(json.dumps(raw, sort_keys=True))
        self._expect(status, 422)
        return status

    def read(self) -> int:
        what = self._rnd.choice(["timeline", "scores", "context"])
        status = self._ask("GET", f"/v1/customers/user_id:u{self._rnd.randrange(12)}/{what}", self._agent)
        self._expect(status, 200, 404)
        return status

    def get(self, path: str) -> int:
        return self._ask("GET", path, self._agent)

    def anything(self) -> int:
        chance = self._rnd.random()
        if chance < 0.6:
            return self.publish_new()
        if chance < 0.7:
            return self.publish_again()
        if chance < 0.75:
            return self.publish_waiting()
        return self.publish_broken() if chance < 0.85 else self.read()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _took(self, status: int, ids: Sequence[str]) -> int:
        if status == 200:
            self._sent.answered(ids, self.last["positions"])
        self._expect(status, 200)
        return status

    def _expect(self, status: int, *expected: int) -> None:
        with self._sent.lock:
            if status == 503:
                self._sent.refused += 1
            elif status and status not in expected:
                self._sent.surprises.append(f"{status}: {self.last}")

    def _post(self, path: str, content: object, type: str = "application/json") -> int:
        return self._ask("POST", path, self._key, json.dumps(content).encode(), type)

    def _ask(
        self, method: str, path: str, key: str, body: bytes | None = None, type: str = "application/json"
    ) -> int:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, timeout=SECONDS)
            headers = {"Authorization": f"Bearer {key}", "Content-Type": type}
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
            self.last = json.loads(content) if content else None
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return 0
        if answer.status == 503 and not (answer.getheader("Retry-After") or "").isdecimal():
            self._sent.surprises.append("503 without Retry-After")
        return answer.status


@contextmanager
def load(url: str, key: str, agent: str, sent: Sent, seed: int, clients: int = 4) -> Iterator[None]:
    """Clients at work until the block ends or nobody answers them any more."""
    stop = threading.Event()

    def work(number: int) -> None:
        client = Client(url, key, agent, sent, seed * 100 + number)
        while not stop.is_set() and client.anything():
            pass
        client.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def send_again(client: Client, sent: Sent) -> None:
    """Everything that was never answered, with the ids it had, until it is; and some of what was."""
    deadline = time.monotonic() + SECONDS
    while sent.waiting:
        waiting = sorted(sent.waiting)
        for start in range(0, len(waiting), 50):
            client.publish(waiting[start : start + 50])
        assert time.monotonic() < deadline, f"{len(sent.waiting)} items are never answered: {client.last}"
    client.publish_again()
