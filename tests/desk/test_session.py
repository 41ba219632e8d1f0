"""Who gets in, how long he stays, and what is not done for whom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Serve
from tests.api.serving import Server
from tests.desk.signed import a_server, a_session, sealer, signed_in, token_of, visitor, with_session
from touchbook.api.desk.session import COOKIE, MOST_CLIENTS, SESSION_SECONDS, TRIES, Session, Sessions, Tries
from touchbook.errors import Refused
from touchbook.sealing import IdentityKey
from touchbook.settings import Settings
from touchbook.wiring import open_book

NOWHERE = "/desk/no-such-page"
"""Answers 404 to who is signed in, as to everybody; an act that is always there stands beside it."""
SIGN_OUT = "/desk/sign-out"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("session")) as running:
        yield running


def gets_in(client: httpx.Client) -> bool:
    """Whether a page of the desk is shown to him."""
    answer = client.get("/desk/scorecards")
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


def test_an_agents_key_opens_the_desk_and_the_cookie_is_kept_from_scripts_and_other_sites(
    server: Server,
) -> None:
    client = visitor(server)
    assert not gets_in(client)

    answer = client.post(
        "/desk/sign-in", data={"key": f" {server.key('agent')}\n", "next": "/desk/scorecards"}
    )

    assert (answer.status_code, answer.headers["location"]) == (303, "/desk/scorecards")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/desk", f"max-age={SESSION_SECONDS}"} <= parts
    assert "secure" not in parts
    assert gets_in(client)
    assert server.key("agent") not in client.get("/desk/scorecards").text


def test_over_https_the_cookie_stays_there(server: Server) -> None:
    client = visitor(server, **{"X-Forwarded-Proto": "https"})
    answer = client.post("/desk/sign-in", data={"key": server.key("agent")})
    assert "secure" in {part.strip().lower() for part in answer.headers["set-cookie"].split(";")}


@pytest.mark.parametrize(
    ("role", "says"),
    [("publish", "may publish"), ("channel", "may publish"), ("read-scores", "may read scores")],
)
def test_a_key_of_another_role_is_told_what_it_is_for(server: Server, role: str, says: str) -> None:
    answer = visitor(server).post("/desk/sign-in", data={"key": server.key(role)})
    assert answer.status_code == 403
    assert says in answer.text
    assert "needs a key of role agent" in answer.text
    assert "set-cookie" not in answer.headers
    assert server.key(role) not in answer.text


def test_an_unknown_key_opens_nothing_and_after_ten_tries_none_does_for_a_minute(serve: Serve) -> None:
    server = serve()
    client = visitor(server)
    for _ in range(TRIES):
        answer = client.post("/desk/sign-in", data={"key": "tb_agent_unknown"})
        assert answer.status_code == 403
        assert "No such key" in answer.text
    answer = client.post("/desk/sign-in", data={"key": server.key("agent")})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert "Too many wrong keys" in answer.text
    assert "set-cookie" not in answer.headers


def test_tries_are_counted_for_each_client_and_forgotten_after_a_minute() -> None:
    now = 0.0
    tries = Tries(lambda: now)
    for _ in range(TRIES):
        tries.check("192.0.2.1")
        tries.failed("192.0.2.1")
    with pytest.raises(Refused):
        tries.check("192.0.2.1")
    tries.check("192.0.2.2")
    now = 60.0
    tries.check("192.0.2.1")


def test_a_network_of_ipv6_is_one_client_whatever_address_it_takes() -> None:
    tries = Tries(lambda: 0.0)
    for number in range(TRIES):
        tries.failed(f"2001:db8::{number:x}")
    with pytest.raises(Refused):
        tries.check("2001:db8::ffff")
    tries.check("2001:db8:0:1::1")


def test_however_many_clients_fail_only_so_many_are_remembered() -> None:
    tries = Tries(lambda: 0.0)
    for number in range(MOST_CLIENTS + 10):
        tries.failed(f"client {number}")
    assert len(tries._failed) == MOST_CLIENTS


def test_a_session_that_was_changed_sealed_elsewhere_or_made_up_is_none(server: Server) -> None:
    cookie = sealer(server).seal(a_session(server))
    other = Sessions(IdentityKey(b"another keyring" * 3), server.book.control).seal(a_session(server))
    middle = len(cookie) // 2
    changed = cookie[:middle] + ("A" if cookie[middle] != "A" else "B") + cookie[middle + 1 :]
    for broken in (changed, other, cookie[:-4], cookie[:10], "", "no session", "ÿ" * 80, "=" * 5):
        brought = {b"Cookie": f"{COOKIE}={broken}".encode("latin-1")}
        answer = visitor(server).get("/desk/scorecards", headers=brought)
        assert (answer.status_code, answer.headers.get("location")) == (
            303,
            "/desk/sign-in?next=%2Fdesk%2Fscorecards",
        ), broken


def test_a_session_ends_after_twelve_hours(server: Server) -> None:
    assert gets_in(with_session(server, a_session(server, hours_ago=11.9)))
    assert not gets_in(with_session(server, a_session(server, hours_ago=12.1)))
    assert not gets_in(with_session(server, a_session(server, hours_ago=-1)))


def test_revoking_the_key_ends_its_sessions_at_once(server: Server) -> None:
    key, secret = server.book.control.create_key("agent", "support")
    client = visitor(server)
    client.post("/desk/sign-in", data={"key": secret})
    assert gets_in(client)
    server.book.control.revoke_key(key.id)
    assert not gets_in(client)


def test_a_session_sealed_by_one_process_is_opened_by_another_over_the_same_keyring(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with_one, with_other = open_book(settings), open_book(settings, read_only=True)
    try:
        key, _ = with_one.control.create_key("agent", "support")
        one = Sessions(with_one.keyring.identity_key, with_one.control)
        other = Sessions(with_other.keyring.identity_key, with_other.control)
        session = Session.begin(key, 1_000)
        assert other.open(one.seal(session), session.issued) == (session, key)
    finally:
        with_other.close()
        with_one.close()


def test_signing_out_takes_the_cookie_away(server: Server) -> None:
    client = signed_in(server)
    answer = client.post(SIGN_OUT, data={"csrf": token_of(client)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk/sign-in")
    assert not gets_in(client)


def test_an_act_needs_the_sessions_own_token(server: Server) -> None:
    client, other = signed_in(server), signed_in(server)
    for data, headers in (
        ({}, {}),
        ({"csrf": ""}, {}),
        ({"csrf": "wrong"}, {}),
        ({"csrf": token_of(other)}, {}),
        ({"csrf": token_of(client)}, {"X-CSRF-Token": "wrong"}),
        ({}, {"X-CSRF-Token": token_of(client)[:-1]}),
    ):
        answer = client.post(SIGN_OUT, data=data, headers=headers)
        assert answer.status_code == 403
        assert "Load it anew" in answer.text
    assert gets_in(client)
    assert client.post(SIGN_OUT, headers={"X-CSRF-Token": token_of(client)}).status_code == 303


def test_an_act_from_another_page_is_not_done_even_with_the_token(server: Server) -> None:
    client = signed_in(server)
    token = {"csrf": token_of(client)}
    ours = client.headers["Origin"]
    for headers in (
        {"Origin": "https://elsewhere.example.test"},
        {"Origin": "null"},
        {"Origin": ours + "0"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Origin": ours, "Sec-Fetch-Site": "cross-site"},
        {"Origin": ours, "Sec-Fetch-Site": "same-site"},
        {"Origin": ours, "Sec-Fetch-Site": "none"},
    ):
        for path in (SIGN_OUT, "/desk/preferences", "/desk/sign-in"):
            answer = client.post(path, data={**token, "key": server.key("agent")}, headers=headers)
            assert answer.status_code == 403, (path, headers)
            assert "Another page sent this" in answer.text
            assert "set-cookie" not in answer.headers
    del client.headers["Origin"]
    assert client.post(SIGN_OUT, data=token).status_code == 403
    assert gets_in(client)


def test_who_is_not_signed_in_is_asked_for_his_key_and_comes_back_to_where_he_was(server: Server) -> None:
    client = visitor(server)
    page = client.get("/desk/scorecards?score=trust")
    assert (page.status_code, page.headers["location"]) == (
        303,
        "/desk/sign-in?next=%2Fdesk%2Fscorecards%3Fscore%3Dtrust",
    )
    asked = client.get(page.headers["location"])
    assert '<input type="hidden" name="next" value="/desk/scorecards?score=trust">' in asked.text

    url = client.headers["Origin"] + "/desk/scorecards?score=trust"
    for answer in (
        client.get("/desk/scorecards", headers={"HX-Request": "true", "HX-Current-URL": url}),
        client.post(SIGN_OUT, headers={"HX-Request": "true", "HX-Current-URL": url}),
    ):
        assert answer.status_code == 401
        assert answer.headers["hx-redirect"] == "/desk/sign-in?next=%2Fdesk%2Fscorecards%3Fscore%3Dtrust"
        assert "You are signed out" in answer.text
    assert client.get("/desk/scorecards", headers={"Sec-Fetch-Mode": "cors"}).status_code == 401


@pytest.mark.parametrize(
    "next",
    [
        "https://elsewhere.example.test/desk/",
        "//elsewhere.example.test/desk/",
        "/\\elsewhere.example.test",
        "/desk/\\elsewhere",
        "/desk/../../elsewhere",
        "/desk/%0d%0aSet-Cookie:x=y\r\nX: y",
        "javascript:alert(1)",
        "desk/overview",
        "/v1/keys",
        "/deskelsewhere",
        '/desk/"><script>',
        "",
    ],
)
def test_no_address_sends_him_out_of_the_desk(server: Server, next: str) -> None:
    client = visitor(server)
    asked = client.get("/desk/sign-in", params={"next": next})
    assert re.findall(r'name="next" value="([^"]*)"', asked.text)[0] == "/desk/overview"
    answer = client.post("/desk/sign-in", data={"key": server.key("agent"), "next": next})
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk/overview")
    preferred = client.post("/desk/preferences", data={"theme": "dark", "next": next})
    assert (preferred.status_code, preferred.headers["location"]) == (303, "/desk/overview")
    url = {"HX-Request": "true", "HX-Current-URL": f"https://elsewhere.example.test{next[:1]}x"}
    assert visitor(server).post(SIGN_OUT, headers=url).headers["hx-redirect"].endswith("overview")


def test_signing_in_and_out_stands_in_the_audit_trail_under_the_agents_name(server: Server) -> None:
    key, secret = server.book.control.create_key("agent", "support", name="Ines Costa")
    client = visitor(server)
    client.post("/desk/sign-in", data={"key": secret})
    client.post(SIGN_OUT, data={"csrf": token_of(client)})
    client.post("/desk/sign-in", data={"key": "wrong"})

    entries = server.book.audit.read()[-2:]
    assert [(entry.who, entry.name, entry.act, entry.customer) for entry in entries] == [
        (key.id, "Ines Costa", "signed_in", None),
        (key.id, "Ines Costa", "signed_out", None),
    ]


def test_a_key_without_a_name_goes_by_its_source(server: Server) -> None:
    client = signed_in(server)
    assert ">web-shop</span>" in client.get(NOWHERE).text
