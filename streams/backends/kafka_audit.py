"""The audit trail of many processes: a topic that is kept for ever, which each follows into a file of its own.

Key = the hash, value = the text that was hashed. Nobody can read the end of a topic and write behind it in one step, so
every process writes a chain of its own, which begins with the hash of an entry that was there before. A chain is named
anew at every start, and whenever it is not known whether an entry was written: so none ever has two ends.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from touchbook.errors import BrokerUnavailable
from touchbook.sealing import new_key_id
from touchbook.streams.audit import MAIN, START, Verdict, Written, chained, entry_of, verified
from touchbook.streams.backends.followed import FollowedFile, Offsets
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import At, Read, TopicFollower
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_topics import AUDIT, read_topic
from touchbook.streams.backends.sqlite import connect, connect_reader, create_tables, statement, transaction
from touchbook.streams.backends.sqlite_audit import SqliteAudit

log = logging.getLogger(__name__)

FILE = "audit-followed.sqlite"
PATIENCE_SECONDS = 10.0
"""How long filling the file may hold up a start, and how long an entry waits for those before it."""


class _Chain(NamedTuple):
    """How far a chain is written: its name, how many entries it has, and the hash that the next one names."""

    name: str
    entries: int
    end: str


class KafkaAudit(FollowedFile, SqliteAudit):
    """See `Audit`. An entry is in the topic, acknowledged, when `append` returns; what is read comes from the file,
    into which it follows a moment later; what is verified is the topic."""

    @classmethod
    def at(  # type: ignore[override]  # opened otherwise, and a trail like the other from then on
        cls, directory: Path, place: KafkaPlace, producer: Producer, *, patience: float = PATIENCE_SECONDS
    ) -> Self:
        """Opens DIR/audit-followed.sqlite and follows the topic into it. Raises BrokerUnavailable if that fails."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = connect(directory / FILE)
        create_tables(db, "audit_schema")
        audit = cls(db, connect_reader(directory / FILE))
        audit._share(place, producer, patience)
        return audit

    def __init__(self, db: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        super().__init__(db, reader)
        self._offsets = Offsets(db)
        self._turn = threading.Lock()
        self._chain: _Chain | None = None
        self._acknowledged = START

    def _share(self, place: KafkaPlace, producer: Producer, patience: float) -> None:
        self._place = place
        self._producer = producer
        self._patience = patience
        self.follower = TopicFollower(place, [AUDIT], self, "audit")
        self.follower.start()
        self.follower.caught_up(patience)
        if why := self.follower.failing_because or self.follower.stopped_because:
            self.close()
            raise BrokerUnavailable(why)

    def append(
        self, who: str, name: str, act: str, customer: str | None, details: Mapping[str, str], at: int
    ) -> None:
        if not self._turn.acquire(timeout=self._patience):
            raise BrokerUnavailable("it does not acknowledge what was to be recorded before")
        try:
            chain, self._chain = self._chain or self._begun(), None
            number = chain.entries + 1
            text, hash = chained(chain.name, number, chain.end, who, name, act, customer, details, at)
            self._producer.send([row_of(self._place, Written(0, text, hash))]).result()
            self._chain, self._acknowledged = _Chain(chain.name, number, hash), hash
        finally:
            self._turn.release()

    def verify(self, head: str | None = None) -> Verdict:
        return verified(self._topic(), head)

    def catch_up(self) -> None:
        """Returns when all that others have appended so far can be read."""
        if not self.follower.caught_up(self._patience):
            raise BrokerUnavailable(self.follower.failing_because or "the audit topic is not read to its end")

    def close(self) -> None:
        self.follower.stop()
        super().close()

    def _begun(self) -> _Chain:
        """A new chain, behind the last entry that is known to be there."""
        with self._lock:
            row = self._db.execute(statement("audit_last")).fetchone()
        known = self._acknowledged if self._acknowledged != START or row is None else row[-1]
        return _Chain(new_key_id(), 0, known)

    def _topic(self) -> Iterator[Written]:
        for record in read_topic(self._place, AUDIT):
            yield _written(record.offset, record.key, record.value)

    # What the follower brings

    def apply(self, records: Sequence[Read], offsets: Mapping[At, int]) -> None:
        with self._lock, transaction(self._db):
            for record in self._offsets.beyond(records):
                one = _written(record.offset, record.key, record.value)
                if entry_of(one) is not None:
                    self._db.execute(statement("audit_add"), one)
                else:
                    log.error(
                        "the audit topic holds no entry at offset %d; see who else may write it",
                        record.offset,
                    )
            self._offsets.write(offsets)

    def forget(self) -> None:
        with self._lock:
            self._db.executescript(statement("audit_forget"))


def copied(place: KafkaPlace) -> int:
    """How many entries of the one chain of one machine stand in the topic."""
    found = (entry_of(_written(one.offset, one.key, one.value)) for one in read_topic(place, AUDIT))
    return max((entry.number for entry in found if entry and entry.chain == MAIN), default=0)


def row_of(place: KafkaPlace, one: Written) -> Row:
    """What writes an entry into the topic as it is."""
    return Row(place.topic(AUDIT), 0, one.hash.encode(), one.text.encode())


def _written(offset: int, key: bytes | None, value: bytes | None) -> Written:
    """What is no text of ours is decoded all the same: its hash tells."""
    text, hash = (part.decode("ascii", "replace") for part in (value or b"", key or b""))
    return Written(offset + 1, text, hash)
