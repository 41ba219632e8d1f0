"""Whom to contact, decided in one process: check and reserve are one step.

Every decision is a touchpoint with its receipt. What was decided here and is not seen by readers yet is kept in memory
and counts with the rest; what is reserved counts from the moment of the decision on, not from when it is durable. An
answer is given once it is.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from touchbook.contacting import Candidate, Decision, decide_all, reach
from touchbook.contacts import ContactRow
from touchbook.errors import CustomerUnknown, KeyDestroyed, Refused, TouchbookError
from touchbook.policy import Policies, Policy
from touchbook.projections.acquaintances import Acquaintance, Acquaintances
from touchbook.projections.contact_facts import Look, Tiring, facts_by
from touchbook.projections.customers import Customers
from touchbook.projections.stores.port import Reader, ReadProjections
from touchbook.projections.who import Customer
from touchbook.recent import Recent
from touchbook.schemas.times import milliseconds, rfc3339
from touchbook.schemas.touchpoint import NO_CHANNEL, Identifier, Touchpoint
from touchbook.sealing import canonical
from touchbook.streams.admission import is_channel, key_of
from touchbook.streams.control import OURS
from touchbook.streams.journal import Appended, Journal, pending
from touchbook.timeline import TimelineFilters

REMEMBERED = 20_000
"""Decisions, made last, that are found again without asking anybody."""
RESERVED, CONFIRMED, RELEASED, DEFERRED, SUPPRESSED = (
    f"contact_{word}" for word in ("reserved", "confirmed", "released", "deferred", "suppressed")
)
DECISIONS = (RESERVED, DEFERRED, SUPPRESSED)
SETTLED = (CONFIRMED, RELEASED)
SUBJECT_DIGITS, OWN_DIGITS = 32, 16
KEPT_MS = 15 * 60_000


class Records(Protocol):
    """Where decisions are recorded for good; see `Journal.append`. The positions mean something to `visible` alone."""

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]: ...


class Asked(NamedTuple):
    """May this be sent? `subject` is the permanent id behind what the customer was asked for by; `source` who asks.
    An `id` makes the same question of the same source the same decision, however often it is asked. Only those with the
    same `call` are weighed against each other; of others the first goes first."""

    subject: str
    candidate: Candidate
    source: str
    id: str | None = None
    call: int = 0


class Answer(NamedTuple):
    """A decision. `told` is what was recorded of it, in the words of its type."""

    kind: Literal["reserved", "deferred", "suppressed"]
    id: str
    told: Mapping[str, Any]


class Settled(NamedTuple):
    """What became of a reservation."""

    reservation: str
    state: Literal["confirmed", "released"]


Answers = list[Answer | TouchbookError]
Find = Callable[[Reader, str, str], Mapping[str, Any] | None]
"""The type and the data of the touchpoint with this key, recorded under this subject: (look, subject, key)."""


class Contacts(Protocol):
    """Decides whether customers may be contacted, and keeps what it decided. Methods may be called from any thread."""

    def reserve(self, asked: Sequence[Asked]) -> Future[Answers]:
        """An answer for each, or why there is none, in their order, once all are durable. Several for one customer are
        weighed against each other. The future fails with JournalUnavailable where it is not known what was kept: what
        was reserved stays so, and the same ids settle it.

        Raises Overloaded or JournalUnavailable at once, with nothing decided.
        """

    def confirm(self, reservation: str, source: str | None, message_id: str | None) -> Future[Settled]:
        """What was reserved went out. `source` is who says so, None for an agent, who may of everybody's.

        Raises `Refused`: 404 for no reservation, 403 for another's, 409 for one that ran out or was released.
        """

    def release(self, reservation: str, source: str | None, reason: str | None) -> Future[Settled]:
        """What was reserved is not sent. Raises as `confirm` does; 409 for one that was confirmed."""


@dataclass(slots=True)
class _Taken:
    """One touchpoint of ours that readers may not see yet. `position` is None until it is durable."""

    subject: str
    touchpoint: Touchpoint
    row: ContactRow | None
    until: int
    position: int | None = None
    failed: bool = False
    landing: Future[list[Appended]] | None = None


class Contacting:
    """See `Contacts`."""

    def __init__(
        self,
        records: Records,
        customers: Customers,
        policies: Policies,
        now: Callable[[], int],
        visible: Callable[[int], bool],
        find: Find | None = None,
        find_all: Callable[[Sequence[str]], Mapping[str, Touchpoint]] | None = None,
    ) -> None:
        """`visible` says whether readers see what was recorded at a position. `find_all` finds touchpoints of ours by
        their keys; where nothing can, `find` finds one in what readers see."""
        self._records = records
        self._customers = customers
        self._policies = policies
        self._now = now
        self._visible = visible
        self._find = find or found_in_entries
        self._find_all = find_all
        self._lock = threading.Lock()
        self._unseen: deque[_Taken] = deque()
        self._by_subject: dict[str, dict[str, _Taken]] = {}
        self._remembered: Recent[str, Touchpoint] = Recent(REMEMBERED)
        self.tiring = Tiring(customers.scorecards)
        self.acquaintances = Acquaintances(customers, self.tiring)
        customers.forgets(self._remembered.clear)

    @property
    def unseen(self) -> int:
        """Touchpoints of its own that readers do not see yet."""
        return len(self._unseen)

    def restore(self, taken: Sequence[tuple[Touchpoint, int]]) -> None:
        """Knows these from now on, the oldest first, each durable at its position: they count until readers see it."""
        with self._lock:
            for touchpoint, position in taken:
                subject = self._customers.id_named(*touchpoint.subject)
                self._take(_to_record(subject, touchpoint)).position = position

    def reserve(self, asked: Sequence[Asked]) -> Future[Answers]:
        with self._lock:
            now = self._now()
            self._let_go(now)
            with self._customers.reading() as reader:
                decided = _Deciding(self, reader, self._policies.at(now), now).all(asked)
            return self._record(decided)

    def confirm(self, reservation: str, source: str | None, message_id: str | None) -> Future[Settled]:
        said = {} if message_id is None else {"message_id": message_id}
        return self._settle(reservation, source, CONFIRMED, said)

    def release(self, reservation: str, source: str | None, reason: str | None) -> Future[Settled]:
        said = {} if reason is None else {"reason": reason}
        return self._settle(reservation, source, RELEASED, said)

    # Recording

    def _record(self, decided: Sequence[_Decided | TouchbookError]) -> Future[Answers]:
        """Appends what is new, and what may not have been kept when it was first tried."""
        done: Future[Answers] = pending()
        answers: Answers = [one.answer if isinstance(one, _Decided) else one for one in decided]
        waits = [one.landing for one in decided if isinstance(one, _Decided) and one.landing is not None]
        new = [
            (place, one.record, one.again)
            for place, one in enumerate(decided)
            if isinstance(one, _Decided) and one.record is not None
        ]
        landing = self._append([record for _, record, _ in new]) if new else None
        if landing is not None:
            waits.append(landing)

        def told() -> Answers:
            for (place, _, again), (outcome, _) in zip(new, landing.result() if landing else (), strict=True):
                if outcome == "reused" or (outcome == "duplicate" and not again):
                    answers[place] = REUSED
            return answers

        _when_all(waits, done, told)
        return done

    def _append(self, new: Sequence[_ToRecord]) -> Future[list[Appended]]:
        landing = self._records.append([one.touchpoint for one in new])
        taken = [self._take(one) for one in new]
        for one in taken:
            one.landing, one.failed = landing, False
        landing.add_done_callback(partial(self._landed, taken))
        return landing

    def _landed(self, taken: Sequence[_Taken], landing: Future[list[Appended]]) -> None:
        if landing.exception() is not None:
            for one in taken:
                one.failed = True
        else:
            for one, appended in zip(taken, landing.result(), strict=True):
                one.position = appended.position
                one.landing = None

    def _take(self, new: _ToRecord) -> _Taken:
        touchpoint = new.touchpoint
        known = self._by_subject.setdefault(new.subject, {})
        taken = known.get(touchpoint.key)
        if taken is None:
            until = touchpoint.occurred_at + KEPT_MS
            if new.row is not None and new.row.until is not None:
                until = new.row.until
            taken = known[touchpoint.key] = _Taken(new.subject, touchpoint, new.row, until)
            self._unseen.append(taken)
            self._remembered.put(touchpoint.key, touchpoint)
        return taken

    def _let_go(self, now: int) -> None:
        """Of what readers see by now. What may not have been kept counts for as long as it would hold."""
        for _ in range(len(self._unseen)):
            first = self._unseen[0]
            if first.failed:
                self._unseen.popleft()
                if now < first.until:
                    self._unseen.append(first)
                    continue
            elif first.position is not None and self._visible(first.position):
                self._unseen.popleft()
            else:
                return
            of_subject = self._by_subject[first.subject]
            del of_subject[first.touchpoint.key]
            if not of_subject:
                del self._by_subject[first.subject]

    # What is known

    def taken_of(self, ids: Iterable[str]) -> Iterator[_Taken]:
        """What readers may not see yet of a customer with these members."""
        for id in ids:
            yield from self._by_subject.get(id, {}).values()

    def recorded(self, reader: Reader, subject: str, key: str) -> _Known | None:
        """A touchpoint of ours by its key."""
        taken = self._by_subject.get(subject, {}).get(key)
        if taken is not None:
            again = _ToRecord(subject, taken.touchpoint, taken.row) if taken.failed else None
            return _Known(taken.touchpoint.type, taken.touchpoint.data, taken.landing, again)
        if (touchpoint := self._remembered.get(key)) is not None:
            return _known(touchpoint)
        if self._find_all is not None:
            return None if (touchpoint := self._find_all([key]).get(key)) is None else _known(touchpoint)
        found = self._find(reader, subject, key)
        return None if found is None else _Known(found["type"], found["data"])

    def all_recorded(self, reader: Reader, asked: Iterable[tuple[str, str]]) -> dict[str, _Known]:
        """`recorded` of many: by key those of these (subject, key) that there are."""
        found: dict[str, _Known] = {}
        unknown: list[str] = []
        for subject, key in asked:
            if (
                self._find_all is None
                or key in self._by_subject.get(subject, ())
                or self._remembered.get(key)
            ):
                known = self.recorded(reader, subject, key)
                if known is not None:
                    found[key] = known
            else:
                unknown.append(key)
        if unknown and self._find_all is not None:
            found.update((key, _known(one)) for key, one in self._find_all(unknown).items())
        return found

    @property
    def customers(self) -> Customers:
        return self._customers

    # Settling

    def _settle(
        self, reservation: str, source: str | None, type: str, said: Mapping[str, Any]
    ) -> Future[Settled]:
        state: Literal["confirmed", "released"] = "confirmed" if type == CONFIRMED else "released"
        done: Future[Settled] = pending()
        waits: list[Future[Any]] = []
        with self._lock:
            now = self._now()
            self._let_go(now)
            subject = reservation[:SUBJECT_DIGITS]
            with self._customers.reading() as reader:
                customer = self._customers.behind(reader, {subject}).get(subject)
                known = self.recorded(reader, subject, key_of_decision(reservation))
                if customer is None or known is None or known.type != RESERVED:
                    raise UNKNOWN
                if source is not None and known.data["source"] != source:
                    raise Refused(
                        403, "reservation_of_another", "expected a reservation of the key's own source"
                    )
                states, landing = self._states(reader, customer, reservation, known.data)
            if type not in states:
                self._check(states, type, now, milliseconds(known.data["holds_until"], "holds_until"))
                identifier = next(one.identifier for one in customer.members if one.id == subject)
                data = {"reservation": reservation, **said}
                id, channel = f"contact:{reservation}:{state}", known.data["for_channel"]
                touchpoint = made(type, id, identifier, now, data, channel)
                waits = [self._append([_to_record(subject, touchpoint)])]
            elif landing is not None:
                waits = [landing]
        _when_all(waits, done, lambda: Settled(reservation, state))
        return done

    def _states(
        self, reader: Reader, customer: Customer, reservation: str, data: Mapping[str, Any]
    ) -> tuple[set[str], Future[list[Appended]] | None]:
        """What was recorded of a reservation so far, and what of it is not durable yet."""
        since = milliseconds(data["asked_at"], "asked_at")
        rows = reader.contacts(customer.subjects, since)
        states = {f"contact_{row.kind}" for row in rows if row.reservation == reservation}
        landing = None
        for taken in self.taken_of(customer.ids):
            if taken.touchpoint.type in SETTLED and taken.touchpoint.data["reservation"] == reservation:
                if taken.failed:
                    continue
                states.add(taken.touchpoint.type)
                landing = taken.landing or landing
        if "contact_sent" in states:
            states.add(CONFIRMED)
        return states, landing

    @staticmethod
    def _check(states: set[str], type: str, now: int, until: int) -> None:
        if CONFIRMED in states:
            raise Refused(
                409, "reservation_confirmed", "this reservation was confirmed: what went out stays counted"
            )
        if RELEASED in states:
            raise Refused(
                409, "reservation_released", "this reservation was released: reserve again before you send"
            )
        if type == CONFIRMED and now >= until:
            raise Refused(
                409,
                "reservation_expired",
                "this reservation ran out and its place may be another's: reserve again before you send; what went "
                "out already is published as message_sent",
            )


UNKNOWN = Refused(
    404, "reservation_unknown", "expected the id of a reservation as `contact:reserve` answered it"
)
REUSED = Refused(409, "id_reused", "id: this id was used before with another question; ask under a new id")


class _Known(NamedTuple):
    """A touchpoint of ours. `landing` where it is not durable yet; `again` where it may not have been kept."""

    type: str
    data: Mapping[str, Any]
    landing: Future[list[Appended]] | None = None
    again: _ToRecord | None = None


def _known(touchpoint: Touchpoint) -> _Known:
    return _Known(touchpoint.type, touchpoint.data)


class _ToRecord(NamedTuple):
    """A touchpoint of ours, and the contact that it is; see `row_of`."""

    subject: str
    touchpoint: Touchpoint
    row: ContactRow | None


def _to_record(subject: str, touchpoint: Touchpoint) -> _ToRecord:
    return _ToRecord(subject, touchpoint, row_of(subject, touchpoint))


@dataclass(slots=True)
class _Decided:
    """An answer, and what is to be recorded before it is given. `again`: perhaps it was already."""

    answer: Answer
    record: _ToRecord | None = None
    landing: Future[list[Appended]] | None = None
    again: bool = False


class _Question(NamedTuple):
    """What was asked, the id that its decision has, and what tells a retry from another question."""

    asked: Asked
    id: str
    key: str
    digest: str

    @staticmethod
    def of(asked: Asked) -> _Question:
        id = reservation_of(asked)
        return _Question(asked, id, key_of_decision(id), digest_of(asked))


class _Deciding:
    """One call's questions, against one look at the projections. All that is read is read once for all of them."""

    def __init__(self, contacting: Contacting, reader: Reader, policy: Policy, now: int) -> None:
        self._contacting = contacting
        self._reader = reader
        self._policy = policy
        self._now = now
        self._said_now = rfc3339(now)
        self._recorded: Mapping[str, _Known] = {}
        self._contacts: dict[str, list[ContactRow]] = {}
        self._just_now: dict[str, list[ContactRow]] = {}
        """What was decided in this look already, by customer."""

    def all(self, asked: Sequence[Asked]) -> list[_Decided | TouchbookError]:
        who = self._contacting.acquaintances.behind(self._reader, {one.subject for one in asked})
        questions = [_Question.of(one) for one in asked]
        ids = [(one.asked.subject, one.key) for one in questions if one.asked.id is not None]
        self._recorded = self._contacting.all_recorded(self._reader, ids)
        decided: dict[int, _Decided | TouchbookError] = {}
        first: dict[str, int] = {}
        together: dict[tuple[str, int], list[int]] = {}
        for place, one in enumerate(questions):
            customer = who.get(one.asked.subject)
            if customer is None:
                decided[place] = CustomerUnknown()
            elif (known := self._recorded.get(one.key)) is not None:
                decided[place] = _decided_before(one, known)
            elif first.setdefault(one.id, place) == place:
                together.setdefault((customer.id, one.asked.call), []).append(place)
        customers = {id: who[asked[places[0]].subject] for (id, _), places in together.items()}
        self._read_contacts(customers.values())
        unread = [one for one in customers.values() if one.tired is None]
        look = Look(self._reader, unread, self._contacting.tiring)
        for (id, _), places in together.items():
            those = self._of(customers[id], look, [questions[place] for place in places])
            decided.update(zip(places, those, strict=True))
        for place, one in enumerate(questions):
            if place not in decided:  # the same id twice in one call
                before = first[one.id]
                decided[place] = _decided_above(one, questions[before], decided[before])
        return [decided[place] for place in range(len(asked))]

    def _read_contacts(self, customers: Iterable[Acquaintance]) -> None:
        """Of all that are asked about, in one read."""
        subjects = {subject for customer in customers for subject in customer.subjects}
        since = self._now - reach(self._policy.contact)
        for row in self._reader.contacts(subjects, since) if subjects else ():
            self._contacts.setdefault(row.subject, []).append(row)

    def _of(self, customer: Acquaintance, look: Look, asked: Sequence[_Question]) -> list[_Decided]:
        """What becomes of the questions about one customer."""
        lately = [one.row for one in self._contacting.taken_of(customer.ids) if one.row is not None]
        just_now = self._just_now.setdefault(customer.id, [])
        facts = facts_by(
            customer.wishes,
            self._policy,
            self._contacting.acquaintances.fatigue(look, customer),
            [row for subject in customer.subjects for row in self._contacts.get(subject, ())],
            [*lately, *just_now],
        )
        decisions = decide_all([one.asked.candidate for one in asked], facts, self._policy, self._now)
        decided = [
            self._made(one, customer.identifiers[one.asked.subject], decision)
            for one, decision in zip(asked, decisions, strict=True)
        ]
        for one in decided:
            if one.record is not None and one.record.row is not None:
                just_now.append(one.record.row)
        return decided

    def _made(self, one: _Question, identifier: Identifier, decision: Decision) -> _Decided:
        type = f"contact_{decision.kind}"
        data = told_of(one.asked, one.id, decision, self._said_now, one.digest)
        subject, candidate = one.asked.subject, one.asked.candidate
        touchpoint = made(type, f"contact:{one.id}", identifier, self._now, data, candidate.channel, one.key)
        row = None
        if decision.kind == "reserved":
            row = ContactRow(
                subject, self._now, one.key, decision.kind, one.id, candidate.channel, candidate.purpose,
                candidate.tags, candidate.campaign, decision.counts, decision.until,
            )  # fmt: skip
        return _Decided(answer_of(type, one.id, data), _ToRecord(subject, touchpoint, row))


def _decided_before(one: _Question, known: _Known) -> _Decided | TouchbookError:
    """What was decided under this id."""
    if known.data.get("asked") != one.digest:
        return REUSED
    answer = answer_of(known.type, one.id, known.data)
    return _Decided(answer, known.again, None if known.again else known.landing, known.again is not None)


def _decided_above(
    one: _Question, above: _Question, decided: _Decided | TouchbookError
) -> _Decided | TouchbookError:
    """The same id as that of a question above it in this call."""
    if above.digest != one.digest:
        return REUSED
    return _Decided(decided.answer) if isinstance(decided, _Decided) else decided


def reservation_of(asked: Asked) -> str:
    """The id of a decision: whom it is about, and of the caller's id nothing that can be read."""
    if asked.id is None:
        return f"{asked.subject}{secrets.token_hex(OWN_DIGITS // 2)}"
    own = hashlib.sha256(f"{asked.source}\0{asked.id}".encode()).hexdigest()[:OWN_DIGITS]
    return f"{asked.subject}{own}"


def key_of_decision(id: str) -> str:
    """The key of its touchpoint."""
    return key_of(OURS, f"contact:{id}")


def digest_of(asked: Asked) -> str:
    """Tells a retry from another question under the same id."""
    return hashlib.sha256(spelled_whole(list(asked.candidate[1:]))).hexdigest()[:16]


def spelled_whole(payload: Any) -> bytes:
    """`canonical`, of what holds no fractions: in a tenth of the time."""
    try:
        return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # half a surrogate pair, a very large integer
        return canonical(payload)


def told_of(asked: Asked, id: str, decision: Decision, now: str, digest: str) -> dict[str, Any]:
    """The fields of the decision's touchpoint. `now` is RFC 3339, `digest` that of what was asked."""
    candidate = asked.candidate
    told: dict[str, Any] = {
        "reservation" if decision.kind == "reserved" else "decision": id,
        "for_channel": candidate.channel,
        "purpose": candidate.purpose,
        "tags": list(candidate.tags),
        "priority": candidate.priority,
        "counts": decision.counts,
        "policy": decision.policy,
        "source": asked.source,
        "reasons": [reason.to_json() for reason in decision.reasons],
        "asked": digest,
        "asked_at": now,
    }
    optional = {
        "campaign": candidate.campaign,
        "content": candidate.content,
        "language": candidate.language,
        "not_after": None if candidate.not_after is None else rfc3339(candidate.not_after),
    }
    told |= {name: value for name, value in optional.items() if value is not None}
    if decision.kind == "reserved":
        told |= {"holds_until": _said(decision.until, now), "due": list(decision.due)}
    elif decision.kind == "deferred":
        told["until"] = _said(decision.until, now)
    return told


def _said(until: int | None, now: str) -> str:
    return now if until is None else rfc3339(until)


def answer_of(type: str, id: str, data: Mapping[str, Any]) -> Answer:
    kind: Literal["reserved", "deferred", "suppressed"] = (
        "reserved" if type == RESERVED else "deferred" if type == DEFERRED else "suppressed"
    )
    return Answer(kind, id, data)


def made(
    type: str,
    id: str,
    subject: Identifier,
    at: int,
    data: dict[str, Any],
    channel: str,
    key: str | None = None,
) -> Touchpoint:
    """A touchpoint of our own, of the channel that was asked for, if it is one that anybody could publish under. `key`
    is that of its id, where it is known already."""
    payload = spelled_whole({"type": type, "id": id, "identifiers": [str(subject)], "time": at, "data": data})
    return Touchpoint(
        key=key_of(OURS, id) if key is None else key,
        id=id,
        source=OURS,
        type=type,
        version=1,
        channel=channel if is_channel(channel) else NO_CHANNEL,
        subject=subject,
        identifiers=(subject,),
        occurred_at=at,
        received_at=at,
        data=data,
        digest=hashlib.sha256(payload).hexdigest(),
        said_at=at,
    )


def row_of(subject: str, touchpoint: Touchpoint) -> ContactRow | None:
    """The contact as the projections will show it; None of what was put off or suppressed."""
    data = touchpoint.data
    if touchpoint.type not in (RESERVED, *SETTLED):
        return None
    reserved = touchpoint.type == RESERVED
    return ContactRow(
        subject=subject,
        occurred_at=touchpoint.occurred_at,
        key=touchpoint.key,
        kind=touchpoint.type.removeprefix("contact_"),
        reservation=data["reservation"],
        channel=data["for_channel"] if reserved else touchpoint.channel,
        purpose=data["purpose"] if reserved else None,
        tags=tuple(data["tags"]) if reserved else (),
        campaign=data.get("campaign") if reserved else None,
        counts=data["counts"] if reserved else None,
        until=milliseconds(data["holds_until"], "holds_until") if reserved else None,
    )


def found_in(journal: Journal, keys: Sequence[str]) -> dict[str, Touchpoint]:
    """Those with these keys, in a journal that finds by keys. What was erased is not found."""
    found = {}
    for record in journal.find(keys):
        with suppress(KeyDestroyed):
            found[record.key] = journal.open(record)
    return found


def unseen_of(journal: Journal, projections: ReadProjections) -> list[tuple[Touchpoint, int]]:
    """What a journal of one part holds of contacts beyond what readers see, with its positions, the oldest first."""
    with projections.reading() as reader:
        after = reader.position()
    found: list[tuple[Touchpoint, int]] = []
    while records := journal.read(after):
        for record in records:
            if record.type in (*DECISIONS, *SETTLED) and record.source == OURS:
                with suppress(KeyDestroyed):
                    found.append((journal.open(record), record.position))
        after = records[-1].position
    return found


def found_in_entries(reader: Reader, subject: str, key: str) -> Mapping[str, Any] | None:
    """See `Find`: on any backend."""
    filters = TimelineFilters(types=(*DECISIONS, *SETTLED))
    for entry in reader.entries([subject], filters, None):
        if entry.key == key:
            return {"type": entry.type, "data": entry.body["data"]}
    return None


def _when_all(waits: Sequence[Future[Any]], done: Future[Any], value: Callable[[], Any]) -> None:
    """Ends `done` once all of these have ended, with the first failure if there is one."""
    left = len(waits)
    if not left:
        done.set_result(value())
        return
    lock = threading.Lock()

    def ended(one: Future[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            error = next((error for wait in waits if (error := wait.exception()) is not None), None)
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(value())

    for one in waits:
        one.add_done_callback(ended)
