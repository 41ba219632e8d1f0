"""What has to be true of a data directory, held against what was sent and what was answered."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.books import NOON, SHOP, a_book, folded
from tests.faults.load import Sent
from tests.projections.reference_fold import Reference
from touchbook.cli.upkeep import caught_up
from touchbook.projections.stores.sqlite import POINTER, serving
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.settings import settings_from
from touchbook.streams.admission import key_of
from touchbook.streams.rebuild import rebuild
from touchbook.timeline import TimelineFilters
from touchbook.wiring import Book, open_book


@dataclass(repr=False)
class Findings:
    """What is wrong; nothing, if each is empty."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.other)

    def __str__(self) -> str:
        """Few of many: the first of each kind."""
        return "; ".join(
            f"{len(what)} {name}, as {what[:3]}"
            for name, what in (("lost", self.lost), ("doubled", self.doubled), ("wrong", self.other))
            if what
        )

    __repr__ = __str__

    def add(self, wrong: Findings) -> None:
        self.lost += wrong.lost
        self.doubled += wrong.doubled
        self.other += wrong.other


@contextmanager
def _copied(data: Path, name: str) -> Iterator[sqlite3.Connection]:
    """A copy of an SQLite file with its log: looking must not repair what the server is to find."""
    with tempfile.TemporaryDirectory(prefix="touchbook-look-") as folder:
        for suffix in ("", "-wal"):
            if (data / f"{name}{suffix}").exists():
                shutil.copyfile(data / f"{name}{suffix}", Path(folder, f"{name}{suffix}"))
        with closing(sqlite3.connect(Path(folder, name))) as db:
            yield db


def _rows(db: sqlite3.Connection, columns: str, table: str) -> list[tuple[object, ...]]:
    """None where not even the table is there any more."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
        return []
    return db.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()


def at_rest(data: Path, sent: Sent, source: str = SHOP.source) -> Findings:
    """Looks at the files of a server that was killed, as it left them. Cheap: after every kill."""
    found = Findings()
    with _copied(data, "keyring.sqlite") as db:
        keys = {key for (key,) in _rows(db, "key_id", "data_keys")}
    with _copied(data, "journal.sqlite") as db:
        rows = _rows(db, "position, key, key_id", "journal")
    with _copied(data, "control.sqlite") as db:
        aside = len(_rows(db, "key", "set_aside"))
    _in_a_row(found, [int(str(position)) for position, _, _ in rows])
    counted = Counter(key for _, key, _ in rows)
    found.doubled += [key for key, times in counted.items() if times > 1]
    found.lost += [id for id in sent.acknowledged if not counted[key_of(source, id)]]
    found.other += [f"no key for position {position}" for position, _, key in rows if key not in keys]
    if aside < len(sent.aside):
        found.lost.append(f"{len(sent.aside) - aside} that were set aside")
    found.other += sent.surprises
    return found


def opened(data: Path, sent: Sent, reference: bool = True) -> Findings:
    """Opens the directory and compares everything with what was sent. Nobody else may be writing it.

    `reference`: also with the slow, obvious fold, whose cost grows with the square of the touchpoints.
    """
    found = Findings()
    found.other += sent.surprises
    with a_book(data) as book:
        touchpoints = [book.journal.open(record) for record in _records(book, found)]
        _compare_journal(found, book, sent, touchpoints)
        _compare_aside(found, book, sent)
        folded(book)
        _compare_digests(found, book, sent)
        if reference and not found:
            _compare_reference(found, book, touchpoints)
    return found


def recorded(data: Path, sent: Sent) -> Findings:
    """Opens the directory and looks at the journal and at what was set aside; everything can be folded."""
    found = Findings()
    found.other += sent.surprises
    with a_book(data) as book:
        _compare_journal(found, book, sent, [book.journal.open(record) for record in _records(book, found)])
        _compare_aside(found, book, sent)
        if folded(book).follower.unreadable:
            found.other.append("not everything can be folded")
    return found


def digests_of(data: Path) -> dict[str, str]:
    """What `touchbook digest` says, once everything in the journal is folded."""
    book = open_book(settings_from(data=data), read_only=True)
    try:
        caught_up(book)
        return book.projections.digest()
    finally:
        book.close()


def left_over(data: Path) -> list[str]:
    """Builds that do not serve, and drafts of the pointer and of the master key."""
    current = serving(data)
    beside = [file.name for file in data.glob("projections-*.sqlite") if file != current]
    return beside + [file.name for file in (*data.glob(f"{POINTER}.new"), *data.glob(".master.key*"))]


def _records(book: Book, found: Findings) -> Iterator[object]:
    after = 0
    while records := book.journal.read(after, 1_000):
        _in_a_row(found, [after, *(record.position for record in records)], after)
        after = records[-1].position
        yield from records
    if after != book.journal.head():
        found.other.append(f"the head is {book.journal.head()}, the last record {after}")


def _in_a_row(found: Findings, positions: list[int], since: int = 1) -> None:
    if positions != list(range(since, since + len(positions))):
        found.other.append("positions have gaps")


def _expected(book: Book, sent: Sent, id: str) -> Touchpoint:
    return book.admission.touchpoint_of(sent.items[id], SHOP, NOON)


def _content(one: Touchpoint) -> tuple[object, ...]:
    """All of it but when it came."""
    return (
        one.key, one.id, one.source, one.type, one.version, one.channel, one.subject, one.identifiers,
        one.occurred_at, one.data, one.digest, one.strength, one.said_at, one.sent_at, one.extra,
    )  # fmt: skip


def _compare_journal(found: Findings, book: Book, sent: Sent, recorded: list[Touchpoint]) -> None:
    """Each once, each as it was sent, and nothing that was not."""
    there = {one.id: one for one in recorded}
    found.doubled += [id for id, times in Counter(one.id for one in recorded).items() if times > 1]
    found.lost += [id for id in sent.acknowledged if id not in there]
    for id, one in there.items():
        if id not in sent.items:
            found.other.append(f"{id} was never sent")
        elif _content(one) != _content(_expected(book, sent, id)):
            found.other.append(f"{id} is not as it was sent")


def _compare_aside(found: Findings, book: Book, sent: Sent) -> None:
    kept, cursor = [], None
    while True:
        items, cursor = book.control.list_set_aside(limit=500, cursor=cursor)
        kept += [json.dumps(one.item, sort_keys=True) for one in items]
        if cursor is None:
            break
    found.lost += [f"set aside: {raw}" for raw in sent.aside.difference(kept)]
    found.doubled += [f"set aside: {raw}" for raw, times in Counter(kept).items() if times > 1]


def _compare_digests(found: Findings, book: Book, sent: Sent) -> None:
    """As a rebuild makes them, and as a new Touchbook does that gets all of it at once."""
    served = book.projections.digest()
    rebuild(book.settings.data, book.journal, book.folder, book.version)
    if book.projections.digest() != served:
        found.other.append("a rebuild gives other digests")
    with a_book() as fresh:
        items = [sent.items[id] for id in sent.items if id not in sent.waiting]
        if items:
            fresh.admission.admit(items, SHOP, NOON).result(60)
        if folded(fresh).projections.digest() != served:
            found.other.append("what was sent gives other digests")


def _compare_reference(found: Findings, book: Book, recorded: list[Touchpoint]) -> None:
    reference = Reference(recorded, book.catalogue)
    for expected in reference.customers():
        customer = book.customers.lookup(*min(expected))
        timeline = _timeline(book, customer)
        with book.projections.reading() as reader:
            ledgers = reader.ledgers(customer.ids).values()
            registers = {(one.kind, one.key): one.value for one in reader.registers(customer.ids)}
        counted: Counter[tuple[str, int]] = Counter()
        totals: Counter[tuple[str, int]] = Counter()
        for rows in ledgers:
            for row, (count, total) in rows.items():
                counted[row] += count
                totals[row] += total
        ledger = {row: (count, totals[row]) for row, count in counted.items()}
        if frozenset(member.identifier for member in customer.members) != expected:
            found.other.append(f"{min(expected)}: other members")
        if timeline != [one.key for one in reference.timeline(expected)]:
            found.other.append(f"{min(expected)}: another timeline")
        if ledger != reference.ledger(expected):
            found.other.append(f"{min(expected)}: another ledger")
        if registers != reference.registers(expected):
            found.other.append(f"{min(expected)}: other registers")


def _timeline(book: Book, customer: object) -> list[str]:
    keys: list[str] = []
    cursor = None
    while True:
        page = book.customers.timeline(customer, TimelineFilters(), cursor, 500, "en")  # type: ignore[arg-type]
        keys += [item["key"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            return keys
