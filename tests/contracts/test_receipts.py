"""The promises of the receipts of erasures, kept by every adapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.streams.sharing import Shared
from tests.streams.touchpoints import Clock
from touchbook.errors import ErasureUnknown, Refused
from touchbook.schemas.times import rfc3339
from touchbook.streams.backends.sqlite_erasures import SqliteReceipts
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.receipts import Receipt, Receipts

PATIENCE = 30.0


class SqliteShelf:
    """Where the receipts of a test lie. Opened again, it is another process' look at the same."""

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        self._directory = directory
        self._opened: list[SqliteReceipts] = []

    def open(self) -> Receipts:
        self._opened.append(SqliteReceipts.at(self._directory))
        return self._opened[-1]

    def close(self) -> None:
        for receipts in self._opened:
            receipts.close()


class KafkaShelf:
    """The same through a real broker: each process with a directory of its own."""

    def __init__(self, directory: Path, request: pytest.FixtureRequest) -> None:
        self._keyring = SqliteKeyring.at(directory)
        self._shared = Shared(request.getfixturevalue("kafka"), directory)

    def open(self) -> Receipts:
        return self._shared.control(self._keyring, Clock()).receipts

    def close(self) -> None:
        self._shared.close()
        self._keyring.close()


@pytest.fixture(params=[SqliteShelf, pytest.param(KafkaShelf, marks=pytest.mark.server)])
def open_receipts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Receipts]]:
    with closing(request.param(tmp_path, request)) as shelf:
        yield shelf.open


@pytest.fixture
def receipts(open_receipts: Callable[[], Receipts]) -> Receipts:
    return open_receipts()


def receipt(number: int, *members: str, **fields: Any) -> Receipt:
    return {
        "erasure": f"{number:032x}",
        "state": "begun",
        "requested_at": rfc3339(1_760_000_000_000 + number),
        "members": list(members or ["ann"]),
        **fields,
    }


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_what_became_of_an_erasure_is_kept_and_one_that_is_done_is_open_no_longer(receipts: Receipts) -> None:
    one, two = receipt(1), receipt(2, "bob")
    receipts.begin(one)
    receipts.begin(two)
    assert receipts.open() == [one, two]

    receipts.change({**one, "state": "struck"})
    receipts.change({**two, "state": "done"})

    assert receipts.open() == [{**one, "state": "struck"}]
    assert receipts.get(two["erasure"]) == {**two, "state": "done"}


def test_an_erasure_that_never_was_is_unknown(receipts: Receipts) -> None:
    with pytest.raises(ErasureUnknown):
        receipts.get("0" * 32)
    assert receipts.last_of("ann") is None


def test_the_last_that_named_somebody_is_told(receipts: Receipts) -> None:
    first, second, other = receipt(1, "ann", "ann's phone"), receipt(2, "ann"), receipt(3, "bob")
    for one in (first, second, other):
        receipts.begin(one)
    receipts.change({**first, "state": "done"})

    assert receipts.last_of("ann") == second
    assert receipts.last_of("ann's phone") == {**first, "state": "done"}


def test_pages_go_from_newest_to_oldest_and_a_cursor_holds_in_every_process(
    receipts: Receipts, open_receipts: Callable[[], Receipts]
) -> None:
    for number in range(5):
        receipts.begin(receipt(number))
    receipts.change(receipt(1, state="done"))
    other = open_receipts()

    first, cursor = receipts.page(2, None)
    receipts.begin(receipt(9))
    second, cursor = other.page(2, cursor)
    third, end = receipts.page(2, cursor)

    found = [one["erasure"] for page in (first, second, third) for one in page]
    assert found == [receipt(number)["erasure"] for number in (4, 3, 2, 1, 0)]
    assert end is None
    with pytest.raises(Refused, match="cursor"):
        receipts.page(2, "x")


def test_what_one_process_keeps_others_see(receipts: Receipts, open_receipts: Callable[[], Receipts]) -> None:
    other = open_receipts()
    receipts.begin(receipt(1))
    assert eventually(lambda: other.open() == [receipt(1)])

    other.change(receipt(1, state="done"))

    assert eventually(lambda: receipts.open() == [])
    assert open_receipts().last_of("ann") == receipt(1, state="done")
