"""The timeline in a real browser: scrolled through, live, cut off and back, filtered, and by keys alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from tests.api.serving import Server
from tests.books import event, publish
from tests.desk.browser import NARROW, grave_faults
from tests.desk.conftest import Open
from tests.desk.signed import a_server
from tests.desk.test_customer_browser import just, path_of
from tests.marta import record_both
from touchbook.api.desk import live

MANY = 1_500
HELD = 8 * 60
"""Articles that the page may hold at a time."""
SCRIPT = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'

KEYS = "[...document.querySelectorAll('#feed .tp')].flatMap(one => one.dataset.keys.split(' '))"
TIMES = "[...document.querySelectorAll('#feed .tp')].map(one => Number(one.dataset.at))"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("timeline-browser") / "book"
    record_both(directory)
    with a_server(directory) as running:
        many = [
            event("complaint_raised", {"text": f"Number {n}"}, who="many", days_ago=2 + n / 9, id=f"many-{n}")
            for n in range(MANY)
        ]
        many += [
            event(
                "chat_message_sent",
                {"thread": "t", "text": "Yes."},
                who="talks",
                days_ago=n / 120,
                id=f"t-{n}",
            )
            for n in range(MANY)
        ]
        for at in range(0, len(many), 500):
            publish(running.book, many[at : at + 500])
        running.settle()
        yield running


STREAM = "document.querySelector('[hx-sse\\\\:connect]')"
CONNECTED = f"{STREAM}?._htmx?.sse"
IN_SIGHT = "[...document.querySelectorAll('.tp')].find(one => one.getBoundingClientRect().bottom > 200).id"


def look_away(page: Page, hidden: bool) -> None:
    page.evaluate(
        """hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange')); }""",
        hidden,
    )


def until(page: Page, expression: str) -> None:
    """Waits for it from outside: the page itself may evaluate no text."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(30)
    raise AssertionError(expression)


def scroll_to(page: Page, down: bool) -> set[str]:
    """Every key seen on the way, window by window; what the page holds stays bounded."""
    seen: set[str] = set()
    for _ in range(MANY):
        edge = "runs.at(-1).dataset.older" if down else "runs[0].dataset.newer"
        # In one look: what comes between two would be taken for the end without having been seen.
        keys, held, ended = page.evaluate(
            f"[{KEYS}, document.querySelectorAll('#feed *').length, "
            f"(runs => !{edge})([...document.querySelectorAll('#feed .run')])]"
        )
        assert len(keys) == len(set(keys))
        assert len(keys) <= HELD + 60
        assert held < HELD * 25
        seen |= set(keys)
        if ended:
            times = page.evaluate(TIMES)
            assert times == sorted(times, reverse=True)
            return seen
        where = "document.querySelector('#gap-below')" if down else "document.querySelector('#gap-above')"
        side = "top" if down else "bottom"
        page.evaluate(f"scrollBy({{top: {where}.getBoundingClientRect().{side}, behavior: 'instant'}})")
        page.wait_for_timeout(60)
    raise AssertionError("the end never came")


def test_all_of_a_long_history_passes_by_once_and_the_page_stays_small(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, path_of(server, "user_id:many") + "?f=1")
    page.keyboard.press("j")  # the focus stays behind, and holds nothing back
    down = scroll_to(page, down=True)
    assert len(down) == MANY
    page.evaluate("scrollBy({top: -2000, behavior: 'instant'})")
    assert len(scroll_to(page, down=False)) >= HELD
    assert page.evaluate("document.querySelector('#gap-above').getAttribute('height')") == "0"
    assert page.evaluate("document.querySelector('#feed .tp').getAttribute('aria-posinset')") == "1"


def test_long_folds_make_short_runs_and_reading_them_comes_to_rest(server: Server, open_desk: Open) -> None:
    page = open_desk(server, path_of(server, "user_id:talks") + "?f=1")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/timeline?" in request.url else None)
    page.evaluate("scrollBy({top: 700, behavior: 'instant'})")
    before = -1
    for _ in range(10):
        if before == len(asked):
            return
        before = len(asked)
        page.wait_for_timeout(1_000)
    raise AssertionError(f"asked {len(asked)} times")


def test_what_happens_now_slides_in_and_does_not_move_what_is_read(server: Server, open_desk: Open) -> None:
    page = open_desk(server, path_of(server, "user_id:many") + "?f=1")
    expect(page.locator(".live .on")).to_be_visible()
    first = page.locator("#feed .tp").first
    until(page, CONNECTED)
    just(server, "complaint_raised", {"text": "It happens now."}, who="many")
    expect(first).to_contain_text("It happens now.")

    page.mouse.wheel(0, 3_000)
    until(page, "scrollY > 1500")
    page.wait_for_timeout(300)
    there = page.evaluate(
        "[...document.querySelectorAll('.tp')].find(one => one.getBoundingClientRect().top > 200).id"
    )
    before = page.locator(f"#{there}").bounding_box()
    for n in range(3):
        just(server, "complaint_raised", {"text": f"New {n}"}, who="many")
    expect(page.locator("#fresh button")).to_have_text(re.compile(r"^\s*3 new\s*$"))
    assert page.locator(f"#{there}").bounding_box() == before
    page.keyboard.press(".")
    expect(first).to_contain_text("New 2")
    expect(first).to_be_focused()
    expect(page.locator("#fresh button")).to_be_hidden()
    keys = page.evaluate(KEYS)
    assert len(keys) == len(set(keys))

    feed = "document.querySelector('#feed').getBoundingClientRect().top"
    page.evaluate(f"scrollBy({{top: {feed} - 40, behavior: 'instant'}})")  # its head is below the bars
    there = page.evaluate(IN_SIGHT)
    before = page.locator(f"#{there}").bounding_box()
    just(server, "complaint_raised", {"text": "New 3"}, who="many")
    expect(page.locator("#fresh button")).to_be_visible()
    assert page.locator(f"#{there}").bounding_box() == before


def test_what_comes_while_the_feed_is_read_is_not_wiped_out_by_an_older_answer(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, path_of(server, "user_id:many") + "?f=1")
    until(page, CONNECTED)
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/timeline?**", lambda route: held.append((route, route.fetch())), times=1)
    page.locator(".pick[data-pick=family] summary").click()
    page.get_by_label("Feedback").check()
    page.wait_for_url("**family=feedback*")
    until(page, CONNECTED)
    while not held:
        page.wait_for_timeout(20)
    with page.expect_event("console", lambda said: said.text == "heard"):
        page.evaluate(f"{STREAM}.addEventListener('touchpoint', () => console.log('heard'))")
        just(server, "complaint_raised", {"text": "In between"}, who="many")
    route, answer = held[0]
    assert "In between" not in answer.text()
    page.evaluate("document.querySelector('#feed .run').classList.add('before')")
    route.fulfill(response=answer)

    expect(page.locator("#feed .before")).to_have_count(0)
    expect(page.locator("#feed .tp").first).to_contain_text("In between")


def test_members_that_changed_are_read_anew_where_one_stands(server: Server, open_desk: Open) -> None:
    page = open_desk(server, path_of(server, "user_id:many") + "?f=1")
    until(page, CONNECTED)
    for _ in range(4):
        page.mouse.wheel(0, 3_000)
        page.wait_for_timeout(300)
    there = page.evaluate(IN_SIGHT)
    before = page.locator(f"#{there}").bounding_box()
    assert before is not None
    with page.expect_response("**/timeline?*at=*"):
        page.evaluate(f"{STREAM}.dispatchEvent(new CustomEvent('reload', {{ detail: {{}} }}))")
    page.wait_for_timeout(500)
    after = page.locator(f"#{there}").bounding_box()
    assert after is not None
    assert abs(after["y"] - before["y"]) < 3


def test_a_page_nobody_looks_at_holds_no_connection_and_catches_up_quietly(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, path_of(server, "user_id:many") + "?f=1")
    until(page, CONNECTED)
    open_now = live._Streams.open
    look_away(page, True)
    for _ in range(100):
        if live._Streams.open < open_now:
            break
        page.wait_for_timeout(30)
    assert live._Streams.open < open_now
    just(server, "complaint_raised", {"text": "While away"}, who="many")
    page.evaluate(
        """() => new MutationObserver(() => { window.offline ||= document.body.classList.contains('is-offline'); })
        .observe(document.body, { attributes: true })"""
    )
    look_away(page, False)
    expect(page.locator("#feed .tp").first).to_contain_text("While away")
    assert page.evaluate("window.offline ?? false") is False


def test_a_broken_connection_loses_nothing_and_says_so(server: Server, open_desk: Open) -> None:
    page = open_desk(
        server, path_of(server, "user_id:many") + "?f=1", forgiven=("ERR_", "Failed to fetch", "sse")
    )
    until(page, CONNECTED)
    just(server, "complaint_raised", {"text": "Before the break"}, who="many")
    expect(page.locator("#feed .tp").first).to_contain_text("Before the break")

    page.context.set_offline(True)
    page.evaluate(f"{STREAM}._htmx.sse.reader.cancel()")
    expect(page.locator(".offline")).to_be_visible()
    for n in range(3):
        just(server, "complaint_raised", {"text": f"In the dark {n}"}, who="many")
    page.context.set_offline(False)

    expect(page.locator("#feed .tp").first).to_contain_text("In the dark 2")
    expect(page.locator(".offline")).to_be_hidden()
    texts = page.locator("#feed blockquote").all_text_contents()
    assert [texts.count(f"In the dark {n}") for n in range(3)] == [1, 1, 1]

    page.context.set_offline(True)
    page.locator(".pick[data-pick=mood] summary").click()
    page.get_by_label("Positive").check()
    page.wait_for_timeout(300)
    page.context.set_offline(False)
    expect(page.locator("#feed .none")).to_be_visible()  # read as soon as it can be


def test_a_gap_that_the_stream_outlived_ends_with_it(server: Server, open_desk: Open) -> None:
    page = open_desk(
        server, path_of(server, "user_id:many") + "?f=1", forgiven=("ERR_", "Failed to fetch", "sse")
    )
    until(page, CONNECTED)
    page.context.set_offline(True)
    expect(page.locator(".offline")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator(".offline")).to_be_hidden()
    just(server, "complaint_raised", {"text": "After the gap"}, who="many")
    expect(page.locator("#feed .tp").first).to_contain_text("After the gap")
    expect(page.locator("#feed blockquote", has_text="After the gap")).to_have_count(1)


def test_filters_are_in_the_address_and_go_back(server: Server, open_desk: Open) -> None:
    path = path_of(server)
    page = open_desk(server, path)
    expect(page.locator("#count")).to_have_text(re.compile(r"^\d+ of \d+$"))
    shown = page.locator("#feed .tp").count()
    page.locator(".pick[data-pick=family] summary").click()
    page.get_by_label("Feedback").check()
    page.wait_for_url("**family=feedback*")
    expect(page.locator("#feed .tp h3").first).to_contain_text("Survey")
    expect(page.locator(".pick[data-pick=family] b")).to_have_text("Feedback")
    page.go_back()
    page.wait_for_url(lambda url: "family" not in url)
    expect(page.locator("#feed .tp")).to_have_count(shown)
    page.go_forward()
    expect(page.locator(".pick[data-pick=family] b")).to_have_text("Feedback")
    page.reload()
    expect(page.locator("#feed .tp h3").first).to_contain_text("Survey")
    page.locator("#sieve [name=text]").fill("three times")
    page.wait_for_url("**text=three*")
    expect(page.locator("#feed .tp")).to_have_count(1)
    page.evaluate("window.same = true")
    page.locator("#clear").click()
    page.wait_for_url(lambda url: url.endswith(path))
    assert page.evaluate("window.same")
    page.locator(".mk[data-filter]").first.click()
    page.wait_for_url("**thread=*")
    expect(page.locator(".only")).to_be_visible()
    page.locator(".only input").click()
    page.wait_for_url(lambda url: "thread" not in url)
    day = page.locator("#feed .day").nth(3).get_attribute("data-day")
    page.locator("[name=date]").fill(day or "")
    expect(page.locator("#feed .tp").first).to_be_attached()
    page.wait_for_url(f"**date={day}*")


def test_keys_alone_read_open_and_fold(server: Server, open_desk: Open) -> None:
    page = open_desk(server, path_of(server))
    page.keyboard.press("j")
    at = "document.activeElement.getAttribute('aria-posinset')"
    first = int(page.evaluate(at))
    page.keyboard.press("j")
    until(page, f"Number({at}) === {first + 1}")
    page.keyboard.press("PageUp")
    until(page, f"Number({at}) === {first}")
    page.keyboard.press("J")
    day = page.evaluate("document.activeElement.closest('.day').dataset.day")
    page.keyboard.press("K")
    assert page.evaluate("document.activeElement.closest('.day').dataset.day") > day
    page.keyboard.press("x")
    until(page, "document.activeElement.querySelector('pre.json')?.hidden === false")
    assert "at=" in page.url
    page.evaluate(  # as on plain http
        """() => { Object.defineProperty(navigator, 'clipboard', { value: undefined });
        document.addEventListener('copy', () => { window.copied = document.activeElement.value; }); }"""
    )
    page.keyboard.press("c")
    until(page, "/^[0-9a-f]{32}$/.test(window.copied)")
    expect(page.locator(".tp:focus [data-do=copy]")).to_have_text("Copied")
    assert not grave_faults(page)
    fold = page.locator("#feed .fold").first
    fold.locator("xpath=ancestor::article").focus()
    was = fold.get_attribute("open")
    page.keyboard.press("e")
    assert fold.get_attribute("open") != was


def test_a_line_of_the_banner_or_a_score_leads_to_its_touchpoint(server: Server, open_desk: Open) -> None:
    page = open_desk(server, path_of(server) + "?why=trust")
    line = page.locator("#score-trust .sums a").first
    expect(line).to_be_visible()
    expect(page.locator("#feed .pts").first).to_contain_text("Trust")
    keys = (line.get_attribute("data-show") or "").split()
    line.click()
    shown = page.locator(".tp.sel").first
    expect(shown.locator(".data")).to_be_visible()
    assert set((shown.get_attribute("data-keys") or "").split()) & set(keys)
    page.locator("#score-trust summary").click()
    expect(page.locator("#feed .pts")).to_have_count(0)

    id = path_of(server).rpartition("/")[2]
    noise = server.get(f"/v1/customers/{id}/timeline", params={"type": "page_viewed"}).json()["items"][0][
        "key"
    ]
    page.evaluate(
        "key => document.dispatchEvent(new CustomEvent('desk:show', { detail: { keys: [key], open: true } }))",
        noise,
    )
    expect(page.locator(f".tp.sel[data-keys~='{noise}'] .data")).to_be_visible()  # though noise was hidden


def test_stored_script_stays_text_also_when_it_comes_live(server: Server, open_desk: Open) -> None:
    just(server, "complaint_raised", {"text": SCRIPT}, who="hurt")
    page = open_desk(server, path_of(server, "user_id:hurt") + "?f=1")
    until(page, CONNECTED)
    just(server, "complaint_raised", {"text": SCRIPT, "case_id": SCRIPT, "reason": SCRIPT}, who="hurt")
    expect(page.locator("#feed .tp")).to_have_count(2)
    page.locator("#feed h3").first.click()
    expect(page.locator("#feed .data").first).to_be_visible()
    assert "onerror" in page.locator("#feed").inner_text()
    assert page.locator("#feed img, #feed script").count() == 0
    assert page.evaluate("window.hurt") is None


@pytest.mark.parametrize(
    ("language", "dark", "size"),
    [
        pytest.param("en", False, (1280, 1000), marks=pytest.mark.thorough),  # nearly as the keys open one
        ("ru", True, NARROW),
        ("ru", False, (1000, 900)),
    ],
)
def test_it_fits_and_axe_finds_nothing_serious_when_opened(
    server: Server, open_desk: Open, language: str, dark: bool, size: tuple[int, int]
) -> None:
    page = open_desk(server, path_of(server, "user_id:84214"), language=language, dark=dark, size=size)
    page.locator("#feed h3").nth(3).click()
    expect(page.locator("#feed .data").first).to_be_visible()
    assert not grave_faults(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_a_day_that_is_jumped_to_begins_right_below_the_heads_also_by_its_address(
    server: Server, open_desk: Open
) -> None:
    path = path_of(server)
    page = open_desk(server, path)
    day = page.locator("#feed .day").nth(3).get_attribute("data-day") or ""
    stands = f"""(() => {{
        const first = document.querySelector('#feed .day[data-day="{day}"] .tp');
        const heads = document.querySelector('#sieve').getBoundingClientRect().bottom;
        const gap = first?.getBoundingClientRect().top - heads;
        return gap > 24 && gap < 72 && document.querySelector('#feed').getAttribute('aria-busy') === 'false';
    }})()"""
    page.locator("[name=date]").fill(day)
    until(page, stands)
    page.goto(path)
    page.goto(f"{path}?date={day}")
    until(page, stands)
