"""Scores and open matters of every customer in a compacted topic: what it says last of a customer is how he stands.

Who holds the duty tells. He compares what the topic says with what the watch knows: of everybody when he begins, then
of each customer who changed, and of each of whom anything was read back. So it does not matter what was told before a
kill, nor whether two told at once for a while: where the two differ, it is told again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import orjson

from touchbook.projections.watched import Change, Matter, State
from touchbook.schemas.times import day_text, rfc3339
from touchbook.streams.duty import Duty

log = logging.getLogger(__name__)

PAGE = 500
"""Customers compared at a time."""
LOOK_SECONDS = 0.5
"""How soon is looked again where nothing was heard."""
CAUGHT_UP_SECONDS = 1.0
"""How long is waited for what the topic says before it is seen whether this shall go on."""
LONGEST_PAUSE = 5.0
MOST_COUNTED = 10_000
LAST = "~"
"""Stands behind every permanent id."""

Digest = bytes


class Watched(Protocol):
    """What is asked of the watch."""

    @property
    def as_of(self) -> int | None: ...

    @property
    def forgot(self) -> object:
        """Another once something of somebody went without a change that tells it, as after an erasure."""

    def of(self, customer: str) -> State | None: ...

    def states(self, after: str, limit: int) -> Sequence[State]: ...

    def last(self) -> str: ...

    def changes(self, token: str, limit: int) -> Sequence[Change] | None: ...

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]: ...


class Told(Protocol):
    """The topic, and what it says. Between `start` and `stop` it is read."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...

    def caught_up(self, seconds: float) -> bool:
        """Whether all that the topic holds as of this call was read within so many seconds."""

    def of(self, customers: Collection[str]) -> Mapping[str, Digest]:
        """What it says last of these customers, as far as it was read; of whom it says nothing is left out."""

    def between(self, after: str, last: str) -> Mapping[str, Digest]:
        """The same of everybody beyond one permanent id up to another."""

    def read_back(self) -> set[str]:
        """Of whom anything else was read since this was asked last."""

    def tell(self, values: Mapping[str, bytes | None]) -> None:
        """Returns when it is acknowledged; None takes away what was told. Raises StoreUnavailable: it is not known."""


class ScoresTopic:
    """Keeps the topic up with the watch, in a thread of its own, while the duty is this process's."""

    def __init__(self, watch: Watched, told: Told, duty: Duty, share: float = 0.2) -> None:
        """`share` of a core is what comparing everybody takes at most."""
        self._watch, self._told, self._duty = watch, told, duty
        self._rest = 1 / share - 1
        self._since: tuple[str, object] | None = None
        """Behind which change, and what `forgot` was then; None: everybody is to be compared."""
        self._reading = False
        self._closing = False
        self._woken = threading.Condition()
        self._heard = False
        self._thread = threading.Thread(target=self._run, name="scores-topic", daemon=True)
        self.failing_because: str | None = None
        self.failed = 0
        """Attempts since it began."""

    def start(self) -> None:
        self._duty.start()
        self._thread.start()

    def close(self) -> None:
        """May be called again, and without a start."""
        with self._woken:
            self._closing = True
            self._woken.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self._duty.close()
        self._told.close()

    def look(self) -> int:
        """One step, in this thread: how many customers were compared. 0 where another does it, and while the watch
        has not seen everybody yet: whom it does not know is taken away."""
        if not self._duty.held() or self._watch.as_of is None:
            self._rest_from_duty()
            return 0
        if not self._reading:
            self._told.start()
            self._reading = True
        changes: Sequence[Change] | None = None
        if self._since is not None and self._since[1] == self._watch.forgot:
            changes = self._watch.changes(self._since[0], PAGE)
        if self._since is None or changes is None:
            return self._all()
        customers = {one.customer for one in changes} | self._told.read_back()
        if customers:
            with self._resting():
                states = {one: state for one in customers if (state := self._watch.of(one)) is not None}
                self._tell(states, self._told.of(customers))
        if changes:
            self._since = changes[-1].token, self._since[1]
        return len(customers)

    def lost(self) -> None:
        """It is not known what was told last: the next look compares everybody."""
        self._since = None

    def waiting(self) -> int:
        """Of how many customers, as far as this process knows, the topic does not say how they stand; at most
        MOST_COUNTED. While everybody is to be compared, all. 0 where another process tells."""
        if not self._duty.held() or self._watch.as_of is None:
            return 0
        since = self._since
        changes = self._watch.changes(since[0], MOST_COUNTED) if since is not None else None
        if changes is None:
            return len(self._watch.states("", MOST_COUNTED))
        return len({one.customer for one in changes})

    def _all(self) -> int:
        """Everybody, from the first to the last. Who changes meanwhile is looked at once more afterwards."""
        self._since = None
        since = self._watch.last(), self._watch.forgot
        while not self._told.caught_up(CAUGHT_UP_SECONDS):
            if self._ended():
                return 0
        compared, after = 0, ""
        while after != LAST:
            if self._ended():
                return compared
            with self._resting():
                states = self._watch.states(after, PAGE)
                last = states[-1].customer if len(states) == PAGE else LAST
                self._tell({one.customer: one for one in states}, self._told.between(after, last))
            compared, after = compared + len(states), last
        self._since = since
        return compared

    def _ended(self) -> bool:
        return self._closing or not self._duty.held()

    def _tell(self, states: Mapping[str, State], said: Mapping[str, Digest]) -> None:
        """Where the two differ."""
        values: dict[str, bytes | None] = {
            customer: value_of(state)
            for customer, state in states.items()
            if said.get(customer) != digest_of(content_of(state))
        }
        values |= dict.fromkeys(said.keys() - states.keys())
        if values:
            self._told.tell(values)

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Rests afterwards for as long as the share of a core asks."""
        began = time.thread_time()
        yield
        self._wait((time.thread_time() - began) * self._rest)

    def _rest_from_duty(self) -> None:
        if self._reading:
            self._reading, self._since = False, None
            self._told.stop()

    def _run(self) -> None:
        pause = 0.05
        forget = self._watch.listen(self._hear)
        try:
            while not self._closing:
                try:
                    compared = self.look()
                    self.failing_because, pause = None, 0.05
                    if not compared:
                        self._wait(LOOK_SECONDS, woken=True)
                except Exception as error:  # what was told is not known: it will be compared
                    self.failing_because = f"{type(error).__name__}: {error}"
                    self.failed += 1
                    self.lost()
                    log.warning("scores are not told for %.2f s: %s", pause, self.failing_because)
                    self._wait(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            forget()

    def _hear(self) -> None:
        with self._woken:
            self._heard = True
            self._woken.notify_all()

    def _wait(self, seconds: float, *, woken: bool = False) -> None:
        with self._woken:
            self._woken.wait_for(lambda: self._closing or (woken and self._heard), seconds)
            if woken:
                self._heard = False


def content_of(state: State) -> dict[str, Any]:
    """What has to be told anew when it changes. Milli-points move every day without anything having happened."""
    return {
        "scores": {name: [one.value, one.tier] for name, one in state.scores.items()},
        "matters": [_matter(one) for one in state.matters],
    }


def value_of(state: State) -> bytes:
    """The value of a record: how the customer stood at `at`."""
    return orjson.dumps(
        {
            "customer": state.customer,
            "at": day_text(state.at),
            "version": state.version,
            "scores": {
                name: {"value": one.value, "tier": one.tier, "milli_points": one.milli_points}
                for name, one in state.scores.items()
            },
            "matters": [_matter(one) for one in state.matters],
        }
    )


def content_in(value: bytes) -> Any:
    """What `content_of` the state was that a value tells; None for a value that is none of ours."""
    try:
        said = orjson.loads(value)
        scores = {name: [one["value"], one["tier"]] for name, one in said["scores"].items()}
        return {"scores": scores, "matters": said["matters"]}
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def digest_of(content: Any) -> Digest:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _matter(one: Matter) -> dict[str, Any]:
    due = None if one.due is None else rfc3339(one.due)
    return {"kind": one.kind, "since": rfc3339(one.since), "due": due}
