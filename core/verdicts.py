"""Verdicts about time, which no channel publishes: requests answered, late or ignored, promises overdue, cases silent,
stages stuck. Each is reached once, when its grace has passed; what was known then stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

from touchbook.policy import Owed, Policies, Policy, Usual
from touchbook.registers import OpenCase, Setting, ThreadMessage, open_cases, promises
from touchbook.schemas.times import rfc3339
from touchbook.turns import Turn

BEFORE = -(2**62)
"""Earlier than every time."""
CASE = "case"

ReplyVerdict = Literal["request_answered", "request_late", "request_ignored"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A touchpoint to be recorded under `id`, of the identifier whose permanent id is `subject`. It happened at
    `occurred_at` and is said from `known_at` on, the grace later; `data` are its fields, as JSON."""

    type: str
    subject: str
    thread: str | None
    channel: str | None
    occurred_at: int
    id: str
    data: Mapping[str, Any]
    known_at: int


def due_verdicts(
    customer: str,
    turns: Iterable[Turn],
    messages: Iterable[ThreadMessage],
    settings: Iterable[Setting],
    stays: Mapping[str, Usual],
    policies: Policies,
    now: int,
) -> tuple[list[Verdict], int | None]:
    """What is to be said of a customer at `now` and was not before, in order of when it was known; and the next moment
    at which more will be, if nothing happens until then. `settings` are his registers, in which verdicts recorded
    before are found; `turns` those of his `messages`. Verdicts on promises, cases and stages are recorded under
    `customer`, his permanent id."""
    known = _Known.of(settings)
    found = [
        *_on_requests(turns, known, policies),
        *_on_promises(customer, known, policies),
        *_on_cases(customer, messages, known, policies),
        *_on_stages(customer, known, stays, policies),
    ]
    due = [verdict for verdict in found if verdict.known_at <= now]
    later = (verdict.known_at for verdict in found if verdict.known_at > now)
    return sorted(due, key=lambda verdict: (verdict.known_at, verdict.id)), min(later, default=None)


def next_moment(
    turns: Iterable[Turn],
    messages: Iterable[ThreadMessage],
    settings: Iterable[Setting],
    stays: Mapping[str, Usual],
    policies: Policies,
    moment_of: Callable[[Turn], int | None] | None = None,
) -> int | None:
    """When the first verdict that was not recorded before is to be said; may be past. `moment_of` tells what
    `reply_moment` does, where that is remembered."""
    known = _Known.of(settings)
    told = partial(reply_moment, policies=policies) if moment_of is None else moment_of
    moments = [told(turn) for turn in turns if not _is_judged(turn, known)]
    others = [
        *_on_promises("", known, policies),
        *_on_cases("", messages, known, policies),
        *_on_stages("", known, stays, policies),
    ]
    moments += [verdict.known_at for verdict in others]
    return min((moment for moment in moments if moment is not None), default=None)


def reply_moment(turn: Turn, policies: Policies) -> int | None:
    """When a verdict on a turn is to be said, if nothing more is heard in it; None where no target fits."""
    policy = policies.at(turn.opened_at)
    owed = policy.owed(turn.channel, turn.purpose, turn.opened_at)
    return None if owed is None else _judged(turn, owed, policy)[1] + policy.grace


def verdict_on(turn: Turn, policy: Policy, now: int) -> ReplyVerdict | None:
    """What is to be said of a turn by what is known at `now`, without any grace; None while it is open, and where no
    target fits. `policy` is the one in force at its opening."""
    owed = policy.owed(turn.channel, turn.purpose, turn.opened_at)
    if owed is None:
        return None
    type, at = _judged(turn, owed, policy)
    return type if at <= now else None


def finished_stays(settings: Iterable[Setting]) -> Iterator[tuple[str, int]]:
    """(stage, how long) of every stay in a stage that is over, of one customer's registers; a stage is named as
    "order:shipped"."""
    entered: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    closed: dict[str, int] = {}
    for one in settings:
        if one.kind == "stage":
            entered[one.value["case"]].append((one.occurred_at, one.touchpoint, one.value["stage"]))
        elif one.kind == "case" and one.value.get("state") == "closed":
            closed[one.key] = one.occurred_at
    for case, stages in entered.items():
        kind, _, _ = case.partition(":")
        stages.sort()
        for (since, _, stage), (until, _, _) in pairwise(stages):
            yield f"{kind}:{stage}", until - since
        last, _, stage = stages[-1]
        if closed.get(case, BEFORE) >= last:
            yield f"{kind}:{stage}", closed[case] - last


def usual_stays(finished: Iterable[tuple[str, int]]) -> dict[str, Usual]:
    """Of all customers' finished stays the median of each stage (of an even number, the lesser one of the middle)."""
    stays: dict[str, list[int]] = defaultdict(list)
    for stage, stay in finished:
        stays[stage].append(stay)
    return {stage: Usual(len(those), sorted(those)[(len(those) - 1) // 2]) for stage, those in stays.items()}


@dataclass(frozen=True, slots=True)
class _Known:
    """A customer's registers, and what of them is asked again and again."""

    settings: Collection[Setting]
    by_name: Mapping[tuple[str, str], Setting]

    @staticmethod
    def of(settings: Iterable[Setting]) -> _Known:
        all = list(settings)
        return _Known(all, {(one.kind, one.key): one for one in all})

    def get(self, kind: str, key: str) -> Setting | None:
        return self.by_name.get((kind, key))

    def is_said(self, key: str, since: int, **more: Any) -> bool:
        """Whether a verdict was recorded under this name, of what began then or later."""
        found = self.get("verdict", key)
        if found is None or found.value is None:
            return False
        said = found.value
        return said.get("since", BEFORE) >= since and all(
            said.get(name) == value for name, value in more.items()
        )


# Requests


def _is_judged(turn: Turn, known: _Known) -> bool:
    """Already, where a verdict is on any of its messages: late facts may have given it another opening."""
    return any(("verdict", key) in known.by_name for key in turn.customer_keys)


def _on_requests(turns: Iterable[Turn], known: _Known, policies: Policies) -> Iterator[Verdict]:
    for turn in turns:
        if _is_judged(turn, known):
            continue
        policy = policies.at(turn.opened_at)
        owed = policy.owed(turn.channel, turn.purpose, turn.opened_at)
        if owed is not None:
            yield _on_request(turn, owed, policy)


def _judged(turn: Turn, owed: Owed, policy: Policy) -> tuple[ReplyVerdict, int]:
    """What is to be said in the end, if nothing more is heard, and when it happens: whatever comes first."""
    replied = turn.replied_at
    if replied is None or replied > owed.ignored_at:
        return "request_ignored", owed.ignored_at
    late = policy.waited(turn.opened_at, replied, owed.time) > owed.within
    return "request_late" if late else "request_answered", replied


def _on_request(turn: Turn, owed: Owed, policy: Policy) -> Verdict:
    type, at = _judged(turn, owed, policy)
    said: dict[str, Any] = {
        "turn": turn.opening,
        "opened": rfc3339(turn.opened_at),
        "messages": sum(written <= at for written in turn.customer_times),
        "waited": _seconds(at - turn.opened_at),
        "waited_working": _seconds(policy.calendar.working(turn.opened_at, at)),
        "target": _seconds(owed.within),
        "target_time": owed.time,
        "policy": policy.version,
    }
    if type != "request_ignored":
        said |= {"replied": rfc3339(at), "reply": turn.reply, "by": turn.by}
    return Verdict(
        type=type,
        subject=turn.subject,
        thread=turn.thread,
        channel=turn.channel,
        occurred_at=at,
        id=f"request:{turn.opening}",
        data=said,
        known_at=at + policy.grace,
    )


# Promises


def _on_promises(customer: str, known: _Known, policies: Policies) -> Iterator[Verdict]:
    for promise in promises(known.settings, BEFORE):
        made = known.get("promise", promise.id)
        if promise.state != "open" or promise.due is None or made is None:
            continue
        policy = policies.at(made.occurred_at)
        if policy.promises:
            yield Verdict(
                type="promise_overdue",
                subject=customer,
                thread=None,
                channel=None,
                occurred_at=promise.due,
                id=f"promise:{made.touchpoint}",
                data={"promise_id": promise.id, "what": promise.what, "due": rfc3339(promise.due)},
                known_at=promise.due + policy.grace,
            )


# Cases


def _on_cases(
    customer: str, messages: Iterable[ThreadMessage], known: _Known, policies: Policies
) -> Iterator[Verdict]:
    cases = [case for case in open_cases(known.settings) if case.kind == CASE]
    if not cases:
        return
    seen = _seen(messages, known)
    for case in cases:
        since, touchpoint = seen.get(case.id) or (case.changed_at, case.touchpoint)
        policy = policies.at(since)
        if policy.cases is None or known.is_said(f"silent:{CASE}:{case.id}", since):
            continue
        at = policy.later(since, policy.cases.silent_after, policy.cases.time)
        said = {
            "case_id": case.id,
            "since": rfc3339(since),
            "waited": _seconds(at - since),
            "limit": _seconds(policy.cases.silent_after),
            "policy": policy.version,
        }
        yield _on_matter("case_silent", customer, case, at, f"silent:{touchpoint}", said, policy)


def _seen(messages: Iterable[ThreadMessage], known: _Known) -> dict[str, tuple[int, str]]:
    """Case → when its customer saw something of it last, and the touchpoint: our public words, stages shown to him, and
    that it was opened, at first or again."""
    last: dict[str, tuple[int, str]] = {}

    def see(case: str, at: int, touchpoint: str) -> None:
        last[case] = max(last.get(case, (BEFORE, "")), (at, touchpoint))

    for message in messages:
        if message.answers:
            see(message.thread, message.occurred_at, message.key)
    for one in known.settings:
        if one.kind in ("case", "case_opened"):
            kind, _, id = one.key.partition(":")
        elif one.kind == "stage" and one.value.get("visible", True):
            kind, _, id = one.value["case"].partition(":")
        else:
            continue
        if kind == CASE:
            see(id, one.occurred_at, one.touchpoint)
    return last


# Stages


def _on_stages(
    customer: str, known: _Known, stays: Mapping[str, Usual], policies: Policies
) -> Iterator[Verdict]:
    for case in open_cases(known.settings):
        name = f"{case.kind}:{case.id}"
        entered = known.get("case_stage", name)
        if entered is None or case.stage is None:
            continue
        since, policy = entered.occurred_at, policies.at(entered.occurred_at)
        if policy.stages is None or known.is_said(f"stuck:{name}", since, stage=case.stage):
            continue
        usual = policy.stages.usual_of(f"{case.kind}:{case.stage}", stays)
        if usual is None:
            continue
        at = since + max(policy.stages.times * usual, policy.stages.least)
        said = {
            f"{case.kind}_id": case.id,
            "stage": case.stage,
            "since": rfc3339(since),
            "waited": _seconds(at - since),
            "usual": _seconds(usual),
            "policy": policy.version,
        }
        yield _on_matter("stage_stuck", customer, case, at, f"stuck:{entered.touchpoint}", said, policy)


def _on_matter(
    type: str, customer: str, case: OpenCase, at: int, id: str, said: Mapping[str, Any], policy: Policy
) -> Verdict:
    return Verdict(type, customer, case.id, None, at, id, said, at + policy.grace)


def _seconds(length: int) -> int:
    return length // 1000
