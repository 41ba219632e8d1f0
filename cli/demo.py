"""`touchbook demo`: a server with a believable history of invented customers, alive until Ctrl-C."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchbook.cli.exits import WrongUse
from touchbook.cli.options import AsJson
from touchbook.cli.output import progress, say, show_json

if TYPE_CHECKING:
    from touchbook.cli.serve import Running
    from touchbook.cli.story import Live, Story
    from touchbook.cli.telling import Services
    from touchbook.wiring import Book

LOOPBACK = "127.0.0.1"
HISTORY_SECONDS = 3 * 366 * 86_400
"""The history arrives all at once: what it tells of is not late."""
FEWEST = 24
"""Customers that it takes to tell every life in both languages."""
LIVE_PAUSE = (1.0, 2.0)
"""Seconds between two live touchpoints, from and to."""
DUTY_SECONDS = 30
"""In which somebody has the clock's duty, though another had it before."""
SEED = 8750
AGENT = "Ines Costa"
"""Who has the agent's key."""


def demo(
    customers: Annotated[int, typer.Option(min=FEWEST, max=5000, help="How many invented customers.")] = 300,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8750,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the data directory when it ends.")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A data directory to make and keep.", show_default="a temporary one"
        ),
    ] = None,
    trickle: Annotated[
        bool, typer.Option(help="Go on with live touchpoints, one every second or two.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, help="Another number tells another story.")] = SEED,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the desk in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show it working: a server on this machine with a believable history of a few hundred invented customers.

    Everything comes in through the HTTP doors, part of it by Segment's own client. What to open and to try is printed,
    the agents' desk first, and access keys: they open this demo on this machine, nothing else. Ctrl-C stops all of it
    and leaves nothing behind, unless --keep or --data.
    """
    with interruptible(), data_directory(data, keep=keep) as directory:
        try:
            _run(directory, customers, port, trickle, seed, open_browser, as_json)
        except KeyboardInterrupt:
            say("")


def _run(
    directory: Path, customers: int, port: int, trickle: bool, seed: int, open_browser: bool, as_json: bool
) -> None:
    from touchbook.cli.serve import running
    from touchbook.cli.story import POLICY, Live, history
    from touchbook.cli.telling import Services, keys_for_services
    from touchbook.settings import settings_from
    from touchbook.streams.now import now

    settings = settings_from(
        data=directory,
        host=LOOPBACK,
        port=port,
        log_level="warning",
        late_after=HISTORY_SECONDS,
        policy=POLICY,
        clock=False,  # it begins once the history is told: what it says of a part of it would stand
    )
    with running(settings) as server:
        story = history(customers, seed, now())
        with Services(server.url, keys_for_services(server.book.control)) as services:
            shown = _publish(server, services, story)
            (show_json if as_json else show)(shown)
            if open_browser:
                open_in_browser(shown["desk"])
            _live(services, Live(story.cast, seed)) if trickle else _wait()


def _publish(server: Running, services: Services, story: Story) -> dict[str, Any]:
    """Tells the story and waits until all of it can be read; what there is to show."""
    from touchbook.cli.story import SOURCES

    began = time.monotonic()
    with progress("Publishing", "touchpoints") as tell:
        sent = 0

        def on_told(more: int) -> None:
            nonlocal sent
            sent += more
            tell(sent, len(story.told), sent)

        services.tell(story.told, on_told)
    published = time.monotonic() - began
    settle(server.book)
    server.book.clock.start()
    _notice(server.book)
    total = server.book.metrics.total
    return {
        "url": server.url,
        "desk": f"{server.url}/desk",
        "docs": f"{server.url}/docs",
        "data": str(server.book.settings.data),
        "customers": len(story.customers),
        "channels": len({told.shown_channel for told in story.told}),
        "sources": len(SOURCES),
        "touchpoints": {"sent": len(story.told), **{name: total(name) for name in COUNTED}},
        "seconds": {"published": round(published, 1), "readable": round(time.monotonic() - began, 1)},
        "failures": services.failures,
        "keys": (keys := _reading_keys(server)),
        "curl": _curl_lines(server.url, keys, story),
        "look_at": [
            {
                "ref": f"user_id:{star.person.user_id}",
                "name": star.person.name,
                "life": star.life,
                "what": star.look_at,
            }
            for star in story.stars
        ],
    }


COUNTED = ("received", "accepted", "duplicates", "rejected", "refused", "verdicts")


def settle(book: Book) -> None:
    """Returns once all that was published can be read, and what the clock says of it too."""
    while book.follower.alive:
        if not book.follower.lag:
            book.watch.look()
            if not book.clock.look() and not book.follower.lag:
                return
        time.sleep(0.02)


def _notice(book: Book) -> None:
    """Returns once what the clock says can be read: on many machines it has to be given the duty first. Waits no longer
    than that takes."""
    deadline = time.monotonic() + DUTY_SECONDS
    while time.monotonic() < deadline and not (book.metrics.total("verdicts") and not book.clock.lag()):
        time.sleep(0.05)
    settle(book)


def _reading_keys(server: Running) -> dict[str, str]:
    """One key for each role that reads."""
    readers = {
        "channel": "web-shop",
        "read-scores": "recommendations",
        "agent": "desk",
        "admin": "operations",
    }
    create = server.book.control.create_key
    named = {"agent": AGENT}
    return {role: create(role, source, name=named.get(role))[1] for role, source in readers.items()}


def _curl_lines(url: str, keys: dict[str, str], story: Story) -> list[str]:
    """What a channel asks before it speaks, how somebody stands, and why, and what would mend it."""
    customer = f"{url}/v1/customers/user_id:{story.star('let_down').user_id}"
    asked = (
        ("channel", f"{customer}/context?purpose=offer"),
        ("read-scores", f"{customer}/scores"),
        ("read-scores", f"{customer}/scores/trust/explain?with=complaint_resolved"),
    )
    return [f"curl -s -H 'Authorization: Bearer {keys[role]}' '{address}'" for role, address in asked]


def show(shown: dict[str, Any]) -> None:
    """For people: what happened, and what to open and try. Lines that are to be pasted are never broken."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    counts, seconds = shown["touchpoints"], shown["seconds"]
    console.print(
        f"\n{counts['accepted']:,} touchpoints of {shown['customers']} invented customers over {shown['channels']} "
        f"channels, published by {shown['sources']} services in {seconds['published']} s, all readable after "
        f"{seconds['readable']} s. The clock noticed {counts['verdicts']:,} answers, silences and broken promises that "
        "nobody published.",
        style="bold",
    )
    if counts["accepted"] != counts["sent"]:
        console.print(
            f"{counts['sent']:,} were sent; {counts['rejected']} were set aside, see GET /v1/set-aside.",
            style="red",
        )
    for failure in shown["failures"][:5]:
        console.print(f"Not delivered: {failure}", style="red")
    console.print("\nOpen", style="bold")
    console.print(f"  {shown['desk']}   the agents' desk: sign in with the agent's key below")
    console.print(f"  {shown['docs']}   every route, to be tried in the browser: Authorize with a key below")
    console.print(
        "\nKeys (shown because this is a demo that listens on this machine alone; elsewhere keep them secret)",
        style="bold",
    )
    for role, key in shown["keys"].items():
        console.print(f"  {role:<12} {key}")
    console.print("\nTry", style="bold")
    for line in shown["curl"]:
        console.print(f"  {line}")
    console.print(
        "\nCustomers worth a look (find them in the desk by name; an agent's key reads their timelines over HTTP too)",
        style="bold",
    )
    for star in shown["look_at"]:
        console.print(f"  {star['ref']:<16} {star['name']:<24} {star['what']}")
    console.print("\nCtrl-C stops everything.", style="bold")


def open_in_browser(address: str) -> None:
    """Where there is one with windows; one in this terminal would take it away from the demo."""
    windows = (
        sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if not (windows and webbrowser.open(address)):
        say(f"there is no browser to open here; open {address} in yours")


def _live(services: Services, live: Live) -> None:
    """One touchpoint every second or two, until interrupted."""
    from rich.console import Console

    from touchbook.streams.now import now

    with Console(stderr=True).status("Live touchpoints follow…") as status:
        for number in count(1):
            time.sleep(random.uniform(*LIVE_PAUSE))
            told = live.next(now())
            services.tell([told])
            status.update(f"{number} live touchpoints, the last: {told.type} by {told.shown_channel}")


def _wait() -> None:
    threading.Event().wait()


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal interrupt the block, also where a shell started it in the background."""
    names = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(name, signal.default_int_handler) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextmanager
def data_directory(named: Path | None, *, keep: bool) -> Iterator[Path]:
    """The named directory, which stays, or a temporary one, gone with all it holds when the block ends, however it
    ends, unless it is to be kept. Raises `WrongUse` for a directory that holds something already."""
    if named is not None and named.exists() and (not named.is_dir() or any(named.iterdir())):
        raise WrongUse(
            f"--data: {named} is not empty; name a new directory, or serve it: touchbook serve --data {named}"
        )
    directory = named or Path(tempfile.mkdtemp(prefix="touchbook-demo-"))
    try:
        yield directory
    finally:
        if named is None and not keep:
            shutil.rmtree(directory)
            say("Stopped; nothing is left behind.")
        elif directory.exists():
            say(
                f"Stopped. The data stays in {directory}; to serve it again: touchbook serve --data {directory}"
            )
