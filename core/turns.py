"""Turns: what a customer wrote in a thread until our first public word, and when that came.

Internal notes never count. Late messages, duplicates and any order of arrival give the same turns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from touchbook.registers import ThreadMessage


@dataclass(frozen=True, slots=True)
class Turn:
    """The key of its `opening` touchpoint names it. Times are milliseconds UTC; None is what did not happen yet.

    `subject`        the permanent id its opening was recorded under; `channel` and `purpose` are the opening's too
    `customer_keys`  his messages, oldest first, and `customer_times` when he wrote them
    `first`          it opens a thread, or one that was closed; not where we wrote first
    `reply`          our first public word, `by` a bot or a person
    `bot_at`         a bot's first public word after the opening, also after the reply, until the thread is opened anew
    `human_at`       a person's
    `ended_at`       when the thread was closed after the opening

    What he writes between the words of a person and the end of a chat asks for nothing, and is no turn.
    """

    thread: str
    opening: str
    subject: str
    channel: str
    purpose: str | None
    opened_at: int
    customer_keys: tuple[str, ...]
    customer_times: tuple[int, ...]
    first: bool
    replied_at: int | None = None
    reply: str | None = None
    by: Literal["bot", "agent"] | None = None
    agent: str | None = None
    team: str | None = None
    bot_at: int | None = None
    human_at: int | None = None
    ended_at: int | None = None

    @property
    def messages(self) -> int:
        return len(self.customer_keys)


def turns_of(messages: Iterable[ThreadMessage]) -> list[Turn]:
    """Every turn in messages of one customer, his members' together; in order of thread and opening."""
    ordered = sorted(messages, key=lambda one: (one.thread, one.occurred_at, one.key))
    found: list[Turn] = []
    for _, those in groupby(ordered, key=lambda one: one.thread):
        thread = _Thread()
        for _, same in groupby(those, key=lambda one: one.key):
            thread.hear(next(same))
        found += [told.turn() for told in thread.told]
    return found


@dataclass(slots=True)
class _Told:
    """A turn while it is read."""

    opening: ThreadMessage
    first: bool
    said: list[ThreadMessage]
    reply: ThreadMessage | None = None
    bot_at: int | None = None
    human_at: int | None = None
    ended_at: int | None = None

    def turn(self) -> Turn:
        opening, reply = self.opening, self.reply
        return Turn(
            thread=opening.thread,
            opening=opening.key,
            subject=opening.subject,
            channel=opening.channel,
            purpose=opening.purpose,
            opened_at=opening.occurred_at,
            customer_keys=tuple(one.key for one in self.said),
            customer_times=tuple(one.occurred_at for one in self.said),
            first=self.first,
            replied_at=None if reply is None else reply.occurred_at,
            reply=None if reply is None else reply.key,
            by=None if reply is None else "bot" if reply.role == "bot" else "agent",
            agent=None if reply is None else reply.agent,
            team=None if reply is None else reply.team,
            bot_at=self.bot_at,
            human_at=self.human_at,
            ended_at=self.ended_at,
        )


@dataclass(slots=True)
class _Thread:
    """One thread, heard message by message. `begins`: who writes next opens it, for the first time or anew; `since` is
    where among `told` it was opened last."""

    told: list[_Told] = field(default_factory=list)
    begins: bool = True
    since: int = 0
    heard: str | None = None
    """Whose our last public word was."""

    def hear(self, message: ThreadMessage) -> None:
        if message.role == "customer":
            self._ask(message)
        elif message.answers:
            self._answer(message)
        if message.closes:
            self._close(message)

    def _ask(self, message: ThreadMessage) -> None:
        if (
            self.told and self.told[-1].reply is None
        ):  # he still waits, also where the thread was closed meanwhile
            self.told[-1].said.append(message)
        else:
            if self.begins:
                self.since = len(self.told)
            self.told.append(_Told(message, self.begins, [message]))
        self.begins = False

    def _answer(self, message: ThreadMessage) -> None:
        if self.begins:  # we open it
            waits = self.told and self.told[-1].reply is None
            self.since = len(self.told) - 1 if waits else len(self.told)
        self.begins = False
        self.heard = message.role
        if self.told and self.told[-1].reply is None:
            self.told[-1].reply = message
        for told in self.told[self.since :]:
            if message.role == "bot" and told.bot_at is None:
                told.bot_at = message.occurred_at
            elif message.role != "bot" and told.human_at is None:
                told.human_at = message.occurred_at

    def _close(self, message: ThreadMessage) -> None:
        self.begins = True
        if self.heard == "agent" and self.told and self.told[-1].reply is None:
            self.told.pop()
        for told in self.told:
            if told.ended_at is None:
                told.ended_at = message.occurred_at
