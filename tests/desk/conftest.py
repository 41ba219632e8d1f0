"""One browser for each module, warm and signed in; servers and pages for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.api.conftest import serve
from tests.clocks import clock_from
from tests.desk.browser import WIDE, Watched, chromium
from tests.desk.signed import visitor
from touchbook.api.desk.session import COOKIE

__all__ = ["serve"]

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def wednesday() -> Iterator[None]:
    """Where a test speaks of today, tomorrow or a year: the tests begin on a Wednesday in November at 11:00 UTC. Not
    for a browser, which has the clock of the machine."""
    with clock_from("2026-11-18T11:00:00Z"):
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed after each module: while it is open a loop runs in this thread, where other tests want their own."""
    with chromium() as opened:
        yield opened


class Contexts:
    """One for each server and language; starting a browser's process costs more than most pages do. In each a page
    without a script stays open, and keeps the process between tests; cookies and what else is stored do not stay."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._opened: dict[tuple[str, str], BrowserContext] = {}
        self._sessions: dict[tuple[str, str], str] = {}

    def fresh(self, server: Any, language: str, role: str) -> BrowserContext:
        url = str(server.http.base_url).rstrip("/")
        if (url, language) not in self._opened:
            context = self._browser.new_context(base_url=url, locale=language, reduced_motion="reduce")
            context.new_page().goto("/healthz")
            self._opened[url, language] = context
        context = self._opened[url, language]
        context.set_offline(False)
        context.clear_cookies()
        context.pages[0].evaluate("localStorage.clear()")
        if (url, role) not in self._sessions:
            source = "ines.costa" if role == "agent" else "operations"
            with visitor(server) as client:
                client.post("/desk/sign-in", data={"key": server.key(role, source=source)})
                self._sessions[url, role] = client.cookies[COOKIE]
        context.add_cookies(
            [
                {
                    "name": COOKIE,
                    "value": self._sessions[url, role],
                    "domain": "127.0.0.1",
                    "path": "/desk",
                    "httpOnly": True,
                    "sameSite": "Strict",
                }
            ]
        )
        return context


@pytest.fixture(scope="module")
def contexts(browser: Browser) -> Contexts:
    return Contexts(browser)


@pytest.fixture
def open_desk(contexts: Contexts) -> Iterator[Open]:
    """`open_desk(server, path)`: a page of the desk, signed in with a key of role agent (or `role=`), in the language,
    theme and size asked for. At the end nothing may have gone wrong in any page but what was `forgiven`."""
    opened: list[Watched] = []

    def open(
        server: Any,
        path: str = "/desk/overview",
        *,
        language: str = "en",
        dark: bool = False,
        size: tuple[int, int] = WIDE,
        role: str = "agent",
        forgiven: tuple[str, ...] = (),
    ) -> Page:
        url = str(server.http.base_url).rstrip("/")
        watched = Watched(contexts.fresh(server, language, role), url, forgiven=forgiven)
        opened.append(watched)
        page = watched.page()
        page.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.goto(path)
        return page

    yield open
    for one in opened:
        one.close()
    complaints = [line for one in opened for line in one.complaints()]
    assert not complaints, complaints
