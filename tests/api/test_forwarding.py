"""What is true of a request that another process answers."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from httpx import ASGITransport
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.books import a_book
from touchbook import wiring
from touchbook.api.app import create_app
from touchbook.api.forwarding import HANDED_ON, HandedOn
from touchbook.api.problems import Failures
from touchbook.cli.serve import running
from touchbook.errors import NoDecider
from touchbook.settings import Settings, settings_from
from touchbook.wiring import open_book

PATH = "/v1/contact:reserve"
SETTINGS: Settings = settings_from(max_request=1_000)
SECRET = "Bearer tb_channel_secret"


@dataclass
class Decider:
    """A process that decides, and keeps what it was asked."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.asked.append((str(request.url), dict(request.headers), await request.body()))
        answer = JSONResponse({"decision": "reserved"}, self.status, self.headers)
        await answer(scope, receive, send)


async def here(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(b"decided here")(scope, receive, send)


def nobody() -> str | None:
    raise NoDecider("no process decides about contacts at this moment")


def posted(
    elsewhere: Callable[[], str | None],
    transport: httpx.AsyncBaseTransport | None = None,
    body: bytes = b'{"ref": "x"}',
    **headers: str,
) -> httpx.Response:
    """What a caller is answered by a replica that knows where it is decided."""
    replica: ASGIApp = Failures(HandedOn(here, elsewhere, SETTINGS, transport))

    async def post() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(replica), base_url="http://replica"
        ) as http:
            said = {"Authorization": SECRET, **{name.replace("_", "-"): one for name, one in headers.items()}}
            return await http.post(PATH, content=body, headers=said)

    return asyncio.run(post())


def at(decider: Decider) -> tuple[Callable[[], str | None], httpx.ASGITransport]:
    return (lambda: "http://decider:8750"), httpx.ASGITransport(decider)


def test_what_is_decided_here_is_not_handed_on() -> None:
    assert posted(lambda: None).content == b"decided here"


def test_a_request_is_handed_on_as_it_came_with_the_callers_own_key_and_nothing_else_of_his() -> None:
    decider = Decider()
    answer = posted(
        *at(decider), content_type="application/json", cookie="desk=1", x_forwarded_for="10.0.0.1"
    )
    assert answer.json() == {"decision": "reserved"}
    [(url, headers, body)] = decider.asked
    assert (url, body) == (f"http://decider:8750{PATH}", b'{"ref": "x"}')
    assert headers["authorization"] == SECRET
    assert headers["content-type"] == "application/json"
    assert not {"cookie", "x-forwarded-for"} & headers.keys()


def test_a_packed_body_is_handed_on_unpacked_and_one_that_is_too_large_is_not_handed_on() -> None:
    decider = Decider()
    posted(*at(decider), body=gzip.compress(b'{"ref": "y"}'), content_encoding="gzip")
    [(_, headers, body)] = decider.asked
    assert body == b'{"ref": "y"}'
    assert "content-encoding" not in headers
    assert posted(*at(decider), body=b"x" * 1_001).status_code == 413
    assert posted(*at(decider), body=gzip.compress(b"x" * 1_001), content_encoding="gzip").status_code == 413
    assert len(decider.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 422, 429, 503])
def test_a_refusal_comes_back_as_it_was_said(status: int) -> None:
    answer = posted(*at(Decider(status, {"Retry-After": "7", "WWW-Authenticate": "Bearer", "X-Inner": "no"})))
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "x-inner" not in answer.headers


def test_what_was_handed_on_is_not_handed_on_again() -> None:
    decider = Decider()
    elsewhere, transport = at(decider)
    other_replica = Failures(HandedOn(here, elsewhere, SETTINGS, transport))
    answer = posted(lambda: "http://other", httpx.ASGITransport(other_replica))
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
        503,
        "no_decider",
        "2",
    )
    assert decider.asked == []


def test_the_mark_lets_nobody_do_more_whoever_sets_it() -> None:
    decider = Decider()
    marked = {HANDED_ON: "1"}
    assert posted(lambda: None, **marked).content == b"decided here"
    assert posted(*at(decider), **marked).status_code == 503
    assert posted(nobody, **marked).status_code == 503
    assert decider.asked == []


def test_where_nobody_decides_it_says_so_and_when_to_come_back() -> None:
    answer = posted(nobody)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "send again with the same ids" in answer.json()["message"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (httpx.ConnectError("refused"), "cannot be reached"),
        (httpx.ConnectTimeout("slow"), "cannot be reached"),
        (httpx.ReadTimeout("slow"), "not known what it decided"),
        (httpx.RemoteProtocolError("Server disconnected"), "not known what it decided"),
    ],
)
def test_a_process_that_does_not_answer_is_told_without_a_word_of_what_was_sent(
    error: httpx.HTTPError, says: str
) -> None:
    def fails(request: httpx.Request) -> httpx.Response:
        raise error

    answer = posted(lambda: "http://decider:8750", httpx.MockTransport(fails))
    assert (answer.status_code, answer.json()["code"]) == (503, "no_decider")
    assert says in answer.json()["message"]
    assert "8750" not in answer.text
    assert "tb_channel" not in answer.text


def test_nothing_around_the_process_decides_where_requests_go(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://evil.example.test:1")

    async def proxies() -> object:
        client = HandedOn(here, nobody, SETTINGS)._client_here()
        return client._mounts

    assert asyncio.run(proxies()) == {}


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x:1",
        "http://",
        "http://user:secret@x:1",
        "http://x:1/path",
        "x:8750",
        "http://x:1?a",
        "http://[::1",
    ],
)
def test_a_url_to_reach_a_replica_at_is_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ValueError, match="advertise"):
        settings_from(advertise=url)
    for fine in ("http://10.0.0.7:8750", "https://touchbook-1.example.test", "http://[::1]:8750"):
        assert settings_from(advertise=fine).advertise == fine


def test_connections_to_the_process_that_decides_end_with_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the three routes has its own; closed again, or where it handed nothing on, nothing happens."""
    made: list[httpx.AsyncClient] = []

    class Known(httpx.AsyncClient):
        def __init__(self, **given: object) -> None:
            made.append(self)
            super().__init__(**given)  # type: ignore[arg-type]

    monkeypatch.setattr("touchbook.api.forwarding.httpx.AsyncClient", Known)
    with a_book(tmp_path) as book:
        app = create_app(replace(book, contact_elsewhere=lambda: "http://127.0.0.1:1"))
        key = book.control.create_key("channel", "shop", "email")[1]

        async def life() -> None:
            async with app.router.lifespan_context(app):
                client = ASGITransport(app)
                request = httpx.Request(
                    "POST", f"http://here{PATH}", content=b"{}", headers={"Authorization": f"Bearer {key}"}
                )
                answer = await client.handle_async_request(request)
                assert answer.status_code == 503
                assert [one.is_closed for one in made] == [False]
            assert [one.is_closed for one in made] == [True]

        asyncio.run(life())


def test_a_server_that_stops_ends_what_the_application_holds(tmp_path: Path) -> None:
    ended: list[str] = []

    async def aclose(self: HandedOn) -> None:
        ended.append("closed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HandedOn, "aclose", aclose)
        patch.setattr(
            wiring, "open_book", lambda settings: replace(open_book(settings), contact_elsewhere=nobody)
        )
        with running(settings_from(data=tmp_path, port=0, clock=False)):
            assert ended == []
    assert ended != []
