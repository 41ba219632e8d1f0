"""What needs action, and whether he may be contacted: the top of the customer page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchbook.api.desk.channel_words import channel_words
from touchbook.api.desk.matters import Matter, Owing, matters_of
from touchbook.api.desk.pages import Visit
from touchbook.api.desk.score_words import NOT_KNOWN, tier_of
from touchbook.api.desk.who import path_of, situation_at
from touchbook.api.desk.words import HOUR, MINUTE, Words
from touchbook.contact import CHANNELS
from touchbook.contacting import Decision, Reason
from touchbook.policy import Owed
from touchbook.projections.situation import Situation
from touchbook.projections.who import Customer
from touchbook.registers import open_cases
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.verdicts import Verdict, due_verdicts

PURPOSES = ("service", "offer", "survey", "teach")
PURPOSE = "offer"
"""The one shown first."""
SHOWN_MATTERS, MOST_MATTERS = 7, 40
"""Lines shown at once, and with those behind the fold; what there is beyond is counted."""
COMPANY = "company"
"""Whose quiet hours they are, where they are not his own."""
FREQUENCIES = ("daily", "weekly", "monthly")
NAMED = ("cap", "fatigue", "outranked")
"""Reasons of which a policy may have several, told apart by their names."""
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
    policies = visit.desk.book.policies
    still = still_matters(visit, customer, situation)
    owing = _owing(visit, customer, situation)
    matters = matters_of(situation.settings, situation.requests, policies, visit.now, still, owing)
    lines = [_line(one, visit) for one in matters[:MOST_MATTERS]]
    asked = visit.request.query_params.get("purpose")
    may = visit.desk.book.customers.may_contact(customer, PURPOSES, situation.channels, visit.now)
    return {
        "path": path_of(customer),
        "lines": lines[:SHOWN_MATTERS],
        "more": lines[SHOWN_MATTERS:],
        "all_matters": len(matters),
        "purpose": asked if asked in PURPOSES else PURPOSE,
        "may": [_may(one, may, situation, visit) for one in PURPOSES],
    }


def _owing(visit: Visit, customer: Customer, situation: Situation) -> Owing:
    """Remembered with what else was told of him: somebody may wait in hundreds of threads."""
    customers = visit.desk.book.customers
    place, era = ("owing", customer.membership), customers.era
    known: Owing | None = customers.lately.get(place)
    owing = Owing.of(situation.requests, visit.desk.book.policies, known)
    if owing is not known:
        customers.keep(customers.lately, place, owing, era)
    return owing


def still_matters(visit: Visit, customer: Customer, situation: Situation) -> list[Verdict]:
    """What the policy says now of open cases and orders in which nothing moves, whether or not it is recorded yet."""
    cases = [one.id for one in open_cases(situation.settings)]
    if not cases:
        return []
    with visit.desk.book.customers.reading() as reader:
        messages = reader.messages(customer.subjects, cases)
    stays, policies = visit.desk.usual_stays(visit.now), visit.desk.book.policies
    # The situation's registers are without verdicts: so nothing counts as said already.
    found, _ = due_verdicts(customer.id, (), messages, situation.settings, stays, policies, visit.now)
    return [one for one in found if one.type in ("case_silent", "stage_stuck")]


# Needs action


def _line(one: Matter, visit: Visit) -> Line:
    words, now = visit.words, visit.now
    _ = words.gettext
    waited = words.duration(now - one.since) if one.since is not None else ""
    channel = ", ".join(channel_words(name, visit.language) for name in one.channels)
    match one.kind:
        case "waiting" | "late":
            late = one.kind == "late"
            return Line(
                tone="warn late" if late else "warn",
                shape="bad" if late else None,
                icon="hourglass",
                what=_("Waits for a reply"),
                about=channel
                if one.owed is None
                else _("%(channel)s, target %(time)s", channel=channel, time=target_words(one.owed, words)),
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
        case "silent" | "stuck":
            type = "order_stage_changed" if one.thing == "order" else "case_stage_changed"
            name = _("Order %(id)s", id=one.id) if one.thing == "order" else _("Case %(id)s", id=one.id)
            told = (
                _("the customer saw nothing of it")
                if one.kind == "silent"
                else _("stays where it is too long")
            )
            about = ", ".join(part for part in (_staged(one, type, visit), told) if part)
            return Line("bad", "bad", None, name, about, waited, one.touchpoints)
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


def target_words(owed: Owed, words: Words) -> str:
    """In hours where they are whole."""
    whole = not owed.within % HOUR
    lasting = (
        words.ngettext("%(num)s hour", "%(num)s hours", owed.within // HOUR)
        if whole
        else words.duration(owed.within)
    )
    return lasting if owed.time == "calendar" else words.gettext("%(time)s of working time", time=lasting)


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


def _may(
    purpose: str, may: Mapping[str, Mapping[str, Decision]], situation: Situation, visit: Visit
) -> dict[str, Any]:
    """Every channel with its answer for one purpose; those of which the same is to be said are told together."""
    preferences = situation.values("preference")
    wished = [name for name in preferences.get("channels") or () if isinstance(name, str)]
    answers = may[purpose]
    reachable = [name for name in answers if name in CHANNELS or name in wished]
    alike: dict[tuple[bool, str, str], list[str]] = {}
    for name in sorted(reachable, key=lambda name: not allowed(answers[name])):
        why = _reasons(name, purpose, answers[name], situation, visit)
        alike.setdefault((allowed(answers[name]), why, _next(answers[name], visit)), []).append(name)
    rows = [
        {"channels": _named(names, visit), "allowed": yes, "why": why, "next": following}
        for (yes, why, following), names in alike.items()
    ]
    service = may["service"]
    return {
        "purpose": purpose,
        "label": _purpose_label(purpose, visit.words),
        "rows": rows,
        "hint": _hint([allowed(service[name]) for name in reachable], purpose, visit.words),
        "policy": visit.words.gettext(
            "Policy: %(version)s", version=visit.desk.book.policies.at(visit.now).version
        ),
    }


def _named(channels: Sequence[str], visit: Visit) -> str:
    first, *others = channels
    return ", ".join(
        [
            channel_words(first, visit.language, capital=True),
            *(channel_words(name, visit.language) for name in others),
        ]
    )


def allowed(decision: Decision) -> bool:
    return decision.kind == "reserved"


def _next(decision: Decision, visit: Visit) -> str:
    """The earliest moment at which nothing denies it any more; empty where that is now or never."""
    if decision.kind != "deferred" or decision.until is None:
        return ""
    words, until = visit.words, decision.until
    days = (words.today(until) - words.today(visit.now)).days
    moment = _by(until, visit) if days < 2 else f"{words.day_short(until, visit.now)}, {words.time(until)}"
    return words.gettext("allowed from %(moment)s", moment=moment)


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


def _reasons(channel: str, purpose: str, decision: Decision, situation: Situation, visit: Visit) -> str:
    _ = visit.words.gettext
    if allowed(decision) and _is_there(channel, situation, visit.now):
        return _("is there now")
    own_hours = Reason("quiet_hours") in decision.reasons
    told = (one for one in decision.reasons if not own_hours or one != Reason("quiet_hours", COMPANY))
    said = [_reason(one, purpose, situation, visit) for one in told]
    if decision.due and allowed(decision):
        said.append(_("not heard from us for long: %(rule)s", rule=", ".join(decision.due)))
    return ", ".join(dict.fromkeys(said))


def _is_there(channel: str, situation: Situation, now: int) -> bool:
    wrote = situation.wrote.get(channel)
    return wrote is not None and 0 <= now - wrote < THERE_NOW


def _reason(reason: Reason, purpose: str, situation: Situation, visit: Visit) -> str:
    words = visit.words
    _ = words.gettext
    said = next((one for one in situation.settings if (one.kind, one.key) == ("consent", purpose)), None)
    if reason.code == "consent_granted" and said is not None:
        return _("agreed %(day)s", day=words.date(said.occurred_at))
    if reason.code == "consent_withdrawn" and said is not None:
        return _("withdrawn on %(day)s", day=words.day_short(said.occurred_at, visit.now))
    hours = situation.values("preference").get("hours")
    if reason.code == "quiet_hours" and reason.rule is None and isinstance(hours, Mapping):
        return _("quiet hours until %(time)s there", time=hours["to"])
    if reason.code == "fatigue" and reason.rule is not None:
        tier = tier_of("fatigue", reason.rule)
        rule = reason.rule if tier is NOT_KNOWN else tier.said.in_(visit.language)
        return reason_words(reason.code, words, rule)
    return reason_words(reason.code, words, reason.rule)


def reason_words(code: str, words: Words, rule: str | None = None) -> str:
    """Why he may be contacted, or not; with the name of the rule in the policy where it has one."""
    _ = words.gettext
    if code == "frequency" and rule in FREQUENCIES:
        return {
            "daily": _("asked for one a day at most"),
            "weekly": _("asked for one a week at most"),
            "monthly": _("asked for one a month at most"),
        }[rule]
    told = {
        "bypassed": _("nothing speaks against it"),
        "cap": _("limit reached"),
        "consent_granted": _("agreed"),
        "consent_missing": _("never agreed"),
        "consent_withdrawn": _("consent withdrawn"),
        "do_not_contact": _("asked to be left in peace"),
        "fatigue": _("had much of us lately"),
        "fatigue_exhausted": _("has had too much of us"),
        "frequency": _("asked to hear from us less often"),
        "frequency_never": _("asked for nothing at all"),
        "language": _("does not understand the language"),
        "no_objection": _("nothing speaks against it"),
        "not_a_preferred_channel": _("prefers other channels"),
        "outranked": _("something more important came first"),
        "quiet_hours": _("quiet hours"),
        "too_late": _("would come too late"),
    }.get(code) or code.replace("_", " ")
    return f"{told}: {rule}" if rule and code in NAMED else told
