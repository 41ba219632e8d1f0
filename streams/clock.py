"""The clock: notices what no channel publishes, and records it as touchpoints of our own.

Whom to look at the watch says; what is due then are pure rules over what readers see; and each touchpoint has an id
made from what it is about, so that a replay or a clock that was killed never makes it twice. What is late may be about
something else after it than before, so nothing is recorded that was looked at in another term: see `duty.Term`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from touchbook.errors import NoDecider, Rejected
from touchbook.ledger import MILLISECONDS_A_DAY, Day
from touchbook.policy import Policies, Usual
from touchbook.projections.customers import Customers
from touchbook.projections.stores.port import Reader
from touchbook.projections.watch import Watch
from touchbook.projections.watched import Due, TierChange
from touchbook.projections.who import Customer
from touchbook.schemas.times import day_text, rfc3339
from touchbook.schemas.touchpoint import Identifier, Touchpoint
from touchbook.streams.admission import Admission, Item, Publisher, key_of
from touchbook.streams.control import OURS
from touchbook.streams.duty import Term, Terms
from touchbook.streams.follow import LONGEST_PAUSE
from touchbook.streams.metrics import Metrics
from touchbook.timeline import TimelineFilters
from touchbook.turns import turns_of
from touchbook.verdicts import Verdict, due_verdicts

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
AT_ONCE = 200
"""Customers looked at, or changed tiers recorded, together."""
APPEND_SECONDS = 60.0
TIER_CHANGED = "score_tier_changed"

_Told = tuple[Due, int | None, Sequence[Touchpoint]]


class Clock:
    """Records verdicts about time, and changed tiers. Methods may be called from any thread.

    In each term nothing is judged before readers see all that was recorded until it began: `horizon` says up to when
    they do.
    """

    def __init__(
        self,
        admission: Admission,
        customers: Customers,
        watch: Watch,
        policies: Policies,
        terms: Terms,
        metrics: Metrics,
        now: Callable[[], int],
        horizon: Callable[[], int],
    ) -> None:
        self._admission = admission
        self._customers = customers
        self._watch = watch
        self._policies = policies
        self._terms = terms
        self._metrics = metrics
        self._now = now
        self._horizon = horizon
        self._term: Term | None = None
        """The one in which it looked last."""
        self._since = 0
        """When it was first seen that this one goes on."""
        self._unseen: dict[str, int] = {}
        """Identifier → the position of what was recorded under it, until readers see it."""
        self._told_until: Day | None = None
        self._looking = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to look again and again, while it has the duty."""
        self._metrics.watch(
            "clock_lag_seconds", "For how long the oldest verdict that is due waits", self.lag
        )
        self._metrics.watch(
            "clock_on_duty",
            "1 where this process records what is due",
            lambda: self._terms.term() is not None,
        )
        self._terms.start()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """May be called again."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._terms.close()

    def lag(self) -> float:
        """For how many seconds the oldest verdict that is due here waits to be recorded; 0 where none is, and where
        another process has the duty."""
        now = self._now()
        due = self._watch.due(now, 1) if self._terms.term() is not None else []
        return max(now - due[0].at, 0) / 1000 if due else 0.0

    def look(self) -> int:
        """Records what is due and is not recorded yet, and says how many touchpoints that were. Raises what the journal
        and the projections raise; looking again makes good for it."""
        with self._looking:
            return self._look()

    def _look(self) -> int:
        term = self._terms.term()
        if term is None:
            self._term = None
            return 0
        if term is not self._term:
            self._begin(term)
        horizon = self._horizon()
        if horizon < self._since:  # what another recorded before may not be seen yet
            return 0
        try:
            return self._judge(horizon) + sum(self._tell_tiers(day) for day in self._watch.tier_days())
        except NoDecider:  # another does by now
            return 0

    def _begin(self, term: Term) -> None:
        self._since, self._told_until = self._now(), None
        named = self._customers.id_named
        self._unseen = {named(*one.subject): position for one, position in term.taken_over()}
        self._term = term

    def _run(self) -> None:
        pause = LOOK_SECONDS
        while not self._closing.wait(pause):
            try:
                self.look()
                pause = LOOK_SECONDS
            except Exception as error:  # nothing is lost: it stays due
                pause = min(2 * pause, LONGEST_PAUSE)
                log.warning("the clock pauses for %.1f s: %s", pause, type(error).__name__)

    # Verdicts

    def _judge(self, horizon: int) -> int:
        recorded = 0
        while True:
            due = self._watch.due(horizon, AT_ONCE)
            told = self._look_at(due, horizon) if due else []
            recorded += self._append([one for _, _, touchpoints in told for one in touchpoints])
            for one, until, _ in told:
                self._watch.put_off(one, until)
            if len(due) < AT_ONCE or not told:
                return recorded

    def _look_at(self, due: Sequence[Due], horizon: int) -> list[_Told]:
        """What is to be recorded of each, and when to look at him next. Those are left out of whom not all that was
        recorded here before is seen: what is judged already would be judged again."""
        assert self._term is not None
        self._unseen = {id: at for id, at in self._unseen.items() if not self._term.shows(at)}
        stays = self._watch.stays()
        told: list[_Told] = []
        with self._customers.reading() as reader:
            who = self._customers.behind(reader, {one.customer for one in due})
            for one in due:
                customer = who.get(one.customer)
                if customer is None:
                    told.append((one, None, ()))
                elif self._unseen.keys().isdisjoint(customer.ids):
                    verdicts, until = self._verdicts(reader, customer, stays, horizon)
                    told.append((one, until, list(self._touchpoints(customer, verdicts))))
        return told

    def _verdicts(
        self, reader: Reader, customer: Customer, stays: Mapping[str, Usual], horizon: int
    ) -> tuple[list[Verdict], int | None]:
        messages, settings = reader.messages(customer.subjects), reader.registers(customer.ids)
        return due_verdicts(
            customer.id, turns_of(messages), messages, settings, stays, self._policies, horizon
        )

    def _touchpoints(self, customer: Customer, verdicts: Iterable[Verdict]) -> Iterator[Touchpoint]:
        named = {member.id: member.identifier for member in customer.members}
        for verdict in verdicts:
            data = verdict.data if verdict.thread is None else {**verdict.data, "thread": verdict.thread}
            made = self._made(
                verdict.type, verdict.id, verdict.occurred_at, named[verdict.subject], data, verdict.channel
            )
            if made is not None:
                yield made

    # Tiers

    def _tell_tiers(self, day: Day) -> int:
        """Of a day that everybody was looked at after. Pages that readers see already were recorded before."""
        if self._told_until is not None and day <= self._told_until:
            return 0
        recorded, after = 0, ("", "")
        while changes := self._watch.tier_changes(day, after, AT_ONCE):
            recorded += self._append(self._changed(changes))
            after = changes[-1].customer, changes[-1].score
        self._told_until = day
        return recorded

    def _changed(self, changes: Sequence[TierChange]) -> list[Touchpoint]:
        with self._customers.reading() as reader:
            named = {one.id: one.identifier for one in reader.known({one.customer for one in changes})}
            if changes[-1].customer in named and self._is_recorded(reader, changes[-1]):
                return []
        made = [self._tier_changed(one, named[one.customer]) for one in changes if one.customer in named]
        return [one for one in made if one is not None]

    @staticmethod
    def _is_recorded(reader: Reader, change: TierChange) -> bool:
        at = (change.day + 1) * MILLISECONDS_A_DAY
        key = key_of(OURS, _tier_id(change))
        filters = TimelineFilters(from_at=at, to_at=at + 1)
        return any(entry.key == key for entry in reader.entries([change.customer], filters, None))

    def _tier_changed(self, change: TierChange, identifier: Identifier) -> Touchpoint | None:
        data = {
            "score": change.score,
            "before": change.before.tier,
            "after": change.after.tier,
            "value_before": change.before.value,
            "value_after": change.after.value,
            "day": day_text(change.day),
            "scorecard_version": change.scorecard_version,
        }
        at = (change.day + 1) * MILLISECONDS_A_DAY
        return self._made(TIER_CHANGED, _tier_id(change), at, identifier, data)

    # Recording

    def _made(
        self,
        type: str,
        id: str,
        at: int,
        identifier: Identifier,
        data: Mapping[str, Any],
        channel: str | None = None,
    ) -> Touchpoint | None:
        event = {
            "specversion": "1.0",
            "id": id,
            "source": OURS,
            "type": type,
            "time": rfc3339(at),
            "data": {**data, "identifiers": {identifier.type: identifier.value}},
        }
        try:
            return self._admission.touchpoint_of(
                Item("cloudevents", event, {}), Publisher(OURS, channel), self._now()
            )
        except Rejected as error:  # our bug; it must not keep everybody else from being judged
            log.error("a %s could not be recorded: %s", type, error)
            return None

    def _append(self, touchpoints: Sequence[Touchpoint]) -> int:
        """How many of them were not recorded before. Raises NoDecider."""
        term, recorded = self._term, 0
        if term is None or term is not self._terms.term() or self._closing.is_set():
            raise NoDecider("another process records what is due, or this one closes")
        if not touchpoints:
            return 0
        try:
            appended = term.append(touchpoints).result(APPEND_SECONDS)
        except Exception:
            self._terms.end(term)
            raise
        for touchpoint, (outcome, position) in zip(touchpoints, appended, strict=True):
            self._unseen[self._customers.id_named(*touchpoint.subject)] = position
            if outcome == "accepted":
                recorded += 1
                self._metrics.verdict(touchpoint.type)
        return recorded


def _tier_id(change: TierChange) -> str:
    return f"tier:{change.customer}:{change.score}:{day_text(change.day)}"
