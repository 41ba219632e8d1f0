"""Whom to contact, where many processes could decide it: one of them does, and the others know where it is.

Whoever has the duty begins an epoch in the log of decisions, waits until readers here see all that is not in memory,
and decides from then on with what the projections hold and the decisions that they do not show yet. What he decides
counts only while his epoch is in force, so it does no harm if he goes on for a while after another began: see
`kafka_decisions`.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from touchbook.errors import NoDecider, StoreUnavailable
from touchbook.projections.stores.port import Reader
from touchbook.recent import Recent
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.settings import Settings
from touchbook.streams.backends.kafka_decisions import KafkaDecisions, Term
from touchbook.streams.contacting import Contacting, Settled, found_in_entries
from touchbook.streams.deciding import DECISIONS, DEFERRED, RESERVED, SUPPRESSED, Answers, Asked
from touchbook.streams.duty import Duty
from touchbook.streams.journal import Appended
from touchbook.timeline import TimelineFilters

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
"""How often it is seen who has the duty, and what became of the decisions."""
AGAIN_SECONDS = 5.0
"""After another began though we have the duty, or a beginning failed: one of two who both believe waits."""
MAX_QUEUE = 20_000
REMEMBERED = 20_000
"""Customers whose decisions are known by their keys."""
EVERY_ADDRESS = ("0.0.0.0", "::")


class Decides(Protocol):
    """What decides in this process during one term; see `Contacting`."""

    def restore(self, taken: Sequence[tuple[Touchpoint, int]]) -> None:
        """Knows these decisions from now on, the oldest first, each at a position of the term's: they count until
        readers see them."""


Deciding = TypeVar("Deciding", bound=Decides)


class Leading(Generic[Deciding]):
    """Decides in this process while it has the duty, and tells where it is done else."""

    def __init__(
        self,
        duty: Duty,
        decisions: KafkaDecisions,
        make: Callable[[Term], Deciding],
        url: str | None,
        *,
        name: str = "contact",
        max_queue: int = MAX_QUEUE,
        look_seconds: float = LOOK_SECONDS,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        """`make` makes what decides during a term, out of what the projections show. `url` is where other replicas
        reach this one; without one it does not offer itself."""
        self._duty = duty
        self._decisions = decisions
        self._make = make
        self._url = url
        self._name = name
        self._max_queue = max_queue
        self._look_seconds = look_seconds
        self._again_seconds = again_seconds
        self._term: Term | None = None
        self._deciding: Deciding | None = None
        self._given_up: Term | None = None
        self._not_before = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-duty", daemon=True)

    def start(self) -> None:
        self._decisions.start()
        if self._url is not None:
            self._duty.start()
        self._thread.start()

    def close(self) -> None:
        """Answers what was asked, and hands the duty on. May be called again."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._end()
        self._duty.close()
        self._decisions.close()

    @property
    def here(self) -> Deciding:
        """What decides in this process. Raises NoDecider where another does, or none."""
        deciding = self._deciding
        if deciding is None:
            raise NoDecider("this process does not decide about contacts")
        return deciding

    def decides(self) -> bool:
        """Whether this process does."""
        return self._deciding is not None

    def elsewhere(self) -> str | None:
        """Where the process is that decides; None where it is this one. Raises NoDecider if none does, as far as is
        known here. Answered from memory."""
        if self._deciding is not None:
            return None
        stated = self._decisions.stated
        if stated is None or stated.url == self._url:
            raise NoDecider("no process decides about contacts at this moment")
        return stated.url

    def _run(self) -> None:
        while not self._closing.wait(self._look_seconds):
            try:
                self._look()
            except Exception as error:  # whatever it is, another may do better, or we a moment later
                why = str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
                log.warning("duty %s: this process does not decide for a while: %s", self._name, why)
                self._end()
                self._not_before = time.monotonic() + self._again_seconds

    def _look(self) -> None:
        self._decisions.tend()
        if self._term is None:
            if self._decisions.ready and self._duty.held() and time.monotonic() >= self._not_before:
                self._begin()
        elif self._term is self._given_up or not (
            self._duty.held() and self._decisions.in_force(self._term.epoch)
        ):
            log.warning("duty %s: this process does not decide any more", self._name)
            self._end()
            self._not_before = time.monotonic() + self._again_seconds
        elif self._deciding is None and self._decisions.caught_up():
            deciding = self._make(self._term)
            deciding.restore(self._term.taken_over())
            self._deciding = deciding
            log.info("duty %s: this process decides", self._name)

    def _begin(self) -> None:
        assert self._url is not None
        if (epoch := self._decisions.begin(self._url)) is None:
            self._not_before = time.monotonic() + self._again_seconds
        else:
            self._term = Term(self._decisions, epoch, self._max_queue)

    def give_up(self, term: Term) -> None:
        """It is not known what became of something recorded in it. What begins next knows."""
        self._given_up = term

    def _end(self) -> None:
        self._deciding, term, self._term = None, self._term, None
        if term is not None:
            term.close()


class ManyContacting(Leading[Contacting]):
    """See `Contacts`, of a process that decides now; in any other each raises NoDecider."""

    def reserve(self, asked: Sequence[Asked]) -> Future[Answers]:
        return self.here.reserve(asked)

    def confirm(self, reservation: str, source: str | None, message_id: str | None) -> Future[Settled]:
        return self.here.confirm(reservation, source, message_id)

    def release(self, reservation: str, source: str | None, reason: str | None) -> Future[Settled]:
        return self.here.release(reservation, source, reason)


class Decided:
    """What was decided before, as one term knows it. Entries are ClickHouse's, and most ids are new: whose keys were
    asked for once are remembered, and grow with what the term records, for nobody else decides meanwhile. So a question
    goes there for a customer of whom something was put off or suppressed before, once; and for a retry that comes late.
    """

    def __init__(self, term: Term) -> None:
        self._term = term
        self._taken_over: dict[str, set[str]] = {}
        for touchpoint, _ in term.taken_over():
            self._taken_over.setdefault(term.id_of(touchpoint.subject), set()).add(touchpoint.key)
        self._keys: Recent[str, set[str]] = Recent(REMEMBERED)

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]:
        """See `Records`."""
        for touchpoint in touchpoints:
            if (keys := self._keys.get(self._term.id_of(touchpoint.subject))) is not None:
                keys.add(touchpoint.key)
        return self._term.append(touchpoints)

    def find(self, reader: Reader, subject: str, key: str) -> Mapping[str, Any] | None:
        """See `Find`."""
        keys = self._keys.get(subject)
        if keys is None:
            keys = self._before(reader, subject) | self._taken_over.get(subject, set())
            self._keys.put(subject, keys)
        return found_in_entries(reader, subject, key) if key in keys else None

    def _before(self, reader: Reader, subject: str) -> set[str]:
        """The keys of his decisions that readers see."""
        sums = reader.ledger_sums(subject)
        if sums.get(DEFERRED) or sums.get(SUPPRESSED):
            return {one.key for one in reader.entries([subject], TimelineFilters(types=DECISIONS), None)}
        return {row.key for row in reader.contacts([subject], 0)} if sums.get(RESERVED) else set()


def reached_at(settings: Settings) -> str | None:
    """The URL at which other replicas reach this one; None where nobody can know it."""
    if settings.advertise is not None or settings.port == 0:
        return settings.advertise
    host = socket.gethostname() if settings.host in EVERY_ADDRESS else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
