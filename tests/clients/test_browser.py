"""Segment's browser SDK in a page of another origin: the settings it asks for, preflight, short forms, plain text."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.clients.sdks import Call, Told, run_node
from tests.clients.server import Touchbook
from tests.clients.wire import Wire, answer_lost, cut_short, rate_limited, wired

pytestmark = pytest.mark.clients

ORIGIN = "https://shop.example.test"
WHEN = "2026-03-02T09:15:00.678Z"
_numbers = itertools.count(1)


class Page:
    """A page of the shop, with the public key that stands in it."""

    def __init__(self, touchbook: Touchbook, origin: str = ORIGIN) -> None:
        self.touchbook = touchbook
        self.source = f"page-{next(_numbers)}"
        self.key = touchbook.key(self.source, origins=(ORIGIN,))
        self._url = f"{origin}/каталог"

    def publish(self, wire: Wire, *calls: Call) -> Told:
        wanted = {"page": self._url, "url": wire.url, "key": self.key, "calls": self.named(calls)}
        told = run_node("browser.cjs", wanted)
        assert told.exit == 0, told.stderr
        return told

    def named(self, calls: tuple[Call, ...]) -> list[Call]:
        return [
            {**one, "messageId": f"{self.source}-{place}", "timestamp": WHEN}
            for place, one in enumerate(calls)
        ]

    def count(self, name: str) -> int:
        return self.touchbook.count(name, source=self.source)

    def timeline(self, wire: Wire) -> list[dict[str, Any]]:
        """What is recorded under the anonymous id that the SDK drew."""
        return self.touchbook.timeline(f"anonymous_id:{wire.sent[0].content['anonymousId']}")


@pytest.fixture
def page(touchbook: Touchbook) -> Page:
    return Page(touchbook)


LOOK: Call = {"call": "page", "category": "Каталог", "name": "Ёлки", "properties": {"x": None}}


def test_a_page_publishes_under_its_anonymous_id_alone(page: Page) -> None:
    who = {"call": "identify", "userId": "42", "traits": {"email": "ann@example.test"}}
    with wired(page.touchbook.url) as wire:
        told = page.publish(
            wire,
            LOOK,
            who,
            {"call": "track", "event": "Product Viewed", "properties": {"name": "Ёлка", "sku": "e-1"}},
        )
    assert told.errors == []
    assert [(one.path, one.headers["Content-Type"]) for one in wire.sent] == [
        (f"/v1/{short}", "text/plain") for short in "pit"
    ]
    asked = [one.path for one in wire.passed if one.method == "OPTIONS"]
    assert asked == ["/v1/p", "/v1/i", "/v1/t"]  # before each, as the key goes in Authorization
    items = {item["type"]: item for item in page.timeline(wire)}
    assert items.keys() == {"page_viewed", "identified", "product_viewed"}
    assert (
        items["page_viewed"]["data"] | {"name": "Ёлки", "category": "Каталог", "x": None}
        == items["page_viewed"]["data"]
    )
    assert items["product_viewed"]["data"] == {"name": "Ёлка", "sku": "e-1"}
    assert {item["occurred_at"] for item in items.values()} == {WHEN}
    assert (
        page.touchbook.http.get("/v1/customers/user_id:42", headers=page.touchbook.agent()).status_code == 404
    )
    assert (page.count("received"), page.count("accepted")) == (3, 3)


def test_a_page_of_an_origin_nobody_named_gets_nothing_in(touchbook: Touchbook) -> None:
    page = Page(touchbook, origin="https://elsewhere.example.test")
    with wired(touchbook.url) as wire:
        told = page.publish(wire, LOOK)
    assert told.errors != []
    assert wire.sent == []
    assert page.count("accepted") == 0


def test_a_page_that_sends_too_fast_sends_the_same_again(page: Page) -> None:
    with wired(page.touchbook.url, rate_limited) as wire:
        told = page.publish(wire, LOOK)
    assert (told.errors, [one.status for one in wire.sent]) == ([], [429, 200])
    assert [item["id"] for item in page.timeline(wire)] == wire.sent[0].ids


def test_answers_that_never_reach_a_page_cost_nothing(page: Page) -> None:
    with wired(page.touchbook.url, answer_lost, answer_lost, answer_lost) as wire:
        told = page.publish(wire, LOOK)
    assert (told.errors, [one.status for one in wire.sent]) == ([], [None, None, None, 200])
    assert [item["id"] for item in page.timeline(wire)] == wire.sent[0].ids
    assert (page.count("accepted"), page.count("duplicates"), page.count("rejected")) == (1, 3, 0)
    retries = [one for one in wire.sent if one.headers.get("X-Retry-Count", "0") != "0"]
    assert page.count("retries") == len(retries) > 0


def test_what_broke_on_the_way_is_told_to_the_page_and_not_sent_again(page: Page) -> None:
    with wired(page.touchbook.url, cut_short) as wire:
        told = page.publish(wire, LOOK)
    assert (len(told.errors), [one.status for one in wire.sent]) == (1, [400])
    assert (page.count("received"), page.count("refused")) == (1, 1)
