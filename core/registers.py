"""Registers when read: the latest values of a customer, and the matters still open between him and us.

Nothing here is stored as a verdict: what is open, overdue or unanswered is computed for the moment asked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

OF_TIME = ("verdict", "stage")
"""Kinds of registers of which there is one for every turn, or every stage, that ever was: only who judges by time needs
them, and others read a customer of many years faster without."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The latest value of a register, and the touchpoint that set it. Times are milliseconds UTC."""

    kind: str
    key: str
    value: Any
    occurred_at: int
    touchpoint: str


@dataclass(frozen=True, slots=True)
class ThreadMessage:
    """One message of a thread. `subject` is the permanent id it was recorded under.

    `agent`, `team`  who wrote it, of messages of ours
    `closes`         what the customer says after it opens the thread anew
    """

    subject: str
    thread: str
    occurred_at: int
    key: str
    role: str
    public: bool
    channel: str
    agent: str | None = None
    team: str | None = None
    purpose: str | None = None
    closes: bool = False

    @property
    def answers(self) -> bool:
        """A public word of ours answers every message of the customer before it."""
        return self.public and self.role != "customer"


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case or order that is not closed. `opened_at` is None where only a later stage was ever heard of."""

    kind: str
    id: str
    stage: str | None
    title: str | None
    opened_at: int | None
    changed_at: int
    touchpoint: str


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A customer's words nobody answered yet: `since` the first of them, whose `purpose` it is too, `messages` how
    many."""

    thread: str
    channel: str
    since: int
    messages: int
    touchpoint: str
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """What we promised. `state`: open, overdue (due and not heard of), kept or broken."""

    id: str
    what: str | None
    due: int | None
    state: str
    touchpoint: str


def latest(settings: Iterable[Setting]) -> list[Setting]:
    """Of several members' registers the latest value of each (kind, key), in their order; a tie goes to the greater
    touchpoint key."""
    best: dict[tuple[str, str], Setting] = {}
    for setting in settings:
        known = best.get((setting.kind, setting.key))
        if known is None or (known.occurred_at, known.touchpoint) < (setting.occurred_at, setting.touchpoint):
            best[setting.kind, setting.key] = setting
    return [best[name] for name in sorted(best)]


def values_of(settings: Iterable[Setting], kind: str) -> dict[str, Any]:
    """key → value of the registers of a kind; cleared ones (None) are left out."""
    return {one.key: one.value for one in settings if one.kind == kind and one.value is not None}


def open_cases(settings: Iterable[Setting]) -> list[OpenCase]:
    """Cases and orders not closed, oldest first. A stage heard of without a state is open."""
    by_kind: dict[str, dict[str, Setting]] = {"case": {}, "case_opened": {}, "case_stage": {}}
    for setting in settings:
        if setting.kind in by_kind:
            by_kind[setting.kind][setting.key] = setting
    found = []
    for key in {*by_kind["case"], *by_kind["case_opened"], *by_kind["case_stage"]}:
        state, opened, stage = (by_kind[kind].get(key) for kind in ("case", "case_opened", "case_stage"))
        if state is not None and state.value.get("state") == "closed":
            continue
        heard = [one for one in (state, opened, stage) if one is not None]
        last = max(heard, key=lambda one: (one.occurred_at, one.touchpoint))
        kind, _, id = key.partition(":")
        found.append(
            OpenCase(
                kind=kind,
                id=id,
                stage=stage.value.get("stage") if stage else None,
                title=opened.value.get("title") if opened else None,
                opened_at=opened.occurred_at if opened else None,
                changed_at=last.occurred_at,
                touchpoint=last.touchpoint,
            )
        )
    return sorted(found, key=lambda case: (case.opened_at or case.changed_at, case.kind, case.id))


def open_requests(messages: Iterable[ThreadMessage]) -> list[OpenRequest]:
    """Per thread the customer's messages after our last public word, if there are any; the longest waiting first."""
    found = [
        OpenRequest(
            waiting[0].thread,
            waiting[0].channel,
            waiting[0].occurred_at,
            len(waiting),
            waiting[0].key,
            waiting[0].purpose,
        )
        for waiting in waiting_in(messages)
    ]
    return by_waiting(found)


def by_waiting(requests: Iterable[OpenRequest]) -> list[OpenRequest]:
    """The longest waiting first."""
    return sorted(requests, key=lambda request: (request.since, request.thread))


def waiting_in(messages: Iterable[ThreadMessage]) -> Iterator[list[ThreadMessage]]:
    """The customer's messages after our last public word, thread by thread, oldest first; threads without are left
    out. What he wrote between the words of a person and the end of a chat asks for nothing: mostly it is thanks."""
    ordered = sorted(messages, key=lambda message: (message.thread, message.occurred_at, message.key))
    for _, those in groupby(ordered, key=lambda message: message.thread):
        waiting: list[ThreadMessage] = []
        heard: str | None = None
        for message in those:
            if message.answers or (message.closes and heard == "agent"):
                waiting.clear()
                heard = message.role if message.answers else heard
            elif message.role == "customer":
                waiting.append(message)
        if waiting:
            yield waiting


def promises(settings: Iterable[Setting], now: int) -> list[Promise]:
    """Every promise with its state at `now`, the earliest due first."""
    made: dict[str, Setting] = {}
    outcomes: dict[str, Setting] = {}
    passed: dict[str, Setting] = {}
    by_kind = {"promise": made, "promise_outcome": outcomes, "promise_overdue": passed}
    for setting in settings:
        if setting.kind in by_kind:
            by_kind[setting.kind][setting.key] = setting
    found = []
    for id in {*made, *outcomes, *passed}:
        promise, outcome, overdue = made.get(id), outcomes.get(id), passed.get(id)
        due = promise.value.get("due") if promise else None
        state = outcome.value.get("state", "open") if outcome else "open"
        last = next(one for one in (outcome, promise, overdue) if one is not None)
        if state == "open" and overdue is not None and _is_passed(overdue, promise):
            state, last = "overdue", overdue
        elif state == "open" and due is not None and due < now:
            state = "overdue"
        what = promise.value.get("what") if promise else None
        found.append(Promise(id, what, due, state, last.touchpoint))
    return sorted(found, key=lambda one: (one.due if one.due is not None else 2**62, one.id))


def _is_passed(overdue: Setting, promise: Setting | None) -> bool:
    """Whether what was said to be overdue is this promise, and not one before it was given anew for another time."""
    due = promise.value.get("due") if promise else None
    passed = overdue.value.get("due")
    if promise is None or due is None:
        return True
    if passed is None:
        return (overdue.occurred_at, overdue.touchpoint) > (promise.occurred_at, promise.touchpoint)
    return bool(passed >= due)


def next_boundary(settings: Iterable[Setting], now: int) -> int:
    """The last moment at or before `now` at which time alone changed an answer: a promise fell due."""
    dues = [one.value.get("due") for one in settings if one.kind == "promise" and isinstance(one.value, dict)]
    return max((due for due in dues if due is not None and due < now), default=0)
