"""What was shaped for speed says what its plain predecessor says: rows, bodies, values, spelling, to the last bit."""

from __future__ import annotations

import json
import math
import random
import sqlite3
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain.fold import plain_decoded, plain_rebuild, plain_spelled
from tests.books import NOON, SHOP, TODAY, a_book, event, folded, publish
from tests.projections.histories import PEOPLE, histories
from tests.thorough import examples
from touchbook.projections.stores.sqlite import TABLES, serving
from touchbook.schemas.touchpoint import Identifier, Record, Touchpoint
from touchbook.sealing import decode_body, encode_body
from touchbook.spelling import spelled
from touchbook.streams import rebuild as rebuilding
from touchbook.streams.admission import Item
from touchbook.streams.rebuild import rebuild
from touchbook.timeline import TimelineFilters
from touchbook.wiring import Book

few = settings(max_examples=examples(25), deadline=None)
many = settings(max_examples=examples(300), deadline=None)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
EDGES = st.sampled_from([0.0, -0.0, 1e16, 1e-5, 9.9e-5, 1e-4, 1e15, 5e-324, 1.7976931348623157e308, 2.0**53])
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | EDGES
MAPPED = [
    event(
        "Order Completed",
        {"order_id": 7, "total": "12.50", "currency": "eur", "affiliation": "shop"},
        id="m1",
    ),
    event("Product Clicked", {"product_id": 9, "category": "tea", "price": 3.5, "position": 1}, id="m2"),
    event("Products Searched", {"query": "tea", "x": None}, id="m3"),
    event("Live Chat Conversation Ended", {"conversation_duration": 12.5}, id="m4"),
]
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def embroidered(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Histories in which some data holds fields nobody described, some of ours with values that may not fit."""
    ours = st.sampled_from(
        ["campaign", "location", "purpose", "direction", "actor", "amount", "total", "category"]
    )
    strays = st.dictionaries(TEXTS | ours, JSON, max_size=3)
    events = [*draw(histories(max_size=25)), *draw(st.lists(st.sampled_from(MAPPED), max_size=4))]
    return [
        {**one, "data": {**draw(strays), **one["data"]}} if draw(st.booleans()) else one for one in events
    ]


def rows_of(path: Path) -> dict[str, list[Any]]:
    with sqlite3.connect(path) as db:
        return {table: sorted(db.execute(f"SELECT * FROM {table}"), key=str) for table in TABLES}


def serving_rows(book: Book) -> dict[str, list[Any]]:
    path = serving(book.settings.data)
    assert path is not None
    return rows_of(path)


@few
@given(embroidered(), st.integers(1, 9))
def test_every_row_that_is_folded_or_rebuilt_is_the_plain_one(
    events: list[dict[str, Any]], batch: int
) -> None:
    with a_book() as book:
        publish(book, events)
        plain = rows_of(plain_rebuild(book.settings.data, book, batch))
        assert serving_rows(folded(book, batch)) == plain
        rebuild(book.settings.data, book.journal, book.folder, book.version)
        assert serving_rows(book) == plain
        assert book.folder.unreadable == 0


def test_people_who_share_a_device_are_told_apart_as_one_by_one() -> None:
    rnd = random.Random(7)
    people = [{"user_id": f"u{rnd.randrange(60)}", "device": f"d{rnd.randrange(4)}"} for _ in range(120)]
    chains = [{"email": f"e{n}@example.test", "anonymous_id": f"a{n // 2}"} for n in range(40)]
    chains += [{"email": f"e{n}@example.test", "anonymous_id": f"a{n // 2 + 1}"} for n in range(40)]
    with a_book() as book:
        publish(book, [event("page_viewed", who=who, id=f"e{n}") for n, who in enumerate(people + chains)])
        plain = rows_of(plain_rebuild(book.settings.data, book, 30))
        assert serving_rows(folded(book, 30)) == plain
        assert {row[-2] for row in plain["identifiers"]} == {0, 1}, "somebody is shared, and somebody is not"


@many
@given(JSON)
def test_a_value_is_spelled_as_python_spells_it(value: Any) -> None:
    assert spelled(value) == plain_spelled(value)


def test_every_size_of_number_and_every_character_is_spelled_as_python_spells_it() -> None:
    rnd = random.Random(3)
    numbers = [rnd.choice((1.0, 1.5, 9.999999999999999)) * 10.0**n for n in range(-323, 308)]
    numbers += [rnd.uniform(-1, 1) * 10 ** rnd.randrange(-8, 20) for _ in range(5_000)]
    assert all(math.isfinite(one) for one in numbers)
    for one in numbers:
        assert spelled({"a": one, "b": [one]}) == plain_spelled({"a": one, "b": [one]})
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    assert spelled(characters) == plain_spelled(characters)
    assert spelled(dict.fromkeys(characters[::97], 0)) == plain_spelled(dict.fromkeys(characters[::97], 0))
    assert spelled([2**64, -(2**70)]) == plain_spelled([2**64, -(2**70)])


def test_half_a_surrogate_pair_is_refused_before_it_reaches_a_store() -> None:
    with pytest.raises(UnicodeEncodeError):
        spelled({"a": "\ud800"})


def a_touchpoint(data: dict[str, Any]) -> Touchpoint:
    ann = Identifier("user_id", "ann")
    return Touchpoint("k", "1", "shop", "page_viewed", 1, "web", ann, (ann,), 5, 6, data, "d")


def exactly(value: Any) -> Any:
    """Told apart by type too: 1, 1.0 and True; and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=False) if isinstance(value, float) else repr(value)


@many
@given(st.dictionaries(st.text(max_size=5), JSON | st.integers() | st.text(max_size=5), max_size=4))
def test_a_body_is_read_back_exactly_as_the_plain_reader_reads_it(data: dict[str, Any]) -> None:
    body = encode_body(a_touchpoint(data))
    record = Record(1, "k", "shop", "page_viewed", 1, "web", "s", "kid", 5, 7, body)
    read = decode_body(
        body,
        key="k",
        source="shop",
        type="page_viewed",
        version=1,
        channel="web",
        occurred_at=5,
        recorded_at=7,
    )
    assert exactly(read) == exactly(plain_decoded(body, record))
    assert exactly(read.data) == exactly(data)


def test_a_whole_number_that_was_sent_with_decimals_reads_as_one() -> None:
    with a_book() as book:
        order = {"order_id": "7", "amount": 1200.0, "currency": "EUR"}
        publish(book, [event("order_placed", order, id="o"), event("survey_answered", {"nps": 9.0}, id="s")])
        ann = folded(book).customers.find("user_id:ann")
        items = book.customers.timeline(ann, TimelineFilters(), None, 5, "en")["items"]
        assert {one["headline"] for one in items} == {
            "Order 7 placed for €12.00",
            "Survey answer · would recommend 9 of 10",
        }
        assert [str(one["data"].get("amount")) for one in items if one["id"] == "o"] == ["1200.0"]


def test_text_that_no_store_can_write_is_shown_as_unreadable_and_stops_nobody() -> None:
    with a_book() as book:
        good = book.admission.touchpoint_of(Item("cloudevents", event("page_viewed", id="1"), {}), SHOP, NOON)
        odd = good._replace(key="f" * 32, data={"name": "Home", "x": "\ud800"})
        book.journal.append([odd, good]).result()
        folded(book)
        with book.projections.reading() as reader:
            subject = book.journal.id_of(good.subject)
            types = [one.type for one in reader.entries([subject], TimelineFilters(), None)]
        assert sorted(types) == ["page_viewed", "unreadable"]
        assert book.folder.unreadable == 1


def peak_of_a_rebuild(touchpoints: int) -> int:
    """Bytes that Python holds at most; what SQLite holds is bounded by its page caches."""
    with a_book() as book:
        for start in range(0, touchpoints, 1_000):
            publish(book, [
                event("page_viewed", {"name": f"page {n}"}, who=PEOPLE[n % 8], days_ago=n % 300, id=f"e{n}")
                for n in range(start, start + 1_000)
            ])  # fmt: skip
        tracemalloc.start()
        rebuild(book.settings.data, book.journal, book.folder, book.version)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak


def test_a_rebuild_of_four_times_as_much_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "BATCH", 500)
    peak_of_a_rebuild(1_000)  # what is made once and kept is made now
    assert peak_of_a_rebuild(8_000) < 1.3 * peak_of_a_rebuild(2_000)


def test_the_collector_is_as_it_was_after_a_rebuild() -> None:
    import gc

    before = gc.get_threshold(), gc.get_freeze_count()
    with a_book() as book:
        publish(book, [event("page_viewed", days_ago=TODAY % 3, id="1")])
        rebuild(book.settings.data, book.journal, book.folder, book.version)
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
