"""The timeline of the customer page: its runs of touchpoints, its filters, and what opens below one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, get_args
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import Route

from touchbook.api.desk.cards import Teller, View
from touchbook.api.desk.channel_words import channel_words
from touchbook.api.desk.folds import cards_of
from touchbook.api.desk.pages import Desk, Visit
from touchbook.api.desk.receipts import facts_in, later_of, related_to
from touchbook.api.desk.who import PATH, ROLES, found, path_of, reading, situation_at
from touchbook.api.desk.words import Words
from touchbook.errors import Refused, TouchpointUnknown
from touchbook.projections.context import name_of
from touchbook.projections.cursors import cursor_of
from touchbook.projections.customers import Page
from touchbook.projections.who import Customer
from touchbook.schemas.details import Family
from touchbook.timeline import MOODS, ActorKind, Entry, TimelineFilters, item_of

RUN = 60
"""Touchpoints of one run."""
WINDOWS = (7, 30, 90, 365)
FAMILIES: tuple[str, ...] = get_args(Family)
ACTORS: tuple[ActorKind, ...] = get_args(ActorKind)
LONGEST_TEXT = 200
SHOWN_JSON = 100_000
KNOWN_CARDS = 2 * RUN
"""Of one customer; beyond them all are told anew."""
BEFORE_ALL = "0" * 32
"""Sorts before every touchpoint of one moment."""


class Choice(NamedTuple):
    """One box of a filter."""

    value: str
    label: str
    chosen: bool


class Pick(NamedTuple):
    """One filter of the bar. `said` is what is chosen, empty where all pass."""

    name: str
    label: str
    kind: str
    choices: Sequence[Choice]
    said: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for. `query` is its filters alone, in one spelling."""

    filters: TimelineFilters
    window: int | None
    form: bool
    query: str


@dataclass(frozen=True, slots=True)
class Run:
    """Days of cards, newest first. `newer` and `older` are cursors, empty where there is nothing."""

    days: Sequence[tuple[str, str, str, Sequence[View]]]
    newer: str
    older: str
    first: int = 1


def routes(desk: Desk) -> list[Route]:
    return [
        desk.route(PATH + "/timeline", reading(_run), roles=ROLES),
        desk.route(PATH + "/count", reading(_count), roles=ROLES),
        desk.route(PATH + "/touchpoints/{key}", reading(_touchpoint), roles=ROLES),
    ]


def first(visit: Visit, customer: Customer, query: QueryParams) -> dict[str, Any]:
    """For `timeline/_book.html`: the bar of filters and the first run, which `date` or `at` may put further down."""
    asked = asked_in(query, visit)
    page, run = _looked(visit, customer, asked, query)
    return {
        "book": {
            "path": path_of(customer),
            "run": run,
            "of": sum(one.touchpoints for one in customer.members),
            "picks": _picks(visit, customer, asked),
            "text": asked.filters.text or "",
            "thread": asked.filters.thread or "",
            "hide": not asked.filters.noise,
            "narrowed": bool(asked.query),
            "date": _text(query, "date"),
            "live": f"{path_of(customer)}/live?{urlencode({'after': page.stream_from})}"
            + (f"&{asked.query}" if asked.query else ""),
        }
    }


def asked_in(query: QueryParams, visit: Visit) -> Asked:
    """The filters of an address. A form sends `f`, so that a box not ticked can be told from no form at all; without it
    noise is hidden. Raises `Refused` (422) naming the parameter."""
    form = "f" in query
    window = _text(query, "window")
    if window and window not in map(str, WINDOWS):
        raise _wrong("window", ", ".join(map(str, WINDOWS)))
    days = int(window) if window else None
    filters = TimelineFilters(
        channels=tuple(_several(query, "channel")),
        families=tuple(_allowed(query, "family", FAMILIES)),
        types=tuple(_several(query, "type")),
        actors=tuple(_allowed(query, "actor", ACTORS)),  # type: ignore[arg-type]
        moods=tuple(_allowed(query, "mood", MOODS)),  # type: ignore[arg-type]
        noise=form and _text(query, "noise") != "hide",
        thread=_text(query, "thread") or None,
        text=_text(query, "text") or None,
        from_at=None
        if days is None
        else _midnight(visit.words.today(visit.now) - timedelta(days), visit.zone),
    )
    kept = ("channel", "family", "type", "actor", "mood", "noise", "thread", "text", "window", "f")
    spelled = [(name, value) for name, value in query.multi_items() if name in kept and value]
    return Asked(filters, days, form, urlencode([one for one in spelled if form or one[0] != "f"]))


def told(visit: Visit, customer: Customer, entries: Sequence[Entry]) -> list[View]:
    """The cards of a run of entries. Those that were told before, of the customers looked at last, are remembered."""
    teller = _teller(visit, customer, later_of(visit, customer, entries))
    customers = visit.desk.book.customers
    place, era = (f"cards.{visit.language}", customer.membership), customers.era
    manner, known = customers.lately.get(place) or (None, {})
    if manner != teller.manner or len(known) > KNOWN_CARDS:
        manner, known = teller.manner, {}
        customers.keep(customers.lately, place, (manner, known), era)
    return replace(teller, known=known).views(cards_of(entries, teller.day_at))


def by_day(views: Iterable[View], words: Words, now: int) -> list[tuple[str, str, str, list[View]]]:
    """(day, its head, how long ago, its cards), newest first."""
    days = []
    today = words.today(now)
    for day, held in groupby(views, key=lambda one: words.today(one.at)):
        some = list(held)
        head = words.day(some[0].at, now)
        if day == today:
            weekday = head if words.language == "en" else head[:1].lower() + head[1:]
            head = words.gettext("Today, %(day)s", day=weekday)
        days.append((day.isoformat(), head, "" if day == today else words.ago(some[0].at, now), some))
    return days


def _run(visit: Visit) -> Response:
    customer, query = found(visit), visit.request.query_params
    _, run = _looked(visit, customer, asked_in(query, visit), query)
    return visit.desk.page(visit, "timeline/_run.html", run=run, path=path_of(customer), replaces="")


def _looked(visit: Visit, customer: Customer, asked: Asked, query: QueryParams) -> tuple[Page, Run]:
    """The run at a cursor, a day or a touchpoint, or the newest."""
    look = partial(visit.desk.book.customers.page, customer, asked.filters)
    above, before = _text(query, "above"), _text(query, "before")
    if above:
        page = look(None, RUN, visit.language, above=above)
        older = "" if page.entries else above
        newest, oldest = page.beyond or "", _cursor(page.entries[-1:]) or older
    else:
        below = before or _place(visit, customer, query)
        page = look(below, RUN, visit.language)
        newest, oldest = "" if below is None else _cursor(page.entries[:1]) or below, page.beyond or ""
    views = told(visit, customer, page.entries)
    return page, Run(by_day(views, visit.words, visit.now), newest, oldest)


def _place(visit: Visit, customer: Customer, query: QueryParams) -> str | None:
    """The cursor that a day or a touchpoint stands just below; None for the newest."""
    if day := _text(query, "date"):
        try:
            asked = date.fromisoformat(day)
        except ValueError:
            raise _wrong("date", "YYYY-MM-DD") from None
        return cursor_of((_midnight(asked + timedelta(1), visit.zone), BEFORE_ALL))
    if key := _text(query, "at"):
        return cursor_of((_moment_of(visit, customer, key) + 1, BEFORE_ALL))
    return None


def _moment_of(visit: Visit, customer: Customer, key: str) -> int:
    with visit.desk.book.customers.reading() as reader:
        for deed in reader.deeds(customer.subjects, 2**62):
            if deed.key == key:
                return deed.occurred_at
    raise TouchpointUnknown


def _cursor(entries: Sequence[Entry]) -> str:
    return cursor_of((entries[0].occurred_at, entries[0].key)) if entries else ""


def _count(visit: Visit) -> Response:
    """How many pass, as far as a store can tell; of words, actors and moods it can only be seen."""
    customer, asked = found(visit), asked_in(visit.request.query_params, visit)
    whole = visit.words.number(sum(one.touchpoints for one in customer.members))
    if not asked.filters.by_store:
        shown = visit.words.gettext("of %(all)s", all=whole)
    else:
        n = visit.desk.book.customers.count(customer, asked.filters)
        shown = visit.words.gettext("%(shown)s of %(all)s", shown=visit.words.number(n), all=whole)
    return Response(shown, media_type="text/plain")


# What opens below a touchpoint


def _touchpoint(visit: Visit) -> Response:
    """Its data and what can be done with it. `at` is when it happened, in milliseconds, which spares a search."""
    customer, key = found(visit), visit.request.path_params["key"]
    if not re.fullmatch("[0-9a-f]{32}", key):
        raise TouchpointUnknown
    said = _text(visit.request.query_params, "at")
    at = int(said) if re.fullmatch(r"-?[0-9]{1,15}", said) else _moment_of(visit, customer, key)
    here = TimelineFilters(from_at=at, to_at=at + 1)
    with visit.desk.book.customers.reading() as reader:
        entry = next((one for one in reader.entries(customer.subjects, here, None) if one.key == key), None)
        if entry is None:
            raise TouchpointUnknown
        alike = TimelineFilters(thread=entry.thread)
        related = reader.count_entries(customer.subjects, alike) - 1 if entry.thread else 0
    # Its data stand there as they were sent, values among them that are masked elsewhere.
    visit.audit("opened", customer.id, touchpoint=key)
    item = item_of(entry, visit.language, visit.desk.book.settings.late_after * 1000, "")
    del item["position"]
    text = json.dumps(item, ensure_ascii=False, indent=2)
    return visit.desk.page(
        visit,
        "timeline/_more.html",
        entry=entry,
        facts=_facts(visit, entry),
        json=text if len(text) <= SHOWN_JSON else text[:SHOWN_JSON] + "…",
        related=related,
        others=related_to(visit, customer, entry),
        thread=entry.thread or "",
        path=path_of(customer),
    )


def _facts(visit: Visit, entry: Entry) -> list[tuple[str, str]]:
    _, words = visit.words.gettext, visit.words
    actor = entry.body.get("actor") or {}
    took = max(0, entry.recorded_at - entry.occurred_at)
    moment = datetime.fromtimestamp(entry.occurred_at / 1000, visit.zone)
    arrived = (
        _("%(time)s, here %(seconds)s s later", time=f"{moment:%H:%M:%S}", seconds=words.number(took / 1000))
        if took < 600_000
        else _(
            "%(time)s, known since %(day)s", time=f"{moment:%H:%M:%S}", day=words.moment(entry.recorded_at)
        )
    )
    facts = [
        (_("Channel"), channel_words(entry.channel, visit.language)),
        (_("Source"), entry.source),
        (_("Type"), entry.type),
        (_("Who"), str(actor.get("name") or "")),
        (_("Happened"), arrived),
    ]
    facts += facts_in(visit, entry)
    return [(label, value) for label, value in facts if value]


# The bar of filters


def _picks(visit: Visit, customer: Customer, asked: Asked) -> list[Pick]:
    _, language, filters = visit.words.gettext, visit.language, asked.filters
    used = dict.fromkeys([*situation_at(visit, customer).channels, *filters.channels])
    names = {
        "conversation": _("Conversation"),
        "feedback": _("Feedback"),
        "commerce": _("Commerce"),
        "service": _("Service"),
        "recommendation": _("Recommendation"),
        "immersive": _("AR and VR"),
        "information": _("Information"),
        "loyalty": _("Loyalty"),
        "learning": _("Learning"),
        "account": _("Account"),
        "person": _("Person"),
        "other": _("Other"),
    }
    actors = {
        "customer": _("Customer"),
        "agent": _("Agent"),
        "bot": _("Bot"),
        "system": _("System"),
    }
    moods = {"positive": _("Positive"), "neutral": _("Neutral"), "negative": _("Negative")}
    windows = {
        "": _("All the time"),
        "7": _("7 days"),
        "30": _("30 days"),
        "90": _("90 days"),
        "365": _("A year"),
    }
    channels = {name: channel_words(name, language, capital=True) for name in used}
    window = "" if asked.window is None else str(asked.window)
    return [
        _pick("channel", _("Channel"), channels, filters.channels),
        _pick("family", _("Family"), names, filters.families),
        _pick("actor", _("Who"), actors, filters.actors),
        _pick("window", _("When"), windows, (window,), kind="radio"),
        _pick("mood", _("Mood"), moods, filters.moods),
    ]


def _pick(
    name: str, label: str, choices: Mapping[str, str], chosen: Sequence[str], kind: str = "checkbox"
) -> Pick:
    boxes = [Choice(value, said, value in chosen) for value, said in choices.items()]
    said = [one.label for one in boxes if one.chosen and one.value]
    return Pick(name, label, kind, boxes, said[0] if len(said) == 1 else str(len(said) or ""))


# Smaller things


def _teller(visit: Visit, customer: Customer, later: Mapping[str, str]) -> Teller:
    situation = situation_at(visit, customer)
    name = name_of(situation.values("trait"))
    return Teller(
        words=visit.words,
        now=visit.now,
        late_after=visit.desk.book.settings.late_after * 1000,
        name=name.split()[0] if name else "",
        types={one.id: one.identifier.type for one in customer.members},
        requests={one.thread: one for one in situation.requests},
        policies=visit.desk.book.policies,
        later=later,
    )


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def _text(query: QueryParams, name: str) -> str:
    return query.get(name, "").strip()[:LONGEST_TEXT]


def _several(query: QueryParams, name: str) -> list[str]:
    return [value[:LONGEST_TEXT] for value in query.getlist(name) if value]


def _allowed(query: QueryParams, name: str, allowed: Sequence[str]) -> list[str]:
    asked = _several(query, name)
    if set(asked) - set(allowed):
        raise _wrong(name, ", ".join(allowed))
    return asked


def _wrong(name: str, expected: str) -> Refused:
    return Refused(422, "parameter_invalid", f"query {name}: expected {expected}")
