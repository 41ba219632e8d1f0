"""What needs action, by urgency: who waits for us, what we owe him, what is due, what is open. Pure; no words here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.registers import OpenRequest, Setting, open_cases, promises

MINUTE, HOUR = 60_000, 3_600_000
AT_ONCE = frozenset({"web_chat", "chat", "messenger", "phone", "mobile_app", "sms", "video"})
"""Channels on which somebody sits and waits."""
REPLY_AT_ONCE, REPLY_SOON = 15 * MINUTE, 24 * HOUR
GIVEN_UP = 3 * MILLISECONDS_A_DAY
"""So long a silence counts as a request ignored: nobody runs a clock on it any more."""

Kind = Literal["waiting", "late", "unanswered", "broken", "overdue", "due", "case", "order"]


@dataclass(frozen=True, slots=True)
class Matter:
    """One line. `since` is when the waiting began (or fell due, or was opened), `due` when it must be done;
    `touchpoints` those it is about, `name` of a case, order or promise, `messages` how many wait."""

    kind: Kind
    touchpoints: tuple[str, ...]
    since: int | None = None
    due: int | None = None
    channels: tuple[str, ...] = ()
    messages: int = 0
    id: str = ""
    name: str | None = None
    stage: str | None = None


def reply_target(channel: str) -> int:
    """Within how many milliseconds a customer expects an answer."""
    return REPLY_AT_ONCE if channel in AT_ONCE else REPLY_SOON


def matters_of(settings: Sequence[Setting], requests: Sequence[OpenRequest], now: int) -> list[Matter]:
    """The running clocks first, the longest first; then what was never answered; promises broken and overdue; those
    that are due, the soonest first; cases and orders, the oldest first."""
    running = [one for one in requests if now - one.since < GIVEN_UP]
    silent = [one for one in requests if now - one.since >= GIVEN_UP]
    return [
        *(_waiting(one, now) for one in running),
        *([_unanswered(silent)] if silent else []),
        *_promises(settings, now),
        *_cases(settings),
    ]


def _waiting(one: OpenRequest, now: int) -> Matter:
    target = reply_target(one.channel)
    kind: Kind = "waiting" if now - one.since <= target else "late"
    return Matter(kind, (one.touchpoint,), one.since, one.since + target, (one.channel,), one.messages)


def _unanswered(silent: Sequence[OpenRequest]) -> Matter:
    channels = tuple(dict.fromkeys(one.channel for one in silent))
    keys = tuple(one.touchpoint for one in silent)
    return Matter("unanswered", keys, silent[0].since, None, channels, sum(one.messages for one in silent))


def _promises(settings: Sequence[Setting], now: int) -> list[Matter]:
    made = {one.key: one.occurred_at for one in settings if one.kind in ("promise", "promise_outcome")}
    owed: list[Matter] = []
    due: list[Matter] = []
    for one in promises(settings, now):
        if one.state in ("broken", "overdue"):
            kind: Kind = "broken" if one.state == "broken" else "overdue"
            since = one.due if one.due is not None and one.due < now else made[one.id]
            owed.append(Matter(kind, (one.touchpoint,), since, one.due, id=one.id, name=one.what))
        elif one.state == "open":
            due.append(Matter("due", (one.touchpoint,), None, one.due, id=one.id, name=one.what))
    return [*owed, *due]


def _cases(settings: Sequence[Setting]) -> list[Matter]:
    found = [
        Matter(
            "order" if one.kind == "order" else "case",
            (one.touchpoint,),
            one.opened_at or one.changed_at,
            id=one.id,
            name=one.title,
            stage=one.stage,
        )
        for one in open_cases(settings)
    ]
    return sorted(found, key=lambda matter: matter.kind == "order")
