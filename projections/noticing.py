"""What the watch follows of a customer's threads, cases, orders and promises; no word of them, nor a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, NamedTuple

from touchbook.policy import Policies, Usual
from touchbook.projections.stores.port import Places, Reader
from touchbook.projections.stores.watch_file import Facts
from touchbook.projections.sweep import Noticed, matters_of, touched_at
from touchbook.projections.who import Customer
from touchbook.recent import Recent
from touchbook.registers import OpenRequest, ThreadMessage, open_cases, open_requests
from touchbook.timeline import TimelineFilters
from touchbook.turns import Turn, turns_of
from touchbook.verdicts import finished_stays, next_moment, reply_moment

MANY = 200
"""Messages of a customer from which on it is remembered what followed from them: to go through thousands again whenever
he is touched holds up whoever asks about him then."""
REMEMBERED = 16
"""So many of these customers, those touched last."""


class Heard(NamedTuple):
    """What follows from the messages of a thread alone: its turns, their rows, when the verdict on each is to be said,
    and what is open in it. `messages` is how many there are: a thread with as many is as it was."""

    messages: int
    turns: Sequence[Turn]
    rows: Sequence[tuple[Any, ...]]
    moments: Mapping[str, int | None]
    requests: Sequence[OpenRequest]


class Known(NamedTuple):
    """What was heard of a customer and how long his cases stayed, by the time he was touched at `changed`; `places` are
    up to where his entries were there."""

    made_by: str
    members: str
    changed: int
    places: Places
    threads: Mapping[str, Heard]
    stays: Sequence[tuple[Any, ...]]


class Notice:
    """Reads and computes; see `Noticed`."""

    def __init__(
        self, policies: Policies, now: Callable[[], int], stays: Callable[[], Mapping[str, Usual]]
    ) -> None:
        """`stays` tells how long all customers' cases and orders usually stay in a stage."""
        self._policies, self._now, self._stays = policies, now, stays
        self._known: Recent[str, Known] = Recent(REMEMBERED)

    def __call__(self, reader: Reader, customer: Customer, kept: int | None) -> Noticed:
        """See `Notices`."""
        known = self._known.get(customer.id)
        if known is not None and (known.made_by, known.members) != (customer.made_by, customer.membership):
            known = None
        settings = reader.registers(customer.ids)
        threads = self._threads(reader, customer, known)
        stays = [(place, *stay) for place, stay in enumerate(sorted(finished_stays(settings)))]
        heard = list(threads.values())
        if _messages_in(threads) >= MANY:
            places = reader.folded(customer.subjects)
            self._known.put(
                customer.id,
                Known(customer.made_by, customer.membership, touched_at(customer), places, threads, stays),
            )
        cases = [one.id for one in open_cases(settings)]
        moments = {opening: moment for one in heard for opening, moment in one.moments.items()}
        due_at = next_moment(
            chain.from_iterable(one.turns for one in heard),
            reader.messages(customer.subjects, cases) if cases else [],
            settings,
            self._stays(),
            self._policies,
            lambda turn: moments[turn.opening],
        )
        rows = [row for one in heard for row in one.rows]
        late = {row[1]: row[16] for row in rows if row[6] is None}
        requests = [request for one in heard for request in one.requests]
        return Noticed(
            matters_of(customer, settings, requests, late),
            self._not_before(due_at),
            _written(threads, stays, known if known is not None and known.changed == kept else None),
        )

    def forget(self) -> None:
        """Lets go of what is remembered of anybody."""
        self._known.clear()

    def _threads(self, reader: Reader, customer: Customer, known: Known | None) -> Mapping[str, Heard]:
        """Those of which nothing new was heard are taken from what is known."""
        subjects = customer.subjects
        if known is not None:
            there = reader.count_messages(subjects)
            if there == _messages_in(known.threads):
                return known.threads
            since = {part: known.places.get(part, 0) for part in reader.folded(subjects)}
            came = reader.entries_since(subjects, TimelineFilters(), since, MANY)
            spoken = {entry.thread for entry in came if entry.thread is not None}
            threads = {**known.threads, **self._by_thread(reader.messages(subjects, spoken))}
            if there == _messages_in(threads):
                return threads
        messages = reader.messages(subjects)
        return {"": self._heard(messages)} if len(messages) < MANY else self._by_thread(messages)

    def _by_thread(self, messages: Iterable[ThreadMessage]) -> dict[str, Heard]:
        ordered = sorted(messages, key=attrgetter("thread"))
        return {name: self._heard(list(run)) for name, run in groupby(ordered, attrgetter("thread"))}

    def _heard(self, messages: Sequence[ThreadMessage]) -> Heard:
        turns = turns_of(messages)
        return Heard(
            len(messages),
            turns,
            [turn_row(turn, self._policies) for turn in turns],
            {turn.opening: reply_moment(turn, self._policies) for turn in turns},
            open_requests(messages),
        )

    def _not_before(self, due_at: int | None) -> int | None:
        """What is past already waits for its grace, as the replies of a history that is brought in may come a little
        later than what they answer."""
        now = self._now()
        return now + self._policies.at(now).grace if due_at is not None and due_at <= now else due_at


def _messages_in(threads: Mapping[str, Heard]) -> int:
    return sum(one.messages for one in threads.values())


def _written(
    threads: Mapping[str, Heard], stays: Sequence[tuple[Any, ...]], kept: Known | None
) -> Facts | None:
    """What is to be written beside what is kept."""
    if kept is None:
        return Facts([row for one in threads.values() for row in one.rows], stays)
    new = [name for name, one in threads.items() if one is not kept.threads.get(name)]
    if not new and stays == kept.stays:
        return None
    old = [one for name, one in kept.threads.items() if threads.get(name) is not one]
    gone = [row[:2] for one in old for row in one.rows]
    return Facts([row for name in new for row in threads[name].rows], stays, gone)


def turn_row(turn: Turn, policies: Policies) -> tuple[Any, ...]:
    """A row of the table: `WatchedTurn` without the customer."""
    policy = policies.at(turn.opened_at)
    owed = policy.owed(turn.channel, turn.purpose, turn.opened_at)
    replied, waited, working, in_target = turn.replied_at, None, None, None
    if replied is not None:
        waited, working = replied - turn.opened_at, policy.waited(turn.opened_at, replied, "working")
        if owed is not None:
            in_target = policy.waited(turn.opened_at, replied, owed.time) <= owed.within
    promised = (None,) * 4 if owed is None else owed
    return (
        turn.opened_at, turn.opening, turn.channel, turn.purpose, turn.first, turn.messages,
        replied, turn.reply, turn.by, turn.agent, turn.team, turn.bot_at, turn.human_at, turn.ended_at,
        *promised, waited, working, in_target,
    )  # fmt: skip
