"""Told to stop, a server answers what it accepted and ends, whoever still holds on to it."""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack
from pathlib import Path

from tests.overload.processes import journalled, serving, status_of
from tests.overload.raw import batch, get, head, post
from touchbook.positions import token_of

ENDLESS_BUILDING = """
import time, touchbook.wiring as wiring
from touchbook.cli import main
build = wiring.rebuild
def for_ever(*given):
    def go_on(done, head):
        while True:
            given[-1](done, head)
            time.sleep(0.01)
    return build(*given[:-1], go_on)
wiring.rebuild = for_ever
main()
"""
LAST_RESORT = """
import importlib, time
from touchbook.cli import main
from touchbook.wiring import Book
importlib.import_module("touchbook.cli.serve").STOP_SECONDS = 0.5
Book.close = lambda book: time.sleep(600)
main()
"""


def test_it_ends_however_many_hang_and_whoever_was_accepted_is_answered(tmp_path: Path) -> None:
    with serving(tmp_path) as server, ExitStack() as stack:
        enter = stack.enter_context
        known = enter(server.line(batch(*(f"k-{n}" for n in range(200)), key=server.publisher)))
        assert status_of(known) == 200
        customer = "/v1/customers/user_id:42"
        while status_of(enter(server.line(get(customer, key=server.agent)))) != 200:
            time.sleep(0.02)
        streams = [enter(server.line(get(f"{customer}/timeline/stream", key=server.agent))) for _ in range(5)]
        assert [status_of(stream) for stream in streams] == [200] * 5
        heads = [enter(server.line(head("POST", "/v1/batch", server.publisher))) for _ in range(5)]
        uploads = [enter(server.line(post("/v1/batch", b"{", length=1_000))) for _ in range(5)]
        waits = f"{customer}/scores?min_position={token_of(10**9)}"
        long = get(waits, key=server.agent, Prefer="wait=30") + get(customer, key=server.agent) * 2
        waiting = [enter(server.line(long)) for _ in range(5)]
        deaf = [enter(server.line(get("/openapi.json") * 30)) for _ in range(5)]
        time.sleep(0.5)  # all of them are in the server by now, or at its door
        accepted = [enter(server.line(batch(f"a-{n}", key=server.publisher))) for n in range(20)]
        answers = [status_of(line) for line in accepted[:10]]
        server.stop()
        answers += [status_of(line) for line in accepted[10:]]
        code, said = server.ended()

        assert code == 0
        assert "Touchbook has stopped" in said
        assert "Traceback" not in said
        assert answers == [200] * 20
        told = [upload.answer() for upload in uploads]
        assert {(answer.status, answer.code) for answer in told if answer} == {(503, "stopping")}
        assert all(told)
        assert {status_of(line) for line in waiting} == {503}
        assert all(line.closed() for line in heads)
        assert all(line.read_slowly() for line in deaf)
    assert journalled(tmp_path) == 220


def test_told_again_and_again_it_still_answers_what_it_accepted(tmp_path: Path) -> None:
    with serving(tmp_path) as server, ExitStack() as stack:
        upload = stack.enter_context(server.line())
        request = batch("late", key=server.publisher)
        upload.send(request[:-10])
        time.sleep(0.5)
        for name in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            server.stop(name)
            time.sleep(0.1)
        upload.send(request[-10:])
        assert status_of(upload) == 200
        server.stop(signal.SIGINT)
        code, said = server.ended()
        assert code == 0
        assert "Traceback" not in said
    assert journalled(tmp_path) == 1


def test_projections_being_built_anew_do_not_hold_it_up(tmp_path: Path) -> None:
    data, mapping = tmp_path / "book", tmp_path / "more.yaml"
    mapping.write_text("Sofa Assembled:\n  type: page_viewed\n")
    with serving(data) as server:
        with server.line(batch("m-1", "m-2", key=server.publisher)) as line:
            assert status_of(line) == 200
        server.stop()
        assert server.ended()[0] == 0
    with serving(data, "-c", ENDLESS_BUILDING, mappings=json.dumps([str(mapping)])) as server:
        server.stop()
        code, said = server.ended()
    assert code == 0
    assert "stopped before the projections" in said


def test_what_still_hangs_in_the_end_ends_with_the_process(tmp_path: Path) -> None:
    with serving(tmp_path, "-c", LAST_RESORT) as server:
        with server.line(batch("m-1", key=server.publisher)) as line:
            assert status_of(line) == 200
        server.stop()
        assert server.ended()[0] == -signal.SIGALRM
    assert journalled(tmp_path) == 1
