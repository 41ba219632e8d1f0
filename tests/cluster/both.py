"""Both shapes side by side: what is published goes to each, through doors of the same kind where both have them, and
what they tell is compared."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.cluster.answers import Desk, Identifier, at_the_desk, told
from tests.cluster.check import build_of, drained, visible
from tests.cluster.machines import SECONDS, Machines, Serving, Working
from touchbook.cli.serve import running
from touchbook.settings import settings_from
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.wiring import Book

Event = dict[str, Any]
STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
SHOP, KIOSK = "shop", "kiosk"
DAYS = ["2026-06-01", "2026-02-01", "2025-09-15"]


@dataclass
class Door:
    """Where one service publishes."""

    http: httpx.Client
    key: str

    def post(self, path: str, content: object, type: str = "application/json", **headers: str) -> Any:
        body = json.dumps(content, ensure_ascii=False).encode()
        said = {"Authorization": f"Bearer {self.key}", "Content-Type": type, **headers}
        answer = self.http.post(path, content=body, headers=said)
        assert answer.status_code in (200, 422), answer.text
        return answer.json()

    def one(self, event: Event, binary: bool = False) -> Any:
        if not binary:
            return self.post("/v1/events", event, STRUCTURED)
        attributes = {f"ce-{name}": str(value) for name, value in event.items() if name != "data"}
        return self.post("/v1/events", event["data"], **attributes)

    def many(self, events: Sequence[Event]) -> Any:
        return self.post("/v1/events", events, BATCHED)

    def segment(self, calls: Sequence[Event]) -> Any:
        if len(calls) == 1:
            return self.post(f"/v1/{calls[0]['type']}", calls[0])
        return self.post("/v1/batch", {"batch": calls})


@dataclass
class Both:
    machines: Machines
    worker: Working
    replicas: list[Serving]
    book: Book
    desks: list[Desk]
    """Of the replicas."""
    desk: Desk
    """Of the one machine."""
    doors: list[Door]
    """The shop's at each replica; at the one machine `door`."""
    door: Door
    kiosk: Door
    """The kiosk's at the one machine; at the others it publishes to a topic."""
    producer: Producer
    people: set[Identifier] = field(default_factory=set)
    """All whom anything was published of."""
    _turn: int = 0

    def cloudevents(
        self, events: Sequence[Event], at: int | None = None, binary: bool = False
    ) -> list[str | None]:
        """One alone by itself, several as a batch. The positions at the replica."""
        events = list(events)
        self._note(events)
        doors = (self._next_door(at), self.door)
        if len(events) == 1:
            answers = [door.one(events[0], binary) for door in doors]
        else:
            answers = [door.many(events) for door in doors]
        return list(answers[0].get("positions") or [None])

    def segment(self, calls: Sequence[Event], at: int | None = None) -> list[str | None]:
        answers = [door.segment(calls) for door in (self._next_door(at), self.door)]
        for call in calls:
            named = {"userId": "user_id", "anonymousId": "anonymous_id", "previousId": "anonymous_id"}
            self.people |= {(type, call[name]) for name, type in named.items() if name in call}
            traits = call.get("traits", {})
            self.people |= {("email", traits["email"].casefold())} if "email" in traits else set()
        return list(answers[0]["positions"])

    def ingress(self, events: Sequence[Event], binary: bool = False) -> None:
        """From the kiosk, each event a record of its own."""
        self._note(events)
        rows = [self._record(event, binary and place % 2 == 0) for place, event in enumerate(events)]
        self.producer.send(rows).result(30)
        for event in events:
            self.kiosk.one(event)

    def ingress_bytes(self, value: bytes | None, headers: list[tuple[str, bytes]], as_event: Any) -> None:
        """What no one can read; at the one machine's door something that is rejected for the same reason."""
        self.producer.send([self._row(value, headers)]).result(30)
        self.kiosk.post("/v1/events", as_event, STRUCTURED)

    def settled(self) -> None:
        """Everything published is visible everywhere."""
        drained(self.machines, build_of(self.machines))
        assert self.book.follower.wait(self.book.journal.head(), SECONDS)
        for desk in self.desks:
            visible(self.machines, desk, self._anybody())

    def told(self) -> tuple[list[Any], Any]:
        """What each replica tells of everybody, and what the one machine does."""
        return [told(desk, self.people, DAYS) for desk in self.desks], told(self.desk, self.people, DAYS)

    def digests(self) -> tuple[dict[str, str], dict[str, str]]:
        return self.machines.digest(), self.book.projections.digest()

    def aside(self) -> tuple[Counter[str], Counter[str]]:
        """Of each installation what was set aside: its reason, its source, and its id where it has one."""

        def of(desk: Desk) -> Counter[str]:
            items = desk.pages("/v1/set-aside", "admin")
            named = (one["raw"].get("id") if isinstance(one["raw"], dict) else None for one in items)
            return Counter(
                f"{one['code']} {one['source']} {id}" for one, id in zip(items, named, strict=True)
            )

        return of(self.desks[0]), of(self.desk)

    def _anybody(self) -> str:
        return next(f"{type}:{value}" for type, value in sorted(self.people) if type == "user_id")

    def _next_door(self, at: int | None) -> Door:
        self._turn += 1
        return self.doors[self._turn % len(self.doors) if at is None else at]

    def _note(self, events: Sequence[Event]) -> None:
        for event in events:
            for type, value in event["data"].get("identifiers", {}).items():
                self.people.add((type, value.casefold() if type == "email" else value))

    def _record(self, event: Event, binary: bool) -> Row:
        if not binary:
            text = json.dumps(event, ensure_ascii=False).encode()
            return self._row(text, [("content-type", b"application/cloudevents+json; charset=UTF-8")])
        headers = [(f"ce_{name}", str(value).encode()) for name, value in event.items() if name != "data"]
        return self._row(
            json.dumps(event["data"]).encode(), [*headers, ("content-type", b"application/json")]
        )

    def _row(self, value: bytes | None, headers: list[tuple[str, bytes]]) -> Row:
        self._turn += 1
        topic = self.machines.place.topic(f"ingress.{KIOSK}")
        return Row(topic, self._turn % self.machines.parts, None, value, headers, None)


def _until(true: Any, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


@contextmanager
def both(machines: Machines, folder: Path) -> Iterator[Both]:
    """Two replicas and a worker beside one machine."""
    with ExitStack() as ended:
        ended.callback(machines.close)
        worker, replicas = machines.worker().start(), [machines.replica().start() for _ in range(2)]
        admin = machines.key("admin", "office")
        for replica in replicas:
            replica.opened()
        alone = ended.enter_context(running(settings_from(data=folder / "one", port=0, log_level="warning")))
        own = alone.book.control.create_key("admin", "office")[1]

        def client(url: str) -> httpx.Client:
            return ended.enter_context(httpx.Client(base_url=url, timeout=60))

        agent, shop = _made(client(replicas[0].url), admin, ("agent", "desk"), ("publish", SHOP, "web_chat"))
        mine, door, kiosk = _made(
            client(alone.url), own, ("agent", "desk"), ("publish", SHOP, "web_chat"), ("publish", KIOSK)
        )
        _until(lambda: all(_knows(replica.url, agent) for replica in replicas))
        desks = [ended.enter_context(at_the_desk(replica.url, agent, admin)) for replica in replicas]
        producer = Producer(machines.place)
        ended.callback(producer.close)
        worker.joined()
        yield Both(
            machines, worker, replicas, alone.book,
            desks, ended.enter_context(at_the_desk(alone.url, mine, own)),
            [Door(client(replica.url), shop) for replica in replicas],
            Door(client(alone.url), door), Door(client(alone.url), kiosk), producer,
        )  # fmt: skip


def _made(http: httpx.Client, admin: str, *wanted: tuple[str, ...]) -> list[str]:
    keys = []
    for role, source, *channel in wanted:
        body = {"role": role, "source": source, **({"channel": channel[0]} if channel else {})}
        answer = http.post("/v1/keys", json=body, headers={"Authorization": f"Bearer {admin}"})
        assert answer.status_code == 201, answer.text
        keys.append(answer.json()["key"])
    return keys


def _knows(url: str, agent: str) -> bool:
    """Whether a key that another replica made counts here."""
    asked = httpx.get(f"{url}/v1/scorecards", headers={"Authorization": f"Bearer {agent}"})
    return asked.status_code != 401


@dataclass
class Streamed:
    """What came by a live stream, in a thread of its own."""

    desk: Desk
    path: str
    last: str | None = None
    events: list[tuple[str, str, Any]] = field(default_factory=list)
    """(kind, token, item)"""

    def take(self, count: int, after: str | None = None) -> list[Any]:
        """So many more touchpoints, then the connection is cut."""
        headers = self.desk._as("agent") | ({"Last-Event-ID": self.last} if self.last else {})
        asked = {"after": after} if after else None
        taken: list[Any] = []
        with self.desk.http.stream("GET", self.path, params=asked, headers=headers) as answer:
            assert answer.status_code == 200
            for kind, token, item in events_of(answer.iter_lines()):
                self.events.append((kind, token, item))
                self.last = token
                if kind == "touchpoint":
                    taken.append(item)
                    if len(taken) == count:
                        return taken
        return taken

    def taking(self, count: int, after: str | None = None) -> threading.Thread:
        thread = threading.Thread(target=self.take, args=(count, after))
        thread.start()
        return thread


def events_of(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line == "" and fields:
            yield fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])
            fields = {}
        elif name:
            fields[name] = value.removeprefix(" ")
