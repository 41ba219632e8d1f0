"""Positions in the journal: where a record stands, and how outsiders see that.

On one machine they are 1, 2, 3 … On many the journal has parts (Kafka's partitions), and one number holds the part and
the offset in it: within a part positions ascend, between parts they say nothing. Outside they are opaque tokens,
compared only by the server.
"""

from __future__ import annotations

PREFIX = "j1."
MOST_PARTS = 1_024
_PART_BITS = 10


def position_in(part: int, offset: int) -> int:
    """The position of an offset of Kafka's in a part; greater than 0, which stands before everything."""
    return (offset + 1) << _PART_BITS | part


def part_of(position: int) -> int:
    return position & (MOST_PARTS - 1)


def offset_of(position: int) -> int:
    return (position >> _PART_BITS) - 1


def token_of(position: int) -> str:
    return f"{PREFIX}{position}"


def position_of(token: str) -> int:
    """The position behind a token of ours. Raises ValueError for any other text."""
    digits = token.removeprefix(PREFIX)
    if not token.startswith(PREFIX) or not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
        raise ValueError("expected a position as given by a publish answer")
    return int(digits)
