"""Times in and out: RFC 3339 text, milliseconds UTC inside, days as dates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from touchbook.errors import Rejected

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1)
MILLISECOND = timedelta(milliseconds=1)
EARLIEST, LATEST = (
    (moment.replace(tzinfo=UTC) - EPOCH) // MILLISECOND for moment in (datetime.min, datetime.max)
)
"""The first and the last millisecond that can be written."""
_SHAPE = re.compile(
    r"(?:\d{4}-\d\d-\d\d|\d{8})"
    r"(?:[Tt _]\d\d(?::?\d\d(?::?\d\d(?:[.,]\d+)?)?)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
"""RFC 3339, and what of ISO 8601 cannot be misunderstood."""


def milliseconds(text: object, field: str) -> int:
    """Milliseconds UTC of an RFC 3339 time. Raises `Rejected` naming the field; a time without zone is refused."""
    expected = 'expected an RFC 3339 time with a zone, as "2026-01-02T03:04:05.678Z"'
    if not isinstance(text, str) or len(text) > 64:
        raise Rejected("time_invalid", expected, field)
    if not _SHAPE.fullmatch(text):  # what follows also takes NUL and the like between the parts
        raise Rejected("time_invalid", expected, field)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected("time_invalid", expected, field) from None
    if moment.tzinfo is None or len(text) < 16:
        raise Rejected("time_without_zone", expected, field)
    return milliseconds_of(moment)


def writable_milliseconds(text: object, field: str) -> int:
    """The same of a time that we may write again: one that its zone takes out of the years 1 to 9999 is refused."""
    at = milliseconds(text, field)
    if not EARLIEST <= at <= LATEST:
        raise Rejected("time_invalid", "expected a time within the years 1 to 9999 of UTC", field)
    return at


def milliseconds_of(moment: datetime) -> int:
    """Milliseconds UTC of a time with a zone."""
    return (moment - EPOCH) // MILLISECOND


def rfc3339(at: int) -> str:
    """The time in UTC with milliseconds, as "2026-01-02T03:04:05.678Z"."""
    day, rest = divmod(at, 86_400_000)
    return f"{_day_text(day)}T{rest // 3_600_000:02}:{rest // 60_000 % 60:02}:{rest // 1000 % 60:02}.{rest % 1000:03}Z"


def day_text(day: int) -> str:
    """A day number (days since 1970-01-01) as YYYY-MM-DD."""
    return (EPOCH_DAY + timedelta(days=day)).isoformat()


_day_text = lru_cache(maxsize=4096)(day_text)


def day_number(text: str) -> int:
    """The day number of YYYY-MM-DD. Raises ValueError."""
    if len(text) != 10:
        raise ValueError(text)
    return (date.fromisoformat(text) - EPOCH_DAY).days
