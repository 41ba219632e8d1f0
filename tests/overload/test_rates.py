"""A key that sends too fast is told when to come back, and nothing of what it sent is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.overload.raw import Server, get, post, serving, track


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ten touchpoints at once, then one in a hundred seconds."""
    with serving(tmp_path_factory.mktemp("book"), key_rate=0.01, key_burst=10) as server:
        yield server


def test_a_batch_beyond_the_burst_is_taken_and_the_next_request_refused_before_it_is_parsed(
    server: Server,
) -> None:
    assert server.publish(*(f"m-{n}" for n in range(15)), source="first").status == 200
    head = server.book.journal.head()

    refused = server.ask(post("/v1/batch", b"{ no JSON", key=server.key(source="first")))

    assert (refused.status, refused.code) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) in range(500, 601)
    assert server.book.journal.head() == head
    assert server.book.control.count_set_aside() == 0


def test_a_key_in_the_body_is_limited_as_well(server: Server) -> None:
    key = server.key(source="second")
    body = json.dumps(
        {"writeKey": key, "batch": [track(f"n-{n}", timestamp="2026-03-02T09:15:00Z") for n in range(12)]}
    )

    statuses = [server.ask(post("/v1/batch", body.encode())).status for _ in range(3)]

    assert statuses == [200, 429, 429]


def test_keys_do_not_spend_what_belongs_to_others(server: Server) -> None:
    for n in range(10):
        assert server.publish(f"p-{n}", source="third").status == 200
    assert server.publish("p-10", source="third").status == 429
    assert server.publish("p-10", source="fourth").status == 200


def test_reading_is_limited_too_and_what_tells_of_health_is_not(server: Server) -> None:
    asked = get("/v1/schemas", key=server.key("agent", "desk"))
    assert [server.ask(asked).status for _ in range(12)] == [200] * 10 + [429] * 2
    assert server.ask(get("/readyz")).status == 200


def test_what_was_refused_for_its_rate_is_counted(server: Server) -> None:
    before = server.book.metrics.total("refused")
    server.publish(*(f"q-{n}" for n in range(10)), source="fifth")
    server.publish("q-10", source="fifth")
    text = server.book.metrics.text().decode()
    assert server.book.metrics.total("refused") == before + 1
    assert 'touchbook_refused_total{code="rate_limited",source="fifth"} 1.0' in text


def test_by_default_no_key_is_limited(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert {server.publish(f"m-{n}").status for n in range(50)} == {200}
