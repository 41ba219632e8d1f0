"""What the watch remembers of customers who wrote much, against reading all of it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.books import a_book, event, folded, publish
from tests.projections.histories import histories
from tests.projections.test_watch import Watched, all_turns
from tests.thorough import examples
from touchbook.projections import noticing
from touchbook.projections.noticing import Notice
from touchbook.projections.stores.sqlite import SqliteReader
from touchbook.projections.watch import Watch

ALL = 2**62


def told_by(watch: Watch) -> dict[str, Any]:
    return {
        "turns": all_turns(watch),
        "stays": watch.stays(),
        "due": {one.customer: one.at for one in watch.due(ALL)},
        "matters": {one.customer: sorted(one.matters) for one in watch.states()},
    }


@settings(max_examples=examples(12), deadline=None)
@given(histories(40), st.integers(1, 6))
def test_what_is_remembered_of_threads_tells_what_reading_them_again_tells(
    events: list[dict[str, Any]], at_once: int
) -> None:
    with pytest.MonkeyPatch.context() as patched, a_book() as book:
        patched.setattr(noticing, "MANY", 1)
        one = Watched(book)
        for start in range(0, len(events), at_once):
            publish(book, events[start : start + at_once])
            folded(book)
            one.told()
        found = told_by(one.watch)
        one.watch.close()
        one.path = Path(book.settings.data / "again.sqlite")
        one.begin()
        assert found == told_by(one.told())
        one.watch.close()


def wrote(n: int) -> dict[str, Any]:
    return event("chat_message_sent", {"text": "?", "thread": f"t{n % 2}"}, id=f"m{n}")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages were read each time."""
    sizes, messages = list[int](), SqliteReader.messages

    def counted(self: SqliteReader, *asked: Any) -> Any:
        found = messages(self, *asked)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(SqliteReader, "messages", counted)
    return sizes


def test_who_wrote_much_is_not_read_again_while_he_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, read: list[int]
) -> None:
    monkeypatch.setattr(noticing, "MANY", 3)
    heard, plain = list[int](), Notice._heard

    def hear(self: Notice, messages: Any) -> Any:
        heard.append(len(messages))
        return plain(self, messages)

    monkeypatch.setattr(Notice, "_heard", hear)
    with a_book() as book:
        one = Watched(book)
        publish(book, [wrote(n) for n in range(4)])
        folded(book)
        one.told()
        assert (read, heard) == ([4], [2, 2])
        publish(book, [event("page_viewed", {"name": "Home"}, id="p")])
        folded(book)
        one.told()
        assert (read, heard) == ([4], [2, 2]), "who looks at a page wrote nothing"
        publish(book, [wrote(5)])
        folded(book)
        one.told()
        assert (read, heard) == ([4, 3], [2, 2, 3]), "only the thread in which something is new is read"
        assert sorted(turn.messages for turn in all_turns(one.watch)) == [2, 3]
        one.watch.close()


def test_an_erasure_lets_go_of_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noticing, "MANY", 1)
    with a_book() as book:
        one = Watched(book)
        publish(book, [wrote(0)])
        folded(book)
        watch = one.told()
        customer = book.customers.find("user_id:ann").id
        notice = watch._steps._notice
        assert isinstance(notice, Notice)
        assert notice._known.get(customer) is not None
        one.erase("user_id:ann")
        watch.forget()
        assert notice._known.get(customer) is None
        one.watch.close()
