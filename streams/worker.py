"""The worker's own half, without the engine that brings it packs: fold, save, publish, and only then say so.

One thread folds a gather of packs while another saves the one before it. Everything may be done again: rows hold
absolute values with the position they stand at, so what was saved before is found and left alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple, Protocol

from touchbook.errors import BodyUnreadable, JournalUnavailable, StoreUnavailable
from touchbook.positions import offset_of, part_of, position_in
from touchbook.projections.changes import Changes
from touchbook.projections.fold import Folder
from touchbook.projections.rows import PartlyWritten, Rows, Stretch
from touchbook.schemas.catalogue import Catalogue
from touchbook.schemas.times import rfc3339
from touchbook.schemas.touchpoint import NO_CHANNEL, Record, Touchpoint
from touchbook.sealing import erased_in
from touchbook.streams.admission import REUSED
from touchbook.streams.control import OURS, Control, SetAside
from touchbook.streams.follow import ENOUGH_UNREADABLE
from touchbook.streams.journal import Journal
from touchbook.streams.published import Publishing
from touchbook.streams.worker_metrics import WorkerMetrics

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
ONE = position_in(0, 1) - position_in(0, 0)
"""From one record of a part to the next."""
LOOK_SECONDS = 10.0
"""How often somebody with nothing to do looks whether a stale owner has written into his parts."""


class Raw(Protocol):
    """A record as Kafka's clients give it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Pack(NamedTuple):
    """Records of one part that follow one another. `acknowledge` is called once all they changed is kept; packs of a
    part are acknowledged in the order they were taken. It is called from any thread and must not raise."""

    part: int
    records: Sequence[Raw]
    acknowledge: Callable[[], None]


class Store(Protocol):
    """Where rows are kept, as the worker needs it; see `ClickHouseStore`."""

    def write(self, stretches: Sequence[Stretch]) -> list[Rows]: ...
    def erase(self, members: Collection[str], position: int, recorded_at: int, again: Changes) -> Rows: ...
    def positions_of(self, subjects: Collection[str]) -> list[int]: ...
    def first_positions(self, keys: Sequence[str], part: int) -> Mapping[str, tuple[int, str]]: ...
    def purge(self) -> object: ...
    def standing(self, subjects: Collection[str], position: int, recorded_at: int) -> Rows: ...
    def forget(self, part: int) -> None: ...


class Erasure(NamedTuple):
    """That members whose rows are in this part were erased."""

    part: int
    members: list[str]
    position: int
    recorded_at: int


class Run(NamedTuple):
    """Records of one part without an erasure among them, and what they change."""

    stretch: Stretch
    records: list[Record]

    def digests(self, records: Sequence[Record]) -> dict[str, str]:
        """Those of some of its records."""
        return {record.key: self.stretch.digests[record.key] for record in records}


PartKey = tuple[int, str]
"""(part, touchpoint key): a retry has the same subject, so it is in the same part; positions of two parts say nothing
of one another."""


@dataclass(slots=True)
class Gather:
    """Packs folded together."""

    packs: Sequence[Pack]
    runs: dict[int, list[Run | Erasure]] = field(default_factory=dict)
    aside: list[SetAside] = field(default_factory=list)
    keys: dict[PartKey, tuple[int, str]] = field(default_factory=dict)
    duplicates: int = 0


class TooManyUnreadable(Exception):
    """This version cannot read the journal: better to stand still than to drain it."""

    def __init__(self, part: int, offset: int) -> None:
        super().__init__(
            f"{ENOUGH_UNREADABLE} records in a row could not be folded, the last at or before offset {offset} of "
            f"partition {part}: this version cannot read the journal. Install a version that can; nothing of these was "
            "acknowledged, so it goes on with them"
        )


class Folding:
    """Folds gathers and saves them. `fold` is for one thread, `save` for another; `forget` for when both rest."""

    def __init__(
        self,
        journal: Journal,
        store: Store,
        control: Control,
        publishing: Publishing,
        catalogue: Catalogue,
        read: Callable[[int, Raw], Record],
        part_for: Callable[[str, int], int],
        metrics: WorkerMetrics,
    ) -> None:
        self._journal = journal
        self._store = store
        self._control = control
        self._publishing = publishing
        self._catalogue = catalogue
        self._read = read
        self._part_for = part_for
        self._metrics = metrics
        self._opened: dict[int, Touchpoint | Exception] = {}
        self._folders: dict[int, Folder] = {}
        self._foreign_in_a_row: dict[int, int] = {}
        self._on_their_way: dict[PartKey, tuple[int, str]] = {}

    def fold(self, packs: Sequence[Pack]) -> Gather:
        """What the packs change. Raises TooManyUnreadable, and what the store raises."""
        gather = Gather(packs)
        by_part: dict[int, list[Raw]] = {}
        for pack in packs:
            by_part.setdefault(pack.part, []).extend(pack.records)
        in_a_row = {part: self._unreadable_in_a_row(part) for part in by_part}
        try:
            for part, raw in by_part.items():
                gather.runs[part] = list(self._fold_part(gather, part, raw))
        except Exception:
            for part, (folder, foreign) in in_a_row.items():  # the same will be counted again
                self._folder(part).unreadable_in_a_row, self._foreign_in_a_row[part] = folder, foreign
            raise
        finally:
            self._opened.clear()
        self._on_their_way |= gather.keys
        return gather

    def save(self, gather: Gather) -> None:
        """Keeps it all: what is set aside, the rows, and what is published of them. Raises what stores raise; saved
        again it changes nothing."""
        if gather.aside:
            self._control.set_aside(gather.aside)
        written = [rows for step in _steps(gather) for rows in self._take(step)]
        self._publishing.publish(written)
        if any(isinstance(one, Erasure) for steps in gather.runs.values() for one in steps):
            self._store.purge()  # what readers no longer see goes from the disks too, now that they have been told
        self.let_go(gather)

    def saved(self, gather: Gather) -> bool:
        """`save`, for who asks whether it was done."""
        self.save(gather)
        return True

    def let_go(self, gather: Gather) -> None:
        """It is saved, or will never be: its keys are no longer on their way."""
        for key, first in gather.keys.items():
            if self._on_their_way.get(key) == first:
                del self._on_their_way[key]

    def forget(self, parts: Iterable[int]) -> None:
        """These are somebody else's by now: what is known of them may be old when they come back."""
        for part in parts:
            self._store.forget(part)
            self._folders.pop(part, None)
        self._on_their_way.clear()
        self._publishing.forget()

    def _fold_part(self, gather: Gather, part: int, raw: Sequence[Raw]) -> Iterator[Run | Erasure]:
        after = position_in(part, raw[0].offset - 1)
        run: list[Record] = []
        for one in raw:
            record = self._record(part, one)
            if record is None:
                continue
            erased = self._erased(record)
            if not erased:
                run.append(record)
                continue
            if run:
                end = run[-1]
                yield self._fold_run(gather, part, run, after, end.position, end.recorded_at)
            self._journal.heed_erasures()  # the keys went in another process
            members = [member for member in erased if self._part_for(member, self._journal.parts) == part]
            yield Erasure(part, members, record.position, record.recorded_at)
            run, after = [], record.position
        last = position_in(part, raw[-1].offset)
        if last > after:
            yield self._fold_run(gather, part, run, after, last, raw[-1].timestamp)

    @staticmethod
    def _erased(record: Record) -> list[str] | None:
        """The members that an erasure names; None for all else, whatever it holds."""
        if record.key_id:
            return None
        try:
            return erased_in(record.key_id, record.body)
        except (BodyUnreadable, LookupError, TypeError, ValueError):
            return None

    def _fold_run(
        self, gather: Gather, part: int, read: list[Record], after: int, position: int, recorded_at: int
    ) -> Run:
        folder = self._folder(part)
        before = folder.unreadable
        records, digests = self._told_apart(gather, part, read)
        changes = folder.fold(records)
        self._opened.clear()
        self._metrics.count("unreadable", folder.unreadable - before)
        if folder.unreadable_in_a_row >= ENOUGH_UNREADABLE:
            raise TooManyUnreadable(part, offset_of(position))
        return Run(Stretch(changes, after, position, recorded_at, digests), records)

    def _folder(self, part: int) -> Folder:
        folder = self._folders.get(part)
        if folder is None:
            folder = self._folders[part] = Folder(self._catalogue, self._look, self._journal.id_of)
        return folder

    def _unreadable_in_a_row(self, part: int) -> tuple[int, int]:
        return self._folder(part).unreadable_in_a_row, self._foreign_in_a_row.get(part, 0)

    def _record(self, part: int, raw: Raw) -> Record | None:
        """None for what is no record of ours: it has no subject to be shown with, so it only counts as unreadable."""
        try:
            record = self._read(part, raw)
        except BodyUnreadable as error:
            log.error("%s", error)
            self._metrics.count("unreadable")
            self._foreign_in_a_row[part] = in_a_row = self._foreign_in_a_row.get(part, 0) + 1
            if in_a_row >= ENOUGH_UNREADABLE:
                raise TooManyUnreadable(part, raw.offset) from error
            return None
        self._foreign_in_a_row[part] = 0
        return record

    def _told_apart(
        self, gather: Gather, part: int, records: list[Record]
    ) -> tuple[list[Record], dict[str, str]]:
        """The records that are no repeats, and the digests of their payloads by key."""
        known = self._store.first_positions([record.key for record in records], part) if records else {}
        fresh: list[Record] = []
        digests: dict[str, str] = {}
        for record in records:
            key, position = record.key, record.position
            opened = self._open(record)
            digest = opened.digest if isinstance(opened, Touchpoint) else ""
            name = part, key
            first = gather.keys.get(name) or self._on_their_way.get(name) or known.get(key)
            if first is None or first[0] >= position:
                gather.keys[name] = position, digest
                digests[key] = digest
                fresh.append(record)
                continue
            gather.duplicates += 1
            if record.source == OURS:
                continue  # the server itself said so before, knowing less or more: what it said first stands
            if isinstance(opened, Touchpoint) and first[1] and first[1] != digest:
                gather.duplicates -= 1
                gather.aside.append(reused(opened))
        return fresh, digests

    def _open(self, record: Record) -> Touchpoint | Exception:
        try:
            opened: Touchpoint | Exception = self._journal.open(record)
        except (StoreUnavailable, JournalUnavailable):
            raise  # its key may be there a moment later
        except Exception as error:  # told again when it is folded, where it leaves an entry that says so
            opened = error
        self._opened[record.position] = opened
        return opened

    def _look(self, record: Record) -> Touchpoint:
        opened = self._opened.get(record.position) or self._open(record)
        if isinstance(opened, Exception):
            raise opened
        return opened

    def _take(self, step: Sequence[Run | Erasure]) -> Iterator[Rows]:
        yield from self._write([one for one in step if isinstance(one, Run)])
        for one in step:
            if isinstance(one, Erasure):
                yield self._erase(one)

    def _write(self, runs: Sequence[Run]) -> list[Rows]:
        """The runs of several parts at once. One that was saved in part before, between other bounds, is saved in as
        many pieces as it takes."""
        written: list[Rows] = []
        runs = list(runs)
        while runs:
            begun = time.monotonic()
            try:
                written += self._store.write([run.stretch for run in runs])
                self._metrics.stored(time.monotonic() - begun)
                return written
            except PartlyWritten as error:
                place = next(place for place, run in enumerate(runs) if _holds(run.stretch, error.position))
                head, runs[place] = self._parted(runs[place], error.position)
                written += self._write([head])
        return written

    def _parted(self, run: Run, position: int) -> tuple[Run, Run]:
        """The run up to a position, and what follows."""
        (_, after, end, recorded_at, _), records = run
        head = [record for record in records if record.position <= position]
        tail = records[len(head) :]
        first = Stretch(self._changes(head), after, position, _last(head, recorded_at), run.digests(head))
        second = Stretch(self._changes(tail), position, end, recorded_at, run.digests(tail))
        return Run(first, head), Run(second, tail)

    def _changes(self, records: Sequence[Record]) -> Changes:
        return Folder(self._catalogue, self._journal.open, self._journal.id_of).fold(list(records))

    def _erase(self, erasure: Erasure) -> Rows:
        """Takes away what the members left in this part, and folds again what can still be opened of it."""
        positions = sorted(self._store.positions_of(erasure.members))
        records = [
            record
            for position in positions
            if position < erasure.position
            for record in self._journal.read(position - ONE, 1, erasure.part)
        ]
        again = self._changes(records)
        return self._store.erase(erasure.members, erasure.position, erasure.recorded_at, again)


def reused(touchpoint: Touchpoint) -> SetAside:
    """A touchpoint whose id its source had used before, as the event it would be at the doors. It was accepted there,
    since they could not know."""
    identifiers: dict[str, list[str]] = {}
    for kind, value in touchpoint.identifiers:
        identifiers.setdefault(kind, []).append(value)
    event = {
        "specversion": "1.0",
        "id": touchpoint.id,
        "source": touchpoint.source,
        "type": touchpoint.type,
        "time": rfc3339(touchpoint.occurred_at),
        "channel": touchpoint.channel,
        "data": {**touchpoint.data, "identifiers": identifiers},
    }
    name = f"{touchpoint.key}\0{touchpoint.digest}"
    publisher = {"source": touchpoint.source, "channel": None, "role": "publish", "public": False}
    return SetAside(
        key=hashlib.sha256(name.encode()).hexdigest()[:32],
        reason=str(REUSED),
        code=REUSED.code,
        source=touchpoint.source,
        channel=None if touchpoint.channel == NO_CHANNEL else touchpoint.channel,
        route="cloudevents",
        inherited={"batch": {}, "publisher": publisher},
        received_at=touchpoint.received_at,
        raw=json.dumps(event).encode(),
        sent_at=None,
    )


def _steps(gather: Gather) -> Iterator[list[Run | Erasure]]:
    """The first run or erasure of each part, then the second of each, and so on."""
    for step in zip_longest(*gather.runs.values()):
        yield [one for one in step if one is not None]


def _holds(stretch: Stretch, position: int) -> bool:
    """Whether the position is within the stretch: positions of different parts say nothing of one another."""
    return part_of(position) == part_of(stretch.position) and stretch.after < position < stretch.position


def _last(records: Sequence[Record], otherwise: int) -> int:
    return records[-1].recorded_at if records else otherwise


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
            log.exception("the worker's own thread failed")
            self._end(f"its thread failed: {type(error).__name__}: {error}")

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
                log.warning("could not look at the published topics: %s: %s", type(error).__name__, error)
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
                self.failing_because = f"{type(error).__name__}: {error}"
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
