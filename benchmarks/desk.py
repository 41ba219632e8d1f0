"""The agents' page of one very large customer: what its server pays for it, and how it stands in a real browser.

The page is measured twice: asked again, and after one more touchpoint of his each time, when nothing that was
remembered of him holds any more. What else runs on the machine makes the server wait for a core: how long is told
beside, for then it is not the page that is slow. The browser's rows need Chromium and the tests' extra; without them
they are left out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.events import SOURCE, large_customer, stream
from benchmarks.measure import Served, a_book, a_directory, a_server, cpu_of, quantile
from benchmarks.stored import fill
from benchmarks.table import Row
from touchbook.schemas.times import rfc3339
from touchbook.streams.follow import catch_up
from touchbook.wiring import now

LARGE = 20_000
READS = 200
SERVER_MS, USABLE_MS = 30, 500
CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
SIGN_IN = "/desk/sign-in"
MOST_ARTICLES = 500
LIVE_MS = 1_000
SCROLLED = 5_000
"""Touchpoints: ten times what the page may hold. To the first of all a browser that draws without a graphics card takes
many minutes, and learns nothing more."""
LONGEST_SCROLL = 300
"""Seconds, after which it did not come so far."""
OLDER = re.compile(r'data-older="([^"]*)"')
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
HELD = """() => [
  document.querySelectorAll('.tp').length,
  [...document.querySelectorAll('.tp')].flatMap((one) => one.dataset.keys.split(' ')),
  performance.memory.usedJSHeapSize,
]"""
"""How many articles, whose touchpoints, and the bytes of all."""
AT_THE_END = "document.querySelector('#feed .run:last-of-type')?.dataset.older === ''"


class Pages(NamedTuple):
    """Milliseconds of each, CPU milliseconds of one, and of each the milliseconds for which the thread of the server
    that waited longest had no core."""

    took: list[float]
    cpu: float
    waited: list[float]


def rows(quick: bool = False) -> Iterator[Row]:
    touchpoints, reads = (1_000, 10) if quick else (LARGE, READS)
    with a_directory() as directory:
        customer, keys = _stored(directory, touchpoints)
        with a_server(directory) as served:
            who = f"a customer of {touchpoints:,} touchpoints"
            path = f"/desk/customers/{customer}"
            with _signed_in(served.url, keys["agent"]) as http:
                yield _row(f"the desk's page of {who}, again", _pages(http, served, path, reads), quick=quick)
                more = _more(http, keys["publish"])
                took = _pages(http, served, path, reads // 4, before_each=lambda: next(more))
                yield _row("  after one more touchpoint each time", took, quick=quick)
                yield _row("  its next 50 touchpoints", _next(http, served, path, reads))
            yield from _in_a_browser(served.url, path, keys, touchpoints, quick)


def _stored(directory: Path, touchpoints: int) -> tuple[str, dict[str, str]]:
    with a_book(directory) as book:
        fill(book, large_customer(touchpoints))
        catch_up(book.journal, book.projections, book.folder)
        keys = {
            "agent": book.control.create_key("agent", "desk", None)[1],
            "publish": book.control.create_key("publish", SOURCE, "web")[1],
        }
        return book.customers.find("user_id:ularge").id, keys


@contextmanager
def _signed_in(url: str, key: str) -> Iterator[httpx.Client]:
    headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=url, timeout=60, headers=headers) as http:
        http.post(SIGN_IN, data={"key": key})
        yield http


def _pages(
    http: httpx.Client, served: Served, path: str, reads: int, before_each: Any = lambda: None
) -> Pages:
    """Each page; AssertionError for every answer but 200."""
    took, used, waited = list[float](), 0.0, list[float]()
    for n in range(reads + 1):
        before_each()
        cpu, waits, began = cpu_of(served.pid), _waits_of(served.pid), time.perf_counter()
        answer = http.get(path)
        if n:  # the first loads what a server loads once
            took.append((time.perf_counter() - began) * 1000)
            used += cpu_of(served.pid) - cpu
            after = _waits_of(served.pid)
            waited.append(max(after[one] - waits.get(one, 0) for one in after))
        assert answer.status_code == 200, answer.text[:500]
    return Pages(took, used / reads * 1000, waited)


def _waits_of(pid: int) -> dict[str, float]:
    """Milliseconds that each thread of a process was ready to go on and had no core (Linux)."""
    return {
        task.name: int((task / "schedstat").read_text().split()[1]) / 1e6
        for task in Path(f"/proc/{pid}/task").iterdir()
    }


def _more(http: httpx.Client, key: str) -> Iterator[None]:
    """Publishes one more touchpoint of his each time, and waits until it is seen."""
    for n, one in enumerate(stream(11)):
        data = {**one["data"], "identifiers": {"user_id": "ularge"}}
        _publish(http, key, {**one, "id": f"more-{n}", "data": data})
        time.sleep(0.1)
        yield


def _publish(http: httpx.Client, key: str, event: dict[str, Any]) -> None:
    event = {**event, "specversion": "1.0", "source": SOURCE, "time": rfc3339(now())}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents+json"}
    http.post("/v1/events", json=event, headers=headers).raise_for_status()


def _next(http: httpx.Client, served: Served, path: str, reads: int) -> Pages:
    """Run after run down the timeline, and from the top again."""
    took, used, waited, below = list[float](), cpu_of(served.pid), list[float](), ""
    for _ in range(reads):
        waits, began = _waits_of(served.pid), time.perf_counter()
        answer = http.get(
            f"{path}/timeline", params={"f": "1", "before": below}, headers={"HX-Request": "true"}
        )
        took.append((time.perf_counter() - began) * 1000)
        after = _waits_of(served.pid)
        waited.append(max(after[one] - waits.get(one, 0) for one in after))
        assert answer.status_code == 200, answer.text[:500]
        below = OLDER.findall(answer.text)[0]
    return Pages(took, (cpu_of(served.pid) - used) / reads * 1000, waited)


def _row(what: str, pages: Pages, quick: bool = True) -> Row:
    half, most = quantile(pages.took, 0.5), quantile(pages.took, 0.99)
    goal, met = ("", None) if quick else (f"p99 < {SERVER_MS} ms", most < SERVER_MS)
    own = quantile((took - waited for took, waited in zip(pages.took, pages.waited, strict=True)), 0.99)
    told = f"p99 {own:.0f} ms with a core"
    return Row(what, 1000 / half, pages.cpu * 1000, "", most, half, goal, met, measured=told)


# In a browser


def _in_a_browser(url: str, path: str, keys: dict[str, str], touchpoints: int, quick: bool) -> Iterator[Row]:
    chromium = next((one for one in CHROMIUM if Path(one).exists()), None)
    if chromium is None or find_spec("playwright") is None:
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(base_url=url, viewport={"width": 1280, "height": 1000}).new_page()
        page.goto(SIGN_IN)
        page.fill("#key", keys["agent"])
        page.click("button[type=submit]")
        page.wait_for_url("**/desk/overview")
        took = []
        for _ in range(3 if quick else 20):
            page.goto(path, wait_until="load")
            took.append(float(page.evaluate(LOADED)))
        half, most = quantile(took, 0.5), quantile(took, 0.99)
        goal, met = ("", None) if quick else (f"p50 < {USABLE_MS} ms", half < USABLE_MS)
        yield Row("  usable in Chromium", None, None, "", most, half, goal, met)
        with httpx.Client(base_url=url, timeout=60) as http:
            yield _seen(page, http, keys["publish"], quick)
        yield _scrolled(page, touchpoints, quick)
        browser.close()


def _seen(page: Any, http: httpx.Client, key: str, quick: bool) -> Row:
    """From sending a touchpoint to its place on the open page."""
    took = []
    page.wait_for_timeout(1_000)  # the stream is open
    for n in range(3 if quick else 30):
        text = f"Seen {n} {time.time_ns()}"
        data = {"text": text, "thread": f"seen-{n}", "identifiers": {"user_id": "ularge"}}
        began = time.perf_counter()
        _publish(http, key, {"type": "chat_message_sent", "id": text, "data": data})
        page.wait_for_selector(f"text={text}", state="attached", timeout=30_000)
        took.append((time.perf_counter() - began) * 1000)
    half, most = quantile(took, 0.5), quantile(took, 0.99)
    goal, met = ("", None) if quick else (f"p99 < {LIVE_MS} ms", most < LIVE_MS)
    return Row("  a touchpoint is on the open page", None, None, "", most, half, goal, met)


def _scrolled(page: Any, touchpoints: int, quick: bool) -> Row:
    """Down to older and older touchpoints, and what the page holds on the way."""
    page.evaluate("document.querySelector('[name=noise]').click()")  # all of them
    wanted = min(touchpoints, SCROLLED)
    began, shown, articles, memory = time.perf_counter(), set[str](), 0, 0.0
    ended = False
    while len(shown) < wanted and not ended and time.perf_counter() - began < LONGEST_SCROLL:
        page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(60)
        held, keys, used = page.evaluate(HELD)
        ended = page.evaluate(AT_THE_END) and shown.issuperset(keys)
        shown.update(keys)
        articles, memory = max(articles, held), max(memory, used / 2**20)
    seconds, far = time.perf_counter() - began, ended or len(shown) >= wanted
    goal = "" if quick else f"at most {MOST_ARTICLES} articles held"
    return Row(
        f"  scrolled through {len(shown):,} touchpoints in {seconds:.0f} s",
        len(shown) / seconds,
        None,
        measured=f"{articles} articles, {memory:.0f} MiB",
        goal=goal,
        met=None if quick else far and articles <= MOST_ARTICLES,
    )
