"""What a page remembers of a customer, or reads with less work, is what reading all of it says."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.books import NOON, TODAY, a_book, event, folded, publish
from tests.projections.cluster import ClusterProjections, Workers
from tests.projections.histories import NAMED, histories
from tests.thorough import examples
from touchbook.errors import CustomerUnknown
from touchbook.habits import interests
from touchbook.ledger import Day, merged
from touchbook.positions import position_in
from touchbook.projections.changes import Changes
from touchbook.projections.counted import counted
from touchbook.projections.customers import Customers
from touchbook.projections.series import lines, lines_of
from touchbook.projections.situation import SIGNALS, situation_of
from touchbook.projections.stores.port import Projections
from touchbook.projections.stores.sqlite import SqliteReader
from touchbook.projections.who import Customer
from touchbook.registers import OpenRequest, ThreadMessage, open_cases, promises, values_of
from touchbook.schemas.details import VIA
from touchbook.scoring import score_all
from touchbook.wiring import Book

REFS = [ref for ref in NAMED if not ref.startswith("email")]
few = settings(max_examples=examples(15), deadline=None)
SHAPES = ("one machine", "replica")


class Shape:
    """A store of one shape, filled step by step from a book's journal."""

    def __init__(self, book: Book, store: Projections, replica: bool) -> None:
        self._book, self._store, self._replica = book, store, replica
        self._read, self._after, self._steps = 0, 0, 0
        self.customers = Customers(
            store, book.scorecards, book.journal.rules, book.journal.id_of, book.catalogue.gives
        )

    def fold(self) -> None:
        """Everything that is in the journal by now."""
        records = self._book.journal.read(self._read, 2_000)
        if not records:
            return
        self._read = records[-1].position
        placed = [record._replace(position=self._next()) for record in records]
        self._store.write(self._book.folder.fold(placed), self._after, placed[-1].position)
        self._after = placed[-1].position

    def erase(self, customer: Customer) -> None:
        position = self._next()
        self._store.erase(customer.ids, lambda keys: iter([Changes()]), self._after, position)
        self._after = position

    def people(self) -> list[Customer]:
        found = {}
        for ref in REFS:
            try:
                customer = self.customers.find(ref)
            except CustomerUnknown:
                continue
            found[customer.id] = customer
        return list(found.values())

    def _next(self) -> int:
        self._steps += 1
        return position_in(0, self._steps) if self._replica else self._steps


@contextmanager
def a_shape(name: str) -> Iterator[tuple[Book, Shape]]:
    with ExitStack() as ended:
        book = ended.enter_context(a_book())
        if name == "one machine":
            yield book, Shape(book, book.projections, replica=False)
            return
        directory = ended.enter_context(tempfile.TemporaryDirectory(prefix="touchbook-test-"))
        store = ended.enter_context(closing(ClusterProjections(Path(directory), Workers())))
        yield book, Shape(book, store, replica=True)


def waiting_plainly(messages: Sequence[ThreadMessage]) -> Iterator[list[ThreadMessage]]:
    for _, those in groupby(messages, key=lambda one: one.thread):
        said = list(those)
        answered = max(((one.occurred_at, one.key) for one in said if one.answers), default=(-(2**62), ""))
        waits = [one for one in said if one.role == "customer" and (one.occurred_at, one.key) > answered]
        if waits:
            yield waits


def told_plainly(customers: Customers, customer: Customer, at: Day) -> dict[str, object]:
    """A situation from every row there is."""
    with customers.reading() as reader:
        ledger = merged(reader.ledgers(customer.subjects).values())
        registers = reader.registers(customer.ids)
        waiting = list(waiting_plainly(reader.messages(customer.subjects)))
    requests = [
        OpenRequest(
            those[0].thread,
            those[0].channel,
            those[0].occurred_at,
            len(those),
            those[0].key,
            those[0].purpose,
        )
        for those in waiting
    ]
    rows = [(signal, day, count) for (signal, day), (count, _) in ledger.items() if day <= at]
    said = [one for those in waiting for one in those]
    return {
        "requests": sorted(requests, key=lambda one: (one.since, one.thread)),
        "wrote": {
            channel: max(one.occurred_at for one in said if one.channel == channel)
            for channel in {one.channel for one in said}
        },
        "scores": {
            name: one.to_json() for name, one in score_all(ledger, customers.scorecards.values(), at).items()
        },
        "channels": [row["channel"] for row in interests(ledger, at)["channels"]],
        "counts": {
            signal: (
                sum(count for name, _, count in rows if name == signal),
                max(day for name, day, _ in rows if name == signal),
            )
            for signal in SIGNALS & {name for name, _, _ in rows}
        },
        "values": [values_of(registers, kind) for kind in ("trait", "preference", "consent")],
        "cases": open_cases(registers),
        "promises": [one for one in promises(registers, NOON) if one.state != "kept"],
    }


def told(customers: Customers, customer: Customer, at: Day) -> dict[str, object]:
    found = situation_of(customers, customer, at)
    return {
        **{name: getattr(found, name) for name in ("requests", "wrote", "scores", "channels", "counts")},
        "values": [found.values(kind) for kind in ("trait", "preference", "consent")],
        "cases": open_cases(found.settings),
        "promises": [one for one in promises(found.settings, NOON) if one.state != "kept"],
    }


@pytest.mark.parametrize("shape", SHAPES)
@few
@given(histories(), st.lists(st.integers(0, 40), max_size=4), st.data())
def test_a_situation_is_that_of_reading_everything_whatever_came_since_the_last_one(
    shape: str, events: list[dict[str, object]], cuts: list[int], data: st.DataObject
) -> None:
    with a_shape(shape) as (book, shop):
        places = [0, *sorted(cuts), len(events)]
        for begin, end in pairwise(places):
            publish(book, events[begin:end])
            shop.fold()
            if data.draw(st.integers(0, 5)) == 0 and (people := shop.people()):
                shop.erase(data.draw(st.sampled_from(people)))
                if data.draw(st.booleans()):
                    shop.customers.forget()
            for at in (TODAY, data.draw(st.sampled_from([TODAY, TODAY - 90, TODAY + 1]))):
                for customer in shop.people():
                    assert told(shop.customers, customer, at) == told_plainly(shop.customers, customer, at)


@pytest.mark.parametrize("shape", SHAPES)
@few
@given(histories(max_size=20), st.integers(0, 20))
def test_lines_are_those_of_the_whole_ledger_before_and_after_more_came(
    shape: str, events: list[dict[str, object]], cut: int
) -> None:
    with a_shape(shape) as (book, shop):
        for some in (events[:cut], events[cut:]):
            publish(book, some)
            shop.fold()
            for customer in shop.people():
                with shop.customers.reading() as reader:
                    ledger = merged(reader.ledgers(customer.subjects).values())
                drawn = lines_of(shop.customers, customer, TODAY, 5)
                assert drawn.values == lines(ledger, shop.customers.scorecards, TODAY, 5).values


def test_only_signals_that_were_counted_since_are_read_again() -> None:
    with a_book() as book:
        publish(book, [event("page_viewed", {"name": "Tea"}, days_ago=n) for n in range(3)])
        publish(book, [event("promise_kept", {"promise_id": "p"}, days_ago=1)])
        folded(book)
        signals = book.scorecards.signals
        with book.projections.reading() as reader:
            known = counted(reader, book.customers.find("user_id:ann").subjects, signals, VIA)
        publish(book, [event("promise_kept", {"promise_id": "q"}, days_ago=40)])
        folded(book)
        subjects = book.customers.find("user_id:ann").subjects
        with (
            book.projections.reading() as reader,
            patch.object(
                SqliteReader, "ledger_of", autospec=True, side_effect=SqliteReader.ledger_of
            ) as read,
        ):
            found = counted(reader, subjects, signals, VIA, known)
            assert read.call_args.args[2] == ["promise_kept"]
            assert found.changed(known) == {"promise_kept"}
            assert counted(reader, subjects, signals, VIA, found).changed(found) == set()
            assert found.rows == counted(reader, subjects, signals, VIA).rows


def test_messages_are_read_again_only_where_there_are_more_of_them() -> None:
    with a_book() as book:
        publish(book, [event("chat_message_sent", {"thread": "t", "text": "Hello?"}, days_ago=1)])
        folded(book)
        first = situation_of(book.customers, book.customers.find("user_id:ann"), TODAY)
        with patch.object(SqliteReader, "waiting", autospec=True, side_effect=SqliteReader.waiting) as read:
            publish(book, [event("page_viewed", {"name": "Tea"})])
            folded(book)
            then = situation_of(book.customers, book.customers.find("user_id:ann"), TODAY)
            assert (then.requests, then.wrote) == (first.requests, first.wrote)
            assert then.scores != first.scores
            assert read.call_count == 0
            publish(book, [event("chat_message_sent", {"thread": "t", "text": "Anybody?"})])
            folded(book)
            [request] = situation_of(book.customers, book.customers.find("user_id:ann"), TODAY).requests
            assert (request.messages, read.call_count) == (2, 1)


def test_after_an_erasure_nothing_of_a_situation_stays_in_memory() -> None:
    with a_book() as book:
        publish(book, [event("page_viewed", {"name": "Tea"})])
        customer = folded(book).customers.find("user_id:ann")
        situation_of(book.customers, customer, TODAY)
        assert book.customers.lately.get(("situation", customer.membership)) is not None
        book.customers.forget()
        assert book.customers.lately.get(("situation", customer.membership)) is None


@pytest.mark.parametrize("shape", SHAPES)
def test_an_erasure_by_another_process_is_noticed_by_who_looks_at_anybody(shape: str) -> None:
    with a_shape(shape) as (book, shop):
        publish(book, [event("page_viewed", {"name": "Tea"}, who=who) for who in ("u1", "u2")])
        shop.fold()
        erased, other = shop.customers.find("user_id:u1"), shop.customers.find("user_id:u2")
        for customer in (erased, other):
            situation_of(shop.customers, customer, TODAY)
            lines_of(shop.customers, customer, TODAY, 2)
        shop.erase(erased)
        assert shop.customers.lately.get(("situation", erased.membership)) is not None
        shop.customers.find("user_id:u2")
        for name in ("situation", "lines"):
            assert shop.customers.lately.get((name, erased.membership)) is None


def test_what_is_told_while_somebody_is_forgotten_is_not_remembered() -> None:
    with a_book() as book:
        publish(book, [event("page_viewed", {"name": "Tea"})])
        customers = folded(book).customers
        customer = customers.find("user_id:ann")

        def told_late() -> str:
            customers.forget()
            return "late"

        assert customers.recalled("told", customer, TODAY, told_late) == "late"
        assert customers.recalled("told", customer, TODAY, lambda: "anew") == "anew"
        assert customers.recalled("told", customer, TODAY, lambda: "again") == "anew"


def test_a_replica_that_begins_anew_is_another_than_before(tmp_path: Path) -> None:
    """Rows come again in another order: that they add up to the same says nothing then."""
    with closing(ClusterProjections(tmp_path, Workers())) as store:
        with store.reading() as reader:
            before = reader.version()
        store.replica.file.forget()
        with store.reading() as reader:
            assert reader.version() != before
