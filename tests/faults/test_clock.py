"""`kill -9` of a `touchbook serve` while its clock judges: every turn once, none missing."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.nursery import Nursery
from tests.faults.servers import Directory, Forked
from touchbook.schemas.times import rfc3339
from touchbook.settings import settings_from
from touchbook.wiring import now, open_book

pytestmark = pytest.mark.timeout(300)

POLICY = """
policy: 1
versions:
- version: hurried-1
  from: 1970-01-01
  grace: 0s
  reply:
    targets: [{within: 1m}]
    ignored_after: 1h
"""
ROUNDS, THREADS = 4, 40
SECONDS = 60.0


def said(thread: str, role: str, ago: float) -> dict[str, Any]:
    identifiers = {"user_id": f"customer-{thread.rpartition('-')[2]}"}
    return {
        "specversion": "1.0",
        "id": f"{thread}-{role}",
        "source": "desk",
        "type": "chat_message_sent",
        "time": rfc3339(now() - int(ago * 60_000)),
        "data": {"thread": thread, "text": "…", "actor": {"kind": role}, "identifiers": identifiers},
    }


def spoken(round: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What is published of one round, and thread → the verdict that it comes to."""
    events, expected = [], {}
    for number in range(THREADS):
        thread = f"{round}-{number}"
        verdict, replied = (("answered", 119.5), ("late", 110.0), ("ignored", None))[number % 3]
        events.append(said(thread, "customer", 120))
        if replied is not None:
            events.append(said(thread, "agent", replied))
        expected[thread] = f"request_{verdict}"
    return events, expected


def test_a_server_killed_while_it_judges_has_every_verdict_once_in_the_end(
    tmp_path: Path, shimmed: Nursery
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    run = Forked(shimmed, {"TOUCHBOOK_CLOCK": "true", "TOUCHBOOK_POLICY": str(policy)})
    directory = Directory(tmp_path / "book", tmp_path)
    key = directory.key(run, "publish", "desk", "--channel", "web_chat")
    expected: dict[str, str] = {}
    chance = random.Random(7)
    for round in range(ROUNDS):
        server, url = directory.served(run)
        events, verdicts = spoken(round)
        expected |= verdicts
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/cloudevents-batch+json",
        }
        answer = httpx.post(f"{url}/v1/events", content=json.dumps(events), headers=headers)
        assert (answer.status_code, answer.json()["rejected"]) == (200, []), answer.text
        time.sleep(chance.uniform(0.5, 2.5))
        server.kill()
    server, _ = directory.served(run)
    deadline = time.monotonic() + SECONDS
    while sum(told(directory.path).values()) < len(expected) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert server.end() == 0
    assert told(directory.path) == Counter(expected.items())


def told(data: Path) -> Counter[tuple[str, str]]:
    """(thread, verdict) of all that the clock recorded of requests."""
    book = open_book(settings_from(data=data), read_only=True)
    try:
        records = [one for one in book.journal.read(limit=100_000) if one.type.startswith("request_")]
        return Counter((book.journal.open(one).data["thread"], one.type) for one in records)
    finally:
        book.close()
