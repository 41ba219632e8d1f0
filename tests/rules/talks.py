"""Talks made up for tests: messages of threads that arrive late, twice, and in any order."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from touchbook.registers import ThreadMessage

MINUTE = 60_000
CUSTOMER, BOT, AGENT, NOTE, ENDED, SOLVED = "customer", "bot", "agent", "note", "ended", "solved"
_KINDS = {
    CUSTOMER: ("customer", True, False),
    BOT: ("bot", True, False),
    AGENT: ("agent", True, False),
    NOTE: ("agent", False, False),
    ENDED: ("bot", False, True),
    SOLVED: ("agent", True, True),
}


def word(
    kind: str, minute: int, key: str = "", thread: str = "t", channel: str = "web_chat"
) -> ThreadMessage:
    role, public, closes = _KINDS[kind]
    return ThreadMessage(
        subject="s",
        thread=thread,
        occurred_at=minute * MINUTE,
        key=key or f"{kind}-{minute}",
        role=role,
        public=public,
        channel=channel,
        agent="Ada" if role == "agent" else None,
        team=None,
        purpose=None,
        closes=closes,
    )


class Heard(NamedTuple):
    """A message, and the minute at which it arrived."""

    message: ThreadMessage
    at: int


@st.composite
def talks(draw: st.DrawFn, minutes: int = 240, most: int = 14) -> list[Heard]:
    """In order of arrival; some come twice."""
    heard = []
    for number in range(draw(st.integers(0, most))):
        said = word(
            draw(st.sampled_from([CUSTOMER, CUSTOMER, CUSTOMER, BOT, AGENT, NOTE, ENDED, SOLVED])),
            draw(st.integers(0, minutes)),
            f"{draw(st.integers(0, 9))}-{number}",
            draw(st.sampled_from(["t", "u"])),
            draw(st.sampled_from(["web_chat", "email", "social"])),
        )
        delays = draw(st.sampled_from([[0], [0], [2], [4], [30], [90], [0, 7]]))
        heard += [Heard(said, said.occurred_at // MINUTE + delay) for delay in delays]
    return sorted(heard, key=lambda one: (one.at, one.message.key))
