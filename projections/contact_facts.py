"""What is known of a customer that decides whether he may be contacted, out of one look at the projections."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, get_args

from touchbook.contacting import Facts, contacted, reach, zone_of
from touchbook.contacts import ContactRow
from touchbook.ledger import Day, LedgerRows
from touchbook.policy import Policy
from touchbook.projections.context import language_of
from touchbook.projections.stores.port import Reader
from touchbook.registers import Setting, latest, values_of
from touchbook.schemas.details import RegisterKind
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import Marking

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
    return facts_by(wishes_of(settings), policy, fatigue, contacts, lately)


class Wishes(NamedTuple):
    """What he wishes, and what is known of him, as `Facts` tell it."""

    preferences: Mapping[str, Any]
    consents: Mapping[str, Any]
    language: str | None
    zone: str | None


def wishes_of(settings: Sequence[Setting]) -> Wishes:
    if not settings:
        return _NONE
    preferences, traits = values_of(settings, "preference"), values_of(settings, "trait")
    consents = values_of(settings, "consent")
    return Wishes(preferences, consents, language_of(preferences, traits), zone_in(preferences, traits))


def facts_by(
    wishes: Wishes,
    policy: Policy,
    fatigue: Callable[[Day], str | None],
    contacts: Iterable[ContactRow],
    lately: Iterable[ContactRow],
) -> Facts:
    """See `facts_of`."""
    rows = {row.key: row for row in contacts}
    rows.update((row.key, row) for row in lately)
    told = list(rows.values())
    if len(told) > 1:
        told.sort(key=attrgetter("occurred_at", "key"))
    return Facts(*wishes, fatigue, contacted(told, policy.contact))


def zone_in(preferences: Mapping[str, Any], traits: Mapping[str, Any]) -> str | None:
    """Where his clocks are: as he said with his quiet hours, else what is known of him."""
    hours = preferences.get("hours")
    said = [hours.get("zone") if isinstance(hours, Mapping) else None, *map(traits.get, ZONE_TRAITS)]
    return next((one for one in said if isinstance(one, str) and zone_of(one) is not None), None)


_NONE = Wishes({}, {}, None, None)


class Look:
    """What decides of many customers besides their contacts, out of one look: the first who is asked about reads it of
    all of them."""

    def __init__(self, reader: Reader, customers: Collection[Known], tiring: Tiring) -> None:
        self._reader = reader
        self._customers = customers
        self._tiring = tiring

    def settings(self, customer: Known) -> list[Setting]:
        """See `Reader.registers`: those of what he wishes and what is known of him."""
        found = [one for id in customer.ids for one in self._settings.get(id, ())]
        return found if len(found) < 2 else latest(found)

    def fatigue(self, customer: Known) -> Callable[[Day], str | None]:
        """How tired of us he is at the end of a day."""
        tired: Tired | None = None

        def on(day: Day) -> str | None:
            nonlocal tired
            if tired is None:
                tired = self.tired(customer)
            return tired.on(day)

        return (lambda day: None) if self._tiring.cards is None else on

    def tired(self, customer: Known) -> Tired:
        """The same, to be kept. There has to be a card that tells it."""
        return self._tiring.by([rows for id in customer.subjects if (rows := self._ledgers.get(id))])

    @cached_property
    def _settings(self) -> dict[str, list[Setting]]:
        return self._reader.settings_of([id for one in self._customers for id in one.ids], OF_HIM)

    @cached_property
    def _ledgers(self) -> dict[str, LedgerRows]:
        subjects = [subject for one in self._customers for subject in one.subjects]
        return self._reader.ledgers_of(subjects, self._tiring.signals)


class Tiring:
    """By what customers are tired of us. Made once for scorecards."""

    def __init__(self, scorecards: ScorecardSet) -> None:
        card = scorecards.get(FATIGUE)
        self.cards = None if card is None else ScorecardSet({FATIGUE: card})
        self.signals = frozenset[str]() if card is None else card.signals
        self._marking = None if self.cards is None else Marking(self.cards)
        self._by_nothing: Tired | None = None

    def by(self, ledgers: Sequence[LedgerRows]) -> Tired:
        """How tired somebody is by these. Most are by nothing, and all of them alike."""
        assert self.cards is not None
        if ledgers:
            return Tired(self.cards, ledgers, self._marking)
        if self._by_nothing is None:
            self._by_nothing = Tired(self.cards, [], self._marking)
        return self._by_nothing


class Tired:
    """How tired he is by these ledgers, day by day; what was found of a day is remembered."""

    def __init__(
        self, cards: ScorecardSet, ledgers: Sequence[LedgerRows], marking: Marking | None = None
    ) -> None:
        """`marking` is that of these cards, where it was made already."""
        self.told_by = cards.fingerprint, ledgers
        self._marking = marking or Marking(cards)
        self._counted = self._marking.counted(ledgers)
        self._names = [name for name, _ in cards[FATIGUE].tiers]
        self._tiers: dict[Day, str | None] = {}

    def on(self, day: Day) -> str | None:
        if day not in self._tiers:
            [(value, rank, _)] = self._marking.on(self._counted, day)
            self._tiers[day] = None if value is None else self._names[rank]
        return self._tiers[day]


class Fatigue:
    """How tired of us he is on a day, by his ledger as of one look. It is read when it is first asked for."""

    def __init__(
        self,
        reader: Reader,
        subjects: Sequence[str],
        cards: ScorecardSet,
        known: Tired | None = None,
        keep: Callable[[Tired], None] = lambda found: None,
    ) -> None:
        """`known` is what was found at an earlier look, which `keep` is given: it holds while nothing tires him."""
        card = cards.get(FATIGUE)
        self._cards = None if card is None else ScorecardSet({FATIGUE: card})
        self._reader = reader
        self._subjects = subjects
        self._known, self._keep = known, keep
        self._tired: Tired | None = None

    def __call__(self, day: Day) -> str | None:
        if self._cards is None:
            return None
        if self._tired is None:
            self._tired = self._read(self._cards)
        return self._tired.on(day)

    def _read(self, cards: ScorecardSet) -> Tired:
        told_by = cards.fingerprint, self._reader.ledger_of(self._subjects, cards[FATIGUE].signals)
        if self._known is not None and self._known.told_by == told_by:
            return self._known
        found = Tired(cards, told_by[1])
        self._keep(found)
        return found
