"""The reading side: customers as every other part sees them, resolved from claims at the moment of reading.

Every answer is JSON-ready and in the form of the HTTP API. A customer is found first (who is he, which members), then
asked about; `version` changes whenever anything that an answer could hold has changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

from touchbook.contact import contact, decided
from touchbook.contacting import Decision, Facts
from touchbook.errors import CustomerUnknown, Refused, Rejected, TouchpointUnknown
from touchbook.habits import buying, interests
from touchbook.identity import IdentityRules, normalised, resolve, shown_member
from touchbook.ledger import MILLISECONDS_A_DAY, Day, Ledger, day_of, merged
from touchbook.links import Links, RefusedLink
from touchbook.policy import Policies, Policy
from touchbook.positions import token_of
from touchbook.projections.changes import Stamp
from touchbook.projections.contact_facts import Fatigue, facts_of
from touchbook.projections.context import language_of, name_of, open_matters, topics_of
from touchbook.projections.cursors import cursor_of, stamp_of, stream_position, stream_token
from touchbook.projections.finding import Found, asked_in, by_customer, matches_of
from touchbook.projections.groups import LargeGroups
from touchbook.projections.standing import Standing
from touchbook.projections.stores.port import Deed, Known, Reader, ReadProjections
from touchbook.recent import Recent
from touchbook.registers import OF_TIME, Setting, next_boundary, values_of
from touchbook.schemas.display import Language
from touchbook.schemas.times import day_text, rfc3339
from touchbook.schemas.touchpoint import Claim, Identifier
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import Contribution, Score, explain, rows_behind_all, score, score_stored
from touchbook.timeline import Entry, TimelineFilters, item_of, passes, seen_by

IN_A_URL = ("user_id", "anonymous_id", "loyalty_card", "device")
"""Identifier types that are no personal data by themselves; the others go through the lookup."""
SHOWN_REFUSALS = 20
CLAIMS_OF_A_BARRED = 500
LOOKED_AT = 2_000
"""Entries, in one read, of which those that pass are shown."""
RECALLED = 200
"""What was put together for pages, of customers looked at last."""

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
        members = _digest(sorted(self.ids))[:16]
        return f"{members}.{_digest(map(str, self.erased))[:16]}" if self.erased else members

    @cached_property
    def version(self) -> str:
        """Changes with every touchpoint, claim and link that concerns him, and with what touchpoints mean."""
        return _digest([*self.ids, str(self.changed), self.made_by])[:24]


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first; `beyond` is the cursor to go on in the direction that was read, None where all was told;
    `stream_from` is where their live stream goes on without a gap."""

    entries: list[Entry]
    beyond: str | None
    stream_from: str


class Customers:
    """Reads customers from projections. Methods may be called from any thread."""

    def __init__(
        self,
        projections: ReadProjections,
        scorecards: ScorecardSet,
        rules: IdentityRules,
        id_of: Callable[[Identifier], str],
        known_signals: Callable[[str], bool],
        late_after: int = 3_600_000,
        remembered: int = 20_000,
        policies: Policies | None = None,
    ) -> None:
        """`known_signals` tells whether a counterfactual may name a signal; `late_after` is milliseconds. Without
        `policies` the standard one holds."""
        self.policies = policies or Policies.standard()
        self._projections = projections
        self.scorecards = scorecards
        self._rules = rules
        self._id_of = id_of
        self._known_signals = known_signals
        self._late_after = late_after
        self._links: Recent[tuple[str, int, str], Links] = Recent(remembered)
        self._resolutions: Recent[str, tuple[tuple[frozenset[Claim], frozenset[Identifier]], Links]] = Recent(
            remembered
        )
        self._large = LargeGroups()
        self._forgetting: list[Callable[[], None]] = []
        self._forgetting_elsewhere: list[Callable[[], None]] = []
        self._who: Recent[tuple[str, int, str], Customer] = Recent(remembered)
        self._standings: Recent[tuple[str, str, Day], Standing] = Recent(remembered)
        self._topics: Recent[str, list[dict[str, Any]]] = Recent(remembered)
        self._recalled: Recent[tuple[str, str, str, Day], Any] = Recent(RECALLED)
        self.lately: Recent[tuple[str, str], Any] = Recent(2 * RECALLED)
        """What was last told of these members, by its name and their membership: where to go on from."""
        self.era = object()
        """Another one from whenever anybody is forgotten."""
        self._seen = ""

    # Who

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

    def forget(self) -> None:
        """Lets go of everything remembered of anybody: after an erasure nothing of him stays in memory either."""
        self._seen = ""  # what is read at this moment is not kept
        self._let_go()
        for forget in self._forgetting:
            forget()

    def _let_go(self) -> None:
        self.era, self._large = object(), LargeGroups()
        for remembered in (
            self._links,
            self._resolutions,
            self._who,
            self._standings,
            self._topics,
            self._recalled,
            self.lately,
        ):
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

    def forgets(self, forget: Callable[[], None], *, only_here: bool = False) -> None:
        """Whoever else remembers somebody lets go of him too. `only_here`: he sees by himself that another process
        erased somebody; else it is called then, too, in the middle of a look."""
        self._forgetting.append(forget)
        if not only_here:
            self._forgetting_elsewhere.append(forget)

    def _remember(self, remembered: Recent[Key, Told], key: Key, value: Told, version: str) -> None:
        """Remembers what a look at this version told, unless that is over: who was erased since may be in it."""
        remembered.put(key, value)
        if self._seen != version:
            remembered.drop([key])

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

    def reading(self) -> AbstractContextManager[Reader]:
        """A consistent look, for those who tell more of a customer than is told here."""
        return self._projections.reading()

    def recalled(self, name: str, customer: Customer, at: Day, make: Callable[[], Told]) -> Told:
        """What `make` tells of a customer, remembered under this name for as long as nothing of him, no scorecard and
        not the day changes; `forget` lets go of it with the rest."""
        key = (name, *self._score_key(customer, at))
        known: Told | None = self._recalled.get(key)
        if known is None:
            era = self.era
            known = make()
            self.keep(self._recalled, key, known, era)
        return known

    def keep(self, remembered: Recent[Key, Told], key: Key, value: Told, era: object) -> None:
        """Remembers what was read since `era` began, unless that has ended: who was erased since may be in it."""
        remembered.put(key, value)
        if self.era is not era:
            remembered.drop([key])

    def card(self, customer: Customer) -> dict[str, Any]:
        """`GET /v1/customers/{ref}`."""
        with self._projections.reading() as reader:
            settings = reader.registers(customer.ids, OF_TIME)
        return {
            "customer": customer.id,
            "identifiers": [
                {
                    "id": member.id,
                    "type": member.identifier.type,
                    "value": member.identifier.value,
                    "first_seen": rfc3339(member.first_seen),
                    "last_seen": rfc3339(member.last_seen),
                }
                for member in customer.members
            ],
            "refused_links": {
                "count": len(customer.refused),
                "items": [_refused_link(one) for one in customer.refused[:SHOWN_REFUSALS]],
            },
            "traits": values_of(settings, "trait"),
            "first_seen": rfc3339(min(member.first_seen for member in customer.members)),
            "last_seen": rfc3339(max(member.last_seen for member in customer.members)),
            "touchpoints": sum(member.touchpoints for member in customer.members),
            "version": customer.version,
        }

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

    # What happened

    def timeline(
        self,
        customer: Customer,
        filters: TimelineFilters,
        cursor: str | None,
        limit: int,
        language: Language,
        *,
        above: str | None = None,
    ) -> dict[str, Any]:
        """`page` as `GET …/timeline` tells it: `next` goes on below it, `above` beyond it."""
        page = self.page(customer, filters, cursor, limit, language, above=above)
        return {
            "items": [self._item(seen_by(entry, filters.audience), language) for entry in page.entries],
            "next" if above is None else "above": page.beyond,
            "stream_from": page.stream_from,
        }

    def page(
        self,
        customer: Customer,
        filters: TimelineFilters,
        cursor: str | None,
        limit: int,
        language: Language,
        *,
        above: str | None = None,
    ) -> Page:
        """Entries, newest first: those below `cursor`, or those that end just above `above`. A page may be short, or
        empty, and still go on: no read looks at more than `LOOKED_AT` entries for those that pass."""
        subjects = customer.subjects
        with self._projections.reading() as reader:
            folded = reader.folded(subjects)
            if above is None:
                entries = reader.entries(subjects, filters, stamp_of(cursor) if cursor else None)
            else:
                entries = _ascending(partial(reader.entries_above, subjects, filters), stamp_of(above), limit)
            found, beyond = _page(entries, filters, limit, language)
        return Page(
            entries=found if above is None else found[::-1],
            beyond=None if beyond is None else cursor_of(beyond),
            stream_from=stream_token(folded, customer.membership),
        )

    def count(self, customer: Customer, filters: TimelineFilters) -> int:
        """How many entries of his timeline the store lets through: `filters.by_store` says whether all of them pass."""
        with self._projections.reading() as reader:
            return reader.count_entries(customer.subjects, filters)

    def stream(
        self, customer: Customer, token: str, filters: TimelineFilters, language: Language, limit: int = 200
    ) -> tuple[bool, str, list[tuple[str, dict[str, Any]]]]:
        """`since`, as the live stream tells it."""
        reload, token, came = self.since(customer, token, filters, language, limit)
        return (
            reload,
            token,
            [(at, self._item(seen_by(entry, filters.audience), language)) for at, entry in came],
        )

    def since(
        self, customer: Customer, token: str, filters: TimelineFilters, language: Language, limit: int = 200
    ) -> tuple[bool, str, list[tuple[str, Entry]]]:
        """What came after a token: whether the page must be read anew first (his members are others by now), the
        token to go on from, and (token, entry) for each new entry. Raises `Refused` (400) for a token not ours."""
        after, members = stream_position(token)
        reload = members != customer.membership
        items: list[tuple[str, Entry]] = []
        with self._projections.reading() as reader:
            folded = reader.folded(customer.subjects)
            # Where others are members now the page tells what was in parts the token does not name; else nothing was.
            places = {part: after.get(part, here if reload else 0) for part, here in folded.items()}
            if (
                not reload
            ):  # what gave the token may be ahead of this, and name parts that nothing is known of here
                places = {**after, **places}
            while not items and any(places[part] < here for part, here in folded.items()):
                run = reader.entries_since(customer.subjects, filters, places, limit)
                for entry in run:
                    places[reader.part_of(entry.position)] = entry.position
                    if passes(entry, filters, language):
                        token = stream_token(places, customer.membership)
                        items.append((token, entry))
                if len(run) < limit:  # there are no more: filters may let nothing of a whole run pass
                    places |= {part: max(places[part], here) for part, here in folded.items()}
        return reload, stream_token(places, customer.membership), items

    def _item(self, entry: Entry, language: Language) -> dict[str, Any]:
        return item_of(entry, language, self._late_after, token_of(entry.position))

    # How he stands

    def scores(self, customer: Customer, at: Day, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Every score at the end of a day, or the ones named. Raises `ScorecardUnknown`."""
        for name in names or ():
            self.scorecards.named(name)
        with self._projections.reading() as reader:
            return self._standing(reader, customer, at).told(names)

    def standing(self, customer: Customer, at: Day) -> Standing:
        """The same, encoded."""
        with self._projections.reading() as reader:
            return self._standing(reader, customer, at)

    def remembered(self, asked: Sequence[tuple[str, Day]]) -> list[Standing | None]:
        """For each (reference, day) the standing, where it is remembered and still holds: so little work that one
        thread does it for many at once. None says nothing of the reference: ask `find`."""
        ids = [self._id_or_none(ref) for ref, _ in asked]
        with self._projections.reading() as reader:
            changed = reader.changed({id for id in ids if id is not None})
            made_by = reader.version()
        found = []
        for id, (_, at) in zip(ids, asked, strict=True):
            who = self._who.get((id, changed[id], made_by)) if id in changed else None
            found.append(None if who is None else self._standings.get(self._score_key(who, at)))
        return found

    def explain(
        self, customer: Customer, name: str, at: Day, without: str | None = None, with_: str | None = None
    ) -> dict[str, Any]:
        """The score, the lines it is made of with the touchpoints behind each, and the two counterfactuals."""
        card = self.scorecards.named(name)
        with self._projections.reading() as reader:
            ledger = self._ledger(reader, customer)
            found, lines = explain(ledger, card, at)
            rows = rows_behind_all(lines, card, ledger, at)
            oldest = min((day for some in rows for _, day in some), default=at + 1)
            deeds = reader.deeds(
                customer.subjects, (at + 1) * MILLISECONDS_A_DAY, oldest * MILLISECONDS_A_DAY
            )
            taken = None if without is None else self._deed(reader, customer, without)
        behind = _keys_by_row(deeds, card.signals)

        def touchpoints(rows: Iterable[tuple[str, Day]]) -> list[str]:
            return list(dict.fromkeys(key for row in rows for key in behind.get(row, ())))

        return {
            "customer": customer.id,
            "at": day_text(at),
            "version": customer.version,
            "score": _score(found),
            "contributions": [
                _contribution(line, touchpoints(some)) for line, some in zip(lines, rows, strict=True)
            ],
            "without": None if taken is None else {
                "key": taken.key, "score": _score(score(_without(ledger, taken), card, at))
            },
            "with": None if with_ is None else {
                "signal": with_, "score": _score(score(self._with(ledger, with_, at), card, at))
            },
        }  # fmt: skip

    def _deed(self, reader: Reader, customer: Customer, key: str) -> Deed:
        """What a touchpoint of the customer's counted, on whatever day. Raises `TouchpointUnknown`."""
        for deed in reader.deeds(customer.subjects, 2**62):
            if deed.key == key:
                return deed
        raise TouchpointUnknown

    def batch(
        self, refs: Sequence[tuple[str, Day]], names: Sequence[str] | None = None
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Scores of many at once: one item for each reference known, in order, and the references unknown, those
        that are no references among them."""
        standings = self.standings(refs, names)
        items = [
            {"ref": ref, **{name: told for name, told in one.told(names).items() if name != "version"}}
            for (ref, _), one in zip(refs, standings, strict=True)
            if one is not None
        ]
        return items, [ref for (ref, _), one in zip(refs, standings, strict=True) if one is None]

    def standings(
        self, refs: Sequence[tuple[str, Day]], names: Sequence[str] | None = None
    ) -> list[Standing | None]:
        """How each of many stands on his day, None where a reference is unknown. Raises `ScorecardUnknown` where a
        score of `names` is none."""
        for name in names or ():
            self.scorecards.named(name)
        ids = [self._id_or_none(ref) for ref, _ in refs]
        with self._projections.reading() as reader:
            found = self.behind(reader, {id for id in ids if id is not None})
            return [
                None if id is None or id not in found else self._standing(reader, found[id], at)
                for (_, at), id in zip(refs, ids, strict=True)
            ]

    def touched_since(self, position: int, decisions: bool = True) -> tuple[set[str] | None, int]:
        """See `ReadProjections`."""
        return self._projections.touched_since(position, decisions)

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

    def buying(self, customer: Customer, at: Day) -> dict[str, Any]:
        with self._projections.reading() as reader:
            return {"customer": customer.id, "at": day_text(at), **buying(self._ledger(reader, customer), at)}

    def interests(self, customer: Customer, at: Day) -> dict[str, Any]:
        with self._projections.reading() as reader:
            return {
                "customer": customer.id,
                "at": day_text(at),
                **interests(self._ledger(reader, customer), at),
            }

    def _standing(self, reader: Reader, customer: Customer, at: Day) -> Standing:
        key = self._score_key(customer, at)
        known = self._standings.get(key)
        if known is None:
            ledgers = [rows for _, rows in reader.ledger_rows(customer.subjects)]
            scores = score_stored(ledgers, self.scorecards, at)
            known = Standing.of(customer.id, customer.version, at, scores)
            self._remember(self._standings, key, known, customer.made_by)
        return known

    def _score_key(self, customer: Customer, at: Day) -> tuple[str, str, Day]:
        return customer.version, self.scorecards.fingerprint, at

    def _ledger(self, reader: Reader, customer: Customer) -> Ledger:
        return merged(reader.ledgers(customer.subjects).values())

    def _with(self, ledger: Ledger, asked: str, at: Day) -> Ledger:
        signal, _, digits = asked.rpartition(":")
        if self._known_signals(signal) and re.fullmatch("-?[0-9]{1,13}", digits):
            total = int(digits)
        elif self._known_signals(asked):
            signal, total = asked, 0
        else:
            raise Refused(
                400, "signal_unknown", "with: expected a signal of GET /v1/schemas, or SIGNAL:total"
            )
        changed = dict(ledger)
        count, so_far = changed.get((signal, at), (0, 0))
        changed[signal, at] = (count + 1, so_far + total)
        return changed

    # What to know before speaking to him

    def context(self, customer: Customer, purpose: str, now: int, with_traits: bool = True) -> dict[str, Any]:
        """What a channel needs before it speaks, in one read. Without traits nothing is told that a person wrote or
        that says who he is: no name, titles, promises' words or topics."""
        at = day_of(now)
        with self._projections.reading() as reader:
            settings = reader.registers(customer.ids, OF_TIME)
            messages = reader.latest_messages(customer.subjects)
            scores = self._standing(reader, customer, at).told()["scores"]
            topics = self._topics_of(reader, customer) if with_traits else []
            ledger = self._ledger(reader, customer)
            usual = interests(ledger, at)
            used = [row["channel"] for row in usual["channels"]]
            may = self._may_contact(reader, customer, [purpose], used, now, settings)[purpose]
        traits = values_of(settings, "trait") if with_traits else {}
        preferences = values_of(settings, "preference")
        consents = values_of(settings, "consent")
        told = {
            "customer": customer.id,
            "at": day_text(at),
            "version": customer.version,
            "language": language_of(preferences, traits),
            "preferences": preferences,
            "consents": {
                name: bool(isinstance(value, dict) and value.get("granted"))
                for name, value in consents.items()
            },
            "scores": {name: {"value": one["value"], "tier": one["tier"]} for name, one in scores.items()},
            "open": open_matters(settings, messages, now, with_traits),
            "preferred_channel": usual["preferred_channel"],
            "last_topics": topics,
            "purpose": purpose,
            "contact": may,
        }
        return {"name": name_of(traits), "traits": traits, **told} if with_traits else told

    def _topics_of(self, reader: Reader, customer: Customer) -> list[dict[str, Any]]:
        known = self._topics.get(customer.version)
        if known is None:
            known = topics_of(reader.heads(customer.subjects))
            self._remember(self._topics, customer.version, known, customer.made_by)
        return known

    def may_contact(
        self, customer: Customer, purposes: Sequence[str], used: Sequence[str], now: int
    ) -> dict[str, dict[str, Decision]]:
        """For each purpose, per channel, what would be decided of a message. `used` are channels he uses."""
        with self._projections.reading() as reader:
            policy, facts = self._facts(reader, customer, now)
            return {purpose: decided(purpose, facts, used, policy, now) for purpose in purposes}

    def _may_contact(
        self,
        reader: Reader,
        customer: Customer,
        purposes: Sequence[str],
        used: Sequence[str],
        now: int,
        settings: Sequence[Setting] | None = None,
    ) -> dict[str, dict[str, Any]]:
        policy, facts = self._facts(reader, customer, now, settings)
        return {purpose: contact(purpose, facts, used, policy, now) for purpose in purposes}

    def _facts(
        self, reader: Reader, customer: Customer, now: int, settings: Sequence[Setting] | None = None
    ) -> tuple[Policy, Facts]:
        """What decides whether he may be contacted."""
        policy = self.policies.at(now)
        place, era = ("fatigue", customer.membership), self.era
        fatigue = Fatigue(
            reader,
            customer.subjects,
            self.scorecards,
            self.lately.get(place),
            lambda found: self.keep(self.lately, place, found, era),
        )
        return policy, facts_of(reader, customer, policy, now, fatigue, settings)

    def boundary(self, customer: Customer, purpose: str, now: int) -> str:
        """Changes when time alone changes what `context` says: a promise fell due, or a channel may be used that could
        not be, or the other way about."""
        with self._projections.reading() as reader:
            settings = reader.registers(customer.ids, OF_TIME)
            may = self._may_contact(reader, customer, [purpose], (), now, settings)[purpose]
        told = _digest(f"{name}{one}" for name, one in may.items())[:16]
        return f"{next_boundary(settings, now)}-{told}"


def _page(
    entries: Iterable[Entry], filters: TimelineFilters, limit: int, language: Language
) -> tuple[list[Entry], Stamp | None]:
    """The first `limit` that pass, and beyond which place there may be more."""
    page: list[Entry] = []
    last: Entry | None = None
    for looked_at, entry in enumerate(entries):
        if last is not None and looked_at == LOOKED_AT:
            return page, (last.occurred_at, last.key)
        if passes(entry, filters, language):
            if len(page) == limit:
                return page, (page[-1].occurred_at, page[-1].key)
            page.append(entry)
        last = entry
    return page, None


def _ascending(above: Callable[[Stamp, int], list[Entry]], after: Stamp, limit: int) -> Iterator[Entry]:
    """Run by run, as they are taken."""
    most = limit + 1
    while run := above(after, most):
        yield from run
        if len(run) < most:
            return
        after, most = (run[-1].occurred_at, run[-1].key), min(2 * most, LOOKED_AT)


def _score(found: Score) -> dict[str, Any]:
    return {"name": found.name, **found.to_json()}


def _contribution(line: Contribution, touchpoints: list[str]) -> dict[str, Any]:
    return {
        "part": line.part,
        "component": line.component,
        "signal": line.signal,
        "day": None if line.day is None else day_text(line.day),
        "count": line.count,
        "total": line.total,
        "milli_points": line.milli_points,
        "touchpoints": touchpoints,
    }


def _keys_by_row(deeds: Iterable[Deed], signals: Collection[str]) -> dict[tuple[str, Day], list[str]]:
    """The touchpoints behind each row of these signals, in their order."""
    rows: dict[tuple[str, Day], list[str]] = {}
    for deed in deeds:
        day = day_of(deed.occurred_at)
        for signal in deed.signals:
            if signal in signals:
                rows.setdefault((signal, day), []).append(deed.key)
    return rows


def _without(ledger: Ledger, deed: Deed) -> Ledger:
    """The ledger as if this touchpoint had given no signals; its claims and registers stand."""
    changed = dict(ledger)
    for signal, total in deed.signals.items():
        row = (signal, day_of(deed.occurred_at))
        count, so_far = changed[row]
        changed[row] = (count - 1, so_far - total)
        if count == 1:
            del changed[row]
    return changed


def _refused_link(one: RefusedLink) -> dict[str, Any]:
    return {
        "a": {"type": one.a.type, "value": one.a.value},
        "b": {"type": one.b.type, "value": one.b.value},
        "reason": one.reason,
        "strength": one.strength,
        "occurred_at": rfc3339(one.occurred_at),
        "touchpoint": one.touchpoint,
        "source": one.source,
    }


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
