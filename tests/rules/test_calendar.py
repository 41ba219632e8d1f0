"""Working time, against a wall clock that is looked at every minute."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.thorough import examples
from touchbook.calendar import ALL_DAY, ALWAYS, MINUTE, Calendar
from touchbook.schemas.times import milliseconds_of

WEEKDAYS = (((9 * 60, 18 * 60),),) * 5
OFFICE = (*WEEKDAYS, ((10 * 60, 14 * 60),), ())
NIGHT = (((0, 150), (165, 240), (1380, 1440)),) * 7
"""Open while the clock is changed, wherever that is done."""
CHANGES = {
    "UTC": (),
    "Europe/Riga": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "Asia/Kathmandu": (),
    "Pacific/Kiritimati": (),
    "Atlantic/Azores": ("2026-03-29", "2026-10-25"),
}
PLACES = [(zone, day) for zone, days in CHANGES.items() for day in (*days, "2026-07-03")]
DAYS = 3


def at(text: str, zone: str = "UTC") -> int:
    return milliseconds_of(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def works(calendar: Calendar, moment: int) -> bool:
    """What the wall clock says in that minute."""
    wall = datetime.fromtimestamp(moment / 1000, UTC).astimezone(ZoneInfo(calendar.zone))
    minute = wall.hour * 60 + wall.minute
    if wall.date() in calendar.holidays or (wall.month, wall.day) in calendar.yearly:
        return False
    return any(start <= minute < end for start, end in calendar.hours[wall.weekday()])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Calendar, int]:
    """A calendar, and a moment a day before something happens to its clock."""
    zone, day = draw(st.sampled_from(PLACES))
    on = date.fromisoformat(day)
    calendar = Calendar(
        zone,
        draw(st.sampled_from([ALWAYS, OFFICE, NIGHT, (ALL_DAY, *NIGHT[:5], ())])),
        draw(st.sampled_from([(), (on,), (on, date(2026, 7, 2))])),
        draw(st.sampled_from([(), ((on.month, on.day),), ((7, 4), (11, 2))])),
    )
    return calendar, at(f"{day} 00:00") - draw(st.integers(0, 26 * 60)) * MINUTE


@given(cases(), st.integers(0, DAYS * 1_440), st.integers(0, 59_999), st.integers(0, 59_999))
@settings(max_examples=examples(60), deadline=None)
def test_working_time_is_what_a_look_at_the_wall_clock_every_minute_counts(
    case: tuple[Calendar, int], minutes: int, ahead: int, behind: int
) -> None:
    calendar, since = case
    counted = sum(works(calendar, since + n * MINUTE) for n in range(minutes)) * MINUTE
    assert calendar.working(since, since + minutes * MINUTE) == counted
    more = ahead * works(calendar, since - MINUTE) + behind * works(calendar, since + minutes * MINUTE)
    assert calendar.working(since - ahead, since + minutes * MINUTE + behind) == counted + more


@given(cases(), st.integers(1, 40 * 3_600_000))
@settings(max_examples=examples(100), deadline=None)
def test_after_is_the_first_moment_at_which_so_much_time_was_worked(
    case: tuple[Calendar, int], working: int
) -> None:
    calendar, since = case
    until = calendar.after(since, working)
    assert calendar.working(since, until) == working
    assert calendar.working(since, until - 1) == working - 1


@given(cases(), st.lists(st.integers(0, 20 * 1_440), min_size=3, max_size=3))
@settings(max_examples=examples(60), deadline=None)
def test_the_working_time_of_two_spans_is_that_of_both_together(
    case: tuple[Calendar, int], minutes: list[int]
) -> None:
    calendar, since = case
    first, second, third = (since + one * MINUTE for one in sorted(minutes))
    both = calendar.working(first, second) + calendar.working(second, third)
    assert calendar.working(first, third) == both


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-03", 24)])
def test_a_day_on_which_the_clock_is_changed_is_shorter_or_longer(day: str, hours: int) -> None:
    calendar = Calendar("Europe/Riga", ALWAYS, (date(2026, 1, 1),))
    since = at(f"{day} 00:00", "Europe/Riga")
    until = at(f"{day[:8]}{int(day[8:]) + 1:02} 00:00", "Europe/Riga")
    assert calendar.working(since, until) == hours * 60 * MINUTE


def test_a_question_of_friday_evening_may_wait_until_monday_and_longer_over_a_holiday() -> None:
    friday, hour = at("2026-12-18 17:30", "Europe/Riga"), 60 * MINUTE
    office = Calendar("Europe/Riga", (*WEEKDAYS, (), ()))
    assert office.after(friday, hour) == at("2026-12-21 09:30", "Europe/Riga")
    closed = Calendar("Europe/Riga", (*WEEKDAYS, (), ()), (date(2026, 12, 21),), ((12, 22),))
    assert closed.after(friday, hour) == at("2026-12-23 09:30", "Europe/Riga")


def test_no_time_passes_backwards() -> None:
    for calendar in (Calendar(), Calendar("UTC", OFFICE)):
        assert calendar.working(at("2026-07-03 12:00"), at("2026-07-03 11:00")) == 0
