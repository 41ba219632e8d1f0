"""The overview: who waits, what comes in, the tiers, the complaints, what was set aside, and how far behind it is."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.api.conftest import Serve
from tests.api.serving import Server, chat, track
from tests.desk.acting import acting, happened, recorded, words_of
from tests.desk.signed import a_server, signed_in
from touchbook.api.desk.bars import bar
from touchbook.api.desk.matters import HOUR, MINUTE
from touchbook.api.desk.overview import reason_words, redrive_all, request_of
from touchbook.api.desk.words import Words
from touchbook.policy import Policies
from touchbook.projections.overview import Waiting
from touchbook.schemas.touchpoint import Identifier

pytestmark = pytest.mark.usefixtures("wednesday")

ROOT = Path(__file__).parents[2]
SCRIPT = "<img src=x onerror=alert(1)>"
SECTION = re.compile(r'<section [^>]*aria-labelledby="(o\w)">(.*?)</section>', re.S)
ROW = re.compile(r"<tr[ >].*?</tr>", re.S)
SHOWN = re.compile(r'data-shown="([^"]+)"')
WAITING, RATES, TIERS, CAUSES, ASIDE, LAG = (f"o{number}" for number in range(1, 7))


def message(who: str, days_ago: float, text: str, channel: str = "email") -> dict[str, Any]:
    return happened("chat_message_sent", who, days_ago, text=text, thread=f"mail-{who}", channel=channel)


def complaint(who: str, days_ago: float, reason: str | None) -> dict[str, Any]:
    said = {} if reason is None else {"reason": reason}
    return happened("complaint_raised", who, days_ago, actor={"kind": "agent"}, **said)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("overview"), desk_zone="Europe/Berlin") as running:
        recorded(
            running,
            happened("identified", "1", 30, traits={"name": "Marta Lindqvist"}),
            happened("identified", "2", 30, traits={"name": f"Mallory {SCRIPT}"}),
            message("1", 20, "Where is my order?"),
            message("2", 0.1, f"{SCRIPT} hello", channel="web_chat"),
            message("3", 4, "Answered already"),
            happened(
                "chat_message_sent", "3", 3, text="Here it is", thread="mail-3", actor={"kind": "agent"}
            ),
            happened("promise_broken", "1", 10, promise_id="p-1"),
            *(complaint(f"c{place}", 1 + place, "late_delivery") for place in range(3)),
            complaint("c8", 9, "late_delivery"),
            complaint("c9", 8, "no_reply"),
            complaint("c1", 2, "wrong_colour"),
            complaint("c2", 2, None),
        )
        running.book.watch.look()
        yield running


@pytest.fixture(scope="module")
def agent(server: Server) -> Iterator[httpx.Client]:
    with acting(server) as client:
        yield client


def sections(client: httpx.Client, **headers: str) -> dict[str, str]:
    answer = client.get("/desk/overview/live", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(SECTION.findall(answer.text))


def rows(section: str) -> list[str]:
    """What each row of its table says, without the head."""
    return [words_of(row) for row in ROW.findall(section)[1:]]


def test_the_oldest_unanswered_requests_come_first_and_lead_to_their_touchpoints(
    server: Server, agent: httpx.Client
) -> None:
    section = sections(agent)[WAITING]
    first, second = rows(section)
    assert first.startswith("20 days Marta Lindqvist Where is my order? e-mail ")
    assert second.split(" Mallory")[0] == "2 h 24 min"
    assert "web chat" in second
    key = server.book.overview.waiting(1)[0].touchpoint
    id = server.book.customers.find("user_id:1").id
    assert f'href="/desk/customers/{id}?at={key}#tp-{key}"' in section
    assert re.findall(r'<tr class="(\w*)"><td class="clock">', section) == ["bad", "bad"]
    assert re.search(r'role="timer" data-since="\d{13}" data-target="\d{13}"', section)


def test_a_clock_is_a_warning_before_its_channels_target_and_bad_after_it() -> None:
    for channel, waited, tone in (
        ("web_chat", 4 * MINUTE, ""),
        ("web_chat", 13 * MINUTE, "warn"),
        ("web_chat", 16 * MINUTE, "bad"),
        ("email", 50 * MINUTE, ""),
        ("email", 232 * MINUTE, "warn"),
        ("email", 26 * HOUR, "bad"),
    ):
        waiting = Waiting("0" * 32, None, "t", channel, 10 * HOUR, None, "1" * 32, 36, "doubtful")
        shown = request_of(waiting, 10 * HOUR + waited, "en", Policies.standard())
        assert (shown.tone, shown.trust.tone) == (tone, "bad"), (channel, waited)


def test_what_customers_wrote_and_are_called_is_text(agent: httpx.Client) -> None:
    page = agent.get("/desk/overview/live").text
    assert SCRIPT not in page
    assert f"Mallory {escape(SCRIPT)}" in page


def test_an_admin_sees_who_waits_only_by_number(server: Server) -> None:
    with acting(server, "admin") as admin:
        section = sections(admin)[WAITING]
    assert "Marta" not in section
    assert "Where is my order?" not in section
    assert f"<code>{server.book.customers.find('user_id:1').id[:8]}</code>" in section
    assert "/desk/customers/" not in section


def test_touchpoints_of_the_last_hour_are_counted_and_drawn_by_channel(
    server: Server, agent: httpx.Client
) -> None:
    section = sections(agent)[RATES]
    shown = {row.rsplit(" ", 2)[0]: int(row.rsplit(" ", 1)[1]) for row in rows(section)}
    assert shown["E-mail"] == 2
    assert shown["Web chat"] == 1
    assert [len(points.split()) for points in re.findall(r'points="([^"]+)"', section)] == [59] * len(shown)


def test_every_customer_is_in_one_tier_of_each_score(server: Server, agent: httpx.Client) -> None:
    section = sections(agent)[TIERS]
    found = server.book.overview.tiers()
    assert found is not None
    assert words_of(section).startswith(f"Customers by tier {found.customers} customers, as of")
    bars = re.findall(r'<div class="trow"><h3>([^<]+)</h3>(.*?)</div>', section, re.S)
    assert [title for title, _ in bars] == [
        "Loyalty", "Emotional loyalty", "Trust", "Satisfaction", "Engagement", "Churn risk", "Fatigue",
    ]  # fmt: skip
    for _, drawn in bars:
        assert sum(int(number) for number in re.findall(r"<b>(\d+)</b>", drawn)) == found.customers
    assert found.scores["trust"]["doubtful"] > 0
    assert f"doubtful <b>{found.scores['trust']['doubtful']}</b>" in dict(bars)["Trust"]


def test_a_bar_is_as_wide_as_its_share_and_what_is_unknown_comes_last(server: Server) -> None:
    card = server.book.scorecards["trust"]
    drawn = bar(card, {"doubtful": 25, "firm": 25, None: 50}, "en", before={"doubtful": 20, None: 80})
    assert [(one.word, one.tone, one.customers, one.change) for one in drawn] == [
        ("broken", "bad", 0, 0),
        ("doubtful", "bad", 25, 5),
        ("neutral", "mid", 0, 0),
        ("trusting", "good", 0, 0),
        ("firm", "good", 25, 25),
        ("not known yet", "void", 50, -30),
    ]
    assert [(one.x, one.width) for one in drawn if one.customers] == [
        ("0.0", "248.0"),
        ("250.0", "248.0"),
        ("500.0", "498.0"),
    ]


def test_while_the_first_count_is_under_way_it_says_how_far_it_is(tmp_path: Path) -> None:
    with a_server(tmp_path) as server:
        server.publish(*(track(userId=f"u{number}") for number in range(20)))
    for file in tmp_path.rglob("watch.sqlite*"):
        file.unlink()
    with a_server(tmp_path, sweep_share=1e-9) as server:  # it takes one step and rests for ages
        while not server.book.overview.counted:
            time.sleep(0.01)
        with acting(server) as agent:
            section = words_of(sections(agent)[TIERS])
    assert re.search(r"They are being counted for the first time: \d+ customers so far", section)


def test_the_causes_of_complaints_are_counted_against_the_week_before(agent: httpx.Client) -> None:
    first, *more, last = rows(sections(agent)[CAUSES])
    assert (first, last) == ("Late delivery 3 +2", "No reply 0 −1")
    assert sorted(more) == ["No reason said 1 +1", "Wrong colour 1 +1"]


def test_how_far_behind_it_is_stands_there_for_every_projection(agent: httpx.Client) -> None:
    section = sections(agent)[LAG]
    found = rows(section)
    assert [row.split(" ")[:2] for row in found] == [
        ["entries", "0"],
        ["ledger", "0"],
        ["registers", "0"],
        ["links", "0"],
    ]
    assert all(float(row.split(" ")[2]) < 60 for row in found)
    assert "Unreadable records: none" in section


def test_a_page_that_shows_all_there_is_gets_nothing_and_another_gets_what_is_new(serve: Serve) -> None:
    server = serve()
    server.book.watch.look()
    with acting(server) as agent:
        for _ in range(20):  # a minute may end in between
            seen = SHOWN.search(agent.get("/desk/overview/live").text)
            assert seen is not None
            answer = agent.get("/desk/overview/live", headers={"X-Seen": seen[1]})
            if answer.status_code == 204:
                break
        assert (answer.status_code, answer.content) == (204, b"")
        assert (
            agent.get("/desk/overview/live", headers={"X-Seen": seen[1], "Accept-Language": "ru"}).status_code
            == 200
        )
        server.publish(track(type="trakc"))
        again = agent.get("/desk/overview/live", headers={"X-Seen": seen[1]})
        assert again.status_code == 200
        assert "unknown type" in again.text


# Set aside


def set_aside(server: Server) -> None:
    """Two links of a customer nobody knows yet, and one item that can never be accepted, of one source."""
    stranger = server.book.journal.id_of(Identifier("user_id", "77"))
    for number in range(2):
        link = chat(type="link", id=f"link-{number}", source="desk", data={"link": [stranger, "user_id:42"]})
        answer = server.http.post("/v1/events", json=link, headers=server.as_("agent", source="desk"))
        assert answer.json()["code"] == "identifier_unknown"
    wrong = chat(type="page_viewed", source="desk", data={"identifiers": {"user_id": "1"}})
    assert server.http.post(
        "/v1/events", json=wrong, headers=server.as_("agent", source="desk")
    ).json()["code"] == "type_not_for_agents"  # fmt: skip


def test_what_was_set_aside_is_grouped_by_source_and_reason(serve: Serve) -> None:
    server = serve()
    set_aside(server)
    server.publish(track(type="trakc"))
    with acting(server) as agent:
        section = sections(agent)[ASIDE]
        assert words_of(section).startswith("Set aside 4 Redrive all 3 of desk")
        said = sorted(row.partition(" ")[2] for row in rows(section))
        assert said == [
            "desk type not for agents type_not_for_agents 1 Redrive",
            "desk unknown customer identifier_unknown 2 Redrive",
            "web-shop unknown type type_unknown 1 Redrive",
        ]
        russian = sections(agent, **{"Accept-Language": "ru"})[ASIDE]
        assert "Повторить 3 от desk" in russian
        assert "неизвестный клиент" in russian


def test_a_group_is_tried_again_and_it_says_how_many_went_through(serve: Serve) -> None:
    server = serve()
    set_aside(server)
    server.event(chat(data={"identifiers": {"user_id": "77"}, "thread": "t", "text": "Hello"}))
    [group] = [one for one in server.book.control.groups_set_aside() if one.code == "identifier_unknown"]
    with acting(server) as agent:
        fields = {"source": group.source, "code": group.code, "reason": group.reason}
        answer = agent.post("/desk/set-aside/redrive", data=fields)
        assert "desk: 2 went through" in words_of(answer.text)
        assert server.book.control.count_set_aside() == 1
        gone = agent.post("/desk/set-aside/redrive", data=fields)
        assert gone.status_code == 404
        whole = agent.post("/desk/set-aside/redrive", data={"source": "desk"})
        assert "desk: 0 went through, 1 was rejected again and stays" in words_of(whole.text)
    acts = [(one.act, dict(one.details)) for one in server.book.audit.latest(act="set_aside_redriven")]
    assert acts == [
        ("set_aside_redriven", {"source": "desk", "code": "all", "items": "1"}),
        ("set_aside_redriven", {"source": "desk", "code": "identifier_unknown", "items": "2"}),
    ]


def test_who_has_no_script_redrives_too_and_sees_the_whole_page(serve: Serve) -> None:
    server = serve()
    set_aside(server)
    with acting(server, "admin", fragments=False, **{"Accept-Language": "ru"}) as admin:
        answer = admin.post("/desk/set-aside/redrive", data={"source": "desk"})
    assert answer.text.startswith("<!doctype html>")
    assert "desk: принято 0, 3 снова отклонены и остаются" in words_of(answer.text)


def test_nothing_is_redriven_without_the_sessions_own_token(serve: Serve) -> None:
    server = serve()
    set_aside(server)
    client = signed_in(server)
    answer = client.post("/desk/set-aside/redrive", data={"source": "desk", "csrf": "guessed"})
    client.close()
    assert answer.status_code == 403
    assert server.book.control.count_set_aside() == 3
    assert server.book.audit.latest(act="set_aside_redriven") == []


def test_what_somebody_else_just_redrove_counts_as_gone(serve: Serve) -> None:
    server = serve()
    set_aside(server)
    keys = server.book.control.keys_set_aside("desk")
    server.book.control.remove(keys[:1])
    found = redrive_all(server.book, keys)
    assert (found.tried, found.through, found.rejected, found.failed) == (2, 0, 2, 0)


def test_every_reason_that_the_doors_give_has_words() -> None:
    codes = {
        match
        for folder in ("schemas", "core", "streams", "api")
        for path in (ROOT / folder).rglob("*.py")
        for match in re.findall(r'Rejected\(\s*"(\w+)"', path.read_text())
    } - {"batch_expected", "batch_unexpected", "field_invalid"}  # of whole requests; said by the field itself
    words = Words("en", ZoneInfo("UTC"))
    assert len(codes) > 25
    assert {code for code in codes if reason_words(code, words) is None} == set()


def test_the_overview_needs_a_session_and_shows_the_desks_own_day(server: Server) -> None:
    assert server.http.get("/desk/overview", follow_redirects=False).status_code == 303
    assert server.http.get("/desk/overview/live", headers={"HX-Request": "true"}).status_code == 401
    with acting(server, fragments=False) as agent:
        page = agent.get("/desk/overview").text
        assert "in Berlin</p>" in page
        russian = agent.get("/desk/overview", headers={"Accept-Language": "ru"}).text
    assert "Берлин</p>" in russian
