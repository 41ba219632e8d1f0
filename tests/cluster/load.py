"""Services that publish without pause, through the doors of replicas and straight to Kafka, and remember what was
acknowledged: what has to be true of the book in the end, whatever happens meanwhile."""

from __future__ import annotations

import http.client
import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.books import event
from tests.projections.histories import samples
from touchbook.errors import StoreUnavailable
from touchbook.streams.admission import Item, Publisher
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_producer import Producer, Row

SHOP = Publisher("shop", "web_chat")
KIOSK = Publisher("kiosk")
"""Publishes straight to Kafka."""
LONG_AGO = 200
"""Days: these events are of the past, whatever the clock says."""
PEOPLE = 150
MOST_ATTEMPTS = 20
SECONDS = 12.0
"""How long a service waits for an answer: less than a replica may be held still."""
ERASING_SECONDS = 75.0
"""An erasure answers when it is done, or after so long that it goes on by itself."""

Way = Literal["door", "kafka"]


@dataclass
class Told:
    """The ledger of all services. An item is `waiting` until it is acknowledged: not known, to be sent again."""

    items: dict[str, Item] = field(default_factory=dict)
    ways: dict[str, Way] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    """By id, the positions that doors answered; one for each time it was sent."""
    reused: dict[str, Item] = field(default_factory=dict)
    """Acknowledged under the id of another item: set aside by whoever folds it."""
    rejected: set[str] = field(default_factory=set)
    """What doors rejected, as JSON: set aside."""
    poison: dict[str, bool] = field(default_factory=dict)
    """The marks of what was written to ingress topics that is no event, and whether it was acknowledged: set aside
    too."""
    erased: dict[str, str] = field(default_factory=dict)
    """user_id → the erasure that was asked for, when all of his was acknowledged; nothing new is sent of him."""
    garbage: int = 0
    refused: int = 0
    unanswered: int = 0
    surprises: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def new(self, rnd: random.Random, way: Way = "door", who: dict[str, Any] | None = None) -> str:
        with self.lock:
            id = f"e{len(self.items)}"
            self.items[id] = an_item(rnd, id, way) if who is None else _of(rnd, id, SHOP.source, who)
            self.ways[id] = way
            self.waiting.add(id)
        return id

    def took(self, ids: Sequence[str], positions: Sequence[str | None]) -> None:
        with self.lock:
            for id, position in zip(ids, positions, strict=True):
                if position is None:
                    self.surprises.append(f"{id} was rejected")
                else:
                    self.acknowledged.setdefault(id, []).append(position)
            self.waiting.difference_update(ids)

    def again(self, rnd: random.Random, way: Way, most: int) -> list[str]:
        """Of one way, what is waiting and some of what was acknowledged: both may be sent by others at this moment."""
        with self.lock:
            mine = [id for id in self.waiting if self.ways[id] == way]
            known = rnd.sample(list(self.acknowledged), min(len(self.acknowledged), 3))
        return mine[:most] + [id for id in known if self.ways[id] == way]


def somebody(rnd: random.Random) -> dict[str, Any]:
    number = rnd.randrange(PEOPLE)
    chance = rnd.random()
    if chance < 0.6:
        return {"user_id": f"p{number}"}
    if chance < 0.75:
        return {"user_id": f"p{number}", "anonymous_id": f"a{number % 97}"}
    if chance < 0.85:
        return {"anonymous_id": f"a{number % 97}"}
    if chance < 0.95:
        return {"user_id": f"p{number}", "email": f"Person{number % 120}@example.test"}
    return {"email": f"person{number % 120}@example.test", "device": f"d{number % 40}"}


def an_item(rnd: random.Random, id: str, way: Way) -> Item:
    days_ago = LONG_AGO + rnd.randrange(4_000) / 10
    source = SHOP.source if way == "door" else KIOSK.source
    chance = rnd.random()
    if way == "door" and chance < 0.25:
        raw = {
            "type": "track", "event": "Колесо", "messageId": id, "userId": f"p{rnd.randrange(PEOPLE)}",
            "timestamp": event("any", days_ago=days_ago)["time"], "properties": {"note": f"приз {id}", "n": 3},
        }  # fmt: skip
        return Item("segment", raw, {})
    if chance > 0.97:
        sides = [f"user_id:p{rnd.randrange(PEOPLE)}", f"anonymous_id:a{rnd.randrange(97)}"]
        linking = rnd.random() < 0.5
        data = {"link": sides} if linking else {"apart": sides[:1], "from": sides[1:]}
        raw = event("link" if linking else "unlink", data, who={}, days_ago=days_ago, id=id, source=source)
        return Item("cloudevents", raw, {})
    return _of(rnd, id, source, somebody(rnd), days_ago)


def _of(rnd: random.Random, id: str, source: str, who: dict[str, Any], days_ago: float = LONG_AGO) -> Item:
    type, data = rnd.choice(samples())
    return Item("cloudevents", event(type, data, who=who, days_ago=days_ago, id=id, source=source), {})


class AtADoor:
    """A service that publishes over HTTP, at whichever replica answers."""

    def __init__(
        self, urls: Sequence[str], key: str, told: Told, seed: int, seconds: float = SECONDS
    ) -> None:
        self._seconds = seconds
        self._hosts = [url.removeprefix("http://") for url in urls]
        self._key = key
        self._told = told
        self._rnd = random.Random(seed)
        self._connection: http.client.HTTPConnection | None = None
        self._unsure = 0
        """Answers after which something may be written still."""
        self.last: Any = None

    def step(self) -> None:
        chance = self._rnd.random()
        if chance < 0.8:
            many = 1 if self._rnd.random() < 0.4 else self._rnd.randint(2, 30)
            self.publish([self._told.new(self._rnd) for _ in range(many)])
        elif chance < 0.9:
            self.publish(self._told.again(self._rnd, "door", 30))
        elif chance < 0.95:
            self.publish_broken()
        else:
            self.publish_reused()

    def publish(self, ids: Sequence[str]) -> None:
        items = self._told.items
        calls = [id for id in ids if items[id].route == "segment"]
        events = [id for id in ids if items[id].route == "cloudevents"]
        if calls:
            self._took(calls, self._post("/v1/batch", {"batch": [items[id].raw for id in calls]}))
        if len(events) == 1:
            self._took(events, self._post("/v1/events", items[events[0]].raw, "application/cloudevents+json"))
        elif events:
            raws = [items[id].raw for id in events]
            self._took(events, self._post("/v1/events", raws, "application/cloudevents-batch+json"))

    def publish_broken(self) -> None:
        raw = event("page_viewed", {"note": str(self._rnd.random())}, who={}, id=f"b{self._rnd.random()}")
        status = self._post("/v1/events", raw, "application/cloudevents+json")
        with self._told.lock:
            if status == 422:
                self._told.rejected.add(json.dumps(raw, sort_keys=True))
            self._expect(status, 422)

    def publish_reused(self) -> None:
        """Another content for the same customer under an id that was acknowledged: the door cannot know."""
        with self._told.lock:
            known = [
                id
                for id in self._rnd.sample(
                    list(self._told.acknowledged), min(len(self._told.acknowledged), 20)
                )
                if id not in self._told.reused
                and self._told.items[id].route == "cloudevents"
                and self._told.items[id].raw["type"] not in ("link", "unlink")
                and self._told.ways[id] == "door"
                and not str(self._told.items[id].raw["data"]["identifiers"].get("user_id")).startswith("gone")
            ]
        if not known:
            return
        id = known[0]
        first = self._told.items[id].raw
        raw = event(
            "page_viewed",
            {"other": self._rnd.random()},
            who=first["data"]["identifiers"],
            id=id,
            days_ago=LONG_AGO,
        )
        if self._post("/v1/events", raw, "application/cloudevents+json") == 200:
            with self._told.lock:
                self._told.reused[id] = Item("cloudevents", raw, {})

    def read(self, path: str, key: str) -> int:
        return self._ask("GET", path, key)

    def publish_for_erasure(self, key: str) -> None:
        """Somebody comes, and wants to be erased once all of his is recorded; unless something of it may be written
        after that still, which would rightly bring him back."""
        unsure = self._unsure
        name = f"gone{len(self._told.items)}"
        who = {"user_id": name, "device": f"of-{name}"}
        ids = [self._told.new(self._rnd, who=who if number else {"user_id": name}) for number in range(5)]
        for _ in range(MOST_ATTEMPTS):
            self.publish([id for id in ids if id not in self._told.acknowledged])
            if self._unsure != unsure:
                return
            if all(id in self._told.acknowledged for id in ids):
                self._told.erased[name] = secrets.token_hex(16)
                self.erase(name, key)
                return

    def erase(self, name: str, key: str) -> bool:
        """Whether it is done. To be asked for again, at any replica, until it is."""
        body = {"ref": f"user_id:{name}", "id": self._told.erased[name]}
        status = self._ask("POST", "/v1/customers:erase", key, json.dumps(body).encode(), "application/json")
        if status == 404:  # this replica has not heard of him yet
            return False
        self._expect(status, 200, 202)
        return status == 200

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _took(self, ids: Sequence[str], status: int) -> None:
        if status == 200:
            self._told.took(ids, self.last["positions"])
        self._expect(status, 200)

    def _expect(self, status: int, *expected: int) -> None:
        with self._told.lock:
            self._told.refused += status == 503
            self._told.unanswered += status == 0
            self._unsure += status in (0, 503)
            if status not in (0, 503, *expected):
                self._told.surprises.append(f"{status}: {self.last}")

    def _post(self, path: str, content: object, type: str = "application/json") -> int:
        return self._ask("POST", path, self._key, json.dumps(content).encode(), type)

    def _ask(
        self, method: str, path: str, key: str, body: bytes | None = None, type: str = "application/json"
    ) -> int:
        """The status, or 0 where there was no answer; then, and after a refusal, the next goes to any replica."""
        try:
            if self._connection is None:
                host = self._rnd.choice(self._hosts)
                self._connection = http.client.HTTPConnection(host, timeout=self._seconds)
            headers = {"Authorization": f"Bearer {key}", "Content-Type": type}
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
            self.last = json.loads(content) if content else None
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            time.sleep(0.05)
            return 0
        if answer.status == 503:
            self.close()
            time.sleep(0.05)
        return answer.status


class AtATopic:
    """A service that publishes to its ingress topic, poison among what is good."""

    def __init__(self, place: KafkaPlace, parts: int, told: Told, seed: int) -> None:
        self._parts = parts
        self._topic = place.topic(f"ingress.{KIOSK.source}")
        self._journal = place.topic("journal")
        self._producer = Producer(place, 5.0)
        self._told = told
        self._rnd = random.Random(seed)
        self._number = 0

    def step(self) -> None:
        if self._rnd.random() < 0.85:
            ids = [self._told.new(self._rnd, "kafka") for _ in range(self._rnd.randint(1, 25))]
        else:
            ids = self._told.again(self._rnd, "kafka", 25)
        self.publish(ids, self._rnd.choice([0, 0, 1, 3]))

    def publish(self, ids: Sequence[str], poison: int = 0) -> bool:
        """Whether all of it was acknowledged; poison stands anywhere between the ids, at either end too."""
        rows = [self._row(self._told.items[id].raw) for id in ids]
        bad = dict(self._poison() for _ in range(poison))
        for row in bad.values():
            rows.insert(self._rnd.randint(0, len(rows)), row)
        with self._told.lock:
            self._told.poison |= dict.fromkeys(bad, False)
        try:
            self._producer.send(rows).result(60)
        except StoreUnavailable:
            with self._told.lock:
                self._told.refused += 1
            return False
        with self._told.lock:
            self._told.took(ids, [""] * len(ids))
            self._told.poison |= dict.fromkeys(bad, True)
        return True

    def litter(self) -> None:
        """Something on the journal that is no record of ours, as an operator's wrong command may leave it."""
        what: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
            (None, b"nonsense", []),
            (b"\xff\xfe", None, []),
            (b"key", b"{}", [("ce_id", b"x"), ("ce_type", b"\xff")]),
            (b"a" * 32, b"", [("ce_specversion", b"9.9"), ("ce_keyid", b"")]),
            (None, None, [("ce_keyid", b"k")]),
        ]
        key, value, headers = self._rnd.choice(what)
        row = Row(self._journal, self._rnd.randrange(self._parts), key, value, headers, None)
        try:
            self._producer.send([row]).result(60)
        except StoreUnavailable:
            return
        self._told.garbage += 1

    def close(self) -> None:
        self._producer.close()

    def _row(self, raw: dict[str, Any]) -> Row:
        """In structured or binary mode."""
        if self._rnd.random() < 0.5:
            content_type = [("content-type", b"application/cloudevents+json; charset=utf-8")]
            return self._sent(json.dumps(raw, ensure_ascii=self._rnd.random() < 0.5).encode(), content_type)
        headers = [(f"ce_{name}", str(value).encode()) for name, value in raw.items() if name != "data"]
        return self._sent(json.dumps(raw["data"]).encode(), [*headers, ("content-type", b"application/json")])

    def _sent(self, value: bytes | None, headers: list[tuple[str, bytes]]) -> Row:
        return Row(self._topic, self._rnd.randrange(self._parts), None, value, headers, None)

    def _poison(self) -> tuple[str, Row]:
        """Each has a mark of its own, by which it can be found again."""
        self._number += 1
        mark = f"poison-{self._number}-{self._rnd.random()}"
        structured = [("content-type", b"application/cloudevents+json")]
        good = event("page_viewed", {"mark": mark}, id=mark, source=KIOSK.source)
        said = {
            "no JSON": (mark.encode(), structured),
            "no text": (b"\xff\x00" + mark.encode(), structured),
            "no object": (json.dumps([mark]).encode(), structured),
            "another's": (json.dumps({**good, "source": "shop"}).encode(), structured),
            "nobody's": (json.dumps({**good, "data": {"mark": mark}}).encode(), structured),
            "of another version": (json.dumps({**good, "specversion": "0.3"}).encode(), structured),
            "not a number": (json.dumps({**good, "extra": float("nan")}).encode(), structured),
            "too large": (json.dumps({**good, "data": {"mark": mark, "pad": "x" * 70_000}}).encode(), structured),
            "no attributes": (mark.encode(), []),
            "attributes that are no text": (mark.encode(), [("ce_id", b"\xff"), ("ce_type", b"\x00")]),
            "a batch": (json.dumps([good]).encode(), [("content-type", b"application/cloudevents-batch+json")]),
        }  # fmt: skip
        return mark, self._sent(*said[self._rnd.choice(sorted(said))])


@contextmanager
def load(steps: Sequence[Callable[[], None]], pause: float) -> Iterator[None]:
    """Each step again and again, in a thread of its own, until the block ends."""
    stop = threading.Event()

    def work(step: Callable[[], None]) -> None:
        while not stop.wait(pause):
            step()

    threads = [threading.Thread(target=work, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def send_what_waits(door: AtADoor, topic: AtATopic, told: Told, seconds: float = 90.0) -> None:
    """Everything that was never acknowledged, with the ids it had, until it is."""
    deadline = time.monotonic() + seconds
    while told.waiting:
        waiting = sorted(told.waiting)[:100]
        for way, publish in (("door", door.publish), ("kafka", topic.publish)):
            if ids := [id for id in waiting if told.ways[id] == way]:
                publish(ids)
        assert time.monotonic() < deadline, f"{len(told.waiting)} items are never acknowledged: {door.last}"


def erase_what_waits(door: AtADoor, told: Told, key: str, seconds: float = 120.0) -> None:
    """Every erasure that was asked for is done."""
    deadline = time.monotonic() + seconds
    for name in told.erased:
        while not door.erase(name, key):
            assert time.monotonic() < deadline, f"{name} is never erased: {door.last}"
            time.sleep(0.1)
