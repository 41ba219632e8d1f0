from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.serving import Server, chat
from touchbook.timeline import TimelineFilters

STREAM = "/v1/customers/user_id:42/timeline/stream"


@dataclass
class Event:
    kind: str
    id: str
    data: Any


@contextmanager
def streaming(server: Server, query: str = "", last: str | None = None) -> Iterator[Iterator[Event]]:
    """The events of a stream; the connection is cut when the block ends."""
    headers = {**server.as_("agent"), **({"Last-Event-ID": last} if last else {})}
    with server.http.stream("GET", STREAM + query, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer.iter_lines())


def events(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line == "" and fields:
            yield Event(fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"]))
            fields = {}
        elif name:
            fields[name] = value.removeprefix(" ")


def page(server: Server) -> dict[str, Any]:
    return dict(server.get("/v1/customers/user_id:42/timeline?limit=500").json())


def test_a_page_and_its_stream_leave_no_gap_and_no_double(server: Server) -> None:
    server.event(chat())
    first = page(server)
    later = [chat() for _ in range(3)]
    server.event(later[0])  # between the page and the stream
    with streaming(server, f"?after={first['stream_from']}") as stream:
        seen = [next(stream)]
        for event in later[1:]:
            server.event(event)
            seen.append(next(stream))
    assert [event.kind for event in seen] == ["touchpoint"] * 3
    assert [event.data["id"] for event in seen] == [event["id"] for event in later]
    assert {event.data["key"] for event in seen}.isdisjoint(item["key"] for item in first["items"])
    items = {item["key"]: item for item in page(server)["items"]}
    assert all(items[event.data["key"]] == event.data for event in seen)


@pytest.mark.parametrize("cuts", [[1, 1, 1, 1], [2, 3], [4, 1]])
def test_a_stream_cut_anywhere_goes_on_where_it_was(server: Server, cuts: list[int]) -> None:
    server.event(chat())
    token = page(server)["stream_from"]
    sent = [chat() for _ in range(sum(cuts))]
    publisher = threading.Thread(target=lambda: [server.event(event) for event in sent])
    server.key()
    publisher.start()
    seen: list[str] = []
    last: str | None = None
    for cut in cuts:
        with streaming(server, f"?after={token}", last) as stream:
            for _ in range(cut):
                event = next(stream)
                seen.append(event.data["id"])
                last = event.id
    publisher.join()
    assert seen == [event["id"] for event in sent]


def test_many_at_once_all_come(server: Server) -> None:
    server.event(chat())
    token = page(server)["stream_from"]
    many = [
        {"type": "track", "userId": "42", "event": "chat_started", "messageId": f"m-{n}"} for n in range(450)
    ]
    server.publish(*many)
    with streaming(server, f"?after={token}") as stream:
        assert [next(stream).data["id"] for _ in many] == [call["messageId"] for call in many]


def test_a_stream_has_the_filters_and_the_language_of_the_timeline(server: Server) -> None:
    server.event(chat())
    with streaming(server, "?type=chat_ended") as stream:
        server.event(chat())
        ended = chat(type="chat_ended", data={"identifiers": {"user_id": "42"}, "thread": "t-1"})
        server.event(ended)
        assert next(stream).data["id"] == ended["id"]


def test_words_sought_far_behind_are_found_without_waiting_for_more(server: Server) -> None:
    server.event(chat())
    token = page(server)["stream_from"]
    many = [
        {"type": "track", "userId": "42", "event": "chat_started", "messageId": f"m-{n}"} for n in range(450)
    ]
    server.publish(*many)
    server.event(chat(id="sought", data={"identifiers": {"user_id": "42"}, "text": "a kettle"}))
    customers = server.book.customers
    found = customers.stream(
        customers.find("user_id:42"), token, TimelineFilters(text="Kettle"), "en", limit=200
    )
    assert [item["id"] for _, item in found[2]] == ["sought"]


def test_a_link_says_reload_and_the_stream_goes_on(server: Server) -> None:
    server.event(chat())
    server.publish({"type": "page", "anonymousId": "a-1", "messageId": "p"})
    with streaming(server) as stream:
        server.publish({"type": "alias", "previousId": "a-1", "userId": "42", "messageId": "alias"})
        kinds = [next(stream).kind, next(stream).kind]
        assert kinds == ["reload", "touchpoint"]
        event = chat(data={"identifiers": {"anonymous_id": "a-1"}, "thread": "t", "text": "Hello"})
        server.event(event)
        assert next(stream).data["id"] == event["id"]


def test_a_resumed_stream_says_reload_first_if_others_belong_to_him_by_now(server: Server) -> None:
    server.event(chat())
    token = page(server)["stream_from"]
    server.publish({"type": "alias", "previousId": "a-1", "userId": "42", "messageId": "alias"})
    with streaming(server, f"?after={token}") as stream:
        assert next(stream).kind == "reload"
    fresh = page(server)["stream_from"]
    event = chat()
    with streaming(server, f"?after={fresh}") as stream:
        server.event(event)
        assert next(stream).data["id"] == event["id"]
