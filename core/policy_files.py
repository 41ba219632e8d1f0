"""Policies read from a YAML file, strictly.

A mistake raises `PolicyInvalid` with the file, the line and what was expected, so that a company can write its own
policy without reading this code. A section that is left out is not judged; what `contact` leaves out is as in
`policy.Contacts`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args
from zoneinfo import ZoneInfo

from touchbook.calendar import ALWAYS, MINUTES_A_DAY, Calendar, Span
from touchbook.errors import PolicyInvalid
from touchbook.marked_yaml import Entry, parsed
from touchbook.policy import (
    DAY,
    HOUR,
    MINUTE,
    RULES,
    Cadence,
    Cap,
    Cases,
    Contacts,
    Fatigue,
    Per,
    Policies,
    Policy,
    Quiet,
    Reply,
    Stages,
    Target,
    TimeKind,
)
from touchbook.schemas.details import Purpose
from touchbook.schemas.times import EPOCH_DAY

FORMAT = 1
STANDARD = "standard.yaml"
PURPOSES: tuple[str, ...] = get_args(Purpose)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FREQUENCIES = ("daily", "weekly", "monthly", "never")
_UNITS = {"s": 1_000, "m": MINUTE, "h": HOUR, "d": DAY}
_LONGEST = 3_660 * DAY
_MOST_YEARLY = 200
_DURATION = re.compile(r"(0|[1-9][0-9]{0,6})([smhd])")
_CLOCK = r"([01][0-9]|2[0-3]):([0-5][0-9])"
_HOURS = re.compile(rf"{_CLOCK}-(?:{_CLOCK}|24:00)")
_STAGE = re.compile(r"(case|order):.+")
_STRING, _NULL = "tag:yaml.org,2002:str", "tag:yaml.org,2002:null"
Word = TypeVar("Word", bound=str)
Read = TypeVar("Read")


def load_policies(path: Path | None = None, tiers: Collection[str] | None = None) -> Policies:
    """The policy of a file; None: the one that ships with us. `tiers` are those of fatigue, where they are known: a
    file may name no others. Raises `PolicyInvalid`, also for a file that cannot be read."""
    if path is None:
        shipped = resources.files("touchbook") / "policies" / STANDARD
        return _read(STANDARD, shipped.read_text("utf-8"), shipped=True)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise PolicyInvalid(path.name, 1, "the file must be UTF-8") from None
    except OSError as error:
        raise PolicyInvalid(str(path), 1, f"the file cannot be read: {error.strerror}") from None
    return read_policies(path.name, text, tiers)


def read_policies(where: str, text: str, tiers: Collection[str] | None = None) -> Policies:
    """The same from its text; errors call the file `where`."""
    return _read(where, text, tiers)


def _read(where: str, text: str, tiers: Collection[str] | None = None, *, shipped: bool = False) -> Policies:
    file = parsed(where, text, PolicyInvalid, shipped=shipped)
    file.only("policy", "versions")
    file.whole("policy", "the format of the file", FORMAT, FORMAT)
    versions: list[Policy] = []
    for entry in file.entries(
        "versions", "each with a `version` and the day it is in force `from`", "a version"
    ):
        policy = _version(entry, tiers)
        if versions and policy.since <= versions[-1].since:
            entry.fail("versions follow one another: `from` must be later than that of the one above", "from")
        if policy.version in {one.version for one in versions}:
            entry.fail(f"the version {policy.version!r} is in the file twice", "version")
        versions.append(policy)
    return Policies(tuple(versions))


def _version(entry: Entry, tiers: Collection[str] | None) -> Policy:
    name = entry.text("version", "its name, which verdicts and decisions tell")
    entry.what = f"version {name!r}"
    if len(name) > 100:
        entry.fail("the name of a version has at most 100 letters", "version")
    entry.only("version", "from", "grace", "company", "reply", "promises", "cases", "stages", "contact")
    calendar = _part(entry, "company", "zone, hours and holidays", _calendar) or Calendar()
    reply = _part(entry, "reply", "targets, and when a request is ignored", _reply)
    return Policy(
        version=name,
        since=(_date(entry, "from", "the first day it is in force") - EPOCH_DAY).days * DAY,
        grace=_duration(
            entry, "grace", "how long a verdict waits for what arrives late", 5 * MINUTE, most=DAY
        ),
        calendar=calendar,
        reply=reply,
        promises=_flag(entry, "promises", "whether promises are watched", False),
        cases=_part(entry, "cases", "how long a case may be silent", _cases),
        stages=_part(entry, "stages", "when a stage is stuck", _stages),
        contact=_part(
            entry,
            "contact",
            "when and how often a customer may be spoken to",
            lambda contact: _contact(contact, tiers),
        )
        or Contacts(),
    )


# The company's time


def _calendar(entry: Entry) -> Calendar:
    entry.only("zone", "hours", "holidays")
    holidays, yearly = _holidays(entry)
    hours = ALWAYS
    if "hours" in entry and not (entry.is_word("hours") and entry.nodes["hours"].value == "always"):
        hours = _week(entry.entry("hours", '`always`, or days as `mon-fri: "09:00-18:00"`'))
    return Calendar(_zone(entry), hours, holidays, yearly)


def _zone(entry: Entry) -> str:
    name = entry.text("zone", "a time zone, as Europe/Riga") if "zone" in entry else "UTC"
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        entry.fail(f"{name!r} is no time zone; expected one as Europe/Riga", "zone")


def _week(entry: Entry) -> tuple[tuple[Span, ...], ...]:
    week: list[tuple[Span, ...]] = [()] * len(WEEKDAYS)
    for key in entry.nodes:
        spans = _spans(entry, key)
        for day in _weekdays(entry, key):
            if week[day]:
                entry.fail(f"{entry.what} says {WEEKDAYS[day]} twice", key)
            week[day] = spans
    if not any(week):
        entry.fail("a week needs working hours; say `always` where all are")
    return tuple(week)


def _spans(entry: Entry, key: str) -> tuple[Span, ...]:
    found: list[Span] = []
    for text in _texts(entry, key, 'hours as "09:00-18:00", or a list of them'):
        start, end = _hours(entry, key, text)
        if start >= end:
            entry.fail(
                f"{text!r}: the hours of a day end after they begin; say those over midnight on two days", key
            )
        if found and start < found[-1][1]:
            entry.fail(f"{text!r} begins before the hours above it end", key)
        found.append((start, end))
    return tuple(found)


def _weekdays(entry: Entry, key: str) -> range:
    first, dash, last = key.partition("-")
    if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
        entry.fail(
            f"{key!r} is no day of the week; expected {', '.join(WEEKDAYS)}, or several as mon-fri", key
        )
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
    if end < start:
        entry.fail(f"{key!r} runs backwards; a week begins on Monday", key)
    return range(start, end + 1)


def _hours(entry: Entry, key: str, text: str) -> Span:
    found = _HOURS.fullmatch(text)
    if found is None:
        entry.fail(f'{entry.what}: `{key}` must be hours as "09:00-18:00", not {text!r}', key)
    end = MINUTES_A_DAY if found[3] is None else int(found[3]) * 60 + int(found[4])
    return int(found[1]) * 60 + int(found[2]), end


def _holidays(entry: Entry) -> tuple[tuple[date, ...], tuple[tuple[int, int], ...]]:
    days: set[date] = set()
    yearly: set[tuple[int, int]] = set()
    expected = "days as 2026-12-25, or --12-25 for every year"
    for text in _texts(entry, "holidays", expected) if "holidays" in entry else ():
        try:
            if text.startswith("--"):
                found = date.fromisoformat(f"2024-{text[2:]}")
                yearly.add((found.month, found.day))
            else:
                days.add(date.fromisoformat(text))
        except ValueError:
            entry.fail_at(text, "holidays", f"{text!r} is no holiday; expected {expected}")
    if len(yearly) > _MOST_YEARLY:
        entry.fail(f"a year has at most {_MOST_YEARLY} holidays, or nobody is ever due", "holidays")
    return tuple(sorted(days)), tuple(sorted(yearly))


# How soon


def _reply(entry: Entry) -> Reply:
    entry.only("targets", "ignored_after")
    ignored = _duration(
        entry, "ignored_after", "from when on no reply is expected any more", 72 * HOUR, MINUTE
    )
    targets: list[Target] = []
    for one in entry.entries("targets", "the first that fits is taken", "a target"):
        if targets and targets[-1].fits_all:
            one.fail("a target that never applies, as the one above it fits everything: put that one last")
        targets.append(_target(one, ignored))
    return Reply(tuple(targets), ignored)


def _target(entry: Entry, ignored: int) -> Target:
    entry.only("channels", "purposes", "hours", "within", "time")
    target = Target(
        within=_duration(entry, "within", "how soon the first reply comes", least=1_000),
        time=_time(entry),
        channels=_words(entry, "channels"),
        purposes=_words(entry, "purposes", PURPOSES),
        hours=_hours(entry, "hours", entry.text("hours", "when it was asked")) if "hours" in entry else None,
    )
    if target.time == "calendar" and target.within > ignored:
        entry.fail("`within` is later than `ignored_after`: no reply could come late", "within")
    if target.hours is not None and target.hours[0] == target.hours[1]:
        entry.fail("`hours` begin and end at once; leave them out where all are meant", "hours")
    return target


def _time(entry: Entry) -> TimeKind:
    return _one_of(entry, "time", "which time counts", get_args(TimeKind), "calendar")


def _cases(entry: Entry) -> Cases:
    entry.only("silent_after", "time")
    silent = _duration(entry, "silent_after", "how long he may see nothing of an open case", least=MINUTE)
    return Cases(silent, _time(entry))


def _stages(entry: Entry) -> Stages:
    entry.only("times", "least", "known", "usual")
    usual: dict[str, int] = {}
    if "usual" in entry:
        stages = entry.entry("usual", "by stage, as `order:shipped`, how long a stay usually is")
        for stage in stages.nodes:
            if not _STAGE.fullmatch(stage):
                stages.fail(f"{stage!r} is no stage; expected one as order:shipped or case:assigned", stage)
            usual[stage] = _duration(stages, stage, "how long a stay usually is", least=MINUTE)
    return Stages(
        times=entry.whole("times", "how many times the usual stay is too long", 1, 1_000),
        least=_duration(entry, "least", "a shorter stay is never too long", DAY),
        known=entry.whole("known", "finished stays that make a usual one", 1, 10**6)
        if "known" in entry
        else 20,
        usual=usual,
    )


# When and how often


def _contact(entry: Entry, tiers: Collection[str] | None) -> Contacts:
    entry.only(
        "hold", "consent", "bypass", "counts", "quiet", "fatigue", "caps", "frequency", "languages", "cadence"
    )
    plain = Contacts()
    return Contacts(
        hold=_duration(entry, "hold", "how long a reservation holds", plain.hold, least=1_000, most=DAY),
        consent=_by_purpose(entry, "consent", _consent, plain.consent),
        bypass=_by_purpose(entry, "bypass", lambda one, key: _words(one, key, RULES), plain.bypass),
        counts=_by_purpose(
            entry, "counts", lambda one, key: _flag(one, key, "whether it counts"), plain.counts
        ),
        quiet=None if _is_null(entry, "quiet") else _part(entry, "quiet", "`from` and `to`", _quiet),
        fatigue=_fatigues(entry, tiers) if "fatigue" in entry else plain.fatigue,
        caps=_caps(entry),
        frequency={**plain.frequency, **(_frequency(entry) if "frequency" in entry else {})},
        languages=_languages(entry),
        cadence=_named(entry, "cadence", "a cadence", _cadence),
    )


def _consent(entry: Entry, purpose: str) -> Literal["required", "withdrawal"]:
    return _one_of(entry, purpose, "granted before, or just not withdrawn", ("required", "withdrawal"))


def _languages(entry: Entry) -> Literal["content"] | None:
    said = _one_of(entry, "languages", "whose language must fit", ("content", "any"), "content")
    return "content" if said == "content" else None


def _quiet(entry: Entry) -> Quiet:
    entry.only("from", "to")
    quiet = Quiet(_clock(entry, "from"), _clock(entry, "to"))
    if quiet.start == quiet.end:
        entry.fail("`quiet` begins and ends at once; say null where no hours are quiet", "to")
    return quiet


def _fatigues(entry: Entry, known: Collection[str] | None) -> dict[str, Fatigue]:
    tiers = entry.entry("fatigue", "by tier `deny`, or caps")
    if known is not None:
        tiers.only(*known)
    return {tier: _fatigue(tiers, tier) for tier in tiers.nodes}


def _fatigue(tiers: Entry, tier: str) -> Fatigue:
    if tiers.is_word(tier):
        if tiers.nodes[tier].value != "deny":
            tiers.fail(f"`fatigue`: `{tier}` must be deny, or caps as {{caps: […]}}", tier)
        return "deny"
    entry = tiers.entry(tier, "`deny`, or caps", f"`fatigue` of {tier!r}")
    entry.only("caps")
    entry.need("caps", "those that hold beside all others")
    return _caps(entry)


def _frequency(entry: Entry) -> dict[str, int | None]:
    wishes = entry.entry("frequency", "by wish the time between messages, or `deny`")
    wishes.only(*FREQUENCIES)
    return {
        wish: None
        if wishes.is_word(wish) and wishes.nodes[wish].value == "deny"
        else _duration(wishes, wish, "the time between messages, or `deny`", least=1_000)
        for wish in wishes.nodes
    }


def _caps(entry: Entry) -> tuple[Cap, ...]:
    return _named(entry, "caps", "a cap", _cap)


def _cap(entry: Entry, name: str) -> Cap:
    entry.only("name", "channels", "purposes", "tags", "most", "window", "per", "soft")
    if ("window" in entry) == ("per" in entry):
        entry.fail(f"{entry.what} needs either `window` (rolling, as 7d) or `per` (day, week or month)")
    return Cap(
        name=name,
        most=entry.whole("most", "how many; 0 is never", 0, 10_000),
        window=_duration(entry, "window", "how far back they count", least=1_000)
        if "window" in entry
        else None,
        per=_one_of(entry, "per", "of the customer's calendar", get_args(Per)) if "per" in entry else None,
        channels=_words(entry, "channels"),
        purposes=_words(entry, "purposes", PURPOSES),
        tags=_words(entry, "tags"),
        soft=_flag(entry, "soft", "whether it gives way to a cadence", False),
    )


def _cadence(entry: Entry, name: str) -> Cadence:
    entry.only("name", "channels", "purposes", "every")
    every = _duration(entry, "every", "after how long he must not be forgotten", least=HOUR)
    return Cadence(name, every, _words(entry, "channels"), _words(entry, "purposes", PURPOSES))


# Words and numbers


def _part(entry: Entry, key: str, meaning: str, read: Callable[[Entry], Read]) -> Read | None:
    return read(entry.entry(key, meaning)) if key in entry else None


def _is_null(entry: Entry, key: str) -> bool:
    return key in entry and entry.nodes[key].tag == _NULL


def _duration(
    entry: Entry, key: str, meaning: str, otherwise: int | None = None, least: int = 0, most: int = _LONGEST
) -> int:
    if key not in entry and otherwise is not None:
        return otherwise
    node = entry.need(key, meaning)
    found = _DURATION.fullmatch(node.value) if entry.is_word(key) else None
    length = int(found[1]) * _UNITS[found[2]] if found else -1
    if not least <= length <= most:
        limits = f"from {_said(least)} to {_said(most)}"
        entry.fail(
            f"{entry.what}: `{key}` must be a duration as 30s, 15m, 24h or 7d, {limits}: {meaning}", key
        )
    return length


def _said(length: int) -> str:
    unit = next((unit for unit in "dhms" if length and length % _UNITS[unit] == 0), "s")
    return f"{length // _UNITS[unit]}{unit}"


def _date(entry: Entry, key: str, meaning: str) -> date:
    node = entry.need(key, meaning)
    try:
        return date.fromisoformat(node.value if entry.is_word(key) else "")
    except ValueError:
        entry.fail(f"{entry.what}: `{key}` must be a day as 2026-12-01: {meaning}", key)


def _clock(entry: Entry, key: str) -> int:
    node = entry.need(key, 'a time of day, as "22:00"')
    found = re.fullmatch(_CLOCK, node.value) if entry.is_word(key) else None
    if found is None:
        entry.fail(f'{entry.what}: `{key}` must be a time of day, as "22:00"', key)
    return int(found[1]) * 60 + int(found[2])


def _flag(entry: Entry, key: str, meaning: str, otherwise: bool | None = None) -> bool:
    if key not in entry and otherwise is not None:
        return otherwise
    node = entry.need(key, meaning)
    if not entry.is_word(key) or node.value not in ("true", "false"):
        entry.fail(f"{entry.what}: `{key}` must be true or false: {meaning}", key)
    return bool(node.value == "true")


def _one_of(
    entry: Entry, key: str, meaning: str, words: Collection[Word], otherwise: Word | None = None
) -> Word:
    if key not in entry and otherwise is not None:
        return otherwise
    entry.need(key, meaning)
    found = next((word for word in words if entry.is_word(key) and word == entry.nodes[key].value), None)
    if found is None:
        entry.fail(f"{entry.what}: `{key}` must be {' or '.join(words)}: {meaning}", key)
    return found


def _words(entry: Entry, key: str, known: Collection[Word] = ()) -> tuple[Word, ...]:
    """Without `known` any words; none where the key is not there."""
    words = entry.words(key, ", ".join(known) or "which ones") if key in entry else []
    for word in words:
        if known and word not in known:
            entry.fail_at(word, key, f"{entry.what}: {word!r} is none of {', '.join(known)}")
    return tuple(words)  # type: ignore[arg-type]


def _by_purpose(
    entry: Entry, key: str, read: Callable[[Entry, str], Read], otherwise: Mapping[str, Read]
) -> Mapping[str, Read]:
    if key not in entry:
        return otherwise
    found = entry.entry(key, "by purpose")
    found.only(*PURPOSES)
    return {purpose: read(found, purpose) for purpose in found.nodes}


def _named(entry: Entry, key: str, what: str, read: Callable[[Entry, str], Read]) -> tuple[Read, ...]:
    """A list of what has names, each of them once; an empty list is one too."""
    if key not in entry or entry.nodes[key].value == []:
        return ()
    found: dict[str, Read] = {}
    for one in entry.entries(key, f"each of them {what}", what):
        name = one.text("name", "what a decision calls it")
        if name in found:
            one.fail(f"two of `{key}` are called {name!r}", "name")
        one.what = f"{what.split()[-1]} {name!r}"
        found[name] = read(one, name)
    return tuple(found.values())


def _texts(entry: Entry, key: str, meaning: str) -> list[str]:
    """A text or a list of them. A day is a text here, whatever YAML takes it for."""
    node: Any = entry.need(key, meaning)
    items = [node] if entry.is_word(key) else node.value
    if not all(isinstance(getattr(item, "value", None), str) for item in items):
        entry.fail(f"{entry.what}: `{key}` must be {meaning}", key)
    return [item.value for item in items]
