"""What needs action, by urgency: who waits for us, what we owe him, what is due, what is open. Pure; no words here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from touchbook.policy import Owed, Policies
from touchbook.registers import OpenCase, OpenRequest, Setting, open_cases, promises
from touchbook.schemas.times import milliseconds
from touchbook.verdicts import Verdict

MINUTE, HOUR = 60_000, 3_600_000

Kind = Literal[
    "waiting", "late", "unanswered", "broken", "overdue", "silent", "stuck", "due", "case", "order"
]


@dataclass(frozen=True, slots=True)
class Matter:
    """One line. `since` is when the waiting began (or fell due, or was opened), `due` when it must be done;
    `touchpoints` those it is about, `name` of a case, order or promise, `messages` how many wait, `owed` what the
    policy lets them expect, `thing` whether it is a case or an order. Of a case in which the customer saw nothing for
    too long, and of what stays in a stage for too long, `since` is from when on."""

    kind: Kind
    touchpoints: tuple[str, ...]
    since: int | None = None
    due: int | None = None
    channels: tuple[str, ...] = ()
    messages: int = 0
    id: str = ""
    name: str | None = None
    stage: str | None = None
    owed: Owed | None = None
    thing: str = ""


_asked = attrgetter("since", "channel", "purpose")
"""All of a request that says what it lets one expect."""


def owed_to(request: OpenRequest, policies: Policies) -> Owed | None:
    """What the policy in force when he asked lets him expect; None where no target fits."""
    return policies.at(request.since).owed(request.channel, request.purpose, request.since)


@dataclass(frozen=True, slots=True)
class Owing:
    """What each of these requests lets them expect. That never changes, so it is worked out once for each."""

    policies: Policies
    requests: Sequence[OpenRequest]
    owed: Sequence[Owed | None]

    @staticmethod
    def of(requests: Sequence[OpenRequest], policies: Policies, known: Owing | None = None) -> Owing:
        """`known` is what was found before of some of them, or of others."""
        if known is None or known.policies is not policies:
            return Owing(policies, requests, [owed_to(one, policies) for one in requests])
        if known.requests is requests:
            return known
        told = dict(zip(map(_asked, known.requests), known.owed, strict=True))
        return Owing(
            policies,
            requests,
            [told[asked] if (asked := _asked(one)) in told else owed_to(one, policies) for one in requests],
        )


def matters_of(
    settings: Sequence[Setting],
    requests: Sequence[OpenRequest],
    policies: Policies,
    now: int,
    still: Sequence[Verdict] = (),
    owing: Owing | None = None,
) -> list[Matter]:
    """The running clocks first, the longest first; then what was never answered; promises broken and overdue; cases and
    orders in which nothing moves, by the verdicts on them (`still`); promises that are due, the soonest first; other
    cases and orders, the oldest first. `owing` is that of these requests, where it was made already."""
    waiting: list[Matter] = []
    silent: list[OpenRequest] = []
    owing = owing or Owing.of(requests, policies)
    for one, owed in zip(requests, owing.owed, strict=True):
        if owed is not None and owed.ignored_at <= now:
            silent.append(one)
        else:
            waiting.append(_waiting(one, owed, now))
    missed, promised = _promises(settings, now)
    unmoved, moving = _cases(settings, still)
    return [
        *waiting,
        *([_unanswered(silent)] if silent else []),
        *missed,
        *unmoved,
        *promised,
        *moving,
    ]


def _waiting(one: OpenRequest, owed: Owed | None, now: int) -> Matter:
    due = None if owed is None else owed.due
    kind: Kind = "late" if due is not None and due < now else "waiting"
    return Matter(kind, (one.touchpoint,), one.since, due, (one.channel,), one.messages, owed=owed)


def _unanswered(silent: Sequence[OpenRequest]) -> Matter:
    channels = tuple(dict.fromkeys(one.channel for one in silent))
    keys = tuple(one.touchpoint for one in silent)
    return Matter("unanswered", keys, silent[0].since, None, channels, sum(one.messages for one in silent))


def _promises(settings: Sequence[Setting], now: int) -> tuple[list[Matter], list[Matter]]:
    kinds = ("promise", "promise_outcome", "promise_overdue")
    made = {one.key: one.occurred_at for one in settings if one.kind in kinds}
    owed: list[Matter] = []
    due: list[Matter] = []
    for one in promises(settings, now):
        if one.state in ("broken", "overdue"):
            kind: Kind = "broken" if one.state == "broken" else "overdue"
            since = one.due if one.due is not None and one.due < now else made[one.id]
            owed.append(Matter(kind, (one.touchpoint,), since, one.due, id=one.id, name=one.what))
        elif one.state == "open":
            due.append(Matter("due", (one.touchpoint,), None, one.due, id=one.id, name=one.what))
    return owed, due


def _cases(settings: Sequence[Setting], still: Sequence[Verdict]) -> tuple[list[Matter], list[Matter]]:
    """Those in which nothing moves, and the others."""
    since = {(one.type, str(one.thread)): milliseconds(one.data["since"], "since") for one in still}
    unmoved: list[Matter] = []
    moving: list[Matter] = []
    for one in open_cases(settings):
        if (silent := since.get(("case_silent", one.id))) is not None and one.kind != "order":
            unmoved.append(_case(one, "silent", silent))
        elif (stuck := since.get(("stage_stuck", one.id))) is not None:
            unmoved.append(_case(one, "stuck", stuck))
        else:
            moving.append(_case(one, "order" if one.kind == "order" else "case", one.opened_at))
    return unmoved, sorted(moving, key=lambda matter: matter.kind == "order")


def _case(one: OpenCase, kind: Kind, since: int | None) -> Matter:
    since = one.changed_at if since is None else since
    return Matter(kind, (one.touchpoint,), since, id=one.id, name=one.title, stage=one.stage, thing=one.kind)
