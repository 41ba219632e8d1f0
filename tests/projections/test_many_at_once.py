"""Many customers read at once, for who decides about all of them: the same as one after the other."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain.reads import plain_customers
from tests.books import TODAY, a_book, folded, publish
from tests.projections.histories import NAMED, histories
from tests.thorough import examples
from touchbook.projections.contact_facts import NOT_OF_HIM, OF_HIM, Fatigue, Look, Tiring
from touchbook.registers import latest
from touchbook.wiring import Book


def ids_of(book: Book) -> list[str]:
    return [book.customers.id_named(*name.split(":", 1)) for name in NAMED]


def same_at_once(book: Book) -> None:
    ids, plain, cards = ids_of(book), plain_customers(book), book.scorecards
    signals = cards["fatigue"].signals
    with book.customers.reading() as reader:
        known = reader.changed(ids)
        who = book.customers.behind(reader, set(ids))
        assert who == {id: plain.find(id) for id in known}
        assert book.customers.behind(reader, set(ids)) == who  # what is remembered too
        look = Look(reader, list(who.values()), Tiring(cards))
        for one in who.values():
            assert look.settings(one) == reader.registers(one.ids, NOT_OF_HIM)
            fatigue, plainly = look.fatigue(one), Fatigue(reader, one.subjects, cards)
            days = (TODAY - 100, TODAY, TODAY + 50)
            assert [fatigue(day) for day in days] == [plainly(day) for day in days]
        assert reader.ledgers_of(ids, signals) == {
            id: rows for id in ids for rows in map(sorted, reader.ledger_of([id], signals))
        }
        found = reader.settings_of(ids, OF_HIM)
        assert {id: latest(those) for id, those in found.items()} == {
            id: those for id in ids if (those := reader.registers([id], NOT_OF_HIM))
        }


@settings(max_examples=examples(12), deadline=None)
@given(histories(max_size=24), st.data())
def test_many_at_once_are_told_as_one_after_the_other_whatever_came_between(
    history: list[dict[str, Any]], data: st.DataObject
) -> None:
    half = data.draw(st.integers(0, len(history)))
    with a_book() as book:
        for part in (history[:half], history[half:]):
            publish(book, part)
            folded(book)
            same_at_once(book)
