"""More than a server can do: most are told to come later, and what is accepted is done as ever."""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Set
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measure import cpu_of, memory_of
from benchmarks.overload import Target, load
from benchmarks.overload import batch as events
from tests.overload.processes import Running, journalled, serving, status_of
from tests.overload.raw import batch, get, head, post
from tests.overload.raw import serving as serving_here
from touchbook.api.limits import Limits

SIZE = 100


def test_many_times_what_it_holds_is_answered_by_a_few_acceptances_and_quick_refusals(tmp_path: Path) -> None:
    with serving(tmp_path, log_level="error") as server:
        target = Target(server.host, server.port, server.process.pid, "", "")
        request = events(SIZE, server.publisher).replace(b'"source": "bench"', b'"source":  "shop"')
        before = memory_of(target.pid)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
            heard = elsewhere.submit(load, target, [request], 1_500, 3.0, 200).result()
        grown = memory_of(target.pid) - before
        accepted, refused = heard.took[200], heard.took[503]

        assert set(heard.took) == {200, 503}
        assert len(refused) > len(accepted)
        assert statistics.median(refused) < statistics.median(accepted)
        assert heard.share(503, 0.99) < heard.seconds * 1000 / 2  # nobody waits until the others have gone
        assert grown < 256 * 2**20
        with server.line(batch("after", key=server.publisher)) as line:
            assert status_of(line) == 200
        server.stop()
        assert server.ended()[0] == 0
    assert journalled(tmp_path) == len(accepted) * SIZE + 1


def test_who_connects_while_the_server_is_busy_is_taken_in_with_many_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops, watch, rounds, over = list[asyncio.AbstractEventLoop](), Limits.watch, 0, False

    def watching(limits: Limits, loop: asyncio.AbstractEventLoop, connections: Set[Any]) -> None:
        loops.append(loop)
        watch(limits, loop, connections)

    def be_busy() -> None:
        nonlocal rounds
        rounds += 1
        time.sleep(0.02)
        if not over:
            loops[0].call_soon(be_busy)

    monkeypatch.setattr(Limits, "watch", watching)
    with serving_here(tmp_path) as server, ExitStack() as stack:
        server.ask(get("/healthz"))
        loops[0].call_soon_threadsafe(be_busy)
        lines = [stack.enter_context(server.line()) for _ in range(100)]
        for line in lines:
            line.send(get("/healthz"))
        assert [status_of(line) for line in lines] == [200] * 100
        over = True
    assert rounds < 50


def test_hundreds_of_slow_clients_cost_the_others_next_to_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, log_level="error", max_in_flight=8) as server, ExitStack() as stack:
        publish(server, 100, "warm")
        alone = publish(server, 500, "alone")
        slow = [stack.enter_context(server.line()) for _ in range(300)]
        for n, line in enumerate(slow):
            line.send(head("POST", "/v1/batch", None) if n % 2 else post("/v1/batch", b"{", length=5_000))
        among = publish(server, 500, "among")

        assert among < 2 * alone


def publish(server: Running, count: int, name: str) -> float:
    """So many requests one after another, each accepted; the seconds of CPU that they cost the server."""
    before = cpu_of(server.process.pid)
    with server.line() as line:
        for n in range(count):
            line.send(batch(f"{name}-{n}", key=server.publisher))
            assert status_of(line) == 200
    return cpu_of(server.process.pid) - before
