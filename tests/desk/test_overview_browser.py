"""The overview, the search box and the scorecards in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.api.serving import Server, chat, track
from tests.desk.acting import happened, recorded
from tests.desk.browser import NARROW, SECONDS_TO_APPEAR, grave_faults
from tests.desk.conftest import Open
from tests.desk.signed import a_server
from touchbook.api.desk.scorecards import Texts
from touchbook.schemas.touchpoint import Identifier

SCRIPT = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"


LOOKS_AGAIN = 3_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with a_server(tmp_path_factory.mktemp("overview"), desk_zone="Europe/Berlin") as running:
        stranger = running.book.journal.id_of(Identifier("user_id", "77"))
        link = chat(type="link", source="desk", data={"link": [stranger, "user_id:3"]})
        running.http.post("/v1/events", json=link, headers=running.as_("agent", source="desk"))
        recorded(
            running,
            happened("identified", "1", 30, traits={"name": "Marta Lindqvist"}),
            happened("identified", "2", 30, traits={"name": f"Marten {SCRIPT}"}),
            happened("case_opened", "1", 4, case_id="C-2207", title=SCRIPT),
            happened("chat_message_sent", "1", 4, text=f"{SCRIPT} hello", thread="t", channel="email"),
            happened("complaint_raised", "1", 2, reason="late_delivery"),
            happened("complaint_raised", "2", 2, reason=SCRIPT[:40]),
            *(
                happened("order_placed", who, 40 * n, order_id=f"{who}-{n}", total=1, currency="EUR")
                for who in ("1", "2")
                for n in range(3)
            ),
            happened("identified", "77", 1, traits={"name": "Tomas Berg"}),
        )
        running.publish(track(type=SCRIPT))
        running.book.watch.look()
        yield running


def no_wider_than_the_window(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_a_customer_is_found_and_opened_with_the_keyboard_alone(server: Server, open_desk: Open) -> None:
    page = open_desk(server)
    box, options = page.locator("#find"), page.locator("#found [role=option]")
    page.keyboard.press("/")
    expect(box).to_be_focused()
    page.keyboard.type("mart")
    expect(options).to_have_count(2)
    expect(box).to_have_attribute("aria-expanded", "true")
    expect(box).to_have_attribute("aria-activedescendant", "found-1")
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(options.nth(0)).to_have_attribute("aria-selected", "true")
    assert grave_faults(page) == []
    page.keyboard.press("Escape")
    expect(options.first).to_be_hidden()
    expect(box).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("/")
    box.fill("C-2207")
    page.keyboard.press("Enter")  # before the answer is there: it is surely meant
    id = server.book.customers.find("user_id:1").id
    page.wait_for_url(f"**/desk/customers/{id}")
    assert all("2207" not in one and "mart" not in one.lower() for one in addresses(page))


def addresses(page: Page) -> list[str]:
    """Every address that the page was at or asked for."""
    asked = page.evaluate("performance.getEntries().map(one => one.name)")
    return [page.url, *asked]


def test_the_overview_shows_what_comes_in_without_being_asked_and_nothing_of_it_is_markup(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, "/desk/overview")
    expect(page.locator("h1")).to_have_text("Overview")
    expect(page.locator(".clock [role=timer]").first).to_have_text("4 days")
    before = server.book.control.count_set_aside()
    expect(page.locator("#o5 .count")).to_have_text(str(before))
    button = page.locator("button", has_text="Redrive").last
    button.focus()
    server.publish(track(type="trakc"))
    expect(page.locator("#o5 .count")).to_have_text(str(before + 1), timeout=SECONDS_TO_APPEAR * 1000)
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"  # where he was is where he is
    assert page.title() == "Overview · Touchbook"
    assert page.locator("main img, main script").count() == 0
    assert grave_faults(page) == []
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(LOOKS_AGAIN * 1.3)  # nobody sees it, so nothing is asked
    assert asked == []
    with page.expect_request("**/desk/overview/live"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.locator("tr", has_text="e-mail").get_by_role("link").click()
    mail = next(one for one in server.book.overview.waiting(8) if one.channel == "email")
    expect(page.locator(f"#tp-{mail.touchpoint}")).to_be_in_viewport()


def test_what_was_set_aside_is_redriven_in_place_and_the_answer_stays_to_be_read(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server)
    row = page.locator(".aside tr", has_text="identifier_unknown")
    row.get_by_role("button").click()
    expect(page.locator("#redriven")).to_contain_text("desk: 1 went through")
    expect(row).to_have_count(0)
    looked = page.evaluate(
        "new Promise(done => { document.addEventListener('htmx:after:request', () => setTimeout(done, 200)); "
        "htmx.trigger(document.querySelector('#main'), 'look') })"
    )
    assert looked is None
    expect(page.locator("#redriven")).to_contain_text("desk: 1 went through")


def test_a_scorecard_is_checked_in_its_place_and_then_tried(server: Server, open_desk: Open) -> None:
    page = open_desk(server, "/desk/scorecards?score=loyalty")
    page.get_by_role("link", name="Try a change").click()
    sheet = page.locator("#text")
    expect(sheet).to_have_value(re.compile("^# Loyalty"))
    good = sheet.input_value().replace("weight: 10000", "weight: 1000", 1)
    bad = good.replace("half_life: 180", "half_life: soon", 1)
    line = bad.split("\n").index("      half_life: soon") + 1
    sheet.fill(bad)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#outcome")).to_contain_text(f"Line {line}, column 7")
    expect(page.locator(".numbers b")).to_have_text(re.compile(f"^{line}\\s*$"))
    expect(sheet).to_have_attribute("aria-invalid", "true")
    caret = page.evaluate("document.querySelector('#text').selectionStart")
    assert bad[caret:].startswith("half_life: soon")
    assert grave_faults(page) == []
    sheet.fill(good)
    page.get_by_role("button", name="Check and back-test").click()
    expect(page.locator("#outcome")).to_contain_text("Whose value falls most")
    expect(page.locator(".numbers b")).to_have_count(0)
    expect(page.locator("#outcome")).to_contain_text("Marta Lindqvist")
    assert grave_faults(page) == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    "path", ["/desk/overview", "/desk/scorecards?candidate=trust", "/desk/standing/loyalty"]
)
def test_on_a_phone_and_in_russian_nothing_is_wider_than_it_and_nothing_is_hard_to_read(
    server: Server, open_desk: Open, path: str, dark: bool
) -> None:
    page = open_desk(server, path, language="ru", dark=dark, size=NARROW)
    titles = {"overview": "Обзор", "scorecards": "Правила оценок", "standing": "Клиенты по уровням"}
    expect(page.locator("h1")).to_have_text(next(said for part, said in titles.items() if part in path))
    assert no_wider_than_the_window(page)
    assert grave_faults(page) == []
    if "scorecards" in path:
        page.locator("#text").fill(str(Texts(server.book).of("trust")))
        page.get_by_role("button", name="Проверить и испытать").click()
        expect(page.locator("#outcome")).to_contain_text("Ни у кого не меняются")
        assert no_wider_than_the_window(page)
        assert grave_faults(page) == []


def test_from_a_tier_to_its_customers_and_why_with_the_keyboard(server: Server, open_desk: Open) -> None:
    page = open_desk(server)
    page.locator(".trow", has_text="Loyalty").first.locator("a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk/standing/loyalty?tier=*")
    assert grave_faults(page) == []
    page.locator("tbody th a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk/customers/*?why=loyalty")
    expect(page.locator(".score[open]")).to_contain_text("Loyalty")
