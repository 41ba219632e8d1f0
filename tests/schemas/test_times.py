"""Times as text, and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchbook.errors import Rejected
from touchbook.schemas.times import milliseconds, rfc3339, writable_milliseconds

LAST = 253_402_300_799_999  # the end of the year 9999


@given(st.integers(-(10**13), LAST))
def test_a_time_reads_as_the_calendar_writes_it(at: int) -> None:
    seconds, rest = divmod(at, 1000)

    assert rfc3339(at) == f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


@given(st.integers(-(10**13), LAST))
def test_a_time_written_is_read_back(at: int) -> None:
    assert milliseconds(rfc3339(at), "time") == writable_milliseconds(rfc3339(at), "time") == at


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59.999-00:01", "0001-01-01T00:00:00+00:01"])
def test_a_time_that_has_no_day_in_utc_is_none(text: str) -> None:
    with pytest.raises(Rejected, match="moment: expected"):
        writable_milliseconds(text, "moment")
