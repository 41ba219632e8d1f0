"""May a channel speak to him now? What `contacting` would decide of each channel, in the words of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from touchbook.contacting import Candidate, Decision, Facts, Reason, decide_each, wished_channels
from touchbook.policy import Policy
from touchbook.schemas.times import rfc3339

CHANNELS = ("email", "phone", "sms", "messenger", "mobile_app", "web_chat")
"""Channels answered for besides those he uses or asks for."""


def contact(purpose: str, facts: Facts, used: Iterable[str], policy: Policy, now: int) -> dict[str, Any]:
    """Per channel {"allowed", "reasons", "next"}; reasons name what denies, or what allows; `next` is the earliest time
    at which nothing denies any more, None where it is now or never."""
    return {
        channel: {
            "allowed": decision.kind == "reserved",
            "reasons": [_word(reason) for reason in decision.reasons],
            "next": rfc3339(decision.until)
            if decision.kind == "deferred" and decision.until is not None
            else None,
        }
        for channel, decision in decided(purpose, facts, used, policy, now).items()
    }


def decided(purpose: str, facts: Facts, used: Iterable[str], policy: Policy, now: int) -> dict[str, Decision]:
    """What would be decided of a message by each channel."""
    channels = dict.fromkeys([*wished_channels(facts.preferences), *used, *CHANNELS])
    asked = [Candidate("", channel, purpose) for channel in channels]
    return dict(zip(channels, decide_each(asked, facts, policy, now), strict=True))


def _word(reason: Reason) -> str:
    return "no_objection" if reason.code == "bypassed" else reason.code
