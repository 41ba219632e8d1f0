"""What needs action, and whether he may be contacted: the top of the customer page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from touchbook.api.desk.channel_words import channel_words
from touchbook.api.desk.matters import Matter, matters_of
from touchbook.api.desk.pages import Visit
from touchbook.api.desk.who import path_of, situation_at
from touchbook.api.desk.words import HOUR, MINUTE, Words
from touchbook.contact import CHANNELS, contact
from touchbook.projections.customers import Customer
from touchbook.projections.situation import Situation
from touchbook.schemas.catalogue import CATALOGUE

PURPOSES = ("service", "offer", "survey", "teach")
PURPOSE = "offer"
"""The one shown first."""
SHOWN_MATTERS, MOST_MATTERS = 7, 40
"""Lines shown at once, and with those behind the fold; what there is beyond is counted."""
THERE_NOW = 30 * MINUTE
"""Who wrote so lately on a channel is taken to be still there."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of "Needs action". `since` is where its clock runs from, if it runs, and `target` when it is too late."""

    tone: str
    shape: str | None
    icon: str | None
    what: str
    about: str
    clock: str
    touchpoints: tuple[str, ...]
    since: int | None = None
    target: int | None = None


def now_fields(visit: Visit, customer: Customer) -> dict[str, Any]:
    """For `customer/now.html`."""
    situation = situation_at(visit, customer)
    matters = matters_of(situation.settings, situation.requests, visit.now)
    lines = [_line(one, visit) for one in matters[:MOST_MATTERS]]
    asked = visit.request.query_params.get("purpose")
    return {
        "path": path_of(customer),
        "lines": lines[:SHOWN_MATTERS],
        "more": lines[SHOWN_MATTERS:],
        "all_matters": len(matters),
        "purpose": asked if asked in PURPOSES else PURPOSE,
        "may": [_may(one, situation, visit) for one in PURPOSES],
    }


# Needs action


def _line(one: Matter, visit: Visit) -> Line:
    words, now = visit.words, visit.now
    _ = words.gettext
    waited = words.duration(now - one.since) if one.since is not None else ""
    channel = ", ".join(channel_words(name, visit.language) for name in one.channels)
    match one.kind:
        case "waiting" | "late":
            late = one.kind == "late"
            target = _target((one.due or 0) - (one.since or 0), words)
            return Line(
                tone="warn late" if late else "warn",
                shape="bad" if late else None,
                icon="hourglass",
                what=_("Waits for a reply"),
                about=_("%(channel)s, target %(time)s", channel=channel, time=target),
                clock=words.clock(now - (one.since or now)),
                touchpoints=one.touchpoints,
                since=one.since,
                target=one.due,
            )
        case "unanswered":
            first = words.day_short(one.since or now, now)
            about = _messages(one, channel, words)
            about = (
                about
                if one.messages == 1
                else _("%(messages)s, the first on %(day)s", messages=about, day=first)
            )
            return Line("bad", "bad", None, _("Never answered"), about, waited, one.touchpoints)
        case "broken" | "overdue":
            what = _("Promise broken") if one.kind == "broken" else _("Promise overdue")
            about = one.name or _promised(None, one.due, visit)
            return Line("bad", "bad", None, what, about, waited, one.touchpoints)
        case "due":
            left = "" if one.due is None else _("in %(time)s", time=words.duration(one.due - now))
            about = _promised(one.name, one.due, visit)
            return _due(_("Promise due"), about, left, one, icon="handshake")
        case "case":
            about = _staged(one, "case_stage_changed", visit)
            what = _("Case %(id)s", id=one.id)
            return _due(what, about, _nth_day(one, visit), one, icon="folder-open")
        case _:
            about = _staged(one, "order_stage_changed", visit)
            what = _("Order %(id)s", id=one.id)
            return _due(what, about, _nth_day(one, visit), one, icon="package")


def _due(what: str, about: str, clock: str, one: Matter, *, icon: str) -> Line:
    return Line("due", None, icon, what, about, clock, one.touchpoints)


def _target(lasting: int, words: Words) -> str:
    """In hours where they are whole."""
    if lasting % HOUR:
        return words.duration(lasting)
    return words.ngettext("%(num)s hour", "%(num)s hours", lasting // HOUR)


def _messages(one: Matter, channel: str, words: Words) -> str:
    if one.channels == ("email",):
        return words.ngettext("%(num)s e-mail", "%(num)s e-mails", one.messages)
    counted = words.ngettext("%(num)s message", "%(num)s messages", one.messages)
    return f"{counted}, {channel}"


def _promised(what: str | None, due: int | None, visit: Visit) -> str:
    if due is None:
        return what or ""
    by = visit.words.gettext("by %(moment)s", moment=_by(due, visit))
    return f"{what} {by}" if what else by


def _by(due: int, visit: Visit) -> str:
    """Today 12:00, tomorrow 12:00, else the day."""
    words = visit.words
    days = (words.today(due) - words.today(visit.now)).days
    if days == 0:
        return words.gettext("today %(time)s", time=words.time(due))
    if days == 1:
        return words.gettext("tomorrow %(time)s", time=words.time(due))
    return words.day_short(due, visit.now)


def _staged(one: Matter, type: str, visit: Visit) -> str:
    if not one.stage:
        return one.name or ""
    display = CATALOGUE[type].display
    wording = display.en if visit.language == "en" else display.ru
    stage = wording.words.get(one.stage) or one.stage.replace("_", " ")
    told = visit.words.gettext("stage: %(stage)s", stage=stage)
    return f"{one.name}, {told}" if one.name else told


def _nth_day(one: Matter, visit: Visit) -> str:
    """The day it is opened is its first."""
    opened = one.since if one.since is not None else visit.now
    days = (visit.words.today(visit.now) - visit.words.today(opened)).days + 1
    return visit.words.gettext("day %(number)s", number=max(1, days))


# May I contact him


def _may(purpose: str, situation: Situation, visit: Visit) -> dict[str, Any]:
    """Every channel with its answer for one purpose."""
    preferences = situation.values("preference")
    wished = [name for name in preferences.get("channels") or () if isinstance(name, str)]
    fatigue = situation.scores.get("fatigue", {}).get("tier")
    asked = partial(
        contact,
        preferences=preferences,
        consents=situation.values("consent"),
        fatigue_tier=fatigue,
        used=situation.channels,
        now=visit.now,
    )
    answers = asked(purpose)
    reachable = [name for name in answers if name in CHANNELS or name in wished]
    rows = [
        {
            "channel": channel_words(name, visit.language, capital=True),
            "allowed": answers[name]["allowed"],
            "why": _reasons(name, purpose, answers[name], situation, visit),
        }
        for name in sorted(reachable, key=lambda name: not answers[name]["allowed"])
    ]
    service = asked("service")
    return {
        "purpose": purpose,
        "label": _purpose_label(purpose, visit.words),
        "rows": rows,
        "hint": _hint([service[name]["allowed"] for name in reachable], purpose, visit.words),
    }


def _purpose_label(purpose: str, words: Words) -> str:
    """As it goes on after "May I contact with"."""
    _ = words.gettext
    return {
        "service": _("service"),
        "offer": _("an offer"),
        "survey": _("a survey"),
        "teach": _("a lesson"),
    }[purpose]


def _hint(allowed: Sequence[bool], purpose: str, words: Words) -> str:
    _ = words.gettext
    if purpose == "service":
        return ""
    if all(allowed):
        return _("Service messages: allowed everywhere.")
    return _("Service messages: not allowed either.") if not any(allowed) else ""


def _reasons(
    channel: str, purpose: str, answer: Mapping[str, Any], situation: Situation, visit: Visit
) -> str:
    _ = visit.words.gettext
    if answer["allowed"] and _is_there(channel, situation, visit.now):
        return _("is there now")
    return ", ".join(_reason(one, purpose, situation, visit) for one in answer["reasons"])


def _is_there(channel: str, situation: Situation, now: int) -> bool:
    wrote = situation.wrote.get(channel)
    return wrote is not None and 0 <= now - wrote < THERE_NOW


def _reason(reason: str, purpose: str, situation: Situation, visit: Visit) -> str:
    words = visit.words
    _ = words.gettext
    said = next((one for one in situation.settings if (one.kind, one.key) == ("consent", purpose)), None)
    if reason == "consent_granted" and said is not None:
        return _("agreed %(day)s", day=words.date(said.occurred_at))
    if reason == "consent_withdrawn" and said is not None:
        return _("withdrawn on %(day)s", day=words.day_short(said.occurred_at, visit.now))
    if reason == "quiet_hours":
        return _("quiet hours until %(time)s", time=situation.values("preference")["hours"]["to"])
    return {
        "consent_missing": _("never agreed"),
        "do_not_contact": _("asked to be left in peace"),
        "frequency_never": _("asked for nothing at all"),
        "fatigue_exhausted": _("has had too much of us"),
        "not_a_preferred_channel": _("prefers other channels"),
        "no_objection": _("nothing speaks against it"),
    }.get(reason) or reason.replace("_", " ")
