"""When the company works: its hours of the week in its own zone, without its holidays.

A moment is working time where the company's wall clock shows an hour of work. So an hour that summer time skips is
none, and one that it repeats is two. Times are milliseconds UTC.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.schemas.times import EPOCH_DAY, milliseconds_of

MINUTE = 60_000
MINUTES_A_DAY = 1_440

Span = tuple[int, int]
"""From one minute of a day to another, which is not in it; 1440 is midnight at the end of the day."""
ALL_DAY: tuple[Span, ...] = ((0, MINUTES_A_DAY),)
ALWAYS: tuple[tuple[Span, ...], ...] = (ALL_DAY,) * 7


@dataclass(frozen=True)
class Calendar:
    """`hours` are the spans of each day of the week, Monday first, in order and apart, and at least one of
    them; `yearly` are holidays of every year, as (month, day)."""

    zone: str = "UTC"
    hours: tuple[tuple[Span, ...], ...] = ALWAYS
    holidays: tuple[date, ...] = ()
    yearly: tuple[tuple[int, int], ...] = ()
    _days: dict[int, tuple[Span, ...]] = field(default_factory=dict, init=False, compare=False, repr=False)
    """Day → when we work on it, milliseconds UTC; what was computed once."""

    def working(self, since: int, until: int) -> int:
        """The working time between two moments; 0 where the second is not after the first."""
        if self._never_closes:
            return max(until - since, 0)
        return sum(
            max(min(end, until) - max(start, since), 0)
            for day in range(self._day_of(since), self._day_of(until) + 1)
            for start, end in self._on(day)
        )

    def after(self, since: int, working: int) -> int:
        """The first moment at which so much working time has passed since then."""
        if self._never_closes or not working:
            return since + working
        day, left = self._day_of(since), working
        while True:
            for start, end in self._on(day):
                begin = max(start, since)
                if end - begin >= left:
                    return begin + left
                left -= max(end - begin, 0)
            day += 1

    def minute_of(self, at: int) -> int:
        """What the company's wall clock shows, in minutes after midnight."""
        local = self._local(at)
        return local.hour * 60 + local.minute

    @cached_property
    def _never_closes(self) -> bool:
        return self.hours == ALWAYS and not self.holidays and not self.yearly

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def _local(self, at: int) -> datetime:
        return datetime.fromtimestamp(at // 1000, self._zone)

    def _day_of(self, at: int) -> int:
        return (self._local(at).date() - EPOCH_DAY).days

    def _on(self, day: int) -> tuple[Span, ...]:
        found = self._days.get(day)
        if found is None:
            found = self._days[day] = tuple(self._opened(day))
        return found

    def _opened(self, day: int) -> Sequence[Span]:
        on = EPOCH_DAY + timedelta(days=day)
        if on in self.holidays or (on.month, on.day) in self.yearly:
            return ()
        midnight = day * MILLISECONDS_A_DAY
        return sorted(
            (max(midnight + start * MINUTE - offset, since), min(midnight + end * MINUTE - offset, until))
            for offset, since, until in self._offsets(on)
            for start, end in self.hours[on.weekday()]
            if max(midnight + start * MINUTE - offset, since) < min(midnight + end * MINUTE - offset, until)
        )

    def _offsets(self, on: date) -> list[tuple[int, int, int]]:
        """Which offsets from UTC the wall clock has around a day: (offset, since, until). Two at most: no zone changes
        its clock twice within three days."""
        noon = milliseconds_of(datetime(on.year, on.month, on.day, 12, tzinfo=UTC))
        since, until = noon - 3 * MILLISECONDS_A_DAY // 2, noon + 3 * MILLISECONDS_A_DAY // 2
        before, after = self._offset(since), self._offset(until)
        if before == after:
            return [(before, since, until)]
        minutes = range(since, until, MINUTE)
        changed = minutes[bisect_left(minutes, True, key=lambda at: self._offset(at) != before)]
        return [(before, since, changed), (after, changed, until)]

    def _offset(self, at: int) -> int:
        offset = self._local(at).utcoffset()
        assert offset is not None
        return offset // timedelta(milliseconds=1)
