"""Believable touchpoints: mostly pages, some messages, orders and answers of a year, and a few people cause most."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.times import rfc3339
from touchbook.wiring import now

CUSTOMERS = 2_000
SOURCE = "bench"
LARGE = 50_000
"""Touchpoints of a very large customer."""
YEAR = 365 * 86_400_000
KINDS: list[tuple[str, dict[str, Any], int]] = [
    ("page_viewed", {"name": "Home", "category": "tea"}, 50),
    ("product_viewed", {"product_id": "p-1", "category": "tea"}, 20),
    ("chat_message_sent", {"thread": "t-1", "text": "Where is my order? " * 4}, 10),
    ("message_sent", {"purpose": "offer", "subject": "Spring"}, 10),
    ("order_placed", {"order_id": "o-1", "amount": 1250, "currency": "EUR"}, 5),
    ("survey_answered", {"csat": 5, "comment": "Quick and kind."}, 5),
]


def events(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """CloudEvents of `CUSTOMERS` customers who come in turn. The same for a seed, but for the day they end on."""
    return list(islice(stream(seed), count))


def stream(seed: int = 1, customers: int = CUSTOMERS, *, uneven: bool = False) -> Iterator[dict[str, Any]]:
    """Without end. `uneven`: how often somebody comes falls with the square root of his rank, so that the first have
    hundreds of times what the last have, as in a shop."""
    assert all(type in CATALOGUE for type, _, _ in KINDS)
    rnd, today, weights = random.Random(seed), now(), [weight for *_, weight in KINDS]
    n = 0
    while True:
        type, data, _ = rnd.choices(KINDS, weights)[0]
        person = int(customers * rnd.random() ** 2) if uneven else n % customers
        who = {"user_id": f"u{person}"} | ({"anonymous_id": f"a{person}"} if n // customers % 10 == 0 else {})
        yield {
            "specversion": "1.0",
            "id": f"{seed}-{n}",
            "source": SOURCE,
            "type": type,
            "time": rfc3339(today - rnd.randrange(YEAR)),
            "data": {**data, "identifiers": who},
        }
        n += 1


def large_customer(count: int, seed: int = 2) -> Iterator[dict[str, Any]]:
    """So many touchpoints of `user_id:ularge`, each in one of many threads."""
    for n, one in enumerate(islice(stream(seed), count)):
        data = {**one["data"], "identifiers": {"user_id": "ularge"}}
        if "thread" in data:
            data["thread"] = f"t-{n % 500}"
        yield {**one, "data": data}


def large_group(identifiers: int, *, again: int = 0) -> Iterator[dict[str, Any]]:
    """Somebody who came as so many anonymous visitors: more than one customer can be, so most links are refused, and
    all stay in his group. `again`: one more touchpoint of his, which says nothing new of who he is."""
    for n in range(1 if again else identifiers):
        yield {
            "specversion": "1.0",
            "id": f"many-{again}-{n}",
            "source": SOURCE,
            "type": "page_viewed",
            "time": rfc3339(now()),
            "data": {"name": "Home", "identifiers": {"user_id": "umany", "anonymous_id": f"v{n}"}},
        }
