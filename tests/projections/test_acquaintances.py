"""Customers who were asked about lately: told from memory as they would be read, and read as seldom as that allows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain.reads import plain_customers
from tests.books import TODAY, a_book, event, folded, publish
from tests.projections.histories import NAMED, histories
from tests.thorough import examples
from touchbook.contacting import Candidate
from touchbook.errors import CustomerUnknown
from touchbook.projections import acquaintances
from touchbook.projections.acquaintances import Acquaintances
from touchbook.projections.contact_facts import FATIGUE, NOT_OF_HIM, Fatigue, Look, Tiring, wishes_of
from touchbook.projections.stores.sqlite import SqliteReader
from touchbook.scorecard import ScorecardSet
from touchbook.streams import erasure
from touchbook.streams.contacting import Contacting
from touchbook.streams.deciding import Answer, Asked
from touchbook.wiring import Book

DAYS = (TODAY - 100, TODAY, TODAY + 50)


def ids_of(book: Book, names: Collection[str] = NAMED) -> set[str]:
    return {book.customers.id_named(*name.split(":", 1)) for name in names}


def kept_by(book: Book) -> Acquaintances:
    assert isinstance(book.contacting, Contacting)
    return book.contacting.acquaintances


def as_they_are_read(book: Book) -> None:
    """Everything that is told of them, beside what is read anew."""
    plain, kept, cards = plain_customers(book), kept_by(book), book.scorecards
    with book.customers.reading() as reader:
        found = kept.behind(reader, ids_of(book))
        assert found.keys() == reader.changed(ids_of(book)).keys()
        look = Look(reader, [one for one in found.values() if one.tired is None], Tiring(cards))
        for id, one in found.items():
            who = plain.find(id)
            assert (one.id, one.ids, one.subjects) == (who.id, who.ids, who.subjects)
            assert one.identifiers == {member.id: member.identifier for member in who.members}
            assert one.wishes == wishes_of(reader.registers(who.ids, NOT_OF_HIM))
            told, read = kept.fatigue(look, one), Fatigue(reader, who.subjects, cards)
            assert list(map(told, DAYS)) == list(map(read, DAYS))


def ask(book: Book, ids: Collection[str], round: int) -> None:
    """Whoever is known is decided about: some of it is reserved, and some of that is released or confirmed."""
    candidate = Candidate("c", "email", "support")
    asked = [Asked(id, candidate, "news", f"{round}-{id}", call) for call, id in enumerate(sorted(ids))]
    for answer in book.contacting.reserve(asked).result(30):
        if isinstance(answer, Answer) and answer.kind == "reserved" and int(answer.id[-1], 16) % 3:
            settle = book.contacting.confirm if int(answer.id[-1], 16) % 2 else book.contacting.release
            settle(answer.id, "news", None).result(30)


@settings(max_examples=examples(15), deadline=None)
@given(histories(max_size=20), st.data())
def test_who_was_asked_about_lately_is_told_as_he_is_whatever_came_since(
    history: list[dict[str, Any]], data: st.DataObject
) -> None:
    with a_book() as book:
        place = 0
        while place < len(history):
            much = data.draw(st.integers(1, 5))
            publish(book, history[place : place + much])
            place += much
            if data.draw(st.booleans()):
                folded(book)
            ask(book, data.draw(st.sets(st.sampled_from(sorted(ids_of(book))))), place)
            folded(book, batch=data.draw(st.sampled_from([1, 3, 2_000])))
            as_they_are_read(book)


def read_anew(book: Book, monkeypatch: pytest.MonkeyPatch, ids: set[str]) -> set[str]:
    """Those of whom the groups are read when these are asked about."""
    anew: set[str] = set()
    groups_of = SqliteReader.groups_of
    with monkeypatch.context() as patched, book.customers.reading() as reader:
        patched.setattr(
            SqliteReader, "groups_of", lambda self, ids: (anew.update(ids), groups_of(self, ids))[1]
        )
        kept_by(book).behind(reader, ids)
    return anew


def test_decisions_make_nobody_be_read_anew_and_everything_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["user_id:u1", "user_id:u2", "anonymous_id:a1"]
    with a_book(tmp_path) as book:
        both = {"user_id": "u1", "anonymous_id": "a1"}
        publish(book, [event("page_viewed", who=both, id="1"), event("page_viewed", who="u2", id="2")])
        folded(book)
        first, second, alias = (next(iter(ids_of(book, [name]))) for name in names)
        ids = {first, second, alias}
        assert read_anew(book, monkeypatch, ids) == ids, "what came before cannot be told by name"
        assert read_anew(book, monkeypatch, ids) == ids
        assert read_anew(book, monkeypatch, ids) == set()
        ask(book, {first, second}, 0)
        folded(book)
        assert read_anew(book, monkeypatch, ids) == set()
        ask(book, {alias}, 1)
        folded(book)
        assert read_anew(book, monkeypatch, ids) == {first, alias}, (
            "it was only known as another's until then"
        )
        assert read_anew(book, monkeypatch, ids) == set()
        publish(book, [event("page_viewed", who={"anonymous_id": "a1"}, id="3")])
        folded(book)
        assert read_anew(book, monkeypatch, ids) == {first, alias}
        publish(book, [event("link", {"link": names[1:]}, who={}, id="4")])
        folded(book)
        assert read_anew(book, monkeypatch, ids) == ids


def test_who_may_have_been_touched_unheard_of_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look may begin after something was written and before it is told whom it touched."""
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", who="u1", id="1")])
        folded(book)
        ids = ids_of(book, ["user_id:u1"])
        kept = [read_anew(book, monkeypatch, ids) for _ in range(3)][-1]
        assert kept == set()
        at = book.projections.touched_since(0)[1]
        publish(book, [event("page_viewed", who="u1", id="2")])
        folded(book)
        with monkeypatch.context() as late:
            late.setattr(book.customers, "touched_since", lambda position, decisions: (set(), at))
            assert read_anew(book, monkeypatch, ids) == ids
            assert read_anew(book, monkeypatch, ids) == ids, "nor is it kept"
        assert read_anew(book, monkeypatch, ids) == ids
        assert read_anew(book, monkeypatch, ids) == set()


def test_of_who_is_erased_nothing_stays_and_nobody_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "PATIENCE_SECONDS", 0.2)
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", who=name, id=name) for name in ("u1", "u2")])
        folded(book)
        ids = ids_of(book, ["user_id:u1", "user_id:u2"])
        for _ in range(3):
            read_anew(book, monkeypatch, ids)
        gone = next(iter(ids_of(book, ["user_id:u1"])))
        book.erasures.erase(gone)
        folded(book)
        book.erasures.finish()
        assert kept_by(book)._known == {}
        [answer] = book.contacting.reserve([Asked(gone, Candidate("c", "email", "support"), "news")]).result(
            30
        )
        assert isinstance(answer, CustomerUnknown)


def test_who_is_forgotten_while_he_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", who="u1", id="1")])
        folded(book)
        ids = ids_of(book, ["user_id:u1"])
        read_anew(book, monkeypatch, ids)
        behind = book.customers.behind
        with monkeypatch.context() as patched:
            patched.setattr(
                book.customers, "behind", lambda *asked: (behind(*asked), book.customers.forget())[0]
            )
            assert read_anew(book, monkeypatch, ids) == ids
        assert kept_by(book)._known == kept_by(book)._asked_of == {}
        for _ in range(2):
            read_anew(book, monkeypatch, ids)
        assert kept_by(book)._known.keys() == ids


def test_what_is_kept_is_bounded_and_large_groups_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquaintances, "KEPT", 6)
    monkeypatch.setattr(acquaintances, "LARGE", 3)
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", who=f"u{n}", id=str(n)) for n in range(20)])
        crowd = {"user_id": "u20", "anonymous_id": "a", "device": "d"}
        publish(book, [event("page_viewed", who=crowd, id="crowd")])
        folded(book)
        large = ids_of(book, ["user_id:u20"])
        for _ in range(3):
            read_anew(book, monkeypatch, large)
        assert read_anew(book, monkeypatch, large) == large
        for n in range(20):
            ids = ids_of(book, [f"user_id:u{n}"])
            read_anew(book, monkeypatch, ids)
            assert read_anew(book, monkeypatch, ids) == set()
            assert len(kept_by(book)._asked_of) <= 6


def test_where_decisions_tire_a_customer_his_ledger_is_read_each_time(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        card = book.scorecards[FATIGUE]
        signal = next(iter(card.signals))
        tiring = Tiring(ScorecardSet({FATIGUE: card}))
        publish(book, [event("page_viewed", who="u1", id="1")])
        folded(book)
        ids = ids_of(book, ["user_id:u1"])
        for signals, keeps in ((tiring.signals, True), ({signal, "contact_deferred"}, False)):
            tiring.signals = frozenset(signals)
            kept = Acquaintances(book.customers, tiring)
            with book.customers.reading() as reader:
                [one] = kept.behind(reader, ids).values()
                assert kept.fatigue(Look(reader, [one], tiring), one)(TODAY) is not None
            assert (one.tired is not None) is keeps
