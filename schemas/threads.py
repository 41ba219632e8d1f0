"""Threads: what belongs together, and who speaks in it."""

from __future__ import annotations

from typing import Any

from touchbook.schemas.details import Details, Message, Role

LONGEST_THREAD = 200


def threaded_by(data: Any, field: str) -> Any:
    """The data with `thread` set to what `field` names, where the sender names no thread.

    So the replies to a case and the stages of an order stay together without saying so twice.
    """
    if not isinstance(data, dict) or data.get("thread") is not None:
        return data
    named = data.get(field)
    fits = isinstance(named, str) and 0 < len(named) <= LONGEST_THREAD
    return {**data, "thread": named} if fits else data


def speaker(details: Details) -> Role:
    """Who speaks: the actor where it is said (a system speaks as a bot does), else the direction tells."""
    if details.actor is None:
        return "customer" if details.taken_direction() == "in" else "agent"
    return "bot" if details.actor.kind == "system" else details.actor.kind


def customer_turn(details: Details) -> Message | None:
    """A customer's turn, if it was the customer; what others note in his name waits for no answer."""
    return Message("customer", public=True) if speaker(details) == "customer" else None
