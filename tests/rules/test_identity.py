"""Identifiers made comparable, values that name nobody, and what a touchpoint claims."""

from __future__ import annotations

import random
import traceback
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from touchbook.errors import Rejected
from touchbook.identity import (
    STRENGTH_ORDER,
    IdentityRules,
    claims_of,
    is_blocked,
    normalised,
    resolve,
    shown_member,
    subject_of,
)
from touchbook.schemas.touchpoint import Claim, Identifier, Touchpoint

RULES = IdentityRules()
GERMAN = IdentityRules(default_region="DE")
RUSSIAN = IdentityRules(default_region="RU")


def value_of(type: str, value: str, rules: IdentityRules = RULES) -> str:
    identifier = normalised(type, value, rules)
    assert identifier.type == type
    return identifier.value


def refusal_of(type: str, value: str, rules: IdentityRules = RULES) -> Rejected:
    with pytest.raises(Rejected) as caught:
        normalised(type, value, rules)
    assert caught.value.code == "identifier_invalid"
    return caught.value


def ident(text: str) -> Identifier:
    type, _, value = text.partition(":")
    return Identifier(type, value)


def touchpoint(*carried: str, type: str = "page_viewed", strength: int = 1, **data: Any) -> Touchpoint:
    identifiers = tuple(ident(one) for one in carried)
    return Touchpoint(
        key="k1",
        id="1",
        source="shop",
        type=type,
        version=1,
        channel="web",
        subject=subject_of(identifiers, RULES),
        identifiers=identifiers,
        occurred_at=1_000,
        received_at=1_000,
        data=data,
        digest="",
        strength=strength,
    )


def said(claims: list[Claim]) -> set[tuple[str, str, int, bool]]:
    return {(str(claim.lesser), str(claim.greater), claim.strength, claim.apart) for claim in claims}


# Spelling


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Ann@Example.TEST", "ann@example.test"),
        ("  ann@example.test\r\n", "ann@example.test"),
        ("\ufeffann@example.test\u200b", "ann@example.test"),
        ("ГРОМОВА@пример.test", "громова@пример.test"),
        ("groß@example.test", "gross@example.test"),
        ("\u01f0@example.test", "\u01f0@example.test"),  # one letter whose folding is two
        ("e\u0301va@example.test", "éva@example.test"),
        ("É" + "va@example.test", "éva@example.test"),
    ],
)
def test_an_email_is_trimmed_and_casefolded(written: str, kept: str) -> None:
    assert value_of("email", written) == kept


@pytest.mark.parametrize(
    "written",
    ["", "   ", "ann", "@example.test", "ann@", "ann@@example.test", "a@b@example.test",
     "ann lee@example.test", "ann\u00a0lee@example.test", "an\x00n@example.test", "an\u200bn@example.test",
     "a" * 250 + "@example.test"],
)  # fmt: skip
def test_what_does_not_look_like_an_address_is_rejected(written: str) -> None:
    assert refusal_of("email", written).field == "email"


def test_an_email_that_grows_by_casefolding_is_still_bounded() -> None:
    assert len(value_of("email", "a" * 241 + "@example.test")) == 254
    refusal_of("email", "ß" * 200 + "@example.test")


@pytest.mark.parametrize(
    ("written", "rules", "kept"),
    [
        ("+49 (0)30 123456", RULES, "+4930123456"),
        ("0049 30 / 123-456", RULES, "+4930123456"),
        ("\u202a+7 912 345‑67‑89\u202c", RULES, "+79123456789"),
        ("+٧٩١٢٣٤٥٦٧٨٩", RULES, "+79123456789"),
        ("8 (912) 345-67-89", RUSSIAN, "+79123456789"),
        ("030 123456", GERMAN, "+4930123456"),
        ("0049 30 123456", GERMAN, "+4930123456"),
        ("+7 912 345-67-89", GERMAN, "+79123456789"),
        ("+39 06 1234567", RULES, "+39061234567"),
        ("+1 555-0100", RULES, "+15550100"),  # no area code, but written whole: taken at its word
    ],
)
def test_a_phone_number_becomes_e164(written: str, rules: IdentityRules, kept: str) -> None:
    assert value_of("phone", written, rules) == kept


@pytest.mark.parametrize(
    ("written", "rules"),
    [
        ("030 123456", RULES),  # no region: whose 030?
        ("8 (912) 345-67-89", RULES),
        ("555-0100", IdentityRules(default_region="US")),  # no area code: which town?
        ("112", RUSSIAN),
        ("+7 912 345", RULES),
        ("+1 202 555 0123 456", RULES),
        ("+00000000000", RULES),
        ("+49 30 123456 ext. 5", RULES),  # an extension is another desk
        ("+49 30 123456 or 7", RULES),
        ("ann +49 30 123456", RULES),
        ("", GERMAN),
        ("+", GERMAN),
        ("()", GERMAN),
        ("9" * 200, GERMAN),
    ],
)
def test_what_is_no_whole_phone_number_is_rejected(written: str, rules: IdentityRules) -> None:
    assert refusal_of("phone", written, rules).field == "phone"


@pytest.mark.parametrize("type", ["user_id", "loyalty_card", "device", "anonymous_id"])
def test_other_identifiers_keep_their_case_and_lose_only_what_surrounds_them(type: str) -> None:
    assert value_of(type, "\t Ab/12:3%? \n") == "Ab/12:3%?"
    assert value_of(type, "e\u0301") == "é"
    assert value_of(type, "x" * 200) == "x" * 200


@pytest.mark.parametrize("written", ["", " \u00a0\u2028", "x" * 201, "a\x00b", "a\nb", "a\x7fb", "a\ud800b"])
def test_other_identifiers_are_bounded_and_free_of_control_characters(written: str) -> None:
    assert refusal_of("user_id", written).field == "user_id"


def test_an_unknown_type_is_rejected_and_told_which_types_there_are() -> None:
    refusal = refusal_of("phone_number", "+4930123456")
    assert refusal.field == "phone_number"
    assert all(type in str(refusal) for type in STRENGTH_ORDER)


@given(
    st.sampled_from([*STRENGTH_ORDER, "ann@example.test", "79123456789"]),
    st.sampled_from(["Кракатук ", "krakatuk\x00", "+7 912", "@@"]),
    st.text(max_size=300),
)
def test_an_error_never_carries_the_value(type: str, telling: str, rest: str) -> None:
    try:
        normalised(type, telling + rest, GERMAN)
    except Rejected as error:
        refusal = error
    else:
        assume(False)
    told = "".join(traceback.format_exception_only(refusal))
    assert not any(personal in told for personal in (telling, "ann@", "7912"))
    assert refusal.__cause__ is None


@given(
    st.sampled_from(STRENGTH_ORDER),
    st.one_of(
        st.text(max_size=60),
        st.builds("{}@{}".format, st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20)),
        st.text("0123456789٤+ ()-/.", max_size=20),
        st.builds("+{}".format, st.integers(10**6, 10**14)),
    ),
    st.sampled_from([RULES, GERMAN, RUSSIAN]),
)
def test_normalising_again_changes_nothing(type: str, value: str, rules: IdentityRules) -> None:
    try:
        once = normalised(type, value, rules)
    except Rejected:
        assume(False)
    assert normalised(type, once.value, rules) == once
    once.value.encode()


@given(st.emails())
def test_an_email_is_the_same_in_any_case(email: str) -> None:
    assert value_of("email", email.upper()) == value_of("email", email.lower()) == value_of("email", email)


# The rules of a journal


@pytest.mark.parametrize("rules", [RULES, GERMAN, IdentityRules(order=tuple(reversed(STRENGTH_ORDER)))])
def test_rules_written_into_a_journal_are_read_back_the_same(rules: IdentityRules) -> None:
    assert IdentityRules.from_json(rules.to_json()) == rules


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": ("user_id",)},
        {"order": (*STRENGTH_ORDER, "email")},
        {"default_region": "Germany"},
        {"version": 2},
    ],
)
def test_rules_that_cannot_be_kept_are_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: expected"):
        IdentityRules(**wrong)


# Values that name nobody


@pytest.mark.parametrize(
    "identifier",
    ["user_id:null", "user_id:NULL", "user_id:None", "user_id:undefined", "user_id:NaN", "user_id:nil",
     "user_id:Anonymous", "user_id:guest", "user_id:unknown", "user_id:default", "user_id:N/A", "user_id:0",
     "user_id:-1", "user_id:[object Object]", "loyalty_card:0000000000", "loyalty_card:-",
     "loyalty_card:****", "loyalty_card:?", "device:00000000-0000-0000-0000-000000000000",
     "device:02:00:00:00:00:00", "device:000000000000000", "anonymous_id:—",
     "phone:+79999999999", "phone:+11111111111", "phone:+10000000000"],
)  # fmt: skip
def test_a_value_that_names_nobody_is_blocked(identifier: str) -> None:
    assert is_blocked(ident(identifier))


@pytest.mark.parametrize(
    "identifier",
    ["user_id:1", "user_id:42", "user_id:100", "user_id:0-1", "user_id:nullah", "user_id:Нина", "user_id:?!",
     "user_id:aaaa", "loyalty_card:7777", "email:guest@example.test", "phone:+79123456789",
     "phone:+18007777777",
     "device:00000000-0000-0000-0000-000000000001"],
)  # fmt: skip
def test_a_value_that_names_somebody_is_not_blocked(identifier: str) -> None:
    assert not is_blocked(ident(identifier))


# The subject


def test_the_subject_is_the_strongest_identifier() -> None:
    for place, type in enumerate(STRENGTH_ORDER):
        carried = [Identifier(weaker, "x1") for weaker in STRENGTH_ORDER[place:]]
        random.Random(place).shuffle(carried)
        assert subject_of(carried, RULES).type == type


def test_the_order_of_the_journal_decides_what_is_strongest() -> None:
    email_first = IdentityRules(order=("email", "user_id", "loyalty_card", "phone", "device", "anonymous_id"))
    carried = [ident("user_id:7"), ident("email:ann@example.test")]
    assert subject_of(carried, email_first).type == "email"


def test_a_blocked_value_is_the_subject_only_when_there_is_nothing_else() -> None:
    nobody, browser = ident("user_id:null"), ident("anonymous_id:b-1")
    assert subject_of([nobody, browser], RULES) == browser
    assert subject_of([ident("anonymous_id:none"), nobody], RULES) == nobody


@given(
    st.lists(st.builds(Identifier, st.sampled_from(STRENGTH_ORDER), st.sampled_from("0ab")), min_size=1),
    st.randoms(),
)
def test_the_subject_does_not_depend_on_the_order_they_are_listed_in(
    carried: list[Identifier], chance: random.Random
) -> None:
    before = subject_of(carried, RULES)
    chance.shuffle(carried)
    assert subject_of(carried, RULES) == before


# The member that is shown

MEMBERS = st.builds(Identifier, st.sampled_from(STRENGTH_ORDER), st.sampled_from("abcd"))


@given(
    st.dictionaries(MEMBERS, st.integers(0, 5), min_size=1),
    st.dictionaries(MEMBERS, st.integers(0, 5)),
)
def test_the_member_shown_stays_while_the_customer_grows_unless_an_earlier_one_joins(
    members: dict[Identifier, int], newcomers: dict[Identifier, int]
) -> None:
    shown = shown_member(members)
    later = {one: at for one, at in newcomers.items() if (at, one) > (members[shown], shown)}
    assert shown_member(later | members) == shown
    earlier = Identifier("anonymous_id", "first of all")
    assert shown_member(members | {earlier: -1}) == earlier


# What a touchpoint claims


def test_a_touchpoint_claims_its_subject_with_each_other_and_never_all_pairs() -> None:
    claims = claims_of(touchpoint("anonymous_id:b", "email:a@example.test", "user_id:7"))
    assert said(claims) == {
        ("anonymous_id:b", "user_id:7", 1, False),
        ("email:a@example.test", "user_id:7", 1, False),
    }
    assert {(claim.occurred_at, claim.touchpoint, claim.source) for claim in claims} == {
        (1_000, "k1", "shop")
    }


def test_a_touchpoint_with_one_identifier_claims_nothing() -> None:
    assert claims_of(touchpoint("user_id:7")) == []


def test_an_identify_claims_with_the_strength_it_has() -> None:
    claims = claims_of(touchpoint("user_id:7", "anonymous_id:b", type="identified", strength=2))
    assert said(claims) == {("anonymous_id:b", "user_id:7", 2, False)}


def test_an_agents_note_about_two_identifiers_is_no_decision_that_they_are_one() -> None:
    claims = claims_of(touchpoint("user_id:7", "anonymous_id:b", type="note_added", strength=3))
    assert said(claims) == {("anonymous_id:b", "user_id:7", 2, False)}


def test_a_link_claims_every_pair_it_names_and_what_it_carries_beside() -> None:
    one_person = ["user_id:7", "email:a@example.test", "phone:+4930123456"]
    link = touchpoint("user_id:7", "device:d", type="link", strength=3, link=one_person)
    assert said(claims_of(link)) == {
        ("device:d", "user_id:7", 1, False),
        ("email:a@example.test", "user_id:7", 3, False),
        ("phone:+4930123456", "user_id:7", 3, False),
        ("email:a@example.test", "phone:+4930123456", 3, False),
    }


def test_a_link_of_all_lifts_an_unlink_of_the_same() -> None:
    ids = ["user_id:7", "device:a", "device:b", "email:a@example.test"]
    unlink = touchpoint("user_id:7", type="unlink", apart=ids[:2], **{"from": ids[2:]})
    link = touchpoint("user_id:7", type="link", link=ids)._replace(key="k2", occurred_at=2_000)
    customers = resolve([*claims_of(unlink), *claims_of(link)], frozenset()).customers
    assert [sorted(map(str, one)) for one in customers] == [sorted(ids)]


def test_an_unlink_keeps_every_pair_across_the_two_sides_apart() -> None:
    unlink = touchpoint("user_id:7", type="unlink", strength=3)
    unlink.data.update({"apart": ["user_id:7", "device:d"], "from": ["user_id:8", "email:a@example.test"]})
    assert said(claims_of(unlink)) == {
        ("user_id:7", "user_id:8", 3, True),
        ("email:a@example.test", "user_id:7", 3, True),
        ("device:d", "user_id:8", 3, True),
        ("device:d", "email:a@example.test", 3, True),
    }


def test_an_identifier_is_never_claimed_with_itself_nor_a_pair_twice() -> None:
    link = touchpoint(
        "user_id:7", "user_id:7", type="link", link=["user_id:7", "user_id:7", "device:d", "device:d"]
    )
    assert [str(claim.lesser) for claim in claims_of(link)] == ["device:d"]
    unlink = touchpoint("user_id:7", type="unlink")
    unlink.data.update({"apart": ["user_id:7", "device:d"], "from": ["device:d", "user_id:7"]})
    assert [(str(claim.lesser), str(claim.greater)) for claim in claims_of(unlink)] == [
        ("device:d", "user_id:7")
    ]


def test_an_id_in_a_decision_may_hold_colons() -> None:
    [claim] = claims_of(touchpoint("user_id:7", type="link", link=["user_id:7", "device:02:42:ac"]))
    assert claim.lesser == Identifier("device", "02:42:ac")


@given(
    st.lists(MEMBERS, min_size=1, max_size=8, unique=True),
    st.lists(MEMBERS, min_size=1, max_size=5),
    st.lists(MEMBERS, min_size=1, max_size=5),
    st.sampled_from(["link", "unlink", "page_viewed"]),
)
def test_every_claim_names_the_lesser_first_and_no_pair_twice_at_one_strength(
    carried: list[Identifier], some: list[Identifier], others: list[Identifier], type: str
) -> None:
    happened = touchpoint(*map(str, carried), type=type, link=[str(one) for one in some])
    happened.data.update({"apart": [str(one) for one in some], "from": [str(one) for one in others]})
    claims = claims_of(happened)
    assert all(claim.lesser < claim.greater for claim in claims)
    pairs = [(claim.lesser, claim.greater, claim.strength) for claim in claims]
    assert len(set(pairs)) == len(pairs)
    assert sum(claim.strength == 1 for claim in claims) == len(carried) - 1
