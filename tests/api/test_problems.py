from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from tests.api.serving import Server, chat, problem_of, track
from touchbook.api import models
from touchbook.errors import BodyUnreadable, Refused

C = "/v1/customers/user_id:42"


def logged_by_the_server(caplog: pytest.LogCaptureFixture) -> str:
    """All but what the client of these tests logs."""
    records = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert records
    return "\n".join(record.getMessage() for record in records)


def test_every_kind_of_error_is_a_problem_as_documented(serve: Any) -> None:
    server = serve(max_request=100_000)
    server.event(chat())
    agent = server.as_("agent")
    answers = [
        server.http.get("/nothing"),
        server.http.get("/v1/track"),
        server.http.get(C),
        server.get("/v1/keys"),
        server.get(f"{C}/timeline?limit=x"),
        server.get(f"{C}/timeline?cursor=x"),
        server.http.post("/v1/customers:lookup", content=b"{", headers=agent),
        server.http.post("/v1/customers:lookup", content=b"x" * 2**21, headers=agent),
        server.http.post("/v1/scores:batchGet", json={}, headers=agent),
        server.http.post("/v1/track", content=b"x" * 200_000, headers=server.as_("publish")),
        server.http.post("/v1/track", content=b"", headers={"Content-Encoding": "br"}),
        server.http.post(
            "/v1/keys", json={"role": "agent", "source": "Not a name"}, headers=server.as_("admin")
        ),
    ]
    statuses = [404, 405, 401, 403, 422, 400, 400, 413, 422, 413, 415, 400]
    assert [answer.status_code for answer in answers] == statuses
    for answer in answers:
        models.Problem.model_validate(problem_of(answer))


def test_a_path_that_does_not_take_the_method_names_those_it_takes(server: Server) -> None:
    allowed = {path: server.http.put(path).headers["allow"] for path in ("/v1/keys", "/v1/track", "/docs")}
    assert allowed == {"/v1/keys": "GET, POST", "/v1/track": "OPTIONS, POST", "/docs": "GET, HEAD"}


@pytest.mark.parametrize("error", [ValueError("ann@example.test"), BodyUnreadable("ann@example.test")])
@pytest.mark.parametrize("path", [C, f"{C}/scores"])
def test_a_failure_of_ours_says_what_to_do_and_is_found_in_the_log(
    server: Server,
    path: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.event(chat())

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(server.book.customers, "find", fail)
    with caplog.at_level(logging.DEBUG):
        answer = server.get(path)
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (500, "internal_error")
    assert problem["id"] in problem["message"]
    assert "send it again" in problem["message"]
    logged = logged_by_the_server(caplog)
    assert problem["id"] in logged
    assert type(error).__name__ in logged
    assert "ann@example.test" not in logged + answer.text
    assert not [word for word in ("user_id:42", "user_id%3A42") if word in logged]


def test_a_failure_at_a_door_is_counted_as_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(server.book.admission, "hand_in", fail)
    answer = server.http.post("/v1/events", json=chat(), headers=server.as_("publish"))
    assert (answer.status_code, server.total("refused"), server.total("received")) == (500, 1, 1)


@pytest.mark.parametrize(("given", "told"), [(None, "1"), (7, "7")])
def test_whoever_is_sent_away_for_now_is_told_when_to_come_back(
    server: Server, given: int | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Refused(429, "too_fast", "slower, please", retry_after=given)

    monkeypatch.setattr(server.book.customers, "find", refuse)
    answer = server.get(C)
    assert (problem_of(answer)["code"], answer.headers["retry-after"]) == ("too_fast", told)


def access_records(caplog: pytest.LogCaptureFixture, last: str) -> list[logging.LogRecord]:
    """All that the log of requests holds once `last` is told: a line is written after its answer."""
    deadline = time.monotonic() + 30
    while True:
        records = [record for record in caplog.records if record.name == "touchbook.access"]
        if any(last in record.getMessage() for record in records):
            return records
        assert time.monotonic() < deadline, f"{last!r} was never told"
        time.sleep(0.01)


def test_logs_name_routes_and_sources_never_paths_queries_or_keys(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        server.event(chat())
        server.get(f"{C}/timeline?text=secret-words")
        server.http.get(f"/v1/projects/{server.key()}/settings")
        server.http.get("/somewhere/user_id:42")
        lines = [record.getMessage() for record in access_records(caplog, last="(no such route)")]
    ours = logged_by_the_server(caplog)
    assert any(line.startswith("GET /v1/customers/{ref}/timeline 200") for line in lines)
    assert any("/v1/projects/{write_key}/settings 200" in line for line in lines)
    assert any(line.startswith("GET (no such route) 404") for line in lines)
    assert not [
        word
        for word in ("user_id:42", "user_id%3A42", "secret-words", server.key(), server.key("agent"))
        if word in ours
    ]


def test_what_published_is_told_at_debug_and_what_did_not_at_info(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert server.event(chat()).status_code == 200
        assert server.publish(track(), track(userId=None, messageId="nobody")).status_code == 200
        assert server.event(chat(time="soon")).status_code == 422
        assert server.http.post("/v1/track", json={}).status_code == 401
        records = access_records(caplog, last="/v1/track")
    told = [(record.levelname, *record.getMessage().split()[1:3]) for record in records]
    assert told == [
        ("DEBUG", "/v1/events", "200"),
        ("DEBUG", "/v1/batch", "200"),
        ("INFO", "/v1/events", "422"),
        ("INFO", "/v1/track", "401"),
    ]


def test_every_answer_is_kept_by_nobody_and_guessed_at_by_nobody(server: Server) -> None:
    server.event(chat())
    for answer in (
        server.get(C),
        server.get(f"{C}/scores"),
        server.http.get("/nothing"),
        server.http.get("/metrics"),
    ):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
