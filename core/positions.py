"""Positions as outsiders see them: opaque tokens, compared only by the server."""

from __future__ import annotations

PREFIX = "j1."


def token_of(position: int) -> str:
    return f"{PREFIX}{position}"


def position_of(token: str) -> int:
    """The position behind a token of ours. Raises ValueError for any other text."""
    digits = token.removeprefix(PREFIX)
    if not token.startswith(PREFIX) or not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
        raise ValueError("expected a position as given by a publish answer")
    return int(digits)
