"""The log of decisions about contacts, and that of the clock's verdicts, which one process at a time writes: topics of
one partition, kept for a month.

A decision is the journal's own record of it (the clear header, the body sealed with its subject's key) with two headers
more: `epoch` names the term of the process that decided, `stated` the offset at which that was said to begin.

**What counts is decided by the log's own order.** Who takes over says so in the log: from there on his epoch is in
force, and no other's decisions count. A process that was held still, or cut off, and goes on deciding, writes behind
that; and since a decision is answered only when it was read back while its epoch was in force, nobody is told of it.

Every decision that counts is copied into the journal as it is, by who decides then; who takes over copies again what he
does not know to be there. A repeat is known by its key. Nothing is sealed anew: what was destroyed stays destroyed.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import orjson

from touchbook.errors import BodyUnreadable, BrokerUnavailable, KeyDestroyed, NoDecider, StoreUnavailable
from touchbook.positions import offset_of, part_of, position_in
from touchbook.schemas.touchpoint import Record, Touchpoint
from touchbook.sealing import new_key_id
from touchbook.streams.backends.drafts import Batch, Clock, Draft, Drafting, Queue, tell
from touchbook.streams.backends.kafka import KafkaPlace
from touchbook.streams.backends.kafka_follower import At, Read, TopicFollower
from touchbook.streams.backends.kafka_journal import MAX_DRAIN, Writer
from touchbook.streams.backends.kafka_producer import Producer, Row
from touchbook.streams.backends.kafka_records import headers_of, part_for, record_of
from touchbook.streams.backends.kafka_tails import KafkaTails
from touchbook.streams.backends.kafka_topics import DECISIONS, JOURNAL
from touchbook.streams.keyring import DataKey, Keyring

log = logging.getLogger(__name__)

STATEMENT = b"epoch"
"""The key of what says that an epoch begins. No subject's id is spelled so."""
EPOCH, STATED = "epoch", "stated"
NOBODY = ""
PATIENCE_SECONDS = 10.0
"""How long what was written may take to be read back."""
SEND_AT_ONCE = 5_000
STATED_AGAIN = 2_000
"""So many decisions that readers see by now make it worth saying so: a process that starts need not read them."""
STATED_AGAIN_SECONDS = 60.0
STATED_AT_LEAST_SECONDS = 24 * 3_600.0
"""Far less than the log is kept, so that who is in charge can always be read in it."""
REMEMBERED = 1_000


class Statement(NamedTuple):
    """That an epoch begins here, or (`again`) still is in force where it is; and from where on the log has to be read.

    Every decision before `start` that counts is in the journal, and whoever sees it up to `shown` (positions, one for
    each part that matters) sees them all; `before` was in force there.
    """

    epoch: str
    url: str
    """Where the process that decides is reached."""
    start: int
    before: str
    shown: Mapping[int, int]
    again: bool


class _Decision(NamedTuple):
    """One that counts. `position`: where its copy stands in the journal, once there is one that is acknowledged."""

    record: Record
    position: int | None = None


class _Waiting(NamedTuple):
    """Who is to be told whether what was written up to this offset counts."""

    offset: int
    epoch: str
    since: float
    told: Callable[[bool | None], None]
    """None: it could not be read back, so it is not known."""


class KafkaDecisions:
    """The log as this process knows it, read by a thread of its own. Any thread may use it."""

    def __init__(
        self,
        place: KafkaPlace,
        parts: int,
        keyring: Keyring,
        producer: Producer,
        clock: Clock,
        shows: Callable[[int], bool],
        *,
        patience: float = PATIENCE_SECONDS,
        topic: str = DECISIONS,
    ) -> None:
        """`parts` are the journal's; `shows` says whether readers here see what stands at a position of it."""
        self._place = place
        self.topic = topic
        self._at: At = (topic, 0)
        self._parts = parts
        self.keyring = keyring
        self.producer = producer
        self.clock = clock
        self._shows = shows
        self._patience = patience
        self._secret = keyring.identity_key.key_for(topic)
        self._moved = threading.Condition()
        self._closing = False
        self._reset()
        self.follower = TopicFollower(place, [topic], self, topic, ask_seconds=patience / 2)

    def _reset(self) -> None:
        self._next: int | None = None
        """The next offset to be read; None until it is known where to begin."""
        self._in_force: deque[tuple[int, str]] = deque([(-1, NOBODY)], maxlen=REMEMBERED)
        """From which offset on which epoch, the newest last."""
        self._stated: tuple[int, Statement] | None = None
        self._leading: str | None = None
        """Our epoch, once it was in force."""
        self._shown: dict[int, int] = {}
        self._decisions: dict[int, _Decision] = {}
        """By offset: those that count and are not known to be seen by readers."""
        self._to_copy: deque[int] = deque()
        self._waiting: list[_Waiting] = []
        self._seen_since = 0
        self._said_at = 0.0

    def start(self) -> None:
        self.follower.start()

    def close(self) -> None:
        """May be called again."""
        with self._moved:
            self._closing = True
            waiting, self._waiting = self._waiting, []
            self._moved.notify_all()
        for one in waiting:
            one.told(None)
        self.follower.stop()

    # Who decides

    @property
    def stated(self) -> Statement | None:
        """What was said last, as far as this process has read; None if nothing was."""
        stated = self._stated
        return None if stated is None else stated[1]

    @property
    def stated_at(self) -> int:
        stated = self._stated
        return -1 if stated is None else stated[0]

    @property
    def ready(self) -> bool:
        """Whether it is known from where on the log has to be read."""
        return self._next is not None

    def in_force(self, epoch: str) -> bool:
        return self._in_force[-1][1] == epoch

    def begin(self, url: str) -> str | None:
        """Says that another epoch begins, whose decisions are reached at this URL. Its name, once that was read back
        and is in force; None where it is not. All decisions of earlier epochs that count are known here then.

        Only where it is `ready`. Raises StoreUnavailable while brokers do not take it.
        """
        epoch = new_key_id()
        with self._moved:
            row = self._saying(epoch, url, again=False)
        [offset] = self.producer.send([row]).result()
        with self._moved:
            self._moved.wait_for(lambda: self._closing or (self._next or 0) > offset, self._patience)
            if not self.in_force(epoch):
                return None
            self._leading = epoch
            self._to_copy = deque(self._decisions)
            return epoch

    def caught_up(self) -> bool:
        """Whether readers here see every decision that counts and is not held here."""
        with self._moved:
            return all(map(self._shows, self._shown.values()))

    def held(self) -> list[tuple[Record, int]]:
        """The decisions that count and that readers may not see yet, the oldest first, with what `shows` calls them."""
        with self._moved:
            return [(one.record, position_in(0, offset)) for offset, one in self._decisions.items()]

    def shows(self, position: int) -> bool:
        """Whether readers see the decision that stands at this position of the log."""
        with self._moved:
            decision = self._decisions.get(offset_of(position))
        return decision is None or (decision.position is not None and self._shows(decision.position))

    def unseen(self) -> int:
        return len(self._decisions)

    def tend(self) -> None:
        """What who decides does now and then: copies again what could not be, lets go of what readers see by now, and
        says so. Tells whoever waited too long for what he wrote to be read back."""
        self._copy()
        now = time.monotonic()
        with self._moved:
            overdue = [one for one in self._waiting if now - one.since > self._patience]
            self._waiting = [one for one in self._waiting if now - one.since <= self._patience]
            self._let_go()
            row = self._saying_again(now)
        for one in overdue:
            one.told(None)
        if row is not None:
            self.producer.send([row])

    def tell(self, offset: int, epoch: str, told: Callable[[bool | None], None]) -> None:
        """Calls `told`, from any thread, once it is known whether what this epoch wrote up to this offset counts."""
        with self._moved:
            waits = not self._closing and (self._next or 0) <= offset
            if waits:
                self._waiting.append(_Waiting(offset, epoch, time.monotonic(), told))
            counts = None if self._closing else self._epoch_at(offset) == epoch
        if not waits:
            told(counts)

    # What the follower brings; see `Followed`

    def offsets(self) -> Mapping[At, int]:
        if self._next is None:
            start, before = self._beginning()
            with self._moved:
                self._reset()
                self._in_force[0] = (-1, before)
                self._next = start
        assert self._next is not None
        return {self._at: self._next}

    def in_step_at(self) -> int:
        return time.time_ns() // 1_000_000  # what is not in memory is read anew

    def in_step(self, at: int) -> None: ...

    def forget(self) -> None:
        with self._moved:
            waiting = self._waiting
            self._reset()
            self._next = 0
        for one in waiting:
            one.told(None)

    def apply(self, records: Sequence[Read], offsets: Mapping[At, int]) -> None:
        with self._moved:
            for record in records:
                if record.offset >= (self._next or 0):
                    self._take(record)
                    self._next = record.offset + 1
            self._next = max(self._next or 0, offsets[self._at])
            ended = self._passed()
            self._moved.notify_all()
        for one, counts in ended:
            one.told(counts)
        self._copy()

    # The parts

    def _beginning(self) -> tuple[int, str]:
        """Where to begin, and which epoch is in force there. Any record says from where on the log has to be read; that
        of a process that was held still is an old one, and what it says of what was before is true nevertheless."""
        topic = self._place.topic(self.topic)
        with KafkaTails(self._place) as tails:
            end = tails.ends([(topic, 0)])[topic, 0]
            last = tails.records(topic, 0, end - 1, end) if end else []
            if last and last[0].key != STATEMENT:
                stated = int(dict(last[0].headers).get(STATED, b"-1"))
                last = tails.records(topic, 0, stated, stated + 1) if stated >= 0 else []
        statement = self._opened(last[0].value) if last else None
        return (0, NOBODY) if statement is None else (statement.start, statement.before)

    def _take(self, record: Read) -> None:
        if record.key == STATEMENT:
            if (statement := self._opened(record.value)) is None:
                log.error("the log of %s holds what no process of ours wrote at offset %d; see who else may "
                          "write this topic", self.topic, record.offset)  # fmt: skip
            elif not statement.again or self.in_force(statement.epoch):
                self._begun(record.offset, statement)
            return
        epoch = self._in_force[-1][1]
        if epoch == NOBODY or dict(record.headers).get(EPOCH) != epoch.encode():
            return
        try:
            taken = record_of(0, record.offset, record.timestamp, record.key, record.value, record.headers)
        except BodyUnreadable as error:
            log.error("in the log of %s %s", self.topic, error)
            return
        self._decisions[record.offset] = _Decision(taken)
        if self._leading == epoch:
            self._to_copy.append(record.offset)

    def _begun(self, offset: int, statement: Statement) -> None:
        if not statement.again:
            self._in_force.append((offset, statement.epoch))
        self._stated = offset, statement
        for part, position in statement.shown.items():
            self._shown[part] = max(position, self._shown.get(part, 0))
        while self._decisions and (known := next(iter(self._decisions))) < statement.start:
            del self._decisions[known]

    def _epoch_at(self, offset: int) -> str | None:
        return next((epoch for since, epoch in reversed(self._in_force) if since < offset), None)

    def _passed(self) -> list[tuple[_Waiting, bool]]:
        passed = [one for one in self._waiting if one.offset < (self._next or 0)]
        if passed:
            self._waiting = [one for one in self._waiting if one.offset >= (self._next or 0)]
        return [(one, self._epoch_at(one.offset) == one.epoch) for one in passed]

    def _copy(self) -> None:
        """Into the journal, what is to be copied and was not; only who decides does."""
        with self._moved:
            if not self._to_copy or not self._leads():
                return
            count = min(len(self._to_copy), SEND_AT_ONCE)
            offsets = [self._to_copy.popleft() for _ in range(count)]
            known = [(offset, self._decisions[offset]) for offset in offsets if offset in self._decisions]
        try:
            copied = [(offset, self._copy_of(one.record)) for offset, one in known if self._opens(one.record)]
            sent = self.producer.send([row for _, row in copied])
        except StoreUnavailable:
            self._again([offset for offset, _ in known])
            return
        gone = {offset for offset, _ in known} - {offset for offset, _ in copied}
        with self._moved:
            for offset in gone:
                self._decisions.pop(offset, None)
        sent.add_done_callback(partial(self._copied, copied))

    def _opens(self, record: Record) -> bool:
        """Of whom was erased meanwhile nothing new comes into the journal."""
        try:
            self.keyring.key(record.key_id)
        except KeyDestroyed:
            return False
        return True

    def _copy_of(self, record: Record) -> Row:
        _, key, source, type_, version, channel, subject, key_id, occurred_at, _, sealed = record
        headers = headers_of(key, source, type_, version, channel, key_id, occurred_at)
        part = part_for(subject, self._parts)
        return Row(self._place.topic(JOURNAL), part, subject.encode(), sealed, headers, self.clock())

    def _copied(self, copied: Sequence[tuple[int, Row]], sent: Future[list[int]]) -> None:
        """In the producer's thread."""
        if sent.exception() is not None:
            self._again([offset for offset, _ in copied])
            return
        with self._moved:
            for (offset, row), at in zip(copied, sent.result(), strict=True):
                if (known := self._decisions.get(offset)) is not None:
                    self._decisions[offset] = known._replace(position=position_in(row.part, at))

    def _again(self, offsets: Sequence[int]) -> None:
        with self._moved:
            self._to_copy.extendleft(reversed(offsets))

    def _let_go(self) -> None:
        """Of what readers see, in the log's order, so that one offset tells how far."""
        while self._decisions:
            offset, decision = next(iter(self._decisions.items()))
            position = decision.position
            if position is None or not self._shows(position):
                return
            del self._decisions[offset]
            part = part_of(position)
            self._shown[part] = max(position, self._shown.get(part, 0))
            self._seen_since += 1

    def _saying_again(self, now: float) -> Row | None:
        """The statement of our epoch anew, where it is worth it."""
        if self._stated is None or not self._leads():
            return None
        assert self._leading is not None
        since = now - self._said_at
        worth = self._seen_since >= STATED_AGAIN or (self._seen_since and since > STATED_AGAIN_SECONDS)
        if not worth and since < STATED_AT_LEAST_SECONDS:
            return None
        return self._saying(self._leading, self._stated[1].url, again=True)

    def _leads(self) -> bool:
        return self._leading is not None and self.in_force(self._leading)

    def _saying(self, epoch: str, url: str, *, again: bool) -> Row:
        assert self._next is not None
        start = next(iter(self._decisions), self._next)
        said = Statement(epoch, url, start, self._epoch_at(start) or NOBODY, self._shown, again)
        self._seen_since, self._said_at = 0, time.monotonic()
        return Row(self._place.topic(self.topic), 0, STATEMENT, self._signed(said), [], self.clock())

    def _signed(self, said: Statement) -> bytes:
        """Other processes send their callers' keys to where this says: nobody without our identity key may say it."""
        text = orjson.dumps(said._asdict(), option=orjson.OPT_NON_STR_KEYS)
        return hmac.digest(self._secret, text, "sha256") + text

    def _opened(self, value: bytes | None) -> Statement | None:
        signature, text = (value or b"")[:32], (value or b"")[32:]
        if not hmac.compare_digest(signature, hmac.digest(self._secret, text, "sha256")):
            return None
        said = orjson.loads(text)
        return Statement(**{**said, "shown": {int(part): at for part, at in said["shown"].items()}})


class Term(Drafting):
    """What a process records while it decides, as a journal takes it: `append` answers once a decision was read back
    while its epoch was in force; else with NoDecider, or JournalUnavailable where that is not known. The positions are
    the log's, and `shows` alone knows them."""

    def __init__(self, decisions: KafkaDecisions, epoch: str, max_queue: int) -> None:
        super().__init__(decisions.keyring)
        self.epoch = epoch
        self._log = decisions
        self._deciding = _Deciding(decisions, epoch, Queue(max_queue, MAX_DRAIN))
        self._deciding.start()

    @property
    def _queue(self) -> Queue:
        return self._deciding.queue

    def shows(self, position: int) -> bool:
        return self._log.shows(position)

    def taken_over(self) -> list[tuple[Touchpoint, int]]:
        """The decisions that count and that readers may not see yet, with their positions; those of customers who were
        erased are left out."""
        found = []
        for record, position in self._log.held():
            try:
                found.append((self.open(record), position))
            except KeyDestroyed:
                continue
        return found

    def close(self) -> None:
        self._deciding.stop()


class _Deciding(Writer):
    """The journal's writer, into the log instead."""

    def __init__(self, decisions: KafkaDecisions, epoch: str, queue: Queue) -> None:
        place, keyring, clock = decisions._place, decisions.keyring, decisions.clock
        super().__init__(place, 1, keyring, clock, decisions.producer, queue, None)
        self.name = f"the log of {decisions.topic}"
        self._topic = place.topic(decisions.topic)
        self._log = decisions
        self._epoch = epoch

    def _row(self, draft: Draft, data_key: DataKey, recorded_at: int, sealed: bytes) -> Row:
        row = super()._row(draft, data_key, recorded_at, sealed)
        stated = (STATED, b"%d" % self._log.stated_at)
        return row._replace(part=0, headers=[*row.headers, (EPOCH, self._epoch.encode()), stated])

    def _land(self, batch: Batch, rows: list[Row], future: Future[list[int]]) -> None:
        if future.exception() is not None:
            super()._land(batch, rows, future)
            return
        self._log.tell(max(future.result()), self._epoch, partial(self._read_back, batch, rows, future))

    def _read_back(
        self, batch: Batch, rows: list[Row], future: Future[list[int]], counts: bool | None
    ) -> None:
        if counts:
            super()._land(batch, rows, future)
        elif counts is None:
            self._end(batch, rows, BrokerUnavailable("what was decided could not be read back in time"))
        else:
            tell(batch, NoDecider("another process decides by now"))
            self._fly(-len(rows))
