"""What the watch follows of a customer's threads, cases, orders and promises; no word of them, nor a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from touchbook.policy import Policies, Usual
from touchbook.projections.stores.port import Reader
from touchbook.projections.stores.watch_file import Facts
from touchbook.projections.sweep import Noticed, matters_of
from touchbook.projections.who import Customer
from touchbook.turns import Turn, turns_of
from touchbook.verdicts import finished_stays, next_moment


class Notice:
    """Reads and computes; see `Noticed`."""

    def __init__(
        self, policies: Policies, now: Callable[[], int], stays: Callable[[], Mapping[str, Usual]]
    ) -> None:
        """`stays` tells how long all customers' cases and orders usually stay in a stage."""
        self._policies, self._now, self._stays = policies, now, stays

    def __call__(self, reader: Reader, customer: Customer) -> Noticed:
        messages, settings = reader.messages(customer.subjects), reader.registers(customer.ids)
        turns = turns_of(messages)
        rows = [turn_row(turn, self._policies) for turn in turns]
        stays = [(place, *stay) for place, stay in enumerate(sorted(finished_stays(settings)))]
        due_at = next_moment(turns, messages, settings, self._stays(), self._policies)
        late = {row[1]: row[16] for row in rows if row[6] is None}
        return Noticed(
            matters_of(customer, settings, messages, late), self._not_before(due_at), Facts(rows, stays)
        )

    def _not_before(self, due_at: int | None) -> int | None:
        """What is past already waits for its grace, as the replies of a history that is brought in may come a little
        later than what they answer."""
        now = self._now()
        return now + self._policies.at(now).grace if due_at is not None and due_at <= now else due_at


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
