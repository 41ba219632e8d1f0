"""What if: a score without some touchpoints or with some that did not happen, and customers after an agent's decision
that was not made yet. Nothing here is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from touchbook.errors import TouchpointUnknown
from touchbook.identity import claims_of, resolve
from touchbook.ledger import Day, Ledger, day_of, merged
from touchbook.links import RefusedLink
from touchbook.projections.customers import Customers
from touchbook.projections.stores.port import Deed, Known, Reader
from touchbook.projections.who import Customer
from touchbook.schemas.touchpoint import Identifier, Touchpoint
from touchbook.scoring import Score, score, score_stored

# Scores


@dataclass(frozen=True, slots=True)
class Supposed:
    """`without` are keys of touchpoints, `adding` signals counted once more on the day asked about, `later` how many
    quiet days have gone by."""

    without: frozenset[str] = frozenset()
    adding: Sequence[str] = ()
    later: int = 0


def explained(customers: Customers, customer: Customer, name: str, at: Day) -> dict[str, Any]:
    """As `GET …/scores/{name}/explain` answers, remembered. Raises `ScorecardUnknown`."""
    return customers.recalled(
        f"explained {name}", customer, at, lambda: customers.explain(customer, name, at)
    )


def suppose(
    customers: Customers, customer: Customer, name: str, at: Day, asked: Sequence[Supposed]
) -> list[Score]:
    """The score under each supposition. Raises `ScorecardUnknown`, or `TouchpointUnknown` where one to be left out is
    not his or stands behind no line of the score."""
    card = customers.scorecards.named(name)
    with customers.reading() as reader:
        ledger = merged(reader.ledgers(customer.subjects).values())
        left_out = frozenset[str]().union(*(one.without for one in asked))
        deeds = _deeds(reader, customer, left_out) if left_out else {}
    return [
        score(_changed(ledger, [deeds[key] for key in one.without], one.adding, at), card, at + one.later)
        for one in asked
    ]


def _deeds(reader: Reader, customer: Customer, keys: Collection[str]) -> dict[str, Deed]:
    found = {}
    for deed in reader.deeds(customer.subjects, 2**62):
        if deed.key in keys:
            found[deed.key] = deed
            if len(found) == len(keys):
                return found
    raise TouchpointUnknown


def _changed(ledger: Ledger, without: Iterable[Deed], adding: Iterable[str], at: Day) -> Ledger:
    changed = dict(ledger)
    for deed in without:
        for signal, total in deed.signals.items():
            row = (signal, day_of(deed.occurred_at))
            count, so_far = changed[row]
            changed[row] = (count - 1, so_far - total)
            if count == 1:
                del changed[row]
    for signal in adding:
        count, so_far = changed.get((signal, at), (0, 0))
        changed[signal, at] = (count + 1, so_far)
    return changed


# Customers


@dataclass(frozen=True, slots=True)
class Side:
    """Somebody before or after the decision. `unseen` are identifiers that nothing was ever recorded of."""

    members: tuple[Known, ...]
    unseen: tuple[Identifier, ...]
    scores: dict[str, Score]

    @property
    def touchpoints(self) -> int:
        return sum(member.touchpoints for member in self.members)

    @property
    def identifiers(self) -> frozenset[Identifier]:
        return frozenset([*(member.identifier for member in self.members), *self.unseen])


@dataclass(frozen=True, slots=True)
class Decision:
    """What a link or un-link would do: who there is before it and after it, whom it is recorded of first; and which of
    the links it makes would be refused."""

    before: list[Side]
    after: list[Side]
    refused: list[RefusedLink]

    @property
    def changes(self) -> bool:
        return {one.identifiers for one in self.before} != {one.identifiers for one in self.after}


def decided(customers: Customers, touchpoint: Touchpoint, at: Day) -> Decision:
    """What the customers of everybody named in a link or un-link would be, had it been recorded. The same rules decide
    as for what is recorded."""
    new = claims_of(touchpoint)
    named = {side for claim in new for side in (claim.lesser, claim.greater)}
    with customers.reading() as reader:
        ids = {customers.id_named(one.type, one.value) for one in named}
        known = {one.identifier: one for one in reader.groups_of(ids)}
        claims, shared = reader.claims([one.id for one in known.values() if not one.barred])
        before, after = resolve(claims, shared), resolve([*claims, *new], shared)
        stood = _distinct(before.of(one) for one in [touchpoint.subject, *sorted(named)])
        others = (one for side in stood for one in sorted(side))
        stands = _distinct(after.of(one) for one in [touchpoint.subject, *others])
        return Decision(
            [_side(customers, reader, known, one, at) for one in stood],
            [_side(customers, reader, known, one, at) for one in stands],
            [one for one in after.refused if one.touchpoint == touchpoint.key],
        )


def _distinct(sides: Iterable[frozenset[Identifier]]) -> list[frozenset[Identifier]]:
    return list(dict.fromkeys(sides))


def _side(
    customers: Customers,
    reader: Reader,
    known: dict[Identifier, Known],
    identifiers: Iterable[Identifier],
    at: Day,
) -> Side:
    members = sorted(
        (known[one] for one in identifiers if one in known), key=lambda one: (one.first_seen, one.identifier)
    )
    ledgers = [rows for _, rows in reader.ledger_rows([one.id for one in members if one.touchpoints])]
    return Side(
        tuple(members),
        tuple(sorted(one for one in identifiers if one not in known)),
        score_stored(ledgers, customers.scorecards, at),
    )
