from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from tests.api.serving import Server, chat, problem_of
from touchbook.api.cloudevents import events_of

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
ATTRIBUTE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


def binary(event: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    """An event in binary mode, as the HTTP binding says."""
    attributes = {name: value for name, value in event.items() if name != "data"}
    headers = {f"ce-{name}": quote(str(value), safe="") for name, value in attributes.items()}
    return {**headers, "Content-Type": "application/json"}, json.dumps(event["data"]).encode()


def send(server: Server, event: dict[str, Any], mode: str) -> Any:
    if mode == "binary":
        headers, body = binary(event)
    elif mode == "structured":
        headers, body = {"Content-Type": f"{STRUCTURED}; charset=utf-8"}, json.dumps(event).encode()
    else:
        headers, body = {"Content-Type": BATCHED}, json.dumps([event]).encode()
    answer = server.http.post("/v1/events", content=body, headers={**server.as_("publish"), **headers})
    server.settle()
    return answer


@pytest.mark.parametrize("first", ["binary", "structured", "batched"])
def test_an_event_sent_in_another_mode_is_the_same_touchpoint(server: Server, first: str) -> None:
    event = chat(id="привет/мир 1", channel="messenger", traceparent="00-ab-cd-01", sampledrate="7")
    assert send(server, event, first).json()["accepted"] == 1
    for mode in ("binary", "structured", "batched"):
        again = {**event, "sampledrate": 7, "subject": None, "datacontenttype": "application/json"}
        told = send(server, again if mode != "binary" else event, mode).json()
        assert (told["duplicates"], told["rejected"], told["positions"]) == (1, [], ["j1.1"])


@given(id=ATTRIBUTE, extension=ATTRIBUTE)
def test_binary_mode_reads_what_structured_mode_reads(id: str, extension: str) -> None:
    event = chat(id=id, comment=extension)
    headers, body = binary(event)
    assert events_of(Headers(headers), body) == events_of(
        Headers({"content-type": STRUCTURED}), json.dumps(event).encode()
    )


def test_a_quoted_header_is_unquoted_before_it_is_decoded() -> None:
    headers = {"ce-specversion": "1.0", "ce-id": '"Euro \\" %E2%82%AC"', "ce-type": "chat_message_sent"}
    (event,), single, _ = events_of(Headers(headers), b"{}")
    assert (event["id"], single) == ('Euro " €', True)


@pytest.mark.parametrize("value", ["%", "%2", "%ZZ", "%FF", "caf\u00e9"])
def test_a_header_that_is_not_percent_encoded_is_refused(server: Server, value: str) -> None:
    headers, body = binary(chat())
    raw = {**server.as_("publish"), **headers, "ce-id": value}
    answer = server.http.post(
        "/v1/events", content=body, headers=[(name, text.encode("latin-1")) for name, text in raw.items()]
    )
    assert (answer.status_code, problem_of(answer)["code"]) == (400, "header_invalid")


def test_each_event_of_a_batch_is_judged_alone(server: Server) -> None:
    batch = [chat(), chat(source="somebody-else"), chat(type="an.unheard.of.type"), 7]
    headers = {**server.as_("publish"), "Content-Type": BATCHED}
    told = server.http.post("/v1/events", json=batch, headers=headers).json()
    assert told["accepted"] == 2
    assert [(one["index"], one["code"]) for one in told["rejected"]] == [
        (1, "source_mismatch"),
        (3, "object_expected"),
    ]


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_one_event_alone_that_is_rejected_answers_422_and_is_set_aside(server: Server, mode: str) -> None:
    answer = send(server, chat(source="somebody-else"), mode)
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (422, "source_mismatch")
    assert "set aside" in problem["message"]
    listed = server.get("/v1/set-aside", role="publish").json()["items"]
    assert [item["key"] for item in listed] == [problem["set_aside"]]
    assert (server.total("rejected"), server.total("refused")) == (1, 0)


def test_without_a_media_type_the_json_tells_the_mode(server: Server) -> None:
    headers = {**server.as_("publish"), "Content-Type": "application/json"}
    assert server.http.post("/v1/events", json=chat(), headers=headers).json()["accepted"] == 1
    assert server.http.post("/v1/events", json=[chat(), chat()], headers=headers).json()["accepted"] == 2


@pytest.mark.parametrize(
    ("media_type", "body", "code"),
    [
        (STRUCTURED, b"[]", "event_expected"),
        (STRUCTURED, b'"text"', "event_expected"),
        (BATCHED, b"{}", "batch_expected"),
        (BATCHED, b"[", "json_invalid"),
        ("application/json", b"7", "event_expected"),
    ],
)
def test_a_body_that_is_no_event_is_refused(server: Server, media_type: str, body: bytes, code: str) -> None:
    headers = {**server.as_("publish"), "Content-Type": media_type}
    answer = server.http.post("/v1/events", content=body, headers=headers)
    assert (answer.status_code, problem_of(answer)["code"]) == (400, code)


def test_an_attribute_given_twice_is_refused(server: Server) -> None:
    headers, body = binary(chat())
    twice = [*server.as_("publish").items(), *headers.items(), ("CE-Id", "another")]
    answer = server.http.post("/v1/events", content=body, headers=twice)
    assert (answer.status_code, problem_of(answer)["code"]) == (400, "header_repeated")
