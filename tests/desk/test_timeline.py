"""The timeline of the customer page: every touchpoint once, in words, however one comes to it."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.serving import Server
from tests.desk.acting import acting, happened, recorded, words_of
from tests.desk.signed import with_marta

pytestmark = pytest.mark.usefixtures("wednesday")

ARTICLE = re.compile(
    r'<article class="([^"]*)" id="tp-(\w+)" data-keys="([^"]*)" data-at="(-?\d+)".*?</article>', re.S
)
CLOCK = re.compile(r'(?<=role="timer")[^<]*')
"""What goes on between two looks."""
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">"\'{{ 7*7 }}'
EVERYTHING = {"f": "1"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with with_marta(tmp_path_factory.mktemp("timeline") / "book", desk_zone="Asia/Tokyo") as running:
        yield running


@pytest.fixture(scope="module")
def agent(server: Server) -> Iterator[httpx.Client]:
    with acting(server) as client:
        yield client


def path_of(server: Server, ref: str = "user_id:84213") -> str:
    return f"/desk/customers/{server.get(f'/v1/customers/{ref}').json()['customer']}"


def run(agent: httpx.Client, path: str, **query: Any) -> str:
    answer = agent.get(f"{path}/timeline", params=query)
    assert answer.status_code == 200, answer.text
    return answer.text


def keys_in(page: str) -> list[str]:
    return [key for found in ARTICLE.finditer(page) for key in found[3].split()]


def articles(page: str) -> list[str]:
    return [found[0] for found in ARTICLE.finditer(page)]


def article(page: str, headline: str) -> str:
    return next(one for one in articles(page) if headline in words_of(one))


def cursor(page: str, which: str) -> str:
    found = re.search(rf'data-{which}="([^"]*)"', page)
    assert found is not None
    return found[1]


def all_items(server: Server, ref: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = server.get(
            f"/v1/customers/{ref}/timeline",
            params={"limit": 500, "cursor": after} if after else {"limit": 500},
        ).json()
        items, after = items + page["items"], page["next"]
    return items


def test_down_and_up_again_and_from_any_day_every_touchpoint_is_there_once(
    server: Server, agent: httpx.Client
) -> None:
    path, items = path_of(server), all_items(server, "user_id:84213")
    page = run(agent, path, **EVERYTHING)
    down, pages = keys_in(page), 1
    while below := cursor(page, "older"):
        page = run(agent, path, **EVERYTHING, before=below)
        down, pages = down + keys_in(page), pages + 1
    assert pages > 2
    assert sorted(down) == sorted(item["key"] for item in items)
    moments = [int(found[4]) for found in ARTICLE.finditer(page)]
    assert all(later >= earlier for later, earlier in pairwise(moments))

    up = keys_in(page)
    while above := cursor(page, "newer"):
        page = run(agent, path, **EVERYTHING, above=above)
        up = keys_in(page) + up
    assert sorted(up) == sorted(down)

    middle = items[len(items) // 2]
    jumped = run(agent, path, **EVERYTHING, at=middle["key"])
    assert middle["key"] in keys_in(jumped)
    assert cursor(jumped, "newer")
    assert keys_in(run(agent, path, **EVERYTHING, date=middle["occurred_at"][:10]))
    newest = run(agent, path, **EVERYTHING, date="2100-01-01")
    assert keys_in(newest) == keys_in(run(agent, path, **EVERYTHING))


def test_filters_let_pass_what_they_say_and_a_wrong_one_names_itself(
    server: Server, agent: httpx.Client
) -> None:
    path, items = path_of(server), {one["key"]: one for one in all_items(server, "user_id:84213")}

    def told(**query: Any) -> list[dict[str, Any]]:
        found = [items[key] for key in keys_in(run(agent, path, f="1", **query))]
        assert found, query
        return found

    assert {one["channel"] for one in told(channel=["web_chat", "email"])} == {"web_chat", "email"}
    assert {one["family"] for one in told(family="feedback")} == {"feedback"}
    assert {one["thread"] for one in told(thread="C-2207")} == {"C-2207"}
    assert {(one["actor"] or {}).get("kind") for one in told(actor="bot")} == {"bot"}
    assert all("lamp" in json.dumps(one).lower() for one in told(text="LAMP"))
    assert {"complaint_raised", "survey_answered"} <= {one["type"] for one in told(mood="negative")}
    assert min(one["occurred_at"] for one in told(window="30")) > min(
        one["occurred_at"] for one in items.values()
    )
    assert "page_viewed" in {one["type"] for one in told()}
    assert "page_viewed" not in {one["type"] for one in told(noise="hide")}
    assert "page_viewed" not in {items[key]["type"] for key in keys_in(run(agent, path))}, "by default"

    count = agent.get(f"{path}/count", params={"f": "1", "family": "feedback"}).text
    assert count == f"{sum(one['family'] == 'feedback' for one in items.values())} of {len(items)}"
    uncounted = agent.get(f"{path}/count", params={"f": "1", "mood": "negative"}).text
    assert uncounted == f"of {len(items)}", "not as if all of them passed"
    nothing = run(agent, path, f="1", text="nowhere to be found")
    assert "No touchpoint passes these filters." in nothing
    for name in ("family", "actor", "mood", "window", "date"):
        wrong = agent.get(f"{path}/timeline", params={name: "no-such-thing"})
        assert wrong.status_code == 422
        assert f"query {name}: expected" in html.unescape(wrong.text)
    assert agent.get(f"{path}/timeline", params={"before": "no cursor"}).status_code == 400


def test_days_are_those_of_the_desk_and_every_page_names_its_filters(
    server: Server, agent: httpx.Client
) -> None:
    path = path_of(server)
    for found in re.finditer(r'data-day="([\d-]+)".*?(?=<div class="day"|$)', run(agent, path, f="1"), re.S):
        for moment in re.findall(r'<time id="w-\w+" datetime="([^"]+)"', found[0]):
            assert moment.startswith(found[1])
            assert moment.endswith("+09:00")
    page = agent.get(
        path, params={"f": "1", "family": "feedback", "window": "90"}, headers={"Hx-Request": ""}
    ).text
    bar = page[page.index('id="sieve"') :]
    assert re.search(r'value="feedback" checked', bar)
    assert re.search(r'value="90" checked', bar)
    assert "family=feedback" in html.unescape(re.findall(r'data-live="([^"]*)"', page)[0])


def test_what_lies_together_is_told_together(server: Server, agent: httpx.Client) -> None:
    page = run(agent, path_of(server), f="1")
    chat = article(page, "Web chat, waits for a reply")
    assert "3 messages in 11 min" in words_of(chat)
    assert "Marta Hi, it is about order 10482 again." in words_of(chat)
    assert 'role="timer" data-since=' in chat
    mail = article(page, "E-mail: Where is my order?")
    assert "2 messages, never answered" in words_of(mail)
    assert "Order status ×4" in words_of(article(page, "7 page views"))
    bot = words_of(article(page, "Web chat with the bot, did not help"))
    assert "frustration, heard by the bot" in bot
    complaint = article(page, "Complaint: late delivery")
    assert "anger, tagged by Jonas Weber" in words_of(complaint)
    assert "Acknowledge" in complaint
    assert "<blockquote>The lamp was promised" in complaint
    assert "3 steps since" in words_of(article(page, "Case C-2207 moved to"))
    order = words_of(article(page, "Order 10482"))
    assert re.search(r"Placed .* Packed .* On its way .* Delivered missed", order)
    note = article(page, "A note by Jonas Weber")
    assert "inside only" in note
    assert " inner" in note.split(">", 1)[0]
    assert re.search(
        r"arrived 2 d 1\d h late", words_of(article(page, "Visited a shop")).replace("\xa0", " ")
    )
    assert "joined from anonymous" in article(page, "AR session")
    survey = article(page, "Survey answer")
    assert '<i class="hit">1</i>' in survey
    assert words_of(survey).count("Nobody answers. I asked three times.") == 1


def test_a_card_that_is_remembered_is_the_card_told_anew(serve: Any) -> None:
    server = serve(desk_zone="Asia/Tokyo")
    chat = {"thread": "t-1", "channel": "web_chat"}
    survey = happened("survey_answered", "ada", 0.4, survey="support", csat=2, comment="Slow")
    acts = [
        happened("page_viewed", "ada", 3, name="Home"),
        happened("order_placed", "ada", 2, order_id="O-1", total=100, currency="EUR"),
        happened("chat_message_sent", "ada", 1.5, text="Where is it?", **chat),
        happened("promise_made", "ada", 1.4, promise_id="P-1", what="deliver", due="2026-11-25T12:00:00Z"),
        survey,
        happened("promise_broken", "ada", 0.3, promise_id="P-1", order_id="O-1"),
        happened("feedback_acknowledged", "ada", 0.25, feedback_id=survey["id"]),
        happened("message_sent", "ada", 0.2, text="On its way", actor={"kind": "agent"}, **chat),
        happened("identified", "ada", 0.1, traits={"name": "Ada Vale"}),
        happened("chat_message_sent", "ada", 0.001, text="Thanks", thread="t-2", channel="web_chat"),
    ]
    with acting(server) as english, acting(server, **{"Accept-Language": "ru"}) as russian:
        for act in acts:
            recorded(server, act)
            server.settle()
            path = path_of(server, "user_id:ada")
            for client in (english, russian):
                shown = [run(client, path, **EVERYTHING) for _ in range(2)]
                server.book.customers.lately.clear()
                anew = run(client, path, **EVERYTHING)
                assert {CLOCK.sub("", one) for one in shown} == {CLOCK.sub("", anew)}


def test_the_same_in_russian(server: Server) -> None:
    with acting(server, **{"Accept-Language": "ru"}) as client:
        page = run(client, path_of(server, "user_id:84214"), f="1")
        told = words_of(page)
        assert re.search("Сегодня, [а-я]", told)
        for words in (
            "Чат, ждёт ответа",
            "3 сообщения за 11 мин",
            "7 просмотров страниц",
            "Сегодня",
            "без ответа",
        ):
            assert words in told, words


def test_what_opens_below_a_touchpoint_is_all_of_it_and_a_strangers_is_not_there(
    server: Server, agent: httpx.Client
) -> None:
    path = path_of(server)
    items = all_items(server, "user_id:84213")
    complaint = next(one for one in items if one["type"] == "complaint_raised")
    opened = agent.get(f"{path}/touchpoints/{complaint['key']}").text
    raw = json.loads(html.unescape(re.search(r"<pre[^>]*>(.*?)</pre>", opened, re.S)[1]))  # type: ignore[index]
    assert raw == {name: value for name, value in complaint.items() if name != "position"}
    related = sum(one["thread"] == complaint["thread"] for one in items) - 1
    assert f"{related} related" in words_of(opened)
    strangers = next(one["key"] for one in all_items(server, "user_id:84214"))
    for key in (strangers, "0" * 32, "nonsense"):
        assert agent.get(f"{path}/touchpoints/{key}").status_code == 404
        assert agent.get(f"{path}/touchpoints/{key}?at=5").status_code == 404


def test_an_erased_touchpoint_says_so_and_nothing_else(serve: Any) -> None:
    server = serve()
    recorded(server, happened("order_placed", "erin", 3, order_id="o-1"), happened("page_viewed", "frank", 1))
    server.http.post(
        "/v1/customers:erase",
        json={"ref": "user_id:erin"},
        headers=server.as_("admin"),
    ).raise_for_status()
    recorded(
        server,
        happened("note_added", "erin", 0, text="Came back"),
    )
    with acting(server) as client:
        page = run(client, path_of(server, "user_id:erin"), f="1")
        assert "o-1" not in page
        assert "Came back" in page


NEW_TYPE = """
import sys
from pathlib import Path
from types import MappingProxyType
import touchbook.schemas.touchpoints as touchpoints
from touchbook.schemas.details import Details, Text
from touchbook.schemas.display import Display, Wording

class KettleMended(Details):
    type = "kettle_mended"
    family = "service"
    default_direction = "out"
    display = Display(
        icon="package-check",
        tone="bad",
        en=Wording("Mended: {item}", "[{words|short}]"),
        ru=Wording("Починили: {item}", "[{words|short}]"),
    )
    item: Text
    words: Text | None = None

touchpoints.TYPES = MappingProxyType({**touchpoints.TYPES, "kettle_mended": KettleMended})

from tests.desk.acting import acting, happened, recorded
from tests.desk.signed import a_server

with a_server(Path(sys.argv[1])) as server:
    recorded(server, happened("kettle_mended", "grace", item="Blue kettle", words="A new lid"))
    path = "/desk/customers/" + server.get("/v1/customers/user_id:grace").json()["customer"]
    for language in ("en", "ru"):
        with acting(server, **{"Accept-Language": language}) as client:
            print(client.get(path + "/timeline?f=1").text)
"""


def test_a_new_type_looks_right_by_its_display_block_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", NEW_TYPE, str(tmp_path / "book")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    english, russian = articles(done.stdout)
    assert "Mended: Blue kettle A new lid" in words_of(english)
    assert "#i-package-check" in english
    assert '<span class="ic bad">' in english
    assert "Починили: Blue kettle" in words_of(russian)


def test_stored_markup_is_text_in_every_field(serve: Any) -> None:
    server = serve()
    actor = {"kind": "agent", "name": HOSTILE[:150], "team": HOSTILE[:150]}
    hostile = [
        happened("chat_message_sent", "mallory", 3, thread=HOSTILE[:150], text=HOSTILE, subject=HOSTILE),
        happened(
            "survey_answered", "mallory", 2, csat=2, comment=HOSTILE, survey=HOSTILE[:150], question=HOSTILE
        ),
        happened("page_viewed", "mallory", 2, name=HOSTILE, title=HOSTILE),
        happened("page_viewed", "mallory", 2.001, name=HOSTILE + "2"),
        happened(
            "order_stage_changed", "mallory", 1, order_id=HOSTILE[:90], stage=HOSTILE[:90], note=HOSTILE
        ),
        happened("order_placed", "mallory", 1.5, order_id=HOSTILE[:90]),
        happened("a_type_of_their_own", "mallory", 1, **{HOSTILE: HOSTILE}),
    ]
    recorded(server, *({**one, "id": f"hostile-{n}"} for n, one in enumerate(hostile)))
    note = happened("note_added", "mallory", 0.5, text=HOSTILE, actor=actor, thread=HOSTILE[:150])
    noted = server.event({**note, "id": "hostile-note"}, role="agent")
    assert noted.json().get("accepted") == 1, noted.text
    with acting(server) as client:
        path = path_of(server, "user_id:mallory")
        page = run(client, path, f="1")
        shown = [page, client.get(path, headers={"Hx-Request": ""}).text]
        shown += [client.get(f"{path}/touchpoints/{key}").text for key in keys_in(page)]
        assert html.escape("<script>alert(1)") in page
        for text in shown:
            assert "<script>alert" not in text
            assert "<img" not in text
            assert "49" not in re.sub(
                r"[0-9a-f]{32}|\d{6,}|\d\d:\d\d", "", words_of(text)
            ) or "{{ 7*7 }}" in html.unescape(text)
