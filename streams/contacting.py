"""Whom to contact, decided in one process: check and reserve are one step.

Every decision is a touchpoint with its receipt. What was decided here and is not seen by readers yet is kept in memory
and counts with the rest; what is reserved counts from the moment of the decision on, not from when it is durable. An
answer is given once it is.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

from touchbook.contacts import ContactRow
from touchbook.errors import KeyDestroyed, Refused, TouchbookError
from touchbook.policy import Policies
from touchbook.projections.acquaintances import Acquaintances
from touchbook.projections.contact_facts import Tiring
from touchbook.projections.customers import Customers
from touchbook.projections.stores.port import Reader, ReadProjections
from touchbook.projections.who import Customer
from touchbook.recent import Recent
from touchbook.schemas.times import milliseconds
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.streams.control import OURS
from touchbook.streams.deciding import (
    CONFIRMED,
    DECISIONS,
    RELEASED,
    RESERVED,
    REUSED,
    SETTLED,
    SUBJECT_DIGITS,
    Answers,
    Asked,
    Decided,
    Deciding,
    Recorded,
    ToRecord,
    key_of_decision,
    made,
    recorded_as,
    to_record,
)
from touchbook.streams.journal import Appended, Journal, pending
from touchbook.timeline import TimelineFilters

REMEMBERED = 20_000
"""Decisions, made last, that are found again without asking anybody."""
KEPT_MS = 15 * 60_000


class Records(Protocol):
    """Where decisions are recorded for good; see `Journal.append`. The positions mean something to `visible` alone."""

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]: ...


class Settled(NamedTuple):
    """What became of a reservation."""

    reservation: str
    state: Literal["confirmed", "released"]


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
        self.acquaintances = Acquaintances(customers, Tiring(customers.scorecards))
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
                self._take(to_record(subject, touchpoint)).position = position

    def reserve(self, asked: Sequence[Asked]) -> Future[Answers]:
        with self._lock:
            now = self._now()
            self._let_go(now)
            with self._customers.reading() as reader:
                decided = Deciding(self, self.acquaintances, reader, self._policies.at(now), now).all(asked)
            return self._record(decided)

    def confirm(self, reservation: str, source: str | None, message_id: str | None) -> Future[Settled]:
        said = {} if message_id is None else {"message_id": message_id}
        return self._settle(reservation, source, CONFIRMED, said)

    def release(self, reservation: str, source: str | None, reason: str | None) -> Future[Settled]:
        said = {} if reason is None else {"reason": reason}
        return self._settle(reservation, source, RELEASED, said)

    # Recording

    def _record(self, decided: Sequence[Decided | TouchbookError]) -> Future[Answers]:
        """Appends what is new, and what may not have been kept when it was first tried."""
        done: Future[Answers] = pending()
        answers: Answers = [one.answer if isinstance(one, Decided) else one for one in decided]
        waits = [one.landing for one in decided if isinstance(one, Decided) and one.landing is not None]
        new = [
            (place, one.record, one.again)
            for place, one in enumerate(decided)
            if isinstance(one, Decided) and one.record is not None
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

    def _append(self, new: Sequence[ToRecord]) -> Future[list[Appended]]:
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

    def _take(self, new: ToRecord) -> _Taken:
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

    def lately(self, ids: Iterable[str]) -> list[ContactRow]:
        """See `Memory`."""
        return [one.row for one in self.taken_of(ids) if one.row is not None]

    def recorded(self, reader: Reader, subject: str, key: str) -> Recorded | None:
        """A touchpoint of ours by its key."""
        taken = self._by_subject.get(subject, {}).get(key)
        if taken is not None:
            again = ToRecord(subject, taken.touchpoint, taken.row) if taken.failed else None
            return Recorded(taken.touchpoint.type, taken.touchpoint.data, taken.landing, again)
        if (touchpoint := self._remembered.get(key)) is not None:
            return recorded_as(touchpoint)
        if self._find_all is not None:
            return None if (touchpoint := self._find_all([key]).get(key)) is None else recorded_as(touchpoint)
        found = self._find(reader, subject, key)
        return None if found is None else Recorded(found["type"], found["data"])

    def all_recorded(self, reader: Reader, asked: Iterable[tuple[str, str]]) -> dict[str, Recorded]:
        """See `Memory`."""
        found: dict[str, Recorded] = {}
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
            found.update((key, recorded_as(one)) for key, one in self._find_all(unknown).items())
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
                waits = [self._append([to_record(subject, touchpoint)])]
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
    kept = [(waits, value)]

    def ended(one: Future[Any]) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        ((waits, value),) = kept
        kept.clear()  # a future keeps whom it called back: knowing it still would be a cycle
        error = next((error for wait in waits if (error := wait.exception()) is not None), None)
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value())

    for one in waits:
        one.add_done_callback(ended)
