"""The slow, obvious way from claims to customers: what `identity.resolve` must equal, told in plain words.

Quadratic and worse, on purpose: sets in a list, searched through every time. It shares no code with the
product but the shapes of a claim and an identifier and the values that name nobody, and has its own copy of the numbers
in the design. Groups and kiosks, which stores keep up to date claim by claim, are told here from all claims at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from touchbook.identity import is_blocked
from touchbook.schemas.touchpoint import Claim, Identifier

AT_MOST = {"user_id": 1, "loyalty_card": 3, "email": 5, "phone": 5, "device": 20, "anonymous_id": 200}

Refusal = tuple[Identifier, Identifier, str, int, int, str, str]


def customers_and_refusals(
    claims: Iterable[Claim], blocked: Collection[Identifier], kiosks: Collection[Identifier]
) -> tuple[list[set[Identifier]], list[Refusal]]:
    """The customers, in the order of their least members, and the refusals in the order of the claims."""
    all_claims: list[Claim] = []
    for claim in claims:
        if claim not in all_claims:
            all_claims.append(claim)

    customers: list[set[Identifier]] = []
    for claim in all_claims:
        for side in (claim.lesser, claim.greater):
            if not any(side in customer for customer in customers):
                customers.append({side})

    refusals: list[Refusal] = []
    waiting = [claim for claim in all_claims if not claim.apart and not taken_back(claim, all_claims)]
    while waiting:
        claim = min(waiting, key=lambda c: (-c.strength, c.occurred_at, c.touchpoint, c.lesser, c.greater))
        waiting.remove(claim)
        one = next(customer for customer in customers if claim.lesser in customer)
        other = next(customer for customer in customers if claim.greater in customer)
        if one is other:
            continue
        reason = why_not(claim, one, other, all_claims, blocked, kiosks)
        if reason:
            refusals.append(
                (
                    claim.lesser,
                    claim.greater,
                    reason,
                    claim.strength,
                    claim.occurred_at,
                    claim.touchpoint,
                    claim.source,
                )
            )
        else:
            customers.remove(one)
            customers.remove(other)
            customers.append(one | other)
    return sorted(customers, key=min), refusals


def why_not(
    claim: Claim,
    one: set[Identifier],
    other: set[Identifier],
    all_claims: list[Claim],
    blocked: Collection[Identifier],
    kiosks: Collection[Identifier],
) -> str:
    if claim.lesser in blocked or claim.greater in blocked:
        return "blocked_value"
    if claim.lesser in kiosks or claim.greater in kiosks:
        return "shared_identifier"
    for a in one:
        for b in other:
            if kept_apart(a, b, all_claims):
                return "kept_apart"
    for type in ("user_id", "loyalty_card", "email", "phone", "device", "anonymous_id"):
        if len([member for member in one | other if member.type == type]) > AT_MOST[type]:
            return "too_many_" + type
    return ""


def decisions_about(a: Identifier, b: Identifier, all_claims: list[Claim]) -> list[Claim]:
    """What agents said about these two, the latest last; of two sayings at one moment the unlink is last."""
    about = [claim for claim in all_claims if claim.strength == 3 and {claim.lesser, claim.greater} == {a, b}]
    return sorted(about, key=lambda claim: (claim.occurred_at, claim.touchpoint, claim.apart))


def kept_apart(a: Identifier, b: Identifier, all_claims: list[Claim]) -> bool:
    decisions = decisions_about(a, b, all_claims)
    return bool(decisions) and decisions[-1].apart


def taken_back(claim: Claim, all_claims: list[Claim]) -> bool:
    """An agent's link is taken back by a later unlink of the same two, even if they are linked once more."""
    if claim.strength != 3:
        return False
    decisions = decisions_about(claim.lesser, claim.greater, all_claims)
    return any(later.apart for later in decisions[decisions.index(claim) :])


def shared_identifiers(claims: Iterable[Claim]) -> set[Identifier]:
    """The kiosks: claimed by more than 20 distinct user_ids, agents' links included, unlinks not.

    It takes all claims of an installation: those of one group are not enough to know.
    """
    users: dict[Identifier, set[Identifier]] = defaultdict(set)
    for claim in claims:
        for one, other in ((claim.lesser, claim.greater), (claim.greater, claim.lesser)):
            if not claim.apart and other.type == "user_id" and not is_blocked(other):
                users[one].add(other)
    return {identifier for identifier, claimants in users.items() if len(claimants) > 20}


def joins_groups(claim: Claim, kiosks: Collection[Identifier]) -> bool:
    """Unlinks join too, so that every claim between members is found in one place."""
    return not any(is_blocked(side) or side in kiosks for side in (claim.lesser, claim.greater))


def groups_of(claims: Iterable[Claim], kiosks: Collection[Identifier]) -> list[frozenset[Identifier]]:
    """What stores keep together: two or more identifiers that claims connect, in the order of their least members."""
    near: dict[Identifier, set[Identifier]] = defaultdict(set)
    for claim in claims:
        if joins_groups(claim, kiosks) and claim.lesser != claim.greater:
            near[claim.lesser].add(claim.greater)
            near[claim.greater].add(claim.lesser)
    groups: list[frozenset[Identifier]] = []
    placed: set[Identifier] = set()
    for one in sorted(near):
        if one not in placed:
            groups.append(frozenset(_within_reach(one, near)))
            placed |= groups[-1]
    return groups


def _within_reach(one: Identifier, near: Mapping[Identifier, set[Identifier]]) -> set[Identifier]:
    found, waiting = {one}, [one]
    while waiting:
        new = near[waiting.pop()] - found
        found |= new
        waiting += new
    return found
