"""Whatever is sent through a door: never a failure of ours, every item has its outcome, and nothing changes on its way.

What was accepted is read back from the timeline, what was rejected from what was set aside: equal to what was sent, to
the type of a number and the sign of nothing.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.books import a_book, folded
from tests.hostile.texts import OBJECTS, VALUES, mangled, text_of
from tests.thorough import examples
from touchbook.api.app import create_app
from touchbook.schemas.touchpoint import Record
from touchbook.wiring import Book

SOURCE = "shop"
CHANGED = ("sentAt", "receivedAt", "writeKey")
"""What honest retries change: an item that differs in these alone is the same one, and kept as it first came."""
RUN = "@@@@@@"
"""Stands in ids for a number that no other example has: what was sent before must not make a duplicate of this."""
_runs = count(1)


@dataclass
class Door:
    """The application in this process, over a book that is folded when it is asked."""

    book: Book
    client: httpx.AsyncClient
    loop: asyncio.Runner
    publisher: str
    agent: str
    set_aside: set[tuple[str, str]] = field(default_factory=set)
    """Every item ever set aside, exactly, with its code: the two doors may judge the same bytes otherwise."""

    def post(self, path: str, body: bytes, content_type: str = "application/json") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.publisher}", "Content-Type": content_type}
        return self.loop.run(self.client.post(path, content=body, headers=headers))

    def get(self, path: str, **query: Any) -> Any:
        asking = self.client.get(path, params=query, headers={"Authorization": f"Bearer {self.agent}"})
        return self.loop.run(asking).raise_for_status().json()

    def data_at(self, position: str) -> Any:
        """The data of the touchpoint at a position, from its customer's timeline."""
        record = self._record(int(position.removeprefix("j1.")))
        cursor = ""
        while True:
            query = {"limit": 500} | ({"cursor": cursor} if cursor else {})
            page = self.get(f"/v1/customers/{record.subject}/timeline", **query)
            for item in page["items"]:
                if item["key"] == record.key:
                    return item["data"]
            cursor = page["next"]
            assert cursor, "it is on no page"

    def _record(self, position: int) -> Record:
        folded(self.book)
        (record,) = self.book.journal.read(position - 1, 1)
        return record

    def heard_of_what_was_set_aside(self) -> None:
        page = self.loop.run(
            self.client.get("/v1/set-aside?limit=100", headers={"Authorization": f"Bearer {self.publisher}"})
        )
        for item in page.json()["items"]:
            raw = item["raw"] if item["code"] == "json_invalid" else json.dumps(item["raw"])
            self.set_aside.add((exact(json.loads(raw)), item["code"]))


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with a_book() as book, asyncio.Runner() as loop:
        transport = httpx.ASGITransport(create_app(book), raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://touchbook.example.test")
        publisher = book.control.create_key("publish", SOURCE, "web")[1]
        yield Door(book, client, loop, publisher, book.control.create_key("agent", "desk")[1])


def exact(value: Any) -> str:
    """Equal only for the same JSON: 1 is neither 1.0 nor true, and -0.0 is not 0.0."""
    if isinstance(value, dict):
        value = {name: inner for name, inner in value.items() if name not in CHANGED}
    return json.dumps(value, sort_keys=True)


# What is sent

HOSTILE_FIELDS = st.dictionaries(
    st.sampled_from(
        ["type", "event", "properties", "traits", "context", "messageId", "userId", "anonymousId", "timestamp",
            "sentAt",
         "originalTimestamp", "previousId", "groupId", "integrations", "name", "category", "_metadata", "channel"]
    ),
    VALUES,
    max_size=3,
)  # fmt: skip


@st.composite
def calls(draw: st.DrawFn) -> Any:
    """One of Segment's calls: in order but for its properties, or with some fields of any kind, or anything at all."""
    number = draw(st.integers(0, 99))
    known = draw(st.sampled_from(["Wheel Spun", "Order Completed", "chat_message_sent", "survey_answered"]))
    call = {
        "type": draw(st.sampled_from(["track", "track", "identify", "page", "screen", "group", "alias"])),
        "event": known, "userId": f"u-{number % 20}", "messageId": f"{RUN}-{number}",
        "timestamp": "2026-03-02T09:15:00Z",
        "properties": draw(OBJECTS), "traits": draw(OBJECTS), "groupId": "g", "previousId": f"a-{RUN}-{number}",
    }  # fmt: skip
    return draw(st.just(call) | HOSTILE_FIELDS.map(lambda fields: {**call, **fields}) | VALUES)


HOSTILE_ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["specversion", "id", "source", "type", "time", "data", "channel", "dataschema", "datacontenttype", "subject",
         "traceparent", "extension", "unverified", "unread_traits"]
    ),
    VALUES,
    max_size=2,
)  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> Any:
    """A CloudEvent, in the same three ways."""
    number = draw(st.integers(0, 99))
    data = {**draw(OBJECTS), "identifiers": {"user_id": f"u-{number % 20}"}}
    event = {
        "specversion": "1.0", "id": f"e-{RUN}-{number}", "source": SOURCE, "time": "2026-03-02T09:15:00Z", "data": data,
        "type": draw(st.sampled_from(["Wheel spun", "note_added", "identified", "promise_made", "order_placed"])),
    }  # fmt: skip
    return draw(st.just(event) | HOSTILE_ATTRIBUTES.map(lambda fields: {**event, **fields}) | VALUES)


# What must have become of it


def data_of_call(call: dict[str, Any]) -> Any:
    """The data that one of Segment's calls is kept with; None where this test does not say it a second time."""
    properties, traits = call.get("properties") or {}, call.get("traits") or {}
    match call["type"]:
        case "track":
            return properties
        case "identify":
            return {"traits": {**((call.get("context") or {}).get("traits") or {}), **traits}}
        case "page" | "screen":
            named = {
                name: call[name]
                for name in ("name", "category")
                if call.get(name) is not None and call[name] != ""
            }
            return {**properties, **named, "kind": call["type"]}
    return None


def data_of_event(event: dict[str, Any]) -> Any:
    return {name: value for name, value in (event.get("data") or {}).items() if name != "identifiers"}


def check(door: Door, items: list[Any], answer: httpx.Response, data_of: Any, raw_of: Any) -> None:
    """Every item has one outcome, and is found where that says."""
    assert answer.status_code == 200, answer.text
    told = answer.json()
    rejected = {one["index"]: one["code"] for one in told["rejected"]}
    assert told["accepted"] + told["duplicates"] + len(rejected) == len(items) == len(told["positions"])
    door.heard_of_what_was_set_aside()
    for index, (item, position) in enumerate(zip(items, told["positions"], strict=True)):
        assert (position is None) == (index in rejected)
        if position is None:
            assert (exact(raw_of(item)), rejected[index]) in door.set_aside
        elif (data := data_of(item)) is not None:
            assert exact_inside(door.data_at(position)) == exact_inside(data)


def exact_inside(data: Any) -> str:
    return json.dumps(data, sort_keys=True)


MANY = settings(max_examples=examples(70), deadline=None, suppress_health_check=list(HealthCheck))


def sent(text: bytes) -> bytes:
    return text.replace(RUN.encode(), b"%06d" % next(_runs))


@MANY
@given(st.builds(text_of, st.fixed_dictionaries({"batch": st.lists(calls(), max_size=5)}), st.booleans()))
def test_what_is_sent_by_segments_calls_is_kept_or_set_aside_as_it_was(door: Door, text: bytes) -> None:
    text = sent(text)
    check(door, json.loads(text)["batch"], door.post("/v1/batch", text), data_of_call, as_plain)


@MANY
@given(st.builds(text_of, st.lists(events(), max_size=5), st.booleans()))
def test_what_is_sent_as_cloudevents_is_kept_or_set_aside_as_it_was(door: Door, text: bytes) -> None:
    text = sent(text)
    check(door, json.loads(text), door.post("/v1/events", text), data_of_event, as_event)


def as_plain(item: Any) -> Any:
    return item


def as_event(item: Any) -> Any:
    """An event as all modes have it: attributes that are null are none, and numbers and truths are text."""
    if not isinstance(item, dict):
        return item
    plain = {}
    for name, value in item.items():
        if value is None or (name == "datacontenttype" and value == "application/json"):
            continue
        if name != "data" and isinstance(value, (bool, int)):
            value = json.dumps(value).strip('"')
        plain[name] = value
    return plain


def number(digits: str) -> float | int:
    """A number as it is set aside: one that no float holds as the integer that it is."""
    near = float(digits)
    return near if math.isfinite(near) else int(Decimal(digits))


@MANY
@example(text=b'{"batch": [1e400]}')
@given(mangled(st.lists(calls(), max_size=3).map(lambda items: text_of({"batch": items}, False))))
def test_a_text_that_is_hardly_json_is_read_as_what_it_says_or_refused_whole(door: Door, text: bytes) -> None:
    text = sent(text)
    before = door.book.journal.head(), door.book.control.count_set_aside()
    answer = door.post("/v1/batch", text)
    assert answer.status_code < 500, answer.text
    if answer.status_code == 200:
        assert "batch" in json.loads(text)
        items = json.loads(text, parse_float=number)["batch"]
        check(door, items, answer, data_of_call, as_plain)
    else:
        assert answer.json()["code"] in ("json_invalid", "batch_expected")
        assert (door.book.journal.head(), door.book.control.count_set_aside()) == before


@MANY
@example(
    text=b'{"specversion": "1.0", "id": "e", "source": "shop", "type": "x", "data": {"n": 1.797693134862317e308}}'
)
@given(mangled(events().map(lambda event: text_of(event, False))))
def test_a_single_event_that_is_hardly_one_is_kept_set_aside_or_refused(door: Door, text: bytes) -> None:
    text = sent(text)
    before = door.book.journal.head(), door.book.control.count_set_aside()
    answer = door.post("/v1/events", text, "application/cloudevents+json")
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code == 200:
        data = data_of_event(as_event(json.loads(text)))
        assert exact_inside(door.data_at(answer.json()["positions"][0])) == exact_inside(data)
    elif answer.status_code == 422:
        door.heard_of_what_was_set_aside()
        event = as_event(json.loads(text, parse_float=number))
        assert (exact(event), answer.json()["code"]) in door.set_aside
    else:
        assert (door.book.journal.head(), door.book.control.count_set_aside()) == before


def test_after_all_of_that_everything_that_was_kept_could_be_folded(door: Door) -> None:
    assert folded(door.book).folder.unreadable == 0
