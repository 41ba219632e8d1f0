"""The frame of every page: headers, static files, preferences, and what is shown when something goes wrong."""

from __future__ import annotations

import gzip
import logging
import re
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tests.api.serving import Server, serving
from tests.desk.signed import a_server, a_session, sealer, signed_in, token_of, visitor, with_session
from touchbook.api.desk.assets import Assets
from touchbook.api.desk.pages import HEADERS, Desk, Visit, environment
from touchbook.api.desk.session import COOKIE, SESSION_SECONDS, Session
from touchbook.api.desk.visits import LONGEST_FORM, PREFERENCES
from touchbook.errors import CustomerUnknown, Overloaded
from touchbook.schemas.times import rfc3339
from touchbook.settings import Settings
from touchbook.wiring import now

pytestmark = pytest.mark.usefixtures("wednesday")

DESK = Path(str(files("touchbook.api.desk")))
STATIC = re.compile(r"/desk/static/[0-9a-f]{12}/")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SECRET = "what a customer said"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("pages"), desk_zone="Europe/Berlin") as running:
        yield running


@pytest.fixture(scope="module")
def failing(server: Server) -> Iterator[httpx.Client]:
    """A desk of which every page fails, and who is signed in there."""
    desk = Desk(server.book)

    async def fails(visit: Visit) -> Response:
        raise {
            "bug": ValueError(SECRET),
            "busy": Overloaded(),
            "gone": CustomerUnknown(),
            "here": HTTPException(404),
        }[visit.request.path_params["how"]]

    async def echoes(visit: Visit) -> Response:
        return Response(repr(dict(await visit.form())))

    app = Starlette(
        routes=[desk.route("/desk/fails/{how}", fails), desk.open_route("/desk/echo", echoes, ["POST"])]
    )
    with serving(app) as url, httpx.Client(base_url=url, headers={"Origin": url}) as client:
        client.cookies.set(COOKIE, sealer(server).seal(a_session(server)), path="/desk")
        yield client


def test_every_answer_carries_the_same_strict_headers(server: Server) -> None:
    nobody, agent = visitor(server), signed_in(server)
    style = STATIC.search(nobody.get("/desk/sign-in").text)
    assert style is not None
    answers = {
        "a page": nobody.get("/desk/sign-in"),
        "a page signed in": agent.get("/desk/scorecards"),
        "asked to sign in": nobody.get("/desk/scorecards"),
        "the way in": nobody.get("/"),
        "a refused key": nobody.post("/desk/sign-in", data={"key": "wrong"}),
        "a foreign act": nobody.post("/desk/sign-in", headers={"Origin": "null"}),
        "an act without token": agent.post("/desk/sign-out"),
        "a fragment signed out": nobody.get("/desk/scorecards", headers={"HX-Request": "true"}),
        "nothing": agent.get("/desk/nothing"),
        "no act": agent.delete("/desk/nothing", headers={"Content-Type": "x/y"}),
        "a preference": nobody.post("/desk/preferences", data={"theme": "dark"}),
        "no form": agent.post("/desk/sign-out", content=b"{}", headers={"Content-Type": "application/json"}),
        "a static file": nobody.get(f"{style[0]}base.css"),
        "no static file": nobody.get(f"{style[0]}nothing.css"),
    }
    for name, answer in answers.items():
        for header, value in HEADERS.items():
            if not (header == "Cache-Control" and name == "a static file"):
                assert answer.headers.get(header) == value, (name, header)
    assert [one.status_code for one in answers.values()] == [
        200, 200, 303, 303, 403, 403, 403, 401, 404, 404, 303, 415, 200, 404,
    ]  # fmt: skip
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}


def test_no_template_and_no_script_holds_what_the_policy_forbids() -> None:
    templates = {path: path.read_text() for path in (DESK / "templates").rglob("*.html")}
    assert len(templates) > 5
    for path, text in templates.items():
        assert not re.search(r"\sstyle\s*=", text), path
        assert not re.search(r"<style\b|<script(?![^>]*\bsrc=)|\son[a-z]+\s*=|javascript:", text), path
        assert not re.search(r"\|\s*safe\b|autoescape false", text), path
        assert not re.search(r"""(?:src|href|action)=["']https?:|//""", re.sub(r"\{#.*?#\}", "", text)), path
    for path in (DESK / "static").glob("*.js"):
        text = path.read_text()
        assert not re.search(r"\beval\(|new Function|(?:inner|outer)HTML\s*=[^=]", text), path
        assert not re.search(r"https?:(?!//www\.w3\.org/2000/svg)", text), path
        assert not re.search(r"insertAdjacentHTML|document\.write|\.style\b", text), path
    for path in (DESK / "static").glob("*.css"):
        assert not re.search(r"@import|url\(", path.read_text()), path


def test_static_files_are_kept_for_good_under_their_hash_and_asked_for_again_without(server: Server) -> None:
    client = visitor(server)
    page = client.get("/desk/sign-in").text
    path = re.findall(r'href="([^"]+base\.css)"', page)[0]
    assert STATIC.match(path)

    kept = client.get(path)
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kept.headers["content-type"] == "text/css; charset=utf-8"
    assert kept.content == (DESK / "static" / "base.css").read_bytes()
    assert kept.headers["content-encoding"] == "gzip"
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as raw:
        assert gzip.decompress(b"".join(raw.iter_raw())) == kept.content
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert plain.content == kept.content
    assert "content-encoding" not in plain.headers

    again = client.get(path, headers={"If-None-Match": kept.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for other in ("/desk/static/base.css", "/desk/static/0123456789ab/base.css"):
        answer = client.get(other)
        assert answer.content == kept.content
        assert answer.headers["cache-control"] == "no-cache"
    mark = client.get(f"{STATIC.match(path)[0]}mark.svg")  # type: ignore[index]
    assert mark.headers["content-type"] == "image/svg+xml"


def test_every_file_that_a_template_or_a_module_names_is_there() -> None:
    served = Assets().files
    for template in (DESK / "templates").rglob("*.html"):
        named = re.findall(r"""\bstatic\(["']([^"']+)["']\)""", template.read_text())
        assert set(named) <= served.keys(), template
    for module in (DESK / "static").glob("*.js"):
        imported = re.findall(r"""\b(?:from|import)\s*\(?["']\./([^"']+)["']""", module.read_text())
        assert set(imported) <= served.keys(), module


@pytest.mark.parametrize(
    "path",
    [
        "vendor/vendor.lock.json",
        "vendor/htmx/LICENSE",
        "../templates/layout.html",
        "..%2Ftemplates%2Flayout.html",
        "%2e%2e/pages.py",
        "base.css/",
        "",
        "/etc/passwd",
    ],
)
def test_nothing_else_is_served(server: Server, path: str) -> None:
    assert visitor(server).get(f"/desk/static/{path}").status_code == 404


def test_an_agent_chooses_his_language_his_theme_and_single_keys(server: Server) -> None:
    client = visitor(server, **{"Accept-Language": "de, ru;q=0.8, en;q=0.5"})
    page = client.get("/desk/sign-in").text
    assert '<html lang="ru"' in page
    assert "Ваш ключ агента" in page
    assert "data-theme" not in page

    answer = client.post("/desk/preferences", data={"language": "en", "next": "/desk/sign-in?next=/desk/x"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk/sign-in?next=/desk/x")
    client.post("/desk/preferences", data={"theme": "dark"})
    page = client.get("/desk/sign-in").text
    assert '<html lang="en" data-theme="dark"' in page
    assert "Your agent key" in page

    quiet = client.post("/desk/preferences", data={"keys": "off"}, headers={"HX-Request": "true"})
    assert (quiet.status_code, quiet.content) == (204, b"")
    client.post("/desk/sign-in", data={"key": server.key("agent")})
    page = client.get("/desk/scorecards").text
    assert 'data-keys="off"' in page
    assert '<html lang="en" data-theme="dark"' in page
    client.post("/desk/preferences", data={"keys": ["off", "on"], "theme": "light", "language": "ru"})
    page = client.get("/desk/scorecards").text
    assert 'data-keys="on"' in page
    assert '<html lang="ru" data-theme="light"' in page


def test_what_cannot_be_chosen_changes_nothing(server: Server) -> None:
    client = visitor(server)
    for fields in ({"language": "xx"}, {"theme": '"><script>'}, {"keys": "maybe"}, {}):
        client.post("/desk/preferences", data=fields)
        page = client.get("/desk/sign-in").text
        assert '<html lang="en" data-now' in page
    for cookie in ("language=xx&theme=red", "%ff=%fe", "=" * 3_000, "\u00ff"):
        brought = {b"Cookie": f"{PREFERENCES}={cookie}".encode("latin-1")}
        assert visitor(server).get("/desk/sign-in", headers=brought).status_code == 200


def test_a_page_knows_the_desks_zone_and_the_servers_time(server: Server) -> None:
    page = signed_in(server).get("/desk/scorecards").text
    assert 'data-zone="Europe/Berlin"' in page
    assert re.search(r'data-now="\d{13}"', page)


@pytest.mark.parametrize(
    "zone", ["Berlin", "Europe/Nowhere", "../../etc/passwd", "", "/etc/localtime", "Europe"]
)
def test_a_zone_that_nobody_knows_is_refused_at_the_start(zone: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a time zone, as Europe/Berlin"):
        Settings(desk_zone=zone)


def test_an_icon_that_the_sprite_lacks_is_a_circle() -> None:
    macros = environment("en").globals
    assert macros["icon"]("mail").endswith('icons.svg#i-mail"/></svg>')
    assert macros["icon"]("no-such-icon").endswith('icons.svg#i-circle"/></svg>')


def test_a_name_is_text_wherever_it_stands(server: Server) -> None:
    key, _ = server.book.control.create_key("agent", "support", name="<script>alert(1)</script>\"'&")
    page = with_session(server, a_session(server, key_id=key.id)).get("/desk/scorecards").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;" in page
    assert "alert(1)</script>" not in page


def test_an_admin_sees_the_overview_and_the_scorecards_and_no_customer(server: Server) -> None:
    admin = signed_in(server, "admin")
    page = admin.get("/desk/scorecards")
    assert page.status_code == 200
    assert 'id="find"' not in page.text
    refused = admin.post("/desk/find", data={"q": "x", "csrf": token_of(admin)})
    assert refused.status_code == 403
    assert "role agent" in refused.text


def test_a_bug_is_told_with_a_number_and_logged_with_its_place_but_without_its_words(
    failing: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="touchbook.api"):
        answer = failing.get("/desk/fails/bug")
    assert answer.status_code == 500
    number = re.search(r"<code>([0-9a-f]{16})</code>", answer.text)
    assert number is not None
    assert number[1] in caplog.text
    assert "ValueError" in caplog.text
    assert SECRET not in caplog.text + answer.text
    assert answer.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]


def test_what_is_not_there_and_what_is_busy_are_told_in_the_agents_language(failing: httpx.Client) -> None:
    for how, status, english, russian in (
        ("gone", 404, "There is nothing here", "Здесь ничего нет"),
        ("here", 404, "There is nothing here", "Здесь ничего нет"),
        ("busy", 503, "busy", "Сервер занят"),
    ):
        for language, words in (("en", english), ("ru", russian)):
            answer = failing.get(f"/desk/fails/{how}", headers={"Accept-Language": language})
            assert answer.status_code == status
            assert words in answer.text
            assert '<header class="top">' in answer.text


def test_a_fragment_that_fails_tells_so_above_the_page_and_leaves_the_rest_as_it_is(
    failing: httpx.Client,
) -> None:
    answer = failing.get("/desk/fails/gone", headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert (answer.headers["hx-retarget"], answer.headers["hx-reswap"]) == ("#told", "innerHTML")
    assert answer.text.startswith('<p class="told">')
    assert "<html" not in answer.text


def test_a_request_is_logged_by_its_route_and_its_agents_source_and_never_by_its_address(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    agent = signed_in(server)
    with caplog.at_level(logging.INFO, logger="touchbook.access"):
        agent.get("/desk/scorecards?score=trust")
        agent.get("/desk/nobody@example.test")
        visitor(server).post("/desk/sign-in", data={"key": "tb_agent_secret"})
        until = time.monotonic() + 30
        while len(caplog.records) < 3 and time.monotonic() < until:  # a line is written after its answer
            time.sleep(0.01)
    lines = [re.sub(r" [\d.]+ ms", "", record.getMessage()) for record in caplog.records]
    assert sorted(lines) == [  # of two connections: in either order
        "GET /desk/scorecards 200 web-shop",
        "GET /desk/{path:path} 404 web-shop",
        "POST /desk/sign-in 403 unknown",
    ]


def test_a_stream_learns_that_its_session_has_ended(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = server.book.control.create_key("agent", "support")
    at = now()
    monkeypatch.setattr(server.book, "now", lambda: at)
    desk = Desk(server.book)
    scope = {"type": "http", "method": "GET", "path": "/desk/live", "query_string": b"", "headers": []}
    cookie = f"{COOKIE}={desk.sessions.seal(Session.begin(key, at))}"
    visit = desk.visit(Request({**scope, "headers": [(b"cookie", cookie.encode())]}))
    assert visit.signed_in
    at += SESSION_SECONDS * 1000
    assert not visit.signed_in
    at -= 1
    assert visit.signed_in
    server.book.control.revoke_key(key.id)
    assert not visit.signed_in
    assert not desk.visit(Request(scope)).signed_in


def test_pages_and_doors_go_by_the_clock_of_the_book(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, at = signed_in(server), now() + 5 * 86_400_000
    headers = {
        "Authorization": f"Bearer {server.key('publish')}",
        "Content-Type": "application/cloudevents+json",
    }
    event = {
        "specversion": "1.0", "id": "ahead", "source": "web-shop", "type": "page_viewed", "time": rfc3339(at),
        "data": {"name": "Home", "identifiers": {"user_id": "ahead"}},
    }  # fmt: skip
    assert "24 hours ahead" in server.http.post("/v1/events", json=event, headers=headers).json()["detail"]
    monkeypatch.setattr(server.book, "now", lambda: at)
    answer = server.http.post("/v1/events", json={**event, "id": "now"}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert agent.get("/desk/overview").status_code == 303, "his session ended days ago"


@pytest.mark.parametrize("host", ["[", "]:x", "a b", "elsewhere.example.test", "[::1]:99999999"])
def test_whatever_the_request_calls_the_host_the_page_is_the_same(server: Server, host: str) -> None:
    agent = signed_in(server)
    for client, path, status in (
        (visitor(server), "/desk/scorecards", 303),
        (agent, "/desk/scorecards", 200),
    ):
        answer = client.get(path, headers={"Host": host, "HX-Current-URL": f"http://{host}/desk/x"})
        assert answer.status_code == status
        assert "elsewhere" not in answer.headers.get("location", "") + answer.text
    fragment = {"Host": host, "HX-Request": "true", "HX-Current-URL": f"http://{host}/desk/x"}
    lost = visitor(server).get("/desk/scorecards", headers=fragment)
    assert (lost.status_code, lost.headers["hx-redirect"]) == (401, "/desk/sign-in?next=%2Fdesk%2Fx")


def test_a_form_is_read_within_bounds(failing: httpx.Client) -> None:
    read = failing.post("/desk/echo", data={"a": ["1", "ü"], "b": ""})
    assert read.text == "{'a': ['1', 'ü'], 'b': ['']}"
    for body, headers, status in (
        (b"a=" + b"x" * LONGEST_FORM, FORM, 413),
        (b"a=%ff", FORM, 400),
        (b"\xff=1", FORM, 400),
        (b"&".join(b"a=1" for _ in range(1_001)), FORM, 400),
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"x", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ):
        assert failing.post("/desk/echo", content=body, headers=headers).status_code == status
