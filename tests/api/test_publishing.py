from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.serving import WHEN, Server, chat, problem_of, track

RECORDED = Path(__file__).parent / "recorded"
ORIGIN = "https://shop.example.test"
OTHER = "https://elsewhere.example.test"


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def test_every_item_of_a_batch_has_its_own_answer(server: Server) -> None:
    good, bad = track(messageId="good"), track(type="trakc")
    answer = server.publish(good, bad, "not an object", good)
    told = answer.json()
    assert answer.status_code == 200
    assert (told["success"], told["accepted"], told["duplicates"]) == (True, 1, 1)
    assert [(one["index"], one["code"]) for one in told["rejected"]] == [
        (1, "type_unknown"),
        (2, "object_expected"),
    ]
    assert told["positions"] == ["j1.1", None, None, "j1.1"]


def test_what_is_rejected_is_set_aside_and_what_is_refused_is_not(server: Server) -> None:
    server.publish(track(type="trakc"))
    server.http.post("/v1/batch", content=b"{", headers=server.as_("publish"))
    assert server.get("/v1/set-aside", role="publish").json()["items"][0]["raw"]["type"] == "trakc"
    assert (server.total("rejected"), server.total("refused")) == (1, 1)
    assert server.book.control.count_set_aside() == 1


@pytest.mark.parametrize("name", ["segment-analytics-python", "rudder-sdk-python"])
def test_what_real_sdks_send_is_accepted_whole(server: Server, name: str) -> None:
    for request in json.loads((RECORDED / f"{name}.json").read_text()):
        body = json.dumps(request["body"]).encode()
        packed = request["headers"].get("Content-Encoding") == "gzip"
        headers = {"Content-Type": request["headers"]["Content-Type"], **basic(server.key())}
        if packed:
            headers["Content-Encoding"] = "gzip"
        answer = server.http.post(
            request["path"], content=gzip.compress(body) if packed else body, headers=headers
        )
        assert answer.status_code == 200
        assert answer.json()["rejected"] == []
        assert answer.json()["accepted"] == len(request["body"]["batch"])


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("/v1/track", {"userId": "42", "event": "chat_started"}),
        ("/v1/t", {"userId": "42", "event": "chat_started", "type": "track"}),
        ("/v1/identify", {"userId": "42", "traits": {"name": "Анна"}}),
        ("/v1/i", {"anonymousId": "a", "userId": None, "traits": {}}),
        ("/v1/page", {"anonymousId": "a", "name": "Pricing"}),
        ("/v1/p", {"anonymousId": "a"}),
        ("/v1/screen", {"userId": "42", "name": "Cart"}),
        ("/v1/s", {"userId": "42", "name": "Cart"}),
        ("/v1/group", {"userId": "42", "groupId": "g"}),
        ("/v1/g", {"userId": "42", "groupId": "g"}),
        ("/v1/alias", {"userId": "42", "previousId": "a"}),
        ("/v1/a", {"userId": "42", "previousId": "a"}),
        ("/v1/batch", {"batch": [{"type": "page", "anonymousId": "a", "messageId": "m"}]}),
        ("/v1/b", {"batch": [{"type": "page", "anonymousId": "a", "messageId": "m"}]}),
    ],
)
def test_each_call_has_its_route_and_its_short_form(server: Server, path: str, call: dict[str, Any]) -> None:
    content = call if "batch" in call else {**call, "messageId": "m"}
    answer = server.http.post(path, json=content, headers=server.as_("publish"))
    assert (answer.status_code, answer.json()["rejected"]) == (200, [])


@pytest.mark.parametrize(
    "media_type", ["application/json", "text/plain", "application/x-www-form-urlencoded", "", "nonsense"]
)
def test_any_content_type_is_read(server: Server, media_type: str) -> None:
    body = gzip.compress(json.dumps({"batch": [track()]}).encode())
    headers = {**server.as_("publish"), "Content-Type": media_type, "Content-Encoding": "gzip"}
    assert server.http.post("/v1/batch", content=body, headers=headers).json()["accepted"] == 1


def test_the_key_may_stand_in_the_body_beside_a_foreign_token_or_none(server: Server) -> None:
    body = {"batch": [track(), track()], "writeKey": server.key()}
    for headers in ({}, {"Authorization": "Bearer a-token-of-another-system"}):
        assert server.http.post("/v1/batch", json=body, headers=headers).status_code == 200
    assert server.http.post("/v1/track", json=track(writeKey=server.key())).json()["accepted"] == 1
    assert server.http.post("/v1/track", json=track(writeKey="wrong")).status_code == 401
    refused = server.http.post("/v1/track", json=track(writeKey=server.key("admin")))
    assert refused.status_code == 403


def test_a_write_key_is_kept_nowhere(server: Server, tmp_path: Path) -> None:
    server.publish(track(writeKey=server.key()), track(type="trakc", writeKey=server.key()))
    server.settle()
    timeline = server.get("/v1/customers/user_id:42/timeline").text
    aside = server.get("/v1/set-aside", role="admin").text
    assert server.key() not in timeline + aside


def test_what_comes_without_a_key_learns_nothing_about_its_body(server: Server) -> None:
    for body in (b"", b"{", b"[]", b'{"batch": 1}', b"\xff"):
        answer = server.http.post("/v1/batch", content=body)
        assert (answer.status_code, problem_of(answer)["code"]) == (401, "key_missing")


def test_what_the_batch_says_is_inherited_by_its_items(server: Server) -> None:
    calls = [track(), track(context={"channel": "ar"})]
    body = {
        "batch": calls,
        "context": {"channel": "email"},
        "integrations": {"All": True},
        "sentAt": "not a time",
    }
    answer = server.http.post("/v1/batch", json=body, headers=server.as_("publish"))
    server.settle()
    items = server.get("/v1/customers/user_id:42/timeline").json()["items"]
    assert answer.json()["accepted"] == 2
    assert {item["channel"] for item in items} == {"email", "ar"}


def test_the_skew_of_a_clients_clock_is_taken_out(server: Server) -> None:
    call = track(timestamp="2020-01-01T00:00:00Z")
    body = {"batch": [call], "sentAt": "2020-01-01T00:00:10Z"}  # years off: a broken clock is left as it is
    server.http.post("/v1/batch", json=body, headers=server.as_("publish"))
    server.settle()
    (item,) = server.get("/v1/customers/user_id:42/timeline").json()["items"]
    assert item["occurred_at"] == "2020-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "json_invalid"),
        (b"{", "json_invalid"),
        (b'{"batch": [], "batch": []}', "json_invalid"),
        (b'{"batch": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json_invalid"),
        (b"[]", "batch_expected"),
        (b"{}", "batch_expected"),
        (b'{"batch": {}}', "batch_expected"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(server: Server, body: bytes, code: str) -> None:
    answer = server.http.post("/v1/batch", content=body, headers=server.as_("publish"))
    assert (answer.status_code, problem_of(answer)["code"]) == (400, code)


def test_a_batch_of_2500_items_is_taken_and_one_of_too_many_refused(serve: Any) -> None:
    server = serve(max_items=2500)
    calls = [{"type": "page", "anonymousId": "a", "messageId": f"p-{number}"} for number in range(2500)]
    assert server.publish(*calls).json()["accepted"] == 2500
    refused = server.publish(*calls, track())
    assert (refused.status_code, problem_of(refused)["code"]) == (413, "too_many_items")


def test_one_item_that_is_too_large_does_not_sink_its_batch(serve: Any) -> None:
    server = serve(max_item=10_000)
    answer = server.publish(track(), track(properties={"note": "я" * 10_000}), track())
    assert answer.json()["accepted"] == 2
    assert [(one["index"], one["code"]) for one in answer.json()["rejected"]] == [(1, "item_too_large")]


def big_batch(size: int) -> bytes:
    return json.dumps({"batch": [track(properties={"note": "x" * size})]}).encode()


def chunked(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_the_bound_is_refused_however_it_comes(
    serve: Any, encoding: str, announced: bool
) -> None:
    server = serve(max_request=100_000, max_item=90_000)
    for size, status in ((50_000, 200), (100_000, 413), (5_000_000, 413)):
        body = big_batch(size)
        body = gzip.compress(body) if encoding == "gzip" else body
        answer = server.http.post(
            "/v1/batch",
            content=body if announced else chunked(body),
            headers={**server.as_("publish"), "Content-Encoding": encoding},
        )
        assert answer.status_code == status
        if status == 413:
            assert problem_of(answer)["code"] == "body_too_large"


def test_a_gzip_body_of_several_members_is_one_body(server: Server) -> None:
    body = json.dumps({"batch": [track()]}).encode()
    packed = gzip.compress(body[:20]) + gzip.compress(body[20:])
    headers = {**server.as_("publish"), "Content-Encoding": "gzip"}
    assert server.http.post("/v1/batch", content=packed, headers=headers).json()["accepted"] == 1
    pieces = (packed[place : place + 1] for place in range(len(packed)))
    assert server.http.post("/v1/batch", content=pieces, headers=headers).json()["duplicates"] == 1


@pytest.mark.parametrize("cut", [0, 5, 30, -1, -9])
def test_a_truncated_gzip_body_is_refused(server: Server, cut: int) -> None:
    packed = gzip.compress(json.dumps({"batch": [track()]}).encode())[:cut]
    answer = server.http.post(
        "/v1/batch", content=packed, headers={**server.as_("publish"), "Content-Encoding": "gzip"}
    )
    assert (answer.status_code, problem_of(answer)["code"]) == (400, "gzip_invalid")


def test_what_is_not_gzip_or_has_another_encoding_is_refused(server: Server) -> None:
    for encoding, body, status, code in (
        ("gzip", b'{"batch": []}', 400, "gzip_invalid"),
        ("gzip", gzip.compress(b'{"batch": []}') + b"rest", 400, "gzip_invalid"),
        ("br", b"x", 415, "encoding_unknown"),
        ("gzip, gzip", b"x", 415, "encoding_unknown"),
    ):
        headers = {**server.as_("publish"), "Content-Encoding": encoding}
        answer = server.http.post("/v1/batch", content=body, headers=headers)
        assert (answer.status_code, problem_of(answer)["code"]) == (status, code)
        assert (answer.headers.get("accept-encoding") == "gzip, identity") == (status == 415)


def test_an_empty_batch_is_nothing(server: Server) -> None:
    answer = server.publish()
    assert answer.json() == {
        "success": True,
        "accepted": 0,
        "duplicates": 0,
        "rejected": [],
        "positions": [],
    }


def test_an_id_used_again_for_something_else_is_set_aside(server: Server) -> None:
    server.publish(track(messageId="m", properties={"order_id": "1"}))
    answer = server.publish(track(messageId="m", properties={"order_id": "2"}))
    assert [one["code"] for one in answer.json()["rejected"]] == ["id_reused"]


def test_a_retry_is_counted(server: Server) -> None:
    for count in ("0", "1", "2"):
        server.publish(track(), headers={"X-Retry-Count": count})
    assert server.total("retries") == 2


@contextmanager
def stalled(server: Server) -> Iterator[None]:
    """The journal's file is held by somebody else for a while: nothing can be made durable."""
    other = sqlite3.connect(server.book.settings.data / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_a_full_queue_refuses_before_it_reads_and_loses_nothing(serve: Any) -> None:
    server = serve(max_queue=1)
    answers: list[httpx.Response] = []

    def send() -> None:
        answers.append(server.http.post("/v1/track", json=track(), headers=server.as_("publish")))

    server.key()
    senders: list[threading.Thread] = []
    with stalled(server):
        while server.book.journal.room() > 0:  # the first may be taken by the writer, alone or with the next
            senders.append(threading.Thread(target=send))
            senders[-1].start()
            senders[-1].join(0.1)
        refused = server.http.post("/v1/batch", content=b"{", headers=server.as_("publish"))
        ready = server.http.get("/readyz")
    for sender in senders:
        sender.join()
    assert (refused.status_code, problem_of(refused)["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert (ready.status_code, problem_of(ready)["checks"]["journal"]) == (503, "its queue is full")
    assert [answer.status_code for answer in answers] == [200] * len(senders)


def wait_until(holds: Any) -> None:
    for _ in range(2000):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never held")


def test_too_many_requests_at_a_time_are_refused_before_they_are_read(serve: Any) -> None:
    server = serve(max_in_flight=0)
    for path in ("/v1/batch", "/v1/events"):
        answer = server.http.post(path, content=b"{", headers=server.as_("publish"))
        assert (answer.status_code, problem_of(answer)["code"]) == (503, "overloaded")


def test_a_body_cut_off_in_the_middle_is_refused_and_its_place_freed(serve: Any) -> None:
    server = serve(max_in_flight=1)

    def cut() -> Iterator[bytes]:
        yield b'{"batch": ['
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        server.http.post("/v1/batch", content=cut(), headers=server.as_("publish"))
    wait_until(lambda: server.total("refused") == 1)
    assert server.publish(track()).status_code == 200


def test_agents_publish_notes_and_nothing_else(server: Server) -> None:
    note = chat(
        source="desk", type="note_added", data={"identifiers": {"user_id": "42"}, "text": "Called back."}
    )
    agent = server.as_("agent", source="desk")
    assert server.http.post("/v1/events", json=note, headers=agent).json()["accepted"] == 1
    answer = server.http.post("/v1/track", json=track(), headers=agent)
    assert [one["code"] for one in answer.json()["rejected"]] == ["type_not_for_agents"]


# Pages of other origins


def preflight(
    server: Server, origin: str, path: str = "/v1/batch", wanted: str = "authorization"
) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}
    return server.http.options(path, headers={"Origin": origin, **asked})


def test_no_page_of_another_origin_gets_in_by_default(server: Server) -> None:
    answer = server.publish(track(), headers={"Origin": ORIGIN})
    assert answer.json()["accepted"] == 1
    assert "access-control-allow-origin" not in answer.headers
    assert preflight(server, ORIGIN).status_code == 403


def test_a_key_with_origins_is_answered_to_these_origins_alone(server: Server) -> None:
    key = server.key(origins=(ORIGIN,))
    server.key(source="other-shop", origins=(OTHER,))
    call = track(anonymousId="a", event="page_viewed", properties={})
    for path in ("/v1/track", "/v1/t", "/v1/events", "/v1/projects/x/settings"):
        asked = preflight(server, ORIGIN, path)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, ORIGIN)
        assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    allowed = server.http.post("/v1/t", json=call, headers={"Origin": ORIGIN, **basic(key)})
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "origin" in allowed.headers["vary"].lower()
    refused = server.http.post("/v1/t", json=call, headers={"Origin": OTHER, **basic(key)})
    assert (refused.status_code, problem_of(refused)["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in refused.headers
    broken = server.http.post("/v1/t", content=b"{", headers={"Origin": ORIGIN, **basic(key)})
    assert (broken.status_code, broken.headers["access-control-allow-origin"]) == (400, ORIGIN)


def test_a_page_may_send_a_cloudevent_in_headers_and_no_other_header_of_its_choice(server: Server) -> None:
    server.key(origins=(ORIGIN,))
    asked = preflight(server, ORIGIN, "/v1/events", "authorization, ce-id,ce-specversion, x-other")
    allowed = asked.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "ce-id", "ce-specversion"} <= set(allowed)
    assert "x-other" not in allowed


def test_the_browser_sdk_is_told_where_to_send(server: Server) -> None:
    key = server.key(origins=(ORIGIN,))
    answer = server.http.get(f"/v1/projects/{key}/settings", headers={"Origin": ORIGIN})
    destination = answer.json()["integrations"]["Segment.io"]
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert f"{destination['protocol']}://{destination['apiHost']}" == f"{server.http.base_url}/v1".replace(
        "//v1", "/v1"
    )
    assert destination["apiKey"] == key
    assert answer.json()["metrics"] == {"sampleRate": 0}
    assert server.http.get("/v1/projects/wrong/settings").status_code == 401


def test_what_comes_with_a_public_key_counts_under_its_anonymous_id(server: Server) -> None:
    key = server.key(origins=(ORIGIN,))
    call = {"type": "page", "userId": "42", "anonymousId": "a-1", "messageId": "m", "timestamp": WHEN}
    server.http.post("/v1/batch", json={"batch": [call]}, headers={"Origin": ORIGIN, **basic(key)})
    server.settle()
    assert server.get("/v1/customers/anonymous_id:a-1").status_code == 200
    assert server.get("/v1/customers/user_id:42").status_code == 404


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ('{"note": "cut \\ud83d"}', "surrogate"),
        ('{"n": NaN}', "NaN"),
        ('{"n": 1e400}', "Infinity"),
        ('{"n": 18446744073709551616}', "64 bits"),
        ("[" * 40 + "]" * 40, "deep"),
    ],
)
def test_a_value_that_programs_read_differently_costs_its_own_item_alone(
    server: Server, bad: str, expected: str
) -> None:
    calls = [f'{{"type": "track", "event": "Spun", "userId": "ann", "messageId": "{n}"' for n in range(3)]
    body = f'{{"batch": [{calls[0]}}}, {calls[1]}, "properties": {bad}}}, {calls[2]}}}]}}'
    answer = server.http.post("/v1/batch", content=body, headers=server.as_("publish"))
    assert answer.status_code == 200
    told = answer.json()
    assert (told["accepted"], [one["index"] for one in told["rejected"]]) == (2, [1])
    assert told["rejected"][0]["code"] == "json_invalid"
    assert expected in told["rejected"][0]["message"]
    [kept] = server.http.get("/v1/set-aside", headers=server.as_("admin")).json()["items"]
    assert '"messageId": "1"' in kept["raw"]
    redriven = server.http.post(f"/v1/set-aside/{kept['key']}:redrive", headers=server.as_("admin"))
    assert (redriven.status_code, redriven.json()["code"]) == (422, "json_invalid")


def test_a_context_that_programs_read_differently_costs_the_items_that_inherit_it(server: Server) -> None:
    body = '{"context": {"n": NaN}, "batch": [{"type": "track", "event": "Spun", "userId": "ann", "messageId": "1"}]}'
    told = server.http.post("/v1/batch", content=body, headers=server.as_("publish")).json()
    assert (told["accepted"], told["rejected"][0]["code"]) == (0, "json_invalid")
