"""What a worker publishes: rows as they stand, on the compacted topics of its build.

Readers count the greatest position they were told of a row, but brokers keep what was written last. A worker that was
held still, lost its parts and then comes round may write what is old behind what is new. So whoever owns a part sees to
it that his own words stay the last ones: where offsets show that somebody else wrote in between, he reads what that
was, and publishes those subjects again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, Protocol

import orjson

from touchbook.positions import part_of
from touchbook.projections.compacted import KINDS, LEDGERS, MARKER, Written, decode, encode, marker
from touchbook.projections.compacted import Marker as MarkerTold
from touchbook.projections.rows import Rows

log = logging.getLogger(__name__)

PUBLISH_SECONDS = 60.0
LOOK_BACK = 2_000
"""Records at the end of a topic's part that a new owner looks through: the one before him may have died before he saw
that somebody had written behind his back."""


class Row(NamedTuple):
    """As the producer takes them; see `kafka_producer.Row`."""

    topic: str
    part: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = []  # noqa: RUF012 never changed in place
    timestamp: int | None = None


_row = partial(tuple.__new__, Row)
"""Makes one of all its fields without its constructor: there are three for each record of the journal."""
_NO_HEADERS: list[tuple[str, bytes]] = []


class Producing(Protocol):
    def send(self, rows: Sequence[Any]) -> Future[list[int]]: ...


class Tails(Protocol):
    """Reads the ends of topics."""

    def ends(self, places: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        """The offset that the next record of each (topic, part) gets."""
        ...

    def read(self, topic: str, part: int, start: int, end: int) -> Sequence[tuple[bytes, bytes | None]]:
        """Keys and values of what is there from one offset to before another."""
        ...


Standing = Callable[[Collection[str], int, int], Rows]
"""All rows of these subjects as they stand at a position; see `ClickHouseStore.standing`."""


class Publishing:
    """Publishes for the owner of parts. For one thread; `lose` is for any."""

    def __init__(
        self,
        topic: Callable[[str], str],
        producer: Producing,
        tails: Tails,
        standing: Standing,
        told: Callable[[str, int], None] = lambda name, by: None,
    ) -> None:
        """`topic` names the topic of a kind; `told` counts `published_rows` and `repaired` subjects."""
        self._kinds = {topic(kind): kind for kind in KINDS}
        self._producer = producer
        self._tails = tails
        self._standing = standing
        self._told = told
        self._next: dict[tuple[str, int], int] = {}
        self._at: dict[int, tuple[int, int]] = {}
        self._overwritten: dict[tuple[str, int], set[bytes]] = {}
        self._lost: deque[int] = deque()

    def publish(self, written: Iterable[Rows]) -> None:
        """Writes the rows, in order, and after those of each `Rows` a marker; returns once brokers have all of it, and
        nobody else's words are the last. Raises StoreUnavailable; then the same is to be published again."""
        self._leave_lost()
        runs = [run for one in written for run in self._runs_of(one)]
        self._take_over({run[0].part for run in runs})
        self._send(runs)
        self._repair()

    def look(self) -> None:
        """Whether somebody else wrote since, into the parts that were published to; if so, puts that right."""
        self._leave_lost()
        if self._next:
            for place, end in self._tails.ends(list(self._next)).items():
                self._notice(place, end)
                self._next[place] = max(end, self._next[place])
            self._repair()

    def lose(self, parts: Iterable[int]) -> None:
        """These are somebody else's, or were meanwhile: they are left alone until something is published to them again.
        Two that put each other right would never end."""
        self._lost.extend(parts)

    def _leave_lost(self) -> None:
        lost = {self._lost.popleft() for _ in range(len(self._lost))}
        for place in [place for place in self._next if place[1] in lost]:
            del self._next[place]
            self._overwritten.pop(place, None)

    def forget(self) -> None:
        """All parts may be somebody else's."""
        self._next.clear()
        self._at.clear()
        self._overwritten.clear()

    def _runs_of(self, rows: Rows) -> list[list[Row]]:
        """What is to stand in a row in each of the topics."""
        part = part_of(rows.position)
        self._at[part] = rows.position, rows.recorded_at
        told = encode(rows)
        end = marker(rows.position, rows.recorded_at)
        return [
            [_row((topic, part, key, value, _NO_HEADERS, None)) for key, value in (*told[kind], end)]
            for topic, kind in self._kinds.items()
        ]

    def _send(self, runs: Sequence[Sequence[Row]]) -> None:
        """Each run is of one topic and part, where offsets only ascend: so its ends tell whether somebody else wrote
        in between."""
        rows = list(chain.from_iterable(runs))
        offsets = self._producer.send(rows).result(PUBLISH_SECONDS)
        self._told("published_rows", len(rows))
        begin = 0
        for run in runs:
            place = run[0].topic, run[0].part
            first, last = offsets[begin], offsets[begin + len(run) - 1]
            seen = [first] if last - first == len(run) - 1 else offsets[begin : begin + len(run)]
            for offset in seen:
                self._notice(place, offset)
                self._next[place] = offset + 1
            self._next[place] = last + 1
            begin += len(run)

    def _notice(self, place: tuple[str, int], offset: int) -> None:
        """Between the last record that was ours and this offset is what somebody else wrote."""
        topic, part = place
        start = self._next.get(place, offset)
        if start < offset:
            keys = {key for key, _ in self._tails.read(topic, part, start, offset)}
            log.warning("somebody else wrote %d records into %s, partition %d", offset - start, topic, part)
            self._overwritten.setdefault(place, set()).update(keys - {MARKER})

    def _take_over(self, parts: Collection[int]) -> None:
        """Where a part is new here, what was written lately is looked through once."""
        new = [place for part in parts for topic in self._kinds if (place := (topic, part)) not in self._next]
        for (topic, part), end in (self._tails.ends(new) if new else {}).items():
            tail = self._tails.read(topic, part, max(end - LOOK_BACK, 0), end)
            if keys := overwritten(self._kinds[topic], tail):
                self._overwritten.setdefault((topic, part), set()).update(keys)
            self._next[topic, part] = end

    def _repair(self) -> None:
        """Publishes again the subjects of keys that somebody else wrote; a key that is no row any more is gone."""
        if not self._overwritten:
            return
        subjects: dict[int, set[str]] = {}
        for (topic, part), keys in self._overwritten.items():
            kind = self._kinds[topic]
            subjects.setdefault(part, set()).update(
                subject for key in keys if (subject := subject_of(kind, key)) is not None
            )
        for part, affected in subjects.items():
            if part not in self._at:
                continue
            runs = self._runs_of(self._standing(affected, *self._at[part]))
            standing = {(row.topic, row.key) for run in runs for row in run}
            gone = [
                [Row(topic, part, key, None)]
                for (topic, where), keys in self._overwritten.items()
                if where == part
                for key in keys
                if (topic, key) not in standing and subject_of(self._kinds[topic], key) is not None
            ]
            before = {place: keys for place, keys in self._overwritten.items() if place[1] == part}
            for place in before:
                del self._overwritten[place]
            try:
                self._send([*gone, *runs])
            except Exception:
                for place, keys in before.items():
                    self._overwritten.setdefault(place, set()).update(keys)
                raise
            self._told("repaired", len(affected))
            log.warning("published %d subjects of part %d again", len(affected), part)


def subject_of(kind: str, key: bytes) -> str | None:
    """The subject whose row stands under this key; None for what is no row, such as a marker or an erasure's record."""
    try:
        if kind == LEDGERS:
            subject, day = key.split(b":")
            return subject.decode() if day.lstrip(b"-").isdigit() else None
        subject, what, *_ = orjson.loads(key)
        return subject if isinstance(subject, str) and what != "e" else None
    except ValueError:
        return None


def overwritten(kind: str, tail: Sequence[Written]) -> set[bytes]:
    """The keys of rows that may have been written by somebody who was late: those that end with a marker of before an
    earlier one, and those at the end that no marker follows."""
    late: set[bytes] = set()
    since: set[bytes] = set()
    furthest = 0
    for key, value in tail:
        if key != MARKER:
            since.add(key)
            continue
        told = decode(kind, key, value)
        position = told.position if isinstance(told, MarkerTold) else 0
        if position < furthest:
            late |= since
        furthest = max(furthest, position)
        since = set()
    return late | since
