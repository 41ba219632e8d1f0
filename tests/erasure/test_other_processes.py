"""Erasing beside other processes that hold keys in memory, and requests that would erase nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.books import a_book, event, folded, publish
from touchbook.errors import CustomerUnknown, Refused
from touchbook.ledger import day_of
from touchbook.settings import settings_from
from touchbook.streams import erasure, rebuild
from touchbook.wiring import Book, open_book


@contextmanager
def another_process(data: Path) -> Iterator[Book]:
    """One with a keyring of its own, which opens the directory to read and rebuild it."""
    book = open_book(settings_from(data=data), read_only=True)
    try:
        yield book
    finally:
        book.close()


def walks_of_ann_and_bob(book: Book) -> None:
    ann = {"user_id": "ann", "email": "ann@example.test"}
    publish(
        book, [event("walk_taken", who=ann, id=f"a{n}") for n in range(5)] + [event("walk_taken", who="bob")]
    )
    folded(book)


def erased(book: Book, who: str, id: str | None = None) -> dict[str, Any]:
    return book.erasures.erase(book.customers.id_of(who), id=id)


def test_a_rebuild_that_another_process_began_before_brings_nobody_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(rebuild, "BATCH", 3)
    with a_book(tmp_path) as book, another_process(tmp_path) as other:
        walks_of_ann_and_bob(book)
        receipts: list[dict[str, Any]] = []

        def erase_once(done: int, head: int) -> None:
            if not receipts:
                receipts.append(erased(book, "user_id:ann"))

        rebuild.rebuild(tmp_path, other.journal, other.folder, other.version, erase_once)
        [receipt] = receipts
        assert receipt["state"] == "struck", "it waits for the rebuild"

        assert book.erasures.finish() == []
        with pytest.raises(CustomerUnknown):
            book.customers.find("user_id:ann")
        with book.projections.reading() as reader:
            assert reader.rows_of(receipt["members"]) == {
                "entries": 5, "ledger": 0, "registers": 0, "search": 0, "thread_messages": 0, "unanswered": 0,
                "contacts": 0, "claims": 0, "identifiers": 0,
            }  # fmt: skip
        live = book.projections.digest()
        rebuild.rebuild(tmp_path, book.journal, book.folder, book.version)
        assert book.projections.digest() == live


def test_an_id_under_which_somebody_else_was_erased_is_refused_and_erases_nobody(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        walks_of_ann_and_bob(book)
        first = erased(book, "user_id:ann", "a" * 32)

        with pytest.raises(Refused, match="another customer") as refused:
            erased(book, "user_id:bob", "a" * 32)

        assert (refused.value.status, refused.value.code) == (409, "erasure_id_reused")
        assert book.customers.find("user_id:bob")
        assert erased(book, "user_id:ann", "a" * 32) == first


def test_the_receipt_says_where_the_list_lies_whatever_directory_one_was_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with a_book(Path("data")) as book:
        walks_of_ann_and_bob(book)

        kept = erased(book, "user_id:ann")["destroyed_list"]["file"]

    assert kept == str(tmp_path / "data" / "destroyed-keys.txt")


class Interrupted:
    """A look in which something else happens while claims are read."""

    def __init__(self, reader: Any, meanwhile: Callable[[], None]) -> None:
        self._reader, self._meanwhile = reader, meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def claims(self, *given: Any) -> Any:
        found = self._reader.claims(*given)
        self._meanwhile()
        return found


def test_nothing_of_whom_another_process_erased_stays_in_memory_or_is_told(tmp_path: Path) -> None:
    with a_book(tmp_path) as book, another_process(tmp_path) as other:
        walks_of_ann_and_bob(book)
        customers, told = other.customers, []
        customers.forgets(lambda: told.append("all"))
        customers.forgets(lambda: told.append("here"), only_here=True)
        ann, bob = (customers.find(f"user_id:{who}") for who in ("ann", "bob"))
        at = day_of(other.now())
        customers.standing(ann, at)
        customers._who.clear()  # so that who is asked for below is looked up
        customers._links.clear()
        told.clear()

        def meanwhile() -> None:
            erased(book, "user_id:ann")
            with ThreadPoolExecutor(1) as thread:  # a look of its own
                assert thread.submit(customers.find, "user_id:bob").result(30).id == bob.id

        with other.projections.reading() as reader:
            before: Any = Interrupted(reader, meanwhile)
            assert customers.behind(before, {ann.id})[ann.id].ids == ann.ids, "it is the look of before"

        memories = (
            customers._who, customers._links, customers._resolutions, customers._standings, customers._topics,
            customers.lately, customers._recalled,
        )  # fmt: skip
        assert "ann" not in "".join(repr(list(one._values.items())) for one in memories)
        assert set(told) == {"all"}
        with pytest.raises(CustomerUnknown):
            customers.find("user_id:ann")
