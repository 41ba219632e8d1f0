"""The examples are run as they stand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import answer, key_for
from tests.cli.conftest import Shop

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_example(shop: Shop, key: str, *command: str | Path) -> str:
    """What an example says, told the server and the key as its first lines say."""
    environment = {**os.environ, "TOUCHBOOK_URL": shop.url, "TOUCHBOOK_KEY": key, "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def key_known(shop: Shop, source: str, channel: str | None = None) -> str:
    """A key for publishing that the server has heard of; one made beside it takes a moment."""
    key = key_for(shop.data, "publish", source, channel)
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=shop.url, headers=headers, trust_env=False) as client:
        while client.get("/v1/scorecards").status_code == 401:
            time.sleep(0.02)
    return key


def timeline_of(shop: Shop, ref: str, length: int) -> list[str]:
    """The keys of his touchpoints, once there are so many."""
    while True:
        items = answer("timeline", ref, "--data", shop.data)["items"]
        if len(items) >= length:
            return [item["key"] for item in items]
        time.sleep(0.02)


def test_a_first_event_by_curl_is_recorded_and_sent_again_it_is_a_duplicate(shop: Shop) -> None:
    key = key_known(shop, "examples", "web_chat")
    first, again = (json.loads(run_example(shop, key, EXAMPLES / "first_event.sh")) for _ in range(2))
    assert (first["accepted"], first["duplicates"]) == (1, 0)
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    assert again["positions"] == first["positions"]


@pytest.mark.clients
def test_the_segment_example_joins_the_visitor_and_the_customer(shop: Shop) -> None:
    run_example(shop, key_known(shop, "website", "web"), sys.executable, EXAMPLES / "segment_sdk.py")
    as_customer = timeline_of(shop, "user_id:segment-customer", length=3)
    assert len(as_customer) == 3
    assert timeline_of(shop, "anonymous_id:visitor-7", length=3) == as_customer


def test_the_lines_of_json_are_accepted_every_one(shop: Shop) -> None:
    key = key_known(shop, "lines")
    text = (EXAMPLES / "events.jsonl").read_text("utf-8").replace('"source": "examples"', '"source": "lines"')
    told = answer("publish", "-", "--to", shop.url, "--key", key, input=text)
    assert told["accepted"] == told["read"] == 7


def test_the_orders_of_a_spreadsheet_are_recorded_once_however_often_they_are_published(shop: Shop) -> None:
    key = key_known(shop, "tills", "store")
    columns = ("--columns", EXAMPLES / "orders.columns.yaml", "--set", "type=order_placed")
    publish = ("publish", EXAMPLES / "orders.csv", *columns, "--to", shop.url, "--key", key)
    assert answer(*publish)["accepted"] == 5
    assert answer(*publish)["duplicates"] == 5
