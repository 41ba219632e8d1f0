"""The live stream of the customer page: what happens arrives as a card, once, also after the connection broke."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

import httpx
import pytest

from tests.api.serving import Server
from tests.desk.acting import acting, happened, recorded, words_of
from tests.desk.test_timeline import ARTICLE, articles, keys_in, path_of
from touchbook.wiring import now

pytestmark = pytest.mark.usefixtures("wednesday")

PATIENCE = 20


@dataclass
class Event:
    name: str = ""
    id: str = ""
    data: str = ""


@dataclass
class Listener:
    """Reads a stream in a thread of its own."""

    answer: httpx.Response
    events: Queue[Event] = field(default_factory=Queue)

    def listen(self) -> None:
        event, lines = Event(), list[str]()
        try:
            for line in self.answer.iter_lines():
                if not line and lines:
                    event.data = "\n".join(lines)
                    self.events.put(event)
                    event, lines = Event(), []
                elif line.startswith("data:"):
                    lines.append(line[5:].removeprefix(" "))
                elif ":" in line:
                    name, _, value = line.partition(":")
                    setattr(event, {"event": "name"}.get(name, name), value.strip()) if name in (
                        "event",
                        "id",
                    ) else None
        except httpx.HTTPError:
            pass
        self.events.put(Event("ended"))

    def next(self, name: str) -> Event:
        """The next event of this name; others before it are passed over."""
        while (event := self.events.get(timeout=PATIENCE)).name != name:
            assert event.name != "ended"
        return event


@contextmanager
def listening(agent: httpx.Client, url: str, **headers: str) -> Iterator[Listener]:
    with agent.stream("GET", url, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        listener = Listener(answer)
        thread = threading.Thread(target=listener.listen, daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            answer.close()
            thread.join(PATIENCE)


def live_of(page: str) -> str:
    return html.unescape(re.findall(r'data-live="([^"]*)"', page)[0])


def message(n: int, text: str, thread: str = "t-1", who: str = "heidi") -> dict[str, Any]:
    return {**happened("chat_message_sent", who, 0, thread=thread, text=text), "id": f"{who}-{n}"}


def test_what_happens_comes_as_a_card_that_replaces_its_fold_and_he_stands_anew(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    recorded(server, message(1, "Hello?"))
    with acting(server) as agent:
        path = path_of(server, "user_id:heidi")
        page = agent.get(path).text
        with listening(agent, live_of(page)) as live:
            recorded(server, message(2, "Anybody there?"))
            came = live.next("touchpoint")
            (card,) = articles(came.data)
            assert "2 messages" in words_of(card)
            assert set(keys_in(page)) < set(keys_in(came.data))
            replaced = re.findall(r'data-replaces="([^"]*)"', came.data)[0].split()
            assert set(replaced) == set(keys_in(came.data))
            standing = live.next("standing")
            assert 'id="scores"' in standing.data
            assert 'id="now"' in standing.data

            noise = happened("page_viewed", "heidi", 0, name="Home")
            recorded(server, noise)  # hidden by the page's filters, and counted all the same
            assert "3 touchpoints" in words_of(live.next("standing").data)
            assert live.events.empty()


def test_after_a_break_nothing_is_missing_and_nothing_comes_twice(serve: Callable[..., Server]) -> None:
    server = serve()
    recorded(server, message(0, "First", "t-0"))
    with acting(server) as agent:
        path = path_of(server, "user_id:heidi")
        page = agent.get(path).text
        seen, last = keys_in(page), ""
        for round in range(3):
            before = [10 * round + 1, 10 * round + 2]
            recorded(server, *(message(n, f"While away {n}", f"t-{n}") for n in before))
            with listening(agent, live_of(page), **({"Last-Event-ID": last} if last else {})) as live:
                recorded(server, message(10 * round + 3, "While there", f"t-{10 * round + 3}"))
                while len(seen) < 1 + 3 * (round + 1):
                    came = live.next("touchpoint")
                    seen, last = seen + keys_in(came.data), came.id
        everything = agent.get(f"{path}/timeline", params={"f": "1"}).text
        assert sorted(seen) == sorted(keys_in(everything))


def test_a_late_one_comes_at_its_own_place_and_joined_members_reload_the_page(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    recorded(server, *({**happened("note_taken", "ivan", 0), "id": f"ivan-{n}"} for n in range(70)))
    with acting(server) as agent:
        path = path_of(server, "user_id:ivan")
        page = agent.get(path).text
        with listening(agent, live_of(page)) as live:
            recorded(server, happened("order_placed", "ivan", 40, order_id="o-9"))
            (found,) = ARTICLE.finditer(live.next("touchpoint").data)
            assert now() - int(found[4]) > 39 * 86_400_000
            linked = {"user_id": "ivan", "email": "ivan@example.test"}
            recorded(server, happened("identified", linked, 0, name="Ivan"))
            live.next("reload")


def test_a_stream_ends_with_the_key_and_a_token_not_ours_is_refused(serve: Callable[..., Server]) -> None:
    server = serve()
    recorded(server, message(1, "Hello?"))
    with acting(server) as agent:
        path = path_of(server, "user_id:heidi")
        assert agent.get(f"{path}/live", params={"after": "nonsense"}).status_code == 400
        with listening(agent, live_of(agent.get(path).text)) as live:
            key = next(one for one in server.book.control.list_keys() if one.role == "agent")
            server.book.control.revoke_key(key.id)
            recorded(server, message(2, "Still there?"))
            while live.events.get(timeout=PATIENCE).name != "ended":
                pass
