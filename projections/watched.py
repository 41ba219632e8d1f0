"""What the watch tells: how customers stand, what changed, which turns there were, and how soon they were answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from touchbook.ledger import Day

Order = Literal["-value", "value"]
By = Literal["channel", "team", "agent"]
TurnState = Literal["answered", "ignored", "open", "by_bot", "by_human", "in_target", "late"]


@dataclass(frozen=True, slots=True)
class Tiers:
    """Customers in each tier of each score, None for those of whom too little is known; `as_of` is when the watch was
    last in step with everybody, milliseconds UTC."""

    customers: int
    as_of: int
    scores: Mapping[str, Mapping[str | None, int]]


class Stood(NamedTuple):
    """A score at the end of a day; all None where too little was known, and before anything was."""

    value: int | None
    tier: str | None
    milli_points: int | None = None


class Matter(NamedTuple):
    """Something open between a customer and us. `kind`: request, case or promise; `since` and `due` milliseconds UTC;
    `digest` names it among his, and says nothing."""

    kind: str
    digest: str
    since: int
    due: int | None


@dataclass(frozen=True, slots=True)
class State:
    """How a customer stands: `at` is the day of his scores, `version` his own (see `Customer.version`) as of the last
    touchpoint that could change anything of this: a decision about contacting him cannot."""

    customer: str
    version: str
    at: Day
    scores: Mapping[str, Stood]
    matters: Sequence[Matter]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A customer's place among all by one score: `value` and `tier` at the end of the day `at`."""

    customer: str
    value: int
    tier: str | None
    milli_points: int
    at: Day


@dataclass(frozen=True, slots=True)
class Listing:
    """`next` is the cursor to go on with, None where all was told."""

    items: list[Ranked]
    next: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What was found to be another than before with a customer. `scores` holds those of which value or tier moved, as
    (before, after); `opened` and `closed` the kinds of matters that did; `gone`: he is no customer of his own any more.
    `seq` ascends; `token` is where a feed goes on behind this."""

    seq: int
    token: str
    at: int
    customer: str
    version: str
    scores: Mapping[str, tuple[Stood, Stood]]
    opened: tuple[str, ...]
    closed: tuple[str, ...]
    gone: bool = False


@dataclass(frozen=True, slots=True)
class TierChange:
    """A score's tier at the end of `day` is another than at the end of the day before."""

    customer: str
    score: str
    day: Day
    before: Stood
    after: Stood
    scorecard_version: int


@dataclass(frozen=True, slots=True)
class Due:
    """Something of a customer may have become due at `at`. `mark` is for `Watch.put_off`."""

    customer: str
    at: int
    mark: int


@dataclass(frozen=True, slots=True)
class WatchedTurn:
    """A turn (see `turns.Turn`) and what the policy in force at its opening says of it. Times are milliseconds UTC,
    `target` and `waited…` milliseconds; a reply is late after `late_at`, and from `ignored_at` on none is expected
    any more; these, and `in_target`, are None where no target was set."""

    customer: str
    opened_at: int
    opening: str
    channel: str
    purpose: str | None
    first: bool
    messages: int
    replied_at: int | None
    reply: str | None
    by: str | None
    agent: str | None
    team: str | None
    bot_at: int | None
    human_at: int | None
    ended_at: int | None
    target: int | None
    target_time: str | None
    late_at: int | None
    ignored_at: int | None
    waited: int | None
    waited_working: int | None
    in_target: bool | None

    def states(self, now: int) -> frozenset[TurnState]:
        """What is counted of it; late: there is a target and it was missed, by now."""
        found: set[TurnState] = set()
        if self.replied_at is not None:
            found |= {"answered", "by_bot" if self.by == "bot" else "by_human"}
        else:
            found.add("open" if self.ignored_at is None or now < self.ignored_at else "ignored")
        if self.in_target is not None:
            found.add("in_target" if self.in_target else "late")
        elif self.replied_at is None and self.late_at is not None and self.late_at < now:
            found.add("late")
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Waited:
    """Of some turns: `n` in all, which are those `answered`, `ignored` and `open`; who answered first; how many are
    `in_target` and `late` of those that have a target. Waits are milliseconds that were really waited (the nearest
    rank), calendar and working time until the first reply; and until the first of a bot and of a person."""

    n: int
    answered: int
    ignored: int
    open: int
    by_bot: int
    by_human: int
    in_target: int
    late: int
    median: int | None
    p90: int | None
    median_working: int | None
    p90_working: int | None
    median_bot: int | None
    p90_bot: int | None
    median_human: int | None
    p90_human: int | None


@dataclass(frozen=True, slots=True)
class Response:
    """Response times of one channel, team or agent (`of`; None where none was named): of every turn, and of those that
    open a thread or open it anew."""

    of: str | None
    turns: Waited
    first: Waited
