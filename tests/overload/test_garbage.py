"""What a hot request made is gone when it is answered: cycles would be looked for while everybody else waits."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.overload.raw import Server, batch, get, post, serving

REQUESTS = 200


def published(server: Server, number: int) -> bytes:
    return batch(f"m-{number}", key=server.key())


def reserved(server: Server, number: int) -> bytes:
    asked = {"ref": "user_id:42", "channel": "email", "purpose": "support", "id": str(number)}
    return post("/v1/contact:reserve", json.dumps(asked).encode(), key=server.key("channel", "mailer"))


def scores_read(server: Server, number: int) -> bytes:
    return get("/v1/customers/user_id:42/scores", key=server.key("agent"))


def scores_read_in_bulk(server: Server, number: int) -> bytes:
    return post("/v1/scores:batchGet", b'{"customers": ["user_id:42"]}', key=server.key("agent"))


@pytest.mark.parametrize("request_of", [published, reserved, scores_read, scores_read_in_bulk])
def test_it_leaves_no_cycles(tmp_path: Path, request_of: Callable[[Server, int], bytes]) -> None:
    with serving(tmp_path) as server, server.line() as line:

        def ask(numbers: range) -> None:
            for number in numbers:
                line.send(request_of(server, number))
                answer = line.answer()
                assert answer is not None
                assert answer.status == 200

        server.ask(published(server, 0))
        assert server.book.follower.wait(server.book.journal.head(), 20)
        ask(range(1, 10))  # what is made once is made
        gc.collect()
        gc.disable()
        try:
            ask(range(10, 10 + REQUESTS))
            cycles = gc.collect()
        finally:
            gc.enable()
    assert cycles < REQUESTS
