"""What one customer asked of us and how soon we answered, turn by turn, in the API's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchbook.policy import Owed, Policies, Policy
from touchbook.projections.changes import Stamp
from touchbook.projections.cursors import cursor_of, stamp_of
from touchbook.projections.customers import Customers
from touchbook.projections.who import Customer
from touchbook.registers import open_requests, values_of
from touchbook.schemas.times import rfc3339
from touchbook.turns import Turn, turns_of
from touchbook.verdicts import verdict_on


def requests_of(
    customers: Customers, customer: Customer, policies: Policies, now: int, cursor: str | None, limit: int
) -> dict[str, Any]:
    """One page of `GET …/requests`, newest first. Raises `Refused` (400) for a cursor not ours."""
    before = None if cursor is None else stamp_of(cursor)
    with customers.reading() as reader:
        turns = turns_of(reader.messages(customer.subjects))
        verdicts = values_of(reader.registers(customer.ids), "verdict")
    left = [turn for turn in reversed(turns) if before is None or _stamp(turn) < before]
    page = left[:limit]
    return {
        "items": [_told(turn, verdicts, policies.at(turn.opened_at), now) for turn in page],
        "next": cursor_of(_stamp(page[-1])) if len(left) > limit else None,
    }


def boundary_of(customers: Customers, customer: Customer, now: int) -> str:
    """Changes when time alone changes what `requests_of` tells: each second while anybody waits."""
    with customers.reading() as reader:
        waiting = open_requests(reader.latest_messages(customer.subjects))
    return str(now // 1000) if waiting else ""


def _stamp(turn: Turn) -> Stamp:
    return turn.opened_at, turn.opening


def _told(turn: Turn, verdicts: Mapping[str, Any], policy: Policy, now: int) -> dict[str, Any]:
    owed = policy.owed(turn.channel, turn.purpose, turn.opened_at)
    recorded = next((_recorded(verdicts[key]) for key in turn.customer_keys if key in verdicts), None)
    by_now = None if recorded is None else _verdict_now(turn, owed, policy, now)
    return {
        "key": turn.opening,
        "thread": turn.thread,
        "channel": turn.channel,
        "first": turn.first,
        "opened": rfc3339(turn.opened_at),
        "messages": turn.messages,
        "open": turn.replied_at is None,
        **_waited(turn, now if turn.replied_at is None else turn.replied_at, policy),
        "reply": None if turn.replied_at is None else {
            "key": turn.reply,
            "at": rfc3339(turn.replied_at),
            "by": turn.by,
            "agent": turn.agent,
            "team": turn.team,
        },
        "bot": _reply_at(turn, turn.bot_at, policy),
        "human": _reply_at(turn, turn.human_at, policy),
        "target": None if owed is None else {
            "seconds": owed.within // 1000,
            "time": owed.time,
            "due": rfc3339(owed.due),
            "policy": policy.version,
        },
        "verdict": recorded,
        "known_now": by_now if recorded is not None and _differs(recorded, by_now) else None,
    }  # fmt: skip


def _reply_at(turn: Turn, at: int | None, policy: Policy) -> dict[str, Any] | None:
    return None if at is None else {"at": rfc3339(at), **_waited(turn, at, policy)}


def _waited(turn: Turn, until: int, policy: Policy) -> dict[str, int]:
    """Whole seconds: all of them, and those in the company's hours. Who is told ahead of our clock has not waited."""
    until = max(until, turn.opened_at)
    return {
        "seconds": (until - turn.opened_at) // 1000,
        "working_seconds": policy.calendar.working(turn.opened_at, until) // 1000,
    }


def _recorded(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": value["type"], "waited": value.get("waited"), "policy": value.get("policy")}


def _verdict_now(turn: Turn, owed: Owed | None, policy: Policy, now: int) -> dict[str, Any] | None:
    """What would be recorded by what is known now; None where nothing would be."""
    type_ = verdict_on(turn, policy, now)
    if owed is None or type_ is None:
        return None
    until = owed.ignored_at if turn.replied_at is None else turn.replied_at
    return {"type": type_, "waited": (until - turn.opened_at) // 1000, "policy": policy.version}


def _differs(recorded: Mapping[str, Any], by_now: Mapping[str, Any] | None) -> bool:
    """Whether a later fact says otherwise. A help desk may have published a verdict without the wait."""
    if by_now is None:
        return False
    waited = recorded["waited"]
    return recorded["type"] != by_now["type"] or (waited is not None and waited != by_now["waited"])
