"""Reserving, confirming and releasing over HTTP, on a real server."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from tests.api.serving import Server, problem_of, track
from touchbook.api import contact
from touchbook.contacting import Candidate
from touchbook.errors import JournalUnavailable
from touchbook.streams.deciding import Answer, Answers, Asked
from touchbook.wiring import Book

POLICY = """
policy: 1
versions:
- version: tests-1
  from: 1970-01-01
  contact:
    consent: {survey: required}
    caps:
    - {name: three a day, most: 3, window: 1d}
    - {name: no videos, most: 0, window: 1d, channels: [video]}
"""
ASKED = {"ref": "user_id:42", "channel": "email", "purpose": "offer"}

Serve = Callable[..., Server]


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    server = serve(policy=policy)
    server.publish(track(), track(userId="43"))
    return server


def ask(
    server: Server, verb: str = "reserve", role: str = "channel", source: str = "", **said: Any
) -> httpx.Response:
    body = said if verb != "reserve" or "items" in said else {**ASKED, **said}
    return server.http.post(f"/v1/contact:{verb}", json=body, headers=server.as_(role, source=source))


def reserved(server: Server, **said: Any) -> dict[str, Any]:
    answer = ask(server, **said)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def decisions(server: Server, customer: str = "42") -> list[str]:
    """What was decided about him, as his timeline tells it."""
    server.settle()
    items = server.get(f"/v1/customers/user_id:{customer}/timeline?limit=500").json()["items"]
    return [item["type"] for item in items if item["type"].startswith("contact_")]


def test_a_reservation_holds_a_place_and_the_answer_says_how_long(server: Server) -> None:
    answer = reserved(server)
    assert answer["decision"] == "reserved"
    assert answer["policy"] == "tests-1"
    assert answer["until"] is not None
    assert decisions(server) == ["contact_reserved"]


def test_beyond_a_cap_it_is_put_off_until_the_first_place_is_free(server: Server) -> None:
    first = [reserved(server) for _ in range(3)]
    fourth = reserved(server)
    assert (fourth["decision"], fourth["reasons"]) == ("deferred", [{"code": "cap", "rule": "three a day"}])
    assert fourth["until"] == min(one["until"] for one in first)


def test_a_released_place_is_free_again_and_a_confirmed_one_is_not(server: Server) -> None:
    first, second, third = (reserved(server)["id"] for _ in range(3))
    assert ask(server, "release", reservation=first).json() == {"reservation": first, "state": "released"}
    assert ask(server, "confirm", reservation=second, message_id="m-1").json()["state"] == "confirmed"
    assert [reserved(server)["decision"] for _ in range(2)] == ["reserved", "deferred"]
    assert ask(server, "release", reservation=second).status_code == 409
    assert ask(server, "confirm", reservation=first).json()["code"] == "reservation_released"
    assert ask(server, "confirm", reservation=third).status_code == 200
    server.settle()
    assert ask(server, "confirm", reservation=third).status_code == 200
    assert decisions(server).count("contact_confirmed") == 2


def test_a_message_sent_under_a_reservation_confirms_it_and_counts_once(server: Server) -> None:
    one = reserved(server)
    sent = {"decision": one["id"], "purpose": "service", "channel": "email"}
    server.publish(track("Message Sent", properties=sent))
    assert ask(server, "release", reservation=one["id"]).status_code in (200, 409)
    assert [reserved(server)["decision"] for _ in range(3)].count("reserved") >= 2


def test_the_same_question_under_the_same_id_is_decided_once(server: Server) -> None:
    first = reserved(server, id="spring-42")
    assert reserved(server, id="spring-42") == first
    server.settle()
    assert reserved(server, id="spring-42") == first
    server.book.customers.forget()  # what was remembered of it too
    assert reserved(server, id="spring-42") == first
    assert decisions(server) == ["contact_reserved"]
    other = ask(server, id="spring-42", purpose="survey")
    assert (other.status_code, other.json()["code"]) == (409, "id_reused")
    assert reserved(server, id="spring-42", source="another")["id"] != first["id"]


def test_what_was_asked_of_many_is_answered_in_order_and_strangers_are_told_apart(server: Server) -> None:
    items = [
        {**ASKED, "ref": ref}
        for ref in ("user_id:43", "user_id:nobody", "user_id:42", "email:a@b.example.test")
    ]
    told = ask(server, items=items).json()["items"]
    assert [one.get("decision", one.get("code")) for one in told] == [
        "reserved", "customer_unknown", "reserved", "reference_invalid",
    ]  # fmt: skip


def test_of_several_for_one_customer_the_more_important_go_first_and_the_others_learn_why(
    server: Server,
) -> None:
    items = [{**ASKED, "priority": place, "campaign": f"c-{place}", "id": f"i-{place}"} for place in range(5)]
    told = ask(server, items=items).json()["items"]
    assert [one["decision"] for one in told] == ["deferred", "deferred", "reserved", "reserved", "reserved"]
    assert {"code": "outranked", "detail": "c-4"} in told[0]["reasons"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"purpose": "nagging"}, "purpose"),
        ({"channel": ""}, "channel"),
        ({"ref": None}, "ref, or type and value"),
        ({"not_after": "tomorrow"}, "not_after"),
        ({"colour": "red"}, "colour"),
        ({"priority": "high"}, "priority"),
        ({"priority": True}, "priority"),
        ({"not_after": "9999-12-31T23:59:59.999-12:00"}, "not_after"),
        ({"channel": "em\x00ail"}, "channel"),
        ({"id": "spring\n42"}, "id"),
        ({"tags": ["warm", "co\x00ld"]}, "tags.1"),
        ({"language": "e\x00"}, "language"),
    ],
)
def test_what_cannot_be_read_is_refused_and_named(server: Server, wrong: dict[str, Any], field: str) -> None:
    answer = ask(server, **wrong)
    assert answer.status_code == 422
    assert field in answer.json()["message"]
    assert decisions(server) == []


def test_only_channels_and_agents_may_ask_and_only_whose_it_is_may_settle(server: Server) -> None:
    assert ask(server, role="publish").status_code == 403
    one = reserved(server, source="news")["id"]
    assert ask(server, "confirm", source="other", reservation=one).status_code == 403
    assert ask(server, "confirm", reservation="0" * 48).status_code == 404
    assert ask(server, "release", role="agent", reservation=one).status_code == 200


def test_a_cap_of_none_is_never_and_says_so(server: Server) -> None:
    answer = reserved(server, channel="video")
    assert (answer["decision"], answer["until"]) == ("suppressed", None)


def test_a_thousand_at_once_never_exceed_a_cap(server: Server) -> None:
    headers = server.as_("channel")

    async def all_at_once() -> list[str]:
        async with httpx.AsyncClient(base_url=server.http.base_url, timeout=60) as client:
            places = asyncio.Semaphore(50)  # a longer queue costs the client far more than it tells

            async def ask(number: int) -> str:
                async with places:
                    body = {**ASKED, "id": f"r-{number}"}
                    answer = await client.post("/v1/contact:reserve", json=body, headers=headers)
                    return str(answer.json()["decision"])

            return list(await asyncio.gather(*map(ask, range(1000))))

    told = asyncio.run(all_at_once())
    assert told.count("reserved") == 3
    assert told.count("deferred") == 997


def test_customers_who_turn_out_to_be_one_share_what_may_be_said_to_him(server: Server) -> None:
    server.publish(track(userId=None, anonymousId="visitor-7"))
    for ref in ("user_id:42", "anonymous_id:visitor-7"):
        assert [reserved(server, ref=ref)["decision"] for _ in range(2)] == ["reserved"] * 2
    server.publish({"type": "identify", "userId": "42", "anonymousId": "visitor-7", "messageId": "one-1"})
    for ref in ("user_id:42", "anonymous_id:visitor-7"):
        assert reserved(server, ref=ref)["decision"] == "deferred"


def test_the_context_says_when_a_channel_is_free_again(server: Server) -> None:
    held = [reserved(server) for _ in range(3)]
    server.settle()
    context = server.get("/v1/customers/user_id:42/context?purpose=offer", role="channel").json()["contact"]
    assert context["email"] == {
        "allowed": False,
        "reasons": ["cap"],
        "next": min(one["until"] for one in held),
    }
    assert context["video" if "video" in context else "sms"]["allowed"] is False


def test_a_build_of_an_earlier_version_that_knows_no_contacts_says_what_to_do(server: Server) -> None:
    with sqlite3.connect(server.book.projections.file) as build:  # as the tables were before there were any
        build.execute("DROP TABLE contacts")
    build.close()
    for answer in (ask(server), server.get("/v1/customers/user_id:42/context", role="channel")):
        assert (answer.status_code, answer.json()["code"]) == (503, "projections_older")
        assert "being made anew" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) > 0
    assert server.get("/v1/customers/user_id:42/timeline").status_code == 200


def test_decisions_stand_under_the_channel_that_was_asked_for(server: Server) -> None:
    first, no_channel = reserved(server, channel="sms"), reserved(server, channel="a" * 60)
    assert ask(server, "confirm", reservation=first["id"]).status_code == 200
    assert ask(server, "release", reservation=no_channel["id"]).status_code == 200
    reserved(server, channel="video")
    server.settle()
    items = server.get("/v1/customers/user_id:42/timeline?noise=true&limit=500").json()["items"]
    assert [(one["type"], one["channel"]) for one in items if one["type"].startswith("contact_")] == [
        ("contact_suppressed", "video"),
        ("contact_released", "unknown"),
        ("contact_confirmed", "sms"),
        ("contact_reserved", "unknown"),
        ("contact_reserved", "sms"),
    ]
    of_sms = server.get("/v1/customers/user_id:42/timeline?noise=true&channel=sms").json()["items"]
    assert [one["type"] for one in of_sms] == ["contact_confirmed", "contact_reserved"]


def test_answers_are_counted_by_source_and_decision(server: Server) -> None:
    for _ in range(4):
        reserved(server)
    ask(server, items=[{**ASKED, "channel": "video"}, {**ASKED, "ref": "user_id:nobody"}])
    counted = {
        (sample.labels["source"], sample.labels["decision"]): sample.value
        for family in server.book.metrics.collect()
        for sample in family.samples
        if sample.name == "touchbook_contact_decisions_total"
    }
    (source,) = {source for source, _ in counted}
    assert {decision: int(number) for (_, decision), number in counted.items()} == {
        "reserved": 3,
        "deferred": 1,
        "suppressed": 1,
        "customer_unknown": 1,
    }
    assert source == "web-shop"


def test_an_answer_that_goes_out_in_one_piece_has_every_header_of_the_others(server: Server) -> None:
    answer, other = ask(server), server.get("/v1/customers/user_id:42/context", role="channel")
    apart = {"date", "content-length", "server", "etag"}
    assert {name: answer.headers[name] for name in answer.headers if name not in apart} == {
        name: other.headers[name] for name in other.headers if name not in apart
    }


def test_who_asks_alone_is_decided_at_once_and_those_who_come_thick_and_fast_share_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contact, "GATHER_SECONDS", 0.5)
    looks: list[int] = []

    class Knows:
        def reserve(self, asked: Sequence[Asked]) -> Future[Answers]:
            looks.append(len(asked))
            told: Future[Answers] = Future()
            told.set_result([Answer("reserved", one.candidate.id, {}) for one in asked])
            return told

    async def story() -> None:
        deciding = contact.Deciding(cast(Book, SimpleNamespace(contacting=Knows())))

        async def ask(number: int, after: float = 0.0) -> None:
            await asyncio.sleep(after)
            one = Asked("a", Candidate(f"c-{number}", "email", "offer"), "crm")
            (answer,) = await deciding.reserve([one])
            assert isinstance(answer, Answer)
            assert answer.id == f"c-{number}"

        for number in range(3):
            await ask(number)
        assert looks == [1, 1, 1]
        await asyncio.gather(ask(3), ask(4), *(ask(5 + n, n / 100) for n in range(1, 21)))

    asyncio.run(story())
    assert sum(looks) == 25
    assert looks[3] == 2
    assert len(looks) < 8  # each by himself they would be 24


def test_what_is_wrong_with_one_question_is_told_to_who_asked_it_alone() -> None:
    looks: list[int] = []

    class Stumbles:
        def reserve(self, asked: Sequence[Asked]) -> Future[Answers]:
            looks.append(len(asked))
            if any(one.candidate.id == "c-1" for one in asked):
                raise KeyError("a bug")
            told: Future[Answers] = Future()
            told.set_result([Answer("reserved", one.candidate.id, {}) for one in asked])
            return told

    async def story() -> list[Any]:
        deciding = contact.Deciding(cast(Book, SimpleNamespace(contacting=Stumbles())))
        questions = [Asked("a", Candidate(f"c-{number}", "email", "offer"), "crm") for number in range(4)]
        told = [deciding.reserve(some) for some in (questions[:1], questions[1:2], questions[2:])]
        return await asyncio.gather(*told, return_exceptions=True)

    first, second, third = asyncio.run(story())
    assert [one.id for one in first] == ["c-0"]
    assert isinstance(second, KeyError)
    assert [one.id for one in third] == ["c-2", "c-3"]
    assert looks == [4, 1, 1, 2]


def test_what_nobody_is_to_blame_for_is_not_tried_again_for_each() -> None:
    looks: list[int] = []

    class Closed:
        def reserve(self, asked: Sequence[Asked]) -> Future[Answers]:
            looks.append(len(asked))
            raise JournalUnavailable("it was closed")

    async def story() -> list[Any]:
        deciding = contact.Deciding(cast(Book, SimpleNamespace(contacting=Closed())))
        one = Asked("a", Candidate("c", "email", "offer"), "crm")
        return await asyncio.gather(*(deciding.reserve([one]) for _ in range(3)), return_exceptions=True)

    assert [type(one) for one in asyncio.run(story())] == [JournalUnavailable] * 3
    assert looks == [3]


def test_a_call_costs_a_keys_rate_as_many_as_it_asks(serve: Serve) -> None:
    server = serve(key_rate=0.01, key_burst=10)
    assert ask(server, items=[ASKED] * 10).status_code == 200
    refused = ask(server)
    assert (refused.status_code, problem_of(refused)["code"]) == (429, "rate_limited")
    assert ask(server, source="another").json()["code"] == "customer_unknown"


@pytest.mark.parametrize("verb", ["reserve", "confirm", "release"])
def test_what_says_that_it_is_no_json_is_not_read_as_such(server: Server, verb: str) -> None:
    body = json.dumps(ASKED if verb == "reserve" else {"reservation": "0" * 48}).encode()

    def status(stated: str | None) -> tuple[int, str]:
        headers = server.as_("channel") | ({} if stated is None else {"Content-Type": stated})
        answer = server.http.post(f"/v1/contact:{verb}", content=body, headers=headers)
        return answer.status_code, answer.json().get("code", "decided")

    read = (200, "decided") if verb == "reserve" else (404, "reservation_unknown")
    for stated in (None, "application/json", "Application/JSON; charset=utf-8"):
        assert status(stated) == read
    for stated in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp"):
        assert status(stated) == (415, "media_type_unknown")


def test_an_erasure_takes_his_decisions_along(server: Server) -> None:
    reserved(server, id="gone-1")
    server.settle()
    erased = server.http.post("/v1/customers:erase", json={"ref": "user_id:42"}, headers=server.as_("admin"))
    assert erased.status_code == 200, erased.text
    server.settle()
    with server.book.customers.reading() as reader:
        assert reader.contacts([server.book.customers.id_of("user_id:42")], 0) == []
    assert ask(server).status_code == 404


@pytest.mark.parametrize("type", ["contact_reserved", "contact_confirmed", "contact_released"])
def test_nobody_else_publishes_what_we_decide(server: Server, type: str) -> None:
    event = {
        "specversion": "1.0",
        "id": f"forged-{type}",
        "source": "web-shop",
        "type": type,
        "time": "2026-03-02T09:15:00.000Z",
        "data": {
            "identifiers": {"user_id": "42"},
            "reservation": "r-1",
            "for_channel": "email",
            "purpose": "offer",
            "holds_until": "2026-03-02T09:30:00.000Z",
        },
    }
    answer = server.event(event)
    assert (answer.status_code, answer.json()["code"]) == (422, "type_reserved")
    assert decisions(server) == []
