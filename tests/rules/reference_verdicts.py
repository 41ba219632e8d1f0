"""Verdicts on requests found slowly: at every minute by looking at every message, and through no code of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from touchbook.registers import ThreadMessage

MINUTE = 60_000


class Rules(NamedTuple):
    """In minutes. `within` and `counts_working` by channel; a channel that is not in it is owed nothing."""

    grace: int
    ignored_after: int
    within: dict[str, int]
    counts_working: frozenset[str]
    works: Callable[[int], bool]
    """Whether a minute is one of work."""


class Said(NamedTuple):
    type: str
    opening: str
    minute: int
    messages: int
    at: int
    """The minute at which it was said."""


def said_by(minute: int, heard: Sequence[ThreadMessage], judged: set[str], rules: Rules) -> list[Said]:
    """What is to be said at this minute of what was heard until then. `judged` are keys of openings."""
    found = []
    for message in heard:
        if message.role != "customer":
            continue
        mine = [one for one in heard if one.thread == message.thread]
        together = [
            one for one in mine if one.role == "customer" and not _answered_between(mine, message, one)
        ]
        if message != min(together, key=_place) or any(one.key in judged for one in together):
            continue
        if message.channel not in rules.within or asks_for_nothing(mine, message):
            continue
        replies = [one for one in mine if _answers(one) and _place(one) > _place(message)]
        reply = min(replies, key=_place, default=None)
        verdict, at = _verdict(message, reply, rules)
        if verdict is not None and at + rules.grace <= minute:
            messages = sum(one.occurred_at <= at * MINUTE for one in together)
            found.append(Said(verdict, message.key, at, messages, minute))
    return found


def _place(message: ThreadMessage) -> tuple[int, str]:
    return message.occurred_at, message.key


def _answers(message: ThreadMessage) -> bool:
    return message.public and message.role in ("bot", "agent")


def _answered_between(messages: Sequence[ThreadMessage], one: ThreadMessage, other: ThreadMessage) -> bool:
    first, last = sorted([_place(one), _place(other)])
    return any(first < _place(word) < last for word in messages if _answers(word) or _settles(messages, word))


def _settles(messages: Sequence[ThreadMessage], word: ThreadMessage) -> bool:
    """The end of a chat in which our last word was a person's."""
    before = [one for one in messages if _answers(one) and _place(one) < _place(word)]
    return word.closes and bool(before) and max(before, key=_place).role == "agent"


def asks_for_nothing(messages: Sequence[ThreadMessage], message: ThreadMessage) -> bool:
    after = [one for one in messages if _place(one) > _place(message)]
    nearest = min(
        (one for one in after if _answers(one) or _settles(messages, one)), key=_place, default=None
    )
    return nearest is not None and not _answers(nearest)


def _verdict(opening: ThreadMessage, reply: ThreadMessage | None, rules: Rules) -> tuple[str | None, int]:
    asked, within = opening.occurred_at // MINUTE, rules.within[opening.channel]
    working = opening.channel in rules.counts_working
    ignored = max(asked + rules.ignored_after, _due(asked, within, rules) if working else asked + within)
    if reply is None or reply.occurred_at // MINUTE > ignored:
        return "request_ignored", ignored
    replied = reply.occurred_at // MINUTE
    waited = sum(not working or rules.works(minute) for minute in range(asked, replied))
    return ("request_late" if waited > within else "request_answered"), replied


def _due(asked: int, within: int, rules: Rules) -> int:
    minute, worked = asked, 0
    while worked < within:
        worked += rules.works(minute)
        minute += 1
    return minute
