"""Duty: what one of many processes does for all of them.

Whoever has it acts as if he were alone, and what he does is harmless if another does it too: a process may be held
still between asking whether it has the duty and acting on the answer.
"""

from __future__ import annotations

from typing import Protocol


class Duty(Protocol):
    """At most one of those who share a duty has it at any time; when he ends, or is not heard of for a session, another
    has it soon after. Methods may be called from any thread."""

    def start(self) -> None:
        """From now on it may fall to this process."""

    def held(self) -> bool:
        """Whether this process has it now. Answered from memory."""

    def close(self) -> None:
        """Hands it on, if it has it. May be called again."""


class AlwaysHeld:
    """See `Duty`, where one process is alone."""

    def start(self) -> None: ...

    def held(self) -> bool:
        return True

    def close(self) -> None: ...
