"""Killed at any step, an erasure is completed by the next start or by the same command, under the same receipt."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.books import NOON, SHOP, a_book, event, folded, publish
from touchbook.errors import CustomerUnknown, KeyDestroyed
from touchbook.projections.stores import sqlite as store
from touchbook.projections.stores.sqlite import SqliteProjections
from touchbook.streams import erasure, rebuild
from touchbook.streams.admission import Item
from touchbook.streams.backends.sqlite_control import SqliteControl
from touchbook.streams.backends.sqlite_erasures import SqliteReceipts
from touchbook.streams.backends.sqlite_keyring import SqliteKeyring
from touchbook.streams.backends.sqlite_writer import Writer
from touchbook.streams.destroyed import DestroyedKeys
from touchbook.wiring import Book

STEPS: dict[str, tuple[Any, str, bool]] = {
    "the receipt is begun": (SqliteReceipts, "begin", True),
    "a key's name is on the list": (DestroyedKeys, "append", True),
    "the keys are overwritten, the log is not yet empty": (SqliteKeyring, "_empty_log", False),
    "the keys are gone": (SqliteKeyring, "destroy_keys", True),
    "the erasure is in the journal": (Writer, "mark_erased", True),
    "the receipt says that they are": (SqliteReceipts, "change", True),
    "his rows are being taken away": (store, "_erase", True),
    "his rows are gone": (SqliteProjections, "erase", True),
    "what was set aside is about to go": (SqliteControl, "remove", False),
    "what was set aside is gone": (SqliteControl, "remove", True),
    "the projections are copied": (rebuild, "copied", True),
    "the copy is about to serve": (rebuild, "make_serving", False),
    "the copy serves": (rebuild, "make_serving", True),
    "all is done but the receipt": (erasure, "_files", True),
}
"""What was just done when the process is killed: of what, which function, and whether it still runs."""

forked = multiprocessing.get_context("fork")


def dies(place: Any, name: str, after: bool) -> None:
    """From now on that function ends the process, as a power cut would."""
    whole: Callable[..., Any] = getattr(place, name)

    def cut_short(*given: Any, **more: Any) -> None:
        if after:
            whole(*given, **more)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(place, name, cut_short)


def erase_and_die(data: Path, place: Any, name: str, after: bool) -> None:
    with a_book(data) as book:
        dies(place, name, after)
        book.erasures.erase(book.customers.id_of("user_id:ann"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("whole")
    with a_book(data) as book:
        for name in ("ann", "bob"):
            who = {"user_id": name, "email": f"{name}@example.test"}
            publish(
                book,
                [event("chat_message_sent", {"thread": "t", "text": f"secret of {name}"}, who=who, id=name)],
            )
            wrong = Item(
                "segment", {"type": "no_such_call", "userId": name, "messageId": f"wrong {name}"}, {}
            )
            book.admission.admit([wrong], SHOP, NOON).result(30)
        folded(book)
    return data


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    for file in whole.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def killed_when(step: str, data: Path) -> None:
    process = forked.Process(target=erase_and_die, args=(data, *STEPS[step]))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def is_erased(data: Path) -> dict[str, Any]:
    """The one receipt, once nothing of ann is left and bob is whole."""
    with a_book(data) as book:
        assert book.erasures.receipts.open() == []
        [receipt], _ = book.erasures.receipts.page(10, None)
        with pytest.raises(CustomerUnknown):
            book.customers.find("user_id:ann")
        ann, bob, *_ = book.journal.read()
        with pytest.raises(KeyDestroyed):
            book.journal.open(ann)
        assert book.journal.open(bob).data["text"] == "secret of bob"
        assert [item.item["userId"] for item in book.control.list_set_aside()[0]] == ["bob"]
        live = book.projections.digest()
        rebuild.rebuild(data, book.journal, book.folder, book.version)
        assert book.projections.digest() == live
    files = {file.name: file.read_bytes() for file in data.iterdir()}
    assert [name for name, content in files.items() if b"secret of ann" in content] == []
    assert [name for name, content in files.items() if b"secret of bob" in content] != []
    assert sum(name.startswith("projections-") and name.endswith(".sqlite") for name in files) == 1
    return receipt


@pytest.mark.parametrize("step", STEPS)
def test_killed_when(step: str, data: Path) -> None:
    killed_when(step, data)

    with a_book(data) as book:  # what the same command does
        again = book.erasures.erase(book.journal.read(limit=1)[0].subject)

    receipt = is_erased(data)
    assert receipt == again
    assert receipt["touchpoints"] == 1
    assert len(receipt["set_aside"]) == 1
    assert len(receipt["destroyed_keys"]) == 1


@pytest.mark.parametrize(
    "step", ["the receipt is begun", "a key's name is on the list", "the projections are copied"]
)
def test_the_next_start_completes_it_by_itself(step: str, data: Path) -> None:
    killed_when(step, data)

    with a_book(data) as book:
        book.start()
        assert erasure_ends(book)

    assert is_erased(data)["touchpoints"] == 1


def test_who_returned_while_it_was_not_completed_keeps_what_he_did_since(data: Path) -> None:
    killed_when("the erasure is in the journal", data)

    with a_book(data) as book:
        publish(book, [event("walk_taken", {"text": "back"}, who="ann", id="new")])
        book.erasures.finish()
        folded(book)
        assert book.customers.find("user_id:ann").members[0].touchpoints == 1
        assert book.journal.open(book.journal.read(limit=10)[-1]).data["text"] == "back"


def test_a_failing_disk_leaves_nothing_that_a_dying_key_seals(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with a_book(data) as book:
        subject = book.journal.read(limit=1)[0].subject
        with monkeypatch.context() as patched:
            whole = DestroyedKeys.append
            patched.setattr(DestroyedKeys, "append", lambda *given: (whole(*given), full())[0])
            with pytest.raises(Exception, match="OSError"):
                book.erasures.erase(subject)
        publish(book, [event("walk_taken", {"text": "after"}, who="ann", id="after")])

    with a_book(data) as book:
        [after] = [record for record in book.journal.read(limit=10) if record.type == "walk_taken"]
        assert book.journal.open(after).data["text"] == "after"
        book.erasures.finish()


def erasure_ends(book: Book) -> bool:
    deadline = time.monotonic() + 30
    while book.erasures.receipts.open() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not book.erasures.receipts.open()
