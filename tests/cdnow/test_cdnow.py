"""The published CDNOW summary, from purchases that went in through the door of a running server.

6,919 purchases of 2,357 people who first bought at CDNOW, a music shop, in the first quarter of 1997 (Fader and
Hardie's sample, one in ten). The published summary counts up to 1997-09-30: frequency is the number of repeat purchase
days, recency the time from the first purchase day to the last, T from the first to that end; purchases of one day are
one. It says days in weeks (divided by 7), rounded to two decimals, from which the day is got back without doubt.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.needs import needs_or_skip
from touchbook.cli.serve import running
from touchbook.settings import settings_from

END, LAST = "1997-09-30", "1998-06-30"
BATCH = "application/cloudevents-batch+json"


@dataclass(frozen=True)
class Purchase:
    """One line of the sample. `master` is the customer's number in the file of all 23,570, `sample` in the summary."""

    master: int
    sample: int
    day: str
    cents: int


def lines_of(file: str) -> list[list[str]]:
    """The cells of a file of the distribution; the package itself is not imported."""
    return [line.split() for line in found(file).read_text("ascii").splitlines() if line.strip()]


def rows_of(file: str) -> dict[int, dict[str, str]]:
    with found(file).open(encoding="ascii", newline="") as lines:
        return {int(row["ID"]): row for row in csv.DictReader(lines)}


@cache
def found(file: str) -> Path:
    try:
        files = metadata.files("Lifetimes") or []
    except metadata.PackageNotFoundError:
        needs_or_skip("the data of Lifetimes 0.11.3: pip install --no-deps -r requirements/data.txt")
    return Path(next(one for one in files if one.name == file).locate())  # type: ignore[arg-type]


def purchase(master: str, day: str, dollars: str, sample: str = "0") -> Purchase:
    return Purchase(int(master), int(sample), f"{day[:4]}-{day[4:6]}-{day[6:]}", int(Decimal(dollars) * 100))


@pytest.fixture(scope="module")
def purchases() -> list[Purchase]:
    return [
        purchase(master, day, dollars, sample)
        for master, sample, day, _, dollars in lines_of("CDNOW_sample.txt")
    ]


@pytest.fixture(scope="module")
def summary() -> Mapping[int, dict[str, str]]:
    return rows_of("cdnow_customers_summary.csv")


@pytest.fixture(scope="module")
def shop(purchases: list[Purchase], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A recommender's client of a server that took every purchase in."""
    settings = settings_from(data=tmp_path_factory.mktemp("cdnow"), port=0, log_level="error")
    with running(settings) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        publisher = {
            "Authorization": f"Bearer {server.book.control.create_key('publish', 'cdnow', 'web')[1]}"
        }
        events = [order_placed(number, one) for number, one in enumerate(purchases)]
        for start in range(0, len(events), 1000):
            answer = http.post(
                "/v1/events",
                content=json.dumps(events[start : start + 1000]),
                headers={**publisher, "Content-Type": BATCH},
            )
            assert (answer.status_code, answer.json()["rejected"]) == (200, [])
        assert server.book.follower.wait(len(events), 60)
        reader = server.book.control.create_key("read-scores", "recommender")[1]
        http.headers["Authorization"] = f"Bearer {reader}"
        yield http


def order_placed(number: int, one: Purchase) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"line-{number}",
        "source": "cdnow",
        "type": "order_placed",
        "time": f"{one.day}T12:00:00Z",
        "data": {
            "order_id": f"o-{number}",
            "amount": one.cents,
            "currency": "USD",
            "identifiers": {"user_id": str(one.sample)},
        },
    }


def buying(shop: httpx.Client, customer: int, at: str) -> dict[str, Any]:
    answer = shop.get(f"/v1/customers/user_id:{customer}/buying", params={"at": at})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def weeks(days: int) -> Decimal:
    return round(Decimal(days) / 7, 2)


def cents_of(purchases: list[Purchase], until: str = LAST) -> dict[int, int]:
    cents: dict[int, int] = defaultdict(int)
    for one in purchases:
        cents[one.sample] += one.cents if one.day <= until else 0
    return cents


def test_frequency_recency_and_age_are_those_of_the_published_summary_for_every_customer(
    shop: httpx.Client, summary: Mapping[int, dict[str, str]], purchases: list[Purchase]
) -> None:
    cents, wrong = cents_of(purchases, END), {}
    for customer, row in summary.items():
        told = buying(shop, customer, END)
        ours = told["repeat_days"], weeks(told["recency_days"]), weeks(told["age_days"])
        published = int(row["frequency"]), Decimal(row["recency"]), Decimal(row["T"])
        if ours != published or told["revenue"] != {"USD": cents[customer]}:
            wrong[customer] = (ours, published, told["revenue"], cents[customer])
    assert not wrong
    assert len(summary) == 2357


def test_revenue_to_the_end_is_that_of_the_master_file(shop: httpx.Client, purchases: list[Purchase]) -> None:
    masters = {one.sample: one.master for one in purchases}
    spent: dict[int, int] = defaultdict(int)
    for customer, day, _, dollars in lines_of("CDNOW_master.txt")[1:]:
        spent[int(customer)] += purchase(customer, day, dollars).cents
    some = sorted(masters)[::7]  # every seventh: the way from file to revenue is the same for all
    told = {customer: buying(shop, customer, LAST)["revenue"]["USD"] for customer in some}
    assert told == {customer: spent[masters[customer]] for customer in some}


def test_the_sample_is_what_the_master_file_says_of_its_customers(purchases: list[Purchase]) -> None:
    masters = {one.master for one in purchases}
    everything = [
        purchase(customer, day, dollars) for customer, day, _, dollars in lines_of("CDNOW_master.txt")[1:]
    ]
    said = sorted((one.master, one.day, one.cents) for one in everything if one.master in masters)
    assert said == sorted((one.master, one.day, one.cents) for one in purchases)


def test_a_published_week_names_one_day_alone() -> None:
    assert len({weeks(days) for days in range(1000)}) == 1000
