"""What the customer himself is shown of decisions and messages: what about and why, and not our plans."""

from __future__ import annotations

import json
from typing import Any

from tests.books import a_book, event, folded, publish
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.streams.admission import Publisher
from touchbook.streams.control import OURS
from touchbook.timeline import TimelineFilters

SECRET = ("spring-sale", "vip-tag", "winter-sale", "letters-team", "win back")
DECIDED: dict[str, Any] = {
    "for_channel": "email", "purpose": "offer", "campaign": "spring-sale", "tags": ["vip-tag"], "priority": 7,
    "source": "letters-team", "due": ["win back"], "policy": "tea-1",
    "reasons": [{"code": "outranked", "detail": "winter-sale"}, {"code": "cap", "rule": "two offers a week"}],
}  # fmt: skip
OF_TYPE = {
    "contact_reserved": {"reservation": "r", "holds_until": "2026-06-01T13:00:00Z"},
    "contact_deferred": {"decision": "d", "until": "2026-06-01T13:00:00Z"},
    "contact_suppressed": {"decision": "s"},
}


def shown(book: Any, audience: Any, text: str | None = None) -> list[dict[str, Any]]:
    customer = book.customers.find("user_id:ann")
    filters = TimelineFilters(audience=audience, text=text)
    found: list[dict[str, Any]] = book.customers.timeline(customer, filters, None, 50, "en")["items"]
    return found


def test_a_customer_reads_why_and_none_of_our_campaigns_in_words_data_stream_or_search() -> None:
    with a_book() as book:
        publish(book, [event("page_viewed", {"url": "/"}, who={"user_id": "ann"}, id="page", days_ago=1)])
        folded(book)
        begin = book.customers.timeline(
            book.customers.find("user_id:ann"), TimelineFilters(audience="customer"), None, 1, "en"
        )["stream_from"]
        for name, more in OF_TYPE.items():
            said = event(name, DECIDED | more, who={"user_id": "ann"}, id=name, source=OURS)
            publish(book, [said], Publisher(source=OURS))
        folded(book)
        own = shown(book, "customer")
        assert {one["type"] for one in own} == {*OF_TYPE, "page_viewed"}
        _, _, streamed = book.customers.stream(
            book.customers.find("user_id:ann"), begin, TimelineFilters(audience="customer"), "en"
        )
        assert {one["type"] for _, one in streamed} == {*OF_TYPE}
        for text in SECRET:
            assert text in json.dumps(shown(book, "agent"))
            assert text not in json.dumps([own, streamed])
            assert (len(shown(book, "agent", text)), shown(book, "customer", text)) == (3, [])
        for one in own:
            if one["type"] in OF_TYPE:
                assert one["data"]["reasons"] == [
                    {"code": "outranked"},
                    {"code": "cap", "rule": "two offers a week"},
                ]
                assert "two offers a week" in one["detail"]


def test_a_customer_is_shown_what_we_sent_and_never_which_campaign_or_tags_it_had() -> None:
    sent: dict[str, dict[str, Any]] = {
        "message_sent": {
            "subject": "A new tea",
            "purpose": "offer",
            "campaign": "spring-sale",
            "tags": ["vip-tag"],
        },
        "survey_sent": {"survey": "After your tea", "campaign": "spring-sale"},
        "ordered_elsewhere": {"shop": "corner", "campaign": "spring-sale"},  # a type that nobody described
    }
    with a_book() as book:
        who = {"user_id": "ann"}
        publish(book, [event(name, data, who=who, id=name) for name, data in sent.items()])
        folded(book)
        own = {one["type"]: one["data"] for one in shown(book, "customer")}
        assert own["message_sent"] == {"subject": "A new tea", "purpose": "offer"}
        assert own["survey_sent"] == {"survey": "After your tea"}
        told = json.dumps(shown(book, "customer"))
        assert not any(text in told for text in SECRET)
        assert len(shown(book, "agent", "spring-sale")) == len(sent)
        assert (shown(book, "customer", "spring-sale"), shown(book, "customer", "vip-tag")) == ([], [])


def test_every_type_withholds_its_campaign() -> None:
    assert all("campaign" in model.withheld for model in CATALOGUE.values())


def test_what_a_type_withholds_it_has() -> None:
    of_some = {"detail", "due"}  # of a reason, and of what was reserved
    for model in CATALOGUE.values():
        assert model.withheld <= of_some | model.model_fields.keys()
