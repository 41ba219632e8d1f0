"""A real browser before a real server: pages that fail their test when anything goes wrong in them unseen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from tests.servers import machine

WIDE, NARROW = (1280, 1000), (400, 860)
SECONDS_TO_APPEAR = 30
"""On a busy machine too."""
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    # No name leads anywhere. Requests handed to the test one by one would keep pages from using their cache.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    # What a process has compiled serves the next page too.
    "--in-process-gpu",
    "--process-per-site",
    "--renderer-process-limit=1",
)
_GRAVE = ("serious", "critical")
_AXE = "axe.run({resultTypes: ['violations']}).then(found => found.violations)"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window. Skips the test, or fails it in CI, where there is none."""
    path = machine.program("chromium", "chromium")
    expect.set_options(timeout=SECONDS_TO_APPEAR * 1000)
    playwright: Playwright = sync_playwright().start()
    try:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield browser
        browser.close()
    finally:
        playwright.stop()


@dataclass
class Watched:
    """Pages of a context that may ask one server and nothing else, and what went wrong in them until `close`."""

    context: BrowserContext
    server: str
    wrong: list[str] = field(default_factory=list)
    forgiven: tuple[str, ...] = ()
    """Parts of complaints that the test itself provokes, as a broken connection."""
    _pages: list[Page] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.on("request", self._only_ours)

    def page(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(SECONDS_TO_APPEAR * 1000)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self._pages.append(page)
        return page

    def complaints(self) -> list[str]:
        return [one for one in self.wrong if not any(part in one for part in self.forgiven)]

    def close(self) -> None:
        for page in self._pages:
            page.close()
        self.context.remove_listener("request", self._only_ours)

    def _only_ours(self, request: Request) -> None:
        if not request.url.startswith((self.server, "data:", "blob:")):
            self.wrong.append(f"asked another server: {request.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in (
            "error",
            "warning",
        ):  # a breach of the Content-Security-Policy is an error here too
            self.wrong.append(f"{message.type}: {message.text}")


def grave_faults(page: Page) -> list[str]:
    """What axe calls serious or critical in the page as it stands, one line each."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(_AXE)
    return [
        f"{one['id']}: {one['help']} at {node['target']}"
        for one in found
        if one["impact"] in _GRAVE
        for node in one["nodes"]
    ]
