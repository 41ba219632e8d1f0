"""The worker's own half, without the engine that brings it packs: fold, save, publish, and only then say so.

Everything may be done again: rows hold absolute values with the position they stand at, so what was saved before is
found and left alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple, Protocol

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

ONE = position_in(0, 1) - position_in(0, 0)
"""From one record of a part to the next."""


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
        self._on_their_way: dict[int, dict[PartKey, tuple[int, str]]] = {}

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
        self._on_their_way[id(gather)] = gather.keys
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
        self._on_their_way.pop(id(gather), None)

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
        # Before the store is asked: what is saved meanwhile it may not tell.
        taken = (gather.keys, *self._on_their_way.values())
        known = self._store.first_positions([record.key for record in records], part) if records else {}
        fresh: list[Record] = []
        digests: dict[str, str] = {}
        for record in records:
            key, position = record.key, record.position
            opened = self._open(record)
            digest = opened.digest if isinstance(opened, Touchpoint) else ""
            name = part, key
            first = next((keys[name] for keys in taken if name in keys), None) or known.get(key)
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
