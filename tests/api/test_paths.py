from __future__ import annotations

import socket
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.serving import Server, chat, problem_of
from touchbook.api.paths import decoded

AWKWARD = [
    "a/timeline",
    "a%2Ftimeline",
    "a:b",
    "100%",
    "a?b=c",
    "a#b",
    "a b",
    "a+b",
    "..",
    "Анна/Мария",
    "🙂",
    "a;b",
]


def raw_get(server: Server, path: bytes) -> int:
    """The status for a path that no HTTP library would send."""
    with socket.create_connection((server.http.base_url.host, server.http.base_url.port or 80)) as line:
        key = server.key("agent").encode()
        line.sendall(
            b"GET "
            + path
            + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
            + key
            + b"\r\n\r\n"
        )
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1])


def known(server: Server, value: str) -> str:
    """A customer with this user id; his reference as a path segment."""
    data = {"identifiers": {"user_id": value}, "thread": "t", "text": f"I am {value}"}
    assert server.event(chat(data=data)).status_code == 200
    return quote(f"user_id:{value}", safe=":")


@pytest.mark.parametrize("value", AWKWARD)
def test_an_id_may_hold_any_character(server: Server, value: str) -> None:
    ref = known(server, value)
    assert value in {one["value"] for one in server.get(f"/v1/customers/{ref}").json()["identifiers"]}
    (item,) = server.get(f"/v1/customers/{ref}/timeline").json()["items"]
    assert item["data"]["text"] == f"I am {value}"
    assert server.get(f"/v1/customers/{ref}/scores").status_code == 200


def test_an_encoded_slash_never_answers_somebody_elses_timeline(server: Server) -> None:
    known(server, "a")
    assert server.get("/v1/customers/user_id:a/timeline").status_code == 200
    card = server.get("/v1/customers/user_id:a%2Ftimeline")
    assert (card.status_code, problem_of(card)["code"]) == (404, "customer_unknown")
    known(server, "a/timeline")
    own = server.get("/v1/customers/user_id:a%2Ftimeline").json()
    assert {one["value"] for one in own["identifiers"]} == {"a/timeline"}


def test_a_segment_is_decoded_once(server: Server) -> None:
    known(server, "a%2Fb")
    assert server.get("/v1/customers/user_id:a%252Fb").status_code == 200
    assert server.get("/v1/customers/user_id:a%2Fb").status_code == 404


@pytest.mark.parametrize(
    "path", [b"/v1/customers/%", b"/v1/customers/%2", b"/v1/%zz", b"/v1/%ff", b"/%C3%28"]
)
def test_a_path_that_cannot_be_decoded_is_refused(server: Server, path: bytes) -> None:
    assert raw_get(server, path) == 400


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_decoding_undoes_encoding(value: str) -> None:
    assert decoded(quote(value, safe="")) == value


def test_mail_and_phone_stand_in_no_path(server: Server) -> None:
    for ref in ("email:ann@example.test", "phone:%2B79990001122", "nonsense", "user_id:"):
        answer = server.get(f"/v1/customers/{ref}")
        assert (answer.status_code, problem_of(answer)["code"]) == (400, "reference_invalid")
        assert "ann" not in answer.text


def test_verbs_after_a_colon_are_routes_of_their_own(server: Server) -> None:
    answers: list[Any] = [
        server.http.post(
            "/v1/customers:lookup", json={"type": "user_id", "value": "x"}, headers=server.as_("agent")
        ),
        server.http.post("/v1/scores:batchGet", json={"customers": []}, headers=server.as_("agent")),
        server.http.post("/v1/set-aside/unknown:redrive", headers=server.as_("admin")),
    ]
    assert [answer.status_code for answer in answers] == [404, 200, 404]
    assert [problem_of(answers[0])["code"], problem_of(answers[2])["code"]] == [
        "customer_unknown",
        "set_aside_unknown",
    ]
