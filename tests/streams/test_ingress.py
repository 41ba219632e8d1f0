"""What comes by ingress topics, without servers: the rules of the doors, and nothing stops what is behind it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from tests.books import NOON, SHOP, a_book, event, publish
from tests.thorough import examples
from touchbook.api.cloudevents import events_of
from touchbook.errors import JournalUnavailable, Refused, Rejected
from touchbook.schemas.cloudevents import BATCHED, STRUCTURED, event_in_message
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.streams.admission import Item
from touchbook.streams.control import SetAside
from touchbook.streams.ingress import Arrived, Ingress
from touchbook.streams.journal import Appended, pending
from touchbook.wiring import Book

TOPIC = "touchbook.ingress.shop"
HEADERS = [("content-type", STRUCTURED.encode())]


@pytest.fixture
def book() -> Iterator[Book]:
    with a_book() as made:
        yield made


def ingress(book: Book, journal: Any = None) -> Ingress:
    return Ingress(journal or book.journal, book.admission, book.control, "touchbook", lambda: NOON + 1_000)


def arrived(
    value: bytes | None, headers: Sequence[tuple[str, bytes]] = HEADERS, offset: int = 0, **more: Any
) -> Arrived:
    made = Arrived(TOPIC, 2, offset, NOON, headers, value)
    return made._replace(**more)


def structured(said: Any, offset: int = 0, **more: Any) -> Arrived:
    return arrived(json.dumps(said).encode(), offset=offset, **more)


def binary(said: dict[str, Any], offset: int = 0) -> Arrived:
    headers = [(f"ce_{name}", value.encode()) for name, value in said.items() if name != "data"]
    return arrived(
        json.dumps(said["data"]).encode(), [*headers, ("content-type", b"application/json")], offset=offset
    )


def recorded(book: Book) -> list[Touchpoint]:
    return [book.journal.open(record) for record in book.journal.read(0, 10_000)]


def set_aside(book: Book) -> list[SetAside]:
    return book.control.list_set_aside(limit=500)[0]


PAID = event(
    "order_placed", {"order_id": "1", "amount": 1250, "currency": "EUR"}, id="paid", channel="web_shop"
)


@pytest.mark.parametrize("way", [structured, binary])
def test_a_record_becomes_what_the_same_event_becomes_at_the_door(book: Book, way: Any) -> None:
    with a_book() as door:
        publish(door, [PAID], SHOP._replace(channel=None))
        assert ingress(book).take([way(PAID)]).accepted == 1
        assert [one._replace(recorded_at=0) for one in recorded(book)] == [
            one._replace(recorded_at=0) for one in recorded(door)
        ]


def test_the_same_event_by_both_ways_counts_once(book: Book) -> None:
    publish(book, [PAID])
    ingress(book).take([structured(PAID), binary(PAID, 1)])
    assert len(recorded(book)) == 1
    assert set_aside(book) == []


def test_nothing_of_a_pack_is_lost_where_one_record_is_poison(book: Book) -> None:
    good = [structured(event("visited", id=f"v{n}"), n) for n in range(3)]
    taken = ingress(book).take(
        [good[0], arrived(b"{", offset=7), good[1], arrived(None, [], offset=8), good[2]]
    )
    assert taken.accepted == 3
    assert taken.rejected == {"json_invalid": 1, "event_expected": 1}
    assert [one.id for one in recorded(book)] == ["v0", "v1", "v2"]


PERSON = {"identifiers": {"user_id": "ann"}}
GOOD = {"specversion": "1.0", "id": "1", "source": "shop", "type": "visited", "data": PERSON}
CTYPE = "content-type"
POISON: dict[str, tuple[Arrived, str]] = {
    "no JSON": (arrived(b"<event/>"), "json_invalid"),
    "empty": (arrived(b""), "json_invalid"),
    "null value": (arrived(None), "event_expected"),
    "null value without headers": (arrived(None, []), "event_expected"),
    "broken UTF-8": (arrived(b'{"id": "\xff\xfe"}'), "json_invalid"),
    "NaN": (arrived(json.dumps({**GOOD, "data": {**PERSON, "n": float("nan")}}).encode()), "json_invalid"),
    "half an emoji": (arrived(rb'{"specversion": "1.0", "id": "\ud83d"}'), "json_invalid"),
    "nested too deep": (arrived(b"[" * 100_000), "json_invalid"),
    "a number": (arrived(b"7"), "event_expected"),
    "an array": (structured([GOOD]), "event_expected"),
    "a batch": (arrived(json.dumps([GOOD]).encode(), [(CTYPE, BATCHED.encode())]), "batch_unexpected"),
    "another's source": (structured({**GOOD, "source": "bank"}), "source_mismatch"),
    "no source": (
        structured({key: value for key, value in GOOD.items() if key != "source"}),
        "source_mismatch",
    ),
    "NUL in the id": (structured({**GOOD, "id": "a\0b"}), "id_invalid"),
    "no id": (structured({**GOOD, "id": ""}), "id_missing"),
    "another specversion": (structured({**GOOD, "specversion": "0.3"}), "specversion_unknown"),
    "nobody": (structured({**GOOD, "data": {}}), "identifier_missing"),
    "base64": (structured({**GOOD, "data_base64": "AA=="}), "data_not_json"),
    "time of last century": (structured({**GOOD, "time": "1931-01-01T00:00:00Z"}), "time_out_of_range"),
    "large": (structured({**GOOD, "data": {**PERSON, "text": "x" * 100_000}}), "item_too_large"),
    "huge": (arrived(b"x" * 3_000_000), "item_too_large"),
    "huge headers": (arrived(b"{}", [("ce_a", b"x" * 600_000), ("ce_b", b"x" * 10)]), "specversion_unknown"),
    "header that is no UTF-8": (arrived(b"{}", [("ce_id", b"\xff")]), "header_invalid"),
    "name of a header that is no UTF-8": (
        structured(GOOD, headers=[*HEADERS, ("x\udcff\udcfe", b"1")]),
        "header_invalid",
    ),
    "name of an attribute that is no UTF-8": (
        arrived(b"{}", [("ce_\udcff", b"1"), ("ce_\udcff", b"2")]),
        "header_invalid",
    ),
    "attribute given twice": (arrived(b"{}", [("ce_id", b"1"), ("ce_id", b"2")]), "header_repeated"),
    "attribute without a name": (arrived(b"{}", [("ce_", b"1")]), "header_invalid"),
    "header without a value": (arrived(b"{}", [("ce_id", None), (CTYPE, None)]), "specversion_unknown"),  # type: ignore[list-item]
    "another encoding": (arrived("{}".encode("utf-16")), "json_invalid"),
    "a topic that names no source": (structured(GOOD, topic="touchbook.ingress.Büro"), "source_invalid"),
}


@pytest.mark.parametrize("poison", POISON)
def test_poison_is_set_aside_once_with_its_bytes_and_where_it_came_from(book: Book, poison: str) -> None:
    record, code = POISON[poison]
    for _ in range(2):
        assert ingress(book).take([record]).rejected == {code: 1}
    (kept,) = set_aside(book)
    assert (kept.code, kept.received_at) == (code, NOON)
    assert kept.source == ("shop" if record.topic == TOPIC else "unknown")
    assert (record.value or b"").startswith(kept.raw)
    assert len(kept.raw) == min(len(record.value or b""), 256 * 1024)
    came = kept.inherited["kafka"]
    assert (came["topic"], came["partition"], came["offset"]) == (record.topic, 2, 0)
    assert ("sha256" in came) == (len(record.value or b"") > 256 * 1024)
    told = kept.to_json()  # operators can look at it
    assert (told["topic"], told["partition"], told["offset"]) == (record.topic, 2, 0)
    assert book.admission.redrive(kept.key).result(10).outcome == "rejected"
    assert recorded(book) == []


def test_names_of_headers_are_kept_with_their_bytes_when_they_are_no_text(book: Book) -> None:
    ingress(book).take([structured(GOOD, headers=[("a\udcff\udcfe", b"1"), ("b", b"2")])])
    (kept,) = set_aside(book)
    names = [name for name, _ in kept.inherited["kafka"]["headers"]]
    assert [name.encode(errors="surrogateescape") for name in names] == [b"a\xff\xfe", b"b"]
    assert kept.reason.encode()  # which does not repeat them


def test_what_was_set_aside_is_accepted_by_a_redrive_once_its_rule_allows_it(book: Book) -> None:
    future = event("visited", id="early", days_ago=-3)
    ingress(book).take([binary({**future, "channel": "kiosk"})])
    (kept,) = set_aside(book)
    assert kept.code == "time_out_of_range"
    later = SetAside(
        **{name: getattr(kept, name) for name in kept.__slots__} | {"received_at": NOON + 4 * 86_400_000}
    )
    book.control.mark_redriven(kept.key)
    book.control.set_aside([later])
    assert book.admission.redrive(kept.key).result(10).outcome == "accepted"
    (one,) = recorded(book)
    assert (one.id, one.channel, one.source) == ("early", "kiosk", "shop")
    assert set_aside(book) == []


def test_an_id_used_before_for_something_else_is_set_aside(book: Book) -> None:
    publish(book, [PAID])
    taken = ingress(book).take([structured({**PAID, "type": "order_cancelled"})])
    assert taken.rejected == {"id_reused": 1}


def test_a_source_that_web_pages_publish_under_is_refused_to_topics(book: Book) -> None:
    book.control.create_key("publish", "shop", origins=["https://shop.example.test"])
    assert ingress(book).take([structured(PAID)]).rejected == {"source_taken": 1}


def test_the_servers_own_source_is_refused_to_topics(book: Book) -> None:
    taken = ingress(book).take([structured(PAID)._replace(topic="touchbook.ingress.touchbook")])
    assert taken.rejected == {"source_reserved": 1}
    assert recorded(book) == []


def test_the_brokers_time_is_when_it_was_received_unless_that_cannot_be(book: Book) -> None:
    untimed = {key: value for key, value in PAID.items() if key != "time"}
    ingress(book).take([
        structured({**untimed, "id": "then"}, 0, timestamp=NOON - 3_600_000),
        structured({**untimed, "id": "ahead"}, 1, timestamp=NOON + 9_000_000),
        structured({**untimed, "id": "never"}, 2, timestamp=-1),
    ])  # fmt: skip
    assert [one.received_at - NOON for one in recorded(book)] == [-3_600_000, 1_000, 1_000]


def test_a_bug_of_ours_sets_the_record_aside_and_goes_on(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    real = book.admission.touchpoint_of

    def stumbling(item: Item, *more: Any) -> Touchpoint:
        if item.raw["id"] == "odd":
            raise ZeroDivisionError
        return real(item, *more)

    monkeypatch.setattr(book.admission, "touchpoint_of", stumbling)
    taken = ingress(book).take(
        [structured(event("visited", id=id), n) for n, id in enumerate(["a", "odd", "b"])]
    )
    assert (taken.accepted, taken.rejected) == (2, {"internal_error": 1})
    monkeypatch.undo()
    (kept,) = set_aside(book)
    assert book.admission.redrive(kept.key).result(10).outcome == "accepted"


class Away:
    """A journal that takes nothing."""

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]:
        future: Future[list[Appended]] = pending()
        future.set_exception(JournalUnavailable("it is away"))
        return future


def test_while_the_journal_is_away_nothing_is_said_to_be_done(book: Book) -> None:
    pack = [structured(PAID), arrived(b"{", offset=1)]
    with pytest.raises(JournalUnavailable):
        ingress(book, Away()).take(pack)
    assert ingress(book).take(pack) == ingress(book).take(pack)
    assert len(recorded(book)) == len(set_aside(book)) == 1


VALUES = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ).map(lambda value: json.dumps({**GOOD, **value} if isinstance(value, dict) else value).encode()),
)


NAMES = st.text(max_size=6) | st.binary(max_size=6).map(lambda name: name.decode(errors="surrogateescape"))


def test_whatever_comes_is_durable_afterwards(book: Book) -> None:
    offsets = itertools.count()

    @settings(deadline=None, max_examples=examples(60), suppress_health_check=list(HealthCheck))
    @given(VALUES, st.lists(st.tuples(NAMES.map("ce_".__add__), st.binary(max_size=6)), max_size=3))
    def whatever(value: bytes, headers: list[tuple[str, bytes]]) -> None:
        before = book.control.count_set_aside()
        known = {one.key for one in set_aside(book)}
        end = structured(event("visited", id=f"end-{next(offsets)}"), next(offsets))
        pack = [arrived(value, offset=next(offsets)), arrived(value, headers, offset=next(offsets)), end]
        taken = ingress(book).take(pack)
        assert taken.accepted + sum(taken.rejected.values()) == 3
        assert recorded(book)[-1].id.startswith("end-")
        assert book.control.count_set_aside() == before + sum(taken.rejected.values())
        for kept in set_aside(book):
            if kept.key not in known:
                kept.to_json()
                book.admission.redrive(kept.key).result(10)

    whatever()


@settings(deadline=None)
@given(VALUES)
def test_structured_mode_reads_what_the_door_reads(value: bytes) -> None:
    def at_the_door() -> Any:
        try:
            (event,), _, wrong_in = events_of(Headers({"content-type": STRUCTURED}), value)
        except Refused as reason:
            return reason.code, str(reason)
        return event, wrong_in(event)

    def by_topic() -> Any:
        try:
            return event_in_message(HEADERS, value)
        except Rejected as reason:
            return reason.code, str(reason)

    assert repr(by_topic()) == repr(at_the_door())  # NaN equals nothing, but is written alike
