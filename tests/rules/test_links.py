"""From claims to customers: one answer for every order of arrival, and guards that hold."""

from __future__ import annotations

import gc
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.reference_links import (
    AT_MOST,
    customers_and_refusals,
    groups_of,
    joins_groups,
    shared_identifiers,
)
from tests.thorough import examples
from touchbook.identity import is_blocked, resolve
from touchbook.links import Links
from touchbook.schemas.touchpoint import Claim, Identifier

AGENT = 3
NOBODY = Identifier("user_id", "null")
KIOSK = Identifier("device", "kiosk")


def ident(text: str) -> Identifier:
    type, _, value = text.partition(":")
    return Identifier(type, value)


def claim(a: str, b: str, strength: int = 1, at: int = 0, by: str = "k1", apart: bool = False) -> Claim:
    lesser, greater = sorted((ident(a), ident(b)))
    return Claim(lesser, greater, strength, apart, at, by, "shop")


def link(a: str, b: str, at: int = 0, by: str = "k1") -> Claim:
    return claim(a, b, AGENT, at, by)


def unlink(a: str, b: str, at: int = 0, by: str = "k1") -> Claim:
    return claim(a, b, AGENT, at, by, apart=True)


def resolved(*claims: Claim, kiosks: Iterable[Identifier] = ()) -> Links:
    return resolve(claims, frozenset(kiosks))


def reasons(links: Links) -> list[str]:
    return [refused.reason for refused in links.refused]


def customer(*members: str) -> frozenset[Identifier]:
    return frozenset(map(ident, members))


def told(links: Links) -> tuple[list[set[Identifier]], list[tuple[object, ...]]]:
    """In the shape of the reference."""
    refusals: list[tuple[object, ...]] = [
        (one.a, one.b, one.reason, one.strength, one.occurred_at, one.touchpoint, one.source)
        for one in links.refused
    ]
    return [set(members) for members in links.customers], refusals


# Random claims, over so few identifiers that they collide all the time

SOME = {"user_id": 3, "loyalty_card": 5, "email": 7, "phone": 2, "device": 2, "anonymous_id": 3}
IDENTIFIERS = [Identifier(type, f"{n + 1}") for type, count in SOME.items() for n in range(count)]
ANYBODY = st.sampled_from([*IDENTIFIERS, NOBODY, KIOSK])
FEW = st.sampled_from([*IDENTIFIERS[:4], *IDENTIFIERS[-4:]])
KEYS = st.sampled_from(["k1", "k2", "k3", "k4", "k5"])


def claims_between(who: st.SearchStrategy[Identifier], strengths: Iterable[int]) -> st.SearchStrategy[Claim]:
    """Claims of these strengths, unlinks too where agents are among them."""
    said = st.tuples(who, who).filter(lambda pair: pair[0] != pair[1]).map(sorted)
    return st.builds(
        lambda pair, strength, apart, at, key: Claim(
            pair[0], pair[1], strength, apart and strength == AGENT, at, key, f"source of {key}"
        ),
        said,
        st.sampled_from(list(strengths)),
        st.booleans(),
        st.integers(0, 6),
        KEYS,
    )


CLAIMS = st.one_of(
    st.lists(claims_between(ANYBODY, (1, 2, AGENT)), max_size=60),
    st.lists(claims_between(FEW, (1, 2, AGENT, AGENT)), max_size=40),
    st.lists(claims_between(ANYBODY, (1, 2)), min_size=30, max_size=80),
)
FROM_CHANNELS = st.lists(claims_between(ANYBODY, (1, 2)), max_size=40)
KIOSKS = st.sampled_from([frozenset[Identifier](), frozenset({KIOSK}), frozenset({KIOSK, IDENTIFIERS[3]})])


@settings(max_examples=examples(500))
@given(CLAIMS, KIOSKS)
def test_links_equal_those_of_the_slow_obvious_way(
    claims: list[Claim], kiosks: frozenset[Identifier]
) -> None:
    assert told(resolve(claims, kiosks)) == customers_and_refusals(claims, {NOBODY}, kiosks)


@given(CLAIMS, KIOSKS, st.randoms(use_true_random=False))
def test_any_order_of_arrival_and_any_repeats_give_the_same_links(
    claims: list[Claim], kiosks: frozenset[Identifier], chance: random.Random
) -> None:
    arrived = claims + chance.choices(claims, k=5) if claims else []
    chance.shuffle(arrived)
    assert resolve(arrived, kiosks) == resolve(claims, kiosks)


@given(CLAIMS, KIOSKS)
def test_resolving_inside_a_group_equals_resolving_over_all_claims(
    claims: list[Claim], kiosks: frozenset[Identifier]
) -> None:
    everything = resolve(claims, kiosks)
    for group in groups_of(claims, kiosks):
        touching = [one for one in claims if one.lesser in group or one.greater in group]
        inside = resolve(touching, kiosks)
        assert all(inside.of(member) == everything.of(member) for member in group)
        assert inside.refused == [one for one in everything.refused if one.a in group or one.b in group]


@given(CLAIMS)
def test_a_group_from_before_its_member_was_found_to_be_a_kiosk_still_serves(claims: list[Claim]) -> None:
    everything = resolve(claims, {KIOSK})
    for group in groups_of(claims, frozenset()):
        touching = [one for one in claims if one.lesser in group or one.greater in group]
        assert all(resolve(touching, {KIOSK}).of(member) == everything.of(member) for member in group)


@given(CLAIMS, KIOSKS)
def test_groups_are_disjoint_and_hold_every_customer_whole(
    claims: list[Claim], kiosks: frozenset[Identifier]
) -> None:
    groups = groups_of(claims, kiosks)
    assert len(frozenset().union(*groups)) == sum(map(len, groups))
    assert not frozenset().union(*groups) & {NOBODY, *kiosks}
    for members in resolve(claims, kiosks).customers:
        assert len(members) == 1 or sum(members <= group for group in groups) == 1


@given(CLAIMS, CLAIMS, KIOSKS)
def test_groups_only_ever_grow(before: list[Claim], more: list[Claim], kiosks: frozenset[Identifier]) -> None:
    later = groups_of(before + more, kiosks)
    assert all(any(group <= grown for grown in later) for group in groups_of(before, kiosks))


@given(CLAIMS, KIOSKS)
def test_every_identifier_named_is_in_one_customer_and_no_refused_pair_is_in_the_same(
    claims: list[Claim], kiosks: frozenset[Identifier]
) -> None:
    links = resolve(claims, kiosks)
    named = Counter(member for members in links.customers for member in members)
    assert set(named) == {side for one in claims for side in (one.lesser, one.greater)}
    assert set(named.values()) <= {1}
    assert all(links.of(member) == members for members in links.customers for member in members)
    assert all(links.of(refused.a) != links.of(refused.b) for refused in links.refused)


@given(CLAIMS, KIOSKS)
def test_no_customer_exceeds_the_maxima(claims: list[Claim], kiosks: frozenset[Identifier]) -> None:
    for members in resolve(claims, kiosks).customers:
        counts = Counter(member.type for member in members)
        assert all(count <= AT_MOST[type] for type, count in counts.items())


@given(CLAIMS)
def test_shared_and_blocked_identifiers_link_nobody(claims: list[Claim]) -> None:
    links = resolve(claims, {KIOSK})
    assert links.of(KIOSK) == {KIOSK}
    assert links.of(NOBODY) == {NOBODY}
    without = resolve([one for one in claims if not {one.lesser, one.greater} & {KIOSK, NOBODY}], frozenset())
    assert all(links.of(member) == without.of(member) for members in links.customers for member in members)


# What agents decide


@given(CLAIMS, FROM_CHANNELS, st.sampled_from(list(combinations(IDENTIFIERS, 2))))
def test_after_an_unlink_no_traffic_joins_the_two_again(
    before: list[Claim], traffic: list[Claim], pair: tuple[Identifier, Identifier]
) -> None:
    a, b = pair
    both_carried = [claim(str(a), str(b), strength, at=99) for strength in (1, 2)]
    links = resolve([*before, unlink(str(a), str(b), at=50), *traffic, *both_carried], frozenset())
    assert b not in links.of(a)


@given(FROM_CHANNELS, st.sampled_from(list(combinations(IDENTIFIERS, 2))), st.booleans())
def test_a_link_after_an_unlink_of_the_same_pair_joins_them(
    traffic: list[Claim], pair: tuple[Identifier, Identifier], linked_before: bool
) -> None:
    a, b = map(str, pair)
    decisions = [unlink(a, b, at=50), link(a, b, at=51)] + [link(a, b, at=49)] * linked_before
    links = resolve(traffic + decisions, frozenset())
    two_users = pair[0].type == pair[1].type == "user_id"
    assert (pair[1] in links.of(pair[0])) != two_users


def test_an_unlink_takes_an_earlier_link_back_without_a_refusal() -> None:
    links = resolved(link("user_id:7", "email:a", at=1), unlink("user_id:7", "email:a", at=2))
    assert links.customers == [customer("email:a"), customer("user_id:7")]
    assert links.refused == []


def test_of_two_decisions_at_one_moment_the_greater_touchpoint_key_is_the_later() -> None:
    pair = ("user_id:7", "email:a")
    assert len(resolved(unlink(*pair, at=1, by="k1"), link(*pair, at=1, by="k2")).customers) == 1
    assert len(resolved(link(*pair, at=1, by="k1"), unlink(*pair, at=1, by="k2")).customers) == 2
    at_once = [link(*pair, at=1, by="k1"), unlink(*pair, at=1, by="k1")]
    assert reasons(resolved(*at_once, claim(*pair))) == ["kept_apart"]


def test_two_sides_kept_apart_are_not_joined_through_a_third() -> None:
    links = resolved(
        claim("user_id:7", "device:d", at=1),
        claim("email:a", "device:d", at=2, by="k2"),
        unlink("user_id:7", "email:a", at=9),
    )
    assert links.customers == [customer("device:d", "user_id:7"), customer("email:a")]
    assert reasons(links) == ["kept_apart"]
    assert (links.refused[0].a, links.refused[0].b) == (ident("device:d"), ident("email:a"))
    assert (links.refused[0].strength, links.refused[0].occurred_at, links.refused[0].touchpoint) == (
        1,
        2,
        "k2",
    )


def test_sides_that_grew_by_joining_stay_apart_whichever_was_the_larger() -> None:
    halves = [claim(f"device:{side}{n}", f"device:{side}{n + 1}") for side in "ab" for n in range(5)]
    across = [claim(f"device:a{n}", f"device:b{n}", at=9, by=f"k{n}") for n in range(6)]
    links = resolved(*halves, *across, unlink("device:a0", "device:b5"))
    assert [len(members) for members in links.customers] == [6, 6]
    assert reasons(links) == ["kept_apart"] * 6


def test_an_agents_link_comes_before_an_identify_and_that_before_what_was_carried_together() -> None:
    users = [("user_id:1", 1, 0), ("user_id:2", 2, 5), ("user_id:3", AGENT, 9)]
    links = resolved(*(claim(user, "device:d", strength, at) for user, strength, at in users))
    assert links.of(ident("device:d")) == customer("user_id:3", "device:d")
    assert [str(refused.b) for refused in links.refused] == ["user_id:2", "user_id:1"]


def test_of_equal_strength_the_earlier_claim_holds() -> None:
    links = resolved(claim("user_id:1", "device:d", at=2), claim("user_id:2", "device:d", at=1))
    assert links.of(ident("device:d")) == customer("user_id:2", "device:d")


# Maxima


@pytest.mark.parametrize(("type", "most"), list(AT_MOST.items()))
@pytest.mark.parametrize("strength", [1, AGENT])
def test_a_customer_takes_so_many_of_a_type_and_no_more(type: str, most: int, strength: int) -> None:
    hub = "phone:+1" if type == "device" else "device:d"
    claims = [claim(hub, f"{type}:x{n:03}", strength, by=f"k{n:03}") for n in range(most + 1)]
    links = resolved(*claims)
    assert Counter(member.type for member in links.of(ident(hub)))[type] == most
    assert reasons(links) == [f"too_many_{type}"]
    assert ident(f"{type}:x{most:03}") not in links.of(ident(hub))


@pytest.mark.parametrize(("type", "most"), list(AT_MOST.items()))
def test_two_customers_join_only_if_both_together_keep_the_maxima(type: str, most: int) -> None:
    def family(name: str, size: int) -> list[Claim]:
        return [claim(f"phone:{name}", f"{type}:{name}{n}", 2) for n in range(size) if type != "phone"] + [
            claim(f"device:{name}", f"{type}:{name}{n}", 2) for n in range(size) if type == "phone"
        ]

    half = most // 2
    across = claim("anonymous_id:a0", "anonymous_id:b0") if type == "anonymous_id" else None
    across = across or claim(f"{type}:a0", f"{type}:b0")
    if half:
        assert reasons(resolved(*family("a", half), *family("b", most - half), across)) == []
    assert reasons(resolved(*family("a", half + 1), *family("b", most - half), across)) == [
        f"too_many_{type}"
    ]


def test_a_claim_between_two_who_are_joined_already_is_not_refused() -> None:
    around = [
        claim("user_id:1", "device:d"),
        claim("device:d", "email:a"),
        claim("user_id:1", "email:a", at=5),
    ]
    assert resolved(*around).refused == []


# Kiosks and blocked values


def users_at(device: str, count: int, strength: int = 1) -> list[Claim]:
    return [claim(f"user_id:u{n}", device, strength, at=n, by=f"k{n:02}") for n in range(count)]


def test_an_identifier_claimed_by_more_than_twenty_users_is_shared() -> None:
    assert shared_identifiers(users_at("device:kiosk", 20)) == set()
    assert shared_identifiers(users_at("device:kiosk", 21)) == {KIOSK}


def test_many_claims_of_few_users_unlinks_and_blocked_users_do_not_make_a_kiosk() -> None:
    often = [claim(f"user_id:u{n % 20}", "device:kiosk", at=n) for n in range(200)]
    unlinks = [unlink(f"user_id:v{n}", "device:kiosk") for n in range(30)]
    nobodies = [claim(f"user_id:{'0' * n}", "device:kiosk") for n in range(1, 30)]
    browsers = [claim(f"anonymous_id:a{n}", "device:kiosk") for n in range(30)]
    assert shared_identifiers(often + unlinks + nobodies + browsers) == set()


@given(st.randoms(use_true_random=False), FROM_CHANNELS)
def test_a_kiosk_links_nobody_whatever_the_order(chance: random.Random, traffic: list[Claim]) -> None:
    claims = users_at("device:kiosk", 21, strength=AGENT) + traffic
    chance.shuffle(claims)
    kiosks = shared_identifiers(claims)
    links = resolve(claims, kiosks)
    assert KIOSK in kiosks
    assert links.of(KIOSK) == {KIOSK}
    refused = [one for one in links.refused if KIOSK in (one.a, one.b) and NOBODY not in (one.a, one.b)]
    assert len(refused) >= 21
    assert {one.reason for one in refused} == {"shared_identifier"}
    assert not any(KIOSK in group for group in groups_of(claims, kiosks))


def test_a_blocked_value_links_nobody_and_says_so_even_when_it_is_shared_too() -> None:
    links = resolved(link("user_id:null", "device:d"), claim("user_id:null", "device:kiosk"), kiosks=[KIOSK])
    assert reasons(links) == ["blocked_value", "blocked_value"]
    assert all(len(members) == 1 for members in links.customers)
    assert is_blocked(NOBODY)
    assert not joins_groups(link("user_id:null", "device:d"), frozenset())


# The odd ends


def test_without_claims_everybody_is_a_customer_alone() -> None:
    links = resolved()
    assert (links.customers, links.refused) == ([], [])
    assert links.of(ident("user_id:7")) == customer("user_id:7")


def test_a_claim_of_one_with_itself_is_no_claim() -> None:
    himself = [claim("user_id:7", "user_id:7"), unlink("user_id:7", "user_id:7")]
    links = resolved(*himself, claim("user_id:7", "device:d"))
    assert links.customers == [customer("device:d", "user_id:7")]
    assert links.refused == []


# Size


def crowd(size: int) -> list[Claim]:
    """`size` claims over three tenths as many identifiers: people of ten each, mixed up at times."""
    chance = random.Random(size)
    types = ["user_id"] + ["email"] * 2 + ["device"] * 3 + ["anonymous_id"] * 4
    people = [Identifier(types[n % 10], f"p{n // 10}-{n % 10}") for n in range(size * 3 // 10)]

    def one(n: int) -> Claim:
        a = chance.randrange(len(people))
        near = a - a % 10 + chance.randrange(10)
        b = near if chance.random() < 0.98 else chance.randrange(len(people))
        lesser, greater = sorted((people[a], people[b]))
        strength = chance.choice((1, 1, 1, 2, AGENT))
        apart = strength == AGENT and chance.random() < 0.3
        return Claim(lesser, greater, strength, apart, n, f"{n:032x}", "shop")

    return [one(n) for n in range(size)]


def chain(size: int) -> list[Claim]:
    """Every identifier claimed with the next: one group of all, cut into customers by the maxima only."""
    return [claim(f"anonymous_id:{n:06}", f"anonymous_id:{n + 1:06}", at=n) for n in range(size)]


def chain_from_its_end(size: int) -> list[Claim]:
    return chain(size)[::-1]


def feud(size: int) -> list[Claim]:
    """One browser kept apart from half of all identifiers while it takes in a hundred others."""
    friends = [claim("anonymous_id:hub", f"anonymous_id:f{n}", at=n) for n in range(100)]
    foes = [
        unlink(f"anonymous_id:{'hub' if n % 2 else f'f{n % 100}'}", f"user_id:{n}") for n in range(size // 2)
    ]
    again = [claim("anonymous_id:hub", f"user_id:{n}", at=n) for n in range(size // 2)]
    return friends + foes + again


def seconds_to_resolve(claims: list[Claim]) -> float:
    """Without looking for garbage among all that other tests left in this process."""
    gc.disable()
    try:
        before = time.thread_time()
        resolve(claims, frozenset())
        return time.thread_time() - before
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "population",
    [crowd, *(pytest.param(one, marks=pytest.mark.thorough) for one in (chain, chain_from_its_end, feud))],
)
def test_ten_times_the_claims_cost_nothing_like_a_hundred_times_the_work(
    population: Callable[[int], list[Claim]],
) -> None:
    few, many = population(10_000), population(100_000)
    most = 60 * min(seconds_to_resolve(few) for _ in range(3))
    # What fits into no cache costs more, a busy machine slows one try or another; a hundred times is always too much.
    assert any(seconds_to_resolve(many) < most for _ in range(3))


@pytest.mark.parametrize(
    "hub", ["anonymous_id:a hub", pytest.param("anonymous_id:z hub", marks=pytest.mark.thorough)]
)
def test_one_with_many_foes_joins_others_without_all_foes_being_told_each_time(hub: str) -> None:
    foes = [unlink(hub, f"device:{n}") for n in range(20_000)]
    friends = [claim(hub, f"anonymous_id:m{n:03}", at=n) for n in range(199)]
    assert len(resolved(*foes, *friends).of(ident(hub))) == 200
    alone = min(seconds_to_resolve(foes) for _ in range(3))
    assert min(seconds_to_resolve(foes + friends) for _ in range(2)) < 4 * alone


def test_a_crowd_falls_into_customers_of_the_size_of_people() -> None:
    links = resolve(crowd(100_000), frozenset())
    assert sum(map(len, links.customers)) > 29_000
    assert len(links.customers) > 3_000
    assert {reason.partition("_")[0] for reason in reasons(links)} == {"too", "kept"}
