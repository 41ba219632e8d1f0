"""What a worker says of its failures is no customer's: others' words may repeat what records hold."""

from __future__ import annotations

import logging

import pytest

from tests.streams.test_worker import Book, Shop, book, eventually, gathering
from touchbook.errors import StoreUnavailable
from touchbook.streams.worker_folding import Pack

__all__ = ["book"]
SAID = "ann@example.test"


def failing_with(book: Book, error: Exception) -> Shop:
    def fail() -> None:
        raise error

    shop = Shop(book)
    shop.journal.raw(0, None, None, [])
    shop.store.failing = fail
    return shop


@pytest.mark.parametrize("error", [TypeError(SAID), ValueError(SAID), StoreUnavailable("it is away")])
def test_a_failure_is_told_by_kind_and_place_not_in_words_of_others(
    book: Book, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop = failing_with(book, error)
    works = gathering(shop)
    works.take(Pack(0, shop.journal.topic[0], lambda: None))

    eventually(lambda: works.stopped_because or works.failing_because)

    told = f"{works.stopped_because} {works.failing_because}"
    assert works.stop(10)
    assert type(error).__name__ in told
    assert SAID not in told + caplog.text
    assert ("it is away" in told) is isinstance(error, StoreUnavailable)
