"""Conversation, feedback, commerce, service, recommendation, immersive: what their touchpoints mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.details import Details, Message
from touchbook.schemas.interests import MAX_CATEGORIES
from touchbook.schemas.touchpoints import (
    commerce,
    conversation,
    feedback,
    immersive,
    recommendation,
    service,
    types_of,
)

FAMILIES = (conversation, feedback, commerce, service, recommendation, immersive)
TYPES = [model for family in FAMILIES for model in types_of(family)]
NOON = "2026-01-02T12:00:00Z"
CUSTOMER, AGENT, BOT, SYSTEM = ({"kind": kind} for kind in ("customer", "agent", "bot", "system"))


def happened(type: str, **data: Any) -> Details:
    return CATALOGUE[type].model_validate(data)


def signals(details: Details) -> dict[str, int]:
    return dict(details.signals())


def registers(details: Details) -> dict[tuple[str, str], Any]:
    return {(kind, key): value for kind, key, value in details.registers()}


NAMED_SIGNALS = {
    "purchase", "message_in", "call_in", "call_out", "visit", "product_view", "ar_object", "ar_seconds",
    "consultation", "livestream", "survey_answer", "suggestion", "review_positive", "review_neutral",
    "review_negative", "rec_click", "rec_dismiss", "stance_defends", "stance_attacks", "nps_promoter",
    "nps_passive", "nps_detractor", "csat_good", "csat_mid", "csat_bad", "ces_easy", "ces_mid", "ces_hard",
    "bot_up", "bot_down", "complaint", "stage_shown", "feedback_acted", "order_reversed",
}  # fmt: skip
NAMED_TYPES = {
    "cart_abandoned", "survey_sent", "complaint_resolved", "case_resolved", "case_reopened",
    "request_answered", "request_late", "request_ignored", "promise_kept", "promise_broken",
    "promise_overdue", "bot_failed", "feedback_acknowledged", "service_failed", "data_exposed",
}  # fmt: skip


def test_the_scorecards_find_every_signal_of_these_families() -> None:
    derived = {name for model in TYPES for name in model.gives}
    assert derived == NAMED_SIGNALS | {"interest:", "spend:", "refund:"}
    assert {model.type for model in TYPES} >= NAMED_TYPES


def test_no_type_is_stored_under_the_name_of_a_derived_signal() -> None:
    assert {model.type for model in TYPES} & NAMED_SIGNALS == set()


def test_only_what_a_page_can_see_is_taken_from_a_public_key() -> None:
    assert {model.type for model in TYPES if model.from_public_key} == {
        "chat_started", "chat_message_sent", "chat_ended", "bot_rated", "survey_answered", "product_viewed",
        "cart_changed", "cart_abandoned", "ar_session_started", "ar_object_viewed", "ar_session_ended",
    }  # fmt: skip


# Conversation


@pytest.mark.parametrize(
    ("said_by", "role", "heard"),
    [
        ({}, "customer", True),
        ({"actor": CUSTOMER}, "customer", True),
        ({"direction": "out"}, "agent", False),
        ({"actor": AGENT}, "agent", False),
        ({"actor": BOT}, "bot", False),
        ({"actor": SYSTEM}, "bot", False),
    ],
)
def test_a_chat_message_counts_as_the_customers_only_if_he_wrote_it(
    said_by: dict[str, Any], role: str, heard: bool
) -> None:
    message = happened("chat_message_sent", text="Hello", **said_by)
    assert message.message() == Message(role, public=True)
    assert signals(message) == ({"message_in": 0} if heard else {})


@pytest.mark.parametrize("kind", ["chat_message_sent", "case_replied"])
def test_an_internal_note_answers_nobody_and_is_hidden_from_the_customer(kind: str) -> None:
    note = happened(kind, case_id="C-7", text="Careful", actor=AGENT, internal=True)
    assert note.message() == Message("agent", public=False)
    assert not note.shown_to_customer()


@pytest.mark.parametrize(("direction", "signal"), [("in", "call_in"), ("out", "call_out")])
def test_a_call_counts_by_its_direction_whoever_is_named(direction: str, signal: str) -> None:
    assert signals(happened("call_started", direction=direction, actor=AGENT)) == {signal: 0}


def test_a_call_must_say_its_direction() -> None:
    with pytest.raises(ValidationError, match="direction"):
        happened("call_started")


# Feedback


@given(st.integers(1, 5))
def test_satisfaction_counts_in_classes(csat: int) -> None:
    expected = "csat_bad" if csat <= 2 else "csat_mid" if csat == 3 else "csat_good"
    assert signals(happened("survey_answered", csat=csat)) == {"survey_answer": 0, expected: 0}


@given(st.integers(1, 7))
def test_ease_counts_in_classes(ces: int) -> None:
    expected = "ces_hard" if ces <= 3 else "ces_mid" if ces == 4 else "ces_easy"
    assert signals(happened("survey_answered", ces=ces)) == {"survey_answer": 0, expected: 0}


@given(st.integers(0, 10))
def test_recommending_counts_in_classes(nps: int) -> None:
    expected = "nps_detractor" if nps <= 6 else "nps_passive" if nps <= 8 else "nps_promoter"
    assert signals(happened("survey_answered", nps=nps)) == {"survey_answer": 0, expected: 0}


@given(st.integers(1, 5))
def test_reviews_count_in_classes(rating: int) -> None:
    expected = "review_negative" if rating <= 2 else "review_neutral" if rating == 3 else "review_positive"
    assert signals(happened("review_posted", rating=rating)) == {expected: 0}


@pytest.mark.parametrize(("scale", "value"), [("csat", 0), ("csat", 6), ("ces", 8), ("nps", 11), ("nps", -1)])
def test_an_answer_off_its_scale_is_refused(scale: str, value: int) -> None:
    with pytest.raises(ValidationError, match=scale):
        happened("survey_answered", **{scale: value})


def test_a_complaint_waits_for_an_answer_in_its_case() -> None:
    complaint = happened("complaint_raised", complaint_id="J-4", case_id="C-7")
    assert (complaint.thread, complaint.message()) == ("C-7", Message("customer", public=True))
    assert happened("complaint_raised", complaint_id="J-4").thread == "J-4"
    assert happened("complaint_raised", case_id="C-7", thread="mail-1").thread == "mail-1"


def test_a_complaint_that_an_agent_notes_waits_for_no_answer() -> None:
    noted = happened("complaint_raised", actor=AGENT)
    assert noted.message() is None
    assert signals(noted) == {"complaint": 0}


# Commerce

OPEN_ORDER = {"kind": "order", "id": "7", "state": "open"}
CLOSED_ORDER = {"kind": "order", "id": "7", "state": "closed"}


def test_an_order_counts_its_money_by_currency_and_each_category_once() -> None:
    lamp = {"name": "Lamp", "category": "Light"}
    placed = happened("order_placed", order_id="7", total="12.50", currency="EUR", items=[lamp, lamp])
    assert signals(placed) == {"purchase": 0, "spend:EUR": 1250, "interest:light": 5}


def test_a_negative_order_is_kept_and_marked_without_money() -> None:
    placed = happened("order_placed", order_id="7", amount=-5, currency="EUR")
    assert signals(placed) == {"purchase": 0}
    assert list(placed.marks()) == ["money_negative"]


@given(st.integers(1, 10**12))
def test_a_refund_is_positive_whatever_its_sign(amount: int) -> None:
    given_back = [
        signals(happened("order_refunded", order_id="7", amount=signed, currency="EUR"))
        for signed in (amount, -amount)
    ]
    assert given_back == [{"order_reversed": 0, "refund:EUR": amount}] * 2


def test_a_partial_refund_reverses_nothing_and_leaves_the_order_as_it_is() -> None:
    refund = happened("order_refunded", order_id="7", amount=5, currency="EUR", partial=True)
    assert signals(refund) == {"refund:EUR": 5}
    assert registers(refund) == {}


def test_a_cancelled_order_that_is_paid_back_is_reversed_once() -> None:
    cancelled = happened("order_cancelled", order_id="7", amount=5, currency="EUR")
    refunded = happened("order_refunded", order_id="7", amount=5, currency="EUR", after_cancellation=True)
    assert signals(cancelled) == {"order_reversed": 0}
    assert signals(refunded) == {"refund:EUR": 5}


def test_an_order_is_open_until_it_is_delivered_cancelled_or_wholly_paid_back() -> None:
    key = ("case", "order:7")
    assert registers(happened("order_placed", order_id="7"))[key] == OPEN_ORDER
    for end in ("order_delivered", "order_cancelled", "order_refunded"):
        assert registers(happened(end, order_id="7")) == {key: CLOSED_ORDER}


@pytest.mark.parametrize(("kind", "of"), [("order_stage_changed", "order"), ("case_stage_changed", "case")])
def test_a_stage_says_nothing_about_the_state_so_a_late_one_reopens_nothing(kind: str, of: str) -> None:
    moved = happened(kind, stage="packed", **{f"{of}_id": "7"})
    assert registers(moved) == {
        ("case_stage", f"{of}:7"): {"stage": "packed"},
        ("stage", f"{of}:7\npacked"): {"case": f"{of}:7", "stage": "packed"},
    }
    assert moved.thread == "7"


@pytest.mark.parametrize(("kind", "of"), [("order_stage_changed", "order"), ("case_stage_changed", "case")])
def test_a_stage_the_customer_cannot_see_counts_for_nothing(kind: str, of: str) -> None:
    hidden = happened(kind, stage="fraud_check", visible=False, **{f"{of}_id": "7"})
    assert (signals(hidden), hidden.shown_to_customer()) == ({}, False)


# Interests

categories = st.text(st.characters(exclude_categories=["Cs"]), max_size=150)


@given(st.lists(st.lists(categories, max_size=5) | categories, max_size=30))
def test_categories_are_bounded_and_each_counted_once(named: list[str | list[str]]) -> None:
    items = [{"category": category} for category in named]
    left = [name for name, _ in happened("cart_abandoned", items=items).signals()]
    assert len(left) <= MAX_CATEGORIES
    assert len(set(left)) == len(left)
    for name in left:
        category = name.removeprefix("interest:")
        assert 0 < len(category) <= 100
        assert category == category.strip()


@given(categories)
def test_one_category_is_the_same_however_it_is_written(category: str) -> None:
    written = [category, f"  {category} ", category.casefold()]
    assert len({tuple(happened("product_viewed", category=each).signals()) for each in written}) == 1


def test_what_he_waves_away_counts_against_what_he_looks_at() -> None:
    points = {
        kind: signals(happened(kind, category="Light", name="Lamp", order_id="7"))["interest:light"]
        for kind in ("product_viewed", "ar_object_viewed", "cart_abandoned", "recommendation_clicked",
                     "order_placed", "recommendation_dismissed")
    }  # fmt: skip
    assert points == {
        "product_viewed": 1,
        "ar_object_viewed": 1,
        "cart_abandoned": 1,
        "recommendation_clicked": 2,
        "order_placed": 5,
        "recommendation_dismissed": -3,
    }


# Service


def test_a_cases_title_state_and_stage_are_kept_apart() -> None:
    opened = happened("case_opened", case_id="C-7", title="Lost", stage="new")
    assert registers(opened) == {
        ("case", "case:C-7"): {"kind": "case", "id": "C-7", "state": "open"},
        ("case_opened", "case:C-7"): {"title": "Lost"},
        ("case_stage", "case:C-7"): {"stage": "new"},
        ("stage", "case:C-7\nnew"): {"case": "case:C-7", "stage": "new"},
    }
    for kind, state in (("case_resolved", "closed"), ("case_reopened", "open")):
        assert registers(happened(kind, case_id="C-7")) == {
            ("case", "case:C-7"): {"kind": "case", "id": "C-7", "state": state}
        }


def test_a_case_the_customer_opens_waits_for_an_answer_and_one_we_note_does_not() -> None:
    his, ours = (happened("case_opened", case_id="C-7", actor=actor) for actor in (CUSTOMER, AGENT))
    assert (his.message(), signals(his)) == (Message("customer", public=True), {"message_in": 0})
    assert (ours.message(), signals(ours)) == (None, {})


def test_a_solved_case_is_an_answer() -> None:
    assert happened("case_resolved", case_id="C-7").message() == Message("agent", public=True, closes=True)


@pytest.mark.parametrize(
    ("actor", "role"), [(CUSTOMER, "bot"), (BOT, "bot"), (SYSTEM, "bot"), (AGENT, "agent")]
)
def test_the_end_of_a_chat_closes_its_thread_and_answers_nobody(actor: dict[str, str], role: str) -> None:
    assert happened("chat_ended", actor=actor).message() == Message(role, public=False, closes=True)


def test_a_promise_keeps_its_due_time_when_its_outcome_is_known() -> None:
    made = happened("promise_made", promise_id="P", what="call back", due="1970-01-02T03:00:00.250+03:00")
    assert registers(made) == {
        ("promise", "P"): {"what": "call back", "due": 86_400_250},
        ("promise_outcome", "P"): {"state": "open"},
    }
    for state in ("kept", "broken"):
        assert registers(happened(f"promise_{state}", promise_id="P")) == {
            ("promise_outcome", "P"): {"state": state}
        }


def test_that_a_promise_is_overdue_is_kept_apart_from_what_became_of_it() -> None:
    overdue = happened("promise_overdue", promise_id="P", due="1970-01-02T03:00:00.250+03:00")
    assert registers(overdue) == {("promise_overdue", "P"): {"due": 86_400_250}}
    assert registers(happened("promise_overdue", promise_id="P")) == {("promise_overdue", "P"): {"due": None}}


@pytest.mark.parametrize("verdict", ["request_answered", "request_late", "request_ignored"])
def test_a_verdict_stands_under_the_turn_it_is_about(verdict: str) -> None:
    said = registers(happened(verdict, turn="0f1e", waited=90, policy="standard-1", by="bot"))
    assert said == {("verdict", "0f1e"): {"type": verdict, "waited": 90, "policy": "standard-1"}}
    assert registers(happened(verdict, waited=90)) == {}, "a help desk may say less"


def test_a_due_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="due"):
        happened("promise_made", promise_id="P", what="call back", due="2026-01-02T03:00:00")


@pytest.mark.parametrize(
    "verdict",
    ["request_answered", "request_late", "request_ignored", "promise_overdue", "case_silent", "stage_stuck"],
)
def test_a_verdict_about_time_is_no_message_and_not_for_the_customer(verdict: str) -> None:
    noted = happened(verdict, thread="mail-8", promise_id="P", case_id="C-7", stage="new", since=NOON)
    assert noted.message() is None
    assert noted.taken_direction() == "internal"
    assert not noted.shown_to_customer()
    assert not noted.from_public_key


# All of them

REQUIRED = {
    "direction": "in", "action": "added", "text": "Hello", "helpful": True, "outcome": "Better", "order_id": "7",
    "case_id": "C-7", "stage": "packed", "promise_id": "P", "what": "call back",
    "due": "2026-01-02T03:00:00Z", "since": NOON, "step": "address", "service": "payment", "name": "Lamp",
    "seconds": 60,
}  # fmt: skip


@pytest.mark.parametrize("model", [pytest.param(each, id=each.type) for each in TYPES])
def test_even_with_nothing_but_its_required_fields_a_headline_says_more_than_the_type(
    model: type[Details],
) -> None:
    needed = {name for name, field in model.model_fields.items() if field.is_required()}
    details = model.model_validate({name: REQUIRED[name] for name in needed})
    for language in ("en", "ru"):
        headline, detail = details.display.read(details.model_dump(), language)
        assert headline.casefold().replace(" ", "_") != model.type
        assert "–" not in headline + detail


def test_a_chat_message_whose_words_the_source_keeps_to_itself_still_reads() -> None:
    message = happened("chat_message_sent", text="", actor={"kind": "agent", "name": "Vera"})
    assert message.display.read(message.model_dump(), "en") == ("Chat message from an agent", "Vera")
