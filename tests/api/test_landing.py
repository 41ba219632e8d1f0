"""What other threads settle reaches those who wait on the event loop, each with its own end."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from touchbook.api.landing import Landing


def test_everybody_who_waits_gets_what_his_future_ended_with_whichever_thread_settled_it() -> None:
    futures: list[Future[int]] = [Future() for _ in range(2000)]

    async def waiting() -> list[int]:
        landing = Landing(asyncio.get_running_loop())
        waiters = [asyncio.ensure_future(landing.of(future)) for future in futures]
        with ThreadPoolExecutor(4) as threads:
            settled = [threads.submit(future.set_result, n) for n, future in enumerate(futures)]
            answers = await asyncio.wait_for(asyncio.gather(*waiters), 30)
        assert all(one.exception() is None for one in settled)
        return answers

    assert asyncio.run(waiting()) == list(range(2000))


def test_a_future_that_was_settled_before_and_one_that_fails_are_told_as_they_are() -> None:
    settled: Future[str] = Future()
    settled.set_result("kept")
    failed: Future[str] = Future()
    failed.set_exception(LookupError("not known"))

    async def waiting() -> str:
        landing = Landing(asyncio.get_running_loop())
        with pytest.raises(LookupError, match="not known"):
            await landing.of(failed)
        return await landing.of(settled)

    assert asyncio.run(waiting()) == "kept"


def test_who_stops_waiting_neither_cancels_the_future_nor_keeps_others_waiting() -> None:
    left, stayed = Future[str](), Future[str]()

    async def waiting() -> str:
        landing = Landing(asyncio.get_running_loop())
        gone, here = asyncio.ensure_future(landing.of(left)), asyncio.ensure_future(landing.of(stayed))
        await asyncio.sleep(0)
        gone.cancel()
        left.set_result("recorded")
        stayed.set_result("recorded too")
        return await asyncio.wait_for(here, 30)

    assert asyncio.run(waiting()) == "recorded too"
    assert left.result() == "recorded"


def test_what_is_settled_after_its_loop_is_closed_troubles_nobody(caplog: pytest.LogCaptureFixture) -> None:
    future: Future[str] = Future()

    async def leaving() -> None:
        waiter = asyncio.ensure_future(Landing(asyncio.get_running_loop()).of(future))
        await asyncio.sleep(0)
        waiter.cancel()

    asyncio.run(leaving())
    future.set_result("recorded")

    assert not caplog.records
