"""What the desk says in an agent's language, and how it writes times and numbers there.

English text is the key of its translation. The translations of all `locale/LANGUAGE/*.po` are one catalogue, read when
the desk is made; nothing is compiled beforehand.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from datetime import date as calendar_day
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_datetime
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from touchbook.ledger import MILLISECONDS_A_DAY
from touchbook.schemas.display import LANGUAGES, Language

__all__ = ["LANGUAGES", "LANGUAGE_NAMES", "Language", "Words"]

LANGUAGE_NAMES: dict[Language, str] = {"en": "English", "ru": "Русский"}
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
CLOCK_DAYS = 3
"""From so many days on a clock says days alone."""
MINUS = "−"
THIN = "\N{NARROW NO-BREAK SPACE}"


class Words:
    """One language in one time zone. Every time given is in milliseconds UTC."""

    def __init__(self, language: Language, zone: ZoneInfo) -> None:
        self.language: Language = language
        self.zone = zone
        self._formatted = lru_cache(maxsize=16_384)(self._format)
        self._counted = lru_cache(maxsize=4_096)(self._count)

    def gettext(self, message: str, /, **fields: object) -> str:
        """The message in this language; `%(name)s` in it stands for a field, `%%` for a percent sign."""
        return translations(self.language).gettext(message) % fields

    def ngettext(self, one: str, more: str, n: int, /, **fields: object) -> str:
        """The message in the form that goes with `n`, which is also the field `num`."""
        return translations(self.language).ngettext(one, more, n) % {"num": self.number(n), **fields}

    def pgettext(self, context: str, message: str, /, **fields: object) -> str:
        """The message as it reads in this context: where one English word has several translations."""
        return translations(self.language).pgettext(context, message) % fields

    def time(self, at: int) -> str:
        """20:39"""
        return self._formatted(at // MINUTE * MINUTE, "HH:mm")

    def day(self, at: int, now: int | None = None) -> str:
        """Thursday 19 November; with `now`, the year too where it is another one."""
        comma = "," if self.language == "ru" else ""
        return _capital(self._formatted(self._noon(at), f"EEEE{comma} d MMMM{self._year(at, now)}"))

    def day_short(self, at: int, now: int | None = None) -> str:
        """30 Oct; with `now`, the year too where it is another one."""
        return self._formatted(self._noon(at), f"d MMM{self._year(at, now)}")

    def date(self, at: int) -> str:
        """29 Nov 2025"""
        return self._formatted(self._noon(at), "d MMM y")

    def moment(self, at: int) -> str:
        """Thursday 19 November 2026, 20:39, for ears and where a day alone is not enough."""
        comma = "," if self.language == "ru" else ""
        return self._formatted(at // MINUTE * MINUTE, f"EEEE{comma} d MMMM y, HH:mm")

    def iso(self, at: int) -> str:
        """For the attribute `datetime`, with the desk's offset."""
        return self._local(at).isoformat(timespec="seconds")

    def today(self, now: int) -> calendar_day:
        return self._local(now).date()

    def ago(self, at: int, now: int) -> str:
        """How many days of the calendar ago: today, yesterday, 4 days ago."""
        days = (self._local(now).date() - self._local(at).date()).days
        if days < 0:
            return self.ngettext("in %(num)s day", "in %(num)s days", -days)
        if days < 2:
            return self.gettext("yesterday") if days else self.gettext("today")
        return self.ngettext("%(num)s day ago", "%(num)s days ago", days)

    def clock(self, waiting: int) -> str:
        """How long something waits: 12:48 within the hour, 26 h 10 min, 20 days."""
        waiting = max(0, waiting)
        if waiting < HOUR:
            return f"{waiting // MINUTE:02}:{waiting // SECOND % 60:02}"
        return self.duration(waiting)

    def duration(self, lasting: int) -> str:
        """In whole minutes, from three days on in days: 25 min, 26 h 10 min, 20 days."""
        if lasting >= CLOCK_DAYS * MILLISECONDS_A_DAY:
            days = lasting // MILLISECONDS_A_DAY
            return self.ngettext("%(num)s day", "%(num)s days", days)
        hours, minutes = divmod(max(0, lasting) // MINUTE, 60)
        if not hours:
            return self.gettext("%(minutes)s min", minutes=minutes)
        return self.gettext("%(hours)s h %(minutes)s min", hours=hours, minutes=minutes)

    def length(self, lasting: int) -> str:
        """How long something took or may take, which does not run: 4 s, 25 min, 24 h, 26 h 10 min, 20 days."""
        if lasting < MINUTE:
            return self.gettext("%(seconds)s s", seconds=max(0, lasting) // SECOND)
        if lasting % HOUR < MINUTE and lasting < CLOCK_DAYS * MILLISECONDS_A_DAY:
            return self.gettext("%(hours)s h", hours=lasting // HOUR)
        return self.duration(lasting)

    def number(self, n: float) -> str:
        """1,234 or, in Russian, 1 234 with a narrow space; a true minus sign."""
        return self._counted(n)

    def points(self, milli: int, signed: bool = False) -> str:
        """Thousandths of a point as points: −12.2; `signed` also puts a plus."""
        shown = _signs(format_decimal(milli / 1000, "#,##0.0", locale=locale(self.language)))
        return f"+{shown}" if signed and milli > 0 else shown

    def _local(self, at: int) -> datetime:
        return datetime.fromtimestamp(at / 1000, self.zone)

    def _noon(self, at: int) -> int:
        """One moment for all of a day, so that it is worded once."""
        local = self._local(at)
        return int(local.replace(hour=12, minute=0, second=0, microsecond=0).timestamp() * 1000)

    def _year(self, at: int, now: int | None) -> str:
        return "" if now is None or self._local(now).year == self._local(at).year else " y"

    def _count(self, n: float) -> str:
        return _signs(format_decimal(n, locale=locale(self.language)))

    def _format(self, at: int, pattern: str) -> str:
        return format_datetime(
            datetime.fromtimestamp(at / 1000, UTC), pattern, tzinfo=self.zone, locale=locale(self.language)
        )


@cache
def locale(language: Language) -> Locale:
    return Locale.parse("en_GB" if language == "en" else language)


@cache
def translations(language: Language) -> NullTranslations:
    """English is what the messages say themselves."""
    if language == "en":
        return NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(language))
    compiled.seek(0)
    return GNUTranslations(compiled)


def catalogue(language: Language) -> Catalog:
    """All catalogues of a language as one. Raises ValueError where two translate a message differently."""
    whole = Catalog(locale=language)
    for file in sorted(
        (files("touchbook.api.desk") / "locale" / language).iterdir(), key=lambda one: one.name
    ):
        if file.name.endswith(".po"):
            for message in read_po(io.BytesIO(file.read_bytes()), locale=language):
                held = whole.get(message.id, message.context) if message.id else None
                if held is not None and held.string != message.string:
                    raise ValueError(f"{file.name} translates {message.id!r} otherwise than a file before it")
                if message.id:
                    whole[message.id] = message
    return whole


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _signs(number: str) -> str:
    return number.replace("-", MINUS).replace("\xa0", THIN)
