"""How a touchpoint reads on a timeline: a small template language, the same in every language.

A template is text with fields in braces and optional stretches in square brackets:

    "Order {order_id} placed[ for {amount|money}][: {items|join}]"

- `{name}` is a field of the details (or a dotted path into one); `{name|format}` or `{name|format:argument}`
  words it.
- a stretch in brackets is left out when any field inside it is missing, null or empty, or is worded as
  nothing (`words` may say so: `{"true": "internal", "false": ""}`); brackets do not nest.
- a stretch that comes first loses the separator it begins with: "[{a}][ · {b}]" without `a` reads "b".
- a missing field outside brackets reads as "–".

Formats: `money` (minor units, with the sibling field `currency`, in the currency's own number of decimals;
without a known currency it counts as missing, since nobody can tell what the number means), `date`,
`datetime`, `day` (a date without its year), `duration` (seconds), `number`, `stars` (out of five), `join` (a
list; of mappings their names, with "×2" where a quantity is more than one), `words` (an enumerated value by
the display's `words` table, else the value itself; of a list each of them, of a mapping its `code` and in
brackets its `rule`, else its `detail`), `plural:one,many` in English and `plural:one,few,many` in Russian as
`{count|plural:message,messages}` (reads as "3 messages"), `short` (the first 140 characters on one line).

Times are given as `datetime`, `date`, RFC 3339 text or integers (milliseconds UTC; for `day` and `date` a
small one is days since 1970) and read in the offset they were said in, which is named.

What a field holds is plain text and stays inert: braces and brackets in it mean nothing, control characters
and outer blanks are taken out. A value that does not fit its format is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any, Literal

from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal, get_currency_symbol

from touchbook.schemas.money import exponent_of

Language = Literal["en", "ru"]
LANGUAGES: tuple[Language, ...] = ("en", "ru")

MISSING = "–"
SHORT = 140
JOINED = 10
"""How many elements of a list are named before the rest becomes "…"."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One language's templates; `words` translates enumerated values for the `words` format."""

    headline: str
    detail: str = ""
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Display:
    """Icon is a Lucide icon name; the tone colours nothing by itself but tells noise from trouble."""

    icon: str
    en: Wording
    ru: Wording
    tone: Literal["plain", "noise", "good", "bad"] = "plain"

    def read(
        self, fields: Mapping[str, Any], language: Language, zone: tzinfo | None = None
    ) -> tuple[str, str]:
        """(headline, detail) of one touchpoint; `fields` is what `model_dump()` of its details gives. Times of day are
        those of the zone, or as they were sent."""
        wording = self.en if language == "en" else self.ru
        headline = render(wording.headline, fields, wording, language, zone)
        return headline, render(wording.detail, fields, wording, language, zone)


def render(
    template: str,
    fields: Mapping[str, Any],
    wording: Wording,
    language: Language,
    zone: tzinfo | None = None,
) -> str:
    """The template's words with the fields of one touchpoint. Never raises on the values of fields.

    Raises ValueError for a template that breaks the language above: that is a mistake of its author.
    """
    out = ""
    for part in parsed(template):
        if isinstance(part, str):
            out += part
        elif isinstance(part, _Field):
            out += _worded(part, fields, wording, language, zone) or MISSING
        else:
            out += _stretch(part, fields, wording, language, zone, first=not out)
    return out


# Templates


@dataclass(frozen=True, slots=True)
class _Field:
    path: tuple[str, ...]
    format: str
    argument: tuple[str, ...]


_Stretch = tuple["str | _Field", ...]

_FIELD = re.compile(r"\{(\w+(?:\.\w+)*)(?:\|(\w+)(?::([^{}\[\]]+))?)?\}")
_SEPARATOR = " ·,;:–"


@lru_cache(maxsize=4096)
def parsed(template: str) -> tuple[str | _Field | _Stretch, ...]:
    """The parts of a template, read once. Raises ValueError where it breaks the language."""
    parts: list[str | _Field | _Stretch] = []
    outside, *stretches = template.split("[")
    parts += _pieces(outside, template)
    for stretch in stretches:
        inside, closed, outside = stretch.partition("]")
        if not closed or not (pieces := _pieces(inside, template)):
            raise ValueError(f"every [ needs its own ] with something inside: {template!r}")
        parts.append(pieces)
        parts += _pieces(outside, template)
    return tuple(parts)


def _pieces(text: str, template: str) -> tuple[str | _Field, ...]:
    pieces: list[str | _Field] = []
    at = 0
    for found in _FIELD.finditer(text):
        pieces += [text[at : found.start()], _field(found, template)]
        at = found.end()
    pieces.append(text[at:])
    if stray := set("{}[]") & {letter for piece in pieces if isinstance(piece, str) for letter in piece}:
        raise ValueError(f"a stray {min(stray)} in {template!r}")
    return tuple(piece for piece in pieces if piece != "")


def _field(found: re.Match[str], template: str) -> _Field:
    path, format, argument = found.groups()
    if format and format not in _FORMATS:
        raise ValueError(f"no format is named {format!r} (in {template!r}); there are: {', '.join(_FORMATS)}")
    if (format == "plural") != bool(argument):
        raise ValueError(f"plural, and only it, needs its forms after a colon: {template!r}")
    return _Field(tuple(path.split(".")), format or "", tuple((argument or "").split(",")))


def _stretch(
    pieces: _Stretch,
    fields: Mapping[str, Any],
    wording: Wording,
    language: Language,
    zone: tzinfo | None,
    first: bool,
) -> str:
    """The stretch, or nothing when a field in it has nothing to say."""
    out = ""
    for piece in pieces:
        if isinstance(piece, str):
            out += piece.lstrip(_SEPARATOR) if first and not out else piece
        elif said := _worded(piece, fields, wording, language, zone):
            out += said
        else:
            return ""
    return out


# Values


def _worded(
    wanted: _Field, fields: Mapping[str, Any], wording: Wording, language: Language, zone: tzinfo | None
) -> str:
    """A field in words; empty when it is missing or has nothing to say."""
    owner, value = _found(fields, wanted.path)
    if value is None or value == "" or value == [] or value == () or value == {}:
        return ""
    if not wanted.format:
        return _plain(value, language)
    try:
        return _FORMATS[wanted.format](_Said(value, owner, wanted.argument, wording, language, zone))
    except (ValueError, TypeError, ArithmeticError, LookupError):
        return _plain(value, language)


@dataclass(frozen=True, slots=True)
class _Said:
    """A value with what wording it may need."""

    value: Any
    owner: Mapping[str, Any]
    argument: tuple[str, ...]
    wording: Wording
    language: Language
    zone: tzinfo | None


def _found(fields: Mapping[str, Any], path: tuple[str, ...]) -> tuple[Mapping[str, Any], Any]:
    """The mapping that holds the last step of the path, and the value there (None where there is none)."""
    owner: Mapping[str, Any] = fields
    for step in path[:-1]:
        within = owner.get(step)
        if not isinstance(within, Mapping):
            return {}, None
        owner = within
    return owner, owner.get(path[-1])


_YES_NO = {"en": ("no", "yes"), "ru": ("нет", "да")}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _plain(value: Any, language: Language) -> str:
    """The value as it is, as plain text; a mapping by its name."""
    if value is None:
        return ""
    if isinstance(value, str):
        return (value if value.isprintable() else _CONTROL.sub("", value)).strip()
    if isinstance(value, bool):
        return _YES_NO[language][value]
    if isinstance(value, Mapping):
        return next((_plain(value[key], language) for key in _NAMES if isinstance(value.get(key), str)), "")
    if isinstance(value, list | tuple | set | frozenset):
        return _listed(list(value), language)
    try:
        return str(value)
    except ValueError:  # an integer of thousands of digits
        return ""


_NAMES = ("name", "title", "product_id", "id")


def _listed(values: Sequence[Any], language: Language) -> str:
    named = [said for value in values[:JOINED] if (said := _counted(value, language))]
    return ", ".join([*named, "…"] if len(values) > JOINED else named)


def _counted(value: Any, language: Language) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ""
    name = _plain(value, language)
    quantity = value.get("quantity") if isinstance(value, Mapping) else None
    if name and isinstance(quantity, int) and 1 < quantity < 10**9:
        return f"{name} ×{quantity}"
    return name


@lru_cache(maxsize=len(LANGUAGES))
def _locale(language: Language) -> Locale:
    return Locale.parse(language)


def _number(said: _Said) -> str:
    return _decimal(_as_number(said.value), said.language)


def _decimal(number: Decimal, language: Language) -> str:
    if abs(number) >= 10**15:
        raise ValueError("too large to be read as a number")
    return format_decimal(number, locale=_locale(language))


def _as_number(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise ValueError("yes or no is not a number")
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError("not a finite number")
    return number


def _money(said: _Said) -> str:
    currency = said.owner.get("currency")
    if not isinstance(currency, str) or not isinstance(said.value, int) or isinstance(said.value, bool):
        return ""
    exponent = exponent_of(currency)
    if exponent is None or abs(said.value) >= 10**18:
        return ""
    amount = Decimal(said.value).scaleb(-exponent)
    pattern = _money_pattern(currency, exponent, said.language)
    return format_currency(
        amount, currency, format=pattern, locale=_locale(said.language), currency_digits=False
    )


@lru_cache(maxsize=1024)
def _money_pattern(currency: str, exponent: int, language: Language) -> str:
    """The locale's pattern with the currency's own decimals (ISO 4217; CLDR rounds some away)."""
    pattern = str(_locale(language).currency_formats["standard"].pattern)
    pattern = pattern.replace("0.00", "0." + "0" * exponent if exponent else "0")
    if pattern.startswith("¤") and get_currency_symbol(currency, locale=_locale(language))[-1:].isalpha():
        return pattern.replace("¤", "¤\xa0")  # "RUB 12.50", not "RUB12.50"
    return pattern


_DAYS_UP_TO = 10**7
"""Integers below are days since 1970 (until the year 29,000), larger ones milliseconds."""


def _as_time(value: Any) -> datetime | date:
    if isinstance(value, date):  # datetimes too
        return value
    if isinstance(value, str):
        return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=value)
    raise ValueError("not a time")


def _as_day(value: Any) -> date:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _DAYS_UP_TO:
        return date(1970, 1, 1) + timedelta(days=value)
    return _as_time(value)


def _there(time: date, said: _Said) -> date:
    """A moment in the zone that is asked for; a day stays what it is."""
    if said.zone is None or not isinstance(time, datetime) or time.tzinfo is None:
        return time
    return time.astimezone(said.zone)


def _date(said: _Said) -> str:
    return _dated(_there(_as_day(said.value), said), "d MMMM y", said.language)


def _day(said: _Said) -> str:
    return _dated(_there(_as_day(said.value), said), "d MMMM", said.language)


def _datetime(said: _Said) -> str:
    time = _there(_as_time(said.value), said)
    if not isinstance(time, datetime):
        return _dated(time, "d MMMM y", said.language)
    return _dated(time, "d MMMM y, HH:mm", said.language) + ("" if said.zone else _offset(time))


def _dated(time: date, pattern: str, language: Language) -> str:
    moment = datetime(time.year, time.month, time.day)
    if isinstance(time, datetime):
        moment = time.replace(tzinfo=None)  # Babel would otherwise move it to UTC
    return format_datetime(moment, pattern, locale=_locale(language))


def _offset(time: datetime) -> str:
    offset = time.utcoffset()
    if offset is None:
        return ""
    minutes = round(offset.total_seconds() / 60)
    if minutes == 0:
        return " UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f" UTC{'+' if minutes > 0 else '−'}{hours}" + (f":{rest:02}" if rest else "")


_UNITS: dict[str, tuple[tuple[int, str], ...]] = {
    "en": ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")),
    "ru": ((86_400, "дн."), (3_600, "ч"), (60, "мин"), (1, "с")),
}


def _duration(said: _Said) -> str:
    """The two largest units: "1 h 5 min"."""
    seconds = int(_as_number(said.value))
    if not 0 <= seconds < 10**12:
        raise ValueError("not a duration")
    units = _UNITS[said.language]
    largest = next((at for at, (size, _) in enumerate(units) if seconds >= size), len(units) - 1)
    words: list[str] = []
    for size, unit in units[largest : largest + 2]:
        amount, seconds = divmod(seconds, size)
        if amount or (size == 1 and not words):
            words.append(f"{amount}\xa0{unit}")
    return " ".join(words)


def _stars(said: _Said) -> str:
    rating = _as_number(said.value).quantize(Decimal(1), ROUND_HALF_UP)
    full = max(0, min(5, int(rating)))
    return "★" * full + "☆" * (5 - full)


def _join(said: _Said) -> str:
    return _plain(said.value, said.language)


def _words(said: _Said) -> str:
    value = said.value
    if isinstance(value, list | tuple):
        several = dict.fromkeys(_worded_code(one, said) for one in value[:JOINED])
        return ", ".join(words for words in several if words)
    return _worded_code(value, said)


def _worded_code(value: Any, said: _Said) -> str:
    if isinstance(value, Mapping):
        words = _worded_code(value.get("code"), said)
        more = _plain(value.get("rule") or value.get("detail"), said.language)
        return f"{words} ({more})" if words and more else words
    key = str(value).lower() if isinstance(value, bool) else _plain(value, said.language)
    return said.wording.words.get(key, key if isinstance(value, bool) else key.replace("_", " "))


def _plural(said: _Said) -> str:
    number = _as_number(said.value)
    form = _locale(said.language).plural_form(abs(number))
    one, *rest = said.argument
    # "few" stands for fractions too ("1,5 минуты"); in English there is only one form besides "one".
    chosen = {"one": one, "many": rest[-1]}.get(form, rest[0])
    return f"{_decimal(number, said.language)}\xa0{chosen}"


def _short(said: _Said) -> str:
    text = " ".join(_plain(said.value, said.language).split())
    return text if len(text) <= SHORT else text[:SHORT].rstrip() + "…"


_FORMATS: dict[str, Callable[[_Said], str]] = {
    "money": _money,
    "date": _date,
    "datetime": _datetime,
    "day": _day,
    "duration": _duration,
    "number": _number,
    "stars": _stars,
    "join": _join,
    "words": _words,
    "plural": _plural,
    "short": _short,
}
