"""Telling a story to a running server through its HTTP doors, each service with a key and in a way of its own: two with
Segment's client for Python, the others with batches of CloudEvents."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from touchbook.cli.exits import Failed
from touchbook.cli.remote import LOOPBACK, Server
from touchbook.cli.sending import Door
from touchbook.cli.story import SOURCES, Told, cloudevent, segment_call
from touchbook.cli.story.pen import BY_AGENTS, BY_SEGMENT

if TYPE_CHECKING:
    from segment.analytics.client import Client

    from touchbook.streams.control import Control

AT_ONCE = 3
"""Services that publish at the same time."""
BATCH = 400
SEGMENT_BATCH = 100
"""Touchpoints in one request, of CloudEvents and of Segment's client."""
PATIENCE = 60.0
"""Seconds for which a busy server is asked again."""

OnTold = Callable[[int], None]
"""Told how many touchpoints more were sent."""


class Services:
    """The services of the shop, connected to a server. Use it as a context.

    `failures` names what did not arrive, without its content; Segment's client tells of failures only, so whether all
    was accepted is asked of the server's own counters.
    """

    def __init__(self, url: str, keys: Mapping[str, str]) -> None:
        """`keys`: the secret of each service's key by its source."""
        self.failures: list[str] = []
        self._stopping = False
        self._open = ExitStack()
        self._doors: dict[str, Door] = {}
        self._clients: dict[str, Client] = {}
        for source, key in keys.items():
            if source in BY_SEGMENT:
                self._clients[source] = self._open.enter_context(
                    segment_client(url, key, self.failures.append)
                )
            else:
                server = self._open.enter_context(Server(url, key))
                self._doors[source] = Door(server, PATIENCE, lambda why, seconds: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def tell(self, story: Iterable[Told], on_told: OnTold = lambda sent: None) -> None:
        """Publishes a story, several services at once, each in the order of its happening. When it returns all of it
        was answered. Raises what commands raise for a server that refuses or does not answer."""
        by_source: dict[str, list[Told]] = defaultdict(list)
        for told in story:
            by_source[told.source].append(told)
        largest_first = sorted(by_source, key=lambda source: -len(by_source[source]))
        with ThreadPoolExecutor(AT_ONCE) as services:
            try:
                for done in [
                    services.submit(self._publish, one, by_source[one], on_told) for one in largest_first
                ]:
                    done.result()
            except BaseException:
                # An interruption, too, ends after the requests under way, not after the story.
                self._stopping = True
                services.shutdown(cancel_futures=True)
                raise

    def _publish(self, source: str, story: Sequence[Told], on_told: OnTold) -> None:
        for start in range(0, len(story), BATCH):
            if self._stopping:
                return
            part = story[start : start + BATCH]
            if source in self._clients:
                self._call(self._clients[source], part)
            else:
                taken = self._doors[source].take([cloudevent(told) for told in part])
                self.failures += [
                    f"{part[place].type}: {code}" for place, (code, _) in taken.rejected.items()
                ]
            on_told(len(part))

    def _call(self, client: Client, story: Sequence[Told]) -> None:
        for told in story:
            method, arguments = segment_call(told)
            getattr(client, method)(**arguments)
        client.flush()


def keys_for_services(control: Control) -> dict[str, str]:
    """A key of its own for each service: source → secret."""
    return {
        source: control.create_key("agent" if source in BY_AGENTS else "publish", source, channel)[1]
        for source, channel in SOURCES.items()
    }


@contextmanager
def segment_client(url: str, key: str, on_failure: Callable[[str], None]) -> Iterator[Client]:
    """Segment's own client, told to publish here. What it could not deliver is told to `on_failure`."""
    try:
        from segment.analytics.client import Client
    except ImportError:
        raise Failed(
            "the demo publishes with Segment's client for Python too; install touchbook[demo]"
        ) from None

    spare_the_proxy()
    client = Client(
        key,
        host=url,
        on_error=lambda error, items: on_failure(f"{len(items)} items: {type(error).__name__}"),
        upload_size=SEGMENT_BATCH,
        upload_interval=0.05,
        max_queue_size=2 * BATCH,
        gzip=True,
    )
    try:
        yield client
    finally:
        client.join()


def spare_the_proxy() -> None:
    """A proxy has no business with this machine, and Segment's client can be told so by the environment alone."""
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    os.environ["no_proxy"] = ",".join(dict.fromkeys([*filter(None, named.split(",")), *LOOPBACK]))
