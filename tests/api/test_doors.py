"""What makes the doors fast changes nothing: the plain versions give the same."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.plain import door as plain
from tests.api.serving import Server, chat
from tests.overload.raw import Answer, post, serving
from tests.overload.raw import Server as Served
from touchbook.api.doors import count, published
from touchbook.api.protocol import Protocol
from touchbook.api.seen import header_of
from touchbook.streams.admission import Outcome
from touchbook.streams.metrics import Metrics

POSITIONS = st.integers(1, 2**62)
OUTCOMES = (
    st.builds(Outcome, st.just("accepted"), st.text(), POSITIONS)
    | st.builds(Outcome, st.just("duplicate"), st.text(), POSITIONS)
    | st.builds(
        Outcome, st.just("rejected"), st.text(), st.none(), st.sampled_from(["a", "b"]), st.text('é"\\ \n😀')
    )
)
NAMES = st.sampled_from([b"origin", b"prefer", b"content-type"])


@given(st.lists(OUTCOMES, max_size=5))
def test_an_answer_is_the_same_bytes_as_by_the_plain_version(outcomes: list[Outcome]) -> None:
    assert published(outcomes) == plain.published(outcomes)


@given(st.lists(OUTCOMES, max_size=5))
def test_counters_stand_where_the_plain_version_leaves_them(outcomes: list[Outcome]) -> None:
    fast, plainly = Metrics(), Metrics()

    count(fast, "shop", outcomes)
    plain.count(plainly, "shop", outcomes)

    for name in ("received", "accepted", "duplicates", "rejected", "refused"):
        assert fast.total(name) == plainly.total(name)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=5)), max_size=6), NAMES)
def test_the_first_header_of_a_name_is_the_one_that_counts(
    sent: list[tuple[bytes, bytes]], name: bytes
) -> None:
    scope: dict[str, Any] = {"type": "http", "headers": sent}

    assert header_of(scope, name) == plain.header_of(scope, name)
    assert header_of(scope, name) == plain.header_of(scope, name), "also when it is asked for again"


def test_an_answer_in_one_piece_is_the_one_in_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Protocol._whole
    taken: list[bool] = []

    def watched(*given: Any) -> bool:
        taken.append(whole(*given))
        return taken[-1]

    monkeypatch.setattr(Protocol, "_whole", watched)
    with serving(tmp_path / "whole") as server:
        quick = _answers(server)
    monkeypatch.setattr(Protocol, "_whole", lambda *_: False)
    with serving(tmp_path / "usual") as server:
        usual = _answers(server)

    assert taken == [True, True, True, True, False]  # another origin's never, nor the last, which says so
    assert [answer.status for answer in quick] == [200] * 6
    assert quick == usual
    assert [list(answer.headers) for answer in quick] == [list(answer.headers) for answer in usual]


def _answers(server: Served) -> list[Answer]:
    """To one event alone, in two parts, behind another, of another origin, again, and as the last; without dates."""

    def sent(number: int, **headers: str) -> bytes:
        body = json.dumps(chat(id=f"whole-{number}", source="shop")).encode()
        return post("/v1/events", body, key=server.key(), **headers)

    answers = []
    with server.line() as line:
        for parts in (
            [sent(1)],
            [sent(2)[:-9], sent(2)[-9:]],
            [sent(3) + sent(4, Origin="https://shop.example.test")],
            [],
            [sent(1)],
            [sent(5, Connection="close")],
        ):
            for part in parts:
                line.send(part)
                time.sleep(0.05)
            answers.append(line.answer() or Answer(0, {}, b""))
            answers[-1].headers.pop("date")
        assert line.closed()
    return answers


def test_requests_that_come_during_a_commit_share_the_next(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = server.book.journal._writer
    assert writer is not None
    queue, appended = writer.queue, writer._append
    commits: list[int] = []

    def held_until_all_wait(drafts: list[Any]) -> Any:
        commits.append(len(drafts))
        deadline = time.monotonic() + 20
        while sum(commits) + queue._waiting < 64 and time.monotonic() < deadline:
            time.sleep(0.01)
        return appended(drafts)

    monkeypatch.setattr(writer, "_append", held_until_all_wait)
    asyncio.run(_publish_at_once(server, 64))

    assert len(commits) <= 2
    assert sum(commits) == 64


async def _publish_at_once(server: Server, requests: int) -> None:
    headers = {**server.as_("publish"), "Content-Type": "application/cloudevents+json"}
    limits = httpx.Limits(max_connections=requests)
    async with httpx.AsyncClient(base_url=server.http.base_url, limits=limits, timeout=30) as client:
        answers = await asyncio.gather(
            *(client.post("/v1/events", json=chat(), headers=headers) for _ in range(requests))
        )
    assert [answer.json()["accepted"] for answer in answers] == [1] * requests
