"""Who a customer is: the identifiers that are one person, resolved from claims at the moment of reading.

A customer is found by any of his identifiers; `version` changes whenever anything that an answer about him could hold
has changed. What is told of him is in `customers`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

from touchbook.errors import CustomerUnknown, Refused, Rejected
from touchbook.identity import IdentityRules, normalised, resolve, shown_member
from touchbook.links import Links, RefusedLink
from touchbook.projections.context import name_of
from touchbook.projections.finding import Found, asked_in, by_customer, matches_of
from touchbook.projections.groups import LargeGroups
from touchbook.projections.stores.port import Known, Reader, ReadProjections
from touchbook.recent import Recent
from touchbook.registers import OF_TIME, values_of
from touchbook.schemas.touchpoint import Claim, Identifier

IN_A_URL = ("user_id", "anonymous_id", "loyalty_card", "device")
"""Identifier types that are no personal data by themselves; the others go through the lookup."""
CLAIMS_OF_A_BARRED = 500

Key = TypeVar("Key", bound=Hashable)
Told = TypeVar("Told")


@dataclass(frozen=True)
class Customer:
    """Who somebody is, as of one look at the projections, made by version `made_by`. `members` are in the order of
    their first touchpoints."""

    id: str
    members: tuple[Known, ...]
    refused: tuple[RefusedLink, ...]
    changed: int
    made_by: str
    erased: tuple[tuple[str, int], ...] = ()
    """Of his members those that were ever erased, and when: he has returned since."""

    @property
    def ids(self) -> list[str]:
        return [member.id for member in self.members]

    @property
    def subjects(self) -> list[str]:
        """The members that touchpoints were recorded under."""
        return [member.id for member in self.members if member.touchpoints]

    @cached_property
    def membership(self) -> str:
        """Changes when somebody joins him or is taken from him, and when he returns after an erasure."""
        members = digest_of(sorted(self.ids))[:16]
        return f"{members}.{digest_of(map(str, self.erased))[:16]}" if self.erased else members

    @cached_property
    def version(self) -> str:
        """Changes with every touchpoint, claim and link that concerns him, and with what touchpoints mean."""
        return digest_of([*self.ids, str(self.changed), self.made_by])[:24]


class Identities:
    """Finds customers in projections, and remembers who they are. Methods may be called from any thread."""

    def __init__(
        self,
        projections: ReadProjections,
        rules: IdentityRules,
        id_of: Callable[[Identifier], str],
        remembered: int,
    ) -> None:
        self._projections = projections
        self._rules = rules
        self._id_of = id_of
        self._links: Recent[tuple[str, int, str], Links] = Recent(remembered)
        self._resolutions: Recent[str, tuple[tuple[frozenset[Claim], frozenset[Identifier]], Links]] = Recent(
            remembered
        )
        self._large = LargeGroups()
        self._forgetting: list[Callable[[], None]] = []
        self._forgetting_elsewhere: list[Callable[[], None]] = []
        self._who: Recent[tuple[str, int, str], Customer] = Recent(remembered)
        self._seen = ""

    def find(self, ref: str) -> Customer:
        """The customer behind a permanent id or `type:value`, decoded. Raises `CustomerUnknown`, or `Refused` (400)
        for a reference that is neither, or that would put an e-mail or phone number into a URL."""
        with self._projections.reading() as reader:
            return self._resolved(reader, self._id_behind(ref))

    def lookup(self, type: str, value: str) -> Customer:
        """By any identifier, e-mail and phone too. Raises `CustomerUnknown`, or `Rejected` for an invalid value."""
        id = self._id_of(normalised(type, value, self._rules))
        with self._projections.reading() as reader:
            return self._resolved(reader, id)

    def identifier_of(self, id: str) -> Identifier | None:
        """The clear identifier behind a permanent id, None if it was never seen."""
        with self._projections.reading() as reader:
            found = reader.known([id])
        return found[0].identifier if found else None

    def id_of(self, ref: str) -> str:
        """The permanent id behind a reference, whether or not anybody is known under it. Raises as `find` does."""
        return self._id_behind(ref)

    def id_named(self, type: str, value: str) -> str:
        """The permanent id of an identifier, whether or not it is known. Raises `Rejected` for an invalid value."""
        return self._id_of(normalised(type, value, self._rules))

    def found(self, text: str, limit: int) -> list[Found]:
        """Whom an agent may mean by what he typed (see `finding.asked_in`), the best first, each customer once."""
        asked = asked_in(text, self._rules)
        named = [*asked.ids, *map(self._id_of, asked.identifiers)]
        with self._projections.reading() as reader:
            matches = matches_of(reader, asked, named, limit)
            return [
                Found(who, name_of(values_of(reader.registers(who.ids, OF_TIME), "trait")), said)
                for who, said in by_customer(matches, partial(self.behind, reader), limit)
            ]

    def behind(
        self, reader: Reader, ids: set[str], read: dict[str, Sequence[Known]] | None = None
    ) -> dict[str, Customer]:
        """The customer behind each of these permanent ids; unknown ids are left out. With `read` none is remembered
        from before, and it is told the group of each: while nobody of that is touched, a customer stays as he is."""
        made_by = self._version(reader)
        changed = reader.changed(ids) if read is None else {}
        who = {id: self._who.get((id, at, made_by)) for id, at in changed.items()}
        found = {id: customer for id, customer in who.items() if customer is not None}
        groups: dict[str, list[Known]] = {}
        home: dict[str, str] = {}
        new = who.keys() - found.keys() if read is None else ids
        for known in reader.groups_of(new) if new else ():
            groups.setdefault(known.group, []).append(known)
            home[known.id] = known.group
        if not groups:
            return found
        self._link_all(reader, groups)
        new = new & home.keys()
        if read is not None:
            read.update((id, groups[home[id]]) for id in new)
        any_erased = bool(reader.erased([known.id for group in groups.values() for known in group]))
        return found | {id: self._customer_in(reader, groups[home[id]], id, any_erased) for id in new}

    def reading(self) -> AbstractContextManager[Reader]:
        """A consistent look, for those who tell more of a customer than is told here."""
        return self._projections.reading()

    def forget(self) -> None:
        """Lets go of everything remembered of anybody: after an erasure nothing of him stays in memory either."""
        self._seen = ""  # what is read at this moment is not kept
        self._let_go()
        for forget in self._forgetting:
            forget()

    def forgets(self, forget: Callable[[], None], *, only_here: bool = False) -> None:
        """Whoever else remembers somebody lets go of him too. `only_here`: he sees by himself that another process
        erased somebody; else it is called then, too, in the middle of a look."""
        self._forgetting.append(forget)
        if not only_here:
            self._forgetting_elsewhere.append(forget)

    def _let_go(self) -> None:
        self._large = LargeGroups()
        for remembered in (self._links, self._resolutions, self._who):
            remembered.clear()

    def _version(self, reader: Reader) -> str:
        """What is looked at. Another process may have erased somebody, which shows in it."""
        version = reader.version()
        if version != self._seen:
            self._seen = version
            self._let_go()
            for forget in self._forgetting_elsewhere:
                forget()
        return version

    def _remember(self, remembered: Recent[Key, Told], key: Key, value: Told, version: str) -> None:
        """Remembers what a look at this version told, unless that is over: who was erased since may be in it."""
        remembered.put(key, value)
        if self._seen != version:
            remembered.drop([key])

    def _id_behind(self, ref: str) -> str:
        if len(ref) == 32 and all(letter in "0123456789abcdef" for letter in ref):
            return ref
        type, colon, value = ref.partition(":")
        if not colon or type not in IN_A_URL:
            raise Refused(
                400,
                "reference_invalid",
                f"expected a permanent id or type:value with one of {', '.join(IN_A_URL)}; "
                "e-mail and phone are looked up with POST /v1/customers:lookup",
            )
        try:
            return self._id_of(normalised(type, value, self._rules))
        except Rejected as reason:
            raise Refused(400, "reference_invalid", str(reason)) from None

    def _id_or_none(self, ref: str) -> str | None:
        try:
            return self._id_behind(ref)
        except Refused:
            return None

    def _resolved(self, reader: Reader, id: str) -> Customer:
        changed = reader.changed([id]).get(id)
        if changed is None:
            raise CustomerUnknown
        known = self._who.get((id, changed, self._version(reader)))
        return (
            known or self._in_large(reader, id, changed) or self._customer_in(reader, reader.group_of(id), id)
        )

    def _in_large(self, reader: Reader, id: str, changed: int) -> Customer | None:
        """The customer of an identifier whose large group is known to hold still the same customers."""
        found = self._large.links(reader, id, changed)
        if found is None:
            return None
        own, links = found
        members = reader.known([self._id_of(one) for one in links.of(own.identifier)])
        return self._customer_of(reader, members, own, links, changed)

    def _customer_in(
        self, reader: Reader, group: Sequence[Known], id: str, any_erased: bool = True
    ) -> Customer:
        """The customer of the identifier `id` among the members of its group; remembered. Not `any_erased`: it is known
        that nobody of the group ever was."""
        changed = max(member.changed for member in group)
        own = next(member for member in group if member.id == id)
        links = self._links_of(reader, group, changed, own)
        return self._customer_of(reader, group, own, links, changed, any_erased)

    def _customer_of(
        self,
        reader: Reader,
        among: Sequence[Known],
        own: Known,
        links: Links,
        changed: int,
        any_erased: bool = True,
    ) -> Customer:
        identifiers = links.of(own.identifier)
        members = sorted(
            (member for member in among if member.identifier in identifiers),
            key=lambda member: (member.first_seen, member.identifier),
        )
        shown = shown_member({member.identifier: member.first_seen for member in members})
        found = Customer(
            id=next(member.id for member in members if member.identifier == shown),
            members=tuple(members),
            refused=tuple(one for one in links.refused if one.a in identifiers or one.b in identifiers),
            changed=changed,
            made_by=reader.version(),
            erased=tuple(reader.erased([member.id for member in members])) if any_erased else (),
        )
        self._remember(self._who, (own.id, changed, found.made_by), found, found.made_by)
        return found

    def _links_of(self, reader: Reader, group: Sequence[Known], changed: int, own: Known) -> Links:
        """The links of a group. One that is barred is a customer alone, however many people claimed it."""
        key = (own.id if own.barred else own.group, changed, reader.version())
        known = self._links.get(key)
        if known is None:
            if own.barred:
                claims, shared = reader.claims([own.id], CLAIMS_OF_A_BARRED)
            else:
                claims, shared = reader.claims([member.id for member in group if not member.barred])
            known = resolve(claims, shared)
            self._remember(self._links, key, known, key[2])
            if not own.barred:
                self._large.keep(reader, own.group, changed, len(group), claims, shared, known)
        return known

    def _link_all(self, reader: Reader, groups: Mapping[str, Sequence[Known]]) -> None:
        """Remembers the links of these groups, as `_links_of` would of one after the other, with one read."""
        home: dict[Identifier, str] = {}
        ids: list[str] = []
        keys: dict[str, tuple[str, int, str]] = {}
        for name, group in groups.items():
            key = (name, max(member.changed for member in group), reader.version())
            if self._links.get(key) is None:
                keys[name] = key
                for member in group:
                    if not member.barred:
                        home[member.identifier] = name
                        ids.append(member.id)
        claims, shared = reader.claims(ids) if ids else ([], set[Identifier]())
        claimed: dict[str, list[Claim]] = {name: [] for name in keys}
        for claim in claims:
            for home_of in {home.get(claim.lesser), home.get(claim.greater)}:
                if home_of is not None:
                    claimed[home_of].append(claim)
        for name, key in keys.items():
            those = claimed[name]
            within = shared and shared.intersection(
                side for one in those for side in (one.lesser, one.greater)
            )
            links = self._resolved_of(name, those, within, key[2])
            self._remember(self._links, key, links, key[2])
            self._large.keep(reader, name, key[1], len(groups[name]), those, within, links)

    def _resolved_of(
        self, group: str, claims: Sequence[Claim], shared: set[Identifier], version: str
    ) -> Links:
        """What follows from the claims of a group: mostly what did the last time, for few touchpoints say anything new
        of who is who."""
        told = frozenset(claims), frozenset(shared)
        known = self._resolutions.get(group)
        if known is None or known[0] != told:
            known = told, resolve(claims, shared)
            self._remember(self._resolutions, group, known, version)
        return known[1]


def digest_of(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
