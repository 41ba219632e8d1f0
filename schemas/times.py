"""Times in and out: RFC 3339 text, milliseconds UTC inside, days as dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from touchbook.errors import Rejected

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1)
MILLISECOND = timedelta(milliseconds=1)


def milliseconds(text: object, field: str) -> int:
    """Milliseconds UTC of an RFC 3339 time. Raises `Rejected` naming the field; a time without zone is refused."""
    expected = 'expected an RFC 3339 time with a zone, as "2026-01-02T03:04:05.678Z"'
    if not isinstance(text, str) or len(text) > 64:
        raise Rejected("time_invalid", expected, field)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected("time_invalid", expected, field) from None
    if moment.tzinfo is None or len(text) < 16:
        raise Rejected("time_without_zone", expected, field)
    return milliseconds_of(moment)


def milliseconds_of(moment: datetime) -> int:
    """Milliseconds UTC of a time with a zone."""
    return (moment - EPOCH) // MILLISECOND


def rfc3339(at: int) -> str:
    """The time in UTC with milliseconds, as "2026-01-02T03:04:05.678Z"."""
    seconds, rest = divmod(at, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def day_text(day: int) -> str:
    """A day number (days since 1970-01-01) as YYYY-MM-DD."""
    return (EPOCH_DAY + timedelta(days=day)).isoformat()


def day_number(text: str) -> int:
    """The day number of YYYY-MM-DD. Raises ValueError."""
    if len(text) != 10:
        raise ValueError(text)
    return (date.fromisoformat(text) - EPOCH_DAY).days
