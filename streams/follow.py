"""Following: read the journal, fold, save, say so. One follower for each set of projections."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from touchbook.projections.changes import Changes
from touchbook.projections.fold import Folder
from touchbook.projections.stores.port import Projections
from touchbook.schemas.touchpoint import Record
from touchbook.sealing import erased_in
from touchbook.streams.journal import Journal

log = logging.getLogger(__name__)

ENOUGH_UNREADABLE = 10
"""So many records in a row that cannot be folded stop the follower: better to stand still than to drain the journal."""
IDLE_SECONDS = 0.5
FIND_AT_ONCE = 200
"""Records opened at once when an erasure folds some again."""
LONGEST_PAUSE = 5.0
FEW = 10
GATHER_SECONDS, MOST_SECONDS = 0.03, 0.12
"""Where touchpoints come so fast that more than a few were folded at once and others wait already, those may wait for
so long, see `rest_after`: a step costs much the same for one as for many, and takes the interpreter from those who
publish. Nobody waits where little comes, and where the follower is behind."""
BUSY_SHARE = 0.25
"""Of its time, that the follower would fold at most."""

OnFolded = Callable[[int], None]


class Following(Protocol):
    """Keeps what readers see up with the journal, in a thread of its own. A store that fails is retried for as long as
    it takes; `stopped_because` says why it stands still for good, `failing_because` why it does for now."""

    stopped_because: str | None
    failing_because: str | None

    def start(self) -> None: ...

    def stop(self) -> None: ...

    @property
    def folded(self) -> int:
        """How far readers can see: grows with every change. On one machine the last position of the journal."""

    @property
    def lag(self) -> int:
        """Touchpoints in the journal that readers cannot see yet."""

    @property
    def alive(self) -> bool: ...

    @property
    def unreadable(self) -> int:
        """Records that could not be folded here."""

    def staleness(self) -> float:
        """At most how many seconds what readers see is behind the journal; 0 when it is in step."""

    def shows(self, position: int) -> bool:
        """Whether readers can see what was recorded at this position of the journal."""

    def wait(self, position: int, timeout: float) -> bool:
        """Whether that was so within `timeout` seconds."""

    def listen(self, listener: OnFolded) -> Callable[[], None]:
        """Calls `listener(folded)` from another thread after every change; call what is returned to end it."""


class Follower:
    """See `Following`. Folds the journal into projections."""

    def __init__(
        self,
        journal: Journal,
        projections: Projections,
        folder: Folder,
        batch: int = 2_000,
        observe_visible: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._in_step = 0.0
        self._journal = journal
        self._projections = projections
        self._folder = folder
        self._batch = batch
        self._observe_visible = observe_visible
        self._stop = threading.Event()
        self._moved = threading.Condition()
        self._folded = 0
        self._listeners: list[OnFolded] = []
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.stopped_because: str | None = None
        self.failing_because: str | None = None

    def start(self) -> None:
        self._folded = self._position()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._journal.wait_no_more()
            self._thread.join()

    @property
    def folded(self) -> int:
        """How far readers can see: grows with every change. On one machine the last position of the journal."""
        return self._folded

    def staleness(self) -> float:
        """At most how many seconds what readers see is behind the journal; 0 when it is in step."""
        if self._journal.head() <= self._folded:
            return 0.0
        return max(self._clock() - self._in_step, 0.0)

    def shows(self, position: int) -> bool:
        """Whether readers can see what was recorded at this position."""
        return self._folded >= position

    @property
    def lag(self) -> int:
        """Touchpoints in the journal that are not folded yet."""
        return max(self._journal.head() - self._folded, 0)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def unreadable(self) -> int:
        return self._folder.unreadable

    def wait(self, position: int, timeout: float) -> bool:
        """Whether the position became visible within `timeout` seconds."""
        with self._moved:
            return self._moved.wait_for(lambda: self._folded >= position, timeout)

    def listen(self, listener: OnFolded) -> Callable[[], None]:
        """Calls `listener(position)` from the follower's thread after every batch; call what is returned to end it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _run(self) -> None:
        pause = 0.05
        while not self._stop.is_set():
            try:
                self._step()
                self.failing_because = None
                pause = 0.05
            except Exception as error:  # the store or the journal failed: nothing is lost by trying again
                self.failing_because = f"{type(error).__name__}: {error}"
                log.warning("following paused for %.2f s: %s", pause, self.failing_because)
                self._stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            if self._folder.unreadable_in_a_row >= ENOUGH_UNREADABLE:
                self.stopped_because = (
                    f"{ENOUGH_UNREADABLE} records in a row could not be folded, the last at or before position "
                    f"{self._folded}: this version cannot read the journal. Install a version that can, and restart"
                )
                log.critical("following stopped: %s", self.stopped_because)
                return

    def _step(self) -> None:
        began = time.perf_counter()
        after, asked, head = self._position(), self._clock(), self._journal.head()
        records = self._journal.read(after, self._batch)
        if not records:
            self._in_step = asked
            self._tell(after)
            self._journal.wait_beyond(after, IDLE_SECONDS)
            return
        fold_on(self._journal, self._projections, self._folder, records, after)
        self._in_step = asked if records[-1].position >= head else records[-1].recorded_at / 1000
        now = time.time()
        for record in records:
            self._observe_visible(max(now - record.recorded_at / 1000, 0.0))
        self._tell(records[-1].position)
        if FEW < len(records) < self._batch and self._journal.head() > records[-1].position:
            self._stop.wait(rest_after(time.perf_counter() - began))

    def _tell(self, position: int) -> None:
        if position == self._folded:
            return
        with self._moved:
            self._folded = position
            self._moved.notify_all()
        for listener in list(self._listeners):
            listener(position)

    def _position(self) -> int:
        with self._projections.reading() as reader:
            return reader.position()


def rest_after(took: float) -> float:
    """For how many seconds touchpoints gather after a step that took so many: the longer the more it was, so that what
    comes is folded in fewer steps when there is much to do; never for so long that anybody would notice."""
    return min(max(GATHER_SECONDS, took * (1 / BUSY_SHARE - 1)), MOST_SECONDS)


def catch_up(journal: Journal, projections: Projections, folder: Folder, batch: int = 2_000) -> int:
    """Folds until nothing is left, in this thread; answers the position reached."""
    while True:
        with projections.reading() as reader:
            after = reader.position()
        records = journal.read(after, batch)
        if not records:
            return after
        fold_on(journal, projections, folder, records, after)


def fold_on(
    journal: Journal, projections: Projections, folder: Folder, records: Sequence[Record], after: int
) -> None:
    """Folds the records that follow `after` and saves what they changed: up to each erasure, then what that took away,
    and on from there. So rows that were folded while keys were being destroyed do not stay."""
    start = 0
    for place, record in enumerate(records):
        members = erased_in(record.key_id, record.body)
        if members is None:
            continue
        if run := records[start:place]:
            projections.write(folder.fold(list(run)), after, run[-1].position)
            after = run[-1].position
        journal.heed_erasures()  # the keys may have gone in another process, which cannot make this one forget them
        projections.erase(members, partial(_folded_again, journal, folder), after, record.position)
        start, after = place + 1, record.position
    if run := records[start:]:
        projections.write(folder.fold(list(run)), after, run[-1].position)


def _folded_again(journal: Journal, folder: Folder, keys: Sequence[str]) -> Iterator[Changes]:
    fresh = folder.anew()
    for start in range(0, len(keys), FIND_AT_ONCE):
        yield fresh.fold(journal.find(keys[start : start + FIND_AT_ONCE]))
