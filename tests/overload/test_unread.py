"""A request with the head of one that found no room a moment ago is turned away unread. Nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from tests.overload.raw import get, head, post
from touchbook.api.app import create_app
from touchbook.api.limits import LONGEST_HEAD, MOST_HEADS, Limits
from touchbook.api.protocol import Protocol
from touchbook.settings import settings_from
from touchbook.wiring import open_book

ONE = post("/v1/batch", b"{}")
LONG = post("/v1/batch", b"{" * 500)
EMPTY = get("/v1/schemas")
INNER = post("/v1/events", EMPTY)
CHUNKED = head("POST", "/v1/t", None, Transfer_Encoding="chunked") + b"\r\n2\r\n{}\r\n0\r\n\r\n"
TWO_CHUNKS = CHUNKED.replace(b"2\r\n{}", b"1\r\n{\r\n1\r\n}")
UPGRADE = get("/v1/schemas", Connection="Upgrade", Upgrade="h2c")
UPGRADE_WITH_BODY = post("/v1/t", b"{}", Connection="Upgrade", Upgrade="h2c")
PART = post("/v1/t", b"{", length=1_000)
REQUESTS = [
    ONE,
    LONG,
    EMPTY,
    INNER,
    CHUNKED,
    TWO_CHUNKS,
    UPGRADE,
    UPGRADE_WITH_BODY,
    post("/v1/events", b"\r\n\r\n"),
    post("/v1/t", b"{}", Expect="100-continue"),
    b"\r\n\r\n" + ONE,
    b"\r\n" + EMPTY,
    head("HEAD", "/v1/schemas", None) + b"\r\n",
    post("/v1/t", b"{}", Connection="close"),
    get("/v1/schemas").replace(b"HTTP/1.1", b"HTTP/1.0"),
    post("/v1/t", b"{}", Transfer_Encoding="chunked"),
    get("/v1/schemas", host="twice"),
    PART,
    ONE[:-1] + b"\x00",
    ONE.replace(b"\r\n", b"\n"),
    b"nonsense\r\n\r\n",
]


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += b"" if self.closed else data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def write_eof(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time is told."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        """Until then, with a look at the timers every second."""
        for _ in range(round(seconds)):
            self.now += 1
            self.call_soon(self.stop)
            self.run_forever()


class Full:
    """The limits of a server without a place, and connections to it."""

    def __init__(self, app: Any, loop: Clock) -> None:
        self.app = app
        self.loop = loop
        self.limits: Limits = app.state.limits

    def connection(self) -> tuple[Protocol, Wire]:
        config = Config(self.app, lifespan="off", log_config=None, access_log=False)
        protocol = Protocol(config, ServerState(), {}, self.loop, limits=self.limits)
        protocol.connection_made(wire := Wire())
        return protocol, wire

    def answers(self, chunks: Sequence[bytes], *, unread: bool) -> tuple[bytes, bool, float]:
        """What is written, whether it hangs up, and how many requests it counts as refused."""
        protocol, wire = self.connection()
        before = self.limits.metrics.total("refused")
        for chunk in chunks:
            if not unread:
                self.limits.without_room.clear()
            if not wire.closed:
                protocol.data_received(chunk)
        return wire.written, wire.closed, self.limits.metrics.total("refused") - before

    def learn(self, *requests: bytes) -> None:
        for request in requests:
            self.connection()[0].data_received(request)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    settings = settings_from(data=tmp_path_factory.mktemp("book"), max_in_flight=0, max_reads=0)
    book, loop = open_book(settings), Clock()
    yield Full(create_app(book), loop)
    loop.close()
    book.close()


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Requests one after another, in pieces: mostly as they are, some torn or joined."""
    requests = draw(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=8))
    if draw(st.booleans()):
        return requests
    stream = b"".join(requests)
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=6))
    return [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)]) if a < b]


@given(taught=st.lists(streams(), max_size=3), sent=streams())
@example(taught=[[UPGRADE + EMPTY]], sent=[UPGRADE + EMPTY])
@example(taught=[[CHUNKED]], sent=[TWO_CHUNKS[: len(CHUNKED)], TWO_CHUNKS[len(CHUNKED) :]])
@example(taught=[[b"\r\n\r\n" + ONE]], sent=[b"\r\n\r\n" + LONG[: len(ONE)], LONG[len(ONE) :]])
@example(taught=[[PART]], sent=[PART, b"{" * 999 + EMPTY])
@example(taught=[[EMPTY + post("/v1/t", b"{", length=len(post("/v1/t", b"{")))]], sent=[EMPTY + ONE])
def test_whatever_was_turned_away_before_the_answers_are_those_to_requests_that_are_read(
    full: Full, taught: list[list[bytes]], sent: list[bytes]
) -> None:
    expected = full.answers(sent, unread=False)
    full.limits.without_room.clear()
    for stream in taught:
        full.answers(stream, unread=True)
    assert full.answers(sent, unread=True) == expected


@pytest.mark.parametrize("number", range(len(REQUESTS)))
def test_each_request_is_answered_alike_however_often_it_comes(full: Full, number: int) -> None:
    often = [REQUESTS[number]] * 3
    assert full.answers(often, unread=True) == full.answers(often, unread=False)
    full.learn(REQUESTS[number])
    assert full.answers(often, unread=True) == full.answers(often, unread=False)


@pytest.mark.parametrize("request_", [ONE, LONG, EMPTY, INNER], ids=["one", "long", "empty", "inner"])
def test_what_was_turned_away_is_not_read_again(
    full: Full, request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    full.learn(request_)
    protocol, wire = full.connection()
    monkeypatch.setattr(protocol, "parser", None)
    protocol.data_received(request_)
    protocol.data_received(request_)
    assert wire.written.count(b"HTTP/1.1 503 ") == wire.written.lower().count(b"\r\nretry-after: ") == 2


def test_where_there_is_room_again_it_is_read(full: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    full.learn(EMPTY)
    monkeypatch.setattr(full.limits.reading, "places", 1)
    protocol, wire = full.connection()
    protocol.data_received(EMPTY)
    assert not wire.written
    assert protocol.cycle.scope["path"] == "/v1/schemas"


def test_heads_are_remembered_for_a_moment_and_only_so_many(full: Full) -> None:
    full.limits.without_room.clear()
    full.learn(get("/v1/schemas", X_Long="x" * LONGEST_HEAD))
    assert not full.limits.without_room
    full.learn(*(get(f"/v1/schemas?{n}") for n in range(MOST_HEADS + 5)))
    assert len(full.limits.without_room) == MOST_HEADS
    full.loop.wait(2)
    assert not full.limits.without_room


def test_who_goes_on_asking_is_not_taken_for_idle(full: Full) -> None:
    protocol, wire = full.connection()
    for _ in range(10):
        full.learn(ONE)
        protocol.data_received(ONE)
        full.loop.wait(protocol.timeout_keep_alive // 2)
    assert not wire.closed
    full.loop.wait(2 * protocol.timeout_keep_alive)
    assert wire.closed
