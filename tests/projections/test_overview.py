"""What is told of all customers together, against the slow way."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.books import NOON, a_book, event, folded, publish
from tests.projections.histories import histories
from tests.thorough import examples
from touchbook.ledger import day_of
from touchbook.projections import overview as overviews
from touchbook.projections.overview import Cause, Overview, Rate, Waiting
from touchbook.registers import open_requests
from touchbook.timeline import TimelineFilters
from touchbook.wiring import Book

few = settings(max_examples=examples(15), deadline=None)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


class Clock:
    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def over(book: Book) -> Overview:
    """One that remembers nothing of another."""
    return Overview(book.projections, book.customers, book.watch, Clock())


@contextmanager
def at_once() -> Iterator[None]:
    """Nothing is remembered for any time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(overviews, "FRESH_SECONDS", -1.0)
        patched.setattr(overviews, "FRESH_CAUSES_SECONDS", -1.0)
        yield


def everybody(book: Book) -> list[Any]:
    with book.projections.reading() as reader:
        ids = [one.id for one in reader.groups_after("", 100_000)]
    customers = {(who := book.customers.find(id)).id: who for id in ids}
    return [who for who in customers.values() if who.subjects]


# Who waits


def plain_waiting(book: Book) -> list[tuple[int, str, str, str]]:
    found = []
    for customer in everybody(book):
        with book.projections.reading() as reader:
            requests = open_requests(reader.messages(customer.subjects))
        found += [(one.since, one.thread, customer.id, one.touchpoint) for one in requests]
    return sorted(found)


@few
@given(histories(60), st.integers(1, 3), st.integers(1, 4))
def test_the_oldest_unanswered_requests_are_those_that_asking_each_customer_gives(
    events: list[dict[str, Any]], limit: int, candidates: int
) -> None:
    with a_book() as book, pytest.MonkeyPatch.context() as patched:
        patched.setattr(overviews, "CANDIDATES", candidates)
        publish(book, events)
        folded(book)
        told = over(book).waiting(limit)
        expected = plain_waiting(book)
        assert [one.since for one in told] == [since for since, *_ in expected[:limit]]
        assert {(one.since, one.thread, one.customer, one.touchpoint) for one in told} <= set(expected)
        assert len(over(book).waiting(1_000)) == len(expected)


def test_who_waits_is_told_with_his_name_what_it_is_about_and_how_far_he_trusts_us() -> None:
    who = {"user_id": "ann", "anonymous_id": "visit"}
    chat: dict[str, Any] = {"thread": "t1", "text": "Where   is my\norder? " * 20}
    with a_book() as book, at_once():
        publish(
            book,
            [
                event("identified", {"traits": {"name": "Ann Lind"}}, who=who, days_ago=20, id="i"),
                event("chat_message_sent", chat, who={"anonymous_id": "visit"}, days_ago=4, id="c1"),
                event("chat_message_sent", {**chat, "text": "Hello?"}, who="ann", days_ago=3, id="c2"),
                event("case_opened", {"case_id": "C-1", "title": "A lamp"}, who="bo", days_ago=2, id="c3"),
            ],
        )
        overview = over(folded(book))
        first, second = overview.waiting(5)
        ann, bo = (book.customers.find(f"user_id:{name}") for name in ("ann", "bo"))
        trust = book.customers.scores(ann, day_of(NOON))["scores"]["trust"]
        [touchpoint] = [
            item["key"]
            for item in book.customers.timeline(ann, TimelineFilters(), None, 9, "en")["items"]
            if item["id"] == "c1"
        ]
        assert first.about is not None
        assert (first.about[:27], first.about[-1]) == ("Where is my order? Where is", "…")
        assert len(first.about) <= 140
        assert first == Waiting(
            ann.id, "Ann Lind", "t1", "web_chat", NOON - 4 * DAY, first.about, touchpoint, trust["value"], trust["tier"]
        )  # fmt: skip
        assert (second.customer, second.name, second.about) == (bo.id, None, "A lamp")
        assert overview.waiting(1) == [first]

        # Answered under another of his identifiers, whom the thread's own rows do not show.
        reply = {"thread": "t1", "text": "On its way.", "actor": {"kind": "agent"}}
        publish(book, [event("chat_message_sent", reply, who="ann", days_ago=1, id="c4")])
        folded(book)
        assert [one.customer for one in overview.waiting(5)] == [bo.id]


def test_nobody_who_was_erased_is_told_from_memory() -> None:
    with a_book() as book:
        publish(book, [event("case_opened", {"case_id": "C-1"}, who=who, id=who) for who in ("ann", "bo")])
        overview = over(folded(book))
        assert len(overview.waiting(5)) == 2
        members = book.customers.find("user_id:ann").ids
        book.journal.erase(members).result(20)
        book.journal.alone(lambda: book.journal.mark_erased("e" * 32, members[0], members)).result(20)
        folded(book)
        assert [one.customer for one in overview.waiting(5)] == book.customers.find("user_id:bo").ids
        assert len(overview._requests._values) > 0
        book.customers.forget()
        assert (len(overview._requests._values), overview._remembered._told) == (0, {})


def test_of_many_who_ask_at_once_one_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_book() as book:
        overview = over(folded(book))
        reads = []

        def slowly(limit: int) -> list[Waiting]:
            reads.append(limit)
            time.sleep(0.05)
            return []

        monkeypatch.setattr(overview, "_waiting", slowly)
        asking = [threading.Thread(target=overview.waiting, args=(5,)) for _ in range(8)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert reads == [5]


# Rates and causes


def test_rates_tell_each_of_the_last_sixty_minutes_the_last_whole_one_and_the_day() -> None:
    with a_book() as book, at_once():
        now = NOON + 30_000
        minutes = Counter(
            {
                (0, "web"): 2,
                (1, "web"): 3,
                (1, "store"): 1,
                (59, "web"): 1,
                (60, "store"): 5,
                (730, "email"): 4,
            }
        )

        class Reader:
            def version(self) -> str:
                return "1"

            def minutes(self, since: int) -> list[tuple[int, str, int]]:
                rows = [(now // MINUTE - ago, channel, n) for (ago, channel), n in minutes.items()]
                return [row for row in rows if row[0] >= since]

        class Projections:
            @contextmanager
            def reading(self) -> Iterator[Any]:
                yield Reader()

        overview = Overview(Projections(), book.customers, book.watch, Clock(now))  # type: ignore[arg-type]
        web, store, email = overview.rates(now, now - 731 * MINUTE)
        assert web == Rate("web", (1, *[0] * 57, 3, 2), minute=3, today=6)
        assert store == Rate("store", (*[0] * 58, 1, 0), minute=1, today=6)
        assert email == Rate("email", (0,) * 60, minute=0, today=4)
        minutes[0, "web"] += 1
        assert overview.rates(now, now - 731 * MINUTE)[0] == Rate(
            "web", (1, *[0] * 57, 3, 3), minute=3, today=7
        )
        assert [rate.today for rate in overview.rates(now, now - 30 * MINUTE)] == [6, 1], (
            "a day that began just now"
        )


def test_rates_count_what_was_published() -> None:
    with a_book() as book:
        publish(
            book, [event("page_viewed", id=f"e{n}", channel="web" if n % 3 else "store") for n in range(9)]
        )
        folded(book)
        with book.projections.reading() as reader:
            rows = reader.minutes(0)
        now = (rows[-1][0] + 1) * MINUTE
        told = {rate.channel: sum(rate.last_hour) for rate in over(book).rates(now, now - HOUR)}
        assert told == {"web": 6, "store": 3}


def test_causes_of_complaints_are_those_of_seven_days_beside_the_seven_before() -> None:
    ago = {"late_delivery": (1, 2, 8), "no_reply": (6.9, 13.9), "quality": (9, 10, 14.1), None: (3,)}
    with a_book() as book:
        publish(
            book,
            [
                event(
                    "complaint_raised",
                    {"reason": reason} if reason else {},
                    days_ago=days,
                    id=f"{reason}{days}",
                )
                for reason, those in ago.items()
                for days in those
            ],
        )
        assert over(folded(book)).causes(NOON) == [
            Cause("late_delivery", 2, 1),
            Cause(None, 1, 0),
            Cause("no_reply", 1, 1),
            Cause("quality", 0, 2),
        ]
