"""Customers who were asked about lately: who they are, what they wish and how tired of us they are.

Each is kept for as long as nothing touches anybody of his group but decisions about contacting them, which change none
of this. What they got is not kept: it is read for every question.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from touchbook.ledger import Day
from touchbook.projections.contact_facts import Look, Tired, Tiring, Wishes, wishes_of
from touchbook.projections.customers import Customers
from touchbook.projections.stores.port import Known, Reader
from touchbook.projections.touched import DECISIONS
from touchbook.projections.who import Customer
from touchbook.schemas.touchpoint import Identifier

KEPT = 20_000
"""Ids that are watched; then all are read anew."""
LARGE = 50
"""Identifiers from which on a group is not kept."""


@dataclass(slots=True)
class Acquaintance:
    """A customer as of one look. `tired` is None while nobody asked how tired he is."""

    id: str
    ids: list[str]
    subjects: list[str]
    identifiers: dict[str, Identifier]
    wishes: Wishes
    tired: Tired | None = None


class Acquaintances:
    """For one thread; `clear` is for any."""

    def __init__(self, customers: Customers, tiring: Tiring) -> None:
        self._customers = customers
        self.tiring = tiring
        self._tired_by_decisions = not tiring.signals.isdisjoint(DECISIONS)
        self._known: dict[str, Acquaintance] = {}
        self._asked_of: dict[str, set[str]] = {}
        """By each identifier of a group, those of `_known` that must be read anew when it is touched."""
        self._as_of: tuple[str, int] | None = None
        customers.forgets(self.clear)

    def clear(self) -> None:
        self._known.clear()
        self._asked_of.clear()

    def behind(self, reader: Reader, ids: set[str]) -> dict[str, Acquaintance]:
        """The customer behind each of these permanent ids, as a look tells it; unknown ids are left out."""
        keeps = self._in_step(reader)
        found = {id: one for id in ids if (one := self._known.get(id)) is not None} if keeps else {}
        if len(found) < len(ids):
            found |= self._read(reader, ids - found.keys(), keeps)
        return found

    def fatigue(self, look: Look, one: Acquaintance) -> Callable[[Day], str | None]:
        """How tired of us he is at the end of a day. `look` reads it where that is not known."""
        if one.tired is not None:
            return one.tired.on
        if self.tiring.cards is None:
            return _never

        def on(day: Day) -> str | None:
            tired = look.tired(one)
            if not self._tired_by_decisions:
                one.tired = tired
            return tired.on(day)

        return on

    def _in_step(self, reader: Reader) -> bool:
        """Lets go of who was touched. Whether what is kept holds, and more may be: not where this look may see more
        than is told of who was touched, or where nobody can tell."""
        version, position = as_of = reader.version(), reader.position()
        touched: set[str] | None = None
        if self._as_of is not None and self._as_of[0] == version:
            touched, told = self._customers.touched_since(self._as_of[1], decisions=False)
            if touched is not None and told < position:
                return False
        self._as_of = as_of  # who is touched later than this look sees is told again the next time
        if touched is None:
            self.clear()
            return False
        for id in touched:
            for asked in self._asked_of.pop(id, ()):
                self._known.pop(asked, None)
        return True

    def _read(self, reader: Reader, ids: set[str], keep: bool) -> dict[str, Acquaintance]:
        era = self._customers.era
        groups: dict[str, Sequence[Known]] = {}
        who = self._customers.behind(reader, ids, groups)
        look = Look(reader, who.values(), self.tiring)
        found = {id: _acquaintance(customer, look) for id, customer in who.items()}
        if keep:
            for id, group in groups.items():
                if len(group) < LARGE:
                    self._keep(id, found[id], group)
            if self._customers.era is not era:  # somebody was forgotten meanwhile, who may be among these
                self.clear()
        return found

    def _keep(self, id: str, one: Acquaintance, group: Collection[Known]) -> None:
        if len(self._asked_of) + len(group) > KEPT:
            self.clear()
        self._known[id] = one
        for member in group:
            self._asked_of.setdefault(member.id, set()).add(id)


def _acquaintance(customer: Customer, look: Look) -> Acquaintance:
    identifiers = {member.id: member.identifier for member in customer.members}
    wishes = wishes_of(look.settings(customer))
    return Acquaintance(customer.id, customer.ids, customer.subjects, identifiers, wishes)


def _never(day: Day) -> None:
    return None
