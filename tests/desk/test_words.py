"""Two languages: every message in both, and times and numbers as each writes them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.catalog import Message
from babel.messages.extract import extract
from jinja2.ext import babel_extract

from touchbook.api.desk import words as module
from touchbook.api.desk.words import Words, catalogue
from touchbook.schemas.times import milliseconds

DESK = Path(str(files("touchbook.api.desk")))
CALLS = {"_": None, "gettext": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
FIELD = re.compile(r"%\((\w+)\)s|%%|\{\w+\}")
BERLIN = ZoneInfo("Europe/Berlin")
EN, RU = Words("en", BERLIN), Words("ru", BERLIN)
AT = milliseconds("2026-11-19T19:39:07Z", "at")
DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000


def said() -> Iterator[tuple[str, str | tuple[str, ...], str | None]]:
    """Every message of code and templates: where, what, and in which context."""
    for path in sorted([*DESK.rglob("*.py"), *DESK.rglob("*.html")]):
        method = "python" if path.suffix == ".py" else babel_extract
        options = {} if path.suffix == ".py" else {"silent": "false", "trimmed": "true"}
        content = io.BytesIO(path.read_bytes())
        for line, message, _, context in extract(method, content, CALLS, (), options):
            yield f"{path.relative_to(DESK)}:{line}", message, context


def translated() -> dict[tuple[str | tuple[str, ...], str | None], Message]:
    return {(message.id, message.context): message for message in catalogue("ru") if message.id}


def test_every_message_has_a_russian_translation_and_none_is_left_over() -> None:
    spoken = {(message, context): where for where, message, context in said()}
    russian = translated()
    assert len(spoken) > 50
    assert [(where, *key) for key, where in spoken.items() if key not in russian] == []
    assert sorted(str(key) for key in russian.keys() - spoken.keys()) == []


def test_every_translation_is_whole_and_has_the_fields_of_its_message() -> None:
    for (id, _), message in translated().items():
        assert not message.fuzzy, id
        texts = [message.string] if isinstance(id, str) else list(message.string)
        assert len(texts) == (1 if isinstance(id, str) else 3), id
        english = id if isinstance(id, str) else id[1]
        for text in texts:
            assert text, id
            if isinstance(id, str):
                assert sorted(FIELD.findall(text)) == sorted(FIELD.findall(english)), text
            else:  # one need not be said with its number
                assert set(FIELD.findall(text)) <= set(FIELD.findall(english)), text


def test_two_files_that_translate_one_message_differently_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "locale" / "ru"
    folder.mkdir(parents=True)
    monkeypatch.setattr(module, "files", lambda package: tmp_path)
    (folder / "a.po").write_text('msgid "Open"\nmsgstr "Открыть"\n')
    (folder / "b.po").write_text(
        'msgid "Open"\nmsgstr "Открыть"\n\nmsgctxt "a"\nmsgid "Open"\nmsgstr "Открыта"\n'
    )
    assert catalogue("ru").get("Open", "a").string == "Открыта"
    (folder / "b.po").write_text('msgid "Open"\nmsgstr "Открыто"\n')
    with pytest.raises(ValueError, match=r"b\.po translates 'Open' otherwise"):
        catalogue("ru")


def test_days_and_times_are_the_desks_own_and_read_as_each_language_writes_them() -> None:
    assert (EN.time(AT), RU.time(AT)) == ("20:39", "20:39")
    assert (EN.day(AT), RU.day(AT)) == ("Thursday 19 November", "Четверг, 19 ноября")
    assert (EN.day_short(AT), RU.day_short(AT)) == ("19 Nov", "19 нояб.")
    assert EN.moment(AT) == "Thursday 19 November 2026, 20:39"
    assert EN.iso(AT) == "2026-11-19T20:39:07+01:00"
    late = milliseconds("2026-11-19T23:30:00Z", "at")
    assert EN.day(late) == "Friday 20 November"
    assert Words("en", ZoneInfo("America/New_York")).day(late) == "Thursday 19 November"


def test_another_year_is_said() -> None:
    before = AT - 400 * DAY
    assert (EN.day(before, AT), RU.day(before, AT)) == ("Wednesday 15 October 2025", "Среда, 15 октября 2025")
    assert EN.day_short(before, AT) == "15 Oct 2025"
    assert EN.day(AT - DAY, AT) == "Wednesday 18 November"


def test_days_ago_are_days_of_the_calendar_also_where_the_clocks_change() -> None:
    for days, english, russian in (
        (0, "today", "сегодня"),
        (1, "yesterday", "вчера"),
        (2, "2 days ago", "2 дня назад"),
        (5, "5 days ago", "5 дней назад"),
        (21, "21 days ago", "21 день назад"),
        (-1, "in 1 day", "через 1 день"),
    ):
        assert (EN.ago(AT - days * DAY, AT), RU.ago(AT - days * DAY, AT)) == (english, russian)
    midnight = milliseconds("2026-10-25T23:30:00Z", "at")  # 00:30 in Berlin, after a day of 25 hours
    assert EN.ago(midnight - HOUR, midnight) == "yesterday"
    assert EN.ago(milliseconds("2026-10-24T22:30:00Z", "at"), midnight) == "yesterday"


def test_a_clock_says_seconds_then_minutes_then_days() -> None:
    for waiting, english, russian in (
        (-5, "00:00", "00:00"),
        (12 * MINUTE + 48_900, "12:48", "12:48"),
        (HOUR - 1, "59:59", "59:59"),
        (HOUR, "1 h 0 min", "1 ч 0 мин"),
        (26 * HOUR + 10 * MINUTE, "26 h 10 min", "26 ч 10 мин"),
        (3 * DAY - 1, "71 h 59 min", "71 ч 59 мин"),
        (3 * DAY, "3 days", "3 дня"),
        (20 * DAY, "20 days", "20 дней"),
    ):
        assert (EN.clock(waiting), RU.clock(waiting)) == (english, russian)
    assert EN.duration(25 * MINUTE) == "25 min"


def test_a_length_that_does_not_run_leaves_out_what_is_nought() -> None:
    for lasting, english, russian in (
        (4_900, "4 s", "4 с"),
        (25 * MINUTE, "25 min", "25 мин"),
        (24 * HOUR, "24 h", "24 ч"),
        (26 * HOUR + 10 * MINUTE, "26 h 10 min", "26 ч 10 мин"),
        (3 * DAY, "3 days", "3 дня"),
    ):
        assert (EN.length(lasting), RU.length(lasting)) == (english, russian)


def test_numbers_and_points_have_true_minus_signs_and_each_languages_marks() -> None:
    assert (EN.number(1_234_567), RU.number(1_234_567)) == ("1,234,567", "1\u202f234\u202f567")
    assert (EN.number(-3), RU.number(2.5)) == ("−3", "2,5")
    assert (EN.points(-12_240), RU.points(-12_240)) == ("−12.2", "−12,2")
    assert (EN.points(400, signed=True), EN.points(400), EN.points(0, signed=True)) == ("+0.4", "0.4", "0.0")


def test_counts_take_the_form_of_their_number_and_are_written_out() -> None:
    days = ("%(num)s day", "%(num)s days")
    assert [EN.ngettext(*days, n) for n in (1, 2, 1000)] == ["1 day", "2 days", "1,000 days"]
    assert [RU.ngettext(*days, n) for n in (1, 3, 5, 11, 21, 1000)] == [
        "1 день",
        "3 дня",
        "5 дней",
        "11 дней",
        "21 день",
        "1\u202f000 дней",
    ]
