"""What samples cannot show of information, loyalty, learning, account, person: registers, turns, rights."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchbook.errors import Rejected
from touchbook.schemas.catalogue import CATALOGUE, Catalogue
from touchbook.schemas.details import INTEREST, Contact, Details, Message, Register
from touchbook.schemas.interests import MAX_CATEGORY
from touchbook.schemas.mapping import Mapping
from touchbook.schemas.touchpoints import contact, types_of
from touchbook.schemas.touchpoints.person import MAX_TRAIT_NAME, MAX_TRAITS, PREFERENCES, SURE_ENOUGH

CATALOGUE_ALONE = Catalogue(Mapping())
AGENT = {"kind": "agent", "name": "Vera"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)


def details_of(type: str, **data: Any) -> Details:
    return CATALOGUE_ALONE.read(type, 1, data).details


def registers_of(type: str, **data: Any) -> dict[str, Any]:
    """Key → value of what it sets."""
    return {register.key: register.value for register in details_of(type, **data).registers()}


def signals_of(type: str, **data: Any) -> list[str]:
    return [signal.name for signal in details_of(type, **data).signals()]


def refused_field(type: str, **data: Any) -> str:
    with pytest.raises(Rejected) as caught:
        details_of(type, **data)
    return caught.value.field


# Who may send what, and who may see it


@pytest.mark.parametrize("family", ["person", "information", "loyalty", "learning"])
def test_consents_links_notes_and_rewards_never_come_from_a_page(family: str) -> None:
    models = [model for model in CATALOGUE.values() if model.family == family]
    public = {model.type for model in models if model.from_public_key}
    assert public <= {"identified"}, "which the door keeps without its traits"


@pytest.mark.parametrize("name", ["note_added", "emotion_observed", "contact_violated", "link", "unlink"])
def test_what_we_say_among_ourselves_is_internal_and_not_for_his_eyes(name: str) -> None:
    assert CATALOGUE[name].default_direction == "internal"
    assert not CATALOGUE[name].for_customer


@pytest.mark.parametrize("name", ["page_viewed", "app_opened", "session_ended"])
def test_comings_and_goings_may_come_from_a_page_and_are_noise(name: str) -> None:
    assert CATALOGUE[name].from_public_key
    assert CATALOGUE[name].display.tone == "noise"


def test_an_agents_note_is_internal_whoever_acts() -> None:
    assert details_of("note_added", text="Call later", actor=AGENT).taken_direction() == "internal"


# What he told us of himself


@given(st.dictionaries(st.text(), json_values))
def test_each_trait_is_a_register_of_its_own(traits: dict[str, Any]) -> None:
    set_ = registers_of("identified", traits=traits)
    assert set_ == {name: value for name, value in traits.items() if 0 < len(name) <= MAX_TRAIT_NAME}


@given(st.permutations([f"trait{n:03}" for n in range(MAX_TRAITS + 20)]))
def test_too_many_traits_leave_the_same_hundred_in_whatever_order(names: list[str]) -> None:
    details = details_of("identified", traits=dict.fromkeys(names, 1))
    assert [register.key for register in details.registers()] == [f"trait{n:03}" for n in range(MAX_TRAITS)]
    assert list(details.marks()) == ["traits_left_out"]


def test_a_null_trait_clears_its_register() -> None:
    assert list(details_of("identified", traits={"city": None}).registers()) == [
        Register("trait", "city", None)
    ]


# Consent


@pytest.mark.parametrize(("type", "granted"), [("consent_granted", True), ("consent_withdrawn", False)])
def test_a_consent_stands_for_each_purpose_it_names_once(type: str, granted: bool) -> None:
    assert registers_of(type, purpose="offer", purposes=["offer", "Advertising"]) == {
        "offer": {"granted": granted},
        "Advertising": {"granted": granted},
    }


def test_a_consent_remembers_what_was_agreed_to_and_how() -> None:
    said = {"method": "form", "document": "Privacy notice", "document_version": "3"}
    assert registers_of("consent_granted", purpose="offer", **said) == {"offer": {"granted": True, **said}}


@pytest.mark.parametrize("data", [{}, {"purposes": []}])
def test_a_consent_to_nothing_is_refused(data: dict[str, Any]) -> None:
    assert refused_field("consent_granted", **data) == ""


@pytest.mark.parametrize("type", ["consent_granted", "consent_withdrawn"])
def test_a_word_on_consent_gives_no_signal_of_pressure(type: str) -> None:
    assert signals_of(type, purpose="offer") == []


# Preferences


def test_only_the_preferences_named_are_set() -> None:
    assert registers_of("preference_changed", language="ru") == {"language": "ru"}
    assert registers_of("preference_changed", do_not_contact=False) == {"do_not_contact": False}


def test_null_clears_a_preference() -> None:
    assert registers_of("preference_changed", hours=None, topics=None) == {"hours": None, "topics": None}


def test_quiet_hours_are_kept_in_the_words_they_were_sent_in() -> None:
    hours = {"from": "22:00", "to": "08:00", "zone": "Asia/Yekaterinburg"}
    details = details_of("preference_changed", hours=hours)
    assert [register.value for register in details.registers()] == [hours]
    assert details.model_dump()["hours"] == hours


def test_preferred_channels_keep_their_order() -> None:
    assert registers_of("preference_changed", channels=["sms", "email"]) == {"channels": ["sms", "email"]}


@pytest.mark.parametrize(
    ("hours", "field"),
    [
        ({"from": "24:00", "to": "08:00", "zone": "Europe/Riga"}, "hours.from"),
        ({"from": "22:00", "to": "8:00", "zone": "Europe/Riga"}, "hours.to"),
        ({"from": "22:00", "to": "08:00", "zone": "Mars/Olympus"}, "hours.zone"),
        ({"from": "22:00", "to": "08:00", "zone": "../../etc/localtime"}, "hours.zone"),
        ({"from": "22:00", "to": "08:00"}, "hours.zone"),
    ],
)
def test_quiet_hours_need_two_times_and_a_zone(hours: dict[str, str], field: str) -> None:
    assert refused_field("preference_changed", hours=hours) == field


def test_a_preference_for_nothing_is_refused() -> None:
    assert refused_field("preference_changed", campaign="spring") == ""


def test_what_can_be_preferred_is_known() -> None:
    assert {"channels", "do_not_contact", "hours", "language", "topics", "frequency", "help"} == PREFERENCES


# One person, or two


def test_a_link_needs_two_identifiers() -> None:
    assert details_of("link", link=["user_id:42", "loyalty_card:7"])
    assert refused_field("link", link=["user_id:42"]) == "link"


@pytest.mark.parametrize("wrong", ["42", ":42", "user_id:", "User:42", "user_id: 42", ""])
def test_an_identifier_is_written_with_its_type(wrong: str) -> None:
    assert refused_field("link", link=["user_id:1", wrong]) == "link.1"


@pytest.mark.parametrize(
    "right", ["user_id:a/b:c%2F?", "email:ann@example.test", "device:d 1", "loyalty_card:Ж"]
)
def test_an_identifier_may_hold_anything_after_its_type(right: str) -> None:
    assert details_of("link", link=["user_id:1", right]).model_dump()["link"][1] == right


def test_an_unlink_names_both_sides() -> None:
    dumped = details_of("unlink", apart=["user_id:1"], **{"from": ["user_id:2"]}).model_dump()
    assert (dumped["apart"], dumped["from"]) == (["user_id:1"], ["user_id:2"])
    assert refused_field("unlink", apart=["user_id:1"]) == "from"
    assert refused_field("unlink", apart=[], **{"from": ["user_id:2"]}) == "apart"


# What he feels


@given(st.floats(0, 1))
def test_a_feeling_counts_only_if_it_is_more_likely_right_than_wrong(confidence: float) -> None:
    felt = {"emotion": "anger", "valence": "negative", "source": "voice", "confidence": confidence}
    sure = confidence >= SURE_ENOUGH
    assert signals_of("emotion_observed", **felt) == (["emotion_negative"] if sure else [])
    assert list(details_of("emotion_observed", **felt).marks()) == ([] if sure else ["low_confidence"])


@pytest.mark.parametrize("confidence", [-0.1, 1.1, "sure"])
def test_confidence_is_between_nothing_and_one(confidence: Any) -> None:
    felt = {"emotion": "joy", "valence": "positive", "source": "agent", "confidence": confidence}
    assert refused_field("emotion_observed", **felt) == "confidence"


# What we send


@pytest.mark.parametrize("purpose", ["welcome", "teach", "offer"])
def test_a_send_that_presses_is_marketing(purpose: str) -> None:
    assert signals_of("message_sent", purpose=purpose) == ["message_marketing"]


@pytest.mark.parametrize("purpose", ["support", "service", "legal"])
def test_a_send_that_serves_is_service(purpose: str) -> None:
    assert signals_of("message_sent", purpose=purpose) == ["message_service"]


def test_what_a_person_or_a_bot_writes_answers_the_customer() -> None:
    assert details_of("message_sent", actor=AGENT, thread="c-1").message() == Message("agent", public=True)
    assert details_of("message_sent", actor={"kind": "bot"}, thread="c-1").message() == Message(
        "bot", public=True
    )


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"actor": {"kind": "system"}},
        {"actor": AGENT, "direction": "internal"},
        {"actor": {"kind": "customer"}},
    ],
)
def test_a_mailing_answers_nobody(data: dict[str, Any]) -> None:
    assert details_of("message_sent", thread="c-1", **data).message() is None


def test_what_goes_out_is_a_contact_for_its_purpose() -> None:
    sent = details_of("message_sent", purpose="offer", tags=["lamps"], campaign="autumn", decision="r-1")
    assert sent.contact() == Contact("sent", "r-1", None, "offer", ("lamps",), "autumn")
    assert details_of("survey_sent").contact() == Contact("sent", None, None, "survey")


@pytest.mark.parametrize("type", ["message_sent", "survey_sent"])
def test_what_came_in_or_stayed_among_us_is_no_contact(type: str) -> None:
    for direction in ("in", "internal"):
        assert details_of(type, direction=direction, purpose="offer").contact() is None


# What was decided about speaking to him

DECIDED = {"for_channel": "email", "purpose": "offer", "tags": ["lamps"], "campaign": "autumn"}


def test_a_reservation_says_what_it_holds_and_for_how_long() -> None:
    reserved = details_of(
        "contact_reserved", reservation="r-1", holds_until="1970-01-01T00:15:00Z", counts=False, **DECIDED
    )
    assert reserved.contact() == Contact(
        "reserved", "r-1", "email", "offer", ("lamps",), "autumn", False, 900_000
    )


@pytest.mark.parametrize("kind", ["confirmed", "released"])
def test_what_became_of_a_reservation_names_it(kind: str) -> None:
    assert details_of(f"contact_{kind}", reservation="r-1").contact() == Contact(kind, "r-1")


@pytest.mark.parametrize("kind", ["deferred", "suppressed"])
def test_what_was_not_allowed_takes_no_place(kind: str) -> None:
    denied = details_of(f"contact_{kind}", decision="d-1", until="1970-01-01T00:15:00Z", **DECIDED)
    assert denied.contact() is None
    assert denied.shown_to_customer()


@pytest.mark.parametrize("model", types_of(contact), ids=lambda model: model.type)
def test_a_decision_is_neither_ours_nor_his_doing_and_counts_nothing_but_itself(model: type[Details]) -> None:
    assert model.default_direction == "internal"
    assert model.gives == ()
    assert not model.from_public_key
    assert model.model_construct().message() is None


# What he is interested in


@given(st.text())
def test_a_pages_category_is_interest_whatever_its_case_and_space(category: str) -> None:
    given_ = [name for name in signals_of("page_viewed", category=category) if name.startswith(INTEREST)]
    assert given_ == [
        name
        for name in signals_of("page_viewed", category=f" {category.casefold()}\t")
        if name.startswith(INTEREST)
    ]
    assert all(len(name) <= len(INTEREST) + MAX_CATEGORY for name in given_)
    assert bool(given_) == bool(category.strip())


# Points


@given(st.integers(0, 10**12))
def test_points_are_the_total_of_their_types_own_signal(points: int) -> None:
    for type in ("points_earned", "points_spent", "points_expired"):
        assert [(signal.name, signal.total) for signal in details_of(type, points=points).signals()] == [
            (type, points)
        ]


def test_points_are_never_negative() -> None:
    assert refused_field("points_spent", points=-1) == "points"
