"""The clock of two replicas on a real broker and ClickHouse: who has the duty is killed, or held still and resumed,
while it judges."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.cluster.answers import Desk
from tests.cluster.check import build_of, drained, visible
from tests.cluster.machines import SECONDS, SESSION_SECONDS, Machines, Serving, installed
from tests.faults.test_clock import POLICY, THREADS, spoken
from tests.servers.clickhouse import ClickHouse
from tests.servers.kafka import Kafka

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]


@pytest.fixture
def machines(kafka_server: Kafka, clickhouse_server: ClickHouse, tmp_path: Path) -> Iterator[Machines]:
    settings = {"TOUCHBOOK_CLOCK": "true", "TOUCHBOOK_SESSION_SECONDS": str(SESSION_SECONDS)}
    with installed(
        kafka_server, clickhouse_server, tmp_path / "many", parts=2, policy=POLICY, **settings
    ) as made:
        yield made


@pytest.mark.thorough
def test_whoever_has_the_duty_may_die_or_be_held_still_and_each_turn_is_judged_once(
    machines: Machines,
) -> None:
    worker, replicas = machines.worker().start(), [machines.replica().start() for _ in range(2)]
    admin, agent = machines.key("admin", "office"), machines.key("agent", "desk-team")
    shop = machines.key("publish", "desk", "--channel", "web_chat")
    for replica in replicas:
        replica.opened()
    worker.joined()
    expected: dict[str, str] = {}

    def publish(round: int, at: Serving) -> None:
        events, verdicts = spoken(round)
        expected.update(verdicts)
        headers = {"Authorization": f"Bearer {shop}", "Content-Type": "application/cloudevents-batch+json"}
        answer = httpx.post(f"{at.url}/v1/events", content=json.dumps(events), headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["rejected"]) == (200, []), answer.text

    first = on_duty(replicas)
    publish(0, first)
    until(lambda: verdicts_of(first) > 0)  # it is at it
    first.kill()
    (second,) = (one for one in replicas if one is not first)
    publish(1, second)
    until(lambda: on_duty([second]))
    first.opened()
    publish(2, first)
    second.pause()
    assert on_duty([first]) is first
    publish(3, first)
    second.resume()
    with httpx.Client(base_url=first.url, timeout=60) as http:
        desk = Desk(http, agent, admin)
        until(lambda: sum(told(desk).values()) >= len(expected))
        drained(machines, build_of(machines))
        visible(machines, desk, "user_id:customer-0")
        assert told(desk) == Counter(expected.items())
        assert desk.pages("/v1/set-aside", "admin") == []


def told(desk: Desk) -> Counter[tuple[str, str]]:
    """(thread, verdict) of all that is shown of everybody."""
    found: Counter[tuple[str, str]] = Counter()
    for number in range(THREADS):
        items = desk.pages(f"/v1/customers/user_id:customer-{number}/timeline")
        found.update((one["thread"], one["type"]) for one in items if one["type"].startswith("request_"))
    return found


def on_duty(replicas: list[Serving]) -> Serving:
    found: list[Serving] = []

    def one() -> list[Serving]:
        found[:] = [one for one in replicas if level(one, "touchbook_clock_on_duty") == 1]
        return found

    until(one)
    return found[0]


def verdicts_of(replica: Serving) -> float:
    return level(replica, r"touchbook_verdicts_total\{[^}]*\}")


def level(replica: Serving, name: str) -> float:
    with suppress(httpx.HTTPError):
        text = httpx.get(f"{replica.url}/metrics", timeout=5).text
        return sum(map(float, re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)))
    return 0.0


def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)
