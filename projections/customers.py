"""What is told of a customer: what happened, how he stands, what to know before speaking to him.

Every answer is JSON-ready and in the form of the HTTP API. A customer is found first (see `who`), then asked about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from touchbook.contact import contact, decided
from touchbook.contacting import Decision, Facts
from touchbook.errors import Refused, TouchpointUnknown
from touchbook.habits import buying, interests
from touchbook.identity import IdentityRules
from touchbook.ledger import MILLISECONDS_A_DAY, Day, Ledger, day_of, merged
from touchbook.links import RefusedLink
from touchbook.policy import Policies, Policy
from touchbook.positions import token_of
from touchbook.projections.changes import Stamp
from touchbook.projections.contact_facts import Fatigue, facts_of
from touchbook.projections.context import language_of, name_of, open_matters, topics_of
from touchbook.projections.cursors import cursor_of, stamp_of, stream_position, stream_token
from touchbook.projections.standing import Standing
from touchbook.projections.stores.port import Deed, Reader, ReadProjections
from touchbook.projections.who import Customer, Identities, digest_of
from touchbook.recent import Recent
from touchbook.registers import OF_TIME, Setting, next_boundary, values_of
from touchbook.schemas.display import Language
from touchbook.schemas.times import day_text, rfc3339
from touchbook.schemas.touchpoint import Identifier
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import Contribution, Score, explain, rows_behind_all, score, score_stored
from touchbook.timeline import Entry, TimelineFilters, item_of, passes, seen_by

SHOWN_REFUSALS = 20
LOOKED_AT = 2_000
"""Entries, in one read, of which those that pass are shown."""
RECALLED = 200
"""What was put together for pages, of customers looked at last."""

Key = TypeVar("Key", bound=Hashable)
Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first; `beyond` is the cursor to go on in the direction that was read, None where all was told;
    `stream_from` is where their live stream goes on without a gap."""

    entries: list[Entry]
    beyond: str | None
    stream_from: str


class Customers(Identities):
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
        super().__init__(projections, rules, id_of, remembered)
        self.policies = policies or Policies.standard()
        self.scorecards = scorecards
        self._known_signals = known_signals
        self._late_after = late_after
        self._standings: Recent[tuple[str, str, Day], Standing] = Recent(remembered)
        self._topics: Recent[str, list[dict[str, Any]]] = Recent(remembered)
        self._recalled: Recent[tuple[str, str, str, Day], Any] = Recent(RECALLED)
        self.lately: Recent[tuple[str, str], Any] = Recent(2 * RECALLED)
        """What was last told of these members, by its name and their membership: where to go on from."""
        self.era = object()
        """Another one from whenever anybody is forgotten."""

    def _let_go(self) -> None:
        self.era = object()
        for remembered in (self._standings, self._topics, self._recalled, self.lately):
            remembered.clear()
        super()._let_go()

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
        told = digest_of(f"{name}{one}" for name, one in may.items())[:16]
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
