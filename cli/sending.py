"""Where `publish` sends batches: through a server's door, or straight into the journal of a data directory."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from touchbook.cli.exits import RefusedByServer
from touchbook.cli.inputs import Line, Unreadable
from touchbook.cli.output import progress, say
from touchbook.cli.remote import OnWait, Server
from touchbook.errors import Refused

if TYPE_CHECKING:
    from touchbook.settings import Settings
    from touchbook.streams.admission import Item, Publisher
    from touchbook.wiring import Book

BATCH_BYTES = 2**20
"""A batch ends here even if it has few items: far below what servers take, and enough to be quick."""
BATCHED = "application/cloudevents-batch+json"


Content = dict[str, Any]
"""An item as it stands in the file."""


@dataclass(slots=True)
class Taken:
    """What became of the items of a batch. `rejected` was set aside, `not_sent` cannot be taken at all, however small
    the batch; both are place in the batch → (code, message)."""

    accepted: int = 0
    duplicates: int = 0
    rejected: dict[int, tuple[str, str]] = field(default_factory=dict)
    not_sent: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, other: Taken, places: Sequence[int]) -> None:
        """Adds a part of the batch, whose items stand at these places of it."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.rejected |= {places[index]: why for index, why in other.rejected.items()}
        self.not_sent |= {places[index]: why for index, why in other.not_sent.items()}


class Taker(Protocol):
    """Takes a batch of one kind, CloudEvents or Segment calls; what it answers is durable. Taking the same items again
    makes them duplicates. Raises `RefusedByServer` or `Refused` for a whole batch, and then nothing of it is kept."""

    def take(self, items: Sequence[Content]) -> Taken: ...


class Door:
    """The doors of a running server."""

    def __init__(self, server: Server, patience: float, on_wait: OnWait) -> None:
        self._server = server
        self._patience = patience
        self._on_wait = on_wait

    def take(self, items: Sequence[Content]) -> Taken:
        if is_event(items[0]):
            path, media_type, body = "/v1/events", BATCHED, _encoded(items)
        else:
            path, media_type, body = "/v1/batch", "application/json", _encoded({"batch": items})
        answer = self._server.insist(path, body, media_type, self._patience, self._on_wait)
        rejected = {int(one["index"]): (str(one["code"]), str(one["message"])) for one in answer["rejected"]}
        return Taken(int(answer["accepted"]), int(answer["duplicates"]), rejected)


class Straight:
    """The journal of a data directory that no server writes, through the same readers and admission as the doors, so
    that an item is the same touchpoint whichever way it comes."""

    def __init__(self, book: Book, publisher: Publisher) -> None:
        self._book = book
        self._publisher = publisher

    def take(self, items: Sequence[Content]) -> Taken:
        from touchbook.streams.now import now

        outcomes = self._book.admission.admit(_as_at_the_doors(items), self._publisher, now()).result()
        kinds = Counter(one.outcome for one in outcomes)
        rejected = {
            place: (one.code, one.message) for place, one in enumerate(outcomes) if one.outcome == "rejected"
        }
        return Taken(kinds["accepted"], kinds["duplicate"], rejected)


@contextmanager
def writing(settings: Settings) -> Iterator[Book]:
    """The book of a data directory that no server writes, made if there is none. Ends when all that was written is
    also folded; what an error left unfolded, the next one folds."""
    from touchbook.wiring import open_book

    book = open_book(settings)
    try:
        book.start()
        yield book
        while book.rebuilding or (book.follower.lag and book.follower.alive):
            time.sleep(0.02)
    finally:
        book.close()


@dataclass(slots=True)
class Counts:
    """What became of a file: read = sent + not_sent, and sent = accepted + duplicates + rejected.

    `rejected` was set aside; `not_sent` holds no item, or one that no door takes.
    """

    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)
    not_sent: list[dict[str, Any]] = field(default_factory=list)

    @property
    def told(self) -> dict[str, int]:
        return {
            "read": self.read,
            "sent": self.accepted + self.duplicates + len(self.rejected),
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "rejected": len(self.rejected),
            "not_sent": len(self.not_sent),
        }

    def add(self, lines: Sequence[Line], taken: Taken) -> None:
        """Counts what became of a batch of lines."""
        self.accepted += taken.accepted
        self.duplicates += taken.duplicates
        self.rejected += (_why(lines[place].number, *why) for place, why in sorted(taken.rejected.items()))
        self.not_sent += (_why(lines[place].number, *why) for place, why in sorted(taken.not_sent.items()))


def send_all(
    lines: Iterable[Line], taker: Taker, most: int, source: str | None, counts: Counts, size: int | None
) -> None:
    """Sends everything, counting into `counts`; if it stops half-way, says how far it came."""
    try:
        with progress("publishing", "touchpoints") as tell:
            for ready in _batches(_items(lines, counts), most):
                counts.add(ready, _taken(taker, [_ready(line.item, source) for line in ready]))
                tell(ready[-1].read, size, counts.read)
    except BaseException:
        told = ", ".join(f"{name} {number}" for name, number in counts.told.items())
        say(f"stopped before the end ({told}); run it again: what was taken will count as duplicate")
        raise


def _items(lines: Iterable[Line], counts: Counts) -> Iterator[Line]:
    """The lines that hold an item; the others are counted here."""
    for line in lines:
        counts.read += 1
        if isinstance(line.item, Unreadable):
            counts.not_sent.append(_why(line.number, line.item.code, line.item.message))
        else:
            yield line


def _batches(lines: Iterable[Line], most: int) -> Iterator[list[Line]]:
    """Batches of one kind each, in the order in which they become full."""
    filling: dict[bool, list[Line]] = {True: [], False: []}
    sizes = {True: 0, False: 0}
    for line in lines:
        kind = is_event(line.item)
        filling[kind].append(line)
        sizes[kind] += line.size
        if len(filling[kind]) == most or sizes[kind] >= BATCH_BYTES:
            yield filling[kind]
            filling[kind], sizes[kind] = [], 0
    yield from (batch for batch in filling.values() if batch)


def _taken(taker: Taker, items: Sequence[Content]) -> Taken:
    """Halves a batch that is too large, or that one item makes unreadable, down to what cannot be taken at all."""
    try:
        return taker.take(items)
    except (RefusedByServer, Refused) as error:
        if error.status != 413 and error.code != "json_invalid":
            raise
        if len(items) == 1:
            return Taken(
                not_sent={0: (error.code, error.said if isinstance(error, RefusedByServer) else str(error))}
            )
    taken, half = Taken(), len(items) // 2
    taken.add(_taken(taker, items[:half]), range(half))
    taken.add(_taken(taker, items[half:]), range(half, len(items)))
    return taken


def _ready(item: Any, source: str | None) -> Content:
    """The item as it is sent: without the `sentAt` of another day, and with the source it leaves open."""
    ready = {name: value for name, value in item.items() if name != "sentAt" or is_event(item)}
    if is_event(item) and source is not None:
        ready.setdefault("source", source)
    return ready


def is_event(item: Any) -> bool:
    """A CloudEvent states its version; everything else is taken for a Segment call."""
    return "specversion" in item


def _as_at_the_doors(items: Sequence[Content]) -> list[Item]:
    from touchbook.schemas.cloudevents import plain
    from touchbook.streams.admission import Item

    if is_event(items[0]):
        return [Item("cloudevents", plain(item), {}) for item in items]
    return [Item("segment", item, {}) for item in items]


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _why(number: int, code: str, message: str) -> dict[str, Any]:
    return {"line": number, "code": code, "message": message}
