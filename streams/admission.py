"""Admission: the one way into the journal, the same for every door, file and topic.

Each item is parsed, identified, timed and validated. What is in order is appended; what is not is set aside with its
reason and its bytes, and the rest of the batch goes on.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, NamedTuple

from touchbook.errors import Rejected
from touchbook.identity import normalised, subject_of
from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.schemas.catalogue import CATALOGUE, Catalogue, Reading
from touchbook.schemas.cloudevents import event_in_message
from touchbook.schemas.details import Details
from touchbook.schemas.envelope import (
    CHANGED_BY_RETRIES,
    RETRIES,
    Draft,
    draft_of_cloudevent,
    draft_of_segment,
)
from touchbook.schemas.money import MAX_AMOUNT
from touchbook.schemas.strict_json import fault_of
from touchbook.schemas.touchpoint import (
    CARRIED,
    NO_CHANNEL,
    UNREAD_TRAITS,
    UNVERIFIED,
    Identifier,
    Touchpoint,
)
from touchbook.sealing import canonical
from touchbook.streams.control import OURS, Control, SetAside
from touchbook.streams.journal import Appended, Journal, pending, settle

Route = Literal["segment", "cloudevents"]
IN_KAFKA = "kafka"
"""The route of what was set aside with the bytes of a record of Kafka's, and its headers beside them."""
Told = Callable[["list[Outcome] | Exception"], None]
"""As `journal.Told`, for the outcomes of items."""

SKEW_FROM = 5 * 60_000
SKEW_TO = 7 * MILLISECONDS_A_DAY
AHEAD = MILLISECONDS_A_DAY
AGENT_TYPES = frozenset({"note_added", "emotion_observed", "link", "unlink", "feedback_acknowledged"})
OURS_ALONE: Mapping[str, str] = {
    f"contact_{word}": "a decision of ours; ask POST /v1/contact:reserve, and settle it with :confirm or :release"
    for word in ("reserved", "deferred", "suppressed", "confirmed", "released")
}
"""Types that no other source may publish, whatever it calls them: what they are, and what to use instead."""
IDENTIFIER_LISTS = {"link": ("link",), "unlink": ("apart", "from")}


class Publisher(NamedTuple):
    """Who sends: the source and channel of its key, the key's role, and whether the key is public."""

    source: str
    channel: str | None = None
    role: str = "publish"
    public: bool = False


class Item(NamedTuple):
    """One touchpoint as sent. `inherited` is what its batch gave it; `sent_at` when the batch was sent, as it says;
    `fault` why it is no JSON that could be kept unchanged, if so."""

    route: Route
    raw: Any
    inherited: dict[str, Any]
    sent_at: int | None = None
    fault: str | None = None


class Outcome(NamedTuple):
    """What became of one item. `position` is None where it was rejected; `key` is the touchpoint's, or what it was
    set aside under."""

    outcome: Literal["accepted", "duplicate", "rejected"]
    key: str
    position: int | None = None
    code: str = ""
    message: str = ""


def key_of(source: str, id: str) -> str:
    """The touchpoint's key: the first 128 bits of SHA-256(source, NUL, id), in hex."""
    return hashlib.sha256(f"{source}\0{id}".encode()).hexdigest()[:32]


def is_channel(name: str) -> bool:
    """Whether it may name a channel."""
    return name.isprintable() and len(name) <= 50


def occurred_at(said_at: int | None, sent_at: int | None, received_at: int) -> int:
    """When it happened, by our clock: the client's time, moved by receivedAt − sentAt only where that skew is between
    five minutes and seven days, and then never past the moment it was received."""
    if said_at is None:
        return received_at
    skew = 0 if sent_at is None else received_at - sent_at
    if SKEW_FROM <= abs(skew) <= SKEW_TO:
        return min(said_at + skew, received_at)
    return said_at


class Admission:
    """Parses, validates and identifies items, and hands them to the journal or sets them aside."""

    def __init__(
        self,
        journal: Journal,
        control: Control,
        catalogue: Catalogue,
        identifier_of: Callable[[str], Identifier | None],
        max_item: int = 64 * 2**10,
    ) -> None:
        """`identifier_of` finds the identifier behind a permanent id (None if it was never seen); agents' links name
        customers by it."""
        self._journal = journal
        self._control = control
        self._catalogue = catalogue
        self._identifier_of = identifier_of
        self._max_item = max_item
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="set-aside")

    def close(self) -> None:
        self._aside.shutdown()

    def admit(self, items: Sequence[Item], publisher: Publisher, received_at: int) -> Future[list[Outcome]]:
        """One outcome per item, in their order, once everything is durable: appended or set aside.

        Raises `Overloaded` at once, with nothing kept, when the journal's queue is full. A future that fails means
        "not known: send again with the same ids". It cannot be cancelled.
        """
        done: Future[list[Outcome]] = pending()
        self.hand_in(items, publisher, received_at, partial(settle, done))
        return done

    def hand_in(
        self,
        items: Sequence[Item],
        publisher: Publisher,
        received_at: int,
        told: Told,
        wake: bool = True,
    ) -> None:
        """`admit` for who does it thousands of times a second: `told` is called instead of ending a future, from any
        thread, and `wake` is as in `Journal.hand_in`."""
        touchpoints: list[Touchpoint] = []
        places: list[int] = []
        rejected: dict[int, Rejected] = {}
        for place, item in enumerate(items):
            try:
                touchpoints.append(self.touchpoint_of(item, publisher, received_at))
                places.append(place)
            except Rejected as reason:
                rejected[place] = reason
        if not touchpoints:
            self._settle(told, items, publisher, received_at, {}, rejected)
            return

        def appended(end: list[Appended] | Exception) -> None:
            if isinstance(end, Exception):
                told(end)
                return
            accepted: dict[int, Outcome] = {}
            for place, touchpoint, append in zip(places, touchpoints, end, strict=True):
                if append.outcome == "reused":
                    rejected[place] = REUSED
                else:
                    accepted[place] = Outcome(append.outcome, touchpoint.key, append.position)
            self._settle(told, items, publisher, received_at, accepted, rejected)

        self._journal.hand_in(touchpoints, appended, wake)

    def redrive(self, key: str) -> Future[Outcome]:
        """Tries what was set aside once more, with its own id and the time it was first received. Accepted, it is no
        longer set aside; rejected again, it stays, and the outcome says why. An id that was used before stays used, so
        where the journal would not tell, it is not asked."""
        kept = self._control.get_set_aside(key)
        publisher = Publisher(**kept.inherited["publisher"])
        done: Future[Outcome] = pending()
        if kept.code == REUSED.code and not self._journal.tells_repeats:
            done.set_result(Outcome("rejected", key, None, REUSED.code, str(REUSED)))
            return done
        try:
            touchpoint = self.touchpoint_of(_again(kept), publisher, kept.received_at)
        except Rejected as reason:
            done.set_result(Outcome("rejected", key, None, reason.code, str(reason)))
            return done

        def appended(future: Future[list[Appended]]) -> None:
            if error := future.exception():
                done.set_exception(error)
                return
            append = future.result()[0]
            if append.outcome == "reused":
                done.set_result(Outcome("rejected", key, None, REUSED.code, str(REUSED)))
                return
            outcome = Outcome(append.outcome, touchpoint.key, append.position)

            def marked(marking: Future[None]) -> None:
                if error := marking.exception():
                    done.set_exception(error)
                else:
                    done.set_result(outcome)

            self._aside.submit(self._control.mark_redriven, key).add_done_callback(marked)

        self._journal.append([touchpoint]).add_done_callback(appended)
        return done

    def touchpoint_of(self, item: Item, publisher: Publisher, received_at: int) -> Touchpoint:
        """The item as a touchpoint, complete but for its position. Raises `Rejected`."""
        if item.fault is not None:
            raise Rejected("json_invalid", item.fault)
        draft = self._draft_of(item, publisher)
        payload = canonical(draft.canonical)
        size = len(payload) + (len(canonical(draft.extra[RETRIES])) if RETRIES in draft.extra else 0)
        if size > self._max_item:
            raise Rejected("item_too_large", f"expected at most {self._max_item} bytes in one item")
        digest = hashlib.sha256(payload).hexdigest()
        if draft.id is None and draft.said_at is None:
            raise Rejected("id_missing", "expected an id, or a timestamp to make one from")
        id = draft.id or f"made-{digest[:40]}"
        at = occurred_at(draft.said_at, draft.sent_at, received_at)
        if not 0 <= at <= received_at + AHEAD:
            raise Rejected(
                "time_out_of_range",
                "expected a time from 1970 on and at most 24 hours ahead",
                "time" if item.route == "cloudevents" else "timestamp",
            )
        self._name_identifiers(draft)
        version = draft.version
        if version is None:
            version = CATALOGUE[draft.type].version if draft.type in CATALOGUE else 1
        reading = self._read(draft, version)
        self._may(reading, draft, publisher)
        identifiers = self._identifiers_of(draft)
        return Touchpoint(
            key=key_of(publisher.source, id),
            id=id,
            source=publisher.source,
            type=draft.type,
            version=version,
            channel=draft.channel or publisher.channel or NO_CHANNEL,
            subject=identifiers[0] if len(identifiers) == 1 else subject_of(identifiers, self._journal.rules),
            identifiers=identifiers,
            occurred_at=at,
            received_at=received_at,
            data=draft.data,
            digest=digest,
            strength=draft.strength,
            said_at=draft.said_at,
            sent_at=draft.sent_at,
            extra=draft.extra,
        )

    def _draft_of(self, item: Item, publisher: Publisher) -> Draft:
        if item.route == "cloudevents":
            draft = draft_of_cloudevent(item.raw, publisher.source)
        else:
            draft = draft_of_segment(item.raw, item.inherited, item.sent_at)
        for ours in (UNVERIFIED, UNREAD_TRAITS):
            if ours in draft.extra:
                draft.extra[f"sent_{ours}"] = draft.extra.pop(ours)
        if publisher.public:
            _keep_unverified(draft)
        if draft.channel is not None and not is_channel(draft.channel):
            raise Rejected("channel_invalid", "expected at most 50 printable characters", "channel")
        return draft

    def _read(self, draft: Draft, version: int) -> Reading:
        try:
            reading = self._catalogue.read(draft.type, version, draft.data)
        except Rejected as reason:
            path = ".".join(part for part in (draft.data_field, reason.field) if part)
            message = str(reason).removeprefix(f"{reason.field}: ")
            raise Rejected(reason.code, message, path) from None
        for signal in (*reading.details.signals(), *reading.extra_signals):
            if abs(signal.total) > MAX_AMOUNT:
                raise Rejected(
                    "amount_too_large", f"expected at most {MAX_AMOUNT} minor units", draft.data_field
                )
        return reading

    def _may(self, reading: Reading, draft: Draft, publisher: Publisher) -> None:
        details = type(reading.details)
        if details.type in OURS_ALONE and publisher.source != OURS:
            raise Rejected("type_reserved", f"{details.type} is {OURS_ALONE[details.type]}", "type")
        if publisher.public and not details.from_public_key:
            raise Rejected(
                "type_not_public",
                "expected one of the types a public key may send; see GET /v1/schemas",
                "type",
            )
        if publisher.public and not _own_doing(reading.details):
            raise Rejected(
                "actor_not_public", "expected what the customer did himself: this key is public", "actor"
            )
        if publisher.role == "agent" and draft.type not in AGENT_TYPES:
            raise Rejected("type_not_for_agents", f"expected one of {', '.join(sorted(AGENT_TYPES))}", "type")

    def _name_identifiers(self, draft: Draft) -> None:
        """Agents' links may name identifiers by permanent id; the journal keeps them clear and normalised."""
        lists = IDENTIFIER_LISTS.get(draft.type)
        if not lists:
            return
        named = dict(draft.data)
        for name in lists:
            values = named.get(name)
            if isinstance(values, list):
                named[name] = [self._named(value, f"data.{name}") for value in values]
        draft.data = named
        if not draft.identifiers:
            first = next((value for name in lists for value in named.get(name) or ()), None)
            if isinstance(first, str):
                kind, _, value = first.partition(":")
                draft.identifiers.append((kind, value, f"data.{lists[0]}"))

    def _named(self, value: Any, where: str) -> str:
        if isinstance(value, str) and ":" in value:
            kind, _, rest = value.partition(":")
            return str(self._normalised(kind, rest, where))
        found = self._identifier_of(value) if isinstance(value, str) else None
        if found is None:
            raise Rejected(
                "identifier_unknown", 'expected "type:value" or the permanent id of a known customer', where
            )
        return str(found)

    def _identifiers_of(self, draft: Draft) -> tuple[Identifier, ...]:
        named = []
        for kind, value, where in draft.identifiers:
            try:
                named.append(self._normalised(kind, value, where))
            except Rejected:
                if not where.startswith("traits."):
                    raise
                # A form let a number through that nobody can dial: it stays a trait, and names nobody.
                draft.extra = {**draft.extra, UNREAD_TRAITS: [*draft.extra.get(UNREAD_TRAITS, ()), kind]}
        if not named:
            raise Rejected(
                "identifier_missing",
                "expected userId or anonymousId"
                if draft.data_field != "data"
                else "expected at least one identifier",
                "" if draft.data_field != "data" else "data.identifiers",
            )
        return tuple(dict.fromkeys(named))

    def _normalised(self, kind: str, value: str, where: str) -> Identifier:
        try:
            return normalised(kind, value, self._journal.rules)
        except Rejected as reason:
            message = str(reason).removeprefix(f"{reason.field}: ")
            raise Rejected(reason.code, message, where) from None

    def _settle(
        self,
        told: Told,
        items: Sequence[Item],
        publisher: Publisher,
        received_at: int,
        settled: dict[int, Outcome],
        rejected: dict[int, Rejected],
    ) -> None:
        """Tells; first makes durable, off the journal's thread, what has to be set aside."""
        if not rejected:
            told(list(settled.values()))  # all of them, so in the order of the items
            return

        def set_aside() -> None:
            try:
                kept = [
                    _set_aside(items[place], publisher, received_at, why) for place, why in rejected.items()
                ]
                self._control.set_aside(kept)
                for place, one in zip(rejected, kept, strict=True):
                    settled[place] = Outcome("rejected", one.key, None, one.code, one.reason)
            except Exception as error:
                # Whatever the store raised, the sender must hear "not known", never wait.
                told(error)
            else:
                told([settled[place] for place in range(len(items))])

        self._aside.submit(set_aside)


REUSED = Rejected(
    "id_reused", "this id was used before by this source with other content; send it under a new id"
)


def _own_doing(details: Details) -> bool:
    """Whether it says that the customer did it himself: an agent who speaks "in" would still answer for us."""
    actor = details.actor
    return details.taken_direction() == "in" and (actor is None or actor.kind == "customer")


def _keep_unverified(draft: Draft) -> None:
    """From a public key only the anonymous id names anybody; user id and traits stay as payload nobody acts on."""
    unverified = {kind: value for kind, value, _ in draft.identifiers if kind != "anonymous_id"}
    draft.identifiers = [named for named in draft.identifiers if named[0] == "anonymous_id"]
    if not draft.identifiers:
        raise Rejected("anonymous_id_missing", "expected an anonymous id: this key is public", "anonymousId")
    if len(draft.identifiers) > 1:  # a second one would be a claim, and join a stranger's customer to his own
        raise Rejected("anonymous_id_not_one", "expected one anonymous id: this key is public", "anonymousId")
    if draft.type == "identified":
        unverified |= draft.data
        draft.data = {}
    draft.strength = CARRIED
    draft.extra = {**draft.extra, UNVERIFIED: unverified}


def _set_aside(item: Item, publisher: Publisher, received_at: int, why: Rejected) -> SetAside:
    raw = item.raw
    if isinstance(raw, dict) and "writeKey" in raw:
        raw = {name: value for name, value in raw.items() if name != "writeKey"}
    return SetAside(
        key=_key_aside(publisher, item.route, raw),
        reason=str(why),
        code=why.code,
        source=publisher.source,
        channel=publisher.channel,
        route=item.route,
        inherited={
            "batch": item.inherited,
            "publisher": {
                "source": publisher.source,
                "channel": publisher.channel,
                "role": publisher.role,
                "public": publisher.public,
            },
        },
        received_at=received_at,
        raw=json.dumps(raw).encode(),
        sent_at=item.sent_at,
    )


def _key_aside(publisher: Publisher, route: Route, raw: Any) -> str:
    """The same for every retry of an item, so that it is set aside once however often its batch is sent again. At the
    other kind of door the same bytes are another item: they are read, rejected and redriven otherwise."""
    if isinstance(raw, dict):
        raw = {name: value for name, value in raw.items() if name not in CHANGED_BY_RETRIES}
    payload = json.dumps([publisher.source, publisher.public, route, raw], sort_keys=True)
    return hashlib.sha256(payload.encode()).hexdigest()[:32]


def _again(kept: SetAside) -> Item:
    """What was set aside, read once more as it came. Raises `Rejected`."""
    batch = kept.inherited["batch"]
    if kept.route == IN_KAFKA:
        headers = [(name, base64.b64decode(said)) for name, said in kept.inherited["kafka"]["headers"]]
        event, fault = event_in_message(headers, kept.raw)
        return Item("cloudevents", event, batch, fault=fault)
    return Item(_route(kept.route), kept.item, batch, kept.sent_at, kept.fault or fault_of(batch))


def _route(name: str) -> Route:
    return "segment" if name == "segment" else "cloudevents"
