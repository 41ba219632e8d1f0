"""How much is let in: places for requests, bytes of bodies on their way, and what one access key may send.

All of it is decided before a body is parsed, from numbers that are at hand, so that saying no costs next to nothing.
It belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Set
from typing import Any, NamedTuple

from anyio import CapacityLimiter

from touchbook.errors import JournalUnavailable, Overloaded, Refused
from touchbook.settings import Settings
from touchbook.streams.control import AccessKey
from touchbook.wiring import Book

REQUEST = 512
"""The work of any request, in bytes of body: a small one costs about as much as so many more bytes in a large one."""
PACKED = 8
"""A compressed body is as much work as one so many times its size."""
LEAST_WORK = 64 * 2**10
MOST_WORK = 16 * 2**20
FIRST_WORK = 2**20
"""Work let in at a time: before anything was measured, and the bounds of what measuring may make of it."""

LOOK_SECONDS = 0.5
"""How often the deadlines of connections are looked at: so much later than said they may end."""
SLICE_SECONDS = 0.02
"""How long requests may be worked on without a look at the sockets."""
SMALL = 4 * 2**10
"""Bodies up to this many bytes are worked on at once: as many as there are places take but a slice or two."""
THREADS = 2
"""Threads that large requests are worked on in: they share one interpreter, so more would only make each other and
the event loop wait."""

PLACES, PLACES_WITH_BROKERS = 256, 512
"""For those who publish, where settings do not say. Brokers answer tenths of a second later, many as soon as few."""

STOPPING = Refused(503, "stopping", "the server is being stopped; send again with the same ids")
MOST_HEADS = 1_024
LONGEST_HEAD = 2 * 2**10
"""Of requests that found no room, how many heads are remembered, and of how many bytes."""
PLACE = "touchbook.place"
"""Where a request's scope says that whoever received it has taken a place for it."""


class Place:
    """One request's place in a room, from when it has arrived until it is answered."""

    __slots__ = ("_room", "ahead", "since", "timed", "work")

    def __init__(self, room: Room, work: int, ahead: int, since: float, timed: bool) -> None:
        self._room: Room | None = room
        self.work = work
        self.ahead = ahead
        self.since = since
        self.timed = timed

    def leave(self, _: object = None) -> None:
        """May be called again."""
        if self._room is not None:
            self._room.left(self)
            self._room = None


class Room:
    """Places for the requests of one kind that have arrived and are not answered yet.

    Two bounds hold: their number, and the work they bring. That second bound follows what is measured: requests are
    answered about in the order they came, so whoever waited a good part of `delay` behind so much work shows how much
    can be done in all of it, and no more than that is let in from then on. Where nobody waits half as long, it grows
    while it turns requests away.

    A wait behind little work shows nothing of the kind: a disk or a broker that stalls answers all who came meanwhile
    at once. Where it was longer than `delay` the bound is halved.
    """

    def __init__(
        self,
        places: int,
        delay: float,
        closed: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`closed` says that whatever is behind the room takes nothing at the moment; `clock` in seconds."""
        self.places = places
        self.taken = 0
        self.work = 0
        self.most = FIRST_WORK
        self._delay = delay
        self._closed = closed
        self._clock = clock
        self._changed = 0.0
        self._short = False

    def full(self) -> bool:
        """Whether one more would be turned away now."""
        full = self.taken >= self.places or self.work >= self.most
        self._short = self._short or full
        return full or self._closed()

    def take(self, size: int, *, timed: bool = True) -> Place:
        """A place for a request with so many bytes of body; one that finds room may overfill it. `timed` is false for
        one that waits on purpose. Raises `Overloaded`."""
        if self.full():
            raise Overloaded
        work = REQUEST + size
        self.taken += 1
        self.work += work
        return Place(self, work, self.work, self._clock(), timed)

    def left(self, place: Place) -> None:
        """Called by the place, once."""
        self.taken -= 1
        self.work -= place.work
        if not place.timed:
            return
        now = self._clock()
        waited = now - place.since
        if waited > self._delay / 2:
            behind = min(place.ahead, self.most)
            if place.since < self._changed:
                return  # it came under a bound that holds no longer
            if behind >= self.most / 2:
                self._change(int(behind * self._delay / waited), now)
            elif waited > self._delay:
                self._change(self.most // 2, now)
        elif self._short:
            self.most = min(MOST_WORK, self.most + place.work)
            self._short = False

    def _change(self, most: int, now: float) -> None:
        self.most = min(MOST_WORK, max(LEAST_WORK, most))
        self._changed, self._short = now, False


class Rates:
    """How fast each access key may send: a bucket of touchpoints that fills at its rate up to `burst`.

    A request passes while there is one touchpoint in the bucket, and then takes out as many as it brings; what it
    brings too much is owed, so that over time the rate holds whatever the size of batches.
    """

    def __init__(
        self,
        rate: float,
        rates: Mapping[str, float],
        burst: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rates` by source come before `rate`; 0 is no limit. `clock` in seconds."""
        self._rate = rate
        self._rates = rates
        self._burst = burst
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def pass_one(self, key: AccessKey) -> None:
        """Lets one request with this key through, as one touchpoint. Raises `Refused` (429)."""
        rate = self._rates.get(key.source, self._rate)
        if not rate:
            return
        now = self._clock()
        level, at = self._buckets.get(key.id, (self._burst, now))
        level = min(self._burst, level + (now - at) * rate)
        if level < 1:
            self._buckets[key.id] = level, now
            raise Refused(
                429,
                "rate_limited",
                f"expected at most {rate:g} touchpoints a second with this key, and {self._burst} at once; "
                "come back after the seconds in Retry-After",
                retry_after=math.ceil((1 - level) / rate),
            )
        self._buckets[key.id] = level - 1, now

    def spend(self, key: AccessKey, touchpoints: int) -> None:
        """A request that passed turned out to bring so many."""
        if key.id in self._buckets:
            level, at = self._buckets[key.id]
            self._buckets[key.id] = level - max(0, touchpoints - 1), at


UNLIMITED = Rates(0, {}, 1)


class Slices:
    """Between requests that are worked on, the event loop gets to look at its sockets: whoever is to be turned away
    must not wait until all who came before are done."""

    def __init__(self) -> None:
        self._until = 0.0
        self._called = False

    async def turn(self, size: int) -> None:
        """Waits for one's turn to work on so many bytes; those who came first have theirs first."""
        while size > SMALL and time.monotonic() > self._until:
            if not self._called:
                self._called = True
                asyncio.get_running_loop().call_soon(self._begin)
            await asyncio.sleep(0)

    def _begin(self) -> None:
        self._until = time.monotonic() + SLICE_SECONDS
        self._called = False


class WithoutRoom(NamedTuple):
    """A request that found no room: whose it was, and how many bytes with its body."""

    room: Room
    source: str
    size: int


def head_of(request: bytes) -> bytes:
    """Up to the empty line, and with it."""
    return request[: request.find(b"\r\n\r\n") + 4]


class Limits:
    """All limits of one application: three rooms, so that nobody shuts the others out: who publishes, who reads, and
    who waits until a read shows what was published, which costs little more than the place."""

    def __init__(self, book: Book) -> None:
        settings = book.settings
        self.settings: Settings = settings
        self.publishing = Room(places_of(settings), settings.max_delay, lambda: _closed(book))
        self.reading = Room(settings.max_reads, settings.max_delay)
        self.waiting = Room(settings.max_waits, settings.max_delay)
        self.rates = Rates(settings.key_rate, settings.key_rates, settings.key_burst)
        self.slices = Slices()
        self.threads = CapacityLimiter(THREADS)
        self.metrics = book.metrics
        self.find_key = book.control.find_key
        self.receiving = 0
        """Bytes of bodies that are held now, of all connections."""
        self.without_room: dict[bytes, WithoutRoom] = {}
        """By head."""
        self._watching = False
        self._connections: Set[Any] = frozenset()
        book.metrics.watch("in_flight", "Requests that have arrived and are not answered yet", self.in_flight)
        book.metrics.watch("connections", "Connections now", lambda: len(self._connections))
        book.metrics.watch("receiving_bytes", "Bytes of request bodies held now", lambda: self.receiving)

    def in_flight(self) -> int:
        return self.publishing.taken + self.reading.taken + self.waiting.taken

    def overfull(self) -> bool:
        """More bytes of bodies are held than may be."""
        return self.receiving > self.settings.max_receiving

    def remember(self, request: bytes, room: Room, source: str) -> None:
        """These bytes are one request, which found no room; its head says how many they are. Forgotten at the next look
        at the connections, so keys that are revoked, and secrets, do not stay."""
        head = head_of(request)
        # Before a request there may be empty lines, after which what looks like a head would be none.
        if len(self.without_room) < MOST_HEADS and len(head) <= LONGEST_HEAD and head[:1].isalpha():
            self.without_room[head] = WithoutRoom(room, source, len(request))

    def watch(self, loop: asyncio.AbstractEventLoop, connections: Set[Any]) -> None:
        """Sees to the deadlines of these connections for as long as there are any: tells each the time now and then, in
        the loop's seconds, by its `look`. May be called again."""
        self._connections = connections
        if not self._watching:
            self._watching = True
            loop.call_later(LOOK_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._connections):
            connection.look(now)
        self.without_room.clear()
        self._watching = False
        if self._connections:
            self.watch(loop, self._connections)


def places_of(settings: Settings) -> int:
    """How many may publish at a time."""
    if settings.max_in_flight is not None:
        return settings.max_in_flight
    return PLACES if settings.journal is None else PLACES_WITH_BROKERS


def _closed(book: Book) -> bool:
    try:
        return book.journal.room() <= 0
    except JournalUnavailable:
        return False  # which is told to each request by its own error
