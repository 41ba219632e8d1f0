"""The worker's own half, without servers: what is folded, in which pieces, and what becomes of it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.books import NOON, a_book, event
from tests.streams.topics import PARTS, MemoryStore, TopicJournal, Topics, read
from tests.thorough import examples
from touchbook.errors import StoreUnavailable
from touchbook.positions import position_in
from touchbook.projections.changes import RegisterRow
from touchbook.projections.compacted import Marker, decode
from touchbook.schemas.touchpoint import Identifier, Record, Touchpoint
from touchbook.streams.admission import Publisher, key_of
from touchbook.streams.backends.kafka_records import part_for
from touchbook.streams.published import Publishing
from touchbook.streams.worker_folding import Folding, Pack, TooManyUnreadable
from touchbook.streams.worker_gathering import Gathering, Pace, Watchdog
from touchbook.streams.worker_metrics import WorkerMetrics
from touchbook.wiring import Book


@pytest.fixture(scope="module")
def book() -> Iterator[Book]:
    with a_book() as made:
        yield made


class Shop:
    """A journal, and a worker with what it writes."""

    def __init__(self, book: Book, journal: TopicJournal | None = None) -> None:
        self.book = book
        self.journal = journal or TopicJournal(book)
        self.store, self.topics, self.metrics = MemoryStore(), Topics(), WorkerMetrics()
        self.begin_anew()

    def begin_anew(self) -> None:
        """As after a crash: what was kept stays, what was known is lost."""
        self.publishing = Publishing(
            lambda kind: kind, self.topics, self.topics, self.store.standing, self.metrics.count
        )
        self.folding = Folding(
            self.journal, self.store, self.book.control, self.publishing, self.book.catalogue, read, part_for,
            self.metrics,
        )  # type: ignore[arg-type]  # fmt: skip

    def fold(self, *packs: Pack) -> int:
        gather = self.folding.fold(packs)
        self.folding.save(gather)
        return gather.duplicates

    def pack(self, part: int, start: int, end: int) -> Pack:
        return Pack(part, self.journal.topic[part][start:end], lambda: None)

    def all(self) -> list[Pack]:
        return [self.pack(part, 0, len(kept)) for part, kept in enumerate(self.journal.topic) if kept]


def buying(who: str, number: int, **also: Any) -> dict[str, Any]:
    data = {"order_id": f"{who}-{number}", "amount": 1250, "currency": "EUR", **also}
    return event("order_placed", data, who=who, id=f"order-{who}-{number}", days_ago=number % 5)


def chatting(who: str, number: int) -> dict[str, Any]:
    said = {"thread": f"t-{who}", "text": f"hello {number}", "direction": "in"}
    both = {"user_id": who, "anonymous_id": f"browser-{who}"}
    return event("chat_message_sent", said, who=both, id=f"chat-{who}-{number}", days_ago=number % 3)


PEOPLE = [f"person-{number}" for number in range(7)]


def a_history(count: int = 60) -> list[dict[str, Any]]:
    return [
        (buying if number % 3 else chatting)(PEOPLE[number * number % len(PEOPLE)], number)
        for number in range(count)
    ]


def test_records_that_come_again_in_other_pieces_change_nothing(book: Book) -> None:
    once = Shop(book)
    once.journal.tell(*a_history())
    once.fold(*once.all())

    @settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def whatever_was_lost_on_the_way(chance: random.Random) -> None:
        often = Shop(book, once.journal)
        done = [0] * PARTS
        while any(done[part] < len(once.journal.topic[part]) for part in range(PARTS)):
            packs = []
            for part in range(PARTS):
                at, length = done[part], len(once.journal.topic[part])
                for _ in range(chance.choice([0, 1, 1, 2])):
                    if (size := chance.randint(1, 9)) and at < length:
                        packs.append(often.pack(part, at, min(at + size, length)))
                        at = min(at + size, length)
                if chance.random() < 0.6:  # acknowledged; else all of it comes again
                    done[part] = at
            if packs:
                often.fold(*packs)
            if chance.random() < 0.3:
                often.begin_anew()
        assert often.store.content() == once.store.content()
        assert often.topics.rows() == once.topics.rows()

    whatever_was_lost_on_the_way()


def test_a_touchpoint_sent_again_counts_once_wherever_the_repeat_lands(book: Book) -> None:
    shop, plain = Shop(book), Shop(book)
    history = a_history(30)
    plain.journal.tell(*history)
    plain.fold(*plain.all())
    shop.journal.tell(*history[:20], *history[5:15])  # in one pack
    first = shop.all()
    shop.journal.tell(*history[:3], *history[20:], *history[:30:4])  # in a later one
    duplicates = shop.fold(*first)
    duplicates += shop.fold(
        *(shop.pack(part, len(kept.records), 999) for part, kept in ((pack.part, pack) for pack in first))
    )
    assert duplicates == 10 + 3 + 8
    assert shop.store.content() == plain.store.content()


def test_a_repeat_in_the_gather_before_is_known_while_that_is_still_being_saved(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(buying("ann", 1))
    (part,) = (pack.part for pack in shop.all())
    first = shop.folding.fold(shop.all())
    shop.journal.tell(buying("ann", 1))
    second = shop.folding.fold([shop.pack(part, 1, 2)])
    assert (first.duplicates, second.duplicates) == (0, 1)


def test_a_repeat_is_known_though_the_gather_before_is_saved_while_it_is_folded(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then the store was asked already, and did not know it."""
    shop = Shop(book)
    shop.journal.tell(buying("abe", 1))
    (part,) = (pack.part for pack in shop.all())
    first = shop.folding.fold(shop.all())
    shop.journal.tell(buying("abe", 1))
    whole = shop.journal.open

    def saving_meanwhile(record: Record) -> Touchpoint:
        shop.folding.save(first)
        return whole(record)

    monkeypatch.setattr(shop.journal, "open", saving_meanwhile)
    second = shop.folding.fold([shop.pack(part, 1, 2)])
    assert (first.duplicates, second.duplicates) == (0, 1)


def test_an_id_used_again_with_other_content_is_set_aside_and_counts_nothing(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(buying("bob", 1), buying("bob", 1, amount=9900))
    for _ in range(2):  # delivered again it is set aside once
        assert shop.fold(*shop.all()) == 0
        shop.begin_anew()
    kept = [one for one in book.control.list_set_aside()[0] if one.item["id"] == "order-bob-1"]
    assert [(one.code, one.source, one.item["data"]["amount"]) for one in kept] == [
        ("id_reused", "shop", 9900)
    ]
    totals = [rows["spend:EUR"] for _, rows in shop.store.ledger.values() if "spend:EUR" in rows]
    assert totals == [(1, 1250)]


def test_what_the_server_itself_said_again_in_other_words_is_dropped_and_counted(book: Book) -> None:
    """Two clocks that knew more and less: what was said first stands, and nothing is set aside."""
    shop = Shop(book)
    before = book.control.count_set_aside()
    for waited in (60, 61):
        said = {"waited": waited, "turn": "a" * 32}
        late = event("request_late", said, who="dan", id="request:a", source="touchbook")
        shop.journal.tell(late, publisher=Publisher("touchbook"))
    assert shop.fold(*shop.all()) == 1
    assert book.control.count_set_aside() == before
    assert len(shop.store.entries) == 1
    assert shop.store.content()["registers"] == {
        (book.journal.id_of(Identifier("user_id", "dan")), "verdict", "a" * 32): RegisterRow(
            {"type": "request_late", "waited": 60, "policy": None}, (NOON, key_of("touchbook", "request:a"))
        )
    }


def test_a_repeat_that_can_no_longer_be_compared_is_a_duplicate(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(buying("cleo", 1))
    shop.fold(*shop.all())
    shop.journal.tell(buying("cleo", 1, amount=100))
    book.keyring.destroy([book.journal.id_of(Identifier("user_id", "cleo"))])
    book.journal.heed_erasures()
    before = book.control.count_set_aside()
    assert shop.fold(*shop.all()) == 1
    assert book.control.count_set_aside() == before


@pytest.mark.parametrize("size", [1, 4, 100])
def test_an_erasure_takes_all_of_a_member_away_and_nothing_else(book: Book, size: int) -> None:
    shop, without = Shop(book), Shop(book)
    who = [f"erased-{size}-{number}" for number in range(2)]
    stays = [buying(f"stays-{size}", number) for number in range(8)]
    shop.journal.tell(*(buying(who[number % 2], number) for number in range(8)), *stays)
    ids = [book.journal.id_of(Identifier("user_id", one)) for one in who]
    shop.journal.erase(*ids)
    back = [buying(who[0], 20), buying(f"stays-{size}", 21)]
    shop.journal.tell(*back)
    without.journal.tell(*stays, *back)
    without.fold(*without.all())
    for part, kept in enumerate(shop.journal.topic):
        for start in range(0, len(kept), size):
            shop.fold(shop.pack(part, start, start + size))
    told, expected = shop.store.content(), without.store.content()
    erased = {key: row for key, row in told.pop("entries").items() if row[1] in ids and row[3] == "erased"}
    assert len(erased) == 8
    expected.pop("entries")
    assert told == expected
    assert shop.topics.rows().items() >= without.topics.rows().items()
    left = [told for told in settled(shop).values() if ids[1] in told]
    assert left == []


def test_ten_unreadable_records_in_a_row_stop_it_before_anything_is_acknowledged(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(buying("dan", 1))
    (part,) = (pack.part for pack in shop.all())
    for number in range(10):
        shop.journal.raw(part, b"dan", b"no body", [("who", b"%d" % number)])
    with pytest.raises(TooManyUnreadable, match="offset 10 of partition"):
        shop.fold(*shop.all())
    assert shop.store.writes == 0


def test_a_few_unreadable_records_are_counted_and_passed(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(buying("eve", 1))
    (part,) = (pack.part for pack in shop.all())
    for _ in range(9):
        shop.journal.raw(part, None, None, [])
    shop.journal.tell(buying("eve", 2))
    shop.fold(*shop.all())
    assert shop.metrics.total("unreadable") == 9
    assert len(shop.store.entries) == 2


def test_while_keys_cannot_be_read_nothing_becomes_unreadable(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(buying("kim", 1), buying("lou", 1), buying("mia", 1))
    for _ in range(6):
        shop.journal.raw(0, None, None, [])
    real, shop.journal.open = shop.journal.open, Held()  # type: ignore[assignment]
    for _ in range(3):  # tried again, the six are still six
        with pytest.raises(StoreUnavailable):
            shop.fold(*shop.all())
    shop.journal.open = real
    shop.fold(*shop.all())
    assert {row[5] for row in shop.store.entries.values()} == {"order_placed"}


def test_after_every_write_each_topic_says_how_far_it_is(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(buying("fay", 1), buying("fay", 1))
    (part,) = (pack.part for pack in shop.all())
    shop.fold(shop.pack(part, 0, 1))
    shop.fold(shop.pack(part, 1, 2))  # a duplicate: who waits for its position must see it come
    for topic in ("ledgers", "registers", "claims"):
        key, value = shop.topics.logs[topic, part][-1]
        told = decode(topic, key, value)
        assert isinstance(told, Marker)
        assert told.position == position_in(part, 1)


# A stale owner's words


def late_words(shop: Shop, count: int) -> list[tuple[tuple[str, int], tuple[bytes, bytes | None]]]:
    """What was published first, as a worker that was held still would write it again."""
    return [(place, said) for place, log in shop.topics.logs.items() for said in log[:count]]


def settled(shop: Shop) -> dict[tuple[str, int, bytes], Any]:
    return {name: told for name, told in shop.topics.rows().items() if told[0] != "Erased"}


def two_writes(book: Book, who: str) -> tuple[Shop, list[Pack]]:
    shop = Shop(book)
    shop.journal.tell(*(buying(who, number) for number in range(10)))
    (part,) = (pack.part for pack in shop.all())
    return shop, [shop.pack(part, 0, 4), shop.pack(part, 4, 8), shop.pack(part, 8, 10)]


def test_what_a_stale_owner_wrote_between_two_writes_is_put_right_by_the_next(book: Book) -> None:
    shop, packs = two_writes(book, "gil")
    undisturbed = Shop(book, shop.journal)
    for pack in packs:
        undisturbed.fold(pack)
    shop.fold(packs[0])
    late = late_words(shop, 3)
    shop.fold(packs[1])
    for place, said in late:
        shop.topics.write(*place, *said)
    shop.fold(packs[2])
    assert settled(shop) == settled(undisturbed)
    assert shop.metrics.total("repaired") == 1


def test_what_a_stale_owner_wrote_is_put_right_while_nothing_else_happens(book: Book) -> None:
    shop, packs = two_writes(book, "hal")
    shop.fold(packs[0])
    late = late_words(shop, 3)
    shop.fold(packs[1])
    before = settled(shop)
    shop.publishing.look()
    assert shop.metrics.total("repaired") == 0
    for place, said in late:
        shop.topics.write(*place, *said)
    assert settled(shop) != before
    shop.publishing.look()
    assert settled(shop) == before
    shop.publishing.look()
    assert shop.metrics.total("repaired") == 1


def test_two_owners_one_after_the_other_do_not_put_each_other_right_for_ever(book: Book) -> None:
    first, packs = two_writes(book, "hedy")
    first.fold(packs[0])
    second = Shop(book, first.journal)
    second.store, second.topics = first.store, first.topics
    second.begin_anew()
    first.publishing.lose([packs[0].part])
    second.fold(packs[1])
    second.fold(packs[2])
    before = settled(second)
    told = sum(map(len, first.topics.logs.values()))
    for _ in range(3):
        first.publishing.look()
        second.publishing.look()
    assert settled(second) == before
    assert sum(map(len, first.topics.logs.values())) == told
    assert first.metrics.total("repaired") == second.metrics.total("repaired") == 0


def test_a_part_that_comes_back_is_looked_after_once_it_is_published_to(book: Book) -> None:
    shop, packs = two_writes(book, "hugo")
    shop.fold(packs[0])
    late = late_words(shop, 3)
    shop.publishing.lose([packs[0].part])
    shop.fold(packs[1])
    before = settled(shop)
    for place, said in late:
        shop.topics.write(*place, *said)
    shop.publishing.look()
    assert settled(shop) == before
    assert shop.metrics.total("repaired") == 1


def test_the_next_owner_puts_right_what_the_last_one_did_not_live_to_see(book: Book) -> None:
    shop, packs = two_writes(book, "ida")
    undisturbed = Shop(book, shop.journal)
    for pack in packs:
        undisturbed.fold(pack)
    shop.fold(packs[0])
    late = late_words(shop, 3)
    shop.fold(packs[1])
    for place, said in late:
        shop.topics.write(*place, *said)
    shop.begin_anew()
    shop.fold(packs[2])
    assert settled(shop) == settled(undisturbed)


def test_what_a_stale_owner_wrote_of_somebody_erased_since_does_not_stay(book: Book) -> None:
    shop, packs = two_writes(book, "joy")
    shop.fold(packs[0])
    late = late_words(shop, 3)
    subject = book.journal.id_of(Identifier("user_id", "joy"))
    shop.journal.erase(subject)
    shop.fold(shop.pack(packs[0].part, 4, 11))
    for place, said in late:
        shop.topics.write(*place, *said)
    shop.publishing.look()
    assert settled(shop) == {}


# Two threads


class Held:
    """A store that fails until it is let go."""

    def __init__(self) -> None:
        self.failing = True

    def __call__(self, *_: object) -> None:
        if self.failing:
            raise StoreUnavailable("it is away")


def gathering(shop: Shop) -> Gathering:
    made = Gathering(shop.folding, Pace(10, 0.0), shop.metrics, shop.publishing.look)
    made.start()
    return made


def eventually(true: Any) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_packs_are_acknowledged_in_order_and_only_once_kept(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(*a_history(60))
    once = Shop(book, shop.journal)
    once.fold(*once.all())
    held = shop.store.failing = Held()
    works = gathering(shop)
    done: list[tuple[int, int]] = []
    expected = []
    for start in range(0, 60, 3):
        for part, kept in enumerate(shop.journal.topic):
            if records := kept[start : start + 3]:
                expected.append((part, start))
                works.take(Pack(part, records, lambda name=(part, start): done.append(name)))  # type: ignore[misc]
    eventually(lambda: works.failing_because)
    assert done == []
    held.failing = False
    eventually(lambda: len(done) == len(expected))
    assert done == expected
    assert works.failing_because is None
    assert works.stop(10)
    assert shop.store.content() == once.store.content()
    assert shop.store.writes < len(expected)  # several packs share a write


def test_what_was_taken_before_parts_changed_hands_is_not_acknowledged(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(*a_history(30))
    held = shop.store.failing = Held()
    works = gathering(shop)
    done: list[str] = []
    for pack in shop.all():
        works.take(pack._replace(acknowledge=lambda: done.append("before")))
    eventually(lambda: works.failing_because)
    works.drop()
    held.failing = False
    for pack in shop.all():
        works.take(pack._replace(acknowledge=lambda: done.append("since")))
    eventually(lambda: len(done) == len(shop.all()))
    assert works.stop(10)
    assert set(done) == {"since"}
    assert set(shop.store.forgotten) <= set(range(PARTS))
    once = Shop(book, shop.journal)
    once.fold(*once.all())
    assert shop.store.content() == once.store.content()


def test_parts_that_change_hands_while_it_waits_for_more_leave_it_something_to_do(book: Book) -> None:
    shop = Shop(book)
    shop.journal.tell(*a_history(30))
    works = Gathering(shop.folding, Pace(10_000, 1.0), shop.metrics, shop.publishing.look)
    works.start()
    done: list[str] = []

    def take(said: str) -> None:
        for pack in shop.all():
            works.take(pack._replace(acknowledge=lambda: done.append(said)))

    take("before")
    eventually(lambda: done)
    take("waited with")
    time.sleep(0.2)
    works.drop()
    time.sleep(1.2)  # what it waited with is somebody else's by now
    take("again")
    eventually(lambda: done.count("again") == len(shop.all()) or works.stopped_because)
    assert works.stopped_because is None
    assert works.stop(10)


def test_unreadable_records_end_it_and_say_why(book: Book) -> None:
    shop = Shop(book)
    for _ in range(12):
        shop.journal.raw(0, None, None, [])
    works = gathering(shop)
    works.take(shop.pack(0, 0, 12))
    eventually(lambda: works.stopped_because)
    assert "Install a version that can" in (works.stopped_because or "")
    assert works.stop(10)


# The watchdog


def watching(lags: Sequence[tuple[float, int, int]], seconds: float = 60) -> list[str | None]:
    now = [0.0]
    watchdog = Watchdog(seconds, lambda: now[0])
    told = []
    for at, lag, sign in lags:
        now[0] = at
        told.append(watchdog.look(lag, sign))
    return told


def test_the_watchdog_tells_standing_still_from_having_nothing_to_do() -> None:
    assert watching([(0, 0, 1), (1_000, 0, 1), (2_000, 0, 1)]) == [None] * 3
    assert watching([(0, 5, 1), (50, 5, 2), (100, 5, 3)]) == [None] * 3
    assert watching([(0, 0, 1), (500, 5, 1), (555, 9, 1)]) == [None] * 3
    still, ended = watching([(0, 5, 1), (59, 9, 1), (61, 9, 1)])[1:]
    assert still is None
    assert ended is not None
    assert "no progress for 61 s while 9 records wait" in ended
