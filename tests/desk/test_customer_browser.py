"""The customer page in a real browser: what opens, what moves, what is asked for and what stays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.api.serving import Server
from tests.books import NOON, event, publish
from tests.desk.browser import NARROW, grave_faults
from tests.desk.conftest import Open
from tests.desk.signed import a_server
from tests.marta import record_both
from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.wiring import now


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("customer-browser") / "book"
    record_both(directory)
    with a_server(directory) as running:
        running.settle()
        yield running


def path_of(server: Server, ref: str = "user_id:84213") -> str:
    return f"/desk/customers/{server.book.customers.find(ref).id}"


def heard(page: Page, *names: str) -> None:
    """Keeps what the page tells its other parts."""
    page.evaluate(
        """names => { window.heard = {}; for (const name of names)
        document.addEventListener(name, ({ detail }) => { window.heard[name] = detail; }); }""",
        list(names),
    )


def just(server: Server, type: str, data: dict[str, Any], **more: Any) -> None:
    days_ago = (NOON - now()) / MILLISECONDS_A_DAY
    made = event(type, data, days_ago=days_ago, id=f"{type}-{now()}", **more)
    assert [one.outcome for one in publish(server.book, [made], received_at=now())] == ["accepted"]
    server.settle()


def test_a_score_says_why_in_place_and_closes_the_other(server: Server, open_desk: Open) -> None:
    page = open_desk(server, path_of(server))
    expect(page.locator("h1")).to_have_text("Marta Lindqvist")
    expect(page.locator(".score svg.spark")).to_have_count(7)
    heard(page, "desk:why", "desk:show")

    asked = "/v1/customers/user_id:84213/scores/trust/explain"  # what she is at depends on the day
    told = server.get(asked, params={"with": "complaint_resolved"}).json()
    resolved, points = told["with"]["score"]["value"], told["score"]["value"]
    page.locator("#score-trust summary").click()
    trust = page.locator("#score-trust")
    sum_of_lines = trust.locator(".sums tfoot .n")
    expect(sum_of_lines).to_have_text(re.compile(r"^\d+\.\d$"))
    assert abs(float(sum_of_lines.inner_text()) - points) <= 1
    expect(trust.locator(".chart .ev").last).to_contain_text("promise broken")
    assert page.evaluate("window.heard['desk:why'].score") == "trust"
    assert "why=trust" in page.url

    line = trust.get_by_role("link", name=re.compile("^Complaint"))
    line.click()
    expect(trust.locator("tr.if li").first).to_contain_text("without it")
    expect(trust.locator("tr.if li").last).to_have_text(re.compile(rf"^if resolved\s*{resolved}\s*$"))
    keys = line.get_attribute("data-show")
    assert page.evaluate("window.heard['desk:show'].keys.join(' ')") == keys
    trust.get_by_role("link", name="3 requests ignored").click()
    expect(trust.locator("tr.if")).to_have_count(1)
    expect(trust.locator("tr.if li").first).to_contain_text("without these 3")

    page.keyboard.press("Escape")
    page.keyboard.press("7")
    expect(page.locator("#score-fatigue")).to_have_attribute("open", "")
    expect(trust).not_to_have_attribute("open", "")
    expect(page.locator("#score-fatigue .mend li").first).to_be_visible()
    page.wait_for_url("**why=fatigue*")
    page.goto(f"{path_of(server)}?why=trust")
    points = page.locator(".tp .pts.minus")
    expect(points.first).to_have_text(re.compile(r"Trust\s*−\d+\.\d"))
    page.goto(f"{path_of(server)}?why=fatigue")
    expect(page.locator("#score-fatigue .sums")).to_be_visible()
    page.locator("#score-fatigue summary").click()
    page.wait_for_url(lambda url: "why=" not in url)


def test_what_is_hidden_is_shown_for_this_view_and_the_purpose_stays_in_the_address(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, path_of(server))
    page.get_by_role("button", name="Reveal the e-mail").click()
    shown = page.locator(".revealed")
    expect(shown).to_have_text(re.compile("^.+@example.test$"))
    expect(shown).to_be_focused()

    page.select_option("#purpose", "service")
    service = page.locator('[data-purpose="service"]')
    expect(service).to_be_visible()
    expect(page.locator("[data-purpose]:visible")).to_have_count(1)
    expect(service.locator("li.nay")).to_have_count(0)
    assert "purpose=service" in page.url
    page.reload()
    expect(page.locator("#purpose")).to_have_value("service")
    expect(service).to_be_visible()
    expect(page.locator(".revealed")).to_have_count(0)


def test_a_note_is_written_with_keys_alone_and_its_form_is_empty_again(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, path_of(server), forgiven=("422",))
    page.keyboard.press("n")
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#note-wrong")).to_have_text("Write something, or choose a mood.")
    page.locator("#note").fill("The carrier found it.\nTold her.")
    page.get_by_role("radio", name="glad").check(force=True)
    page.locator("#note").press("Control+Enter")

    expect(page.locator("#note-form .done")).to_have_text("Saved")
    expect(page.locator("#note")).to_have_value("")
    items = server.get(f"/v1/customers/{path_of(server).rpartition('/')[2]}/timeline").json()["items"]
    assert {(one["type"], one["actor"]["name"]) for one in items[:2]} == {
        ("note_added", "ines.costa"),
        ("emotion_observed", "ines.costa"),
    }


def test_a_note_written_without_a_connection_waits_and_is_sent_once(server: Server, open_desk: Open) -> None:
    page = open_desk(server, path_of(server), forgiven=("ERR_INTERNET_DISCONNECTED", "Failed to fetch"))
    page.context.set_offline(True)
    page.locator("#note").fill("From the tunnel.")
    page.locator("#note").press("Control+Enter")
    expect(page.locator("#note-form .waiting")).to_have_text(
        "Waits for the connection; it is sent by itself."
    )
    expect(page.locator("#note")).to_have_value("From the tunnel.")

    page.context.set_offline(False)

    expect(page.locator("#note-form .done")).to_have_text("Saved")
    id = path_of(server).rpartition("/")[2]
    notes = server.get(f"/v1/customers/{id}/timeline", params={"type": "note_added"}).json()["items"]
    assert [one["data"]["text"] for one in notes].count("From the tunnel.") == 1


def test_what_changes_is_put_in_place_and_nothing_opened_is_lost(server: Server, open_desk: Open) -> None:
    just(server, "page_viewed", {"name": "Home"}, who={"user_id": "live", "email": "live@example.test"})
    just(server, "promise_kept", {"promise_id": "1"}, who="live")
    path = path_of(server, "user_id:live")
    page = open_desk(server, path)
    page.select_option("#purpose", "teach")
    page.get_by_role("button", name="Reveal the e-mail").click()
    expect(page.locator(".revealed")).to_have_text("live@example.test")
    page.locator("#score-trust summary").click()
    expect(page.locator("#score-trust .sums tbody tr")).to_have_count(2)
    expect(page.locator("#score-trust .val")).to_have_text("55")
    page.locator("#score-trust .sums a").first.click()
    expect(page.locator("#score-trust tr.if")).to_contain_text("not known yet")

    just(server, "promise_broken", {"promise_id": "2"}, who="live")
    page.evaluate(
        """async path => { const answer = await fetch(`${path}/standing`);
        document.dispatchEvent(new CustomEvent("desk:standing", { detail: { html: await answer.text() } })); }""",
        path,
    )

    expect(page.locator("#score-trust .val")).to_have_text("35")
    expect(page.locator("#score-trust")).to_have_class("score bad")
    expect(page.locator("#score-trust .gauge .fill")).to_have_attribute("width", "35")
    expect(page.locator("#score-trust .sums tbody tr")).to_have_count(4)
    expect(page.locator("#score-trust tr.if")).to_contain_text("without it")
    expect(page.locator("#score-trust tr.if")).not_to_contain_text("not known yet")
    expect(page.locator("#now .todo .bad")).to_contain_text("Promise broken")
    expect(page.locator(".revealed")).to_have_text("live@example.test")
    expect(page.locator("#purpose")).to_have_value("teach")
    expect(page.locator('[data-purpose="teach"]')).to_be_visible()


def test_an_unlink_is_shown_before_it_is_done(server: Server, open_desk: Open) -> None:
    who = {"user_id": "joined", "email": "joined@example.test"}
    just(server, "page_viewed", {"name": "Home"}, who=who)
    just(server, "complaint_raised", {"text": "No."}, who={"email": "joined@example.test"})
    page = open_desk(server, path_of(server, "user_id:joined"))
    page.get_by_role("link", name="Link or un-link").click()
    page.get_by_role("checkbox", name="E-mail").check()
    page.get_by_role("button", name="Show what would change").first.click()
    expect(page.locator(".sides thead")).to_contain_text("Then: 2 customers")
    expect(page.locator("#preview-title")).to_be_focused()  # with keys alone one goes on from there
    assert not grave_faults(page)
    page.get_by_role("button", name="Tell them apart").click()
    expect(page.locator("h1")).to_have_text("User joined")
    expect(page.locator("#about")).not_to_contain_text("E-mail")


@pytest.mark.parametrize(
    ("language", "dark", "size"),
    [
        ("en", False, (1280, 1000)),
        ("ru", True, NARROW),
        pytest.param("en", True, (1000, 900), marks=pytest.mark.thorough),
        pytest.param("ru", False, (1280, 1000), marks=pytest.mark.thorough),
    ],
)
def test_it_fits_and_axe_finds_nothing_serious(
    server: Server, open_desk: Open, language: str, dark: bool, size: tuple[int, int]
) -> None:
    page = open_desk(
        server, f"{path_of(server, 'user_id:84214')}?why=trust", language=language, dark=dark, size=size
    )
    expect(page.locator(".score svg.spark")).to_have_count(7)
    page.locator("#score-trust .sums a").first.click()
    expect(page.locator("tr.if")).to_be_visible()
    assert not grave_faults(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    page.goto(f"{path_of(server, 'user_id:84214')}/linking")
    assert not grave_faults(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_little_to_tell_leaves_no_hole_and_much_moves_nobody(server: Server, open_desk: Open) -> None:
    calm = {"user_id": "calm", "email": "calm@example.test", "phone": "+358401230000"}
    just(server, "identified", {"traits": {"name": "Calm Customer"}}, who=calm)
    page = open_desk(server, path_of(server, "user_id:calm"))
    for ref in ("user_id:calm", "user_id:84213"):
        page.goto(path_of(server, ref))
        top, bottom = _edges(page)
        assert top["note"] - bottom["now"] < 8
        assert top["book"] - bottom["note"] < 48
        assert top["about"] - bottom["who"] < 8
        assert bottom["about"] <= top["scores"]


def _edges(page: Page) -> tuple[dict[str, float], dict[str, float]]:
    boxes = {name: page.locator(f".desk > .{name}").bounding_box() for name in PARTS}
    assert all(boxes.values())
    known = {name: box for name, box in boxes.items() if box}
    return (
        {name: box["y"] for name, box in known.items()},
        {name: box["y"] + box["height"] for name, box in known.items()},
    )


PARTS = ("who", "now", "about", "note", "scores", "book")


def test_what_was_reached_is_joined_by_a_line_and_what_was_not_by_a_broken_one(
    server: Server, open_desk: Open
) -> None:
    who = {"user_id": "buyer"}
    for order in ("arrived", "awaited"):
        just(server, "order_placed", {"order_id": order, "total": 1, "currency": "EUR"}, who=who)
    just(server, "order_delivered", {"order_id": "arrived"}, who=who)
    page = open_desk(server, path_of(server, "user_id:buyer"))
    expect(page.locator(".stages")).to_have_count(2)
    lines = page.evaluate(
        """() => [...document.querySelectorAll('.stages li:first-child')].map(
        (one) => getComputedStyle(one, '::before').borderTopStyle)"""
    )
    assert lines == ["solid", "dashed"]


def test_a_chat_past_its_target_is_red_in_its_words_and_its_icon(server: Server, open_desk: Open) -> None:
    asked = (NOON - now() + 20 * 60_000) / MILLISECONDS_A_DAY
    said = event(
        "chat_message_sent",
        {"text": "Hello?", "thread": "late"},
        days_ago=asked,
        id="late",
        who={"user_id": "late"},
    )
    assert [one.outcome for one in publish(server.book, [said], received_at=now())] == ["accepted"]
    server.settle()
    page = open_desk(server, path_of(server, "user_id:late"))
    expect(page.locator(".wait .over")).to_be_visible()
    words, icon = (
        page.locator(one).evaluate("(one) => getComputedStyle(one).color")
        for one in (".wait", ".tp.open > .ic")
    )
    assert words == icon


def test_on_a_phone_the_button_of_a_note_stands_where_its_text_begins(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, path_of(server), size=NARROW)
    text, button = page.locator("#note").bounding_box(), page.locator(".note .go").bounding_box()
    assert text
    assert button
    assert button["x"] == text["x"]
