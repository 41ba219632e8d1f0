"""The slow, obvious fold: a list of touchpoints in, everything a Touchbook says of its customers out.

It goes through the touchpoints once per question, keeps clear identifiers, and knows no batches, stores, groups, caches
or positions. Only what a type declares of itself (signals, registers, messages) is taken from the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.rules.reference_links import customers_and_refusals
from touchbook.identity import claims_of, is_blocked
from touchbook.schemas.catalogue import Catalogue
from touchbook.schemas.touchpoint import Identifier, Touchpoint

DAY = 86_400_000


class Reference:
    """What must come out, for a set of touchpoints already told apart from their repeats."""

    def __init__(self, touchpoints: Sequence[Touchpoint], catalogue: Catalogue) -> None:
        self.touchpoints = sorted(touchpoints, key=lambda one: (one.occurred_at, one.key))
        self.readings = {one.key: catalogue.read(one.type, one.version, one.data) for one in self.touchpoints}
        self.claims = [claim for one in self.touchpoints for claim in claims_of(one)]

    def customers(self) -> set[frozenset[Identifier]]:
        seen = {identifier for one in self.touchpoints for identifier in one.identifiers}
        seen |= {side for claim in self.claims for side in (claim.lesser, claim.greater)}
        blocked = {identifier for identifier in seen if is_blocked(identifier)}
        customers, _ = customers_and_refusals(self.claims, blocked, self._kiosks(seen))
        linked = {identifier for customer in customers for identifier in customer}
        return {frozenset(customer) for customer in customers} | {frozenset({one}) for one in seen - linked}

    def _kiosks(self, seen: set[Identifier]) -> set[Identifier]:
        return {one for one in seen if len(set(self._claimants(one))) > 20}

    def _claimants(self, one: Identifier) -> list[Identifier]:
        pairs = [
            (claim.lesser, claim.greater)
            for claim in self.claims
            if not claim.apart and one in (claim.lesser, claim.greater)
        ]
        others = [b if a == one else a for a, b in pairs]
        return [other for other in others if other.type == "user_id" and not is_blocked(other)]

    def signals(self, touchpoint: Touchpoint) -> dict[str, int]:
        reading = self.readings[touchpoint.key]
        given: dict[str, int] = {}
        for name, total in [*reading.details.signals(), *reading.extra_signals]:
            given[name] = given.get(name, 0) + total
        if reading.own_signal is not None and reading.own_signal not in given:
            given[reading.own_signal] = 0
        if reading.details.taken_direction() == "in":
            given["via:" + touchpoint.channel] = 0
        return given

    def ledger(
        self, customer: frozenset[Identifier], without: str | None = None
    ) -> dict[tuple[str, int], tuple[int, int]]:
        ledger: dict[tuple[str, int], tuple[int, int]] = {}
        for one in self.timeline(customer):
            if one.key == without:
                continue
            for name, total in self.signals(one).items():
                count, so_far = ledger.get((name, one.occurred_at // DAY), (0, 0))
                ledger[name, one.occurred_at // DAY] = (count + 1, so_far + total)
        return ledger

    def timeline(self, customer: frozenset[Identifier]) -> list[Touchpoint]:
        """Newest first."""
        return [one for one in reversed(self.touchpoints) if one.subject in customer]

    def registers(self, customer: frozenset[Identifier]) -> dict[tuple[str, str], Any]:
        values: dict[tuple[str, str], Any] = {}
        for one in reversed(self.timeline(customer)):
            written: dict[tuple[str, str], Any] = {}
            for kind, key, value in self.readings[one.key].details.registers():
                written.setdefault((kind, key), value)
            values |= written
        return {name: json.loads(json.dumps(value)) for name, value in values.items()}

    def waiting(self, customer: frozenset[Identifier]) -> dict[str, int]:
        """Thread → since when a customer's words wait for a public answer."""
        waiting: dict[str, int] = {}
        for one in reversed(self.timeline(customer)):
            details = self.readings[one.key].details
            message = details.message()
            if message is None or details.thread is None:
                continue
            if message.role == "customer":
                waiting.setdefault(details.thread, one.occurred_at)
            elif message.public:
                waiting.pop(details.thread, None)
        return waiting
