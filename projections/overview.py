"""What is to be seen of all customers together: the desk's first page.

What is read of the store when it is asked for is remembered for some seconds: many who look cost as much as one.
What needs a look at everybody, such as how customers are spread over tiers, the watch knows.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, TypeVar

from touchbook.errors import StoreUnavailable
from touchbook.ledger import MILLISECONDS_A_DAY, day_of
from touchbook.projections.context import name_of, topic_in
from touchbook.projections.customers import Customers
from touchbook.projections.stores.port import Reader, ReadProjections
from touchbook.projections.watch import Watch
from touchbook.projections.watched import Response, TierChange, Tiers, WatchedTurn
from touchbook.projections.who import Customer
from touchbook.recent import Recent
from touchbook.registers import OF_TIME, OpenRequest, open_requests, values_of
from touchbook.timeline import TimelineFilters

HOUR = 60
"""Minutes that a rate tells one by one."""
WEEK = 7 * MILLISECONDS_A_DAY
FRESH_SECONDS, FRESH_CAUSES_SECONDS, FRESH_RESPONSE_SECONDS = 2.0, 30.0, 60.0
"""How long is remembered what was asked for."""
LATELY = 10
"""Minutes whose numbers are asked for each time; those before are asked for again once a minute, as what is recorded
may be folded late."""
CANDIDATES, MOST_CANDIDATES = 200, 20_000
"""Threads that may wait for an answer: read at once, and looked at in all."""
ABOUT = 140
"""Letters that are shown of what a customer wrote."""

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request nobody answered: `customer` is a permanent id, `since` the first message that waits, `touchpoint` its
    key, `about` what it or its thread is about, in the customer's words."""

    customer: str
    name: str | None
    thread: str
    channel: str
    since: int
    about: str | None
    touchpoint: str
    trust: int | None
    tier: str | None
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """Touchpoints of one channel: of each of the last 60 minutes, the one under way last; in the last whole minute; and
    since midnight."""

    channel: str
    last_hour: tuple[int, ...]
    minute: int
    today: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Complaints with one reason (None: none was said) in the last seven days, and in the seven before."""

    cause: str | None
    n: int
    before: int


@dataclass(frozen=True, slots=True)
class Soon:
    """A request that is to be answered by `turn.late_at`, and who asked."""

    name: str | None
    turn: WatchedTurn


@dataclass(frozen=True, slots=True)
class Became:
    """A customer who came into a tier in the last seven days; `change` is the last time he did."""

    name: str | None
    change: TierChange


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Messages not sent, or put off, for one reason in the last seven days, and both in the seven before."""

    reason: str
    suppressed: int
    deferred: int
    before: int


class Overview:
    """What is told of all customers. Methods may be called from any thread; whoever asks first reads for all who ask
    soon after."""

    def __init__(
        self, projections: ReadProjections, customers: Customers, watch: Watch, clock: Callable[[], int]
    ) -> None:
        """`clock` gives milliseconds UTC."""
        self._projections = projections
        self._customers = customers
        self._watch = watch
        self._clock = clock
        self._remembered = _Remembered()
        self._requests: Recent[str, tuple[OpenRequest, ...]] = Recent(MOST_CANDIDATES)
        customers.forgets(self.forget)

    def forget(self) -> None:
        """Lets go of everything remembered of anybody, see `Customers.forget`."""
        self._remembered.clear()
        self._requests.clear()

    def tiers(self) -> Tiers | None:
        """How customers are spread over the tiers of each score, None until everybody was looked at once."""
        return self._watch.tiers()

    @property
    def counted(self) -> int:
        """How many customers were looked at until now."""
        return self._watch.counted

    def waiting(self, limit: int) -> list[Waiting]:
        """The requests that wait longest for an answer."""
        with self._projections.reading() as reader:
            version = reader.version()  # another after an erasure: nobody is named from memory then
        return self._remembered.told("waiting", (limit, version), FRESH_SECONDS, lambda: self._waiting(limit))

    def rates(self, now: int, midnight: int | None = None) -> list[Rate]:
        """Of each channel with touchpoints since midnight (by default that of UTC), the busiest first."""
        since = (now - now % MILLISECONDS_A_DAY if midnight is None else midnight) // 60_000
        minute = now // 60_000
        first = min(since, minute - HOUR + 1)
        long = self._remembered.told("minutes", since, 60.0, lambda: self._minutes(first))
        lately = self._remembered.told(
            "lately", minute, FRESH_SECONDS, lambda: self._minutes(minute - LATELY)
        )
        counted = {at: n for at, n in long.items() if at[0] < minute - LATELY} | lately
        today = Counter[str]()
        for (at, channel), number in counted.items():
            if at >= since:
                today[channel] += number
        rates = [
            Rate(
                channel,
                tuple(counted.get((at, channel), 0) for at in range(minute - HOUR + 1, minute + 1)),
                counted.get((minute - 1, channel), 0),
                today[channel],
            )
            for channel in {channel for _, channel in counted}
        ]
        return sorted(rates, key=lambda rate: (-sum(rate.last_hour), -rate.today, rate.channel))

    def causes(self, now: int) -> list[Cause]:
        """The most frequent first, those of last week alone at the end."""
        return self._remembered.told("causes", None, FRESH_CAUSES_SECONDS, lambda: self._causes(now))

    def soon_late(self, now: int, limit: int) -> list[Soon]:
        """The requests whose time runs out next, of those that are not late yet."""

        def read() -> list[Soon]:
            turns = self._watch.about_to_be_late(now, limit)
            names = self.names(turn.customer for turn in turns)
            return [Soon(names.get(turn.customer), turn) for turn in turns]

        return self._told_of_all("soon late", limit, FRESH_SECONDS, read)

    def became(self, score: str, tier: str, now: int, limit: int) -> list[Became]:
        """Who came into this tier in the last seven days, the latest first, each once; nobody where there is no such
        tier."""
        card = self._customers.scorecards.get(score)
        if card is None or tier not in (name for name, _ in card.tiers):
            return []

        def read() -> list[Became]:
            changes: dict[str, TierChange] = {}
            for one in self._watch.became(score, tier, day_of(now - WEEK), limit):
                changes.setdefault(one.customer, one)
            names = self.names(changes)
            return [Became(names.get(customer), change) for customer, change in changes.items()]

        return self._told_of_all("became", (score, tier, limit), FRESH_SECONDS, read)

    def held_back(self, now: int) -> list[HeldBack]:
        """Why messages were not sent or put off; the most frequent reasons first, those of last week alone at the
        end."""
        return self._remembered.told("held back", None, FRESH_CAUSES_SECONDS, lambda: self._held_back(now))

    def response(self, now: int) -> list[Response]:
        """How soon requests of the last seven days were answered, by channel."""
        return self._told_of_all(
            "response", None, FRESH_RESPONSE_SECONDS, lambda: self._watch.response(now - WEEK, now + 1)
        )

    def _told_of_all(
        self, name: str, of: Hashable, seconds: float, read: Callable[[], list[Told]]
    ) -> list[Told]:
        """What the watch tells, nothing until it has seen everybody; anew after an erasure."""
        if self._watch.as_of is None:
            return []
        return self._remembered.told(name, (of, self._watch.forgot), seconds, read)

    def names(self, ids: Iterable[str]) -> dict[str, str | None]:
        """Who these permanent ids are called."""
        asked = set(ids)
        if not asked:
            return {}
        with self._projections.reading() as reader:
            who = self._customers.behind(reader, asked)
            return {
                id: name_of(values_of(reader.registers(customer.ids, OF_TIME), "trait"))
                for id, customer in who.items()
            }

    def _held_back(self, now: int) -> list[HeldBack]:
        counted: dict[str, Counter[str]] = defaultdict(Counter)
        with self._projections.reading() as reader:
            for type, reason, n in reader.held_back(now - WEEK, now):
                counted[reason][type] += n
            for _, reason, n in reader.held_back(now - 2 * WEEK, now - WEEK):
                counted[reason]["before"] += n
        found = [
            HeldBack(reason, those["contact_suppressed"], those["contact_deferred"], those["before"])
            for reason, those in counted.items()
        ]
        return sorted(found, key=lambda one: (-one.suppressed - one.deferred, -one.before, one.reason))

    def _minutes(self, since: int) -> dict[tuple[int, str], int]:
        with self._projections.reading() as reader:
            return {(minute, channel): number for minute, channel, number in reader.minutes(since)}

    def _causes(self, now: int) -> list[Cause]:
        with self._projections.reading() as reader:
            lately, before = reader.causes(now - WEEK, now), dict(reader.causes(now - 2 * WEEK, now - WEEK))
        causes = [Cause(cause, number, before.pop(cause, 0)) for cause, number in lately]
        return [*causes, *(Cause(cause, 0, number) for cause, number in before.items())]

    def _waiting(self, limit: int) -> list[Waiting]:
        with self._projections.reading() as reader:
            return [self._told(reader, *one) for one in self._oldest(reader, limit)]

    def _oldest(self, reader: Reader, limit: int) -> list[tuple[Customer, OpenRequest]]:
        """A thread of one subject waits no shorter than the customer's request in it, so once enough requests are older
        than the next thread there is nothing more to find."""
        found: dict[tuple[str, str], tuple[Customer, OpenRequest]] = {}
        after = (-(2**62), "")
        for _ in range(0, MOST_CANDIDATES, CANDIDATES):
            run = reader.unanswered(after, CANDIDATES)
            who = self._customers.behind(reader, {message.subject for message in run})
            for subject in dict.fromkeys(message.subject for message in run):
                if (customer := who.get(subject)) is None:
                    continue  # a replica may be told of a message before it is told whose it is
                threads = {message.thread for message in run if message.subject == subject}
                for request in self._open(reader, customer):
                    if request.thread in threads:
                        found[customer.id, request.thread] = customer, request
            if len(run) < CANDIDATES:
                break
            after = run[-1].occurred_at, run[-1].key
            if sum(request.since <= after[0] for _, request in found.values()) >= limit:
                break
        return sorted(found.values(), key=lambda one: (one[1].since, one[1].thread))[:limit]

    def _open(self, reader: Reader, customer: Customer) -> tuple[OpenRequest, ...]:
        known = self._requests.get(customer.version)
        if known is None:
            known = tuple(open_requests(reader.latest_messages(customer.subjects)))
            self._requests.put(customer.version, known)
        return known

    def _told(self, reader: Reader, customer: Customer, request: OpenRequest) -> Waiting:
        scores = self._customers.standing(customer, day_of(self._clock())).told()["scores"]
        trust = scores.get("trust", {})
        return Waiting(
            customer=customer.id,
            name=name_of(values_of(reader.registers(customer.ids, OF_TIME), "trait")),
            thread=request.thread,
            channel=request.channel,
            since=request.since,
            about=_about(reader, customer, request),
            touchpoint=request.touchpoint,
            trust=trust.get("value"),
            tier=trust.get("tier"),
            purpose=request.purpose,
        )


def _about(reader: Reader, customer: Customer, request: OpenRequest) -> str | None:
    """What the first message that waits says of itself, else how it begins."""
    filters = TimelineFilters(thread=request.thread, from_at=request.since, to_at=request.since + 1)
    try:
        entries = [*reader.entries(customer.subjects, filters, None)]
    except StoreUnavailable:  # that he waits is known here, what he wrote elsewhere
        return None
    body = next((entry.body for entry in entries if entry.key == request.touchpoint), {})
    said = topic_in(body) or body.get("data", {}).get("text")
    return shorten(said, ABOUT, placeholder="…") or None if isinstance(said, str) else None


class _Remembered:
    """What was told, for some seconds; of several who ask for the same at once one reads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._told: dict[str, tuple[Hashable, float, Any]] = {}
        self._reading: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def told(self, name: str, of: Hashable, seconds: float, read: Callable[[], Told]) -> Told:
        with self._guard:
            reading = self._reading[name]
        with reading:
            known = self._told.get(name)
            if known is None or known[0] != of or known[1] < time.monotonic():
                found = read()
                known = self._told[name] = (of, time.monotonic() + seconds, found)
            told: Told = known[2]
            return told

    def clear(self) -> None:
        self._told.clear()
