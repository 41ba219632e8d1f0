"""Admission: what becomes of an item, whose clock counts, and what is set aside."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.books import NOON, SHOP, a_book, event, folded, publish
from touchbook.errors import Overloaded
from touchbook.streams.admission import Item, Outcome, Publisher, key_of, occurred_at
from touchbook.timeline import TimelineFilters
from touchbook.wiring import Book

MINUTE, DAY = 60_000, 86_400_000
PUBLIC = Publisher(source="site", channel="web", public=True)


@pytest.fixture
def book() -> Iterator[Book]:
    with a_book() as opened:
        yield opened


def segment(book: Book, call: dict[str, Any], publisher: Publisher = SHOP, **inherited: Any) -> Outcome:
    return book.admission.admit([Item("segment", call, inherited)], publisher, NOON).result(10)[0]


def track(event: str = "Wheel Spun", **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, "userId": "ann", "messageId": "m-1", "properties": {}, **fields}


def test_the_key_is_made_of_source_and_id() -> None:
    assert key_of("shop", "m-1") == key_of("shop", "m-1") != key_of("shop", "m-2")
    assert key_of("shop", "m-1") != key_of("sho", "pm-1")
    assert len(key_of("shop", "m-1")) == 32


@pytest.mark.parametrize(
    ("said", "sent", "expected"),
    [
        (None, None, NOON),
        (NOON - DAY, None, NOON - DAY),
        (NOON - DAY, NOON - 4 * MINUTE, NOON - DAY),
        (NOON - DAY, NOON - 6 * MINUTE, NOON - DAY + 6 * MINUTE),
        (NOON - DAY, NOON + 6 * MINUTE, NOON - DAY - 6 * MINUTE),
        (NOON - 10 * DAY, NOON - 8 * DAY, NOON - 10 * DAY),
        (NOON - 3 * MINUTE, NOON - 30 * MINUTE, NOON),
    ],
    ids=[
        "no time",
        "no sentAt",
        "small skew",
        "slow clock",
        "fast clock",
        "absurd skew",
        "never past its receipt",
    ],
)
def test_the_clients_clock_is_corrected_only_when_it_is_plainly_wrong(
    said: int | None, sent: int | None, expected: int
) -> None:
    assert occurred_at(said, sent, NOON) == expected


@given(st.integers(0, NOON), st.integers(-8 * DAY, 8 * DAY))
def test_a_corrected_time_is_never_later_than_the_receipt(said: int, skew: int) -> None:
    corrected = occurred_at(said, NOON - skew, NOON)
    assert corrected == said or corrected <= NOON


def test_a_retry_with_a_new_sent_at_is_a_duplicate(book: Book) -> None:
    first = segment(book, track(timestamp="2026-06-01T10:00:00Z", sentAt="2026-06-01T10:00:01Z"))
    again = segment(book, track(timestamp="2026-06-01T10:00:00Z", sentAt="2026-06-01T10:05:09Z"))
    assert (first.outcome, again.outcome) == ("accepted", "duplicate")
    assert (again.key, again.position) == (first.key, first.position)


def test_what_the_batch_gave_does_not_make_a_retry_another_touchpoint(book: Book) -> None:
    segment(book, track(), context={"library": {"name": "a"}})
    assert segment(book, track(), context={"library": {"name": "b"}}).outcome == "duplicate"


def test_a_reused_id_is_set_aside_and_the_first_stands(book: Book) -> None:
    segment(book, track(properties={"n": 1}))
    reused = segment(book, track(properties={"n": 2}))
    assert (reused.outcome, reused.code) == ("rejected", "id_reused")
    assert json.loads(book.control.get_set_aside(reused.key).raw)["properties"] == {"n": 2}
    timeline = book.customers.timeline
    page = timeline(folded(book).customers.find("user_id:ann"), TimelineFilters(), None, 10, "en")
    assert [item["data"] for item in page["items"]] == [{"n": 1}]


def test_a_missing_id_is_made_from_an_item_with_a_time_and_refused_without(book: Book) -> None:
    dated = event("Wheel spun", {"n": 1})
    first, again = publish(book, [dated, dated])
    assert (first.outcome, again.outcome) == ("accepted", "duplicate")
    [undated] = publish(book, [{name: value for name, value in dated.items() if name != "time"}])
    assert undated.code == "id_missing"


def test_one_bad_item_does_not_sink_its_batch(book: Book) -> None:
    outcomes = publish(
        book,
        [
            event("Wheel spun", id="1"),
            event("survey_answered", {"nps": 11}, id="2"),
            event("Wheel spun", id="3"),
        ],
    )
    assert [outcome.outcome for outcome in outcomes] == ["accepted", "rejected", "accepted"]
    assert outcomes[1].code == "field_invalid"
    assert "nps" in outcomes[1].message
    assert [outcome.position for outcome in outcomes] == [1, None, 2]


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ({"specversion": "0.3"}, "specversion_unknown"),
        ({"source": "other"}, "source_mismatch"),
        ({"type": ""}, "type_invalid"),
        ({"time": "2026-06-01T10:00:00"}, "time_without_zone"),
        ({"time": "yesterday"}, "time_invalid"),
        ({"time": "2026-06-03T10:00:00Z"}, "time_out_of_range"),
        ({"time": "1969-12-31T10:00:00Z"}, "time_out_of_range"),
        ({"id": "x" * 201}, "id_too_long"),
        ({"data": []}, "object_expected"),
        ({"data": {"identifiers": {}}}, "identifier_missing"),
        ({"data": {"identifiers": {"email": "not an address"}}}, "identifier_invalid"),
        ({"data": {"identifiers": {"passport": "1"}}}, "identifier_invalid"),
        ({"data_base64": "e30="}, "data_not_json"),
        ({"channel": "x" * 51}, "channel_invalid"),
    ],
)
def test_a_broken_event_is_set_aside_with_a_code_and_its_bytes(
    book: Book, broken: dict[str, Any], code: str
) -> None:
    sent = {**event("Wheel spun", id="1"), **broken}
    [outcome] = publish(book, [sent])
    assert (outcome.outcome, outcome.code) == ("rejected", code)
    kept = book.control.get_set_aside(outcome.key)
    assert json.loads(kept.raw) == sent
    assert (kept.source, kept.code, kept.reason) == ("shop", code, outcome.message)


def test_an_item_too_large_is_rejected_alone(book: Book) -> None:
    large = event("Wheel spun", {"text": "х" * 70_000}, id="1")
    assert [one.code for one in publish(book, [large, event("Wheel spun", id="2")])] == ["item_too_large", ""]


def test_what_was_set_aside_is_redriven_under_its_own_id_once_it_can_be_accepted(tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("Rated:\n  type: survey_answered\n  fields: {nps: score}\n")
    call = track("Rated", properties={"score": 42}, timestamp="2026-06-01T10:00:00Z")
    with a_book(tmp_path / "data", mappings=(mapping,)) as book:
        rejected = segment(book, call)
        assert rejected.code == "field_invalid"
        assert "properties.score" in rejected.message
        assert book.admission.redrive(rejected.key).result(10).outcome == "rejected"
    mapping.write_text("Rated:\n  signals: [content_useful]\n")
    with a_book(tmp_path / "data", mappings=(mapping,)) as book:
        redriven = book.admission.redrive(rejected.key).result(10)
        assert (redriven.outcome, redriven.key) == ("accepted", key_of("shop", "m-1"))
        assert book.control.list_set_aside()[0] == []
        assert segment(book, call).outcome == "duplicate"


def test_a_public_key_names_nobody_but_by_anonymous_id(book: Book) -> None:
    call = {
        "type": "page",
        "userId": "ann",
        "anonymousId": "a-1",
        "messageId": "m-1",
        "context": {"device": {"id": "d"}},
    }
    assert segment(book, call, PUBLIC).outcome == "accepted"
    [record] = book.journal.read()
    touchpoint = book.journal.open(record)
    assert [str(one) for one in touchpoint.identifiers] == ["anonymous_id:a-1"]
    assert touchpoint.extra["unverified"]["user_id"] == "ann"
    no_anonymous = {name: value for name, value in call.items() if name != "anonymousId"}
    assert segment(book, no_anonymous, PUBLIC).code == "anonymous_id_missing"


def test_a_public_key_joins_no_two_anonymous_ids(book: Book) -> None:
    both = {**event("page_viewed", who={"anonymous_id": ["a-1", "strangers"]}, id="1"), "source": "site"}
    [outcome] = book.admission.admit([Item("cloudevents", both, {})], PUBLIC, NOON).result(10)
    assert outcome.code == "anonymous_id_not_one"
    assert book.journal.head() == 0


@pytest.mark.parametrize("value", ["x", {"not": "text"}])
def test_a_reason_never_repeats_an_address_that_stands_in_place_of_a_type(book: Book, value: Any) -> None:
    [outcome] = publish(book, [event("page_viewed", who={"ann@example.test": value}, id="1")])
    assert outcome.message.startswith(
        "data.identifiers: expected" if value != "x" else "data.identifiers: is"
    )
    assert "ann@" not in outcome.message


def test_traits_from_a_public_key_set_no_register(book: Book) -> None:
    call = {"type": "identify", "anonymousId": "a-1", "messageId": "m-1", "traits": {"name": "Mallory"}}
    assert segment(book, call, PUBLIC).outcome == "accepted"
    customer = folded(book).customers.find("anonymous_id:a-1")
    assert book.customers.card(customer)["traits"] == {}


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (track("Wheel Spun", anonymousId="a"), "type_not_public"),
        (track("order_placed", anonymousId="a", properties={"order_id": "1"}), "type_not_public"),
        (
            track(
                "chat_message_sent", anonymousId="a", properties={"text": "Hi", "actor": {"kind": "agent"}}
            ),
            "actor_not_public",
        ),
        (
            track(
                "chat_message_sent",
                anonymousId="a",
                properties={"text": "Hi", "direction": "in", "actor": {"kind": "agent"}},
            ),
            "actor_not_public",
        ),
    ],
)
def test_a_public_key_sends_only_what_a_visitor_does(book: Book, call: dict[str, Any], code: str) -> None:
    assert segment(book, call, PUBLIC).code == code


def test_an_agents_key_adds_notes_and_links_and_nothing_else(book: Book) -> None:
    agent = Publisher(source="shop", role="agent")
    outcomes = publish(
        book,
        [event("note_added", {"text": "Calm."}, id="1"), event("order_placed", {"order_id": "1"}, id="2")],
        agent,
    )
    assert [one.code for one in outcomes] == ["", "type_not_for_agents"]


def test_a_link_may_name_customers_by_their_permanent_ids(book: Book) -> None:
    publish(
        book,
        [
            event("Wheel spun", who="ann", id="1"),
            event("Wheel spun", who={"email": "Ann@Example.test"}, id="2"),
        ],
    )
    folded(book)
    ids = [book.customers.find("user_id:ann").id, book.customers.lookup("email", "ann@example.test").id]
    publish(book, [event("link", {"link": ids}, who={}, id="3")])
    assert len(folded(book).customers.find("user_id:ann").members) == 2
    [unknown] = publish(book, [event("link", {"link": [ids[0], "f" * 32]}, who={}, id="4")])
    assert unknown.code == "identifier_unknown"


def test_overload_keeps_nothing_of_the_batch(tmp_path: Path) -> None:
    with a_book(tmp_path, max_queue=3) as book:
        busy = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
        busy.execute("BEGIN IMMEDIATE")  # the disk is slow: the writer waits
        items = [[Item("cloudevents", event("Wheel spun", id=str(n)), {})] for n in range(8)]
        waiting: list[Future[list[Outcome]]] = []

        def send_until_refused() -> None:
            for item in items:
                waiting.append(
                    book.admission.admit([*item, Item("cloudevents", {"bad": len(waiting)}, {})], SHOP, NOON)
                )

        with pytest.raises(Overloaded):
            send_until_refused()
        busy.execute("ROLLBACK")
        accepted = [outcomes.result(20)[0].outcome for outcomes in waiting]
        assert accepted == ["accepted"] * len(waiting)
        assert len(waiting) < len(items)
        assert book.journal.head() == len(waiting)
        assert len(book.control.list_set_aside()[0]) == len(waiting)


def test_segment_consent_preferences_become_consents(book: Book) -> None:
    consent = {"consent": {"categoryPreferences": {"offer": True, "survey": False}}}
    segment(book, track(context=consent))
    context = folded(book).customers.context(book.customers.find("user_id:ann"), "offer", NOON)
    assert context["consents"] == {"offer": True, "survey": False}


def test_the_write_key_in_a_body_is_never_kept(book: Book) -> None:
    outcome = segment(book, track(event="", writeKey="tb_publish_secret"))
    assert b"secret" not in book.control.get_set_aside(outcome.key).raw


def test_what_is_under_way_when_the_book_closes_is_still_answered(tmp_path: Path) -> None:
    with a_book(tmp_path) as book:
        publish(book, [event("page_viewed", {"name": "first"}, id="used")])
        batch = [event("page_viewed", id=str(number)) for number in range(1000)]
        batch.append(event("page_viewed", {"name": "another"}, id="used"))
        future = book.admission.admit([Item("cloudevents", one, {}) for one in batch], SHOP, NOON)
    assert [one.code for one in future.result(10)][-1] == "id_reused"


def test_a_number_in_an_identify_that_nobody_can_dial_stays_a_trait_and_names_nobody(book: Book) -> None:
    call = {
        "type": "identify",
        "userId": "ann",
        "messageId": "m-1",
        "traits": {"phone": "ask reception", "name": "Ann"},
    }
    assert segment(book, call).outcome == "accepted"
    customer = folded(book).customers.find("user_id:ann")
    assert book.customers.card(customer)["traits"] == {"name": "Ann", "phone": "ask reception"}
    assert [member.identifier.type for member in customer.members] == ["user_id"]
    [item] = book.customers.timeline(customer, TimelineFilters(), None, 10, "en")["items"]
    assert item["marks"] == ["phone_unreadable"]


def test_a_senders_own_field_cannot_pass_for_one_of_ours(book: Book) -> None:
    sent = event("Wheel spun", id="1", unread_traits=7, unverified="x")
    [outcome] = publish(book, [sent])
    assert outcome.outcome == "accepted"
    touchpoint = book.journal.open(book.journal.read()[0])
    assert touchpoint.extra == {"sent_unread_traits": 7, "sent_unverified": "x"}
    assert folded(book).folder.unreadable == 0


def test_an_item_rejected_again_by_a_retry_is_set_aside_once(book: Book) -> None:
    first = segment(book, track(event="", sentAt="2026-06-01T10:00:01Z"))
    again = segment(book, track(event="", sentAt="2026-06-01T10:05:01Z"))
    assert (first.outcome, again.outcome) == ("rejected", "rejected")
    assert again.key == first.key
    assert len(book.control.list_set_aside()[0]) == 1
