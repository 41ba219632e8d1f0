"""What turns a worker's fold into work that goes on: two threads, one of which folds a gather of packs while the other
saves the one before it, and who watches that they do.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from touchbook.errors import TouchbookError
from touchbook.streams.worker_folding import Folding, Gather, Pack, TooManyUnreadable
from touchbook.streams.worker_metrics import WorkerMetrics

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LOOK_SECONDS = 10.0
"""How often somebody with nothing to do looks whether a stale owner has written into his parts."""


class Pace(NamedTuple):
    """How much is gathered for one write."""

    records: int = 10_000
    """As many as are waiting, up to this and one pack: what a write costs is shared by all of them."""
    seconds: float = 0.2
    """From one write's beginning to the next at least, unless so many records are waiting: stores like few large writes
    better than many small ones. Who comes after a pause does not wait."""


class Gathering:
    """Two threads around a `Folding`: one folds what waits while the other saves what was folded.

    A store that fails is retried for as long as it takes. `failing_because` says why it fails now, `stopped_because`
    why nothing goes on. After `drop` nothing more of what was taken before is saved, but what is being saved just now;
    all of it is expected again from whoever owns the parts.
    """

    def __init__(
        self, folding: Folding, pace: Pace, metrics: WorkerMetrics, look: Callable[[], None]
    ) -> None:
        self._folding = folding
        self._pace = pace
        self._metrics = metrics
        self._look = look
        self._changed = threading.Condition()
        self._waiting: deque[Pack] = deque()
        self._records = 0
        self._folded: tuple[int, Gather] | None = None
        self._saving = False
        self._epoch = 0
        self._parts: set[int] = set()
        self._stopping = False
        self.failing_because: str | None = None
        self.stopped_because: str | None = None
        self.alive_at = time.monotonic()
        """When it last saved something, or was told why it cannot."""
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
            for name, work in (("folding", self._fold_on), ("saving", self._save_on))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> bool:
        """Ends both threads, once what they are at is done; says whether they ended in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(deadline - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def take(self, pack: Pack) -> None:
        with self._changed:
            self._waiting.append(pack)
            self._records += len(pack.records)
            self._metrics.packed(len(pack.records))
            self._changed.notify_all()

    @property
    def full(self) -> bool:
        """Whether as much waits as two writes take: whoever has more keeps it."""
        return self._records >= 2 * self._pace.records

    def drop(self) -> None:
        """All parts may be somebody else's from now on."""
        with self._changed:
            self._epoch += 1
            self._waiting.clear()
            self._records = 0
            self._folded = None
            self._changed.notify_all()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except TooManyUnreadable as error:
            self._end(str(error))
        except Exception as error:  # our bug: better to end than to stand still in silence
            what, where = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
            # Its own words are left out: they may hold what the records say of somebody.
            log.error("the worker's own thread failed: %s\n%s", what, where)
            self._end(f"its thread failed: {what}; the log says where")

    def _end(self, why: str) -> None:
        with self._changed:
            self.stopped_because = self.stopped_because or why
            self._stopping = True
            self._changed.notify_all()

    def _fold_on(self) -> None:
        epoch, begun = 0, 0.0
        while (taken := self._next_packs(begun)) is not None:
            now_epoch, packs = taken
            if now_epoch != epoch:
                self._forget()
                epoch = now_epoch
            begun = time.monotonic()
            gather = self._until_done(epoch, partial(self._folding.fold, packs))
            if gather is None:
                continue
            self._parts |= gather.runs.keys()
            self._metrics.folded(time.monotonic() - begun)
            with self._changed:
                self._changed.wait_for(lambda: self._folded is None or self._stopping)
                if self._epoch == epoch and not self._stopping:
                    self._folded = epoch, gather
                    self._changed.notify_all()
                    continue
            self._folding.let_go(gather)

    def _next_packs(self, begun: float) -> tuple[int, list[Pack]] | None:
        """The packs of the next write and their epoch; None when it is to end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                due = begun + self._pace.seconds - time.monotonic()
                if due > 0:
                    self._changed.wait_for(lambda: self._records >= self._pace.records or self._stopping, due)
                if self._stopping:
                    return None
                if self._waiting:  # parts may have changed hands while it waited for more
                    break
            packs: list[Pack] = []
            taken = 0
            while self._waiting and taken < self._pace.records:
                packs.append(self._waiting.popleft())
                taken += len(packs[-1].records)
            self._records -= taken
            return self._epoch, packs

    def _forget(self) -> None:
        """Once what was being saved is saved, or given up."""
        with self._changed:
            self._changed.wait_for(lambda: not self._saving)
            parts, self._parts = self._parts, set()
        self._folding.forget(parts)

    def _save_on(self) -> None:
        while (taken := self._next_folded()) is not None:
            epoch, gather = taken
            begun = time.monotonic()
            if self._until_done(epoch, partial(self._folding.saved, gather)):
                self.alive_at = time.monotonic()
                self._count(gather, self.alive_at - begun)
                for pack in gather.packs:
                    pack.acknowledge()
            else:
                self._folding.let_go(gather)
            with self._changed:
                self._saving = False
                self._changed.notify_all()

    def _count(self, gather: Gather, seconds: float) -> None:
        now = time.time()
        ages = [now - pack.records[place].timestamp / 1000 for pack in gather.packs for place in (0, -1)]
        self._metrics.saved(sum(len(pack.records) for pack in gather.packs), seconds, max(ages), min(ages))
        self._metrics.count("duplicates", gather.duplicates)
        self._metrics.count("reused", len(gather.aside))

    def _next_folded(self) -> tuple[int, Gather] | None:
        """What to save next; looks around while there is nothing. None when it is to end."""
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._folded or self._stopping, LOOK_SECONDS):
                    if self._folded is None:
                        return None
                    taken, self._folded = self._folded, None
                    self._saving = True
                    self._changed.notify_all()
                    return taken
                self._saving = True  # nobody forgets meanwhile what it goes by
            try:
                self._look()
            except Exception as error:  # it looks again later
                log.warning("could not look at the published topics: %s", _told(error))
            with self._changed:
                self._saving = False
                self._changed.notify_all()

    def _until_done(self, epoch: int, work: Callable[[], Any]) -> Any:
        """What the work gives, tried again for as long as a store fails; None if it is of no use any more."""
        pause = FIRST_PAUSE
        while True:
            if self._epoch != epoch or self._stopping:
                return None
            try:
                done = work()
            except (TooManyUnreadable, AssertionError, AttributeError, NameError, TypeError):
                raise
            except Exception as error:
                self.alive_at = time.monotonic()
                self.failing_because = _told(error)
                self._metrics.count("failures")
                log.warning("nothing is saved for %.1f s: %s", pause, self.failing_because)
                with self._changed:
                    self._changed.wait_for(lambda: self._epoch != epoch or self._stopping, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if self.failing_because is not None:
                    log.warning("what is folded is saved again")
                self.failing_because = None
                return done


def _told(error: Exception) -> str:
    """Ours are made of our own words; those of others may repeat what the records say of somebody."""
    what = type(error).__name__
    return f"{what}: {error}" if isinstance(error, TouchbookError) else what


class Watchdog:
    """Tells a process that stands still from one that has nothing to do, or that knows why it cannot go on.

    `look` is to be called every few seconds with the records that are not acknowledged yet and a number that grows
    with every sign of life; it answers why the process should end, if it should.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._sign: object = None
        self._since = clock()

    def look(self, lag: int, *sign: object) -> str | None:
        now = self._clock()
        if not lag or sign != self._sign:
            self._sign, self._since = sign if lag else None, now
            return None
        still = now - self._since
        if still < self._seconds:
            return None
        return (
            f"no progress for {still:.0f} s while {lag} records wait (watchdog_seconds is {self._seconds:g}): the "
            "worker ends, so that another takes its partitions; nothing is lost. If that repeats, look at what it "
            "logged before"
        )
