"""Times and days as a client names them in parameters; the command line reads its own the same way."""

from __future__ import annotations

from touchbook.errors import Refused, Rejected
from touchbook.ledger import MILLISECONDS_A_DAY, Day
from touchbook.schemas.times import LATEST, day_number, writable_milliseconds


def day(name: str, text: str) -> Day:
    """The day in a parameter. Raises `Refused` naming it."""
    try:
        return day_number(text)
    except ValueError:
        raise wrong(name, "expected a UTC day as YYYY-MM-DD") from None


def moment(name: str, text: str | None, *, end: bool = False) -> int | None:
    """The milliseconds of a parameter that is a time or a day; of a day the beginning, or with `end` the end."""
    if text is None:
        return None
    try:
        if len(text) == 10:
            return min((day_number(text) + end) * MILLISECONDS_A_DAY, LATEST)
        return writable_milliseconds(text, name)
    except (ValueError, Rejected):
        raise wrong(name, "expected a UTC day as YYYY-MM-DD, or an RFC 3339 time with a zone") from None


def wrong(name: str, expected: str) -> Refused:
    return Refused(422, "parameter_invalid", f"query {name}: {expected}")
