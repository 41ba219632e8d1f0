"""A journal of several parts, and machines that fold it into ClickHouse as real ones do: some die between two inserts,
some wake up late and go on where they once were. What they leave is compared with the plain fold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchbook.errors import KeyDestroyed, StoreUnavailable
from touchbook.positions import offset_of, part_of, position_in
from touchbook.projections.fold import Folder
from touchbook.projections.rows import PartlyWritten, Rows, Stretch
from touchbook.projections.stores.clickhouse import NOTHING, Asked, Engine
from touchbook.projections.stores.clickhouse_store import ClickHouseStore
from touchbook.projections.stores.sqlite import SqliteProjections
from touchbook.schemas.touchpoint import Record, Touchpoint
from touchbook.wiring import Book

PARTS = 2


class Dies(Exception):
    """The process is gone."""


@dataclass
class Breaking:
    """An engine that fails at the insert that comes after `inserts_left` others, once it took it or before."""

    engine: Engine
    inserts_left: int | None = None
    took_it: bool = False

    @property
    def version(self) -> tuple[int, ...]:
        return self.engine.version

    def execute(self, statement: str, asked: Asked = NOTHING) -> list[tuple[Any, ...]]:
        return self.engine.execute(statement, asked)

    def stream(self, statement: str, asked: Asked = NOTHING) -> Any:
        return self.engine.stream(statement, asked)

    def session(self) -> Any:
        return self.engine.session()

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        if self.inserts_left is None or self.inserts_left > 0:
            self.inserts_left = self.inserts_left and self.inserts_left - 1
            self.engine.insert(table, columns)
            return
        self.inserts_left = None
        if self.took_it:
            self.engine.insert(table, columns)
        raise StoreUnavailable("the connection broke")


@dataclass
class Erased:
    """What stands in the journal where somebody was erased."""

    subjects: list[str]
    position: int


class ManyParts:
    """The journal of a book, laid out in parts. Repeats of a record may follow it, as honest retries do."""

    def __init__(
        self, book: Book, repeats: Collection[int] = (), erase: tuple[int, int] | None = None
    ) -> None:
        """`repeats` are places of records that come once more at the end. `erase` = (which subject, and after how many
        of all records of his part he is erased)."""
        self._open = book.journal.open
        self._id_of = book.journal.id_of
        self._catalogue = book.catalogue
        self.parts: dict[int, list[Record | Erased]] = {part: [] for part in range(PARTS)}
        self.destroyed = False
        self.erased: Erased | None = None
        records = book.journal.read(0, 10_000)
        for record in [*records, *(records[place % len(records)] for place in repeats)]:
            self._append(record)
        if erase is not None:
            self._erase(sorted({record.subject for record in records}), *erase)

    def _append(self, record: Record) -> None:
        part = int(record.subject[:8], 16) % PARTS
        self.parts[part].append(record._replace(position=position_in(part, len(self.parts[part]))))

    def _erase(self, subjects: list[str], which: int, place: int) -> None:
        subject = subjects[which % len(subjects)]
        part = int(subject[:8], 16) % PARTS
        before, after = self.parts[part][:place], self.parts[part][place:]
        self.erased = Erased([subject], position_in(part, len(before)))
        moved = [
            one._replace(position=one.position + position_in(0, 1) - position_in(0, 0))
            for one in after
            if isinstance(one, Record)
        ]
        self.parts[part] = [*before, self.erased, *moved]

    def opened(self, record: Record) -> Touchpoint:
        gone = self.erased
        if (
            self.destroyed
            and gone is not None
            and record.subject in gone.subjects
            and record.position < gone.position
        ):
            raise KeyDestroyed
        return self._open(record)

    def folder(self) -> Folder:
        return Folder(self._catalogue, self.opened, self._id_of)

    def plain(self, directory: Path) -> SqliteProjections:
        """The plain fold of all that can be opened: each key once in its part."""
        self.destroyed = True
        seen: set[tuple[int, str]] = set()
        records = []
        for part, all in self.parts.items():
            for one in all:
                if isinstance(one, Record) and (part, one.key) not in seen:
                    seen.add((part, one.key))
                    records.append(one)
        store = SqliteProjections.open(directory, "1-plain")
        store.write(self.folder().fold(records), 0, 1)
        return store


@dataclass
class Machine:
    """One process: it goes through parts in order, each from where it took it over."""

    journal: ManyParts
    make_store: Callable[[], ClickHouseStore]
    acknowledged: dict[int, int]
    """Of each part how many records were acknowledged, by whoever owns it."""
    told: Callable[[Rows], None] = lambda rows: None
    store: ClickHouseStore = field(init=False)
    next: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """As a new process: it knows nothing, and begins where the last one acknowledged."""
        self.store = self.make_store()
        self.next = dict(self.acknowledged)

    def take_over(self, part: int) -> None:
        self.store.forget(part)
        self.next[part] = self.acknowledged[part]

    def step(self, part: int, records: int) -> None:
        """Folds the next records of a part and writes what they change."""
        start = self.next[part]
        left = self.journal.parts[part][start : start + records]
        while left:
            if isinstance(left[0], Erased):
                run, left = 1, left[1:]
                self._erase(self.journal.parts[part][start])
            else:
                run = next((n for n, one in enumerate(left) if isinstance(one, Erased)), len(left))
                self._write(
                    position_in(part, start - 1), [one for one in left[:run] if isinstance(one, Record)]
                )
                left = left[run:]
            start = self.next[part] = start + run

    def acknowledge(self, part: int) -> None:
        self.acknowledged[part] = max(self.next[part], self.acknowledged[part])

    def finish(self) -> None:
        for part, records in self.journal.parts.items():
            self.step(part, len(records))

    def _write(self, after: int, records: Sequence[Record]) -> None:
        fresh = self._fresh(records)
        stretch = self._stretch(after, records[-1].position, fresh)
        try:
            written = self.store.write([stretch])
        except PartlyWritten:  # record by record, all of them in one call
            ends = [record.position for record in records]
            starts = [after, *ends[:-1]]
            one_by_one = [
                self._stretch(start, end, [one for one in fresh if one.position == end])
                for start, end in zip(starts, ends, strict=True)
            ]
            written = self.store.write(one_by_one)
        for rows in written:
            self.told(rows)

    def _fresh(self, records: Sequence[Record]) -> list[Record]:
        part = part_of(records[0].position)
        first = self.store.first_positions([record.key for record in records], part)
        here: set[str] = set()
        fresh = []
        for record in records:
            known = first.get(record.key)
            if record.key not in here and (known is None or known[0] >= record.position):
                fresh.append(record)
            here.add(record.key)
        return fresh

    def _stretch(self, after: int, position: int, records: Sequence[Record]) -> Stretch:
        changes = self.journal.folder().fold(list(records))
        return Stretch(changes, after, position, position, {one.key: "digest" for one in records})

    def _erase(self, erased: Record | Erased) -> None:
        assert isinstance(erased, Erased)
        self.journal.destroyed = True
        part = part_of(erased.position)
        where = sorted(offset_of(position) for position in self.store.positions_of(erased.subjects))
        all = self.journal.parts[part]
        records = [
            one for place in where if isinstance(one := all[place], Record) and one.position < erased.position
        ]
        again = self.journal.folder().fold(records)
        self.told(self.store.erase(erased.subjects, erased.position, erased.position, again))
