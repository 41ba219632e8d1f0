"""The pen: one person's touchpoints as the services of the shop tell them, and how each door wants them said."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from touchbook.cli.story.people import ZONES, Person
from touchbook.cli.story.words import Product, Words
from touchbook.schemas.money import exponent_of
from touchbook.schemas.times import rfc3339

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SOURCES: Mapping[str, str] = MappingProxyType({
    "website": "web", "mobile-app": "mobile_app", "orders": "store", "mailer": "email", "push": "mobile_app",
    "chat-desk": "web_chat", "messenger": "messenger", "call-centre": "phone", "help-desk": "help_desk",
    "shops": "store", "kiosks": "kiosk", "loyalty-club": "loyalty", "community": "community", "social": "social",
    "academy": "webinar", "studio": "livestream", "ar-room": "ar", "surveys": "email", "recommender": "web",
    "marketplace": "marketplace", "monitor": "web", "support-team": "desk",
})  # fmt: skip
"""The services that publish, and the channel of what they tell unless it says another."""

BY_SEGMENT = ("website", "mobile-app")
"""The services that publish with Segment's client; the others send CloudEvents."""

BY_AGENTS = ("support-team",)
"""The services whose key is an agent's."""

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One touchpoint as its service tells it, in our words. `at` is milliseconds UTC."""

    source: str
    id: str
    at: int
    type: str
    data: Data
    identifiers: dict[str, str]
    channel: str | None = None

    @property
    def shown_channel(self) -> str:
        return self.channel or SOURCES[self.source]


class Pen:
    """Writes down what happens to one person. What lies after `now` has not happened and is not told."""

    def __init__(self, person: Person, seed: int, now: int) -> None:
        self.person = person
        self.now = now
        self.rng = random.Random(f"life {seed} {person.number}")
        self.told: list[Told] = []
        self._numbers: Counter[str] = Counter()

    # When

    def on(self, age: float) -> int:
        """A moment of daylight so many days ago; of today, one not long ago."""
        midnight = (self.now // DAY - int(age)) * DAY
        at = midnight + self.rng.randrange(7 * HOUR, 19 * HOUR)
        return at if at < self.now else self.now - self.rng.randrange(2 * MINUTE, 50 * MINUTE)

    # What

    def tell(
        self,
        source: str,
        at: int,
        type: str,
        /,
        *,
        by: str = "user_id",
        channel: str | None = None,
        **data: Any,
    ) -> str:
        """One touchpoint; its id. `by` names, with spaces between, the identifiers by which the service knows him."""
        id = self.number(source)
        if at < self.now:
            identifiers = {name: self.identifier(name) for name in by.split()}
            self.told.append(Told(source, id, at, type, data, identifiers, channel))
        return id

    def number(self, series: str) -> str:
        """The next number of a series that is this person's alone."""
        self._numbers[series] += 1
        return f"{series}-{self.person.number}-{self._numbers[series]}"

    def identifier(self, name: str) -> str:
        return KIOSK if name == "kiosk" else str(getattr(self.person, name))

    def say(self, words: Words) -> str:
        return words(self.person.language)

    @property
    def zone(self) -> str:
        return ZONES[self.person.language]

    def price_of(self, product: Product) -> Data:
        return {"amount": product.price(self.person.currency), "currency": self.person.currency}

    def line(self, product: Product, quantity: int = 1) -> Data:
        return {
            "product_id": product.id,
            "name": self.say(product.name),
            "category": product.category,
            "quantity": quantity,
        }


KIOSK = "kiosk-quayside-01"
"""The device in the shop that everybody signs in at."""

IDENTIFIER_TYPES = {"card": "loyalty_card", "kiosk": "device", "old_email": "email"}
"""What the identifiers of a person are to the doors, where that is another word."""


def cloudevent(told: Told) -> Data:
    """The touchpoint as a CloudEvent in structured form."""
    identifiers = {IDENTIFIER_TYPES.get(name, name): value for name, value in told.identifiers.items()}
    event: Data = {
        "specversion": "1.0",
        "id": told.id,
        "source": told.source,
        "type": told.type,
        "time": rfc3339(told.at),
        "data": {**told.data, "identifiers": identifiers},
    }
    return {**event, "channel": told.channel} if told.channel else event


def segment_call(told: Told) -> tuple[str, Data]:
    """The touchpoint as a call of Segment's client: the method, and its arguments by name."""
    named = told.identifiers
    context: Data = {"device": {"id": named["device"]}} if "device" in named else {}
    if told.channel:
        context["channel"] = told.channel
    call: Data = {
        "message_id": told.id,
        "timestamp": datetime.fromtimestamp(told.at / 1000, UTC),
        "user_id": named.get("user_id"),
        "anonymous_id": named.get("anonymous_id"),
        "context": context,
    }
    if told.type == "identified":
        return "identify", {**call, "traits": told.data["traits"]}
    if told.type == "group_joined":
        return "group", {**call, "group_id": told.data["group"], "traits": told.data["traits"]}
    if told.type == "alias":
        del call["anonymous_id"]
        return "alias", {**call, "previous_id": told.data["previous"]}
    if told.type == "page_viewed":
        page = dict(told.data)
        said = {name: page.pop(name, None) for name in ("name", "category")}
        return page.pop("kind", "page"), {**call, **said, "properties": page}
    event, properties = _tracked(told)
    return "track", {**call, "event": event, "properties": properties}


def _tracked(told: Told) -> tuple[str, Data]:
    """In the words of Segment's specs where these have any, else in ours."""
    if told.type == "product_viewed":
        product = {name: told.data[name] for name in ("product_id", "name", "category")}
        return "Product Viewed", {**product, "price": _decimal(told.data), "currency": told.data["currency"]}
    if told.type == "order_placed":
        order = {"order_id": told.data["order_id"], "products": told.data["items"]}
        return "Order Completed", {**order, "total": _decimal(told.data), "currency": told.data["currency"]}
    if told.type == "app_opened":
        return "Application Opened", {"version": told.data["app_version"]}
    return told.type, told.data


def _decimal(data: Data) -> float:
    exponent = exponent_of(data["currency"])
    assert exponent is not None
    return float(data["amount"] / 10**exponent)
