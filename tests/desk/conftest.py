"""One browser for each module; servers and signed-in pages for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.api.conftest import serve
from tests.desk.browser import WIDE, Watched, chromium

__all__ = ["serve"]

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed after each module: while it is open a loop runs in this thread, where other tests want their own."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def open_desk(browser: Browser) -> Iterator[Open]:
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
        **more: Any,
    ) -> Page:
        url = str(server.http.base_url).rstrip("/")
        context = browser.new_context(
            base_url=url,
            locale=language,
            color_scheme="dark" if dark else "light",
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
            **more,
        )
        watched = Watched(context, url, forgiven=forgiven)
        watched.watch()
        opened.append(watched)
        page = watched.page()
        page.goto("/desk/sign-in?next=" + path)
        page.fill("#key", server.key(role, source="ines.costa" if role == "agent" else "operations"))
        page.click("button[type=submit]")
        page.wait_for_url(lambda now: "/sign-in" not in now)
        return page

    yield open
    for one in opened:
        one.context.close()
    complaints = [line for one in opened for line in one.complaints()]
    assert not complaints, complaints
