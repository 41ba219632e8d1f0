"""From claims to customers: which links hold, which were refused, and why. The engine of `identity.resolve`.

It knows nothing of spelling: who is blocked and who is shared is told to it. Everything here is a function of
the set of claims, so neither the order of arrival nor repeats can change an answer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from touchbook.schemas.touchpoint import AGENT, Claim, Identifier

MAXIMA: Mapping[str, int] = {
    "user_id": 1,
    "loyalty_card": 3,
    "email": 5,
    "phone": 5,
    "device": 20,
    "anonymous_id": 200,
}
"""How many identifiers of a type one customer can have. They bind agents too."""

Pair = tuple[Identifier, Identifier]
Moment = tuple[int, str]
"""(occurred_at, touchpoint key): what "later" means between two decisions of agents."""


@dataclass(frozen=True, slots=True)
class RefusedLink:
    """A claim that was not allowed to join its two sides.

    `reason`: `blocked_value`, `shared_identifier`, `kept_apart` (an agent said so) or `too_many_<type>`.
    """

    a: Identifier
    b: Identifier
    reason: str
    strength: int
    occurred_at: int
    touchpoint: str
    source: str


@dataclass(frozen=True)
class Links:
    """What follows from a set of claims. Two are equal when they hold the same customers and refusals.

    `customers` disjoint, in the order of their least members; every identifier that a claim names is in one
    `refused`   in the order in which the claims were taken
    """

    customers: list[frozenset[Identifier]]
    refused: list[RefusedLink]
    _home: Mapping[Identifier, frozenset[Identifier]] = field(compare=False, repr=False)

    def of(self, identifier: Identifier) -> frozenset[Identifier]:
        """The customer it belongs to; one that no claim names is a customer alone."""
        return self._home.get(identifier) or frozenset({identifier})


def links_of(
    claims: Iterable[Claim], blocked: AbstractSet[Identifier], kiosks: AbstractSet[Identifier]
) -> Links:
    """Takes the claims in their order, the strongest and earliest first, and joins unless a guard refuses.

    A claim whose sides are joined already is not refused. Guards only tighten while customers grow, so a
    refused claim stays refused. Near-linear in the number of claims.
    """
    ordered = sorted({claim for claim in claims if claim.lesser != claim.greater}, key=_turn)
    decisions = [claim for claim in ordered if claim.strength == AGENT]
    last_unlink = {_pair(claim): _moment(claim) for claim in decisions if claim.apart}
    last_link = {_pair(claim): _moment(claim) for claim in decisions if not claim.apart}
    # In a tie they stay apart: a wrong join shows one person another's history, a missed one does not.
    apart = [pair for pair, at in last_unlink.items() if pair not in last_link or last_link[pair] <= at]
    sides = _Sides(ordered, apart)
    refused = []
    for claim in ordered:
        if claim.apart or _overtaken(claim, last_unlink):
            continue
        one, other = sides.root(claim.lesser), sides.root(claim.greater)
        if one == other:
            continue
        reason = _barred(claim, blocked, kiosks) or sides.objection(one, other)
        if reason:
            refused.append(_refused(claim, reason))
        else:
            sides.join(one, other)
    customers = sides.components()
    return Links(customers, refused, {member: customer for customer in customers for member in customer})


def _turn(claim: Claim) -> tuple[int, int, str, Identifier, Identifier]:
    return -claim.strength, claim.occurred_at, claim.touchpoint, claim.lesser, claim.greater


def _pair(claim: Claim) -> Pair:
    return claim.lesser, claim.greater


def _moment(claim: Claim) -> Moment:
    return claim.occurred_at, claim.touchpoint


def _overtaken(claim: Claim, last_unlink: Mapping[Pair, Moment]) -> bool:
    """Whether it is an agent's link of a pair that an agent unlinked later: then it counts as never said."""
    if claim.strength != AGENT:
        return False
    unlinked = last_unlink.get(_pair(claim))
    return unlinked is not None and unlinked >= _moment(claim)


def _barred(claim: Claim, blocked: AbstractSet[Identifier], kiosks: AbstractSet[Identifier]) -> str | None:
    if not blocked.isdisjoint(_pair(claim)):
        return "blocked_value"
    return None if kiosks.isdisjoint(_pair(claim)) else "shared_identifier"


def _refused(claim: Claim, reason: str) -> RefusedLink:
    return RefusedLink(
        claim.lesser, claim.greater, reason, claim.strength, claim.occurred_at, claim.touchpoint, claim.source
    )


class _Sides:
    """A forest of disjoint sets, with what the guards ask kept at each root: members by type, and foes.

    The root with fewer foes goes under the other, so that a foe is renamed at most log n times; paths are
    halved while walked, which keeps them short whichever root is kept.
    """

    def __init__(self, claims: Iterable[Claim], apart: Iterable[Pair]) -> None:
        named = {side for claim in claims for side in (claim.lesser, claim.greater)}
        self._parent = {one: one for one in named}
        self._counts = {one: {one.type: 1} for one in named}
        self._foes: dict[Identifier, set[Identifier]] = {one: set() for one in named}
        for one, other in apart:
            self._foes[one].add(other)
            self._foes[other].add(one)

    def root(self, one: Identifier) -> Identifier:
        parent = self._parent
        while (above := parent[one]) != one:
            parent[one] = one = parent[above]
        return one

    def objection(self, one: Identifier, other: Identifier) -> str | None:
        """Why the sets of these two roots may not become one."""
        if other in self._foes[one]:
            return "kept_apart"
        counts, more = self._counts[one], self._counts[other]
        for type, most in MAXIMA.items():
            if counts.get(type, 0) + more.get(type, 0) > most:
                return f"too_many_{type}"
        return None

    def join(self, one: Identifier, other: Identifier) -> None:
        """Makes one set of the sets of two different roots."""
        foes = self._foes
        kept, gone = (one, other) if len(foes[one]) >= len(foes[other]) else (other, one)
        self._parent[gone] = kept
        counts = self._counts[kept]
        for type, count in self._counts.pop(gone).items():
            counts[type] = counts.get(type, 0) + count
        for foe in foes.pop(gone):
            foes[foe].remove(gone)
            foes[foe].add(kept)
            foes[kept].add(foe)

    def components(self) -> list[frozenset[Identifier]]:
        members: dict[Identifier, list[Identifier]] = defaultdict(list)
        for one in sorted(self._parent):
            members[self.root(one)].append(one)
        return [frozenset(together) for together in members.values()]
