"""What is to be seen of all customers together: the desk's first page.

What is read of the store when it is asked for is remembered for some seconds: many who look cost as much as one.
How customers are spread over the tiers of each score takes a look at everybody: a thread walks over them, with no more
than its share of a core, and again and again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any, TypeVar

from touchbook.errors import StoreUnavailable
from touchbook.ledger import MILLISECONDS_A_DAY, Day, day_of
from touchbook.projections.backtest import customers_in
from touchbook.projections.context import name_of, topic_in
from touchbook.projections.customers import Customer, Customers
from touchbook.projections.stores.port import Reader, ReadProjections
from touchbook.recent import Recent
from touchbook.registers import OpenRequest, open_requests, values_of
from touchbook.scorecard import ScorecardSet
from touchbook.scoring import score_stored
from touchbook.timeline import TimelineFilters

log = logging.getLogger(__name__)

HOUR = 60
"""Minutes that a rate tells one by one."""
WEEK = 7 * MILLISECONDS_A_DAY
FRESH_SECONDS, FRESH_CAUSES_SECONDS = 2.0, 30.0
"""How long is remembered what was asked for."""
LATELY = 10
"""Minutes whose numbers are asked for each time; those before are asked for again once a minute, as what is recorded
may be folded late."""
CANDIDATES, MOST_CANDIDATES = 200, 20_000
"""Threads that may wait for an answer: read at once, and looked at in all."""
PAGE = 16
"""Groups of identifiers in one step of a walk: some milliseconds of a core."""
WALK_AGAIN_SECONDS = (5.0, 60.0)
"""From the end of a walk over all customers to the beginning of the next: as long as it took, within these."""

ABOUT = 140
"""Letters that are shown of what a customer wrote."""

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Tiers:
    """Customers in each tier of each score, None for those of whom too little is known; `as_of` is when the walk over
    them ended, milliseconds UTC."""

    customers: int
    as_of: int
    scores: Mapping[str, Mapping[str | None, int]]


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


class Overview:
    """What is told of all customers. Methods may be called from any thread; whoever asks first reads for all who ask
    soon after."""

    def __init__(
        self,
        projections: ReadProjections,
        customers: Customers,
        scorecards: ScorecardSet,
        clock: Callable[[], int],
        share: float = 0.1,
    ) -> None:
        """`clock` gives milliseconds UTC; a walk takes at most this `share` of a core."""
        self._projections = projections
        self._customers = customers
        self._clock = clock
        self._walker = _Walker(projections, scorecards, clock, share)
        self._remembered = _Remembered()
        self._requests: Recent[str, tuple[OpenRequest, ...]] = Recent(MOST_CANDIDATES)
        customers.forgets(self.forget)

    def start(self) -> None:
        """Begins to walk."""
        self._walker.start()

    def close(self) -> None:
        self._walker.close()

    def look(self) -> None:
        """Walks over all customers now, in this thread, unless all is as the last walk found it."""
        self._walker.look()

    def forget(self) -> None:
        """Lets go of everything remembered of anybody, see `Customers.forget`."""
        self._remembered.clear()
        self._requests.clear()

    def tiers(self) -> Tiers | None:
        """As the last whole walk found them, None until the first has ended."""
        return self._walker.found

    @property
    def counted(self) -> int:
        """How many customers the walk under way, or the last one, has seen."""
        return self._walker.counted

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
            name=name_of(values_of(reader.registers(customer.ids), "trait")),
            thread=request.thread,
            channel=request.channel,
            since=request.since,
            about=_about(reader, customer, request),
            touchpoint=request.touchpoint,
            trust=trust.get("value"),
            tier=trust.get("tier"),
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


class _Walker:
    """A thread that walks over all customers, again once anything has changed or a day has ended."""

    def __init__(
        self, projections: ReadProjections, scorecards: ScorecardSet, clock: Callable[[], int], share: float
    ) -> None:
        self._projections, self._scorecards = projections, scorecards
        self._clock = clock
        self._pause = 1 / share - 1
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._walked: tuple[str, int, Day] | None = None
        self.found: Tiers | None = None
        self.counted = 0

    def start(self) -> None:
        """After `close` it begins anew; what was found stays."""
        self._closing.clear()
        self._thread = threading.Thread(target=self._run, name="overview", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        least, most = WALK_AGAIN_SECONDS
        while not self._closing.wait(pause):
            began = time.monotonic()
            try:
                self.look()
            except Exception as error:  # what was found before goes on being shown, with its age
                log.warning("the walk over all customers failed: %s", type(error).__name__)
            pause = min(max(least, time.monotonic() - began), most)

    def look(self) -> None:
        """Walks, unless all is as the last walk found it."""
        at = self._clock()
        with self._projections.reading() as reader:
            now = reader.version(), reader.position(), day_of(at)
        if now != self._walked or self.found is None:
            self.found = self._walk(day_of(at)) or self.found
            self._walked = now
        else:
            self.found = replace(self.found, as_of=at)

    def _walk(self, on: Day) -> Tiers | None:
        cards = self._scorecards
        counts = {name: Counter[str | None]() for name in cards}
        customers, group = 0, ""
        while not self._closing.is_set():
            began = time.thread_time()
            with self._projections.reading() as reader:
                members = reader.groups_after(group, PAGE)
                for _, subjects in customers_in(reader, members):
                    if subjects:
                        customers += 1
                        ledgers = [rows for _, rows in reader.ledger_rows(subjects)]
                        for name, score in score_stored(ledgers, cards, on).items():
                            counts[name][score.tier] += 1
            self.counted = customers
            if not members:
                tiers = {
                    name: {tier: counts[name][tier] for tier in (*(tier for tier, _ in card.tiers), None)}
                    for name, card in cards.items()
                }
                return Tiers(customers, self._clock(), tiers)
            group = members[-1].group
            self._closing.wait((time.thread_time() - began) * self._pause)
        return None
