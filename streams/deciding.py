"""Deciding: what becomes of the questions of one look, by the rules and by what is known of those who are asked about.

Nothing is recorded here. What is decided is told with what has to be recorded before anybody hears it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from touchbook.contacting import Candidate, Decision, decide_all, reach
from touchbook.contacts import ContactRow
from touchbook.errors import CustomerUnknown, Refused, TouchbookError
from touchbook.policy import Policy
from touchbook.projections.acquaintances import Acquaintance, Acquaintances
from touchbook.projections.contact_facts import Look, facts_by
from touchbook.projections.stores.port import Reader
from touchbook.schemas.times import milliseconds, rfc3339
from touchbook.schemas.touchpoint import NO_CHANNEL, Identifier, Touchpoint
from touchbook.sealing import canonical
from touchbook.streams.admission import is_channel, key_of
from touchbook.streams.control import OURS
from touchbook.streams.journal import Appended

RESERVED, CONFIRMED, RELEASED, DEFERRED, SUPPRESSED = (
    f"contact_{word}" for word in ("reserved", "confirmed", "released", "deferred", "suppressed")
)
DECISIONS = (RESERVED, DEFERRED, SUPPRESSED)
SETTLED = (CONFIRMED, RELEASED)
SUBJECT_DIGITS, OWN_DIGITS = 32, 16


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


Answers = list[Answer | TouchbookError]

REUSED = Refused(409, "id_reused", "id: this id was used before with another question; ask under a new id")


class Recorded(NamedTuple):
    """A touchpoint of ours. `landing` where it is not durable yet; `again` where it may not have been kept."""

    type: str
    data: Mapping[str, Any]
    landing: Future[list[Appended]] | None = None
    again: ToRecord | None = None


def recorded_as(touchpoint: Touchpoint) -> Recorded:
    return Recorded(touchpoint.type, touchpoint.data)


class ToRecord(NamedTuple):
    """A touchpoint of ours, and the contact that it is; see `row_of`."""

    subject: str
    touchpoint: Touchpoint
    row: ContactRow | None


def to_record(subject: str, touchpoint: Touchpoint) -> ToRecord:
    return ToRecord(subject, touchpoint, row_of(subject, touchpoint))


@dataclass(slots=True)
class Decided:
    """An answer, and what is to be recorded before it is given. `again`: perhaps it was already."""

    answer: Answer
    record: ToRecord | None = None
    landing: Future[list[Appended]] | None = None
    again: bool = False


class Memory(Protocol):
    """What was decided lately, in this process."""

    def lately(self, ids: Iterable[str]) -> list[ContactRow]:
        """Contacts of a customer with these members that readers may not see yet."""

    def all_recorded(self, reader: Reader, asked: Iterable[tuple[str, str]]) -> Mapping[str, Recorded]:
        """By key those of these (subject, key) that were recorded."""


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


class Deciding:
    """One call's questions, against one look at the projections. All that is read is read once for all of them."""

    def __init__(
        self, memory: Memory, acquaintances: Acquaintances, reader: Reader, policy: Policy, now: int
    ) -> None:
        """`now` in milliseconds UTC, at which `policy` holds."""
        self._memory = memory
        self._acquaintances = acquaintances
        self._reader = reader
        self._policy = policy
        self._now = now
        self._said_now = rfc3339(now)
        self._recorded: Mapping[str, Recorded] = {}
        self._contacts: dict[str, list[ContactRow]] = {}
        self._just_now: dict[str, list[ContactRow]] = {}
        """What was decided in this look already, by customer."""

    def all(self, asked: Sequence[Asked]) -> list[Decided | TouchbookError]:
        who = self._acquaintances.behind(self._reader, {one.subject for one in asked})
        questions = [_Question.of(one) for one in asked]
        ids = [(one.asked.subject, one.key) for one in questions if one.asked.id is not None]
        self._recorded = self._memory.all_recorded(self._reader, ids)
        decided: dict[int, Decided | TouchbookError] = {}
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
        look = Look(self._reader, unread, self._acquaintances.tiring)
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

    def _of(self, customer: Acquaintance, look: Look, asked: Sequence[_Question]) -> list[Decided]:
        """What becomes of the questions about one customer."""
        just_now = self._just_now.setdefault(customer.id, [])
        facts = facts_by(
            customer.wishes,
            self._policy,
            self._acquaintances.fatigue(look, customer),
            [row for subject in customer.subjects for row in self._contacts.get(subject, ())],
            [*self._memory.lately(customer.ids), *just_now],
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

    def _made(self, one: _Question, identifier: Identifier, decision: Decision) -> Decided:
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
        return Decided(answer_of(type, one.id, data), ToRecord(subject, touchpoint, row))


def _decided_before(one: _Question, known: Recorded) -> Decided | TouchbookError:
    """What was decided under this id."""
    if known.data.get("asked") != one.digest:
        return REUSED
    answer = answer_of(known.type, one.id, known.data)
    return Decided(answer, known.again, None if known.again else known.landing, known.again is not None)


def _decided_above(
    one: _Question, above: _Question, decided: Decided | TouchbookError
) -> Decided | TouchbookError:
    """The same id as that of a question above it in this call."""
    if above.digest != one.digest:
        return REUSED
    return Decided(decided.answer) if isinstance(decided, Decided) else decided


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
