"""A page that nobody touches and where nothing happens asks for nothing and draws nothing but its clocks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.api.serving import Server
from tests.desk.conftest import Open
from tests.desk.signed import with_marta
from tests.desk.test_customer_browser import path_of
from tests.desk.test_timeline_browser import look_away, until

COUNTED = """() => {
  window.frames_asked = 0;
  const ask = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (act) => { window.frames_asked += 1; return ask(act); };
}"""
CHANGES = """() => {
  window.changed = [];
  new MutationObserver((all) => { for (const one of all) window.changed.push(one.type); })
    .observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with with_marta(tmp_path_factory.mktemp("idle") / "book") as running:
        yield running


def at_rest(page: Page) -> None:
    expect(page.locator(".score svg.spark")).to_have_count(7)
    until(page, "document.querySelector('[hx-sse\\\\:connect]')?._htmx?.sse != null")
    page.wait_for_timeout(700)


def test_a_timeline_that_is_filled_asks_for_no_more_frames(server: Server, open_desk: Open) -> None:
    page = open_desk(server, path_of(server))
    at_rest(page)
    page.evaluate(COUNTED)
    page.wait_for_timeout(500)
    assert page.evaluate("frames_asked") == 0


def test_a_clock_that_runs_changes_its_letters_alone_and_rests_while_nobody_looks(
    server: Server, open_desk: Open
) -> None:
    page = open_desk(server, path_of(server))
    at_rest(page)
    clock = page.locator(".todo [data-since]").first
    shown = clock.inner_text()
    page.evaluate(CHANGES)
    expect(clock).not_to_have_text(shown)
    assert set(page.evaluate("changed")) == {"characterData"}

    look_away(page, hidden=True)
    shown = clock.inner_text()
    page.evaluate("changed.length = 0")
    page.wait_for_timeout(1_500)
    assert page.evaluate("changed") == []
    look_away(page, hidden=False)
    until(page, "changed.length > 0")
    assert clock.inner_text() != shown
