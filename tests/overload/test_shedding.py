"""Who finds no room is told so at once, before anybody looks at what he sent; and what clients hold is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.overload.processes import status_of
from tests.overload.raw import Answer, Line, Server, batch, get, head, post, serving, wait_until
from touchbook.api.protocol import MOST_WAITING
from touchbook.positions import token_of


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without a single place."""
    with serving(tmp_path_factory.mktemp("book"), max_in_flight=0, max_reads=0) as server:
        yield server


def busy(answer: Answer | None) -> bool:
    assert answer is not None
    assert (answer.status, answer.code) == (503, "overloaded"), answer
    assert answer.headers["retry-after"].isdigit()
    assert answer.headers["cache-control"] == "no-store"
    return True


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/t", "/v1/events", "/v1/scores:batchGet"])
@pytest.mark.parametrize("body", [b"{ no JSON", b"{" * 1_000_000], ids=["small", "large"])
def test_what_finds_no_room_is_not_parsed(full: Server, path: str, body: bytes) -> None:
    assert busy(full.ask(post(path, body, key=full.key())))


def test_nor_is_it_waited_for(full: Server) -> None:
    with full.line() as line:
        line.send(post("/v1/batch", b"{", key=full.key(), length=1_000))
        assert busy(line.answer())


def test_reads_are_turned_away_too_but_never_what_tells_of_health(full: Server) -> None:
    assert busy(full.ask(get("/v1/customers/user_id:42/scores", key=full.key("agent"))))
    for path in ("/healthz", "/readyz", "/metrics"):
        assert full.ask(get(path)).status == 200, path


def test_the_connection_goes_on_and_answers_stay_in_order(full: Server) -> None:
    with full.line() as line:
        line.send(
            post("/v1/batch", b"{}") + get("/healthz") + post("/v1/batch", b"{" * 500_000) + get("/healthz")
        )
        assert busy(line.answer())
        assert (line.answer() or Answer(0, {}, b"")).status == 200
        assert busy(line.answer())
        assert (line.answer() or Answer(0, {}, b"")).status == 200


def test_an_answer_to_head_has_no_content(full: Server) -> None:
    with full.line() as line:
        line.send(head("HEAD", "/v1/schemas", full.key()) + b"\r\n" + get("/healthz"))
        first, second = line.answer(content=False), line.answer()
        assert first is not None
        assert second is not None
        assert (first.status, second.status) == (503, 200)


def test_requests_in_one_breath_are_each_turned_away(full: Server) -> None:
    with full.line() as line:
        for _ in range(50):
            line.send(get("/v1/schemas") * MOST_WAITING)
            assert all(busy(line.answer()) for _ in range(MOST_WAITING))


def test_requests_that_pile_up_behind_one_another_end_the_connection(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.line() as line:
        line.send(get("/openapi.json") * (MOST_WAITING + 2))
        assert line.read_slowly() < (MOST_WAITING + 2) * len(server.ask(get("/openapi.json")).body)


def test_each_refusal_is_counted(full: Server) -> None:
    before = full.book.metrics.total("refused")
    for _ in range(5):
        busy(full.ask(post("/v1/batch", b"{}", key=full.key(source="pushy"))))
    assert full.book.metrics.total("refused") == before + 5
    assert (
        'touchbook_refused_total{code="overloaded",source="pushy"} 5.0' in full.book.metrics.text().decode()
    )


def test_connections_beyond_the_limit_are_told_so_and_the_others_go_on(tmp_path: Path) -> None:
    with serving(tmp_path, max_connections=3) as server:
        with ExitStack() as stack:
            inside = [stack.enter_context(server.line()) for _ in range(3)]
            for line in inside:
                line.send(get("/healthz"))
                assert (line.answer() or Answer(0, {}, b"")).status == 200
            for _ in range(5):
                with server.line() as line:
                    line.send(get("/healthz"))
                    answer = line.answer()
                    assert answer is not None
                    assert (answer.status, answer.code) == (503, "too_many_connections")
                    assert answer.headers["retry-after"].isdigit()
                    assert line.closed()
            inside[0].send(get("/healthz"))
            assert (inside[0].answer() or Answer(0, {}, b"")).status == 200
        wait_until(lambda: server.level("connections") == 0)
        assert server.ask(get("/healthz")).status == 200


def test_a_crowd_far_beyond_the_limit_leaves_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path, max_connections=3, head_seconds=1) as server:
        with ExitStack() as stack:
            crowd = [stack.enter_context(server.line()) for _ in range(400)]
            wait_until(lambda: server.level("connections") == 0)
            told = [line.answer() for line in crowd]
        assert {answer.code for answer in told if answer is not None} == {"too_many_connections"}
        assert server.ask(get("/healthz")).status == 200


def test_bodies_on_their_way_take_no_more_memory_than_they_may(tmp_path: Path) -> None:
    """Each may be a megabyte, all of them two."""
    most = 2 * 2**20
    with serving(tmp_path, max_receiving=most, body_seconds=60) as server:
        with ExitStack() as stack:
            lines = [stack.enter_context(server.line()) for _ in range(12)]
            for line in lines:
                _send(line, post("/v1/batch", b"{" * 900_000, length=1_000_000))
            wait_until(
                lambda: sum(line.heard() for line in lines) >= 10 and server.level("receiving_bytes") <= most
            )
            assert all(busy(line.answer()) for line in lines if line.heard())
        wait_until(lambda: server.level("receiving_bytes") == 0)
        assert server.publish("m-1").status == 200


def _send(line: Line, sent: bytes) -> None:
    with suppress(OSError):  # it was told no before it had said all
        line.send(sent)


def test_bodies_waiting_behind_a_request_count_as_well(tmp_path: Path) -> None:
    """The first request of each line waits on purpose; what comes after it is kept in the meantime."""
    with serving(tmp_path, max_receiving=300_000) as server:
        server.publish("m-1")
        path = f"/v1/customers/user_id:42/scores?min_position={token_of(10**9)}"
        waits = get(path, key=server.key("agent"), Prefer="wait=30")
        with ExitStack() as stack:
            for _ in range(20):
                line = stack.enter_context(server.line())
                line.send(waits)
                _send(line, post("/v1/batch", b"{" * 60_000, key=server.key(), length=60_000))
            wait_until(lambda: server.level("connections") < 20)
            wait_until(lambda: server.level("receiving_bytes") <= 300_000)


def test_who_waits_to_see_what_was_published_takes_no_place_of_those_who_read_now(tmp_path: Path) -> None:
    with serving(tmp_path, max_reads=1, max_waits=2) as server, ExitStack() as stack:
        agent = server.key("agent", "desk")
        assert server.publish("m-1").status == 200
        path = "/v1/customers/user_id:42/scores"
        waits = get(f"{path}?min_position={token_of(10**6)}", key=agent, Prefer="wait=3")
        lines = [stack.enter_context(server.line()) for _ in range(2)]
        for line in lines:
            line.send(waits)
        wait_until(lambda: server.level("in_flight") == 2)
        assert server.ask(get("/v1/scorecards", key=agent)).status == 200
        assert busy(server.ask(waits))
        assert [answer.status for line in lines if (answer := line.answer()) is not None] == [200, 200]


@pytest.mark.parametrize("path", ["/v1/changes", "/v1/customers/user_id:42/timeline/stream"])
def test_live_streams_take_no_place_of_those_who_read(tmp_path: Path, path: str) -> None:
    with serving(tmp_path, max_reads=1) as server, ExitStack() as stack:
        agent = server.key("agent", "desk")
        assert server.publish("m-1").status == 200
        wait_until(lambda: server.ask(get("/v1/customers/user_id:42", key=agent)).status == 200)
        lines = [stack.enter_context(server.line()) for _ in range(3)]
        for line in lines:
            line.send(get(path, key=agent))
        assert [status_of(line) for line in lines] == [200] * 3
        assert server.ask(get("/v1/scorecards", key=agent)).status == 200


def test_a_place_is_given_back_however_a_request_ends(tmp_path: Path) -> None:
    with serving(tmp_path, max_in_flight=2, max_reads=2) as server:
        agent = server.key("agent", "desk")
        for _ in range(3):
            for request, status in (
                (post("/v1/batch", b"{ no JSON", key=server.key()), 400),
                (post("/v1/batch", b"{}"), 401),
                (post("/v1/batch", b"{}", key=agent), 400),
                (post("/v1/batch", b"[]", key=server.key(), Content_Encoding="br"), 415),
                (get("/v1/customers/user_id:nobody", key=agent), 404),
                (get("/v1/nowhere", key=agent), 404),
                (batch("m-1", key=server.key()), 200),
            ):
                assert server.ask(request).status == status
        with server.line() as line:
            line.send(batch("m-2", key=server.key()))
        wait_until(lambda: server.level("in_flight") == 0)
        assert server.publish("m-3").status == 200
