"""Times as text, and back."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from touchbook.schemas.times import milliseconds, rfc3339

LAST = 253_402_300_799_999  # the end of the year 9999


@given(st.integers(-(10**13), LAST))
def test_a_time_reads_as_the_calendar_writes_it(at: int) -> None:
    seconds, rest = divmod(at, 1000)

    assert rfc3339(at) == f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


@given(st.integers(-(10**13), LAST))
def test_a_time_written_is_read_back(at: int) -> None:
    assert milliseconds(rfc3339(at), "time") == at
