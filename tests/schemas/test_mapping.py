from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchbook.errors import MappingInvalid, Rejected
from touchbook.schemas import shipped_yaml
from touchbook.schemas.catalogue import Catalogue, Plain, Reading
from touchbook.schemas.details import Details
from touchbook.schemas.mapping import BUILT_IN, Mapping, folded, text_fields
from touchbook.schemas.touchpoints import TYPES
from touchbook.schemas.translating import MAX_EACH, found

SEGMENT = Catalogue()
EVENTS: dict[str, Any] = shipped_yaml.read(BUILT_IN.read_text(encoding="utf-8"))

UNO = {
    "product_id": 101,
    "sku": "U-1",
    "name": "Uno",
    "category": "Games",
    "price": 3,
    "quantity": 2,
    "position": 1,
}
ROSES = {"product_id": "p-2", "name": "Blue roses", "category": " games ", "price": 19.5, "quantity": 1}
ORDER = {
    "order_id": "o-1",
    "total": 25.5,
    "revenue": 22,
    "shipping": 3.5,
    "currency": "EUR",
    "products": [UNO, ROSES],
}
EMAIL = {
    "email_id": "e-1",
    "email_subject": "First shirt on us",
    "campaign_id": 123,
    "campaign_name": "Newcomers",
}
PUSH = {
    "campaign": {"medium": "Push", "source": "Vendor", "name": "Referral", "content": "A friend invites you"}
}
CHAT = {"agent_id": "a-1", "agent_name": "Vera", "conversation_id": "c-1", "conversation_duration": 45.4}


class Means(NamedTuple):
    """What an event with a believable payload is read as."""

    payload: dict[str, Any]
    type: str
    signals: dict[str, int]
    fields: dict[str, Any]


BELIEVABLE: dict[str, Means] = {
    "Product List Viewed": Means(
        {"list_id": "hot_deals", "category": "Deals", "products": [UNO]},
        "page_viewed",
        {"page_view": 0, "interest:deals": 1},
        {"name": "hot_deals", "kind": "page"},
    ),
    "Product Viewed": Means(
        {**UNO, "currency": "usd", "value": 6},
        "product_viewed",
        {"product_view": 0, "interest:games": 1},
        {"product_id": "101", "name": "Uno", "amount": 300, "currency": "USD"},
    ),
    "Product Added": Means(
        {**UNO, "currency": "usd", "cart_id": "c-1"},
        "cart_changed",
        {"interest:games": 1},
        {"action": "added", "product_id": "101", "name": "Uno", "cart_id": "c-1", "currency": "USD"},
    ),
    "Product Removed": Means(
        {**UNO, "cart_id": "c-1"}, "cart_changed", {}, {"action": "removed", "product_id": "101"}
    ),
    "Cart Viewed": Means({"cart_id": "c-1", "products": [UNO]}, "cart_changed", {}, {"action": "viewed"}),
    "Order Completed": Means(
        ORDER,
        "order_placed",
        {"purchase": 0, "spend:EUR": 2550, "interest:games": 5},
        {"order_id": "o-1", "amount": 2550, "thread": "o-1"},
    ),
    "Order Refunded": Means(
        {"order_id": "o-1", "total": "25.50", "currency": "EUR"},
        "order_refunded",
        {"order_reversed": 0, "refund:EUR": 2550},
        {"order_id": "o-1"},
    ),
    "Order Cancelled": Means(ORDER, "order_cancelled", {"order_reversed": 0}, {"amount": 2550}),
    "Product Shared": Means(
        {
            "share_via": "email",
            "name": "Uno",
            "url": "https://shop.example.test/uno",
            "recipient": "x@example.test",
        },
        "social_shared",
        {"social_share": 0},
        {"what": "Uno", "network": "email"},
    ),
    "Cart Shared": Means(
        {"share_via": "email", "cart_id": "d92j", "products": [{"product_id": "1"}]},
        "social_shared",
        {"social_share": 0},
        {"what": "cart"},
    ),
    "Product Reviewed": Means(
        {"product_id": "1", "review_id": "r", "review_body": "I love it", "rating": "5"},
        "review_posted",
        {"review_positive": 0},
        {"rating": 5, "text": "I love it"},
    ),
    "Live Chat Conversation Started": Means(CHAT, "chat_started", {}, {"thread": "c-1"}),
    "Live Chat Message Sent": Means(
        {**CHAT, "message_body": "Where is my parcel?"},
        "chat_message_sent",
        {"message_in": 0},
        {"text": "Where is my parcel?", "thread": "c-1"},
    ),
    "Live Chat Message Received": Means(
        {**CHAT, "message_body": "It left the warehouse."},
        "chat_message_sent",
        {},
        {"actor": {"kind": "agent", "name": "Vera", "team": None}},
    ),
    "Live Chat Conversation Ended": Means(CHAT, "chat_ended", {}, {"seconds": 45, "thread": "c-1"}),
    "Email Delivered": Means(
        EMAIL,
        "message_delivered",
        {},
        {"message_id": "e-1", "subject": "First shirt on us", "campaign": "Newcomers"},
    ),
    "Email Opened": Means(EMAIL, "message_opened", {"message_open": 0}, {"message_id": "e-1"}),
    "Email Link Clicked": Means(
        {**EMAIL, "link_id": "101", "link_url": "https://shop.example.test/"},
        "message_clicked",
        {"message_click": 0},
        {"url": "https://shop.example.test/", "subject": "First shirt on us"},
    ),
    "Email Bounced": Means(EMAIL, "message_failed", {}, {"message_id": "e-1"}),
    "Email Marked as Spam": Means(EMAIL, "reported_as_spam", {"spam_report": 0}, {"message_id": "e-1"}),
    "Unsubscribed": Means(
        {**EMAIL, "list_id": 1425, "list_name": "New customers"},
        "unsubscribed",
        {},
        {"mailing": "New customers"},
    ),
    "Application Opened": Means(
        {"from_background": False, "version": "1.2.3", "build": 1234},
        "app_opened",
        {"app_open": 0},
        {"app_version": "1.2.3"},
    ),
    "Push Notification Received": Means(
        PUSH, "message_delivered", {}, {"subject": "A friend invites you", "campaign": "Referral"}
    ),
    "Push Notification Tapped": Means(
        {**PUSH, "action": "Accept"}, "message_clicked", {"message_click": 0}, {"campaign": "Referral"}
    ),
    "Push Notification Bounced": Means(PUSH, "message_failed", {}, {"campaign": "Referral"}),
}


def signals_of(reading: Reading) -> dict[str, int]:
    """What a reading gives besides its own name."""
    given = [*reading.details.signals(), *reading.extra_signals]
    return {signal.name: signal.total for signal in given}


def mapping_of(tmp_path: Path, text: str, name: str = "ours.yaml") -> Mapping:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return Mapping.load(file, built_in=False)


# Segment's events


@pytest.mark.parametrize("event", [name for name, entry in EVENTS.items() if entry])
def test_an_event_of_segments_specs_means(event: str) -> None:
    means = BELIEVABLE[event]
    reading = SEGMENT.read(event, 1, means.payload)
    details = reading.details.model_dump()
    assert (reading.type, reading.own_signal) == (means.type, means.type)
    assert signals_of(reading) == means.signals
    assert {name: details[name] for name in means.fields} == means.fields


@pytest.mark.parametrize("event", [name for name, entry in EVENTS.items() if entry is None])
def test_an_event_without_a_type_of_ours_is_a_plain_card(event: str) -> None:
    reading = SEGMENT.read(event, 1, {**ORDER, "query": "blue roses", "coupon": "MAY"})
    assert isinstance(reading.details, Plain)
    assert (reading.type, reading.own_signal, signals_of(reading)) == (event, event, {})


def test_no_believable_payload_is_left_over() -> None:
    assert BELIEVABLE.keys() == {name for name, entry in EVENTS.items() if entry}


@pytest.mark.parametrize("event", ["order completed", "ORDER COMPLETED", "  Order Completed\t"])
def test_names_match_whatever_their_case_and_surrounding_space(event: str) -> None:
    assert SEGMENT.read(event, 1, ORDER).type == "order_placed"


@pytest.mark.parametrize("event", ["Order  Completed", "Completed Order", "Order Completed!"])
def test_names_match_exactly_otherwise(event: str) -> None:
    assert SEGMENT.read(event, 1, ORDER).type == event


def test_an_order_without_a_currency_is_kept_without_money_and_marked() -> None:
    reading = SEGMENT.read("Order Completed", 1, {"order_id": "o-1", "total": 25.5})
    assert signals_of(reading) == {"purchase": 0}
    assert list(reading.details.marks()) == ["money_without_currency"]
    assert reading.details.model_dump()["total"] == 25.5


@pytest.mark.parametrize("total", [25.555, "a lot", ""])
def test_money_that_cannot_be_read_leaves_the_order_standing(total: Any) -> None:
    reading = SEGMENT.read("Order Completed", 1, {"order_id": "o-1", "total": total, "currency": "EUR"})
    assert signals_of(reading) == {"purchase": 0}


def test_money_beyond_every_order_is_refused_at_the_senders_field() -> None:
    with pytest.raises(Rejected) as caught:
        SEGMENT.read("Order Completed", 1, {"order_id": "o-1", "revenue": 10**12, "currency": "EUR"})
    assert caught.value.field == "revenue"


def test_an_amount_of_zero_is_present() -> None:
    order = {"order_id": "o-1", "total": 0, "revenue": 25.5, "currency": "EUR"}
    assert signals_of(SEGMENT.read("Order Completed", 1, order)) == {"purchase": 0, "spend:EUR": 0}


def test_one_odd_item_does_not_sink_an_order() -> None:
    order = {**ORDER, "products": [UNO, {"name": {"en": "Odd"}, "quantity": -1}, "not a product", None]}
    reading = SEGMENT.read("Order Completed", 1, order)
    assert signals_of(reading)["interest:games"] == 5
    assert reading.details.model_dump()["items"] == ()


def test_a_chat_tool_that_keeps_the_words_to_itself_still_counts() -> None:
    reading = SEGMENT.read("Live Chat Message Sent", 1, CHAT)
    message = reading.details.message()
    assert message is not None
    assert (message.role, signals_of(reading)) == ("customer", {"message_in": 0})


def test_what_an_agent_writes_is_no_message_of_the_customers() -> None:
    message = SEGMENT.read(
        "Live Chat Message Received", 1, {**CHAT, "message_body": "Hello"}
    ).details.message()
    assert message is not None
    assert (message.role, message.public) == ("agent", True)


odd_values = (
    st.none() | st.text() | st.integers() | st.lists(st.integers() | st.dictionaries(st.text(), st.text()))
)
odd_orders = st.dictionaries(
    st.sampled_from(["products", "total", "currency", "campaign", "actor", "thread", "items", "marks"]),
    odd_values,
)


def refused_field(event: str, payload: dict[str, Any]) -> str | None:
    try:
        SEGMENT.read(event, 1, payload)
    except Rejected as refused:
        return refused.field.partition(".")[0]
    return None


@given(odd_orders)
def test_an_order_with_an_id_is_refused_only_over_its_money(payload: dict[str, Any]) -> None:
    assert refused_field("Order Completed", {**payload, "order_id": "o-1"}) in {None, "total", "currency"}


# What a mapping can say


def test_of_several_paths_the_first_present_one_counts(tmp_path: Path) -> None:
    catalogue = Catalogue(
        mapping_of(
            tmp_path, "Bye: {type: account_closed, fields: {reason: [why, stats.0.why, {const: unknown}]}}"
        )
    )
    said = [{"why": "a"}, {"why": None, "stats": [{"why": "b"}]}, {"why": "", "stats": [1]}, {}]
    reasons = [catalogue.read("Bye", 1, data).details.model_dump()["reason"] for data in said]
    assert reasons == ["a", "b", "unknown", "unknown"]


def test_a_const_is_not_changed_by_what_is_put_into_it(tmp_path: Path) -> None:
    text = "Bye: {type: account_closed, fields: {actor: {const: {kind: agent}}, actor.name: who}}"
    catalogue = Catalogue(mapping_of(tmp_path, text))
    named = catalogue.read("Bye", 1, {"who": "Vera"}).details
    unnamed = catalogue.read("Bye", 1, {}).details
    assert named.actor
    assert unnamed.actor
    assert (named.actor.name, unnamed.actor.name) == ("Vera", None)


@pytest.mark.parametrize(("said", "seconds"), [(45, 45), (45.4, 45), (45.5, 46), ("44.6", 45)])
def test_a_whole_number_is_rounded_halves_up(tmp_path: Path, said: Any, seconds: int) -> None:
    catalogue = Catalogue(
        mapping_of(tmp_path, "Over: {type: session_ended, fields: {seconds: {whole: length}}}")
    )
    assert catalogue.read("Over", 1, {"length": said}).details.model_dump()["seconds"] == seconds


@pytest.mark.parametrize("said", ["long", None, [4], {}, "1e999999999"])
def test_what_is_no_number_is_not_rounded(tmp_path: Path, said: Any) -> None:
    catalogue = Catalogue(
        mapping_of(tmp_path, "Over: {type: session_ended, fields: {seconds: {whole: length}}}")
    )
    with pytest.raises(Rejected) as caught:
        catalogue.read("Over", 1, {"length": said})
    assert caught.value.field == "length"


def test_texts_of_a_list_come_without_repeats_and_not_without_end(tmp_path: Path) -> None:
    text = "Left: {type: cart_abandoned, fields: {category: {each: products, take: [kind, category]}}}"
    catalogue = Catalogue(mapping_of(tmp_path, text))
    products = [
        {"kind": "Tea"},
        {"category": "Tea"},
        {"category": 7},
        *({"kind": f"k{n}"} for n in range(99)),
    ]
    category = catalogue.read("Left", 1, {"products": products}).details.model_dump()["category"]
    assert category[:3] == ("Tea", "7", "k0")
    assert len(category) == MAX_EACH


def test_source_fields_that_are_not_mapped_are_kept_beside(tmp_path: Path) -> None:
    catalogue = Catalogue(mapping_of(tmp_path, "Bye: {type: account_closed, fields: {reason: why}}"))
    details = catalogue.read("Bye", 1, {"why": "moving", "mood": "fine"}).details.model_dump()
    assert (details["reason"], details["mood"], "why" in details) == ("moving", "fine", False)


def test_a_later_file_overrides_an_earlier_one_and_can_unmap(tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text("order completed: null\nCart Viewed: {signals: [page_view]}\n", encoding="utf-8")
    catalogue = Catalogue(Mapping.load(file))
    assert isinstance(catalogue.read("Order Completed", 1, ORDER).details, Plain)
    assert signals_of(catalogue.read("Cart Viewed", 1, {})) == {"page_view": 0}
    assert catalogue.read("Order Cancelled", 1, ORDER).type == "order_cancelled"


def test_a_type_of_ours_may_be_a_signal(tmp_path: Path) -> None:
    catalogue = Catalogue(mapping_of(tmp_path, "Left Us: {signals: [account_closed]}"))
    assert signals_of(catalogue.read("Left Us", 1, {})) == {"account_closed": 0}


def test_an_empty_file_maps_nothing(tmp_path: Path) -> None:
    assert mapping_of(tmp_path, "# nothing yet\n").entries == []


@given(st.text())
def test_folding_a_name_twice_changes_nothing_more(name: str) -> None:
    assert folded(folded(name)) == folded(name)


@given(
    st.text(),
    st.recursive(st.none() | st.integers(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)),
)
def test_looking_for_a_path_never_fails(path: str, data: Any) -> None:
    assert found(data, path) is None or data is not None


def test_text_fields_are_found_through_objects_and_lists() -> None:
    texts = text_fields(TYPES["order_placed"])
    assert {"order_id", "actor.name", "items.product_id", "category"} <= texts
    assert not {"amount", "total", "items", "items.quantity"} & texts


@pytest.mark.parametrize("model", TYPES.values(), ids=TYPES.keys())
def test_text_fields_are_those_of_the_published_schema(model: type[Details]) -> None:
    schema = model.model_json_schema()
    assert text_fields(model) == frozenset(texts_of(schema, schema.get("$defs", {}), ()))


def texts_of(schema: dict[str, Any], defined: dict[str, Any], above: tuple[str, ...]) -> Iterator[str]:
    """The plain way, which takes longer than all else of a start."""
    for name, described in schema.get("properties", {}).items():
        options = [resolved(option, defined) for option in described.get("anyOf", [described])]
        options += [resolved(option["items"], defined) for option in options if "items" in option]
        kinds = {option.get("type") for option in options}
        if "string" in kinds and not kinds & {"integer", "number"}:
            yield ".".join((*above, name))
        for option in options:
            yield from texts_of(option, defined, (*above, name))


def resolved(schema: dict[str, Any], defined: dict[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = defined.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    return named


def test_a_shop_of_one_currency_may_say_so(tmp_path: Path) -> None:
    money = "{minor: sum, currency: [currency, {const: JPY}]}"
    text = (
        f"Sold: {{type: order_placed, fields: {{order_id: nr, currency: {{const: JPY}}, amount: {money}}}}}"
    )
    reading = Catalogue(mapping_of(tmp_path, text)).read("Sold", 1, {"nr": 7, "sum": "1200"})
    assert signals_of(reading) == {"purchase": 0, "spend:JPY": 1200}


# What a mapping cannot say


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("account_closed: {type: alias}", "entry 'account_closed': is a type of ours already"),
        ("Bye: {type: order_eaten}", "entry 'Bye': type: expected a type of ours, not 'order_eaten'"),
        ("Bye: {type: [alias]}", "entry 'Bye': type: expected a type of ours"),
        ("Bye: {type: account_closed, fields: {reson: why}}", "entry 'Bye': fields: 'reson' is no field"),
        (
            "Bye: {type: session_ended, fields: {pages: n}}",
            "entry 'Bye': fields: session_ended needs 'seconds' too",
        ),
        ("Bye: {type: account_closed, fields: [why]}", "entry 'Bye': fields: expected ours: theirs"),
        ("Bye: {type: account_closed, fields: {reason: 7}}", "entry 'Bye', fields.reason: expected a path"),
        ("Bye: {type: account_closed, fields: {reason: []}}", "entry 'Bye', fields.reason: expected a path"),
        (
            "Bye: {type: account_closed, fields: {reason: [a, 1]}}",
            "entry 'Bye', fields.reason: expected a path",
        ),
        (
            "Bye: {type: account_closed, fields: {reason: {minor: a}}}",
            "entry 'Bye', fields.reason: expected a path",
        ),
        ("Bye: {type: account_closed, version: 9}", "entry 'Bye': version: expected 1 to 1"),
        ("Bye: {type: account_closed, version: true}", "entry 'Bye': version: expected 1 to 1"),
        ("Bye: {type: account_closed, new: true}", "entry 'Bye': `new` belongs to `signals`"),
        ("Bye: {type: account_closed, signals: [visit]}", "entry 'Bye': expected either `type` or `signals`"),
        ("Bye: {new: true}", "entry 'Bye': expected either `type` or `signals`"),
        ("Bye: {typ: account_closed}", "entry 'Bye': expected `type` with `fields`"),
        ("Bye: account_closed", "entry 'Bye': expected `type` with `fields`"),
        ("Bye: {signals: [purchas]}", "entry 'Bye': signals: 'purchas' is not known"),
        ("Bye: {signals: purchase}", "entry 'Bye': signals: expected a list of names"),
        ("Bye: {signals: []}", "entry 'Bye': signals: expected a list of names"),
        ("Bye: {signals: ['interest:tea'], new: true}", "entry 'Bye': signals: 'interest:tea' is reserved"),
        ("Bye: {signals: ['" + "x" * 101 + "'], new: true}", "longer than 100 characters"),
        ("Bye: {signals: [visit], new: maybe}", "entry 'Bye': new: expected true or false"),
        ("Bye: {signals: [visit], fields: {a: b}}", "entry 'Bye': `fields` and `version` belong to a `type`"),
        ("7: {signals: [visit]}", "entry '7': expected the name of an event in quotes"),
        ("Bye: null\nbye : null", "entry 'bye': is already in line 1; line 2 repeats it"),
        ("- Bye", "expected entries"),
        ("Bye: {", "line 1: expected valid YAML"),
    ],
)
def test_a_mistake_is_named_by_file_and_entry(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(MappingInvalid) as caught:
        mapping_of(tmp_path, text, name="shop.yaml")
    assert str(caught.value).startswith("shop.yaml")
    assert expected in str(caught.value)
