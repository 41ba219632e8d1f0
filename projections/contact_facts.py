"""What is known of a customer that decides whether he may be contacted, out of one look at the projections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, get_args

from touchbook.contacting import Facts, contacted, reach, zone_of
from touchbook.contacts import ContactRow
from touchbook.ledger import Day, LedgerRows
from touchbook.policy import Policy
from touchbook.projections.context import language_of
from touchbook.projections.stores.port import Reader
from touchbook.registers import Setting, values_of
from touchbook.schemas.details import RegisterKind
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import score_stored

FATIGUE = "fatigue"
OF_HIM = ("trait", "consent", "preference")
NOT_OF_HIM = tuple(kind for kind in get_args(RegisterKind) if kind not in OF_HIM)
"""Registers that tell nothing of what he wishes."""
ZONE_TRAITS = ("timezone", "time_zone", "zone")


class Known(Protocol):
    """A customer: all his members, and those that touchpoints were recorded under."""

    @property
    def ids(self) -> list[str]: ...

    @property
    def subjects(self) -> list[str]: ...


def facts_of(
    reader: Reader,
    customer: Known,
    policy: Policy,
    now: int,
    fatigue: Callable[[Day], str | None],
    settings: Sequence[Setting] | None = None,
    contacts: Iterable[ContactRow] | None = None,
    lately: Iterable[ContactRow] = (),
) -> Facts:
    """`settings` and `contacts`, where they were read already; `lately` are contacts that readers may not see yet;
    `fatigue` tells his tier at the end of a day."""
    if settings is None:
        settings = reader.registers(customer.ids, NOT_OF_HIM)
    if contacts is None:
        contacts = reader.contacts(customer.subjects, now - reach(policy.contact))
    rows = {row.key: row for row in contacts}
    rows.update((row.key, row) for row in lately)
    preferences, traits = values_of(settings, "preference"), values_of(settings, "trait")
    return Facts(
        preferences=preferences,
        consents=values_of(settings, "consent"),
        language=language_of(preferences, traits),
        zone=zone_in(preferences, traits),
        fatigue=cache(fatigue),
        contacts=contacted(sorted(rows.values(), key=lambda row: (row.occurred_at, row.key)), policy.contact),
    )


def zone_in(preferences: Mapping[str, Any], traits: Mapping[str, Any]) -> str | None:
    """Where his clocks are: as he said with his quiet hours, else what is known of him."""
    hours = preferences.get("hours")
    said = [hours.get("zone") if isinstance(hours, Mapping) else None, *map(traits.get, ZONE_TRAITS)]
    return next((one for one in said if isinstance(one, str) and zone_of(one) is not None), None)


class Fatigue:
    """How tired of us he is on a day, by his ledger as of one look. It is read when it is first asked for."""

    def __init__(self, reader: Reader, subjects: Sequence[str], cards: ScorecardSet) -> None:
        card = cards.get(FATIGUE)
        self._cards = None if card is None else ScorecardSet({FATIGUE: card})
        self._reader = reader
        self._subjects = subjects
        self._ledgers: list[LedgerRows] | None = None

    def __call__(self, day: Day) -> str | None:
        if self._cards is None:
            return None
        if self._ledgers is None:
            self._ledgers = self._reader.ledger_of(self._subjects, self._cards[FATIGUE].signals)
        return score_stored(self._ledgers, self._cards, day)[FATIGUE].tier
