"""What an agent has opened stays open while what he looks at changes under it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.api.serving import Server
from tests.desk.conftest import Open
from tests.desk.signed import a_server
from tests.desk.test_customer_browser import just, path_of
from tests.desk.test_timeline_browser import CONNECTED, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("opened") / "book") as running:
        yield running


def test_an_entry_stays_open_and_its_answer_is_seen_when_a_mood_is_tagged_on_it(
    server: Server, open_desk: Open
) -> None:
    just(server, "complaint_raised", {"text": "It came broken."}, who="felt")
    page = open_desk(server, path_of(server, "user_id:felt"))
    until(page, f"{CONNECTED} != null")
    card = page.locator(".tp", has_text="It came broken.")
    card.locator("h3").click()
    more = card.locator("details.more")
    more.get_by_role("button", name="JSON").click()
    expect(more.locator("pre.json")).to_be_visible()
    more.get_by_role("button", name="Tag a mood").click()
    more.get_by_role("button", name="angry").click()

    expect(card.locator(".mks .mk", has_text=re.compile("ang", re.IGNORECASE))).to_be_visible()
    expect(more.locator(".done")).to_have_text("Tagged: angry")
    expect(more).to_have_attribute("open", "")
    expect(more.locator("pre.json")).to_be_visible()
    expect(card).to_have_class(re.compile(r"\bsel\b"))
    expect(card).to_have_count(1)


def test_a_mood_is_tagged_with_keys_alone(server: Server, open_desk: Open) -> None:
    just(server, "complaint_raised", {"text": "By keys."}, who="keyed")
    page = open_desk(server, path_of(server, "user_id:keyed"))
    until(page, f"{CONNECTED} != null")
    card = page.locator(".tp", has_text="By keys.")
    card.focus()
    glad = card.get_by_role("button", name="glad")
    for _ in range(2):  # asked twice, it is shown once
        page.keyboard.press("t")
        expect(glad).to_be_focused()
    expect(card.locator(".felt")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(card.locator(".done")).to_have_text("Tagged: glad")


def test_an_open_message_is_read_to_its_end_though_the_talk_goes_on(server: Server, open_desk: Open) -> None:
    said = {"thread": "talk"}
    just(server, "chat_message_sent", {**said, "text": "Hello?"}, who="talker")
    page = open_desk(server, path_of(server, "user_id:talker"))
    until(page, f"{CONNECTED} != null")
    card = page.locator(".tp", has_text="Hello?")
    card.locator("h3").click()
    more = card.locator("details.more")
    more.get_by_role("button", name="JSON").click()
    expect(more.locator("pre.json")).to_contain_text("Hello?")
    more.get_by_role("button", name="JSON").focus()

    just(server, "chat_message_sent", {**said, "text": "Is anybody there?"}, who="talker")

    expect(card).to_contain_text("Is anybody there?")
    expect(more).to_have_attribute("open", "")
    expect(more.locator("pre.json")).to_contain_text('"text": "Hello?"')
    expect(more.get_by_role("button", name="JSON")).to_be_focused()
    for _ in range(2):  # closed and opened again, it tells of the newest
        card.locator("h3").first.click()
    more.get_by_role("button", name="JSON").click()
    expect(more.locator("pre.json")).to_contain_text('"text": "Is anybody there?"')


def test_what_would_be_without_a_touchpoint_stays_told_while_the_score_moves(
    server: Server, open_desk: Open
) -> None:
    just(server, "promise_kept", {"promise_id": "1"}, who="asked")
    just(server, "page_viewed", {"name": "Home"}, who="asked")
    page = open_desk(server, path_of(server, "user_id:asked") + "?why=trust&f=1")
    until(page, f"{CONNECTED} != null")
    expect(page.locator("#score-trust .sums")).to_be_visible()
    page.locator(".tp", has_text="Home").focus()
    page.keyboard.press("w")
    told = page.locator("#score-trust .without")
    expect(told).to_be_visible()
    before = page.locator("#score-trust .sums tbody").inner_text()

    just(server, "promise_kept", {"promise_id": "2"}, who="asked")

    expect(page.locator("#score-trust .sums tbody")).not_to_have_text(before)
    expect(told).to_be_visible()


def test_the_line_beside_a_gauge_stays_when_the_gauge_moves(server: Server, open_desk: Open) -> None:
    just(server, "promise_kept", {"promise_id": "1"}, who="gauged")
    page = open_desk(server, path_of(server, "user_id:gauged"))
    until(page, f"{CONNECTED} != null")
    lines = page.locator(".score svg.spark")
    expect(lines.first).to_be_attached()
    drawn, value = lines.count(), page.locator("#score-trust .val")
    before = value.inner_text()

    just(server, "promise_kept", {"promise_id": "2"}, who="gauged")

    expect(value).not_to_have_text(before)
    expect(lines).to_have_count(drawn)
    assert page.locator(".score .spark").count() == page.locator(".score").count()
