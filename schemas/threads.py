"""Threads: what belongs together, and who speaks in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field, model_validator

from touchbook.schemas.details import Details, Message, Register, Role, Signal, Text

LONGEST_THREAD = 200

SPEAKERS_EN = {"customer": "the customer", "agent": "an agent", "bot": "the bot", "system": "the system"}
SPEAKERS_RU = {"customer": "клиента", "agent": "сотрудника", "bot": "бота", "system": "системы"}
"""Whose message it is: "from the customer", «ответ клиента»."""


class Threaded(Details):
    """A touchpoint of something longer: a case, an order, a session.

    Where the sender names no thread, it is that of the first field in `thread_from` that is given. So the replies
    to a case and the stages of an order stay together without saying so twice.
    """

    thread_from: ClassVar[tuple[str, ...]]

    @model_validator(mode="before")
    @classmethod
    def _belongs_to_it(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("thread") is not None:
            return data
        named = (data.get(field) for field in cls.thread_from)
        fits = (name for name in named if isinstance(name, str) and 0 < len(name) <= LONGEST_THREAD)
        thread = next(fits, None)
        return data if thread is None else {**data, "thread": thread}


class Written(Details):
    """A message somebody wrote, to the customer, to us, or to colleagues."""

    text: Text = Field(description="What was written.")
    internal: bool = Field(False, description="Written for colleagues; the customer never sees it.")

    def signals(self) -> Iterable[Signal]:
        if speaker(self) == "customer":
            yield Signal("message_in")

    def message(self) -> Message:
        return Message(speaker(self), public=self.shown_to_customer())

    def shown_to_customer(self) -> bool:
        return not self.internal and self.taken_direction() != "internal"


def speaker(details: Details) -> Role:
    """Who speaks: the actor where it is said (a system speaks as a bot does), else the direction tells."""
    if details.actor is None:
        return "customer" if details.taken_direction() == "in" else "agent"
    return "bot" if details.actor.kind == "system" else details.actor.kind


def entered(case: str, stage: str, visible: bool = True) -> Iterable[Register]:
    """A case or order is in this stage from now on."""
    yield Register("case_stage", case, {"stage": stage})
    unseen = {} if visible else {"visible": False}
    yield Register("stage", f"{case}\n{stage}", {"case": case, "stage": stage, **unseen})


def customer_message(details: Details) -> Message | None:
    """A customer's message, if it was the customer; what others note in his name waits for no answer."""
    return Message("customer", public=True) if speaker(details) == "customer" else None
