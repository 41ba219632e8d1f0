"""Clocks of two replicas, of which one may be held still between its look and what it records of it: the log of
verdicts is the real one, over brokers in lists and readers of one machine."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.clocks import MINUTE, Company, a_company
from tests.streams.listed import Listed
from tests.streams.test_clock import (
    IGNORED,
    REQUESTS,
    SLOW,
    TICK,
    Killed,
    Said,
    Told,
    a_customer,
)
from touchbook.positions import offset_of
from touchbook.projections.watch import Watch
from touchbook.schemas.times import milliseconds
from touchbook.schemas.touchpoint import Touchpoint
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import Read
from touchbook.streams.backends.kafka_producer import Row
from touchbook.streams.backends.kafka_records import record_of
from touchbook.streams.backends.kafka_topics import VERDICTS
from touchbook.streams.clock import Clock
from touchbook.streams.clock_many import ManyTerms
from touchbook.streams.duty import Term
from touchbook.streams.journal import Appended, pending
from touchbook.streams.metrics import Metrics
from touchbook.turns import turns_of

PLACE = KafkaPlace(bootstrap=("127.0.0.1:1",), prefix="t")
AT = (VERDICTS, 0)
HISTORIES = 8
ROLES = ("customer", "customer", "agent", "bot")


class Brokers:
    """The log of verdicts in a list; the journal is the company's own."""

    def __init__(self, company: Company) -> None:
        self.company = company
        self.log: list[Read] = []
        self.replicas: list[Replica] = []
        self.lock = threading.RLock()

    def send(self, rows: Sequence[Row]) -> Future[list[int]]:
        answer: Future[list[int]] = pending()
        with self.lock:
            answer.set_result([self._write(row) for row in rows])
            for one in self.replicas:
                one.log.read()
        return answer

    def _write(self, row: Row) -> int:
        assert row.key is not None
        if row.topic == PLACE.topic(VERDICTS):
            self.log.append(Read(VERDICTS, 0, len(self.log), row.key, row.value, row.headers, 0))
            return len(self.log) - 1
        journal = self.company.book.journal
        touchpoint = journal.open(record_of(0, 0, row.timestamp or 0, row.key, row.value, row.headers))
        ((_, position),) = journal.append([touchpoint]).result(30)
        return position

    def shows(self, position: int) -> bool:
        return self.folded(offset_of(position))

    def folded(self, position: int) -> bool:
        with self.company.book.projections.reading() as reader:
            return reader.position() >= position


class Log(Listed):
    brokers: Brokers

    def __init__(self, brokers: Brokers) -> None:
        self.brokers = brokers
        book = brokers.company.book
        producer: Any = brokers
        super().__init__(
            PLACE, 1, book.keyring, producer, brokers.company.time, brokers.shows, topic=VERDICTS
        )
        self.offsets()

    def read(self) -> None:
        with self.brokers.lock:
            records = self.brokers.log[self.offsets()[AT] :]
            if records:
                self.apply(records, {AT: len(self.brokers.log)})


class Has:
    """A duty that is where the test says."""

    has = False

    def start(self) -> None: ...

    def held(self) -> bool:
        return self.has

    def close(self) -> None:
        self.has = False


class Held:
    """A term as a clock sees it that is held still, or killed, while it records."""

    def __init__(
        self, term: Term, before: Callable[[Sequence[Touchpoint]], None], after: Callable[[], None]
    ) -> None:
        self.term, self.before, self.after = term, before, after
        self.shows, self.taken_over = term.shows, term.taken_over

    def append(self, touchpoints: Sequence[Touchpoint]) -> Future[list[Appended]]:
        self.before(touchpoints)
        answer = self.term.append(touchpoints)
        self.after()
        return answer


class Replica:
    def __init__(self, brokers: Brokers, watch: Watch) -> None:
        self.brokers, self.watch = brokers, watch
        company, self.duty, self.log = brokers.company, Has(), Log(brokers)
        self.terms = ManyTerms(self.duty, self.log, max_queue=1_000)
        self._seen: Held | None = None
        self.before: Callable[[Sequence[Touchpoint]], None] = lambda touchpoints: None
        self.after: Callable[[], None] = lambda: None
        self.refused = 0
        book = company.book
        self.clock = Clock(
            book.admission, book.customers, watch, book.policies, self, Metrics(), company.time,
            lambda: company.time() if brokers.folded(book.journal.head()) else 0,
        )  # fmt: skip
        brokers.replicas.append(self)

    def look(self, on_duty: bool = True) -> int:
        """Whoever has the duty sees that he has it, and looks."""
        for one in self.brokers.replicas:
            one.duty.has = on_duty and one is self
        for _ in range(3):
            self.terms._not_before = 0.0
            self.terms._look()
        self.watch.look()
        return self.clock.look()

    def start(self) -> None: ...

    def term(self) -> Term | None:
        term = self.terms.term()
        if term is not None and (self._seen is None or self._seen.term is not term):
            self._seen = Held(term, lambda said: self.before(said), lambda: self.after())
        return None if term is None else self._seen

    def end(self, term: Term) -> None:
        assert isinstance(term, Held)
        self.refused += 1
        self.terms.end(term.term)

    def close(self) -> None:
        self.terms.close()
        self.brokers.replicas.remove(self)


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    with a_company(policy=SLOW) as company:
        yield company


@pytest.fixture
def watches(company: Company, tmp_path: Path) -> Iterator[list[Watch]]:
    book = company.book
    made = [
        Watch(book.projections, book.customers, book.scorecards, book.policies, company.time, tmp_path / name)
        for name in ("one.sqlite", "other.sqlite")
    ]
    yield made
    for one in made:
        one.close()


def unlike_one_verdict(company: Company, who: str) -> list[tuple[str, int]]:
    """Turns of a customer that bear none or several verdicts, and verdicts on no turn."""
    said = Counter(one.data["turn"] for one in company.ours(*REQUESTS) if one.subject.value == who)
    book = company.book
    with book.projections.reading() as reader:
        customer = book.customers.find(f"user_id:{who}")
        turns = turns_of(reader.messages(customer.subjects))
    on = {turn.opening: sum(said.pop(key, 0) for key in turn.customer_keys) for turn in turns}
    return [(opening, verdicts) for opening, verdicts in on.items() if verdicts != 1] + list(said.items())


def test_a_clock_held_still_while_another_takes_over_makes_no_second_verdict_about_a_turn(
    company: Company, watches: list[Watch]
) -> None:
    """Between its look and what it records of it a message arrives that is earlier, or an earlier answer; the other
    begins, and looks. Clocks are killed before and after they record, too."""
    refused, killed = [0], [0]

    def whatever_is_said(seed: int) -> None:
        chance, customer = random.Random(seed), a_customer(company)
        said = [
            Said(chance.randrange(3), at, at + chance.choice([0, 0, 1, 3, 30]), chance.choice(ROLES), False)
            for at in chance.sample(range(100), 12)
        ]
        brokers = Brokers(company)
        replicas = [Replica(brokers, watch) for watch in watches]
        calm = False

        def meanwhile(first: int, touchpoints: Sequence[Touchpoint]) -> None:
            if calm or not any(one.type in REQUESTS for one in touchpoints):
                return
            if chance.random() < 0.2:
                killed[0] += 1
                raise Killed
            replicas[first].before = lambda touchpoints: None
            earlier(customer, touchpoints, chance)
            company.folded()
            if chance.random() < 0.8:
                replicas[1 - first].look()
                company.folded()

        def afterwards() -> None:
            if not calm and chance.random() < 0.15:
                killed[0] += 1
                raise Killed

        def look() -> None:
            company.folded()
            for _ in range(20):
                first = chance.randrange(2)
                one = replicas[first]
                one.before, one.after = partial(meanwhile, first), afterwards
                try:
                    one.look()
                except Killed:
                    refused[0] += one.refused
                    one.close()
                    replicas[first] = Replica(brokers, one.watch)
                one.before, one.after = lambda touchpoints: None, lambda: None
                company.folded()
                if not replicas[first].look():
                    break
                company.folded()
            company.folded()
            company.book.watch.look()

        customer.happens(said, look)
        calm = True
        for _ in range(8):
            company.time.at += IGNORED * TICK // 4
            look()
        refused[0] += sum(one.refused for one in replicas)
        for one in replicas:
            one.close()
        assert unlike_one_verdict(company, customer.who) == []

    for seed in range(HISTORIES):
        whatever_is_said(seed)
    assert refused[0] > HISTORIES
    assert killed[0] > HISTORIES


def earlier(customer: Told, touchpoints: Sequence[Touchpoint], chance: random.Random) -> None:
    """A message of a turn that a verdict is about to be on, from before all of it."""
    for one in touchpoints:
        if one.type in REQUESTS:
            say = customer.company.asked if chance.random() < 0.7 else customer.company.answered
            at = milliseconds(one.data["opened"], "opened") - MINUTE
            say(one.data["thread"], at=at, who=customer.who)
            return
