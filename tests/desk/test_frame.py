"""What stands around every page, in a real browser: the way in, keys, theme, language, clocks, and being offline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.api.serving import Server
from tests.desk.browser import NARROW, WIDE, Watched, grave_faults
from tests.desk.conftest import Open
from tests.desk.signed import a_server
from touchbook.api.desk.words import Words

pytestmark = pytest.mark.usefixtures("wednesday")

PAGE = "/desk/scorecards"
HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("frame")) as running:
        yield running


@pytest.mark.parametrize(("language", "size", "theme"), [("en", WIDE, "light"), ("ru", NARROW, "dark")])
def test_the_way_in_refuses_with_a_reason_and_can_be_read_by_everybody(
    server: Server, browser: Browser, language: str, size: tuple[int, int], theme: str
) -> None:
    url = str(server.http.base_url).rstrip("/")
    context = browser.new_context(
        base_url=url,
        locale=language,
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": size[0], "height": size[1]},
    )
    watched = Watched(context, url, forgiven=("403 (Forbidden)",))
    page = watched.page()
    page.goto("/desk/sign-in")
    expect(page.locator("#key")).to_be_focused()
    assert grave_faults(page) == []
    page.fill("#key", server.key("publish"))
    page.keyboard.press("Enter")
    refused = page.get_by_role("alert")
    expect(refused).to_contain_text("agent")
    assert page.locator("#key").get_attribute("aria-describedby") == refused.get_attribute("id")
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    assert grave_faults(page) == []

    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("[data-do=theme]").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light" if theme == "dark" else "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.locator("[name=language]").click()
    expect(page.locator("html")).to_have_attribute("lang", "en" if language == "ru" else "ru")
    expect(page.locator("html")).to_have_attribute("data-theme", "light" if theme == "dark" else "dark")
    page.fill("#key", server.key("agent"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk/overview")
    context.close()
    assert watched.complaints() == []


def test_single_keys_do_what_the_help_says_and_can_be_switched_off(server: Server, open_desk: Open) -> None:
    page = open_desk(server, PAGE)
    help = page.locator("#keys")
    expect(help).to_be_hidden()
    page.keyboard.press("?")
    expect(help).to_be_visible()
    shown = help.locator("kbd").all_inner_texts()
    assert shown == [
        "/", "f", "d", "g", "o", "g", "c", "j", "k", "e", "J", "K", ".",
        "1", "7", "w", "r", "x", "c", "n", "t", "Ctrl", "↵", "?", "Esc",
    ]  # fmt: skip
    assert grave_faults(page) == []
    page.keyboard.press("Escape")
    expect(help).to_be_hidden()

    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("#find")).to_have_value("?")
    expect(help).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#find")).not_to_be_focused()

    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url("**/desk/overview")
    page.keyboard.press("?")
    page.locator("[data-do=keys]").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(help).to_be_hidden()
    page.reload()
    page.keyboard.press("/")
    expect(page.locator("#find")).not_to_be_focused()
    page.get_by_role("button", name="Keyboard").click()
    page.locator("[data-do=keys]").check()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(help).to_be_visible()


def test_on_a_russian_keyboard_the_key_counts_and_not_its_letter(server: Server, open_desk: Open) -> None:
    page = open_desk(server, PAGE, language="ru")
    press = (
        "([key, code]) => document.dispatchEvent(new KeyboardEvent('keydown', {key, code, bubbles: true}))"
    )
    page.evaluate(press, ["п", "KeyG"])
    page.evaluate(press, ["щ", "KeyO"])
    page.wait_for_url("**/desk/overview")


def test_theme_and_language_stay_and_the_page_with_them(server: Server, open_desk: Open) -> None:
    page = open_desk(server, f"{PAGE}?score=trust")
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="RU").click()
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.url.endswith(f"{PAGE}?score=trust")


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_an_agent_sees_who_he_is_and_signs_out(
    server: Server, open_desk: Open, size: tuple[int, int]
) -> None:
    page = open_desk(server, PAGE, size=size)
    page.locator(".agent").click()
    menu = page.locator("#agent")
    expect(menu).to_contain_text("role agent")
    box = menu.bounding_box()
    assert box is not None
    assert 0 <= box["x"] <= size[0] - box["width"]
    menu.get_by_role("button").click()
    page.wait_for_url("**/desk/sign-in")
    page.goto(PAGE)
    assert page.url.endswith("/desk/sign-in?next=%2Fdesk%2Fscorecards")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_clocks_run_in_the_browser_as_the_server_words_them(
    server: Server, open_desk: Open, language: str
) -> None:
    page = open_desk(server, PAGE, language=language)
    waits = [0, 61_000, HOUR - 1_000, HOUR, 26 * HOUR + 600_000, 3 * DAY, 5 * DAY, 21 * DAY, 1_234 * DAY]
    script = "document.querySelector('script[type=module]').src"
    run = f"async (waits) => {{ const desk = await import({script}); return waits.map(desk.lasting) }}"
    words = Words("ru" if language == "ru" else "en", ZoneInfo("UTC"))
    assert page.evaluate(run, waits) == [words.clock(waiting) for waiting in waits]

    page.evaluate(
        """() => {
            const clock = document.createElement("span");
            clock.id = "clock";
            clock.dataset.since = document.documentElement.dataset.now - 12 * 60000;
            document.querySelector("main").append(clock);
        }"""
    )
    expect(page.locator("#clock")).to_have_text(re.compile("12:0[1-9]"))


def test_a_page_that_lost_its_server_says_so_until_it_is_back(server: Server, open_desk: Open) -> None:
    page = open_desk(server, PAGE, forgiven=("ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "Failed to fetch"))
    line = page.locator(".offline")
    expect(line).to_be_hidden()
    page.context.set_offline(True)
    expect(line).to_be_visible()
    expect(line).to_contain_text("Offline since")
    expect(page.locator(".live .off")).to_be_visible()
    page.context.set_offline(False)
    expect(line).to_be_hidden()
    expect(page.locator(".live .on")).to_be_visible()


def test_a_server_that_turns_a_fragment_away_is_told_above_the_page_which_stays(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, PAGE, forgiven=("503",))
    busy = '{"code": "overloaded"}'
    turned_away = True

    def answer(route: Route) -> None:
        """One handler to the end: taking it away while a request is on its way would answer that one twice."""
        if turned_away:
            route.fulfill(status=503, content_type="application/problem+json", body=busy)
        else:
            route.continue_()

    page.route("**/desk/find", answer)
    page.locator("#find").fill("Marta")
    told = page.locator("#told")
    expect(told).to_contain_text("The server is busy")
    assert "overloaded" not in page.content()
    turned_away = False
    page.locator("#find").fill("Marta L")
    expect(told).to_be_empty()


def test_a_page_that_is_not_there_leads_back_and_a_fragment_that_is_not_tells_so_above_the_page(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, "/desk/no-such-page", language="ru", dark=True, forgiven=("404",))
    expect(page.get_by_role("heading", name="Не получилось")).to_be_visible()
    assert grave_faults(page) == []
    page.evaluate("htmx.ajax('GET', '/desk/no-such-fragment', {target: 'main', swap: 'innerHTML'})")
    told = page.get_by_role("alert")
    expect(told).to_contain_text("Здесь ничего нет")
    expect(page.get_by_role("heading", name="Не получилось")).to_be_visible()
    assert grave_faults(page) == []
    told.get_by_role("button").click()
    expect(told).to_be_empty()
    page.get_by_role("link", name="К обзору").click()
    page.wait_for_url("**/desk/overview")


def test_a_session_that_ended_leads_to_the_way_in_and_back(server: Server, open_desk: Open) -> None:
    page = open_desk(server, f"{PAGE}?score=trust", forgiven=("401",))
    page.context.clear_cookies()
    page.locator("#find").fill("Marta")
    page.wait_for_url("**/desk/sign-in?next=%2Fdesk%2Fscorecards%3Fscore%3Dtrust")
    page.fill("#key", server.key("agent"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{PAGE}?score=trust")
