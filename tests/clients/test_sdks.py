"""Unmodified SDKs of Segment and RudderStack, pointed at this server by their host setting, and all its answers."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import segment.analytics.consumer

from tests.clients.sdks import SDKS, Call, Sdk
from tests.clients.server import Touchbook, bearer, wait_until
from tests.clients.wire import answer_lost, cut_short, rate_limited, wired

pytestmark = pytest.mark.clients

WHEN = "2026-03-02T09:15:00.678+00:00"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Shop:
    """A source with a customer of its own, so that tests can share a server."""

    touchbook: Touchbook
    source: str
    key: str
    customer: str

    def count(self, name: str, **labels: str) -> int:
        return self.touchbook.count(name, source=self.source, **labels)

    def timeline(self) -> list[dict[str, Any]]:
        return self.touchbook.timeline(f"user_id:{self.customer}")

    def recorded(self) -> list[str]:
        """The ids of what was recorded, each as often as it is there."""
        return sorted(item["id"] for item in self.timeline())


def a_shop(touchbook: Touchbook) -> Shop:
    number = next(_numbers)
    return Shop(touchbook, f"shop-{number}", touchbook.key(f"shop-{number}"), f"покупатель {number}/%?:ё")


@pytest.fixture
def shop(touchbook: Touchbook) -> Shop:
    return a_shop(touchbook)


def visits(shop: Shop, number: int) -> list[Call]:
    return [
        {"call": "page", "userId": shop.customer, "name": f"Страница {place}", "messageId": f"{shop.source}-{place:05}",
         "timestamp": WHEN}
        for place in range(number)
    ]  # fmt: skip


def ids_of(calls: list[Call]) -> list[str]:
    return sorted(call["messageId"] for call in calls)


# What is sent is what is read


def story(shop: Shop) -> list[Call]:
    """One of each call, with what usually breaks on the way: Cyrillic, emoji, quotes, nulls, fractions, nesting."""
    who = shop.customer
    properties: dict[str, Any] = {
        "текст": "Ёлка «\"'\\ \n🛒",
        "none": None,
        "deep": {"ы": [None, 0.1, -7, True, {}]},
    }
    return [
        {"call": "identify", "userId": who, "traits": {"name": "Анна", "email": f"{shop.source}@example.test",
                                                       "старое": None, "возраст": 41}},
        {"call": "track", "userId": who, "event": "Настройки открыты", "properties": properties},
        {"call": "track", "userId": who, "anonymousId": None, "event": "Order Completed",
         "properties": {"order_id": "з-1", "total": 12.5, "currency": "EUR", "coupon": None}},
        {"call": "page", "userId": who, "category": "Помощь", "name": "Возврат",
         "properties": {"url": "/возврат", "x": None}},
        {"call": "screen", "userId": who, "category": "Main", "name": "Корзина", "properties": {"v": None}},
        {"call": "group", "userId": who, "groupId": "ООО «Ромашка»", "traits": {"plan": None, "город": "Псков"}},
        {"call": "alias", "userId": who, "previousId": f"гость-{shop.source}"},
    ]  # fmt: skip


def as_read(call: Call) -> tuple[str, dict[str, Any]]:
    """The type and data under which a call must come back."""
    kind: str = call["call"]
    match kind:
        case "identify":
            return "identified", {"traits": call["traits"]}
        case "group":
            return "group_joined", {"group": call["groupId"], "traits": call["traits"]}
        case "alias":
            return "alias", {"previous": call["previousId"]}
        case "track":
            known = {"Order Completed": "order_placed"}
            event: str = call["event"]
            return known.get(event, event), dict(call["properties"])
        case _:
            named = {"kind": kind, "name": call["name"], "category": call["category"]}
            return "page_viewed", {**call["properties"], **named}


@pytest.mark.parametrize(
    ("name", "gzip"),
    [
        ("segment-analytics-python", False),
        ("segment-analytics-python", True),
        ("rudder-sdk-python", False),
        ("rudder-sdk-python", True),
        ("@segment/analytics-node", None),
        ("@rudderstack/rudder-sdk-node", False),
        ("@rudderstack/rudder-sdk-node", True),
    ],
)
def test_every_call_is_read_back_as_it_was_made(shop: Shop, name: str, gzip: bool | None) -> None:
    calls = [
        {**call, "messageId": f"{shop.source}-{place}", "timestamp": WHEN.replace(":00.", f":{place:02}.")}
        for place, call in enumerate(story(shop))
    ]
    with wired(shop.touchbook.url) as wire:
        told = SDKS[name].publish(wire.url, shop.key, calls, gzip=gzip)
    assert (told.errors, told.exit) == ([], 0), told.stderr
    assert {request.status for request in wire.sent} == {200}
    assert {request.headers.get("Content-Encoding") == "gzip" for request in wire.sent} == {bool(gzip)}

    items = {item["id"]: item for item in shop.timeline()}
    assert sorted(items) == ids_of(calls)
    for call in calls:
        item = items[call["messageId"]]
        assert (item["type"], item["data"]) == as_read(call)
        assert item["occurred_at"] == call["timestamp"].replace("+00:00", "Z")
        assert (item["source"], item["channel"]) == (shop.source, "web")

    card = shop.touchbook.card(f"user_id:{shop.customer}")
    assert {(one["type"], one["value"]) for one in card["identifiers"]} == {
        ("user_id", shop.customer),
        ("email", f"{shop.source}@example.test"),
        ("anonymous_id", f"гость-{shop.source}"),
    }
    assert card["traits"] == {"name": "Анна", "email": f"{shop.source}@example.test", "возраст": 41}
    assert (shop.count("received"), shop.count("accepted")) == (len(calls), len(calls))


def test_one_bad_item_neither_fails_its_batch_nor_its_service(shop: Shop, sdk: Sdk) -> None:
    good = visits(shop, 4)
    too_long = {
        "call": "track",
        "userId": shop.customer,
        "event": "x" * 300,
        "messageId": f"{shop.source}-long",
    }
    off_scale = {
        "call": "track",
        "userId": shop.customer,
        "event": "survey_answered",
        "properties": {"nps": 11},
        "messageId": f"{shop.source}-scale",
    }
    told = sdk.publish(
        shop.touchbook.url, shop.key, [*good[:2], too_long, off_scale, *good[2:]], handled=False
    )
    assert (told.errors, told.exit) == ([], 0), told.stderr
    assert shop.recorded() == ids_of(good)
    assert {item["raw"]["messageId"]: item["code"] for item in shop.touchbook.set_aside(shop.key)} == {
        too_long["messageId"]: "type_invalid",
        off_scale["messageId"]: "field_invalid",
    }
    assert (shop.count("accepted"), shop.count("rejected"), shop.count("refused")) == (4, 2, 0)


def test_a_text_cut_in_the_middle_of_an_emoji_fails_its_own_item_alone(shop: Shop, sdk: Sdk) -> None:
    calls = visits(shop, 3)
    calls[1]["properties"] = {"note": "До встречи \ud83d"}
    told = sdk.publish(shop.touchbook.url, shop.key, calls, handled=False)
    assert (told.errors, told.exit) == ([], 0), told.stderr
    assert shop.recorded() == ids_of([calls[0], calls[2]])
    [kept] = shop.touchbook.set_aside(shop.key)
    assert kept["code"] == "json_invalid"
    assert (
        json.loads(kept["raw"])["messageId"] == ids_of(calls[1:2])[0]
    )  # as text: it is no JSON for everybody


def test_2500_items_in_one_request_are_all_recorded(
    shop: Shop, sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment.analytics.consumer, "BATCH_SIZE_LIMIT", 4 * 2**20)  # its own is 475 KB
    calls = visits(shop, 2500 + sdk.sends_first_alone)
    with wired(shop.touchbook.url) as wire:
        told = sdk.publish(wire.url, shop.key, calls, batch=2500)
    assert (told.errors, told.exit) == ([], 0), told.stderr
    assert sorted(len(request.ids) for request in wire.sent) == [1, 2500][1 - sdk.sends_first_alone :]
    assert shop.recorded() == ids_of(calls)
    assert shop.count("accepted") == len(calls)


# Refused for good: told to the service, and never sent again


def test_a_wrong_key_is_told_and_not_tried_again(touchbook: Touchbook, sdk: Sdk) -> None:
    before = touchbook.count("refused", code="key_missing")
    told = sdk.publish(touchbook.url, "tb_publish_wrong", [{"call": "page", "userId": "42", "name": "Docs"}])
    assert (len(told.errors), told.exit) == (1, 0), told.stderr
    assert touchbook.count("refused", code="key_missing") == before + 1


def test_a_body_beyond_the_bound_is_told_and_not_tried_again(small_bodies: Touchbook, sdk: Sdk) -> None:
    shop = a_shop(small_bodies)
    (call,) = visits(shop, 1)
    told = sdk.publish(small_bodies.url, shop.key, [{**call, "properties": {"note": "я" * 3_000}}])
    assert (len(told.errors), told.exit) == (1, 0), told.stderr
    assert (shop.count("received"), shop.count("refused", code="body_too_large")) == (1, 1)


def test_a_body_that_broke_on_the_way_is_told_and_not_tried_again(shop: Shop, sdk: Sdk) -> None:
    with wired(shop.touchbook.url, cut_short) as wire:
        told = sdk.publish(wire.url, shop.key, visits(shop, 1))
    assert (len(told.errors), told.exit) == (1, 0), told.stderr
    assert [request.status for request in wire.sent] == [400]
    assert (shop.count("received"), shop.count("refused")) == (1, 1)


# Refused for now: sent again with the same ids, and in the end everything is there once


def test_who_sends_too_fast_waits_and_sends_the_same_again(shop: Shop, sdk: Sdk) -> None:
    calls = visits(shop, 3)
    with wired(shop.touchbook.url, rate_limited) as wire:
        told = sdk.publish(wire.url, shop.key, calls)
    assert (told.errors, told.exit) == ([], 0), told.stderr
    first, again, *rest = wire.sent
    assert [first.status, again.status, *(one.status for one in rest)] == [429] + [200] * (1 + len(rest))
    assert first.ids == again.ids
    assert sdk.repeats_at_once or again.at - first.at > 0.95  # it said: after one second
    assert shop.recorded() == ids_of(calls)
    assert (shop.count("accepted"), shop.count("duplicates")) == (3, 0)


def test_an_answer_that_was_lost_costs_nothing(shop: Shop, sdk: Sdk) -> None:
    calls = visits(shop, 3)
    with wired(shop.touchbook.url, answer_lost, answer_lost) as wire:
        told = sdk.publish(wire.url, shop.key, calls)
    assert (told.errors, told.exit) == ([], 0), told.stderr
    first, second, third = wire.sent[:3]
    assert [first.status, second.status, third.status] == [None, None, 200]
    assert first.ids == second.ids == third.ids
    assert shop.recorded() == ids_of(calls)
    assert (shop.count("accepted"), shop.count("duplicates")) == (3, 2 * len(first.ids))
    said = [request.headers.get("X-Retry-Count") for request in (first, second, third)]
    assert said == ([None, "1", "2"] if sdk.tells_retries else [None] * 3)
    assert shop.count("retries") == (2 if sdk.tells_retries else 0)


def test_a_full_queue_is_tried_again_until_there_is_room(short_queue: Touchbook, sdk: Sdk) -> None:
    shop, others = a_shop(short_queue), a_shop(short_queue)
    calls = visits(shop, 2)
    with ThreadPoolExecutor(3) as threads:
        with stalled(short_queue):
            waiting = [threads.submit(post_until_taken, others, call) for call in visits(others, 2)]
            wait_until(lambda: full(short_queue))
            publishing = threads.submit(sdk.publish, short_queue.url, shop.key, calls)
            wait_until(lambda: shop.count("refused", code="overloaded") > 0)
        told = publishing.result()
        for one in waiting:
            one.result()
    assert (told.errors, told.exit) == ([], 0), told.stderr
    assert shop.recorded() == ids_of(calls)
    assert (shop.count("accepted"), shop.count("duplicates")) == (2, 0)
    assert short_queue.adds_up()


@contextmanager
def stalled(touchbook: Touchbook) -> Iterator[None]:
    """Somebody else holds the journal's file for a while: nothing becomes durable, and the queue fills."""
    other = sqlite3.connect(touchbook.data / "journal.sqlite", isolation_level=None, timeout=10)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def full(touchbook: Touchbook) -> bool:
    """Whether there is no room, and stays none: one touchpoint with the writer, who is held, and one behind it."""
    return all(touchbook.count("queue_room") == 0 for _ in range(5))


def post_until_taken(shop: Shop, call: Call) -> None:
    def taken() -> bool:
        return shop.touchbook.http.post("/v1/page", json=call, headers=bearer(shop.key)).status_code == 200

    wait_until(taken)
