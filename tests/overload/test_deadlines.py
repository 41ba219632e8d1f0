"""Patience with the network ends, and until then it costs nobody a place."""

from __future__ import annotations

import gzip
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.overload.raw import Line, Server, batch, get, post, serving, wait_until

SHORT = {"head_seconds": 0.5, "body_seconds": 0.5, "body_rate": 1_000, "send_seconds": 0.5}


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with room for one request, and little patience."""
    with serving(tmp_path_factory.mktemp("book"), max_in_flight=1, **SHORT) as server:
        yield server


@contextmanager
def dripping(line: Line, drop: bytes) -> Iterator[None]:
    """One drop after another for as long as the block runs."""
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.02):
            try:
                line.send(drop)
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_who_connects_and_keeps_silent_is_hung_up_on(hasty: Server) -> None:
    with hasty.line() as line:
        assert line.closed()


@pytest.mark.parametrize(
    "begun", [b"P", b"POST /v1/batch HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"]
)
def test_a_head_that_does_not_come_to_its_end_is_answered_408(hasty: Server, begun: bytes) -> None:
    with hasty.line() as line:
        line.send(begun)
        answer = line.answer()
        assert answer is not None
        assert (answer.status, answer.code) == (408, "head_too_slow")
        assert answer.headers["connection"] == "close"
        assert line.closed()


def test_drops_of_a_head_win_no_time(hasty: Server) -> None:
    with hasty.line() as line:
        line.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        with dripping(line, b"x"):
            answer = line.answer()
        assert answer is not None
        assert answer.code == "head_too_slow"


def test_empty_lines_between_requests_win_no_time(hasty: Server) -> None:
    with hasty.line() as line:
        line.send(get("/healthz"))
        answer = line.answer()
        assert answer is not None
        assert answer.status == 200
        with dripping(line, b"\r\n"):
            assert line.closed()


def test_a_pause_between_requests_is_none_of_that(hasty: Server) -> None:
    with hasty.line() as line:
        for pause in (0.0, 2.0):
            time.sleep(pause)
            line.send(get("/healthz"))
            answer = line.answer()
            assert answer is not None
            assert answer.status == 200


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/v1/batch", "/v1/events", "/v1/scores:batchGet"])
def test_a_body_that_does_not_come_to_its_end_is_answered_408(
    hasty: Server, path: str, chunked: bool
) -> None:
    role, source = ("agent", "desk") if "scores" in path else ("publish", "shop")
    begun = post(path, b"{", key=hasty.key(role, source), length=100)
    if chunked:
        begun = begun.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked")[:-1] + b"1\r\n{\r\n"
    with hasty.line() as line:
        line.send(begun)
        answer = line.answer()
        assert answer is not None
        assert (answer.status, answer.code) == (408, "body_too_slow")
        assert answer.headers["connection"] == "close"
        assert line.closed()


def test_drops_of_a_body_win_a_little_time_but_not_for_ever(hasty: Server) -> None:
    with hasty.line() as line:
        line.send(post("/v1/batch", b"{", length=1_000))
        with dripping(line, b" "):  # fifty bytes a second where a thousand are expected
            answer = line.answer()
        assert answer is not None
        assert answer.code == "body_too_slow"


def test_a_large_body_may_take_the_time_that_its_size_allows(hasty: Server) -> None:
    request = batch(*(f"slow-{n}" for n in range(60)), key=hasty.key())
    middle = len(request) - 4_000
    with hasty.line() as line:
        line.send(request[:middle])
        for start in range(middle, len(request), 1_000):
            time.sleep(0.4)
            line.send(request[start : start + 1_000])
        answer = line.answer()
        assert answer is not None
        assert answer.status == 200, answer.body


def test_bodies_on_their_way_hold_no_place(hasty: Server) -> None:
    """There is one place; twenty that have no key and twenty that have one are still sending."""
    with ExitStack() as stack:
        for key in [None, hasty.key()] * 20:
            stack.enter_context(hasty.line()).send(post("/v1/batch", b"{", key=key, length=100))
        assert hasty.publish("healthy").status == 200


def test_a_wrong_key_is_told_before_the_body_has_come(hasty: Server) -> None:
    with hasty.line() as line:
        line.send(post("/v1/events", b"{", key="tb_publish_unknown", length=100))
        answer = line.answer()
        assert answer is not None
        assert answer.status == 401


def test_what_is_left_of_a_refused_body_is_not_waited_for(hasty: Server) -> None:
    with hasty.line() as line:
        line.send(post("/v1/events", b"{", key="tb_publish_unknown", length=100_000))
        assert line.answer() is not None
        with dripping(line, b" "):
            assert line.closed()


def test_who_reads_no_answers_is_cut_off_and_nothing_is_held_for_him(tmp_path: Path) -> None:
    asked = 400
    patience: Any = {**SHORT, "body_rate": 1_000_000}  # a second for each megabyte that is still to be read
    with serving(tmp_path, **patience) as server, server.line() as line:
        try:
            for _ in range(asked):
                line.send(get("/openapi.json"))
        except OSError:
            pass
        whole = len(server.ask(get("/openapi.json")).body)
        wait_until(lambda: server.level("connections") == 0)
        assert line.read_slowly() < asked * whole / 2


def test_what_is_sent_packed_takes_no_more_memory_than_its_bytes_until_it_is_whole(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(4_000_000))
    with serving(tmp_path) as server, ExitStack() as stack:
        before = memory()
        for _ in range(100):
            line = stack.enter_context(server.line())
            line.send(post("/v1/batch", bomb[:-1], length=len(bomb), Content_Encoding="gzip"))
        wait_until(lambda: server.level("receiving_bytes") == 100 * (len(bomb) - 1))
        time.sleep(0.2)
        assert memory() - before < 100 * 1_000_000


def memory() -> int:
    """Bytes of memory that this process, the server in it, holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
